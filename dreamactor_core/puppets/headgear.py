"""What is worn on a head, and its ears."""

from __future__ import annotations

import numpy as np

from .figure import PosedPuppet
from .pen import across

# Head-gear as polygons: x to the right, y up from the centre of the head, in radii of the head.
GEAR = {
    "cap": [
        (-1, 0.45), (1.35, 0.45), (1.3, 0.6), (0.9, 0.65), (0.7, 1.05), (0, 1.2), (-0.7, 1.05),
        (-1, 0.6),
    ],
    "tophat": [
        (-1.2, 0.7), (1.2, 0.7), (1.2, 0.88), (0.72, 0.88), (0.78, 1.9), (-0.78, 1.9),
        (-0.72, 0.88), (-1.2, 0.88),
    ],
    "crown": [
        (-0.8, 0.7), (0.8, 0.7), (0.95, 1.5), (0.45, 1.1), (0, 1.6), (-0.45, 1.1), (-0.95, 1.5),
    ],
    "bob hair": [
        (-0.95, 0.35), (-0.3, 0.55), (0.95, 0.35), (0.75, 0.95), (0, 1.15), (-0.75, 0.95),
    ],
    "long hair": [
        (-0.95, 0.3), (0.1, 0.62), (0.95, 0.3), (0.75, 0.95), (0, 1.15), (-0.75, 0.95),
    ],
    "spiky hair": [
        (-1, 0.45), (-0.2, 0.6), (1, 0.45), (1.2, 1.0), (0.7, 0.95), (0.6, 1.5), (0.2, 1.05),
        (-0.1, 1.6), (-0.4, 1.05), (-0.8, 1.4), (-0.8, 0.9), (-1.25, 0.9),
    ],
    "mohawk": [(-0.2, 0.7), (0.2, 0.7), (0.3, 1.8), (0, 1.6), (-0.3, 1.8)],
    "helmet": [
        (-1.1, 0.2), (1.1, 0.2), (1.0, 0.8), (0.6, 1.15), (0, 1.28), (-0.6, 1.15), (-1.0, 0.8),
    ],
    "bow": [(0, 1.0), (0.75, 1.45), (0.75, 0.75), (0, 1.0), (-0.75, 0.75), (-0.75, 1.45)],
}  # fmt: skip
LONG_HAIR = [(-0.7, 1), (0.7, 1), (1.25, -1.5), (0.4, -1.3), (-0.4, -1.3), (-1.25, -1.5)]
POINTED = {"cat ears": (0.75, 0.42), "bunny ears": (1.7, 0.3), "horns": (0.9, 0.2)}  # tall, wide


def draw_headgear_behind(figure: PosedPuppet) -> None:
    """What the head hides some of: long hair, ears, horns."""
    pen, who, centre, up = figure.pen, figure.who, figure.head, figure.head_up
    r, right = who.head_size * who.height, across(up)
    if who.headgear == "long hair":
        pen.polygon(_on_head(figure, LONG_HAIR), who.gear)
    elif who.headgear == "bob hair":
        pen.ellipse(centre + up * 0.08 * r, up, 1.22 * r, 1.2 * r, who.gear)
    elif who.headgear in POINTED:
        tall, wide = POINTED[who.headgear]
        colour = who.gear if who.headgear == "horns" else who.skin
        for s in (-1, 1):
            root = centre + up * 0.75 * r + right * s * 0.55 * r
            tip = root + up * tall * r + right * s * 0.2 * r
            inner, outer = root - right * wide * r, root + right * wide * r - up * 0.2 * r
            pen.polygon(np.array([inner, tip, outer]), colour)
    elif who.plan.ears:
        for s in (-1, 1):
            ear = centre + (up * 0.75 + right * s * 0.75) * r
            pen.ellipse(ear, up, 0.36 * r, 0.36 * r, who.skin)


def draw_headgear(figure: PosedPuppet) -> None:
    """What hides some of the head: hats, hair, an antenna."""
    pen, who, up = figure.pen, figure.who, figure.head_up
    r = who.head_size * who.height
    if who.headgear in GEAR:
        pen.polygon(_on_head(figure, GEAR[who.headgear]), who.gear)
    if who.headgear == "tophat":
        band = _on_head(figure, [(-0.73, 0.9), (0.73, 0.9), (0.74, 1.12), (-0.74, 1.12)])
        pen.polygon(band, who.accent, line=False)
    elif who.headgear == "antenna":
        pen.stroke(_on_head(figure, [(0, 0.9), (0, 1.6)]), 0.1 * r, who.gear)
        pen.ellipse(_on_head(figure, [(0, 1.7)])[0], up, 0.2 * r, 0.2 * r, who.accent)


def _on_head(figure: PosedPuppet, points: list[tuple[float, float]]) -> np.ndarray:
    """Points (n, 2) as GEAR has them -> world units."""
    up, r = figure.head_up, figure.who.head_size * figure.who.height
    right = across(up)
    return np.array([figure.head + right * x * r + up * y * r for x, y in points])
