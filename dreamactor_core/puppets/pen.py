"""The pen that draws puppets: anti-aliased polygons on an RGBA canvas, alpha = foreground.

It works in world units: panel heights, x to the right, y down, origin at the top left corner.
"""

from __future__ import annotations

import cv2
import numpy as np

from ..skeleton import TORSO
from .camera import View
from .colours import Colour
from .identity import Identity
from .subpixels import FIXED_POINT_BITS, fixed_point

HALF_TURN = np.linspace(0, np.pi, 7)
FULL_TURN = np.linspace(0, 2 * np.pi, 22)
UNIT_RING = np.stack([np.cos(FULL_TURN), np.sin(FULL_TURN)], -1)[:-1]  # (21, 2) on the unit circle


class Pen:
    """Draws on one RGBA picture, with one line style.

    parts (h, w) uint8 is drawn along: every pixel says which part of the body it shows. first is
    the number of this puppet's torso there.
    """

    def __init__(
        self, canvas: np.ndarray, view: View, who: Identity, parts: np.ndarray, first: int
    ):
        self.canvas = canvas  # (h, w, 4) uint8
        self.parts = parts
        self.before = first - TORSO
        self.part = TORSO  # of what is drawn next
        height, width = canvas.shape[:2]
        pan_x, pan_y, zoom = view
        self.scale = height * zoom
        self.offset = np.array(
            [width / 2 - (0.5 + pan_x) * self.scale, height / 2 - (0.5 + pan_y) * self.scale]
        )
        self.line = max(1, round(who.outline * height / 128)) if who.outline else 0
        self.line_colour = (*who.outline_colour, 255)

    def polygon(self, points: np.ndarray, colour: Colour, line: bool = True) -> None:
        """Fill points (n, 2), and outline them if the style has outlines."""
        fixed, part = self._fixed(points), self.before + self.part
        cv2.fillPoly(self.canvas, [fixed], (*colour, 255), cv2.LINE_AA, FIXED_POINT_BITS)
        cv2.fillPoly(self.parts, [fixed], part, cv2.LINE_8, FIXED_POINT_BITS)
        if line and self.line:
            self._lines(fixed, True, self.line, self.line_colour)

    def ellipse(
        self,
        centre: np.ndarray,
        up: np.ndarray,
        rx: float,
        ry: float,
        colour: Colour,
        line: bool = True,
    ) -> None:
        """rx across up, ry along it."""
        right = across(up)
        self.polygon(
            centre + UNIT_RING[:, :1] * rx * right - UNIT_RING[:, 1:] * ry * up, colour, line
        )

    def limb(self, a: np.ndarray, b: np.ndarray, ra: float, rb: float, colour: Colour) -> None:
        """A capsule from a to b, radius ra at a and rb at b."""
        along = b - a
        angle = HALF_TURN + np.arctan2(along[1], along[0]) + np.pi / 2
        cap = np.stack([np.cos(angle), np.sin(angle)], -1)
        self.polygon(np.concatenate([a + ra * cap, b - rb * cap]), colour)

    def bar(self, a: np.ndarray, b: np.ndarray, r: float, colour: Colour) -> None:
        """A rectangle from a to b, 2r wide."""
        along = (b - a) / (np.linalg.norm(b - a) + 1e-6)
        side = across(along) * r
        self.polygon(np.array([a + side, b + side, b - side, a - side]), colour)

    def part_bar(self, part: int, a: np.ndarray, b: np.ndarray, r: float, colour: Colour) -> None:
        """The same, of a part, which is drawn on from here."""
        self.part = part
        self.bar(a, b, r, colour)

    def stroke(self, points: np.ndarray, width: float, colour: Colour) -> None:
        """An open line through points (n, 2)."""
        pixels = max(1, round(width * self.scale))
        self._lines(self._fixed(points), False, pixels, (*colour, 255))

    def _lines(self, fixed: np.ndarray, closed: bool, width: int, colour: tuple) -> None:
        part = self.before + self.part
        cv2.polylines(self.canvas, [fixed], closed, colour, width, cv2.LINE_AA, FIXED_POINT_BITS)
        cv2.polylines(self.parts, [fixed], closed, part, width, cv2.LINE_8, FIXED_POINT_BITS)

    def _fixed(self, points: np.ndarray) -> np.ndarray:
        return fixed_point(points * self.scale + self.offset - 0.5)


def across(along: np.ndarray) -> np.ndarray:
    """(2,) a quarter turn clockwise in the picture: to the right of what points up."""
    return np.array([-along[1], along[0]])


def rounded(points: np.ndarray) -> np.ndarray:
    """One round of corner cutting (Chaikin), the ends kept."""
    a, b = points[:-1], points[1:]
    cut = np.stack([0.75 * a + 0.25 * b, 0.25 * a + 0.75 * b], axis=1).reshape(-1, 2)
    return np.concatenate([points[:1], cut, points[-1:]])
