"""The side-by-side video that DreamActor-M2 reads as context (paper section 3.2, equation 2).

    frame 0             [ reference |   black    ]   the reference slot, a latent frame of its own
    frame 1..lead-1     [   blank   |   black    ]   lead-in: time to reach the first driving pose
    frame lead..T-1     [   blank   | driving t  ]

A later chunk of a long video has a known prefix in place of the lead-in:

    frame 0             [ reference |   black    ]
    frame 1..p          [ tail of the last chunk | driving of those frames ]
    frame p+1..T-1      [   blank   | driving t  ]

Frames are float32 in [0, 1], laid out (t, h, w, c), as ComfyUI passes images. The left panel is
w pixels wide, the composite 2w. `known` is 1 where a pixel is given, 0 where the model draws.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from .errors import InputError
from .geometry import padded_length
from .options import LEAD_IN_SECONDS


class Composite(NamedTuple):
    frames: Tensor  # (t, h, 2w, 3)
    known: Tensor  # (t, h, 2w, 1)
    lead: int  # frames in front of the first new driving frame: the slot with the lead-in or prefix
    length: int  # new driving frames after the lead; what lies behind them pads the last latent


class Known(NamedTuple):
    """What is known on the left beside the reference. Frames are float32 in [0, 1]."""

    prefix: Tensor | None = None  # (p, h, w, 3), the last p frames of the pass before, p = 4k
    prefix_driving: Tensor | None = None  # (p, h, w, 3), the driving frames that made them
    scene: Tensor | None = None  # (t, h, w, 3), footage beside the new driving frames, and
    keep: Tensor | None = None  # (t, h, w, 1), 1 where it must stay


class LeadIn(NamedTuple):
    """The empty driving frames in front, in which the character moves into the motion."""

    seconds: float = LEAD_IN_SECONDS  # as the LoRA was trained
    keep: bool = False  # leave them in front of the result


NOTHING = Known()
ONE_SECOND = LeadIn()


class _Lead(NamedTuple):
    """What stands in front of the new driving frames, (lead, h, w, c) each."""

    left: Tensor
    right: Tensor
    known: Tensor


def build_composite(
    reference: Tensor,
    driving: Tensor,
    *,
    lead_in: int,
    known: Known = NOTHING,
    temporal_stride: int = 4,
) -> Composite:
    """Place the reference beside the driving frames and say what is known.

    reference: (1, h, w, 3) in [0, 1].
    driving: (t, h, w, 3) in [0, 1], the new frames; the last one is held to fill a whole latent.
    lead_in: frames of the lead-in, 4k + 1 (Geometry.lead_frames); with a prefix it is not used.

    Raises InputError when sizes or lengths do not fit together.
    """
    _check_sizes(reference, driving, known)
    _check_scene(driving, known)
    lead = _lead(driving, lead_in, known, temporal_stride)
    count, length = len(lead.right), len(driving)
    tail = padded_length(length, temporal_stride) - length
    right = torch.cat([lead.right, driving, driving[-1:].expand(tail, -1, -1, -1)])
    left, mask = torch.zeros_like(right), torch.zeros_like(right[..., :1])
    left[:count], mask[:count] = lead.left, lead.known
    if known.scene is not None and known.keep is not None:
        left[count : count + length] = known.scene * known.keep
        mask[count : count + length] = known.keep
    left[0], mask[0] = reference[0], 1
    return Composite(
        frames=torch.cat([left, right], dim=2),
        known=torch.cat([mask, torch.ones_like(mask)], dim=2),
        lead=count,
        length=length,
    )


def crop_target(frames: Tensor) -> Tensor:
    """(t, h, 2w, c) -> (t, h, w, c): the panel that the model draws."""
    return frames[:, :, : frames.shape[2] // 2]


def crop_driving(frames: Tensor) -> Tensor:
    """(t, h, 2w, c) -> (t, h, w, c): the other panel, which the driver fills."""
    return frames[:, :, frames.shape[2] // 2 :]


def crop_target_latents(latents: Tensor) -> Tensor:
    """(b, c, t', h', 2w') -> (b, c, t', h', w'): the same panel before decoding, half the work."""
    return latents[..., : latents.shape[-1] // 2]


def cut_lead(frames: Tensor, composite: Composite, keep_lead_in: bool = False) -> Tensor:
    """Drop the lead and the padding: exactly one frame for each new driving frame is left."""
    return frames[0 if keep_lead_in else composite.lead : composite.lead + composite.length]


def finish_frames(frames: Tensor, composite: Composite, keep_lead_in: bool = False) -> Tensor:
    """Decoded left panels (t, h, w, 3) -> one frame for each new driving frame, and the lead if
    wanted. Scene pixels that had to stay are put back untouched.
    """
    given, kept = (cut_lead(crop_target(part).to(frames), composite) for part in composite[:2])
    drawn = torch.where(kept == 1, given, cut_lead(frames, composite))
    return torch.cat([frames[: composite.lead], drawn]) if keep_lead_in else drawn


def known_latents(known: Tensor, temporal_stride: int, height: int, width: int) -> Tensor:
    """Mask (t, h, w, 1) -> latent mask (1, 1, t', height, width) of the same meaning, 1 = known.

    h and w are multiples of the latent height and width (equal to them is fine). A latent cell is
    known only if every pixel of it is: frame 0 alone, then groups of temporal_stride frames.
    """
    mask = known[..., 0]
    t, h, w = mask.shape
    mask = mask.unflatten(1, (height, h // height)).amin(2)
    mask = mask.unflatten(2, (width, w // width)).amin(3)
    groups = mask[1:].unflatten(0, ((t - 1) // temporal_stride, temporal_stride)).amin(1)
    return torch.cat([mask[:1], groups])[None, None]


def _lead(driving: Tensor, lead_in: int, known: Known, temporal_stride: int) -> _Lead:
    """The slot of the reference, still empty, and behind it the lead-in or the prefix."""
    slot = torch.zeros_like(driving[:1])
    if known.prefix is None:
        _check_opens_a_latent("lead-in", lead_in, 1, temporal_stride)
        empty = slot.expand(lead_in, -1, -1, -1)
        return _Lead(empty, empty, torch.zeros_like(empty[..., :1]))
    prefix, drove = known.prefix, known.prefix_driving
    _check_opens_a_latent("known prefix", len(prefix), 0, temporal_stride)
    if drove is None or drove.shape != prefix.shape:
        raise InputError(
            "driving frames of the prefix",
            got=None if drove is None else tuple(drove.shape),
            need=f"{tuple(prefix.shape)}, one for each prefix frame",
            fix="Pass the driving frames that made the prefix.",
        )
    left = torch.cat([slot, prefix])
    return _Lead(left, torch.cat([slot, drove]), torch.ones_like(left[..., :1]))


def _check_sizes(reference: Tensor, driving: Tensor, known: Known) -> None:
    """All frames are as large as the driving frames, of which there is one at least."""
    panel = tuple(driving.shape[1:3])
    for name, frames in (
        ("reference", reference),
        ("prefix", known.prefix),
        ("scene", known.scene),
        ("keep mask", known.keep),
    ):
        if frames is not None and tuple(frames.shape[1:3]) != panel:
            raise InputError(
                f"{name} size (height, width)",
                got=tuple(frames.shape[1:3]),
                need=f"{panel}, the size of the driving video",
                fix="Fit both to one panel first (media.fit, or the Fit Media node).",
            )
    if driving.shape[0] == 0:
        raise InputError(
            "driving video", got="0 frames", need="at least 1", fix="Give a longer clip."
        )


def _check_scene(driving: Tensor, known: Known) -> None:
    """A scene and its mask come together, one frame for each driving frame."""
    if (known.scene is None) != (known.keep is None):
        raise InputError(
            "scene and keep mask",
            got="only one of them",
            need="both or neither",
            fix="The mask says which pixels of the scene frames stay.",
        )
    for name, frames in (("scene", known.scene), ("keep mask", known.keep)):
        if frames is not None and frames.shape[0] != driving.shape[0]:
            raise InputError(
                f"{name} length",
                got=f"{frames.shape[0]} frames",
                need=f"{driving.shape[0]}, one for each driving frame",
                fix="Cut both from the same part of the video.",
            )


def _check_opens_a_latent(name: str, frames: int, remainder: int, temporal_stride: int) -> None:
    if frames < 1 or frames % temporal_stride != remainder:
        form = f"{temporal_stride}k + 1" if remainder else f"a multiple of {temporal_stride}"
        raise InputError(
            f"{name} length",
            got=f"{frames} frames",
            need=f"{form}, at least 1, so that the first driving frame opens a latent",
            fix="Geometry.lead_frames() gives one." if remainder else "Drop the oldest frames.",
        )
