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

import math
from typing import NamedTuple

import torch
from torch import Tensor

from .errors import InputError


class Composite(NamedTuple):
    frames: Tensor  # (t, h, 2w, 3)
    known: Tensor  # (t, h, 2w, 1)
    lead: int  # frames in front of the first new driving frame: the slot with the lead-in or prefix
    length: int  # new driving frames after the lead; what lies behind them pads the last latent


def lead_in_frames(fps: float, seconds: float = 1.0, temporal_stride: int = 4) -> int:
    """Frames of the lead-in, 4k + 1 of them, so that the first driving frame opens a latent.

    25 at 24 fps, 17 at 16 fps, 9 at 8 fps (paper section 5.1: one second).
    """
    return temporal_stride * round(fps * seconds / temporal_stride) + 1


def padded_length(num_frames: int, temporal_stride: int = 4) -> int:
    """The least whole number of latent groups that holds num_frames, in frames."""
    return temporal_stride * math.ceil(num_frames / temporal_stride)


def build_composite(
    reference: Tensor,
    driving: Tensor,
    *,
    lead_in: int,
    prefix: Tensor | None = None,
    prefix_driving: Tensor | None = None,
    scene: Tensor | None = None,
    keep: Tensor | None = None,
    temporal_stride: int = 4,
) -> Composite:
    """Place the reference beside the driving frames and say what is known.

    reference: (1, h, w, 3) in [0, 1].
    driving: (t, h, w, 3) in [0, 1], the new frames; the last one is held to fill a whole latent.
    lead_in: frames of the lead-in, 4k + 1 (see lead_in_frames); with a prefix it is not used.
    prefix: (p, h, w, 3), the last p frames of the previous chunk, p a multiple of 4.
    prefix_driving: (p, h, w, 3), the driving frames of the prefix.
    scene, keep: (t, h, w, 3) and (t, h, w, 1), pixels of the original footage that must stay where
        keep is 1. They sit on the left panel beside the new driving frames.

    Raises InputError when sizes or lengths do not fit together.
    """
    panel = tuple(driving.shape[1:3])
    for name, frames in (
        ("reference", reference),
        ("prefix", prefix),
        ("scene", scene),
        ("keep mask", keep),
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
    if (scene is None) != (keep is None):
        raise InputError(
            "scene and keep mask",
            got="only one of them",
            need="both or neither",
            fix="The mask says which pixels of the scene frames stay.",
        )
    for name, frames in (("scene", scene), ("keep mask", keep)):
        if frames is not None and frames.shape[0] != driving.shape[0]:
            raise InputError(
                f"{name} length",
                got=f"{frames.shape[0]} frames",
                need=f"{driving.shape[0]}, one for each driving frame",
                fix="Cut both from the same part of the video.",
            )

    length = driving.shape[0]
    tail = padded_length(length, temporal_stride) - length
    if prefix is None:
        _check_opens_a_latent("lead-in", lead_in, 1, temporal_stride)
        lead = lead_in
        before = torch.zeros_like(driving[:1]).expand(lead, -1, -1, -1)
        left_before, known_before = torch.zeros_like(before), torch.zeros_like(before[..., :1])
    else:
        _check_opens_a_latent("known prefix", prefix.shape[0], 0, temporal_stride)
        if prefix_driving is None or prefix_driving.shape != prefix.shape:
            raise InputError(
                "driving frames of the prefix",
                got=None if prefix_driving is None else tuple(prefix_driving.shape),
                need=f"{tuple(prefix.shape)}, one for each prefix frame",
                fix="Pass the driving frames that made the prefix.",
            )
        lead = 1 + prefix.shape[0]
        before = torch.cat([torch.zeros_like(driving[:1]), prefix_driving])
        left_before = torch.cat([torch.zeros_like(driving[:1]), prefix])
        known_before = torch.ones_like(left_before[..., :1])

    right = torch.cat([before, driving, driving[-1:].expand(tail, -1, -1, -1)])
    left = torch.zeros_like(right)
    known = torch.zeros_like(right[..., :1])
    left[:lead], known[:lead] = left_before, known_before
    if scene is not None:
        left[lead : lead + length] = scene * keep
        known[lead : lead + length] = keep
    left[0], known[0] = reference[0], 1
    return Composite(
        frames=torch.cat([left, right], dim=2),
        known=torch.cat([known, torch.ones_like(known)], dim=2),
        lead=lead,
        length=length,
    )


def crop_target(frames: Tensor) -> Tensor:
    """(t, h, 2w, c) -> (t, h, w, c): the panel that the model draws."""
    return frames[:, :, : frames.shape[2] // 2]


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


def _check_opens_a_latent(name: str, frames: int, remainder: int, temporal_stride: int) -> None:
    if frames < 1 or frames % temporal_stride != remainder:
        form = f"{temporal_stride}k + 1" if remainder else f"a multiple of {temporal_stride}"
        raise InputError(
            f"{name} length",
            got=f"{frames} frames",
            need=f"{form}, at least 1, so that the first driving frame opens a latent",
            fix="lead_in_frames() gives one." if remainder else "Drop the oldest frames.",
        )
