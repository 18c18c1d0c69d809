"""Which pieces of footage are worth training on, and in words why the others are not.

Filters look at what was measured, so a limit can be changed and nothing is measured again.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from ..errors import InputError
from ..pose.keypoints import MIN_CONFIDENCE, Pose
from .pieces import Piece


@dataclass(frozen=True)
class Limits:
    """What a piece must be to stay."""

    min_seconds: float = 3.1  # 49 frames, the shortest window of training, at 16 a second
    min_side: int = 256  # pixels, of the shorter side
    min_fps: float = 9.5  # below, frames are held so long that motion stutters
    min_sharpness: float = 15.0  # see signals.sharpness
    min_motion: float = 3.0  # levels; see Piece.motion
    min_subjects: int = 1  # where poses were sought
    max_subjects: int = 4
    min_share: float = 0.02  # of the picture that the box of the largest subject covers
    min_presence: float = 0.75  # share of the frames that show somebody
    min_difference: float = 8.0  # levels by which a piece differs from every other, where most

    def __post_init__(self):
        for name, value in vars(self).items():
            if not (math.isfinite(value) and value >= 0):
                raise InputError(name, got=value, need="a number of at least 0", fix="Correct it.")
        if self.min_subjects > self.max_subjects:
            raise InputError(
                "min_subjects",
                got=self.min_subjects,
                need=f"at most max_subjects, {self.max_subjects}",
                fix="Lower it, or raise the other.",
            )


class Seen(NamedTuple):
    """Whom a pose detector saw in a clip."""

    subjects: int  # at one time, in at least a tenth of the frames
    share: float  # of the picture that the largest one's joints span, median over frames
    presence: float  # share of the frames that show somebody


def reason_against(piece: Piece, limits: Limits) -> str:
    """Why a piece is left out, or ""."""
    side = min(piece.width, piece.height)
    checks = (
        (piece.seconds, limits.min_seconds, "too short: {:.2f} s, at least {:g}"),
        (side, limits.min_side, "too small: {:d} pixels, at least {:d}"),
        (piece.fps, limits.min_fps, "too few frames: {:.3g} a second, at least {:g}"),
        (piece.sharpness, limits.min_sharpness, "blurred: sharpness {:.1f}, at least {:g}"),
        (piece.motion, limits.min_motion, "still: {:.2f} levels of motion, at least {:g}"),
    )
    for value, least, text in checks:
        if value < least:
            return text.format(value, least)
    return ""


def reason_against_subjects(seen: Seen, limits: Limits) -> str:
    """Why a clip with these subjects is left out, or ""."""
    if seen.subjects < limits.min_subjects:
        return f"too few subjects: {seen.subjects}, at least {limits.min_subjects}"
    if seen.subjects > limits.max_subjects:
        return f"too many subjects: {seen.subjects}, at most {limits.max_subjects}"
    if limits.min_subjects and seen.share < limits.min_share:
        return f"subject too small: {seen.share:.1%} of the picture, at least {limits.min_share:g}"
    if limits.min_subjects and seen.presence < limits.min_presence:
        return f"subject away: in {seen.presence:.0%} of the frames, at least {limits.min_presence}"
    return ""


def seen_in(pose: Pose) -> Seen:
    """Whom the poses of a clip show."""
    points = pose.points()  # (t, p, 136, 3)
    sure = np.asarray(points[..., 2] >= MIN_CONFIDENCE)
    there = np.asarray(sure.any(axis=2))  # (t, p)
    somebody = np.asarray(there.any(axis=1))
    if not somebody.any():
        return Seen(0, 0.0, 0.0)
    low = np.where(sure[..., None], points[..., :2], np.inf).min(axis=2)
    high = np.where(sure[..., None], points[..., :2], -np.inf).max(axis=2)
    sides = np.where(there[..., None], high - low, 0).clip(0, 1)
    largest = sides.prod(axis=-1).max(axis=1)
    return Seen(
        subjects=int(np.percentile(there.sum(axis=1), 90)),
        share=float(np.median(largest[somebody])),
        presence=float(somebody.mean()),
    )
