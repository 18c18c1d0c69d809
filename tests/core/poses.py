"""Poses for the tests."""

from __future__ import annotations

import numpy as np

from dreamactor_core.pose.keypoints import Pose


def pose_of(num_frames: int) -> Pose:
    """One person whose 18 joints wander over the canvas."""
    rng = np.random.default_rng(3)
    body = np.ones((num_frames, 1, 18, 3))
    body[..., :2] = rng.uniform(0.2, 0.8, (num_frames, 1, 18, 2))
    empty = [np.zeros((num_frames, 1, *shape, 3)) for shape in ((2, 21), (70,), (6,))]
    return Pose(body, *empty, aspect=1.0)
