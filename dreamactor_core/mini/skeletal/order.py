"""What of a figure is in front, as far as the driver's joints tell.

A detector is less sure of what it does not see: an arm of which it is not sure at all, while it is
of the shoulders, is behind the trunk, and of two legs the one that it is surer of is in front, or
else the one that stands lower in the picture. Where depth is told, an arm that is further away than
the trunk is behind it, and of two arms or legs the nearer one is in front. An order changes when
there is a reason to.
"""

from __future__ import annotations

import numpy as np

from ... import skeleton as parts
from .times import averaged

UNSEEN_ARM = 0.45  # how sure a detector is of an arm behind a trunk, at most
SEEN_ARM = 0.7  # and of one before it, at least
SURER = 0.15  # by which a leg is in front
LOWER = 0.15  # trunks by which an ankle is, likewise
FURTHER, NEARER = 0.6, 0.3  # trunks, as BlazePose tells depth: from where an arm is behind; before
IN_FRONT = 0.5  # likewise: so much nearer is the limb that is in front
SPAN = 0.2  # seconds on either side over which all that is averaged

Drawn = int | tuple[int, int]  # a part, or the two of a hinge


def _arm(side: int) -> tuple[Drawn, ...]:
    arm, forearm = parts.UPPER_ARM[side], parts.FOREARM[side]
    return arm, (parts.TORSO, arm), forearm, (arm, forearm)


def _leg(side: int) -> tuple[Drawn, ...]:
    thigh, shin, foot = parts.THIGH[side], parts.SHIN[side], parts.FOOT[side]
    return foot, shin, (shin, foot), thigh, (thigh, shin)


def ordered(
    arms_behind: tuple[bool, bool], front_leg: int, front_arm: int = 1
) -> tuple[Drawn, ...]:
    """Arms behind the trunk, legs, trunk, head, arms; arms_behind: right, left."""
    sides = (1 - front_arm, front_arm)
    behind, before = (
        tuple(item for side in sides if arms_behind[side] == hidden for item in _arm(side))
        for hidden in (True, False)
    )
    trunk: tuple[Drawn, ...] = (parts.TORSO, *((parts.TORSO, thigh) for thigh in parts.THIGH))
    legs = (*_leg(1 - front_leg), *_leg(front_leg))
    return (*behind, *legs, *trunk, parts.HEAD, (parts.TORSO, parts.HEAD), *before)


USUAL_ORDER = ordered((False, False), 1)


def orders_of(
    joints: np.ndarray,
    shown: np.ndarray,
    sure: np.ndarray,
    times: np.ndarray,
    depth: np.ndarray | None = None,
) -> list[tuple[Drawn, ...]]:
    """Of each frame of a driver: joints (n, 18, 2), which are ever shown (18,), how sure it is of
    them (n, 18), at times (n,); depth (n, 18): how far away they are, in the unit of the joints."""
    sure = averaged(sure, times, SPAN)
    hips = joints[:, list(parts.HIP)].mean(axis=1)
    trunk = max(float(np.median(np.linalg.norm(joints[:, parts.NECK] - hips, axis=1))), 1e-6)
    if depth is not None and shown[[*parts.SHOULDER, *parts.HIP]].all():
        middle = depth[:, [*parts.SHOULDER, *parts.HIP]].mean(axis=1)
        depth = averaged(depth - middle[:, None], times, SPAN) / trunk
    else:
        depth = None
    behind = np.stack([_is_behind(side, shown, sure, depth) for side in (0, 1)], axis=1)
    arms = legs = np.ones(len(times), int)
    if depth is not None and shown[[*parts.ELBOW, *parts.WRIST]].all():
        arms = _nearer(depth[:, list(parts.ELBOW)] + depth[:, list(parts.WRIST)])
    if shown[[parts.NECK, *parts.HIP, *parts.KNEE, *parts.ANKLE]].all():
        if depth is not None:
            legs = _nearer(depth[:, list(parts.KNEE)] + depth[:, list(parts.ANKLE)])
        else:
            legs = _surer_or_lower(joints, sure, times, trunk)
    return [
        ordered((bool(a), bool(b)), int(leg), int(arm))
        for (a, b), leg, arm in zip(behind, legs, arms, strict=True)
    ]


def _is_behind(
    side: int, shown: np.ndarray, sure: np.ndarray, depth: np.ndarray | None
) -> np.ndarray:
    """(n,) bool: whether an arm is behind the trunk."""
    arm = [parts.ELBOW[side], parts.WRIST[side]]
    if not shown[arm].all():
        return np.zeros(len(sure), bool)
    trunk = sure[:, list(parts.SHOULDER)].min(axis=1) >= SEEN_ARM
    hidden = trunk & (sure[:, arm].max(axis=1) < UNSEEN_ARM)
    seen = ~trunk | (sure[:, arm].max(axis=1) > SEEN_ARM)
    if depth is not None:
        deep = depth[:, arm].mean(axis=1)
        hidden, seen = hidden | (deep > FURTHER), seen & (deep < NEARER)
    return _lasting(hidden, seen)


def _surer_or_lower(
    joints: np.ndarray, sure: np.ndarray, times: np.ndarray, trunk: float
) -> np.ndarray:
    """(n,) which leg is in front, 0 right, 1 left, where nobody tells depth."""
    low = averaged(joints[:, list(parts.ANKLE), 1], times, SPAN) / trunk
    of_legs = sure[:, list(parts.KNEE)] + sure[:, list(parts.ANKLE)]
    surer, lower = (of_legs[:, 0] - of_legs[:, 1]) / 2, low[:, 0] - low[:, 1]
    right = (surer > SURER) | ((abs(surer) <= SURER) & (lower > LOWER))
    left = (surer < -SURER) | ((abs(surer) <= SURER) & (lower < -LOWER))
    return 1 - _lasting(right, left).astype(int)


def _nearer(depth: np.ndarray) -> np.ndarray:
    """Of two joints of each of two limbs together (n, 2) -> (n,) which limb is nearer, 0 right, 1
    left."""
    ahead = (depth[:, 1] - depth[:, 0]) / 2  # of the right one
    return 1 - _lasting(ahead > IN_FRONT, ahead < -IN_FRONT).astype(int)


def _lasting(begins: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """(n,) bool: true from where it begins to where it ends."""
    state, states = False, []
    for begin, end in zip(begins, ends, strict=True):
        state = bool(begin or (state and not end))
        states.append(state)
    return np.array(states, bool)
