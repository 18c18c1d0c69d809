"""Bodies on four legs, seen from the side: the far legs, the trunk, the near legs, the head."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from .. import skeleton
from .colours import Colour, lighten
from .figure import PosedPuppet
from .head import draw_head

BothSides = tuple[int, int]  # (right, left)


class Leg(NamedTuple):
    """Joints and parts from the trunk to the ground."""

    joints: tuple[int, int, int]
    upper: int
    lower: int
    foot: int


def _legs(
    joints: tuple[BothSides, BothSides, BothSides],
    upper: BothSides,
    lower: BothSides,
    foot: BothSides,
) -> list[Leg]:
    """The right and the left one."""
    return [
        Leg((joints[0][i], joints[1][i], joints[2][i]), upper[i], lower[i], foot[i]) for i in (0, 1)
    ]


FORELEGS = _legs(
    (skeleton.SHOULDER, skeleton.ELBOW, skeleton.WRIST),
    skeleton.UPPER_ARM,
    skeleton.FOREARM,
    skeleton.FOREARM,
)
HIND_LEGS = _legs(
    (skeleton.HIP, skeleton.KNEE, skeleton.ANKLE), skeleton.THIGH, skeleton.SHIN, skeleton.FOOT
)


def draw_quadruped(figure: PosedPuppet) -> None:
    """The whole body, back to front."""
    pen, who, up, h = figure.pen, figure.who, figure.up, figure.who.height
    front = figure.joints[skeleton.NECK] - up * 0.05 * h
    radius = (who.hip * 0.7 + 0.07) * h
    far = lighten(who.top, -0.25)
    _draw_leg(figure, FORELEGS[0], far)
    _draw_leg(figure, HIND_LEGS[0], far)
    pen.part = skeleton.TORSO
    _draw_trunk(figure, front, radius)
    _draw_leg(figure, HIND_LEGS[1], who.top)
    _draw_leg(figure, FORELEGS[1], who.top)
    pen.part = skeleton.HEAD
    pen.limb(front, figure.head, radius * 0.62, who.head_size * h * 0.6, who.top)
    if who.extra == "scarf":
        pen.part = skeleton.TORSO
        ends = front + up * radius * 0.7, front + up * radius * 0.2
        pen.limb(*ends, 0.05 * h, 0.05 * h, who.accent)
    draw_head(figure)


def _draw_leg(figure: PosedPuppet, leg: Leg, colour: Colour) -> None:
    pen, who, h = figure.pen, figure.who, figure.who.height
    r0, r1 = who.thickness * 1.15 * h, who.thickness * who.taper * h
    a, b, c = (figure.joints[joint] for joint in leg.joints)
    pen.part = leg.lower
    pen.limb(b, c, (r0 + r1) / 2, r1, colour)
    pen.part = leg.upper
    pen.limb(a, b, r0, (r0 + r1) / 2, colour)
    pen.part = leg.foot
    pen.limb(c, c + np.array([who.facing * 0.04 * h, 0]), r1, r1, who.shoes)


def _draw_trunk(figure: PosedPuppet, front: np.ndarray, radius: float) -> None:
    pen, who, up, h = figure.pen, figure.who, figure.up, figure.who.height
    pelvis, along = figure.pelvis, front - figure.pelvis
    raised = up * (0.1 if who.extra == "tail" else 0.0) * h
    tail = pelvis - along / np.linalg.norm(along) * 0.16 * h + raised
    pen.limb(pelvis, tail, 0.026 * h, 0.014 * h, who.top)
    pen.limb(pelvis, front, radius, radius * 1.05, who.top)
    if who.pattern in ("stripes", "bars"):
        for s in (0.2, 0.45, 0.7):
            back = pelvis + along * s + up * radius * 0.7
            belly = pelvis + along * s - up * radius * 0.5
            pen.limb(back, belly, 0.022 * h, 0.014 * h, who.accent)
    elif who.pattern in ("dots", "belly patch"):
        for s, d in ((0.15, 0.2), (0.4, -0.2), (0.65, 0.25), (0.9, -0.1)):
            spot = pelvis + along * s + up * radius * d
            pen.ellipse(spot, up, 0.035 * h, 0.03 * h, who.accent, line=False)
