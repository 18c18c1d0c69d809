"""What the network is told: the side-by-side composite, its mask, the words, the latents."""

from __future__ import annotations

from comfy_api.latest import io

from .host import files
from .kinds import (
    MENU,
    Composite,
    Context,
    driving_input,
    fps_input,
    guide_inputs,
    known_inputs,
    lead_in_input,
    model_input,
)

CATEGORY = f"{MENU}/context"
TYPED, LOCAL, ENDPOINT = "typed by hand", "local model", "endpoint"  # captioners


class DreamActorComposite(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="DreamActorComposite",
            display_name="DreamActor Composite",
            category=CATEGORY,
            description="Places the reference beside the driving frames: the in-context input of "
            "the method, with the lead-in in which the character moves into the motion.",
            search_aliases=["dreamactor", "in-context", "side by side", "diptych"],
            inputs=[
                model_input(),
                io.Image.Input(
                    "reference", tooltip="One picture, the size of the driving frames in pixels."
                ),
                io.Image.Input(
                    "driving",
                    tooltip="Frames at the model's rate and size (from DreamActor Fit Media), or "
                    "a skeleton for the pose-based variant; no more than one pass of it holds.",
                ),
                *guide_inputs("of the reference's aspect in pixels"),
            ],
            outputs=[
                io.Image.Output(
                    "composite", display_name="composite", tooltip="To look at: both panels."
                ),
                Composite.Output("dreamactor_composite", display_name="dreamactor_composite"),
            ],
        )

    @classmethod
    def execute(
        cls, model, reference, driving, reference_keypoints=None, reference_mask=None
    ) -> io.NodeOutput:
        from .host.guides import GuideInputs
        from .host.stages import check_staged, compose

        check_staged(model)
        guides = GuideInputs(reference_keypoints, reference_mask)
        value = compose(model, reference, driving, guides)
        return io.NodeOutput(value.composite.frames, value)


class DreamActorMotionMask(io.ComfyNode):
    # From 0.19 on the host shows what the node shows when its result comes from the cache, too.
    HAS_INTERMEDIATE_OUTPUT = True

    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="DreamActorMotionMask",
            display_name="DreamActor Motion Mask",
            category=CATEGORY,
            description="Says what is known and what the model must draw: the length of the "
            "lead-in, the end of an earlier piece to go on from, or footage to keep around the "
            "character. Replaces what an earlier Motion Mask said.",
            search_aliases=["dreamactor", "known mask", "inpaint", "replace character", "extend"],
            inputs=[
                Composite.Input("composite", tooltip="From DreamActor Composite."),
                lead_in_input(),
                *known_inputs(),
            ],
            outputs=[
                Composite.Output("composite", display_name="composite"),
                io.Mask.Output(
                    "mask", display_name="mask", tooltip="To look at: white is known, black drawn."
                ),
                io.Image.Output(
                    "image", display_name="image", tooltip="To look at: both panels, as masked."
                ),
            ],
        )

    @classmethod
    def execute(
        cls, composite, lead_in, prefix=None, prefix_driving=None, scene=None, keep=None
    ) -> io.NodeOutput:
        from ..dreamactor_core.composite import Known
        from .host.preview import mask_preview
        from .host.stages import mask_motion

        value = mask_motion(composite, lead_in, Known(prefix, prefix_driving, scene, keep))
        frames, known = value.composite[:2]
        return io.NodeOutput(value, known[..., 0], frames, ui=mask_preview(value))


class DreamActorCaption(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="DreamActorCaption",
            display_name="DreamActor Caption",
            category=CATEGORY,
            description="The target-oriented text: who it is and what it does, fused into one "
            "caption. Write the fused text yourself, leave it empty to have the two joined, or let "
            "a captioner look at the pictures and write what you have left empty.",
            search_aliases=["dreamactor", "prompt", "text", "description", "vlm", "qwen"],
            inputs=[
                io.String.Input(
                    "motion",
                    default="",
                    multiline=True,
                    tooltip="What is done, as text: 'is waving both arms'.",
                ),
                io.String.Input(
                    "appearance",
                    default="",
                    multiline=True,
                    tooltip="Who does it, as text: 'a red bird with a crown'.",
                ),
                io.String.Input(
                    "fused",
                    default="",
                    multiline=True,
                    tooltip="Both in one text, in terms of the character's own body: 'a red bird "
                    "with a crown is waving both wings'. Empty: appearance and motion are joined.",
                ),
                io.Combo.Input(
                    "captioner",
                    options=[TYPED, LOCAL, ENDPOINT],
                    default=TYPED,
                    optional=True,
                    tooltip="Who writes the texts that you leave empty. typed by hand: nobody; "
                    "local model: a network on this machine; endpoint: an OpenAI-compatible server "
                    "(Ollama, LM Studio, vLLM, a hosted one), which then sees the pictures.",
                ),
                io.Image.Input(
                    "reference",
                    optional=True,
                    tooltip="The character, for a captioner to describe; one picture of any size.",
                ),
                driving_input(optional=True),
                fps_input(optional=True),
                io.Combo.Input(
                    "local_model",
                    options=files.captioner_names(),
                    optional=True,
                    tooltip="Name of the local model (about 9 GB): the usual one, or a folder "
                    "below models/dreamactor with a model that answers about pictures.",
                ),
                io.Combo.Input(
                    "quantize",
                    options=["none", "4bit", "8bit"],
                    default="none",
                    optional=True,
                    advanced=True,
                    tooltip="Bits of a weight of the local model, for small GPUs; needs the "
                    "package bitsandbytes.",
                ),
                io.Boolean.Input(
                    "download",
                    default=False,
                    optional=True,
                    tooltip="Fetch the usual local model from huggingface.co if it is not on this "
                    "machine, once; off or on. Off: nothing is ever fetched.",
                ),
                io.String.Input(
                    "endpoint_model",
                    default="qwen3-vl",
                    optional=True,
                    tooltip="Name of the endpoint's model, as its server calls it.",
                ),
                io.String.Input(
                    "url",
                    default="",
                    optional=True,
                    tooltip="Address of the endpoint, up to /v1. Empty: the one in ComfyUI's "
                    "settings (or DREAMACTOR_API_URL), else Ollama on this machine. Never write a "
                    "key into a node: it belongs into the settings too, or DREAMACTOR_API_KEY.",
                ),
                io.Float.Input(
                    "timeout",
                    default=120.0,
                    min=1.0,
                    max=3600.0,
                    step=1.0,
                    optional=True,
                    advanced=True,
                    tooltip="How long to wait for an answer of the endpoint, in seconds.",
                ),
            ],
            outputs=[
                io.String.Output("prompt", display_name="prompt"),
                io.String.Output(
                    "motion", display_name="motion", tooltip="As typed, or as the captioner says."
                ),
                io.String.Output(
                    "appearance",
                    display_name="appearance",
                    tooltip="As typed, or as the captioner says.",
                ),
                io.String.Output(
                    "note", display_name="note", tooltip="What the captioner did not do well."
                ),
            ],
        )

    @classmethod
    def validate_inputs(cls, local_model=None):
        return files.refusal(files.captioner_source, local_model)

    @classmethod
    def execute(
        cls,
        motion,
        appearance,
        fused,
        captioner=None,
        reference=None,
        driving=None,
        fps=None,
        local_model=None,
        quantize=None,
        download=None,
        endpoint_model=None,
        url=None,
        timeout=None,
    ) -> io.NodeOutput:
        motion, appearance, fused = motion.strip(), appearance.strip(), fused.strip()
        if captioner in (None, TYPED):
            joined = " ".join(filter(None, (appearance, motion)))
            return io.NodeOutput(fused or joined, motion, appearance, "")
        from ..dreamactor_core.caption.describe import Typed
        from .host.caption import Endpoint, Local, caption

        if captioner == LOCAL:
            source = files.captioner_source(local_model or files.MLLM)
            who = Local(source, quantize or "none", bool(download))
        else:
            who = Endpoint(url or "", endpoint_model or "", timeout or 120.0)
        made, ui = caption(who, Typed(motion, appearance, fused), reference, driving, fps or 8.0)
        return io.NodeOutput(made.text, made.motion, made.appearance, "\n".join(made.notes), ui=ui)


class DreamActorEncode(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="DreamActorEncode",
            display_name="DreamActor Encode",
            category=CATEGORY,
            description="Turns the composite into the latents and the mask that the network reads.",
            search_aliases=["dreamactor", "vae encode", "conditioning"],
            inputs=[
                model_input(),
                Composite.Input(
                    "composite", tooltip="From DreamActor Composite or DreamActor Motion Mask."
                ),
            ],
            outputs=[Context.Output("context", display_name="context")],
        )

    @classmethod
    def execute(cls, model, composite) -> io.NodeOutput:
        from .host.stages import encode

        return io.NodeOutput(encode(model, composite))
