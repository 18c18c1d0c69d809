"""From noise to latents to frames."""

from __future__ import annotations

from comfy_api.latest import io

from ..dreamactor_core.options import SAMPLERS
from .kinds import MENU, ContextType, model_input, prompt_input, sampling_inputs, seed_input

CATEGORY = f"{MENU}/sample"


class DreamActorSampler(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="DreamActorSampler",
            display_name="DreamActor Sampler",
            category=CATEGORY,
            description="Draws the left panel: the character in motion. Shows the growing video "
            "while it works.",
            search_aliases=["dreamactor", "ksampler", "denoise", "mmdit"],
            inputs=[
                model_input(),
                ContextType.Input("context", tooltip="From DreamActor Encode."),
                prompt_input(),
                io.String.Input(
                    "negative",
                    default="",
                    multiline=True,
                    tooltip="What the text guidance leads away from, as text. Not read when cfg "
                    "is 1.",
                ),
                seed_input(),
                *sampling_inputs(),
                io.Float.Input(
                    "shift",
                    default=0.0,
                    min=0.0,
                    max=100.0,
                    step=0.01,
                    advanced=True,
                    tooltip="Shift of the noise levels, a factor: 1 is even (embedded model), 5 to "
                    "9 spends more steps in the noise (large models). 0: the model's own.",
                ),
                io.Combo.Input(
                    "sampler",
                    options=[*SAMPLERS],
                    default="euler",
                    advanced=True,
                    tooltip="Name of the solver. heun calls the network twice a step.",
                ),
            ],
            outputs=[io.Latent.Output("latent", display_name="latent")],
        )

    @classmethod
    def execute(
        cls,
        model,
        context,
        prompt,
        negative,
        seed,
        steps,
        cfg,
        driving_cfg,
        shift,
        sampler,
    ) -> io.NodeOutput:
        from ..dreamactor_core.sampling import SampleSettings
        from .host.remember import ignored_by
        from .host.sample import sample_latent

        settings = SampleSettings(
            num_inference_steps=steps or None,
            guidance_scale=cfg or None,
            driving_guidance_scale=driving_cfg,
            shift=shift or None,
            sampler=sampler,
            seed=seed,
            negative_prompt=negative,
        )
        latent = sample_latent(model, context, prompt, settings)
        return io.NodeOutput(latent, ui=ignored_by(model))


class DreamActorDecode(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="DreamActorDecode",
            display_name="DreamActor Decode",
            category=CATEGORY,
            description="Turns the sampled latents into frames, one for each driving frame.",
            search_aliases=["dreamactor", "vae decode", "crop"],
            inputs=[
                model_input(),
                io.Latent.Input("latent", tooltip="From DreamActor Sampler."),
                io.Combo.Input(
                    "crop",
                    options=["result", "whole composite"],
                    default="result",
                    tooltip="What is shown: the result alone, or the result beside the driving "
                    "panel (twice as wide).",
                ),
                io.Boolean.Input(
                    "keep_lead_in",
                    default=False,
                    tooltip="Keep the frames in which the character moves from the reference into "
                    "the motion; off or on.",
                ),
            ],
            outputs=[io.Image.Output("frames", display_name="frames")],
        )

    @classmethod
    def execute(cls, model, latent, crop, keep_lead_in) -> io.NodeOutput:
        from .host.sample import decode_latent

        return io.NodeOutput(decode_latent(model, latent, crop == "whole composite", keep_lead_in))
