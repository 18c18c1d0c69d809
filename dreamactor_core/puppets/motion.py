"""How a puppet moves: joint angles that any body plan can perform (families.py draws them).

Angles are radians. An arm's first angle is measured from hanging down, outwards positive; its
second bends the forearm further. A leg's first angle is measured from hanging down towards the
right of the picture; its second bends the shin. The root travels in body heights, up positive.

A motion has a discrete key (family, side, tempo, size); one key in eight is a test motion, and a
key is never drawn for the other split, whatever the seed. What a key leaves open (phase, exact
speed, the poses of `free`) is drawn anew for every clip.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np

from .splits import Split, split_of

MOTION_FAMILIES = (
    "wave", "wave both", "walk", "jump", "dance", "squat", "kick", "punch", "star jump", "bow",
    "flap", "clap", "sway", "free", "free", "free",
)  # fmt: skip


@dataclass(frozen=True)
class Motion:
    """Over t frames. The side axis is the character's (right, left); right = picture left."""

    root: np.ndarray  # (t, 2) travel in body heights, x to the right, y up
    lean: np.ndarray  # (t,)
    head: np.ndarray  # (t,) tilt
    arms: np.ndarray  # (t, 2, 2) side, (shoulder, elbow)
    legs: np.ndarray  # (t, 2, 2) side, (hip, knee)
    turn: np.ndarray  # (t,) -1..1, where the face looks
    mouth: np.ndarray  # (t,) 0..1, how far open

    def __len__(self) -> int:
        return len(self.lean)

    def __getitem__(self, frames: slice) -> Motion:
        return Motion(*(getattr(self, f.name)[frames] for f in fields(self)))


@dataclass(frozen=True)
class MotionKey:
    family: str
    side: int  # 0 right, 1 left
    tempo: int  # 0 slow .. 3 fast
    size: int  # 0 small .. 3 large

    @property
    def split(self) -> Split:
        return split_of(self.family, str(self.side), str(self.tempo), str(self.size))


def sample_key(rng: np.random.Generator, split: Split) -> MotionKey:
    while True:
        key = MotionKey(
            str(rng.choice(MOTION_FAMILIES)), *(int(rng.integers(0, n)) for n in (2, 4, 4))
        )
        if key.split == split:
            return key


def rest(rng: np.random.Generator, num_frames: int = 1) -> Motion:
    """A standing pose with relaxed, slightly random limbs, held for num_frames."""
    arms = np.stack([rng.uniform(0.1, 0.9, 2), rng.uniform(-0.1, 0.5, 2)], axis=-1)
    if rng.random() < 0.3:  # some pictures show a gesture
        arms[rng.integers(0, 2)] = rng.uniform(1.0, 2.6), rng.uniform(-0.3, 0.9)
    spread = rng.uniform(0.02, 0.28)
    legs = np.array([[-spread, 0.0], [spread, 0.0]]) + rng.uniform(-0.05, 0.05, (2, 2))
    one = Motion(
        root=np.zeros((1, 2)), lean=rng.uniform(-0.08, 0.08, 1), head=rng.uniform(-0.12, 0.12, 1),
        arms=arms[None], legs=legs[None], turn=rng.uniform(-0.6, 0.6, 1),
        mouth=rng.uniform(0, 0.5, 1),
    )  # fmt: skip
    return Motion(*(np.repeat(getattr(one, f.name), num_frames, axis=0) for f in fields(one)))


def blend_motions(first: Motion, second: Motion, share: np.ndarray) -> Motion:
    """Frame by frame first * (1 - share) + second * share; share (t,) in [0, 1]."""

    def mix(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        s = share.reshape(-1, *[1] * (b.ndim - 1))
        return a * (1 - s) + b * s

    return Motion(*(mix(getattr(first, f.name), getattr(second, f.name)) for f in fields(first)))
