"""Puppets drawn on a canvas, back to front. About 1 ms a frame at 128x128 on one core."""

from __future__ import annotations

import numpy as np

from ..skeleton import NECK, SHOULDER, TORSO
from .body import Body
from .figure import PosedPuppet
from .head import draw_head
from .identity import Identity
from .limbs import draw_arm, draw_leg
from .pen import Pen, across
from .quadruped import draw_quadruped
from .torso import draw_torso


def draw_puppet(pen: Pen, who: Identity, body: Body, t: int, mouth: float) -> None:
    """Draw frame t of one puppet onto the pen's canvas. mouth: 0 shut .. 1 open."""
    figure = PosedPuppet.at(pen, who, body, t, mouth)
    if who.plan.on_four:
        draw_quadruped(figure)
    else:
        _draw_upright(figure)


def _draw_upright(figure: PosedPuppet) -> None:
    who = figure.who
    _draw_behind(figure)
    for side in (0, 1):
        if who.arm_behind == side:
            draw_arm(figure, side)
    for side in (0, 1):
        draw_leg(figure, side)
    draw_torso(figure)
    for side in (0, 1):
        if who.arm_behind != side:
            draw_arm(figure, side)
    draw_head(figure)
    if who.extra == "scarf":
        _draw_scarf(figure)


def _draw_behind(figure: PosedPuppet) -> None:
    """A cape or a tail."""
    pen, who, up, pelvis, h = figure.pen, figure.who, figure.up, figure.pelvis, figure.who.height
    right = across(up)
    if who.extra == "cape":
        a, b = (figure.joints[shoulder] for shoulder in SHOULDER)
        flare = right * 0.07 * h
        low = pelvis - up * 0.1 * h
        pen.polygon(
            np.array([a, b, low + (b - a) * 0.6 + flare, low - (b - a) * 0.6 - flare]), who.gear
        )
    elif who.extra == "tail":
        s = who.facing
        bend = pelvis + right * s * 0.14 * h - up * 0.02 * h
        end = pelvis + right * s * 0.22 * h + up * 0.1 * h
        pen.limb(pelvis, bend, 0.026 * h, 0.024 * h, who.top)
        pen.limb(bend, end, 0.024 * h, 0.018 * h, who.top)


def _draw_scarf(figure: PosedPuppet) -> None:
    pen, who, h = figure.pen, figure.who, figure.who.height
    neck = figure.joints[NECK]
    pen.part = TORSO
    right, left = (figure.joints[shoulder] * 0.4 + neck * 0.6 for shoulder in SHOULDER)
    pen.limb(right, left, 0.028 * h, 0.028 * h, who.accent)
    end = neck - figure.up * 0.14 * h + np.array([0.04 * h, 0])
    pen.limb(neck, end, 0.022 * h, 0.018 * h, who.accent)
