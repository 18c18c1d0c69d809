"""Pose augmentation of the pose-based variant (paper section 3.3).

It hides the driver's build from the network: other bone lengths, then one box for the whole clip.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from ..skeleton import ANKLE, NECK, NOSE, WRIST
from .draw import fit_box
from .keypoints import Pose

PELVIS = 18  # ours: the middle of the hips
BONE_SPREAD = (0.8, 1.2)  # paper section 5.1


@dataclass(frozen=True)
class BoneFactors:
    """New length / old length, one for each group, the same left and right and in every frame."""

    head_neck: float = 1.0
    shoulders: float = 1.0
    torso: float = 1.0
    upper_arms: float = 1.0
    forearms: float = 1.0
    hands: float = 1.0
    hips: float = 1.0
    thighs: float = 1.0
    shins: float = 1.0
    feet: float = 1.0


# (parent, joint, group), parents first; the neck is the root and stays.
BONES = [
    (NECK, 0, "head_neck"), (0, 14, "head_neck"), (0, 15, "head_neck"), (14, 16, "head_neck"),
    (15, 17, "head_neck"), (NECK, 2, "shoulders"), (2, 3, "upper_arms"), (3, 4, "forearms"),
    (NECK, 5, "shoulders"), (5, 6, "upper_arms"), (6, 7, "forearms"), (NECK, PELVIS, "torso"),
    (PELVIS, 8, "hips"), (8, 9, "thighs"), (9, 10, "shins"), (PELVIS, 11, "hips"),
    (11, 12, "thighs"), (12, 13, "shins"),
]  # fmt: skip
(RIGHT_WRIST, LEFT_WRIST), (RIGHT_ANKLE, LEFT_ANKLE) = WRIST, ANKLE


def random_bone_factors(
    rng: np.random.Generator, spread: tuple[float, float] = BONE_SPREAD
) -> BoneFactors:
    """Every group between the two numbers of spread, evenly."""
    return BoneFactors(*rng.uniform(*spread, size=10).tolist())


def vary_pose(
    pose: Pose,
    rng: np.random.Generator,
    probability: float = 0.3,
    spread: tuple[float, float] = BONE_SPREAD,
) -> Pose:
    """Other bone lengths for a share of the clips, then always the box (paper section 5.1)."""
    if rng.random() < probability:
        pose = scale_bones(pose, random_bone_factors(rng, spread))
    return fit_box(pose)


def scale_bones(pose: Pose, factors: BoneFactors) -> Pose:
    """Scale each bone and keep its direction; what hangs on it moves along.

    A bone whose upper joint is missing is measured from the next joint above that is there; with
    none above it keeps its place. Scaling a bone as a vector is the same in shares of the canvas
    as in pixels, so the aspect of the canvas does not enter.
    """
    xy, found = with_pelvis(pose.body)
    anchor, shift = xy.copy(), np.zeros_like(xy)  # the nearest joint found, and how far it moves
    for parent, joint, group in BONES:
        grown = (getattr(factors, group) - 1) * (xy[..., joint, :] - anchor[..., parent, :])
        has_parent = found[..., parent, None]
        moved = np.where(has_parent, shift[..., parent, :] + grown, 0)
        here = found[..., joint, None]
        anchor[..., joint, :] = np.where(here, xy[..., joint, :], anchor[..., parent, :])
        shift[..., joint, :] = np.where(here, moved, shift[..., parent, :])
        found[..., joint] |= found[..., parent]  # from here on: is there an anchor

    def follow(points: np.ndarray, joint: int, factor: float) -> np.ndarray:
        """Points (t, p, n, 3) that hang on one joint: grow about it and move with it."""
        grown = (factor - 1) * (points[..., :2] - anchor[..., joint, None, :])
        moved = np.where(found[..., joint, None, None], shift[..., joint, None, :] + grown, 0)
        return _moved(points, moved)

    left, right = pose.hands[:, :, 0], pose.hands[:, :, 1]
    left = follow(left, LEFT_WRIST, factors.hands)
    right = follow(right, RIGHT_WRIST, factors.hands)
    left_foot = follow(pose.feet[:, :, :3], LEFT_ANKLE, factors.feet)
    right_foot = follow(pose.feet[:, :, 3:], RIGHT_ANKLE, factors.feet)
    return replace(
        pose,
        body=_moved(pose.body, shift[..., :PELVIS, :]),
        hands=np.stack([left, right], axis=2),
        face=follow(pose.face, NOSE, factors.head_neck),
        feet=np.concatenate([left_foot, right_foot], axis=2),
    )


def with_pelvis(body: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Body (t, p, 18, 3) -> positions (t, p, 19, 2) and whether each was found (t, p, 19).

    With one hip alone the pelvis is that hip, so the torso's factor still moves the leg.
    """
    found = body[..., 2] > 0
    hips, there = body[..., [8, 11], :2], found[..., [8, 11], None]
    pelvis = (hips * there).sum(axis=-2) / there.sum(axis=-2).clip(min=1)
    xy = np.concatenate([body[..., :2], pelvis[..., None, :]], axis=-2)
    return xy, np.concatenate([found, there.any(axis=-2)], axis=-1)


def _moved(points: np.ndarray, shift: np.ndarray) -> np.ndarray:
    """Missing joints stay missing, at (0, 0)."""
    xy = np.where(points[..., 2:] > 0, points[..., :2] + shift, 0)
    return np.concatenate([xy, points[..., 2:]], axis=-1)
