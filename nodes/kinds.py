"""The pack's own socket types, and inputs that several nodes share. Ids are for ever.

ComfyUI-Manager finds out by reading the files which pack a missing node is from: the base
`io.ComfyNode`, and `node_id` in words in an `io.Schema`, stay in each node's own class.
"""

from __future__ import annotations

from typing import Any

from comfy_api.latest import io

from ..dreamactor_core.options import PAINTERS
from .host import files

MENU = "DreamActor-M2"
LOAD_MENU = f"{MENU}/load"
PREPARE_MENU = f"{MENU}/prepare"
CONTEXT_MENU = f"{MENU}/context"
SAMPLE_MENU = f"{MENU}/sample"
RESULT_MENU = f"{MENU}/result"
NATIVE_MENU = f"{MENU}/native"

ModelType = io.Custom("DREAMACTOR_MODEL")  # host.load.Model
CompositeType = io.Custom("DREAMACTOR_COMPOSITE")  # host.context.CompositeValue
ContextType = io.Custom("DREAMACTOR_CONTEXT")  # host.context.ContextValue
Keypoints = io.Custom("POSE_KEYPOINT")  # OpenPose frames: a list of dictionaries
BoxesType = io.Custom("BOUNDING_BOX")  # of each frame a list of {"x", "y", "width", "height"}

MAX_SEED = 2**64 - 1
MAX_SECONDS = 100_000.0


def output(kind: Any, name: str, tooltip: str | None = None) -> io.Output:
    """Shown under the name that saved graphs know it by."""
    return kind.Output(name, display_name=name, tooltip=tooltip)


def model_input() -> io.Input:
    return ModelType.Input("model", tooltip="The model, from DreamActor Load Model or Load LoRA.")


def name_input(name: str, choice: files.Choice, tooltip: str, **options: Any) -> io.Input:
    """One of what lies in ComfyUI's folders."""
    return io.Combo.Input(name, options=choice.names(), tooltip=tooltip, **options)


def text_input(name: str, tooltip: str) -> io.Input:
    """Of several lines, which may stay empty."""
    return io.String.Input(name, default="", multiline=True, tooltip=tooltip)


def footage_input(name: str, what: str, optional: bool = False) -> io.Input:
    """what: begins the tooltip."""
    return io.MultiType.Input(
        name,
        types=[io.Video, io.Image],
        optional=optional,
        tooltip=f"{what}: a VIDEO (any size, rate and length), or frames as an IMAGE batch at the "
        "rate of fps.",
    )


def driving_input(optional: bool = False) -> io.Input:
    return footage_input("driving", "The motion", optional)


def guide_inputs(size: str) -> list[io.Input]:
    """reference_keypoints, reference_mask: what the reference shows. size: that of the mask."""
    return [
        Keypoints.Input(
            "reference_keypoints",
            optional=True,
            tooltip="Joints of the character in the reference, one frame of OpenPose keypoints, "
            "in place of those that the embedded model finds; Detect Pose gives a person's. Other "
            "models read the reference alone.",
        ),
        io.Mask.Input(
            "reference_mask",
            optional=True,
            tooltip=f"Where the character is in the reference, 0 to 1, {size}: 1 (white) "
            "is the character. Load Image's mask of a transparent picture is the other way round: "
            "put Invert Mask between.",
        ),
    ]


def painting_inputs() -> list[io.Input]:
    """painter, background, scene: who draws, and over what."""
    return [
        io.Combo.Input(
            "painter",
            options=[*PAINTERS],
            optional=True,
            default="auto",
            tooltip="Name of who draws. network: the model. cutout: pieces of the reference are "
            "turned and moved, as fine as it is, 24 to 30 times a second. auto: cutout where the "
            "embedded model is told joints and outline of the character, or finds a person's.",
        ),
        io.String.Input(
            "background",
            optional=True,
            default="reference",
            tooltip="Name of what is behind a character that is cut out: reference (its picture "
            "without it), transparent (a WebM, and its mask), or a colour such as #00B140.",
        ),
        footage_input("scene", "In the place of background", optional=True),
    ]


def reading_inputs() -> list[io.Input]:
    """strict, driving_person, download: how the embedded model reads reference and driver."""
    return [
        io.Boolean.Input(
            "strict",
            optional=True,
            default=False,
            tooltip="Where the embedded model recognises no body in the reference or the driver: "
            "an error instead of a reference that is moved as a whole; off or on.",
        ),
        io.Int.Input(
            "driving_person",
            optional=True,
            default=0,
            min=0,
            max=32,
            tooltip="Number of the person who is followed, of several in the driving video: 1 is "
            "the largest and longest. 0: that one, or whoever relieves him. Only the embedded "
            "model reads it.",
        ),
        io.Boolean.Input(
            "download",
            optional=True,
            default=False,
            tooltip="Fetch BlazePose (36 MB), once, from pip's package index, so that the embedded "
            "model knows people in pictures and clips; off or on. Off: nothing is ever fetched.",
        ),
    ]


def fps_input(default: float = 8.0, optional: bool = False) -> io.Input:
    return io.Float.Input(
        "fps",
        default=default,
        optional=optional,
        min=0.1,
        max=240.0,
        step=0.01,
        tooltip="Rate of IMAGE frames, in frames per second. A VIDEO brings its own: then this is "
        "not read.",
    )


def part_inputs(optional: bool = False) -> list[io.Input]:
    """size, start, length: how large, and of which part of the driving video."""
    return [
        io.Int.Input(
            "size",
            optional=optional,
            default=0,
            min=0,
            max=4096,
            step=16,
            tooltip="Side in pixels of a square as large as the panel, which takes the "
            "reference's aspect; a multiple of 16. 0: the model's own panel.",
        ),
        _seconds("start", optional, "Where the driving video is entered, in seconds."),
        _seconds("length", optional, "How much of it is used, in seconds. 0: to its end."),
    ]


def _seconds(name: str, optional: bool, tooltip: str) -> io.Input:
    return io.Float.Input(
        name,
        optional=optional,
        default=0.0,
        min=0.0,
        max=MAX_SECONDS,
        step=0.01,
        tooltip=tooltip,
    )


STRENGTH = "Strength, a factor: 1 as trained, 0 off."


def lora_inputs(
    choice: files.Choice, tooltip: str, strength_tooltip: str = STRENGTH
) -> list[io.Input]:
    """lora, strength."""
    return [
        name_input("lora", choice, tooltip),
        io.Float.Input(
            "strength",
            default=1.0,
            min=-4.0,
            max=4.0,
            step=0.05,
            tooltip=strength_tooltip,
        ),
    ]


def lead_in_input() -> io.Input:
    return io.Float.Input(
        "lead_in",
        default=-1.0,
        min=-1.0,
        max=60.0,
        step=0.25,
        tooltip="Time to move from the reference into the motion, in seconds. Below 0: as the "
        "model's LoRA was trained, which is best. Not read when a prefix is given.",
    )


def known_inputs() -> list[io.Input]:
    """prefix, prefix_driving, scene, keep: what is known beside the reference and the driver."""
    return [
        io.Image.Input(
            "prefix",
            optional=True,
            tooltip="The last result frames of an earlier piece, a multiple of 4 of them "
            "(8 is good): the motion goes on from there.",
        ),
        io.Image.Input(
            "prefix_driving",
            optional=True,
            tooltip="The driving frames of the prefix, as many frames as it has.",
        ),
        io.Image.Input(
            "scene",
            optional=True,
            tooltip="Footage to keep, one frame for each driving frame and of their size "
            "in pixels. Needs keep.",
        ),
        io.Mask.Input(
            "keep",
            optional=True,
            tooltip="Where the scene stays, 0 to 1: 1 (white) keeps, 0 (black) is drawn. "
            "One mask for each driving frame, or one for all.",
        ),
    ]


NOISE = "Number of the noise to start from: the same seed, the same video. The embedded model does "
NOISE += "not read it, and a new seed runs nothing there."


def seed_input(tooltip: str = NOISE) -> io.Input:
    return io.Int.Input(
        "seed", default=0, min=0, max=MAX_SEED, control_after_generate=True, tooltip=tooltip
    )


def prompt_input() -> io.Input:
    return text_input(
        "prompt",
        "What the character looks like and does, in one sentence of plain text; may stay "
        "empty. The embedded model reads the first 95 bytes, and hardly heeds them.",
    )


def keep_lead_in_input() -> io.Input:
    return io.Boolean.Input(
        "keep_lead_in",
        default=False,
        tooltip="Keep the frames in which the character moves from the reference into "
        "the motion; off or on.",
    )


def report_output() -> io.Output:
    return output(io.String, "report", "Layers patched, in words.")


def sampling_inputs() -> list[io.Input]:
    """steps, cfg, driving_cfg; where they are 0, the first two are the model's own."""
    return [
        io.Int.Input(
            "steps",
            default=0,
            min=0,
            max=200,
            tooltip="Steps from noise to video, a number. 0: the model's own, 40 to 50 for large "
            "ones. The embedded model answers at once: it does not read this.",
        ),
        _guidance(
            "cfg",
            0.0,
            "Text guidance, a factor: 1 is off (and twice as fast), 3 to 7 follows the prompt more "
            "closely. 0: the model's own.",
        ),
        _guidance(
            "driving_cfg",
            1.0,
            "Motion guidance, a factor: 1 is off, above 1 the driving video is followed more "
            "closely than without it. Costs one more pass of the network a step.",
            advanced=True,
        ),
    ]


def _guidance(name: str, default: float, tooltip: str, **options: Any) -> io.Input:
    return io.Float.Input(
        name, default=default, min=-20.0, max=20.0, step=0.1, tooltip=tooltip, **options
    )
