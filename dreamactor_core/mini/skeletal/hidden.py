"""Limbs of a body on four legs that the picture hides: drawn as their likes on the other side.

Seen from the side a far leg shows as little as a hoof, which would float about alone. What is
behind in the picture stays behind: all that is not hidden is drawn over it.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ...skeleton import (
    ANKLE,
    ELBOW,
    FOOT,
    FOREARM,
    HIP,
    KNEE,
    SHIN,
    SHOULDER,
    THIGH,
    TORSO,
    UPPER_ARM,
    WRIST,
)

LEAST_SHOWN = 0.5  # of its like below the trunk: a limb that shows less is behind something


class LimbParts(NamedTuple):
    """From the trunk on."""

    parts: tuple[int, ...]
    joints: tuple[int, ...]


ARMS, LEGS = (
    [LimbParts(*(tuple(pair[side] for pair in pairs) for pairs in both)) for side in (0, 1)]
    for both in (
        ((UPPER_ARM, FOREARM), (SHOULDER, ELBOW, WRIST)),
        ((THIGH, SHIN, FOOT), (HIP, KNEE, ANKLE)),
    )
)


def hidden_limbs(parts: np.ndarray, inside: np.ndarray) -> list[tuple[LimbParts, LimbParts]]:
    """Those of a figure with parts (h, w) within a mask (h, w) bool, each with its like."""
    found = []
    for right, left in (ARMS, LEGS):
        for limb, like in ((right, left), (left, right)):
            below = (np.isin(parts, each.parts[1:]) & inside for each in (limb, like))
            own, other = (int(area.sum()) for area in below)
            if own < LEAST_SHOWN * other:
                found.append((limb, like))
    return found


def leave_out(parts: np.ndarray, limb: LimbParts) -> None:
    """Parts (h, w), in place, without a limb; what is beside the trunk is the trunk's."""
    beside, *rest = limb.parts
    parts[parts == beside] = TORSO
    parts[np.isin(parts, rest)] = 0
