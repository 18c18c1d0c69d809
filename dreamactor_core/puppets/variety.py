"""What the training split has beside: shadows, things, photographs, half bodies, some that leave.

Drawn from a generator of its own, so that what the test split also has stays as it is.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from .background import draw_photograph, furnish
from .identity import HELD
from .scene import Appearance, Performance
from .world import entered, since_lead_in


def varied(rng: np.random.Generator, appearance: Appearance, size: int) -> Appearance:
    """The appearance with some of what most pictures of the world do not have."""
    of_picture = rng.spawn(1)[0]
    cast = [
        replace(who, held=str(rng.choice(HELD))) if rng.random() < 0.2 else who
        for who in appearance.cast
    ]
    alone = len(cast) == 1
    if alone and rng.random() < 0.25:
        height = cast[0].height * rng.uniform(0.6, 1.1)
        cast = [replace(cast[0], height=height, base_x=rng.uniform(0.3, 0.7))]
    crop = 0.0
    if alone and not cast[0].plan.on_four and rng.random() < 0.15:
        crop = rng.uniform(0.45, 0.8)
    background = appearance.background
    if of_picture.random() < 0.25:
        background = draw_photograph(of_picture, size)
    if of_picture.random() < 0.2:
        background = furnish(of_picture, background)
    shadow = rng.uniform(0.1, 0.5) if rng.random() < 0.3 else 0.0
    return replace(appearance, cast=tuple(cast), background=background, shadow=shadow, crop=crop)


def leaving(rng: np.random.Generator, *performances: Performance) -> tuple[Performance, ...]:
    """One puppet of the performances walks out of the picture, into it, or out and in again."""
    num_frames = len(performances[0].camera)
    share = since_lead_in(num_frames)
    ways = {"leave": share, "enter": 1 - share, "both": np.sin(np.pi * share)}
    away = ways[str(rng.choice(list(ways)))] * entered(num_frames)
    far = rng.choice([-1, 1]) * rng.uniform(0.6, 1.3)  # body heights
    who = rng.integers(len(performances[0].motions))
    changed = []
    for performance in performances:
        motions = list(performance.motions)
        root = motions[who].root + np.stack([far * away, 0 * away], axis=-1)
        motions[who] = replace(motions[who], root=root)
        changed.append(replace(performance, motions=tuple(motions)))
    return tuple(changed)
