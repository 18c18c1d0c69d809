"""How a puppet moves: smooth joint angles that any body plan can perform.

Angles are radians. An arm's first angle is measured from hanging down, outwards positive; its
second bends the forearm further. A leg's first angle is measured from hanging down towards the
right of the picture; its second bends the shin. The root travels in body heights, up positive.

A motion has a discrete key (family, side, tempo, size); one key in eight is a test motion, and a
key is never drawn for the other split, whatever the seed. What a key leaves open (phase, exact
speed, the poses of `free`) is drawn anew for every clip.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass, fields, replace

import numpy as np

from .identity import TEST_SHARE, Identity, Split

FAMILIES = (
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
        text = f"{self.family}|{self.side}|{self.tempo}|{self.size}"
        return "test" if zlib.crc32(text.encode()) % TEST_SHARE == 0 else "train"

    def describe(self, who: Identity) -> str:
        """What the body does, in the names of its own parts."""
        side = ("right", "left")[self.side]
        arm, leg = who.arm_name, who.leg_name
        return {
            "wave": f"waving the {side} {arm}",
            "wave both": f"waving both {arm}s",
            "walk": "walking",
            "jump": "jumping",
            "dance": "dancing",
            "squat": "squatting down",
            "kick": f"kicking with the {side} {leg}",
            "punch": f"punching with the {arm}s",
            "star jump": f"jumping with {arm}s and {leg}s apart",
            "bow": "bowing",
            "flap": f"flapping both {arm}s",
            "clap": f"clapping the {arm}s",
            "sway": "swaying",
            "free": f"moving {arm}s and {leg}s freely",
        }[self.family]


def sample_key(rng: np.random.Generator, split: Split) -> MotionKey:
    while True:
        key = MotionKey(str(rng.choice(FAMILIES)), *(int(rng.integers(0, n)) for n in (2, 4, 4)))
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


def perform(rng: np.random.Generator, key: MotionKey, num_frames: int, fps: float) -> Motion:
    """num_frames of the motion, at fps frames a second."""
    seconds = np.arange(num_frames) / fps
    tempo = (0.45, 0.65, 0.85, 1.1)[key.tempo] * rng.uniform(0.92, 1.08)
    phase = 2 * np.pi * tempo * seconds + rng.uniform(0, 2 * np.pi)
    size = (0.65, 0.8, 1.0, 1.2)[key.size] * rng.uniform(0.95, 1.05)
    base = rest(rng, num_frames)
    # Nothing alive holds still: a little of everything under the motion itself.
    idle = 0.06 * np.sin(phase[:, None] * rng.uniform(0.4, 0.9, 8) + rng.uniform(0, 6, 8))
    motion = replace(
        base,
        lean=base.lean + idle[:, 0], head=base.head + idle[:, 1] * 1.5,
        arms=base.arms + idle[:, 2:6].reshape(-1, 2, 2), turn=base.turn + idle[:, 6] * 4,
        mouth=np.clip(base.mouth + 4 * idle[:, 7], 0, 1),
    )  # fmt: skip
    motion = _FAMILY[key.family](rng, motion, phase, size, key.side)
    return replace(motion, turn=np.clip(motion.turn, -1, 1))


def blend(first: Motion, second: Motion, share: np.ndarray) -> Motion:
    """Frame by frame first * (1 - share) + second * share; share (t,) in [0, 1]."""

    def mix(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        s = share.reshape(-1, *[1] * (b.ndim - 1))
        return a * (1 - s) + b * s

    return Motion(*(mix(getattr(first, f.name), getattr(second, f.name)) for f in fields(first)))


def _wave(rng, m, phase, size, side):
    arms = m.arms.copy()
    arms[:, side, 0] = rng.uniform(1.9, 2.6) + 0.15 * np.sin(phase)
    arms[:, side, 1] = 0.3 + 0.8 * size * np.sin(phase * 1.5)
    return replace(m, arms=arms, lean=m.lean + 0.06 * np.sin(phase))


def _wave_both(rng, m, phase, size, side):
    lag = rng.choice([0, np.pi / 2, np.pi])
    arms = m.arms.copy()
    for i in (0, 1):
        arms[:, i, 0] = 1.9 + 0.5 * size * np.sin(phase + lag * i)
        arms[:, i, 1] = 0.2 + 0.5 * size * np.sin(phase * 1.5 + lag * i)
    return replace(m, arms=arms)


def _walk(rng, m, phase, size, side):
    swing = 0.55 * size * np.sin(phase)
    knee = 0.7 * size * np.clip(np.stack([np.cos(phase), -np.cos(phase)], -1), 0, 1)
    way = 1 if side else -1
    legs = np.stack(
        [np.stack([swing, -way * knee[:, 0]], -1), np.stack([-swing, -way * knee[:, 1]], -1)], 1
    )
    arms = m.arms.copy()
    arms[:, 0, 0], arms[:, 1, 0] = 0.25 + 0.5 * swing, 0.25 + 0.5 * swing
    arms[:, :, 1] = 0.25
    travel = way * rng.uniform(0, 0.16) * size * np.linspace(-1, 1, len(phase))
    root = np.stack([travel, 0.025 * size * np.abs(np.cos(phase))], -1)
    return replace(m, legs=legs, arms=arms, root=root, turn=m.turn * 0.3 + way * 0.6)


def _jump(rng, m, phase, size, side):
    up = np.sin(phase)
    crouch = np.clip(-up, 0, 1)
    legs = m.legs.copy()
    for i, s in ((0, -1), (1, 1)):
        legs[:, i, 0] += s * 0.6 * size * crouch
        legs[:, i, 1] -= s * 1.1 * size * crouch
    arms = m.arms.copy()
    arms[:, :, 0] += (1.4 * size * np.clip(up, 0, 1))[:, None]
    root = np.stack([0.05 * size * np.sin(phase / 2), 0.16 * size * np.clip(up, 0, 1)], -1)
    return replace(m, legs=legs, arms=arms, root=root)


def _dance(rng, m, phase, size, side):
    a = rng.uniform(0.3, 0.9, (2, 2)) * size
    p = rng.uniform(0, 2 * np.pi, (2, 2))
    arms = m.arms.copy()
    arms += rng.uniform(0.3, 1.2, (1, 2, 1)) + a * np.sin(phase[:, None, None] + p)
    legs = m.legs + 0.3 * size * np.sin(phase[:, None, None] + rng.uniform(0, 6, (2, 2)))
    root = np.stack([0.08 * size * np.sin(phase), 0.03 * np.abs(np.sin(phase))], -1)
    return replace(m, arms=arms, legs=legs, root=root, lean=m.lean + 0.2 * size * np.sin(phase + 1),
                   head=m.head + 0.2 * np.sin(phase * 2))  # fmt: skip


def _squat(rng, m, phase, size, side):
    down = 0.5 - 0.5 * np.cos(phase)
    legs = m.legs.copy()
    for i, s in ((0, -1), (1, 1)):
        legs[:, i, 0] += s * 0.95 * size * down
        legs[:, i, 1] -= s * 1.5 * size * down
    arms = m.arms.copy()
    arms[:, :, 0] += (0.9 * size * down)[:, None]
    return replace(m, legs=legs, arms=arms)


def _kick(rng, m, phase, size, side):
    kick = np.clip(np.sin(phase), 0, 1)
    s = 1 if side else -1
    legs = m.legs.copy()
    legs[:, side, 0] += s * 1.2 * size * kick
    legs[:, side, 1] -= s * 0.4 * size * np.clip(np.cos(phase), 0, 1)
    arms = m.arms.copy()
    arms[:, 1 - side, 0] += 0.9 * size * kick
    return replace(m, legs=legs, arms=arms, lean=m.lean - s * 0.18 * size * kick)


def _punch(rng, m, phase, size, side):
    arms = m.arms.copy()
    for i in (0, 1):
        out = 0.5 + 0.5 * np.sin(phase + np.pi * i)
        arms[:, i, 0] = 0.7 + 0.85 * size * out
        arms[:, i, 1] = 1.9 - 1.8 * out
    return replace(m, arms=arms, lean=m.lean + 0.12 * size * np.sin(phase))


def _star_jump(rng, m, phase, size, side):
    out = 0.5 - 0.5 * np.cos(phase)
    arms = m.arms.copy()
    arms[:, :, 0] = (0.2 + 2.3 * min(size, 1.1) * out)[:, None]
    arms[:, :, 1] = 0.15
    legs = np.zeros_like(m.legs)
    legs[:, 0, 0], legs[:, 1, 0] = -0.05 - 0.5 * size * out, 0.05 + 0.5 * size * out
    root = np.stack([0 * phase, 0.07 * size * np.abs(np.sin(phase))], -1)
    return replace(m, arms=arms, legs=legs, root=root)


def _bow(rng, m, phase, size, side):
    down = 0.5 - 0.5 * np.cos(phase)
    s = 1 if side else -1
    arms = m.arms.copy()
    arms[:, side, 0] += 0.8 * down
    arms[:, side, 1] += 0.8 * down
    return replace(m, arms=arms, lean=m.lean + s * 0.75 * size * down, head=m.head + s * 0.3 * down)


def _flap(rng, m, phase, size, side):
    arms = m.arms.copy()
    arms[:, :, 0] = (1.35 + 0.85 * size * np.sin(phase))[:, None]
    arms[:, :, 1] = (0.35 * np.sin(phase - 0.8))[:, None]
    root = np.stack([0.04 * np.sin(phase / 3), 0.05 * size * np.clip(-np.sin(phase), 0, 1)], -1)
    return replace(m, arms=arms, root=root)


def _clap(rng, m, phase, size, side):
    shut = 0.5 + 0.5 * np.sin(phase)
    arms = m.arms.copy()
    high = rng.uniform(0.5, 1.6)
    arms[:, :, 0] = (high + 0.5 * size * (1 - shut))[:, None]
    arms[:, :, 1] = -(0.3 + (0.7 + high * 0.5) * shut)[:, None]
    return replace(m, arms=arms)


def _sway(rng, m, phase, size, side):
    arms = m.arms.copy()
    swing = 0.6 * size * np.sin(phase)
    arms[:, 0, 0], arms[:, 1, 0] = 0.6 - swing, 0.6 + swing
    root = np.stack([0.12 * size * np.sin(phase), 0 * phase], -1)
    legs = m.legs - 0.22 * size * np.sin(phase)[:, None, None] * np.array([1.0, 0.0])
    return replace(m, arms=arms, legs=legs, root=root, lean=m.lean + 0.22 * size * np.sin(phase))


def _free(rng, m, phase, size, side):
    """A smooth walk through random poses, about two a second at the fastest tempo."""
    t = len(phase)
    cycles = max(1.0, (phase[-1] - phase[0]) / (2 * np.pi)) if t > 1 else 1.0
    n = int(np.ceil(cycles * 2)) + 2

    def curve(low, high, shape=()):
        poses = rng.uniform(low, high, (n, *shape))
        at = np.linspace(0, n - 1.001, t)
        i, s = at.astype(int), (at - at.astype(int)).reshape(-1, *[1] * len(shape))
        s = s * s * (3 - 2 * s)
        return poses[i] * (1 - s) + poses[i + 1] * s

    arms = np.stack([curve(-0.1, 2.7, (2,)), curve(-0.4, 1.7, (2,))], -1)
    legs = np.stack([curve(-0.45, 0.45, (2,)), curve(-0.6, 0.6, (2,))], -1)
    root = np.stack([curve(-0.13, 0.13), curve(-0.02, 0.08)], -1) * size
    return replace(m, arms=arms, legs=legs, root=root, lean=curve(-0.35, 0.35) * size,
                   head=curve(-0.3, 0.3), turn=curve(-1, 1), mouth=curve(0, 1))  # fmt: skip


_FAMILY = {
    "wave": _wave, "wave both": _wave_both, "walk": _walk, "jump": _jump, "dance": _dance,
    "squat": _squat, "kick": _kick, "punch": _punch, "star jump": _star_jump, "bow": _bow,
    "flap": _flap, "clap": _clap, "sway": _sway, "free": _free,
}  # fmt: skip
