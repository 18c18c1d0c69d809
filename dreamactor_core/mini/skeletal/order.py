"""What of a figure is in front, as far as the driver's joints tell.

A detector is less sure of what it does not see: an arm of which it is not sure at all, while it is
of the shoulders, is behind the trunk, and of two legs the one that it is surer of is in front, or
else the one that stands lower in the picture. An order changes when there is a reason to.
"""

from __future__ import annotations

import numpy as np

from ... import skeleton as parts
from .times import averaged

UNSEEN_ARM = 0.45  # how sure a detector is of an arm behind a trunk, at most
SEEN_ARM = 0.7  # and of one before it, at least
SURER = 0.15  # by which a leg is in front
LOWER = 0.15  # trunks by which an ankle is, likewise
SPAN = 0.2  # seconds on either side over which all that is averaged

Drawn = int | tuple[int, int]  # a part, or the two of a hinge


def _arm(side: int) -> tuple[Drawn, ...]:
    arm, forearm = parts.UPPER_ARM[side], parts.FOREARM[side]
    return arm, (parts.TORSO, arm), forearm, (arm, forearm)


def _leg(side: int) -> tuple[Drawn, ...]:
    thigh, shin, foot = parts.THIGH[side], parts.SHIN[side], parts.FOOT[side]
    return foot, shin, (shin, foot), thigh, (thigh, shin)


def ordered(arms_behind: tuple[bool, bool], front_leg: int) -> tuple[Drawn, ...]:
    """Arms behind the trunk, legs, trunk, head, arms; arms_behind: right, left."""
    behind, before = (
        tuple(item for side in (0, 1) if arms_behind[side] == hidden for item in _arm(side))
        for hidden in (True, False)
    )
    trunk: tuple[Drawn, ...] = (parts.TORSO, *((parts.TORSO, thigh) for thigh in parts.THIGH))
    legs = (*_leg(1 - front_leg), *_leg(front_leg))
    return (*behind, *legs, *trunk, parts.HEAD, (parts.TORSO, parts.HEAD), *before)


USUAL_ORDER = ordered((False, False), 1)


def orders_of(
    joints: np.ndarray, shown: np.ndarray, sure: np.ndarray, times: np.ndarray
) -> list[tuple[Drawn, ...]]:
    """Of each frame of a driver: joints (n, 18, 2), which are ever shown (18,), how sure it is of
    them (n, 18), at times (n,)."""
    sure = averaged(sure, times, SPAN)
    behind = np.zeros((len(times), 2), bool)
    for side in (0, 1):
        arm = [parts.ELBOW[side], parts.WRIST[side]]
        if shown[arm].all():
            trunk = sure[:, list(parts.SHOULDER)].min(axis=1) >= SEEN_ARM
            hidden = trunk & (sure[:, arm].max(axis=1) < UNSEEN_ARM)
            seen = ~trunk | (sure[:, arm].max(axis=1) > SEEN_ARM)
            behind[:, side] = _lasting(hidden, seen)
    front = np.ones(len(times), int)
    if shown[[parts.NECK, *parts.HIP, *parts.KNEE, *parts.ANKLE]].all():
        hips = joints[:, list(parts.HIP)].mean(axis=1)
        trunk = float(np.median(np.linalg.norm(joints[:, parts.NECK] - hips, axis=1)))
        low = averaged(joints[:, list(parts.ANKLE), 1], times, SPAN) / max(trunk, 1e-6)
        legs = sure[:, list(parts.KNEE)] + sure[:, list(parts.ANKLE)]
        surer, lower = (legs[:, 0] - legs[:, 1]) / 2, low[:, 0] - low[:, 1]
        right = (surer > SURER) | ((abs(surer) <= SURER) & (lower > LOWER))
        left = (surer < -SURER) | ((abs(surer) <= SURER) & (lower < -LOWER))
        front = 1 - _lasting(right, left).astype(int)
    return [
        ordered((bool(a), bool(b)), int(leg)) for (a, b), leg in zip(behind, front, strict=True)
    ]


def _lasting(begins: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """(n,) bool: true from where it begins to where it ends."""
    state, states = False, []
    for begin, end in zip(begins, ends, strict=True):
        state = bool(begin or (state and not end))
        states.append(state)
    return np.array(states, bool)
