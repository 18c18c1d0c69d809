"""Draw puppets with OpenCV: anti-aliased polygons on an RGBA canvas, alpha = foreground.

About 1 ms a frame at 128x128 on one core.
"""

from __future__ import annotations

import cv2
import numpy as np

from .body import (
    ANKLE,
    ELBOW,
    EYE,
    FOOT,
    FOREARM,
    HEAD,
    HIP,
    KNEE,
    NECK,
    NOSE,
    SHIN,
    SHOULDER,
    THIGH,
    TORSO,
    UPPER_ARM,
    WRIST,
    Body,
    wing_axes,
)  # fmt: skip
from .identity import Colour, Identity

_SHIFT = 4  # sub-pixel bits of OpenCV's drawing
_HALF = np.linspace(0, np.pi, 7)
_RING = np.stack(
    [np.cos(np.linspace(0, 2 * np.pi, 22)), np.sin(np.linspace(0, 2 * np.pi, 22))], -1
)[:-1]

# Head-gear as polygons: x to the right, y up from the centre of the head, in radii of the head.
_GEAR = {
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


class Pen:
    """Draws in world units (panel heights) on one RGBA picture, with one line style.

    parts (h, w) uint8 is drawn along: every pixel says which part of the body it shows. first is
    the number of this puppet's torso there.
    """

    def __init__(
        self,
        canvas: np.ndarray,
        view: tuple[float, float, float],
        who: Identity,
        parts: np.ndarray,
        first: int,
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
        self.shading = who.shading

    def polygon(self, points: np.ndarray, colour: Colour, line: bool = True) -> None:
        fixed = np.rint((points * self.scale + self.offset - 0.5) * (1 << _SHIFT)).astype(np.int32)
        part = self.before + self.part
        cv2.fillPoly(self.canvas, [fixed], (*colour, 255), cv2.LINE_AA, _SHIFT)
        cv2.fillPoly(self.parts, [fixed], part, cv2.LINE_8, _SHIFT)
        if line and self.line:
            cv2.polylines(
                self.canvas, [fixed], True, self.line_colour, self.line, cv2.LINE_AA, _SHIFT
            )
            cv2.polylines(self.parts, [fixed], True, part, self.line, cv2.LINE_8, _SHIFT)

    def ellipse(self, centre, up, rx: float, ry: float, colour: Colour, line: bool = True) -> None:
        right = np.array([-up[1], up[0]])
        self.polygon(centre + _RING[:, :1] * rx * right - _RING[:, 1:] * ry * up, colour, line)

    def limb(self, a, b, ra: float, rb: float, colour: Colour) -> None:
        """A capsule from a to b, radius ra at a and rb at b."""
        along = b - a
        angle = np.arctan2(along[1], along[0])
        cap = np.stack([np.cos(_HALF + angle + np.pi / 2), np.sin(_HALF + angle + np.pi / 2)], -1)
        self.polygon(np.concatenate([a + ra * cap, b - rb * cap]), colour)

    def stroke(self, points: np.ndarray, width: float, colour: Colour) -> None:
        fixed = np.rint((points * self.scale + self.offset - 0.5) * (1 << _SHIFT)).astype(np.int32)
        pixels = max(1, round(width * self.scale))
        cv2.polylines(self.canvas, [fixed], False, (*colour, 255), pixels, cv2.LINE_AA, _SHIFT)
        part = self.before + self.part
        cv2.polylines(self.parts, [fixed], False, part, pixels, cv2.LINE_8, _SHIFT)


def draw_puppet(
    canvas: np.ndarray,
    view: tuple[float, float, float],
    who: Identity,
    body: Body,
    t: int,
    mouth: float,
    parts: np.ndarray,
    first: int,
) -> None:
    """Draw frame t of one puppet onto an RGBA canvas (h, w, 4) uint8 and its parts, in place.

    view: the camera (pan x, pan y, zoom), pans in panel heights; mouth: 0 shut .. 1 open; parts
    (h, w) uint8 and first: see Pen.
    """
    pen = Pen(canvas, view, who, parts, first)
    j, up, h = body.joints[t], body.up[t], who.height
    if who.kind == "quadruped":
        return _draw_quadruped(pen, who, body, t, mouth)
    _extra_behind(pen, who, j, body.pelvis[t], up, h)
    for side in (0, 1):
        if who.arm_behind == side:
            _arm(pen, who, j, side)
    for side in (0, 1):
        _leg(pen, who, j, side)
    pen.part = TORSO
    _torso(pen, who, j, body.pelvis[t], up, h)
    for side in (0, 1):
        if who.arm_behind != side:
            _arm(pen, who, j, side)
    _head(pen, who, j, body.head[t], body.head_up[t], h, mouth)
    if who.extra == "scarf":
        pen.part = TORSO
        pen.limb(
            j[SHOULDER[0]] * 0.4 + j[NECK] * 0.6,
            j[SHOULDER[1]] * 0.4 + j[NECK] * 0.6,
            0.028 * h,
            0.028 * h,
            who.accent,
        )
        pen.limb(
            j[NECK],
            j[NECK] - up * 0.14 * h + np.array([0.04 * h, 0]),
            0.022 * h,
            0.018 * h,
            who.accent,
        )


def _arm(pen: Pen, who: Identity, j: np.ndarray, side: int) -> None:
    r0, r1 = who.thickness * who.height, who.thickness * who.taper * who.height
    shoulder, elbow, wrist = j[SHOULDER[side]], j[ELBOW[side]], j[WRIST[side]]
    if who.kind == "bird":
        pen.part = UPPER_ARM[side]
        _wing(pen, who, shoulder, elbow, wrist)
        return
    sleeve = (
        who.top
        if who.kind in ("beast", "blob", "robot") or who.pattern in ("stripes", "plain")
        else who.skin
    )
    if who.kind == "robot":
        pen.part = UPPER_ARM[side]
        _bar(pen, shoulder, elbow, r0, who.top)
        pen.part = FOREARM[side]
        _bar(pen, elbow, wrist, r1, who.bottom)
        pen.ellipse(elbow, np.array([0, -1.0]), r0 * 0.7, r0 * 0.7, who.accent)
    else:
        pen.part = FOREARM[side]
        pen.limb(elbow, wrist, (r0 + r1) / 2, r1, who.skin if who.pattern != "plain" else sleeve)
        pen.part = UPPER_ARM[side]
        pen.limb(shoulder, elbow, r0, (r0 + r1) / 2, sleeve)
    pen.part = FOREARM[side]
    hand = r1 * who.hand
    if who.held != "none" and (who.facing > 0) == (side == 1):
        _held(pen, who, elbow, wrist)
    pen.ellipse(
        wrist, np.array([0, -1.0]), hand, hand, who.accent if who.kind == "robot" else who.skin
    )


def _held(pen: Pen, who: Identity, elbow, wrist) -> None:
    """A thing in the hand, which goes with the forearm."""
    along = (wrist - elbow) / (np.linalg.norm(wrist - elbow) + 1e-6)
    across, h = np.array([-along[1], along[0]]), who.height

    def at(forth: float, aside: float = 0.0) -> np.ndarray:
        return wrist + (along * forth + across * aside) * h

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


def _wing(pen: Pen, who: Identity, shoulder, elbow, wrist) -> None:
    along, down = wing_axes(shoulder, wrist)
    tips = [shoulder, elbow, wrist]
    tips += [
        shoulder + along * s + down * d
        for s, d in ((0.86, 0.34), (0.62, 0.42), (0.34, 0.44), (0.06, 0.34))
    ]
    pen.polygon(np.array(tips), who.top)
    pen.polygon(
        np.array([shoulder, elbow, wrist, shoulder + along * 0.5 + down * 0.16]),
        who.accent,
        line=False,
    )


def _leg(pen: Pen, who: Identity, j: np.ndarray, side: int) -> None:
    h = who.height
    r0, r1 = who.thickness * 1.15 * h, who.thickness * who.taper * h
    if who.kind == "bird":
        r0 = r1 = 0.016 * h
    hip, knee, ankle = j[HIP[side]], j[KNEE[side]], j[ANKLE[side]]
    colour = (
        who.accent
        if who.kind == "bird"
        else who.top
        if who.kind in ("beast", "blob")
        else who.bottom
    )
    if who.kind == "robot":
        pen.part = THIGH[side]
        _bar(pen, hip, knee, r0, who.bottom)
        pen.part = SHIN[side]
        _bar(pen, knee, ankle, r1, who.top)
    else:
        shin = who.skin if who.pattern == "shorts" else colour
        pen.part = SHIN[side]
        pen.limb(knee, ankle, (r0 + r1) / 2, r1, shin)
        pen.part = THIGH[side]
        pen.limb(hip, knee, r0, (r0 + r1) / 2, colour)
    pen.part = FOOT[side]
    toe = np.array([(-1 if side == 0 else 1) * who.foot * h * 0.7, 0.0])
    pen.limb(ankle, ankle + toe, r1 * 1.1, r1 * 0.9, who.shoes)


def _bar(pen: Pen, a, b, r: float, colour: Colour) -> None:
    along = (b - a) / (np.linalg.norm(b - a) + 1e-6)
    side = np.array([-along[1], along[0]]) * r
    pen.polygon(np.array([a + side, b + side, b - side, a - side]), colour)


def _torso(pen: Pen, who: Identity, j: np.ndarray, pelvis, up, h: float) -> None:
    right = np.array([-up[1], up[0]])
    neck = j[NECK]
    if who.kind == "stick":
        pen.limb(neck, pelvis, who.thickness * h, who.thickness * h, who.top)
        return
    top, low = who.shoulder * h, who.hip * h
    widths = {  # half widths at five heights from the neck to the pelvis, as shares
        "straight": (0.75, 1.05, 1, 1, 1), "wide shoulders": (0.85, 1.25, 1.1, 0.85, 0.8),
        "dress": (0.6, 0.9, 0.75, 1.3, 2.0), "belly": (0.6, 1, 1.35, 1.45, 1.1),
        "slim": (0.6, 0.9, 0.75, 0.75, 0.9),
    }[who.torso]  # fmt: skip
    at = np.array([0.02, 0.12, 0.45, 0.8, 1.08])
    half = (top + (low - top) * at) * np.array(widths) + 0.012 * h
    if who.kind in ("bird", "blob"):
        half = (
            half.max()
            * np.array([0.55, 0.95, 1.25, 1.15, 0.6])
            * (1.25 if who.kind == "blob" else 1)
        )
    spine = neck + (pelvis - neck) * at[:, None]
    left, rightside = spine - right * half[:, None], spine + right * half[:, None]
    if who.kind in ("bird", "blob", "beast") or who.torso == "belly":
        outline = np.concatenate([_smooth(left), _smooth(rightside)[::-1]])
    else:
        outline = np.concatenate([left, rightside[::-1]])
    pen.polygon(outline, who.top)
    if who.shading:
        light = _lighten(who.top, who.shading)
        pen.polygon(
            np.concatenate(
                [left + right * half[:, None] * 0.18, spine[::-1] - right * half[::-1, None] * 0.3]
            ),
            light,
            line=False,
        )
    _pattern(pen, who, spine, right, half, up, h)


def _pattern(pen: Pen, who: Identity, spine, right, half, up, h: float) -> None:
    def at(v: float, u: float) -> np.ndarray:
        """Point at share v from neck to pelvis and share u of the half width."""
        x = v * (len(half) - 1)
        i = min(int(x), len(half) - 2)
        s = x - i
        return (
            spine[i] * (1 - s)
            + spine[i + 1] * s
            + right * u * (half[i] * (1 - s) + half[i + 1] * s)
        )

    quad = lambda v0, v1, u0, u1: np.array([at(v0, u0), at(v0, u1), at(v1, u1), at(v1, u0)])  # noqa: E731
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
        pen.ellipse(
            at(0.62, 0), up, half.max() * 0.6, 0.3 * who.torso_length * h, who.accent, line=False
        )
    elif who.pattern == "buttons":
        for v in (0.3, 0.5, 0.7):
            pen.ellipse(at(v, 0), up, 0.015 * h, 0.015 * h, who.accent, line=False)
    elif who.pattern == "sash":
        pen.polygon(
            np.array([at(0.1, -0.85), at(0.1, -0.45), at(0.9, 0.9), at(0.9, 0.5)]),
            who.accent,
            line=False,
        )
    if who.kind == "human" and who.pattern != "plain" and who.torso != "dress":
        pen.polygon(quad(0.8, 1.0, -1.0, 1.0), who.bottom, line=False)
    if who.extra == "belt":
        pen.polygon(quad(0.74, 0.84, -1.0, 1.0), who.gear, line=False)


def _head(pen: Pen, who: Identity, j: np.ndarray, centre, up, h: float, mouth: float) -> None:
    r = who.head_size * h
    right = np.array([-up[1], up[0]])
    ahead = (j[NOSE] - centre) @ right
    pen.part = HEAD
    _gear_behind(pen, who, centre, up, right, r)
    if who.kind != "blob":
        if who.head == "box" or (who.kind == "robot" and who.head != "round"):
            a, b = right * r * 0.95, up * r * 0.9
            pen.polygon(
                np.array([centre - a + b, centre + a + b, centre + a - b, centre - a - b]), who.skin
            )
        elif who.head == "pear":
            pen.polygon(centre + _smooth_ring(right, up, r), who.skin)
        else:
            pen.ellipse(centre, up, r * (0.86 if who.head == "oval" else 1.0), r * 1.02, who.skin)
        if who.shading:
            pen.ellipse(
                centre + (up - right) * r * 0.3,
                up,
                r * 0.42,
                r * 0.36,
                _lighten(who.skin, who.shading),
                line=False,
            )
    _eyes(pen, who, j, up, right, r)
    nose = centre + right * ahead - up * 0.12 * r
    if who.kind == "bird":
        beak = np.array(
            [
                nose + right * 0.26 * r,
                nose - right * 0.26 * r,
                nose - up * (0.5 + 0.2 * mouth) * r + right * ahead * 0.8,
            ]
        )
        pen.polygon(beak, who.accent)
    elif who.kind == "beast":
        pen.ellipse(
            nose - up * 0.15 * r, up, 0.42 * r, 0.32 * r, _lighten(who.skin, 0.35), line=False
        )
        pen.ellipse(nose, up, 0.14 * r, 0.1 * r, (30, 25, 25), line=False)
    if who.mouth != "none" and who.kind != "bird":
        _mouth(pen, who, nose - up * 0.38 * r, up, right, r, mouth)
    _gear(pen, who, centre, up, right, r)
    if who.extra == "glasses" and who.kind != "robot":
        for side in (0, 1):
            ring = j[EYE[side]] + _RING * 0.26 * r
            pen.stroke(np.concatenate([ring, ring[:1]]), 0.012 * h, (30, 30, 30))


def _eyes(pen: Pen, who: Identity, j: np.ndarray, up, right, r: float) -> None:
    dark = (25, 20, 25) if sum(who.skin) > 240 else (240, 240, 235)
    if who.eyes == "visor":
        middle = (j[EYE[0]] + j[EYE[1]]) / 2
        a, b = right * 0.62 * r, up * 0.2 * r
        pen.polygon(
            np.array([middle - a + b, middle + a + b, middle + a - b, middle - a - b]), who.gear
        )
        return
    for side in (0, 1):
        if who.eyes == "big":
            pen.ellipse(j[EYE[side]], up, 0.26 * r, 0.3 * r, (250, 250, 250))
        size = 0.14 if who.eyes == "big" else 0.12
        tall = size * (1.9 if who.eyes == "ovals" else 1.0)
        colour = (25, 20, 25) if who.eyes == "big" else dark
        pen.ellipse(j[EYE[side]], up, size * r, tall * r, colour, line=False)


def _mouth(pen: Pen, who: Identity, at, up, right, r: float, openness: float) -> None:
    if who.mouth == "open":
        pen.ellipse(at, up, 0.24 * r, (0.06 + 0.2 * openness) * r, (120, 30, 35), line=False)
    else:
        curve = 0.14 if who.mouth == "smile" else 0.0
        u = np.array([-0.32, -0.16, 0, 0.16, 0.32])
        points = at + right * (u * r)[:, None] - up * (curve * r * (1 - (u / 0.32) ** 2))[:, None]
        pen.stroke(points, 0.05 * r, (60, 25, 30))


def _gear_behind(pen: Pen, who: Identity, centre, up, right, r: float) -> None:
    if who.headgear == "long hair":
        hair = [(-0.7, 1), (0.7, 1), (1.25, -1.5), (0.4, -1.3), (-0.4, -1.3), (-1.25, -1.5)]
        pen.polygon(np.array([centre + right * x * r + up * y * r for x, y in hair]), who.gear)
    elif who.headgear == "bob hair":
        pen.ellipse(centre + up * 0.08 * r, up, 1.22 * r, 1.2 * r, who.gear)
    elif who.headgear in ("cat ears", "bunny ears", "horns"):
        tall, wide = {"cat ears": (0.75, 0.42), "bunny ears": (1.7, 0.3), "horns": (0.9, 0.2)}[
            who.headgear
        ]
        for s in (-1, 1):
            root = centre + up * 0.75 * r + right * s * 0.55 * r
            tip = root + up * tall * r + right * s * 0.2 * r
            colour = who.gear if who.headgear == "horns" else who.skin
            pen.polygon(
                np.array([root - right * wide * r, tip, root + right * wide * r - up * 0.2 * r]),
                colour,
            )
    elif who.kind == "beast":
        for s in (-1, 1):
            pen.ellipse(
                centre + (up * 0.75 + right * s * 0.75) * r, up, 0.36 * r, 0.36 * r, who.skin
            )


def _gear(pen: Pen, who: Identity, centre, up, right, r: float) -> None:
    def at(x: float, y: float) -> np.ndarray:
        return centre + right * x * r + up * y * r

    if who.headgear in _GEAR:
        pen.polygon(np.array([at(*p) for p in _GEAR[who.headgear]]), who.gear)
        if who.headgear == "tophat":
            pen.polygon(
                np.array([at(-0.73, 0.9), at(0.73, 0.9), at(0.74, 1.12), at(-0.74, 1.12)]),
                who.accent,
                line=False,
            )
    elif who.headgear == "antenna":
        pen.stroke(np.array([at(0, 0.9), at(0, 1.6)]), 0.1 * r, who.gear)
        pen.ellipse(at(0, 1.7), up, 0.2 * r, 0.2 * r, who.accent)


def _extra_behind(pen: Pen, who: Identity, j: np.ndarray, pelvis, up, h: float) -> None:
    right = np.array([-up[1], up[0]])
    if who.extra == "cape":
        a, b = j[SHOULDER[0]], j[SHOULDER[1]]
        flare = right * 0.07 * h
        low = pelvis - up * 0.1 * h
        pen.polygon(
            np.array([a, b, low + (b - a) * 0.6 + flare, low - (b - a) * 0.6 - flare]), who.gear
        )
    elif who.extra == "tail":
        s = who.facing
        points = [
            pelvis,
            pelvis + right * s * 0.14 * h - up * 0.02 * h,
            pelvis + right * s * 0.22 * h + up * 0.1 * h,
        ]
        pen.limb(points[0], points[1], 0.026 * h, 0.024 * h, who.top)
        pen.limb(points[1], points[2], 0.024 * h, 0.018 * h, who.top)


def _draw_quadruped(pen: Pen, who: Identity, body: Body, t: int, mouth: float) -> None:
    j, up, h = body.joints[t], body.up[t], who.height
    pelvis, front = body.pelvis[t], j[NECK] - up * 0.05 * h
    along = front - pelvis
    r = (who.hip * 0.7 + 0.07) * h
    dark = _lighten(who.top, -0.25)
    r0, r1 = who.thickness * 1.15 * h, who.thickness * who.taper * h

    def leg(joints: tuple[int, int, int], parts: tuple[int, int, int], colour: Colour) -> None:
        a, b, c = joints
        pen.part = parts[1]
        pen.limb(j[b], j[c], (r0 + r1) / 2, r1, colour)
        pen.part = parts[0]
        pen.limb(j[a], j[b], r0, (r0 + r1) / 2, colour)
        pen.part = parts[2]
        pen.limb(j[c], j[c] + np.array([who.facing * 0.04 * h, 0]), r1, r1, who.shoes)

    fore = [(SHOULDER[i], ELBOW[i], WRIST[i]) for i in (0, 1)]
    hind = [(HIP[i], KNEE[i], ANKLE[i]) for i in (0, 1)]
    of_fore = [(UPPER_ARM[i], FOREARM[i], FOREARM[i]) for i in (0, 1)]
    of_hind = [(THIGH[i], SHIN[i], FOOT[i]) for i in (0, 1)]
    leg(fore[0], of_fore[0], dark)
    leg(hind[0], of_hind[0], dark)
    pen.part = TORSO
    tail = (
        pelvis
        - along / np.linalg.norm(along) * 0.16 * h
        + up * (0.1 if who.extra == "tail" else 0.0) * h
    )
    pen.limb(pelvis, tail, 0.026 * h, 0.014 * h, who.top)
    pen.limb(pelvis, front, r, r * 1.05, who.top)
    if who.pattern in ("stripes", "bars"):
        for s in (0.2, 0.45, 0.7):
            pen.limb(
                pelvis + along * s + up * r * 0.7,
                pelvis + along * s - up * r * 0.5,
                0.022 * h,
                0.014 * h,
                who.accent,
            )
    elif who.pattern in ("dots", "belly patch"):
        for s, d in ((0.15, 0.2), (0.4, -0.2), (0.65, 0.25), (0.9, -0.1)):
            pen.ellipse(
                pelvis + along * s + up * r * d, up, 0.035 * h, 0.03 * h, who.accent, line=False
            )
    leg(hind[1], of_hind[1], who.top)
    leg(fore[1], of_fore[1], who.top)
    pen.part = HEAD
    pen.limb(front, body.head[t], r * 0.62, who.head_size * h * 0.6, who.top)
    if who.extra == "scarf":
        pen.part = TORSO
        pen.limb(front + up * r * 0.7, front + up * r * 0.2, 0.05 * h, 0.05 * h, who.accent)
    _head(pen, who, j, body.head[t], body.head_up[t], h, mouth)


def _lighten(colour: Colour, by: float) -> Colour:
    """by > 0 towards white, by < 0 towards black."""
    goal = 255 if by > 0 else 0
    return tuple(int(c + (goal - c) * abs(by)) for c in colour)


def _smooth(points: np.ndarray) -> np.ndarray:
    """One round of corner cutting (Chaikin), the ends kept."""
    a, b = points[:-1], points[1:]
    cut = np.stack([0.75 * a + 0.25 * b, 0.25 * a + 0.75 * b], axis=1).reshape(-1, 2)
    return np.concatenate([points[:1], cut, points[-1:]])


def _smooth_ring(right, up, r: float) -> np.ndarray:
    """A head narrower at the top than at the chin."""
    wide = 0.82 - 0.24 * _RING[:, 1:]
    return _RING[:, :1] * wide * 1.15 * r * right + _RING[:, 1:] * r * 1.02 * up
