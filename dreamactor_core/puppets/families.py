"""The families of motion: waving, walking, jumping and so on, as smooth angles over time.

Each function changes a resting motion m of t frames: phase (t,) radians, size about 1, side 0 right
or 1 left. What a family leaves open it draws from rng.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from .motion import Motion, MotionKey, rest


def perform_motion(rng: np.random.Generator, key: MotionKey, num_frames: int, fps: float) -> Motion:
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
    motion = _DRAW[key.family](rng, motion, phase, size, key.side)
    return replace(motion, turn=np.clip(motion.turn, -1, 1))


def _wave(rng: np.random.Generator, m: Motion, phase: np.ndarray, size: float, side: int) -> Motion:
    arms = m.arms.copy()
    arms[:, side, 0] = rng.uniform(1.9, 2.6) + 0.15 * np.sin(phase)
    arms[:, side, 1] = 0.3 + 0.8 * size * np.sin(phase * 1.5)
    return replace(m, arms=arms, lean=m.lean + 0.06 * np.sin(phase))


def _wave_both(
    rng: np.random.Generator, m: Motion, phase: np.ndarray, size: float, side: int
) -> Motion:
    lag = rng.choice([0, np.pi / 2, np.pi])
    arms = m.arms.copy()
    for i in (0, 1):
        arms[:, i, 0] = 1.9 + 0.5 * size * np.sin(phase + lag * i)
        arms[:, i, 1] = 0.2 + 0.5 * size * np.sin(phase * 1.5 + lag * i)
    return replace(m, arms=arms)


def _walk(rng: np.random.Generator, m: Motion, phase: np.ndarray, size: float, side: int) -> Motion:
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


def _jump(rng: np.random.Generator, m: Motion, phase: np.ndarray, size: float, side: int) -> Motion:
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


def _dance(
    rng: np.random.Generator, m: Motion, phase: np.ndarray, size: float, side: int
) -> Motion:
    a = rng.uniform(0.3, 0.9, (2, 2)) * size
    p = rng.uniform(0, 2 * np.pi, (2, 2))
    arms = m.arms.copy()
    arms += rng.uniform(0.3, 1.2, (1, 2, 1)) + a * np.sin(phase[:, None, None] + p)
    legs = m.legs + 0.3 * size * np.sin(phase[:, None, None] + rng.uniform(0, 6, (2, 2)))
    root = np.stack([0.08 * size * np.sin(phase), 0.03 * np.abs(np.sin(phase))], -1)
    return replace(m, arms=arms, legs=legs, root=root, lean=m.lean + 0.2 * size * np.sin(phase + 1),
                   head=m.head + 0.2 * np.sin(phase * 2))  # fmt: skip


def _squat(
    rng: np.random.Generator, m: Motion, phase: np.ndarray, size: float, side: int
) -> Motion:
    down = 0.5 - 0.5 * np.cos(phase)
    legs = m.legs.copy()
    for i, s in ((0, -1), (1, 1)):
        legs[:, i, 0] += s * 0.95 * size * down
        legs[:, i, 1] -= s * 1.5 * size * down
    arms = m.arms.copy()
    arms[:, :, 0] += (0.9 * size * down)[:, None]
    return replace(m, legs=legs, arms=arms)


def _kick(rng: np.random.Generator, m: Motion, phase: np.ndarray, size: float, side: int) -> Motion:
    kick = np.clip(np.sin(phase), 0, 1)
    s = 1 if side else -1
    legs = m.legs.copy()
    legs[:, side, 0] += s * 1.2 * size * kick
    legs[:, side, 1] -= s * 0.4 * size * np.clip(np.cos(phase), 0, 1)
    arms = m.arms.copy()
    arms[:, 1 - side, 0] += 0.9 * size * kick
    return replace(m, legs=legs, arms=arms, lean=m.lean - s * 0.18 * size * kick)


def _punch(
    rng: np.random.Generator, m: Motion, phase: np.ndarray, size: float, side: int
) -> Motion:
    arms = m.arms.copy()
    for i in (0, 1):
        out = 0.5 + 0.5 * np.sin(phase + np.pi * i)
        arms[:, i, 0] = 0.7 + 0.85 * size * out
        arms[:, i, 1] = 1.9 - 1.8 * out
    return replace(m, arms=arms, lean=m.lean + 0.12 * size * np.sin(phase))


def _star_jump(
    rng: np.random.Generator, m: Motion, phase: np.ndarray, size: float, side: int
) -> Motion:
    out = 0.5 - 0.5 * np.cos(phase)
    arms = m.arms.copy()
    arms[:, :, 0] = (0.2 + 2.3 * min(size, 1.1) * out)[:, None]
    arms[:, :, 1] = 0.15
    legs = np.zeros_like(m.legs)
    legs[:, 0, 0], legs[:, 1, 0] = -0.05 - 0.5 * size * out, 0.05 + 0.5 * size * out
    root = np.stack([0 * phase, 0.07 * size * np.abs(np.sin(phase))], -1)
    return replace(m, arms=arms, legs=legs, root=root)


def _bow(rng: np.random.Generator, m: Motion, phase: np.ndarray, size: float, side: int) -> Motion:
    down = 0.5 - 0.5 * np.cos(phase)
    s = 1 if side else -1
    arms = m.arms.copy()
    arms[:, side, 0] += 0.8 * down
    arms[:, side, 1] += 0.8 * down
    return replace(m, arms=arms, lean=m.lean + s * 0.75 * size * down, head=m.head + s * 0.3 * down)


def _flap(rng: np.random.Generator, m: Motion, phase: np.ndarray, size: float, side: int) -> Motion:
    arms = m.arms.copy()
    arms[:, :, 0] = (1.35 + 0.85 * size * np.sin(phase))[:, None]
    arms[:, :, 1] = (0.35 * np.sin(phase - 0.8))[:, None]
    root = np.stack([0.04 * np.sin(phase / 3), 0.05 * size * np.clip(-np.sin(phase), 0, 1)], -1)
    return replace(m, arms=arms, root=root)


def _clap(rng: np.random.Generator, m: Motion, phase: np.ndarray, size: float, side: int) -> Motion:
    shut = 0.5 + 0.5 * np.sin(phase)
    arms = m.arms.copy()
    high = rng.uniform(0.5, 1.6)
    arms[:, :, 0] = (high + 0.5 * size * (1 - shut))[:, None]
    arms[:, :, 1] = -(0.3 + (0.7 + high * 0.5) * shut)[:, None]
    return replace(m, arms=arms)


def _sway(rng: np.random.Generator, m: Motion, phase: np.ndarray, size: float, side: int) -> Motion:
    arms = m.arms.copy()
    swing = 0.6 * size * np.sin(phase)
    arms[:, 0, 0], arms[:, 1, 0] = 0.6 - swing, 0.6 + swing
    root = np.stack([0.12 * size * np.sin(phase), 0 * phase], -1)
    legs = m.legs - 0.22 * size * np.sin(phase)[:, None, None] * np.array([1.0, 0.0])
    return replace(m, arms=arms, legs=legs, root=root, lean=m.lean + 0.22 * size * np.sin(phase))


def _free(rng: np.random.Generator, m: Motion, phase: np.ndarray, size: float, side: int) -> Motion:
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


_DRAW = {
    "wave": _wave, "wave both": _wave_both, "walk": _walk, "jump": _jump, "dance": _dance,
    "squat": _squat, "kick": _kick, "punch": _punch, "star jump": _star_jump, "bow": _bow,
    "flap": _flap, "clap": _clap, "sway": _sway, "free": _free,
}  # fmt: skip
