"""What of a figure is in front, from behind to the front."""

from __future__ import annotations

from ...skeleton import FOOT, FOREARM, HEAD, SHIN, THIGH, TORSO, UPPER_ARM
from .draw import Drawn

ARM_ITEMS: tuple[tuple[Drawn, ...], ...] = tuple(
    (UPPER_ARM[side], (TORSO, UPPER_ARM[side]), FOREARM[side], (UPPER_ARM[side], FOREARM[side]))
    for side in (0, 1)
)
LEG_ITEMS: tuple[tuple[Drawn, ...], ...] = tuple(
    (
        FOOT[side],
        SHIN[side],
        (SHIN[side], FOOT[side]),
        THIGH[side],
        (THIGH[side], SHIN[side]),
    )
    for side in (0, 1)
)
TRUNK_ITEMS: tuple[Drawn, ...] = (TORSO, *((TORSO, thigh) for thigh in THIGH))
HEAD_ITEMS: tuple[Drawn, ...] = (HEAD, (TORSO, HEAD))


def usual_order() -> tuple[Drawn, ...]:
    """Legs, trunk, head, arms, as most figures are drawn."""
    return (*LEG_ITEMS[0], *LEG_ITEMS[1], *TRUNK_ITEMS, *HEAD_ITEMS, *ARM_ITEMS[0], *ARM_ITEMS[1])
