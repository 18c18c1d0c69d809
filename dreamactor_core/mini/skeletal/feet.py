"""Feet that stand where the driver's stand do not slide: the body is moved, and legs are bent."""

from __future__ import annotations

import numpy as np

from ...skeleton import ANKLE, HIP, KNEE, NECK

STANDS_BELOW = 0.35  # trunks a second: a slower foot stands
NEAR_GROUND = 0.3  # trunks above the ground, at most
SMOOTHED = 0.08  # seconds on either side, before speeds are taken
LEAST = 0.15  # seconds: who stands shorter does not stand
EASE = 0.12  # seconds in which a foot comes to where it stands, and leaves it


def planted(joints: np.ndarray, shown: np.ndarray, times: np.ndarray) -> np.ndarray:
    """(n, 2) bool: which foot of a driver (n, 18, 2) stands, right and left; one that is never
    shown does not."""
    stands = np.zeros((len(joints), 2), bool)
    if not shown[[NECK, *HIP]].all() or len(times) < 3:
        return stands
    trunk = np.median(np.linalg.norm(joints[:, NECK] - joints[:, HIP].mean(axis=1), axis=1))
    trunk = max(float(trunk), 1e-6)
    ankles = [ankle for ankle in ANKLE if shown[ankle]]
    if not ankles:
        return stands
    ground = joints[:, ankles, 1].max(axis=1)
    for side, ankle in enumerate(ANKLE):
        if shown[ankle]:
            path = _smooth(joints[:, ankle], times)
            speed = np.linalg.norm(np.gradient(path, times, axis=0), axis=1) / trunk
            low = ground - joints[:, ankle, 1] <= NEAR_GROUND * trunk
            stands[:, side] = (speed < STANDS_BELOW) & low
            for first, last in _runs(stands[:, side]):
                if times[last] - times[first] < LEAST:
                    stands[first : last + 1, side] = False
    return stands


def stand(joints: np.ndarray, stands: np.ndarray, times: np.ndarray) -> np.ndarray:
    """Joints (n, 18, 2) of a figure whose feet stand in frames (n, 2) bool: each at one place as
    long as it stands, the mean of where it was."""
    off = np.zeros((len(joints), 2, 2))  # from where each foot is to where it is to be
    weight = np.zeros((len(joints), 2))
    for side, ankle in enumerate(ANKLE):
        for first, last in _runs(stands[:, side]):
            here = slice(first, last + 1)
            off[here, side] = joints[here, ankle].mean(axis=0) - joints[here, ankle]
            eased = [np.ones(last + 1 - first)]
            if first > 0:
                eased.append((times[here] - times[first - 1]) / EASE)
            if last + 1 < len(times):
                eased.append((times[last + 1] - times[here]) / EASE)
            weight[here, side] = np.min(eased, axis=0).clip(0, 1)
    eased_off = off * weight[..., None]
    body = eased_off.sum(axis=1) / weight.sum(axis=1).clip(1)[:, None]
    moved = joints + body[:, None]
    for side in (0, 1):
        left = eased_off[:, side] - weight[:, side, None] * body
        moved[:, [KNEE[side], ANKLE[side]]] = bent_leg(
            moved[:, [HIP[side], KNEE[side], ANKLE[side]]], left
        )
    return moved


def bent_leg(leg: np.ndarray, off: np.ndarray) -> np.ndarray:
    """Hip, knee and ankle (n, 3, 2), and how far the ankle is to be moved (n, 2) -> knee and ankle
    (n, 2, 2): bones keep their lengths, the knee its side; an ankle out of reach comes near."""
    hip, knee, ankle = leg.transpose(1, 0, 2)
    thigh, shin = (np.linalg.norm(bone, axis=1) for bone in (knee - hip, ankle - knee))
    goal = ankle + off
    way = goal - hip
    far = np.linalg.norm(way, axis=1).clip(1e-6)
    near = far.clip(np.abs(thigh - shin) + 1e-6, np.maximum(thigh + shin - 1e-6, 1e-6))
    unit = way / far[:, None]
    side = np.sign(_cross(ankle - hip, knee - hip))
    along = (near**2 + thigh**2 - shin**2) / (2 * near)
    across = side * np.sqrt((thigh**2 - along**2).clip(0))
    normal = np.stack([-unit[:, 1], unit[:, 0]], axis=1)
    bent = hip + along[:, None] * unit + across[:, None] * normal
    same = (off == 0).all(axis=1)[:, None]
    made = np.stack([bent, hip + near[:, None] * unit], axis=1)
    return np.where(same[..., None], leg[:, 1:], made)


def _cross(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]


def _smooth(path: np.ndarray, times: np.ndarray) -> np.ndarray:
    near = np.abs(times[:, None] - times) <= SMOOTHED + 1e-9
    return near @ path / near.sum(axis=1, keepdims=True)


def _runs(flags: np.ndarray) -> list[tuple[int, int]]:
    """First and last index of each unbroken run."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], flags, [False]]).astype(int)))
    return [(int(a), int(b) - 1) for a, b in zip(edges[::2], edges[1::2], strict=True)]
