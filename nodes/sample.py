"""From noise to latents to frames."""

from __future__ import annotations

from comfy_api.latest import io

from ..dreamactor_core.options import SAMPLERS
from . import kinds


class DreamActorSampler(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="DreamActorSampler",
            display_name="DreamActor Sampler",
            category=kinds.SAMPLE_MENU,
            description="Draws the left panel: the character in motion. Shows the growing video "
            "while it works.",
            search_aliases=["dreamactor", "ksampler", "denoise", "mmdit"],
            inputs=[
                kinds.model_input(),
                kinds.ContextType.Input("context", tooltip="From DreamActor Encode."),
                kinds.prompt_input(),
                kinds.text_input(
                    "negative",
                    "What the text guidance leads away from, as text. Not read when cfg is 1.",
                ),
                kinds.seed_input(),
                *kinds.sampling_inputs(),
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
            outputs=[kinds.output(io.Latent, "latent")],
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
            category=kinds.SAMPLE_MENU,
            description="Turns the sampled latents into frames, one for each driving frame.",
            search_aliases=["dreamactor", "vae decode", "crop"],
            inputs=[
                kinds.model_input(),
                io.Latent.Input("latent", tooltip="From DreamActor Sampler."),
                io.Combo.Input(
                    "crop",
                    options=["result", "whole composite"],
                    default="result",
                    tooltip="What is shown: the result alone, or the result beside the driving "
                    "panel (twice as wide).",
                ),
                kinds.keep_lead_in_input(),
            ],
            outputs=[kinds.output(io.Image, "frames")],
        )

    @classmethod
    def execute(cls, model, latent, crop, keep_lead_in) -> io.NodeOutput:
        from .host.sample import decode_latent

        return io.NodeOutput(decode_latent(model, latent, crop == "whole composite", keep_lead_in))
