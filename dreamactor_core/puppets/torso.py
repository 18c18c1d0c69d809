"""Torsos: an outline by its half widths, a light side, a pattern."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ..skeleton import NECK, TORSO
from .colours import lighten
from .figure import PosedPuppet
from .pen import across, rounded

HEIGHTS = np.array([0.02, 0.12, 0.45, 0.8, 1.08])  # from the neck (0) to the pelvis (1)
HALF_WIDTHS = {  # there, as shares of the shoulders' above and the hips' below
    "straight": (0.75, 1.05, 1, 1, 1), "wide shoulders": (0.85, 1.25, 1.1, 0.85, 0.8),
    "dress": (0.6, 0.9, 0.75, 1.3, 2.0), "belly": (0.6, 1, 1.35, 1.45, 1.1),
    "slim": (0.6, 0.9, 0.75, 0.75, 0.9),
}  # fmt: skip
ROUND_HALF_WIDTHS = np.array([0.55, 0.95, 1.25, 1.15, 0.6])  # of the widest


class Cloth(NamedTuple):
    """The front of a torso, for what is drawn on it."""

    spine: np.ndarray  # (5, 2) points at HEIGHTS
    right: np.ndarray  # (2,) unit vector
    half: np.ndarray  # (5,) half widths

    def at(self, v: float, u: float) -> np.ndarray:
        """Point at share v from neck to pelvis and share u of the half width."""
        x = v * (len(self.half) - 1)
        i = min(int(x), len(self.half) - 2)
        s = x - i
        along = self.spine[i] * (1 - s) + self.spine[i + 1] * s
        return along + self.right * u * (self.half[i] * (1 - s) + self.half[i + 1] * s)

    def quad(self, v0: float, v1: float, u0: float, u1: float) -> np.ndarray:
        """(4, 2) corners of what lies between two heights and two widths."""
        return np.array([self.at(v0, u0), self.at(v0, u1), self.at(v1, u1), self.at(v1, u0)])


def draw_torso(figure: PosedPuppet) -> None:
    """The torso with its shading and pattern; of a stick figure a line."""
    pen, who, pelvis = figure.pen, figure.who, figure.pelvis
    pen.part = TORSO
    neck = figure.joints[NECK]
    if who.plan.torso == "line":
        radius = who.thickness * who.height
        pen.limb(neck, pelvis, radius, radius, who.top)
        return
    right, half = across(figure.up), _half_widths(figure)
    spine = neck + (pelvis - neck) * HEIGHTS[:, None]
    sides = spine - right * half[:, None], spine + right * half[:, None]
    if who.plan.torso in ("smooth", "round") or who.torso == "belly":
        sides = rounded(sides[0]), rounded(sides[1])
    pen.polygon(np.concatenate([sides[0], sides[1][::-1]]), who.top)
    if who.shading:
        edge = spine - right * half[:, None] + right * half[:, None] * 0.18
        middle = spine[::-1] - right * half[::-1, None] * 0.3
        light = lighten(who.top, who.shading)
        pen.polygon(np.concatenate([edge, middle]), light, line=False)
    _draw_pattern(figure, Cloth(spine, right, half))


def _half_widths(figure: PosedPuppet) -> np.ndarray:
    """(5,) at HEIGHTS, in world units."""
    who, h = figure.who, figure.who.height
    top, low = who.shoulder * h, who.hip * h
    half = (top + (low - top) * HEIGHTS) * np.array(HALF_WIDTHS[who.torso]) + 0.012 * h
    if who.plan.torso == "round":
        half = half.max() * ROUND_HALF_WIDTHS * who.plan.girth
    return half


def _draw_pattern(figure: PosedPuppet, cloth: Cloth) -> None:
    pen, who, up, h = figure.pen, figure.who, figure.up, figure.who.height
    at, quad = cloth.at, cloth.quad
    if who.pattern == "stripes":
        for v in (0.2, 0.5, 0.8):
            pen.polygon(quad(v, v + 0.13, -0.93, 0.93), who.accent, line=False)
    elif who.pattern == "bars":
        for u in (-0.7, -0.12, 0.46):
            pen.polygon(quad(0.12, 0.92, u, u + 0.24), who.accent, line=False)
    elif who.pattern == "dots":
        for v, u in ((0.25, -0.4), (0.25, 0.4), (0.5, 0), (0.72, -0.5), (0.72, 0.5)):
            pen.ellipse(at(v, u), up, 0.024 * h, 0.024 * h, who.accent, line=False)
    elif who.pattern == "belly patch":
        wide, tall = cloth.half.max() * 0.6, 0.3 * who.torso_length * h
        pen.ellipse(at(0.62, 0), up, wide, tall, who.accent, line=False)
    elif who.pattern == "buttons":
        for v in (0.3, 0.5, 0.7):
            pen.ellipse(at(v, 0), up, 0.015 * h, 0.015 * h, who.accent, line=False)
    elif who.pattern == "sash":
        corners = np.array([at(0.1, -0.85), at(0.1, -0.45), at(0.9, 0.9), at(0.9, 0.5)])
        pen.polygon(corners, who.accent, line=False)
    if who.plan.clothed and who.pattern != "plain" and who.torso != "dress":
        pen.polygon(quad(0.8, 1.0, -1.0, 1.0), who.bottom, line=False)
    if who.extra == "belt":
        pen.polygon(quad(0.74, 0.84, -1.0, 1.0), who.gear, line=False)
