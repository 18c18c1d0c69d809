"""Kinds of body: what each is called, how it is proportioned and of which shapes it is drawn.

A new kind is a row of BODY_PLANS. Nothing else asks for a kind by its name, but for those who want
one of that name.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Range = tuple[float, float]


@dataclass(frozen=True)
class BodyPlan:
    """One kind of body. Lengths are shares of the body's height, drawn between two bounds."""

    odds: float  # how often it is drawn; all kinds together 1
    noun: str
    arm_noun: str = "arm"
    leg_noun: str = "leg"

    height: Range = (0.62, 0.82)  # of the panel's height
    leg: Range = (0.3, 0.46)
    head_size: Range = (0.09, 0.19)  # radius
    thickness: Range = (0.032, 0.062)  # limb radius at its root
    skin: Literal["human", "coat", "any"] = "any"  # coat: mostly as the torso

    on_four: bool = False  # seen from the side, on four legs
    arms: Literal["sleeves", "coat", "bars", "wings"] = "sleeves"
    legs: Literal["trousers", "coat", "bars", "stalks"] = "trousers"
    torso: Literal["cut", "smooth", "round", "line"] = "cut"
    girth: float = 1.0  # of a round torso
    head: Literal["free", "box", "in torso"] = "free"
    snout: Literal["none", "beak", "muzzle"] = "none"
    ears: bool = False
    clothed: bool = False  # a pattern on the torso has a waistband below it
    metal: bool = False  # hands of the accent's colour, and no glasses


BODY_PLANS = {
    "human": BodyPlan(0.38, "person", skin="human", clothed=True),
    "robot": BodyPlan(0.14, "robot", arms="bars", legs="bars", head="box", metal=True),
    "beast": BodyPlan(
        0.14, "bear", "paw", skin="coat",
        arms="coat", legs="coat", torso="smooth", snout="muzzle", ears=True,
    ),
    "bird": BodyPlan(
        0.10, "bird", "wing", leg=(0.14, 0.26), skin="coat",
        arms="wings", legs="stalks", torso="round", snout="beak",
    ),
    "quadruped": BodyPlan(
        0.08, "quadruped", "foreleg", "hind leg", height=(0.5, 0.66), leg=(0.34, 0.5),
        head_size=(0.1, 0.17), skin="coat", on_four=True,
    ),
    "blob": BodyPlan(
        0.08, "blob", leg=(0.1, 0.22), skin="coat",
        arms="coat", legs="coat", torso="round", girth=1.25, head="in torso",
    ),
    "stick": BodyPlan(0.08, "stick figure", thickness=(0.022, 0.04), skin="human", torso="line"),
}  # fmt: skip
