"""Heads and faces."""

from __future__ import annotations

import numpy as np

from ..skeleton import EYE, HEAD, NOSE
from .colours import lighten
from .figure import PosedPuppet
from .headgear import draw_headgear, draw_headgear_behind
from .pen import UNIT_RING, across

DARK_PUPIL, PALE_PUPIL, EYEBALL = (25, 20, 25), (240, 240, 235), (250, 250, 250)
MOUTH_POINTS = np.array([-0.32, -0.16, 0, 0.16, 0.32])  # across the face, in radii of the head


def draw_head(figure: PosedPuppet) -> None:
    """The head with its face and what is worn on it."""
    pen, who, up, joints = figure.pen, figure.who, figure.head_up, figure.joints
    r = who.head_size * who.height
    right = across(up)
    ahead = (joints[NOSE] - figure.head) @ right
    pen.part = HEAD
    draw_headgear_behind(figure)
    if who.plan.head != "in torso":
        _draw_skull(figure, right, r)
    _draw_eyes(figure, right, r)
    nose = figure.head + right * ahead - up * 0.12 * r
    _draw_snout(figure, nose, right, ahead, r)
    if who.mouth != "none" and who.plan.snout != "beak":
        _draw_mouth(figure, nose - up * 0.38 * r, right, r)
    draw_headgear(figure)
    if who.extra == "glasses" and not who.plan.metal:
        for side in (0, 1):
            ring = joints[EYE[side]] + UNIT_RING * 0.26 * r
            pen.stroke(np.concatenate([ring, ring[:1]]), 0.012 * who.height, (30, 30, 30))


def _draw_skull(figure: PosedPuppet, right: np.ndarray, r: float) -> None:
    pen, who, centre, up = figure.pen, figure.who, figure.head, figure.head_up
    if who.head == "box" or (who.plan.head == "box" and who.head != "round"):
        _draw_box(figure, centre, right * r * 0.95, up * r * 0.9, who.skin)
    elif who.head == "pear":
        wide = 0.82 - 0.24 * UNIT_RING[:, 1:]  # narrower at the top than at the chin
        around = UNIT_RING[:, :1] * wide * 1.15 * r * right + UNIT_RING[:, 1:] * r * 1.02 * up
        pen.polygon(centre + around, who.skin)
    else:
        pen.ellipse(centre, up, r * (0.86 if who.head == "oval" else 1.0), r * 1.02, who.skin)
    if who.shading:
        light = lighten(who.skin, who.shading)
        pen.ellipse(centre + (up - right) * r * 0.3, up, r * 0.42, r * 0.36, light, line=False)


def _draw_box(
    figure: PosedPuppet, centre: np.ndarray, a: np.ndarray, b: np.ndarray, colour: tuple
) -> None:
    """a, b: (2,) from the centre to its right and its upper edge."""
    corners = np.array([centre - a + b, centre + a + b, centre + a - b, centre - a - b])
    figure.pen.polygon(corners, colour)


def _draw_eyes(figure: PosedPuppet, right: np.ndarray, r: float) -> None:
    pen, who, up = figure.pen, figure.who, figure.head_up
    eyes = [figure.joints[eye] for eye in EYE]
    if who.eyes == "visor":
        _draw_box(figure, (eyes[0] + eyes[1]) / 2, right * 0.62 * r, up * 0.2 * r, who.gear)
        return
    big = who.eyes == "big"
    size = 0.14 if big else 0.12
    tall = size * (1.9 if who.eyes == "ovals" else 1.0)
    colour = DARK_PUPIL if big or sum(who.skin) > 240 else PALE_PUPIL
    for eye in eyes:
        if big:
            pen.ellipse(eye, up, 0.26 * r, 0.3 * r, EYEBALL)
        pen.ellipse(eye, up, size * r, tall * r, colour, line=False)


def _draw_snout(
    figure: PosedPuppet, nose: np.ndarray, right: np.ndarray, ahead: float, r: float
) -> None:
    """ahead: how far the face looks to its right, in world units."""
    pen, who, up = figure.pen, figure.who, figure.head_up
    if who.plan.snout == "beak":
        tip = nose - up * (0.5 + 0.2 * figure.mouth) * r + right * ahead * 0.8
        pen.polygon(np.array([nose + right * 0.26 * r, nose - right * 0.26 * r, tip]), who.accent)
    elif who.plan.snout == "muzzle":
        light = lighten(who.skin, 0.35)
        pen.ellipse(nose - up * 0.15 * r, up, 0.42 * r, 0.32 * r, light, line=False)
        pen.ellipse(nose, up, 0.14 * r, 0.1 * r, (30, 25, 25), line=False)


def _draw_mouth(figure: PosedPuppet, at: np.ndarray, right: np.ndarray, r: float) -> None:
    pen, who, up = figure.pen, figure.who, figure.head_up
    if who.mouth == "open":
        tall = (0.06 + 0.2 * figure.mouth) * r
        pen.ellipse(at, up, 0.24 * r, tall, (120, 30, 35), line=False)
        return
    u = MOUTH_POINTS
    curve = 0.14 if who.mouth == "smile" else 0.0
    down = (curve * r * (1 - (u / 0.32) ** 2))[:, None]
    pen.stroke(at + right * (u * r)[:, None] - up * down, 0.05 * r, (60, 25, 30))
