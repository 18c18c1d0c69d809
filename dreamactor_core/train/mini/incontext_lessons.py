"""In what order the foundation of mini-incontext learns: copying first, then reading.

    copy        a clip beside itself, in its place
    moved       the same, moved, stretched and tinted a little
    map         beside its own pieces, in the colours of pose pictures, in their place
    posed       beside its own pose, in its place
    moved-map   as map, moved and stretched, or made as large as the panel
    moved-pose  as posed, the same: whose body it is to be put on, and where, the reference tells
    varied      beside its own pose with other bones
    styles      beside nothing or itself in another style, see incontext_tasks

All are diptychs of the same clip. Each step is one lesson; what was learned before stays in.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from ...mini.codec import BlockCodec
from ...mini.incontext import DRAWN_TIMES
from ...pose.draw import LIMBS
from ...pose.skeletons import FEET
from ...skeleton import ANKLE, FOOT, HEAD, LIMB_JOINTS, NECK, NOSE, PARTS, TORSO
from .incontext_pool import Rows
from .incontext_tasks import (
    CompositeBatch,
    behind_lead_in,
    compose_panels,
    copying_batch,
    foundation_batch,
    frame_boxes,
    move_and_tint,
    pose_batch,
    random_window,
    silence_lead_in,
    to_panel,
    warp,
)

LESSONS = ("copy", "moved", "map", "posed", "moved-map", "moved-pose", "varied", "styles")
ON_BLACK = ("map", "posed", "moved-map", "moved-pose", "varied")  # what drives
# Shares of the lessons: that is for copying alone; when every lesson has been met.
COPYING, ALL_MET = 0.1, 0.4
SHARES_OF_STEPS = {  # when such a share of the lessons is over; between them they go over evenly
    0.00: (1.00, 0.00, 0.00, 0.00, 0.00, 0.00, 0.00, 0.00),
    COPYING: (1.00, 0.00, 0.00, 0.00, 0.00, 0.00, 0.00, 0.00),
    0.15: (0.25, 0.15, 0.35, 0.20, 0.05, 0.00, 0.00, 0.00),
    ALL_MET: (0.06, 0.06, 0.20, 0.20, 0.16, 0.12, 0.10, 0.10),
    1.00: (0.02, 0.03, 0.06, 0.10, 0.15, 0.18, 0.26, 0.20),
}
PAIRS_OF_TIMES = ((0, 3), (0, 4))  # the reference's latent frame and one of those driven
LONG_SHARES = ((0.3, 0.6, 1.0), (0.0, 0.25, 0.6))  # of the lessons; of whole passes


def lesson_shares(share: float) -> np.ndarray:
    """(8,) of the steps, in the order of LESSONS, when such a share of the lessons is over."""
    table = np.array([*SHARES_OF_STEPS.values()])
    return np.array([np.interp(share, [*SHARES_OF_STEPS], column) for column in table.T])


def lesson_at(rng: np.random.Generator, share: float) -> str:
    return str(rng.choice(LESSONS, p=lesson_shares(share)))


def foundation_times(rng: np.random.Generator, share: float, two_frames: bool) -> tuple[int, ...]:
    """Latent frames of a step when such a share of the lessons is over. two_frames: the reference's
    and one more, later all that are drawn; else all from the first step on."""
    if two_frames and rng.random() >= np.interp(share, *LONG_SHARES):
        return PAIRS_OF_TIMES[rng.integers(2)]
    return DRAWN_TIMES


def lesson_batch(
    lesson: str, codec: BlockCodec, rows: Rows, generator: torch.Generator
) -> CompositeBatch:
    """A batch of one lesson from rows of clips."""
    make: dict[str, Callable[[Tensor], Tensor]] = {
        "moved": lambda left: move_and_tint(left, generator),
        "map": lambda left: piece_map(rows.parts),
        "moved-map": lambda left: move_or_enlarge(piece_map(rows.parts), rows.parts, generator),
        "moved-pose": lambda left: move_or_enlarge(
            behind_lead_in(to_panel(rows.plain)), rows.parts, generator
        ),
    }
    if lesson == "styles":
        return foundation_batch(codec, rows, generator)
    if lesson == "posed":
        return pose_batch(codec, rows, generator, varied=False)
    if lesson == "varied":
        return pose_batch(codec, rows, generator)
    if lesson == "copy":
        return copying_batch(codec, rows, generator)
    left = to_panel(rows.frames)
    right = silence_lead_in(make[lesson](left))
    return compose_panels(codec, left, right, rows.ids, generator)


def piece_map(parts: Tensor) -> Tensor:
    """Label maps (b, t, h, w) -> (b, 3, t, h, w), pieces in the colours that draw_pose gives to the
    limbs over them, the scene black."""
    palette = part_colors().to(parts.device)
    return palette[parts.long()].movedim(-1, 1)


def move_or_enlarge(video: Tensor, parts: Tensor, generator: torch.Generator) -> Tensor:
    """Of a body's driver (b, 3, t, h, w) half the samples as large as the panel, half moved and
    stretched; parts (b, t, h, w)."""
    window = random_window(len(parts), 0.25, 0.12, generator, parts.device)
    boxed = frame_boxes(parts)
    large = torch.rand(len(parts), 1, generator=generator, device=parts.device) < 0.5
    window = tuple(torch.where(large, box, free) for box, free in zip(boxed, window, strict=True))
    return warp(video, *window)


def part_colors() -> Tensor:
    """(1 + PARTS, 3) in [-1, 1], by part."""
    colors = {(limb.start, limb.end): limb.color(0.75) for limb in LIMBS}
    joints = LIMB_JOINTS | {
        TORSO: (NECK, 8), HEAD: (NECK, NOSE),
        FOOT[0]: (ANKLE[0], FEET + 3), FOOT[1]: (ANKLE[1], FEET),
    }  # fmt: skip
    palette = torch.full((1 + PARTS, 3), -1.0)
    for part, ends in joints.items():
        palette[part] = torch.tensor(colors[ends]) / 127.5 - 1
    return palette
