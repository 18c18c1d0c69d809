"""Who a puppet is: a body plan, proportions, clothes, colours, line style and a place to stand.

An identity is drawn from a seed. Its discrete traits (kind, head, headgear, torso, pattern, hue)
are hashed, and one combination in eight belongs to the test split: a combination that is a test
identity can never be drawn for training, whatever the seed, and the other way round.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .body_plan import BODY_PLANS, BodyPlan
from .colours import HUES, Colour, colour_of, hue_colour, skin_colour, vary_colour
from .splits import Split, split_of

HEADS = ("round", "oval", "box", "pear")
HEADGEAR = (
    "none", "cap", "tophat", "crown", "horns", "cat ears", "bunny ears", "antenna",
    "bob hair", "spiky hair", "long hair", "mohawk", "bow", "helmet",
)  # fmt: skip
TORSOS = ("straight", "wide shoulders", "dress", "belly", "slim")
PATTERNS = ("plain", "stripes", "bars", "dots", "belly patch", "buttons", "sash", "shorts")
HELD = ("stick", "sword", "ball", "shield")


@dataclass(frozen=True)
class Identity:
    """Lengths are shares of the body's height; colours are RGB, 0..255."""

    kind: str  # a key of BODY_PLANS
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
        return split_of(self.kind, self.head, self.headgear, self.torso, self.pattern, self.hue)

    @property
    def plan(self) -> BodyPlan:
        return BODY_PLANS[self.kind]


def sample_identity(
    rng: np.random.Generator, split: Split, kind: str | None = None, but: str = ""
) -> Identity:
    """Draw an identity of one split; `kind` asks for a body plan, `but` rules one out."""
    odds = [plan.odds for plan in BODY_PLANS.values()]
    while True:
        picked = kind or str(rng.choice(list(BODY_PLANS), p=odds))
        head, gear = str(rng.choice(HEADS)), str(rng.choice(HEADGEAR))
        torso, pattern, hue = (str(rng.choice(x)) for x in (TORSOS, PATTERNS, HUES))
        if split_of(picked, head, gear, torso, pattern, hue) == split and picked != but:
            break
    plan = BODY_PLANS[picked]
    top = hue_colour(rng, hue)
    others = [hue_colour(rng, str(rng.choice(HUES))) for _ in range(4)]
    skin = _skin(rng, plan, top, others[3])
    stout = rng.uniform(0, 1)
    leg = rng.uniform(*plan.leg)
    head_size = rng.uniform(*plan.head_size)
    torso_length = max(0.18, 1 - leg - 2 * head_size)
    outline = float(rng.choice([0, 0, 1.0, 1.4, 2.2]))
    dark, pale = colour_of(c * rng.uniform(0.1, 0.5) for c in top), (245, 245, 245)
    return Identity(
        kind=picked, head=head, headgear=gear, torso=torso, pattern=pattern, hue=hue,
        height=rng.uniform(*plan.height),
        base_x=0.5 + rng.uniform(-0.07, 0.07),
        ground=rng.uniform(0.87, 0.96),
        facing=int(rng.choice([-1, 1])),
        head_size=head_size,
        torso_length=torso_length,
        shoulder=0.07 + 0.09 * stout + rng.uniform(-0.02, 0.02),
        hip=0.05 + 0.07 * stout + rng.uniform(-0.015, 0.02),
        arm=rng.uniform(0.28, 0.42),
        leg=leg,
        thickness=rng.uniform(*plan.thickness),
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


def _skin(rng: np.random.Generator, plan: BodyPlan, top: Colour, other: Colour) -> Colour:
    """Human where the plan has it so, else near the torso's colour, or the other one."""
    if rng.random() < 0.75 and plan.skin == "human":
        skin = skin_colour(rng)
    else:
        skin = vary_colour(rng, top, 40) if rng.random() < 0.5 else other
    if plan.skin == "coat":
        skin = top if rng.random() < 0.6 else skin
    return skin
