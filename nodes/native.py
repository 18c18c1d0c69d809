"""The method on ComfyUI's own models, loaders and samplers: MODEL, VAE, CONDITIONING, LATENT."""

from __future__ import annotations

from comfy_api.latest import io

from . import kinds
from .host import files
from .prepare import fitted_outputs, media_inputs


def _model_input(tooltip: str) -> io.Input:
    return io.Model.Input("model", tooltip=tooltip)


class DreamActorNativeLora(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="DreamActorNativeLora",
            display_name="DreamActor Native LoRA",
            category=kinds.NATIVE_MENU,
            description="Puts a LoRA on a MODEL of ComfyUI, in whatever names it was saved "
            "(diffusers, peft, kohya, musubi, ComfyUI), and says how many layers it patched. "
            "Refuses one that does not fit, of which ComfyUI would leave parts out in silence.",
            search_aliases=["dreamactor", "lora", "load lora", "wan lora", "hunyuan lora"],
            inputs=[
                _model_input(
                    "HunyuanVideo-1.5 or Wan, from Load Diffusion Model or a GGUF loader."
                ),
                *kinds.lora_inputs(
                    files.NATIVE_LORAS,
                    "Name of a .safetensors file of models/loras or models/dreamactor: a "
                    "DreamActor LoRA made for this model, or any other of it (few steps, a style).",
                ),
            ],
            outputs=[
                kinds.output(io.Model, "model"),
                kinds.report_output(),
            ],
        )

    @classmethod
    def validate_inputs(cls, lora):
        return files.refusal(files.NATIVE_LORAS, lora)

    @classmethod
    def fingerprint_inputs(cls, model=None, lora=None, strength=None):
        return files.stamp(files.NATIVE_LORAS.of(lora))

    @classmethod
    def execute(cls, model, lora, strength) -> io.NodeOutput:
        from .host.native_lora import with_native_lora

        return io.NodeOutput(*with_native_lora(model, files.NATIVE_LORAS.of(lora), strength))


class DreamActorNativeFit(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="DreamActorNativeFit",
            display_name="DreamActor Native Fit",
            category=kinds.NATIVE_MENU,
            description="Brings the reference and the driving video to one size and to the rate of "
            "a MODEL of ComfyUI. Nothing is cropped or stretched: bars fill what is left.",
            search_aliases=["dreamactor", "letterbox", "resample video", "frame rate", "resize"],
            inputs=[
                _model_input("HunyuanVideo-1.5 or Wan: its rate and its own panel are taken."),
                *media_inputs(),
            ],
            outputs=fitted_outputs(),
        )

    @classmethod
    def execute(cls, model, reference, driving, fps, size, start, length) -> io.NodeOutput:
        from .host.native import native_of
        from .host.prepare import fit_media

        native = native_of(model)
        return io.NodeOutput(*fit_media(native, reference, driving, fps, size, start, length))


class DreamActorNativeConditioning(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="DreamActorNativeConditioning",
            display_name="DreamActor Conditioning",
            category=kinds.NATIVE_MENU,
            description="Places the reference beside the driving frames and gives them to a MODEL "
            "of ComfyUI as its own conditioning: HunyuanVideo-1.5, Wan I2V, Fun-InP, Wan2.2 A14B "
            "or TI2V-5B. Any sampler of ComfyUI goes on from there.",
            search_aliases=["dreamactor", "image to video", "wan", "hunyuan", "in-context"],
            inputs=[
                _model_input("HunyuanVideo-1.5 or Wan; with context windows for long videos."),
                io.Vae.Input("vae", tooltip="The VAE of the model."),
                io.Conditioning.Input("positive", tooltip="The prompt: who does what."),
                io.Conditioning.Input("negative", tooltip="What the guidance leads away from."),
                io.Image.Input(
                    "reference", tooltip="One picture, the size of the driving frames in pixels."
                ),
                io.Image.Input(
                    "driving",
                    tooltip="Frames at the model's rate and size (from DreamActor Native Fit), or "
                    "a skeleton for the pose-based variant; no more than one pass of the model "
                    "holds, unless it has context windows.",
                ),
                kinds.lead_in_input(),
                io.ClipVisionOutput.Input(
                    "clip_vision_output",
                    optional=True,
                    tooltip="The fitted reference as CLIP Vision Encode sees it: for "
                    "HunyuanVideo-1.5 and Wan 2.1. Wan 2.2 does not read it.",
                ),
                *kinds.known_inputs(),
            ],
            outputs=[
                kinds.output(io.Model, "model"),
                kinds.output(io.Conditioning, "positive"),
                kinds.output(io.Conditioning, "negative"),
                kinds.output(io.Latent, "latent"),
            ],
        )

    @classmethod
    def execute(
        cls,
        model,
        vae,
        positive,
        negative,
        reference,
        driving,
        lead_in,
        clip_vision_output=None,
        prefix=None,
        prefix_driving=None,
        scene=None,
        keep=None,
    ) -> io.NodeOutput:
        from ..dreamactor_core.composite import Known
        from .host.native import compose_native, condition

        known = Known(prefix, prefix_driving, scene, keep)
        composite = compose_native(model, reference, driving, lead_in, known)
        return io.NodeOutput(
            *condition(model, vae, positive, negative, composite, clip_vision_output)
        )


class DreamActorNativeCrop(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="DreamActorNativeCrop",
            display_name="DreamActor Native Crop",
            category=kinds.NATIVE_MENU,
            description="Cuts the result out of what the sampler gives: the left half of the "
            "latent, which then takes half the time to decode; and of decoded frames the left half "
            "without lead-in and padding, one for each driving frame.",
            search_aliases=["dreamactor", "crop latent", "crop frames", "trim"],
            inputs=[
                io.Latent.Input(
                    "latent",
                    tooltip="What a sampler made of the latent of DreamActor Conditioning, or "
                    "what another Native Crop left of it.",
                ),
                kinds.keep_lead_in_input(),
                io.Image.Input(
                    "images",
                    optional=True,
                    tooltip="All frames of that latent, from VAE Decode, in both panels or the "
                    "left one.",
                ),
            ],
            outputs=[
                kinds.output(io.Latent, "latent"),
                kinds.output(io.Image, "images", "Only when images are wired in."),
            ],
        )

    @classmethod
    def execute(cls, latent, keep_lead_in, images=None) -> io.NodeOutput:
        from comfy_execution.graph_utils import ExecutionBlocker

        from .host.native import crop_native

        latent, frames = crop_native(latent, images, keep_lead_in)
        missing = "DreamActor Native Crop has no images to crop: wire VAE Decode into it."
        return io.NodeOutput(latent, ExecutionBlocker(missing) if frames is None else frames)
