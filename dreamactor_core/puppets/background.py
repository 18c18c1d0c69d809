"""What puppets stand before: gradients, patterns, simple scenes, photographs' statistics, things.

Pictures are (size, size, 3) uint8 RGB. What is drawn depends on rng alone, not on the size.
"""

from __future__ import annotations

import cv2
import numpy as np

from .subpixels import FIXED_POINT_BITS, fixed_point

BACKGROUNDS = (
    "plain", "vertical", "diagonal", "room", "hills", "stripes", "checks", "blobs", "noise", "sun",
)  # fmt: skip
BACKGROUND_ODDS = (0.16, 0.12, 0.08, 0.2, 0.12, 0.05, 0.05, 0.08, 0.08, 0.06)
LEAVES = 120  # of a picture like a photograph: enough to hide what is below


def draw_background(rng: np.random.Generator, size: int) -> np.ndarray:
    """(size, size, 3) uint8: plain, gradients, patterns, simple scenes, soft noise."""
    a, b, c = (rng.integers(30, 256, 3).astype(float) for _ in range(3))
    if rng.random() < 0.5:  # calm colours, as most pictures have
        a, b, c = (x * 0.5 + x.mean() * 0.3 + 40 for x in (a, b, c))
    y, x = np.mgrid[0:size, 0:size] / size
    kind = rng.choice(BACKGROUNDS, p=BACKGROUND_ODDS)
    picture = np.tile(a, (size, size, 1))
    if kind == "vertical":
        picture = a + (b - a) * y[..., None]
    elif kind == "diagonal":
        picture = a + (b - a) * ((x + y) / 2)[..., None]
    elif kind == "room":
        floor = rng.uniform(0.65, 0.88)
        picture = np.where(y[..., None] > floor, b * (0.75 + 0.25 * y[..., None]), a)
        picture[np.abs(y - floor) < 0.008] = c
    elif kind == "hills":
        line = rng.uniform(0.55, 0.75) + 0.06 * np.sin(x * rng.uniform(4, 10) + rng.uniform(0, 6))
        picture = np.where((y > line)[..., None], b, a + (255 - a) * 0.4 * (1 - y[..., None]))
    elif kind == "stripes":
        angle, count = rng.uniform(0, np.pi), rng.uniform(3, 8)
        wave = np.sin(2 * np.pi * count * (x * np.cos(angle) + y * np.sin(angle)))
        picture = a + (b - a) * 0.35 * np.clip(wave * 4, 0, 1)[..., None]
    elif kind == "checks":
        squares = rng.integers(3, 7)
        odd = ((x * squares).astype(int) + (y * squares).astype(int)) % 2
        picture = a + (b - a) * 0.3 * odd[..., None]
    elif kind in ("blobs", "noise"):
        grid = rng.uniform(-1, 1, (4, 4, 3) if kind == "blobs" else (12, 12, 3)).astype(np.float32)
        soft = cv2.resize(grid, (size, size), interpolation=cv2.INTER_CUBIC)
        picture = a + soft * (60 if kind == "blobs" else 22)
    elif kind == "sun":
        far = np.hypot(x - rng.uniform(0.1, 0.9), y - rng.uniform(0.05, 0.4))
        picture = np.where(
            (far < rng.uniform(0.06, 0.15))[..., None], c, a + (b - a) * y[..., None]
        )
    return np.clip(picture, 0, 255).astype(np.uint8)


def draw_photograph(rng: np.random.Generator, size: int) -> np.ndarray:
    """Something with the statistics of a photograph, and nothing on it.

    Leaves of all sizes that hide each other, as many of radius r as r ** -3, have the spectrum and
    the edges of natural pictures (Lee, Mumford and Huang 2001, section 3). Colours differ mostly in
    brightness, less from blue to yellow, least from green to red (Ruderman et al. 1998, figure 2).
    """
    colour_axes = np.array([[1, 1, 1], [1, 1, -2], [1, -1, 0]]) / np.sqrt([[3], [6], [2]])
    middle = rng.uniform(70, 170)
    spread = np.array([85, 26, 11]) * rng.uniform(0.5, 1.2)
    colours = (middle + rng.normal(0, spread, (LEAVES + 2, 3)) @ colour_axes).clip(0, 255)
    share = np.linspace(0, 1, size)[:, None, None]
    picture = np.tile(colours[0] * (1 - share) + colours[1] * share, (1, size, 1))
    picture = np.ascontiguousarray(picture, np.uint8)
    places = rng.uniform(-0.1, 1.1, (LEAVES, 2))
    radii = 0.025 / np.sqrt(rng.uniform(0.004, 1, LEAVES))  # of the panel
    flat, turn = rng.uniform(0.3, 1, LEAVES), rng.uniform(0, 360, LEAVES)
    blur = rng.uniform(0, 0.012)
    for place, radius, squeeze, angle, colour in zip(
        places, radii, flat, turn, colours[2:], strict=True
    ):
        centre = fixed_point(place * size - 0.5).tolist()
        axes = fixed_point(np.array([radius, radius * squeeze]) * size).tolist()
        style = (colour.tolist(), -1, cv2.LINE_AA, FIXED_POINT_BITS)
        cv2.ellipse(picture, centre, axes, angle, 0, 360, *style)
    return cv2.GaussianBlur(picture, (0, 0), blur * size) if blur * size > 0.3 else picture


def furnish(rng: np.random.Generator, picture: np.ndarray) -> np.ndarray:
    """The picture with one to three things that stand or hang there."""
    picture, size = picture.copy(), len(picture)

    def polygon(points: list[tuple[float, float]], colour: np.ndarray) -> None:
        corners = fixed_point(np.array(points) * size - 0.5)
        cv2.fillPoly(picture, [corners], colour.tolist(), cv2.LINE_AA, FIXED_POINT_BITS)

    def disc(x: float, y: float, radius: float, colour: np.ndarray) -> None:
        centre = fixed_point(np.array([x, y]) * size - 0.5).tolist()
        pixels = int(fixed_point(np.array(radius * size)))
        cv2.circle(picture, centre, pixels, colour.tolist(), -1, cv2.LINE_AA, FIXED_POINT_BITS)

    def bar(x0: float, y0: float, x1: float, y1: float, colour: np.ndarray) -> None:
        polygon([(x0, y0), (x1, y0), (x1, y1), (x0, y1)], colour)

    for _ in range(rng.integers(1, 4)):
        kind = rng.choice(["crate", "ball", "post", "tree", "window"])
        x, floor, scale = rng.uniform(0.02, 0.98), rng.uniform(0.72, 0.96), rng.uniform(0.6, 1.4)
        a, b = rng.integers(20, 245, (2, 3)).astype(float)
        if kind == "crate":
            w, h = 0.09 * scale, 0.16 * scale
            bar(x - w, floor - h, x + w, floor, a)
            bar(x - w, floor - h * 0.55, x + w, floor - h * 0.45, b)
            polygon([(x - w, floor - h), (x - w * 0.7, floor - h), (x + w, floor)], b)
        elif kind == "ball":
            disc(x, floor - 0.06 * scale, 0.06 * scale, a)
            disc(x - 0.02 * scale, floor - 0.08 * scale, 0.02 * scale, b)
        elif kind == "post":
            w, top = 0.012 * scale, floor - 0.6 * scale
            bar(x - w, top, x + w, floor, a)
            disc(x, top, 0.04 * scale, b)
        elif kind == "tree":
            bar(x - 0.02 * scale, floor - 0.3 * scale, x + 0.02 * scale, floor, a)
            for at in (-0.07, 0.0, 0.07):
                disc(x + at * scale, floor - (0.42 - abs(at)) * scale, 0.1 * scale, b)
        else:
            w, y = 0.1 * scale, rng.uniform(0.15, 0.35)
            bar(x - w, y - w, x + w, y + w, a)
            for side in (-1, 1):
                for row in (-1, 1):
                    cx, cy, r = x + side * w * 0.47, y + row * w * 0.47, w * 0.4
                    bar(cx - r, cy - r, cx + r, cy + r, b)
    return picture
