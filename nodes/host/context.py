"""What the network is told: reference and driver side by side, what is known, and their latents."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace

from comfy.model_management import intermediate_device
from torch import Tensor

from ...dreamactor_core.animate import Encoded, encode_composite
from ...dreamactor_core.backbones import Context
from ...dreamactor_core.composite import (
    NOTHING,
    Composite,
    Known,
    build_composite,
    crop_driving,
    crop_target,
    cut_lead,
)
from ...dreamactor_core.errors import InputError
from ...dreamactor_core.geometry import Geometry
from ...dreamactor_core.media import check_frames, write_video
from ...dreamactor_core.pose.guides import Guides, read_guides
from .guides import NO_GUIDES, GuideInputs
from .load import CODEC, Model, ready, tries
from .video import temp_file

logger = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class CompositeValue:
    """What DREAMACTOR_COMPOSITE carries."""

    composite: Composite
    geometry: Geometry
    base: str  # name of the model it was made for
    lead_in_seconds: float  # as the model's LoRAs were trained
    plain: bool = True  # nothing is known but reference and driver
    guides: Guides | None = None  # of the reference

    @property
    def reference(self) -> Tensor:
        """(1, h, w, 3), as it lies in the composite."""
        return crop_target(self.composite.frames[:1])

    @property
    def driving(self) -> Tensor:
        """(t, h, w, 3), as they lie in the composite."""
        return cut_lead(crop_driving(self.composite.frames), self.composite)


@dataclass(frozen=True, eq=False)
class ContextValue:
    """What DREAMACTOR_CONTEXT carries."""

    encoded: Encoded
    base: str
    guides: Guides | None = None


def check_staged(model: Model) -> None:
    """Raise InputError for a model that runs whole or not at all."""
    if model.animator.backbone is None:
        raise InputError(
            "model",
            got=model.name,
            need="one that reads a composite",
            fix="Wire it into DreamActor Animate, which runs it whole.",
        )


def compose_value(
    model: Model, reference: Tensor, driving: Tensor, given: GuideInputs = NO_GUIDES
) -> CompositeValue:
    """Raises InputError when the two do not fit together, or not into one pass of the model, and
    for guides that are not of the reference."""
    geometry, lead_in = model.geometry, model.lead_in_seconds
    composite = build_checked(*checked_pair(reference, driving), geometry, lead_in)
    guides = read_guides(given.pose(), given.mask, *reference.shape[1:3])
    value = CompositeValue(composite, geometry, model.name, lead_in, guides=guides)
    return _in_one_pass(value)


def mask_motion(value: CompositeValue, lead_in: float, known: Known) -> CompositeValue:
    """The same reference and driving frames with another lead-in, prefix or scene.

    lead_in: seconds; below 0 that of the composite's model. known.keep: MASK (t, h, w) or
    (1, h, w), 1 = stays. Raises InputError as build_composite does.
    """
    own = value.lead_in_seconds
    if lead_in < 0:
        lead_in = own
    elif lead_in != own and known.prefix is None:
        logger.warning("A lead-in of %g s; the model was trained with one of %g s.", lead_in, own)
    nothing = all(part is None for part in known)
    if nothing and value.plain and value.geometry.lead_frames(lead_in) == value.composite.lead:
        return value
    composite = build_checked(value.reference, value.driving, value.geometry, lead_in, known)
    return _in_one_pass(replace(value, composite=composite, plain=nothing))


def mask_preview(value: CompositeValue) -> dict:
    """The composite and its mask (white = known) as two clips."""
    composite, files = value.composite, []
    for frames in (composite.frames, composite.known.expand(-1, -1, -1, 3)):
        file = temp_file(".mp4")
        write_video(file.path, frames, value.geometry.fps)
        files.append(file.view)
    shown = {"composite": files[0], "mask": files[1]}
    return {"dreamactor_mask": [shown | {"lead": composite.lead, "length": composite.length}]}


def checked_pair(reference: Tensor, driving: Tensor) -> tuple[Tensor, Tensor]:
    """Both on the CPU. Raises InputError for what is no picture, or no motion."""
    reference, driving = _images("reference", reference), _images("driving frames", driving)
    if len(reference) != 1 or len(driving) < 2:
        raise InputError(
            "reference and driving frames",
            got=f"{len(reference)} and {len(driving)}",
            need="1 picture and at least 2 frames, for one frame holds no motion",
            fix="Pick one picture of the batch as reference, and drive with a video.",
        )
    return reference, driving


def build_checked(
    reference: Tensor,
    driving: Tensor,
    geometry: Geometry,
    lead_in_seconds: float,
    known: Known = NOTHING,
) -> Composite:
    """build_composite for what nodes are given; known.keep is a MASK. Raises as it does."""
    keep = known.keep
    if keep is not None:
        length = len(driving) if len(keep) == 1 else len(keep)
        keep = keep.clamp(0, 1)[..., None].expand(*keep.shape, 3)
        check_frames("keep", keep)
        keep = keep.cpu()[..., :1].expand(length, -1, -1, -1)
    names = ("prefix", "prefix_driving", "scene")
    images = {name: _images(name, getattr(known, name)) for name in names}
    return build_composite(
        reference,
        driving,
        lead_in=geometry.lead_frames(lead_in_seconds),
        known=known._replace(keep=keep, **images),
        temporal_stride=geometry.temporal_stride,
    )


def encode(model: Model, value: CompositeValue) -> ContextValue:
    """Raises InputError for a composite that was made for another model."""
    check_base("composite", value.base, model)

    for attempt in tries():
        with attempt:
            backbone = ready(model, CODEC, pixels_of(value.composite)).backbone
            composite, context = encode_composite(backbone, value.composite)
    encoded = Encoded(composite, moved(context, intermediate_device()))
    return ContextValue(encoded, model.name, value.guides)


def _images(what: str, frames: Tensor | None) -> Tensor | None:
    """The same frames on the CPU. Raises InputError for an empty or broken batch."""
    if frames is not None:
        check_frames(what, frames)
        frames = frames.cpu()
    return frames


def _in_one_pass(value: CompositeValue) -> CompositeValue:
    composite, geometry = value.composite, value.geometry
    fix = "Set length in Fit Media to {seconds}, shorten lead_in, or use DreamActor Animate, which "
    geometry.check_pass(composite.length, composite.lead, fix + "goes on piece by piece.")
    geometry.check_panel(*value.reference.shape[1:3])
    return value


def check_base(what: str, base: str, model: Model) -> None:
    if base != model.name:
        raise InputError(
            what,
            got=f"one made for the model {base!r}",
            need=f"one made for {model.name!r}, the model that is wired in here",
            fix="Wire the same Load Model into every node of the chain.",
        )


def moved(context: Context, device: object) -> Context:
    return Context(*(part.to(device) for part in context))


def pixels_of(composite: Composite) -> int:
    return composite.frames[..., 0].numel()
