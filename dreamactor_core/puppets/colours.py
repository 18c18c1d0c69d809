"""Colours of puppets: drawn for a hue or a skin, varied, lightened. RGB, 0..255."""

from __future__ import annotations

import colorsys
from collections.abc import Iterable

import numpy as np

Colour = tuple[int, int, int]

HUES = ("red", "orange", "yellow", "green", "teal", "blue", "purple", "pink", "grey", "white")
HUE_CENTRES = {  # on the colour circle, 0..1
    "red": 0.0, "orange": 0.075, "yellow": 0.145, "green": 0.33, "teal": 0.49, "blue": 0.6,
    "purple": 0.77, "pink": 0.91,
}  # fmt: skip
LIGHT_SKIN, DARK_SKIN = np.array([255, 224, 196]), np.array([92, 56, 36])


def hue_colour(rng: np.random.Generator, hue: str) -> Colour:
    """A random colour that people call by the name `hue`, one of HUES."""
    if hue in ("grey", "white"):
        value = int(rng.uniform(60, 170) if hue == "grey" else rng.uniform(215, 250))
        return vary_colour(rng, (value, value, value), 8)
    h = (HUE_CENTRES[hue] + rng.uniform(-0.03, 0.03)) % 1
    r, g, b = colorsys.hsv_to_rgb(h, rng.uniform(0.45, 1.0), rng.uniform(0.4, 1.0))
    return int(255 * r), int(255 * g), int(255 * b)


def skin_colour(rng: np.random.Generator) -> Colour:
    """A random human skin."""
    between = LIGHT_SKIN + (DARK_SKIN - LIGHT_SKIN) * rng.uniform(0, 1)
    return vary_colour(rng, colour_of(between), 10)


def vary_colour(rng: np.random.Generator, colour: Colour, by: int) -> Colour:
    """Each channel moved by at most `by`."""
    return colour_of(np.clip(c + rng.integers(-by, by + 1), 0, 255) for c in colour)


def lighten(colour: Colour, by: float) -> Colour:
    """by > 0 towards white, by < 0 towards black; -1..1."""
    goal = 255 if by > 0 else 0
    return colour_of(c + (goal - c) * abs(by) for c in colour)


def colour_of(channels: Iterable[float]) -> Colour:
    """Each rounded down."""
    red, green, blue = (int(channel) for channel in channels)
    return red, green, blue
