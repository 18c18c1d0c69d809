"""Who a puppet is: a body plan, proportions, clothes, colours, line style and a place to stand.

An identity is drawn from a seed. Its discrete traits (kind, head, headgear, torso, pattern, hue)
are hashed, and one combination in eight belongs to the test split: a combination that is a test
identity can never be drawn for training, whatever the seed, and the other way round.
"""

from __future__ import annotations

import colorsys
import zlib
from dataclasses import dataclass
from typing import Literal

import numpy as np

Split = Literal["train", "test"]
Colour = tuple[int, int, int]

KINDS = ("human", "robot", "beast", "bird", "quadruped", "blob", "stick")
KIND_ODDS = (0.38, 0.14, 0.14, 0.10, 0.08, 0.08, 0.08)
HEADS = ("round", "oval", "box", "pear")
HEADGEAR = (
    "none", "cap", "tophat", "crown", "horns", "cat ears", "bunny ears", "antenna",
    "bob hair", "spiky hair", "long hair", "mohawk", "bow", "helmet",
)  # fmt: skip
TORSOS = ("straight", "wide shoulders", "dress", "belly", "slim")
PATTERNS = ("plain", "stripes", "bars", "dots", "belly patch", "buttons", "sash", "shorts")
HELD = ("stick", "sword", "ball", "shield")
HUES = ("red", "orange", "yellow", "green", "teal", "blue", "purple", "pink", "grey", "white")
TEST_SHARE = 8  # one combination of traits in this many is a test identity


@dataclass(frozen=True)
class Identity:
    """Lengths are shares of the body's height; colours are RGB, 0..255."""

    kind: str
    head: str
    headgear: str
    torso: str
    pattern: str
    hue: str
    height: float  # of the panel's height
    base_x: float  # where it stands, 0..1 of the panel's width
    ground: float  # 0..1 of the panel's height
    facing: int  # -1 looks to the left, 1 to the right; for bodies seen from the side
    head_size: float  # radius
    torso_length: float
    shoulder: float  # half width
    hip: float  # half width
    arm: float  # upper and fore arm together
    leg: float
    thickness: float  # limb radius at its root
    taper: float  # radius at the end / radius at the root
    hand: float  # radius / end radius of the arm
    foot: float  # length
    outline: float  # line width, 0 for none
    outline_colour: Colour
    skin: Colour
    top: Colour
    bottom: Colour
    shoes: Colour
    gear: Colour
    accent: Colour
    eyes: str
    mouth: str
    extra: str  # tail, scarf, cape, glasses, belt or none
    shading: float  # 0 flat .. 0.3 strong
    arm_behind: int  # the side (0 right, 1 left, 2 none) whose arm is drawn behind the torso
    held: str = "none"  # in the hand of the side that it faces; one of HELD

    @property
    def split(self) -> Split:
        return _split_of(self.kind, self.head, self.headgear, self.torso, self.pattern, self.hue)

    @property
    def noun(self) -> str:
        noun = {"beast": "bear", "stick": "stick figure", "human": "person"}.get(
            self.kind, self.kind
        )
        return f"{'an' if self.hue == 'orange' else 'a'} {self.hue} {noun}"

    @property
    def describe(self) -> str:
        return self.noun if self.headgear == "none" else f"{self.noun} with {self.headgear}"

    @property
    def arm_name(self) -> str:
        return {"bird": "wing", "quadruped": "foreleg", "beast": "paw"}.get(self.kind, "arm")

    @property
    def leg_name(self) -> str:
        return {"quadruped": "hind leg"}.get(self.kind, "leg")


def _split_of(*traits: str) -> Split:
    # crc32, because Python's own hash changes from run to run.
    return "test" if zlib.crc32("|".join(traits).encode()) % TEST_SHARE == 0 else "train"


def sample_identity(
    rng: np.random.Generator, split: Split, kind: str | None = None, but: str = ""
) -> Identity:
    """Draw an identity of one split; `kind` asks for a body plan, `but` rules one out."""
    while True:
        picked = kind or str(rng.choice(KINDS, p=KIND_ODDS))
        head, gear = str(rng.choice(HEADS)), str(rng.choice(HEADGEAR))
        torso, pattern, hue = (str(rng.choice(x)) for x in (TORSOS, PATTERNS, HUES))
        if _split_of(picked, head, gear, torso, pattern, hue) == split and picked != but:
            break
    top = _colour(rng, hue)
    others = [_colour(rng, str(rng.choice(HUES))) for _ in range(4)]
    human_skin = rng.random() < 0.75 and picked in ("human", "stick")
    skin = _skin(rng) if human_skin else _vary(rng, top, 40) if rng.random() < 0.5 else others[3]
    if picked in ("beast", "bird", "quadruped", "blob"):
        skin = top if rng.random() < 0.6 else skin
    stout = rng.uniform(0, 1)
    legs = {"bird": (0.14, 0.26), "blob": (0.1, 0.22), "quadruped": (0.34, 0.5)}.get(
        picked, (0.3, 0.46)
    )
    leg = rng.uniform(*legs)
    head_size = rng.uniform(0.09, 0.19) if picked != "quadruped" else rng.uniform(0.1, 0.17)
    torso_length = max(0.18, 1 - leg - 2 * head_size)
    outline = float(rng.choice([0, 0, 1.0, 1.4, 2.2]))
    dark, pale = tuple(int(c * rng.uniform(0.1, 0.5)) for c in top), (245, 245, 245)
    return Identity(
        kind=picked, head=head, headgear=gear, torso=torso, pattern=pattern, hue=hue,
        height=rng.uniform(0.62, 0.82) if picked != "quadruped" else rng.uniform(0.5, 0.66),
        base_x=0.5 + rng.uniform(-0.07, 0.07),
        ground=rng.uniform(0.87, 0.96),
        facing=int(rng.choice([-1, 1])),
        head_size=head_size,
        torso_length=torso_length,
        shoulder=0.07 + 0.09 * stout + rng.uniform(-0.02, 0.02),
        hip=0.05 + 0.07 * stout + rng.uniform(-0.015, 0.02),
        arm=rng.uniform(0.28, 0.42),
        leg=leg,
        thickness=rng.uniform(0.022, 0.04) if picked == "stick" else rng.uniform(0.032, 0.062),
        taper=rng.uniform(0.65, 1.0),
        hand=rng.uniform(1.0, 1.6),
        foot=rng.uniform(0.07, 0.13),
        outline=outline,
        outline_colour=(20, 20, 25) if rng.random() < 0.6 else dark if rng.random() < 0.8 else pale,
        skin=skin, top=top, bottom=others[0], shoes=others[1], gear=others[2], accent=others[3],
        eyes=str(rng.choice(["dots", "big", "visor", "ovals"])),
        mouth=str(rng.choice(["line", "open", "smile", "none"])),
        extra=str(rng.choice(["none", "none", "tail", "scarf", "cape", "glasses", "belt"])),
        shading=float(rng.choice([0, 0, 0.12, 0.25])),
        arm_behind=int(rng.integers(0, 3)),
    )  # fmt: skip


def _colour(rng: np.random.Generator, hue: str) -> Colour:
    if hue in ("grey", "white"):
        value = int(rng.uniform(60, 170) if hue == "grey" else rng.uniform(215, 250))
        return _vary(rng, (value, value, value), 8)
    centre = {
        "red": 0.0, "orange": 0.075, "yellow": 0.145, "green": 0.33, "teal": 0.49, "blue": 0.6,
        "purple": 0.77, "pink": 0.91,
    }[hue]  # fmt: skip
    h = (centre + rng.uniform(-0.03, 0.03)) % 1
    r, g, b = colorsys.hsv_to_rgb(h, rng.uniform(0.45, 1.0), rng.uniform(0.4, 1.0))
    return int(255 * r), int(255 * g), int(255 * b)


def _skin(rng: np.random.Generator) -> Colour:
    light, dark = np.array([255, 224, 196]), np.array([92, 56, 36])
    return _vary(rng, tuple(int(c) for c in light + (dark - light) * rng.uniform(0, 1)), 10)


def _vary(rng: np.random.Generator, colour: Colour, by: int) -> Colour:
    return tuple(int(np.clip(c + rng.integers(-by, by + 1), 0, 255)) for c in colour)
