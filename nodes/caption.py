"""The words: typed by hand, or written by a network that looks at the pictures."""

from __future__ import annotations

from comfy_api.latest import io

from ..dreamactor_core.options import CAPTIONER_NAME, QUANTIZATIONS
from . import kinds
from .host import files

TYPED, LOCAL, ENDPOINT = "typed by hand", "local model", "endpoint"  # captioners


def _texts() -> list[io.Input]:
    """What may be typed."""
    return [
        kinds.text_input("motion", "What is done, as text: 'is waving both arms'."),
        kinds.text_input("appearance", "Who does it, as text: 'a red bird with a crown'."),
        kinds.text_input(
            "fused",
            "Both in one text, in terms of the character's own body: 'a red bird "
            "with a crown is waving both wings'. Empty: appearance and motion are joined.",
        ),
    ]


def _questions() -> list[io.Input]:
    """Who is asked, and about what."""
    return [
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
        kinds.driving_input(optional=True),
        kinds.fps_input(optional=True),
    ]


def _ways_to_ask() -> list[io.Input]:
    """How each kind of captioner is reached."""
    return [
        kinds.name_input(
            "local_model",
            files.CAPTIONERS,
            "Name of the local model (about 9 GB): the usual one, or a folder "
            "below models/dreamactor with a model that answers about pictures.",
            optional=True,
        ),
        io.Combo.Input(
            "quantize",
            options=[*QUANTIZATIONS],
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
    ]


class DreamActorCaption(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="DreamActorCaption",
            display_name="DreamActor Caption",
            category=kinds.CONTEXT_MENU,
            description="The target-oriented text: who it is and what it does, fused into one "
            "caption. Write the fused text yourself, leave it empty to have the two joined, or let "
            "a captioner look at the pictures and write what you have left empty.",
            search_aliases=["dreamactor", "prompt", "text", "description", "vlm", "qwen"],
            inputs=[
                *_texts(),
                *_questions(),
                *_ways_to_ask(),
                io.Clip.Input(
                    "clip",
                    optional=True,
                    tooltip="A text encoder of ComfyUI's own that can write and see pictures, such "
                    "as Qwen3-VL or Gemma 3: it is asked, whatever captioner says, as the node "
                    "Generate Text would. Needs a ComfyUI that has that node.",
                ),
            ],
            outputs=[
                kinds.output(io.String, "prompt"),
                kinds.output(io.String, "motion", "As typed, or as the captioner says."),
                kinds.output(io.String, "appearance", "As typed, or as the captioner says."),
                kinds.output(io.String, "note", "What the captioner did not do well."),
            ],
        )

    @classmethod
    def validate_inputs(cls, local_model=None):
        return files.refusal(files.CAPTIONERS, local_model)

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
        clip=None,
    ) -> io.NodeOutput:
        motion, appearance, fused = motion.strip(), appearance.strip(), fused.strip()
        if clip is None and captioner in (None, TYPED):
            joined = " ".join(filter(None, (appearance, motion)))
            return io.NodeOutput(fused or joined, motion, appearance, "")
        from ..dreamactor_core.caption.describe import Typed
        from .host.caption import Endpoint, Local, TextEncoder, caption

        who: Endpoint | Local | TextEncoder
        if clip is not None:
            who = TextEncoder(clip)
        elif captioner == LOCAL:
            source = files.CAPTIONERS.of(local_model or CAPTIONER_NAME)
            who = Local(source, quantize or "none", bool(download))
        else:
            who = Endpoint(url or "", endpoint_model or "", timeout or 120.0)
        made, ui = caption(who, Typed(motion, appearance, fused), reference, driving, fps or 8.0)
        return io.NodeOutput(made.text, made.motion, made.appearance, "\n".join(made.notes), ui=ui)
