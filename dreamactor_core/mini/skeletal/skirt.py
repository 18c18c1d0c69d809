"""Skirts and robes: legs that share one piece of cloth, which moves with the mean of both.

Cut along its middle it would tear where the legs part. So what is between the legs, and theirs as
far down as it goes, is one part, which the right leg lends its number; its bones lie midway between
those of the legs. What shows of the legs below it is behind it.
"""

from __future__ import annotations

from enum import IntEnum

import numpy as np

from ...skeleton import ANKLE, FOOT, HIP, KNEE, NECK, SHIN, THIGH, TORSO

CLOTH = 0.75  # of the trunk: two legs that are one so broad are cloth
SKIRT_ROWS = (0.7, 1.0)  # of a bone: there it is looked at


class Skirt(IntEnum):
    """How far down it goes."""

    NONE = 0
    KNEES = 1
    ANKLES = 2


def skirt_of(joints: np.ndarray, inside: np.ndarray) -> Skirt:
    """Of a figure with joints (18, 2) in a mask (h, w) bool."""
    hips, knees, ankles = (joints[list(pair)].mean(axis=0) for pair in (HIP, KNEE, ANKLE))
    broad = CLOTH * float(np.linalg.norm(joints[NECK] - hips))
    if not _is_one(inside, hips, knees, joints[list(KNEE)], broad):
        return Skirt.NONE
    stands = all(_way_out(inside, joints[ankle], np.zeros(2)) for ankle in ANKLE)
    if stands and not _is_one(inside, knees, ankles, joints[list(KNEE)], broad, along=(0.5,)):
        return Skirt.KNEES
    return Skirt.ANKLES  # or nobody knows where the feet are


def _is_one(
    inside: np.ndarray,
    start: np.ndarray,
    end: np.ndarray,
    legs: np.ndarray,
    broad: float,
    along: tuple[float, ...] = SKIRT_ROWS,
) -> bool:
    """Whether a mask is in one piece across the bone from start to end, as broad as that, with the
    knees (2, 2) within it as seen along the bone."""
    bone = end - start
    length = float(np.linalg.norm(bone))
    if length < 1 or broad < 1:
        return False
    across = np.array([-bone[1], bone[0]]) / length
    reach = np.abs((legs - legs.mean(axis=0)) @ across).max()
    for share in along:
        ways = [_way_out(inside, start + share * bone, sign * across) for sign in (-1, 1)]
        if sum(ways) < broad or min(ways) < 0.5 * reach * share:
            return False
    return True


def _way_out(inside: np.ndarray, place: np.ndarray, way: np.ndarray) -> float:
    """Pixels from a place (2,) within a mask until its end; 0 for one outside."""
    steps = np.arange(max(inside.shape))
    columns, rows = np.floor(place[:, None] + way[:, None] * steps).astype(int)
    within = (rows >= 0) & (rows < inside.shape[0]) & (columns >= 0) & (columns < inside.shape[1])
    there = np.zeros(len(steps), bool)
    there[within] = inside[rows[within], columns[within]]
    return float(len(steps) if there.all() else np.argmin(there))


def join_legs(parts: np.ndarray, skirt: Skirt, joints: np.ndarray) -> None:
    """Parts (h, w), in place: what is cloth is the right leg's, from the hips on."""
    start, end = bone_of(joints)
    x, y = end - start
    rows, columns = np.indices(parts.shape) + 0.5
    below = (columns - start[0]) * x + (rows - start[1]) * y > 0
    cloth = [*THIGH, *SHIN, *FOOT] if skirt == Skirt.ANKLES else [*THIGH]
    parts[np.isin(parts, cloth)] = THIGH[0]
    either = np.isin(parts, (TORSO, THIGH[0]))
    parts[either] = np.where(below, THIGH[0], TORSO)[either]


def bone_of(joints: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """From where to where (2,) its bone goes, of joints (18, 2)."""
    return joints[list(HIP)].mean(axis=0), joints[list(KNEE)].mean(axis=0)
