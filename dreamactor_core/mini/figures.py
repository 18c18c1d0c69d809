"""A small figure on plain ground, frame by frame: cut out, and looked at as a reference's is."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from ..media import smaller
from ..pose.ground import largest_of, outline
from ..skeleton import JOINTS
from .eye import Eye
from .guides import INSIDE
from .second_look import look_at_figure

WATCHED_SIDE = 384  # pixels of a frame's longer side: at this size it is cut out
SMALL = 0.33  # of a frame's longer side: a larger figure the eye sees as it has learned to


def joints_of_figures(eyes: Sequence[Eye], frames: Iterable[np.ndarray]) -> np.ndarray:
    """(t, 18, 3) x, y in pixels of the frames (h, w, 3) uint8, and confidence: all 0 where the
    ground is not plain, no small figure stands on it alone, or its limbs are not told."""
    found = [_joints(eyes, frame) for frame in frames]
    return np.stack(found) if found else np.zeros((0, JOINTS, 3))


def _joints(eyes: Sequence[Eye], frame: np.ndarray) -> np.ndarray:
    image = smaller(frame, WATCHED_SIDE)
    mask = outline(image)
    if mask is None or largest_of(mask)[1] or not _is_small(mask):
        return np.zeros((JOINTS, 3))
    look = look_at_figure(eyes, image, mask)
    ratio = [frame.shape[1] / image.shape[1], frame.shape[0] / image.shape[0], 1]
    return look.joints * ratio if look.is_body else np.zeros((JOINTS, 3))


def _is_small(mask: np.ndarray) -> bool:
    rows, columns = np.nonzero(mask >= INSIDE)
    return len(rows) > 0 and max(np.ptp(rows), np.ptp(columns)) <= SMALL * max(mask.shape)
