"""What a clip of puppets is drawn from: who is in it and how it looks, and what they do.

appearance = sample_appearance(rng, split, size)      everything that is not motion
performance = sample_performance(rng, split, t)       everything that is
clip = render(appearance, performance, size)          (clip.py)
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from .background import draw_background
from .families import perform_motion
from .identity import Identity, sample_identity
from .motion import Motion, MotionKey, blend_motions, rest, sample_key
from .splits import Split
from .world import FPS, entered, since_lead_in


@dataclass(frozen=True)
class Appearance:
    """Everything of a clip that is not motion."""

    cast: tuple[Identity, ...]
    background: np.ndarray  # (h, w, 3) uint8
    blur: float  # pixels at 128
    gain: np.ndarray  # (3,) a tint of the whole picture
    shadow: float = 0.0  # how dark, 0..1
    crop: float = 0.0  # half-body framing: the upper share of the body that is in the picture


@dataclass(frozen=True)
class Performance:
    """Everything of a clip that is motion."""

    motions: tuple[Motion, ...]  # one for each puppet
    camera: np.ndarray  # (t, 3) pan x, pan y, zoom
    keys: tuple[MotionKey, ...]


def sample_appearance(
    rng: np.random.Generator,
    split: Split,
    size: int,
    subjects: int = 1,
    kind: str | None = None,
    but: str = "",
) -> Appearance:
    """Random identities of one split; `kind` asks for a body plan, `but` rules one out."""
    cast = []
    for i in range(subjects):
        who = sample_identity(rng, split, kind, but)
        if subjects > 1:
            place = (i + 1) / (subjects + 1) + rng.uniform(-0.03, 0.03)
            who = replace(who, base_x=place, height=who.height * (0.72, 0.54)[subjects > 2])
        cast.append(who)
    blur = float(rng.uniform(0.4, 0.9)) if rng.random() < 0.2 else 0.0
    gain = rng.uniform(0.85, 1.1, 3) if rng.random() < 0.3 else np.ones(3)
    return Appearance(tuple(cast), draw_background(rng, size), blur, gain)


def sample_performance(
    rng: np.random.Generator, split: Split, num_frames: int, subjects: int = 1
) -> Performance:
    """num_frames counts frame 0 and the lead-in; the motion is in full swing from LEAD_IN on."""
    keys = tuple(sample_key(rng, split) for _ in range(subjects))
    motions = [_from_rest(rng, perform_motion(rng, key, num_frames, FPS)) for key in keys]
    camera = np.tile([0.0, 0.0, 1.0], (num_frames, 1))
    if rng.random() < 0.2:
        goal = np.array(
            [rng.uniform(-0.08, 0.08), rng.uniform(-0.03, 0.03), rng.uniform(0.85, 1.2)]
        )
        way = since_lead_in(num_frames)[:, None]
        camera = camera * (1 - way) + goal * way
    return Performance(tuple(motions), camera, keys)


def other_rest(rng: np.random.Generator, performance: Performance) -> Performance:
    """The same performance out of another reference pose: frame 0 and the transition change."""
    motions = tuple(_from_rest(rng, motion) for motion in performance.motions)
    return replace(performance, motions=motions)


def _from_rest(rng: np.random.Generator, motion: Motion) -> Motion:
    """The motion entered from a resting pose: rest in frame 0, full swing behind the lead-in."""
    return blend_motions(rest(rng, len(motion)), motion, entered(len(motion)))
