"""The kinds of Wan-Animate, by what the index of a folder says. Nothing heavy here."""

from __future__ import annotations

import json
from pathlib import Path
from typing import NamedTuple

from ..errors import InputError
from ..geometry import Geometry
from ..options import Defaults
from ..weight_files.files import INDEX
from . import Task

MODULAR_INDEX = "modular_model_index.json"


class WanAnimateKind(NamedTuple):
    name: str
    variant: str  # "pose-based" reads a skeleton and the face, "end-to-end" the driver itself
    network: str  # class of the transformer
    geometry: Geometry  # num_frames: of a segment; panel: of the usual area, in no one's shape
    defaults: Defaults
    device_bytes: int  # a pixel and frame of the clip, of those that lie on the device


def _geometry(fps: float, num_frames: int, side: int) -> Geometry:
    return Geometry(
        latent_channels=16, spatial_stride=8, size_multiple=16, temporal_stride=4, fps=fps,
        num_frames=num_frames, panel=(side, side),
    )  # fmt: skip


# Steps and guidance are those of diffusers' pipelines: WanAnimatePipeline.__call__, and steps and
# guiders in modular_pipelines/wan_animate_2. The shift is in the scheduler of each folder.
_SECOND = WanAnimateKind(
    "wan-animate-2", "end-to-end", "WanAnimate2Transformer3DModel", _geometry(24.0, 81, 720),
    Defaults(40, 3.0, follows_aspect=True), 12,
)  # fmt: skip
WAN_ANIMATE_KINDS = {  # by the pipeline's class
    "WanAnimatePipeline": WanAnimateKind(
        "wan2.2-animate",
        "pose-based",
        "WanAnimateTransformer3DModel",
        _geometry(30.0, 77, 960),
        Defaults(20, 1.0, follows_aspect=True),
        48,
    ),
    "WanAnimate2ModularPipeline": _SECOND,
    "WanAnimate2DistilledModularPipeline": _SECOND._replace(
        name="wan-animate-2-distilled", defaults=Defaults(10, 1.0, follows_aspect=True)
    ),
}


def wan_animate_kind(folder: str | Path) -> WanAnimateKind | None:
    """By what the folder's indexes say, whatever it is called. None for anything else."""
    for index in (MODULAR_INDEX, INDEX):
        try:
            told = json.loads((Path(folder) / index).read_text(encoding="utf-8"))
            if kind := WAN_ANIMATE_KINDS.get(told["_class_name"]):
                return kind
        except (OSError, ValueError, LookupError, TypeError, RecursionError):
            continue
    return None


def check_task(kind: WanAnimateKind, task: Task) -> None:
    """Raise InputError for what Wan-Animate cannot do."""
    if task.variant != kind.variant:
        got, need = "keypoints", "none: it looks at the driving video itself"
        fix = "Leave the keypoints away: end-to-end is its variant."
        if kind.variant == "pose-based":
            got, need = "no keypoints", "the driver's: it reads a drawn skeleton and the face"
            fix = "Give the driver's keypoints as {option}: DreamActor Detect Pose finds them in "
            fix += "ComfyUI, and `python -m dreamactor_core pose` (then choose the variant too)."
        raise InputError(f"model {kind.name}", got=got, need=need, fix=fix, option="pose")
    settings = task.settings
    shift = 1.0 if settings.shift is None else settings.shift
    guidance = 1.0 if settings.guidance_scale is None else settings.guidance_scale
    asked: tuple[tuple[str, object, object], ...] = (
        ("lead-in", "one to keep" if task.keep_lead_in else "none", "none"),
        ("motion guidance", settings.driving_guidance_scale, 1.0),
        ("shift", shift, 1.0),
        ("sampler", settings.sampler, "euler"),
        ("text guidance", guidance, max(1.0, guidance)),
    )
    for what, given, wanted in asked:
        if given != wanted:
            raise InputError(
                f"{what} of {kind.name}",
                got=given,
                need=f"{wanted}, the default",
                fix="It knows text guidance above 1 alone, and samples by its own schedule.",
            )
