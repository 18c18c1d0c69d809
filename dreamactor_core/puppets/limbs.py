"""Arms with what they hold, and legs, in the shapes that a body plan asks for."""

from __future__ import annotations

import numpy as np

from ..skeleton import (
    ANKLE,
    ELBOW,
    FOOT,
    FOREARM,
    HIP,
    KNEE,
    SHIN,
    SHOULDER,
    THIGH,
    UPPER_ARM,
    WRIST,
)
from .body import wing_axes
from .figure import PosedPuppet
from .pen import across

UPRIGHT = np.array([0, -1.0])


def draw_arm(figure: PosedPuppet, side: int) -> None:
    """side: 0 right, 1 left."""
    _ARMS[figure.who.plan.arms](figure, side)


def draw_leg(figure: PosedPuppet, side: int) -> None:
    _LEGS[figure.who.plan.legs](figure, side)


def _joints(figure: PosedPuppet, side: int, *pairs: tuple[int, int]) -> list[np.ndarray]:
    """Where the joints of one side are, (2,) each."""
    return [figure.joints[pair[side]] for pair in pairs]


def _arm_radii(figure: PosedPuppet) -> tuple[float, float]:
    who = figure.who
    return who.thickness * who.height, who.thickness * who.taper * who.height


def _draw_wing(figure: PosedPuppet, side: int) -> None:
    pen, who = figure.pen, figure.who
    shoulder, elbow, wrist = _joints(figure, side, SHOULDER, ELBOW, WRIST)
    pen.part = UPPER_ARM[side]
    along, down = wing_axes(shoulder, wrist)
    feathers = ((0.86, 0.34), (0.62, 0.42), (0.34, 0.44), (0.06, 0.34))
    tips = [shoulder + along * s + down * d for s, d in feathers]
    pen.polygon(np.array([shoulder, elbow, wrist, *tips]), who.top)
    inner = np.array([shoulder, elbow, wrist, shoulder + along * 0.5 + down * 0.16])
    pen.polygon(inner, who.accent, line=False)


def _draw_bar_arm(figure: PosedPuppet, side: int) -> None:
    pen, who, (r0, r1) = figure.pen, figure.who, _arm_radii(figure)
    shoulder, elbow, wrist = _joints(figure, side, SHOULDER, ELBOW, WRIST)
    pen.part_bar(UPPER_ARM[side], shoulder, elbow, r0, who.top)
    pen.part_bar(FOREARM[side], elbow, wrist, r1, who.bottom)
    pen.ellipse(elbow, UPRIGHT, r0 * 0.7, r0 * 0.7, who.accent)
    _draw_hand(figure, side, elbow, wrist)


def _draw_soft_arm(figure: PosedPuppet, side: int) -> None:
    pen, who, (r0, r1) = figure.pen, figure.who, _arm_radii(figure)
    shoulder, elbow, wrist = _joints(figure, side, SHOULDER, ELBOW, WRIST)
    bare = who.plan.arms == "sleeves" and who.pattern not in ("stripes", "plain")
    sleeve = who.skin if bare else who.top
    pen.part = FOREARM[side]
    pen.limb(elbow, wrist, (r0 + r1) / 2, r1, who.skin if who.pattern != "plain" else sleeve)
    pen.part = UPPER_ARM[side]
    pen.limb(shoulder, elbow, r0, (r0 + r1) / 2, sleeve)
    _draw_hand(figure, side, elbow, wrist)


def _draw_hand(figure: PosedPuppet, side: int, elbow: np.ndarray, wrist: np.ndarray) -> None:
    pen, who = figure.pen, figure.who
    pen.part = FOREARM[side]
    radius = _arm_radii(figure)[1] * who.hand
    if who.held != "none" and (who.facing > 0) == (side == 1):
        _draw_held(figure, elbow, wrist)
    pen.ellipse(wrist, UPRIGHT, radius, radius, who.accent if who.plan.metal else who.skin)


def _draw_held(figure: PosedPuppet, elbow: np.ndarray, wrist: np.ndarray) -> None:
    """A thing in the hand, which goes with the forearm."""
    pen, who, h = figure.pen, figure.who, figure.who.height
    along = (wrist - elbow) / (np.linalg.norm(wrist - elbow) + 1e-6)
    aside_of = across(along)

    def at(forth: float, aside: float = 0.0) -> np.ndarray:
        return wrist + (along * forth + aside_of * aside) * h

    if who.held == "ball":
        pen.ellipse(at(0.055), along, 0.055 * h, 0.055 * h, who.accent)
    elif who.held == "shield":
        pen.ellipse(at(-0.03), along, 0.085 * h, 0.11 * h, who.gear)
        pen.ellipse(at(-0.03), along, 0.04 * h, 0.05 * h, who.accent, line=False)
    elif who.held == "sword":
        blade = [at(0.0, -0.018), at(0.0, 0.018), at(0.24, 0.014), at(0.28), at(0.24, -0.014)]
        pen.polygon(np.array(blade), (205, 210, 220))
        pen.limb(at(0.01, -0.05), at(0.01, 0.05), 0.012 * h, 0.012 * h, who.gear)
    else:
        pen.limb(at(-0.1), at(0.25), 0.014 * h, 0.014 * h, who.gear)


def _draw_bar_leg(figure: PosedPuppet, side: int) -> None:
    pen, who, (r0, r1) = figure.pen, figure.who, _leg_radii(figure)
    hip, knee, ankle = _joints(figure, side, HIP, KNEE, ANKLE)
    pen.part_bar(THIGH[side], hip, knee, r0, who.bottom)
    pen.part_bar(SHIN[side], knee, ankle, r1, who.top)
    _draw_foot(figure, side, ankle, r1)


def _draw_soft_leg(figure: PosedPuppet, side: int) -> None:
    pen, who, (r0, r1) = figure.pen, figure.who, _leg_radii(figure)
    hip, knee, ankle = _joints(figure, side, HIP, KNEE, ANKLE)
    colours = {"stalks": who.accent, "coat": who.top, "trousers": who.bottom}
    colour = colours[who.plan.legs]
    pen.part = SHIN[side]
    shin = who.skin if who.pattern == "shorts" else colour
    pen.limb(knee, ankle, (r0 + r1) / 2, r1, shin)
    pen.part = THIGH[side]
    pen.limb(hip, knee, r0, (r0 + r1) / 2, colour)
    _draw_foot(figure, side, ankle, r1)


def _leg_radii(figure: PosedPuppet) -> tuple[float, float]:
    who, h = figure.who, figure.who.height
    if who.plan.legs == "stalks":
        return 0.016 * h, 0.016 * h
    return who.thickness * 1.15 * h, who.thickness * who.taper * h


def _draw_foot(figure: PosedPuppet, side: int, ankle: np.ndarray, r: float) -> None:
    pen, who, h = figure.pen, figure.who, figure.who.height
    pen.part = FOOT[side]
    toe = np.array([(-1 if side == 0 else 1) * who.foot * h * 0.7, 0.0])
    pen.limb(ankle, ankle + toe, r * 1.1, r * 0.9, who.shoes)


_ARMS = {
    "sleeves": _draw_soft_arm, "coat": _draw_soft_arm, "bars": _draw_bar_arm, "wings": _draw_wing,
}  # fmt: skip
_LEGS = {
    "trousers": _draw_soft_leg, "coat": _draw_soft_leg, "bars": _draw_bar_leg,
    "stalks": _draw_soft_leg,
}  # fmt: skip
