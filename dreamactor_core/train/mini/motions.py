"""Clips of joints that the rig learns from.

A driver is another body's motion as the eye sees it, or as a skeleton stretched onto its panel, or
the body's own. Half of the clips have been drawn and looked at. The others, of which there are many
more as nothing is drawn, are motions whose keypoints are off by as much as the eye was in one of
those: it is wrong seldom, then far and for several frames, and mostly knows it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import pad
from tqdm import tqdm

from ...mini.vectors import body_size, turn_between, turned
from ...mini.warp import ARM_ROWS, HEAD_ROW, TORSO_ROW, piece_frames
from ...pose.draw import MIN_BOX
from ...puppets.camera import in_picture
from ...puppets.triplet import triplet_poses
from ...puppets.world import LEAD_IN
from ...skeleton import FACE_JOINTS, HIP, JOINTS, LIMB_JOINTS, MIRRORED_JOINT, NECK
from ..fit import Schedule
from .estimates import Estimates, driven_joints

RIG_SCHEDULE = Schedule(steps=30_000, learning_rate=2e-3, warm_up=100, save_every=1000)
# Odds of a clip: of another body or its own, as it is or as a skeleton on its panel.
DRIVERS = {"other": 0.45, "other skeleton": 0.4, "own": 0.1, "own skeleton": 0.05}
MOST_SCALED = 1.15  # as much larger or smaller a clip is made
# The pieces that joints move with, in the rows of warp.py. Feet have no joint of their own.
JOINTS_OF_ROW = {TORSO_ROW: (NECK, *HIP), HEAD_ROW: FACE_JOINTS}
JOINTS_OF_ROW |= dict(enumerate(LIMB_JOINTS.values(), start=ARM_ROWS[0]))
ROWS_OF_JOINT = [
    [row for row, joints in JOINTS_OF_ROW.items() if joint in joints] for joint in range(JOINTS)
]


@dataclass(frozen=True)
class RigConfig:
    schedule: Schedule = RIG_SCHEDULE
    triplets: int = 112_000  # of motions, at most: those of a short schedule are fewer
    estimated: int = 6000  # triplets that are drawn and looked at, as many as steps at most
    clips: int = 128  # of a batch
    seed: int = 0
    first: int = 40_000_000  # triplet


class RigBatch(NamedTuple):
    """n clips of two bodies, in pixels."""

    reference: Tensor  # (n, 2, 18, 3) keypoints
    driver: Tensor  # (n, t, 2, 18, 3) keypoints
    goal: Tensor  # (n, t, 2, 18, 2) where the points go that were taken for the reference's joints


class ClipChoice(NamedTuple):
    """Which clips of a store, n of them."""

    rows: Tensor  # (n,)
    truth: Tensor  # (n,) the side, 0 or 1, that is animated
    driver: Tensor  # (n,) the side that drives
    skeleton: Tensor  # (n, 1, 1, 1, 1) bool: by its skeleton


class MotionClips:
    """Joints (n, 2, 1 + t, 2, 18, 2) in pixels: of driver and truth, of two bodies or of one
    twice."""

    def __init__(self, config: RigConfig, estimates: Estimates, num_frames: int, size: int):
        self.config, self.estimates, self.size = config, estimates, size
        count = min(config.triplets, config.schedule.steps * config.clips)
        # Behind those that are drawn.
        first = config.first + config.estimated
        seeds = tqdm(range(first, first + count), desc="motions")
        # Nothing of the poses but this is kept: their hands and faces would fill the memory.
        driven = 1 + num_frames - LEAD_IN
        joints = np.empty((len(seeds), 2, driven, 2, JOINTS, 2), np.float32)
        for row, seed in enumerate(seeds):
            for side, pose in enumerate(triplet_poses(seed, "train", num_frames)):
                joints[row, side] = driven_joints(pose)
        self.joints = torch.from_numpy(joints).mul_(size)

    def batch(self, step: int) -> RigBatch:
        """Clips are scaled and mirrored, so that those that were drawn are not learned by heart."""
        rng = np.random.default_rng((self.config.seed, step))
        reference, driver, goal = self.draw(rng)
        factor = MOST_SCALED ** torch.from_numpy(rng.uniform(-1, 1, (2, len(goal)))).float()
        mirrored = torch.from_numpy(rng.random(len(goal)) < 0.5)
        of_answer, of_driver = factor[..., None, None, None, None].unbind()
        return RigBatch(
            self.augmented(reference[:, None], of_answer, mirrored)[:, 0],
            self.augmented(driver, of_driver, mirrored),
            self.augmented(goal, of_answer, mirrored),
        )

    def draw(self, rng: np.random.Generator) -> RigBatch:
        estimated = self.config.clips // 2
        parts = self._estimated(estimated, rng), self._off(self.config.clips - estimated, rng)
        return RigBatch(*(torch.cat(each) for each in zip(*parts, strict=True)))

    def augmented(self, joints: Tensor, factor: Tensor, mirrored: Tensor) -> Tensor:
        """(n, t, 2, 18, 2 or 3), larger by a factor (n, 1, 1, 1, 1) about the middle, and those
        mirrored (n,) bool as in a mirror."""
        middle = torch.tensor([self.size / 2, self.size / 2, 0])[: joints.shape[-1]]
        joints = middle + factor * (joints - middle)
        mirror_image = joints[..., MIRRORED_JOINT, :]
        mirror_image[..., 0] = self.size - mirror_image[..., 0]
        return torch.where(mirrored[:, None, None, None, None], mirror_image, joints)

    def boxed(self, joints: Tensor) -> Tensor:
        """Joints (n, t, 2, 18, 2) stretched onto the panel, as pose.draw.fit_box does with a
        clip."""
        inside = in_picture(joints / self.size)[..., None]
        low = joints.where(inside, torch.inf).amin(dim=(1, 2, 3), keepdim=True)
        high = joints.where(inside, -torch.inf).amax(dim=(1, 2, 3), keepdim=True)
        gone = low > high
        low, high = low.masked_fill(gone, 0), high.masked_fill(gone, self.size)
        side = high - low
        grown = side.clamp(min=MIN_BOX * self.size)
        return self.size * (joints - low + (grown - side) / 2) / grown

    def _estimated(self, count: int, rng: np.random.Generator) -> RigBatch:
        """Clips that the eye has seen."""
        estimates = self.estimates
        chosen = _choose(len(estimates.joints), count, rng)
        truth = estimates.joints[chosen.rows, chosen.truth]
        reference = estimates.reference[chosen.rows, chosen.truth]
        goal = moved_points(reference[..., :2], truth[:, 0], truth[:, 1:])
        return RigBatch(reference, self._keypoints(chosen, chosen.skeleton), goal)

    def _off(self, count: int, rng: np.random.Generator) -> RigBatch:
        """Motions, off by what the eye was in other clips."""
        estimates = self.estimates
        chosen = _choose(len(self.joints), count, rng)
        truth = self.joints[chosen.rows, chosen.truth]
        driver = self.joints[chosen.rows, chosen.driver, 1:]
        other = _choose(len(estimates.joints), count, rng)
        off = pad(truth[:, 0] - estimates.joints[other.rows, other.truth, 0], (0, 1))
        reference = estimates.reference[other.rows, other.truth] + off
        others = estimates.joints[other.rows, other.driver, 1:]
        boxed_off = self.boxed(driver) - self.boxed(others)
        off = torch.where(chosen.skeleton, boxed_off, driver - others)
        keypoints = self._keypoints(other, chosen.skeleton) + pad(off, (0, 1))
        goal = moved_points(reference[..., :2], truth[:, 0], truth[:, 1:])
        return RigBatch(reference, keypoints, goal)

    def _keypoints(self, chosen: ClipChoice, skeleton: Tensor) -> Tensor:
        """Of the drivers that the eye has seen, (n, t, 2, 18, 3)."""
        driver, boxed = (
            each[chosen.rows, chosen.driver]
            for each in (self.estimates.driver, self.estimates.skeleton)
        )
        return torch.where(skeleton, boxed, driver)


def _choose(among: int, count: int, rng: np.random.Generator) -> ClipChoice:
    rows, truth = (torch.from_numpy(rng.integers(high, size=count)) for high in (among, 2))
    names = rng.choice(list(DRIVERS), count, p=list(DRIVERS.values()))
    own, skeleton = (torch.tensor([word in name for name in names]) for word in ("own", "skeleton"))
    return ClipChoice(
        rows, truth, torch.where(own, truth, 1 - truth), skeleton.view(-1, 1, 1, 1, 1)
    )


def moved_points(points: Tensor, reference: Tensor, truth: Tensor) -> Tensor:
    """Where points (n, m, 18, 2) of the reference, which were taken for joints, go with the pieces
    of a body: (n, t, m, 18, 2). reference (n, m, 18, 2) and truth (n, t, m, 18, 2): its joints.

    A piece that is taken by the wrong point still lands where it ought to, as long as that point
    does. A point that belongs to several pieces goes to the mean of where they take it.
    """
    points, reference = (
        each[:, None].expand(-1, truth.shape[1], -1, -1, -1) for each in (points, reference)
    )
    ways, goal_ways = (
        piece_frames(joints, torch.zeros(joints.shape[:-2], dtype=torch.bool)).ways
        for joints in (reference, truth)
    )
    larger = body_size(truth) / body_size(reference).clamp(min=1e-3)
    off = (points - reference) * larger[..., None, None]
    turn = turn_between(ways, goal_ways)
    off = [
        turned(off[..., joint, None, :], turn[..., rows, :]).mean(dim=-2)
        for joint, rows in enumerate(ROWS_OF_JOINT)
    ]
    return truth + torch.stack(off, dim=-2)
