"""Driver, reference and truth: the same motion on another identity.

The training split is drawn with more variety than the test split (variety.py). The scores of the
test split stay comparable; `varied` asks for it there too.
"""

from __future__ import annotations

import numpy as np

from ..pose.keypoints import Pose
from .camera import pose_in, views_of
from .clip import bodies_of, render
from .scene import Appearance, Performance, other_rest, sample_appearance, sample_performance
from .splits import Split
from .variety import leaving
from .variety import varied as with_variety
from .world import Triplet

THUMBNAIL_SIZE = 8  # pixels; a triplet is the same at any size, and this one is quick to draw

Role = tuple[Appearance, Performance]


def triplet(
    seed: int,
    split: Split,
    num_frames: int,
    size: int,
    kind: str | None = None,
    *,
    transition: bool = True,
    varied: bool | None = None,
) -> Triplet:
    """The same motion on two identities, each out of its own reference pose. Exact truth.

    kind asks for a body plan of the truth; transition: see render; varied: see above.
    """
    varied = split == "train" if varied is None else varied
    driver, truth = roles_of(seed, split, num_frames, size, kind, varied)
    return Triplet(*(render(*role, size, transition=transition) for role in (driver, truth)))


def triplet_poses(seed: int, split: Split, num_frames: int) -> tuple[Pose, Pose]:
    """Of the driver and of the truth of a triplet, nothing drawn: thirty times as fast."""
    driver, truth = roles_of(seed, split, num_frames, THUMBNAIL_SIZE, None, split == "train")
    return _poses_of(*driver), _poses_of(*truth)


def _poses_of(appearance: Appearance, performance: Performance) -> Pose:
    bodies = bodies_of(appearance, performance)
    return pose_in(bodies, views_of(appearance, bodies, performance.camera))


def roles_of(
    seed: int, split: Split, num_frames: int, size: int, kind: str | None, varied: bool
) -> tuple[Role, Role]:
    """Of the driver, then of the truth."""
    rng = np.random.default_rng((seed, split == "test"))
    more = np.random.default_rng((seed, split == "test", 1))  # leaves rng's draws as they are
    subjects = 2 if rng.random() < 0.06 else 1
    if varied and subjects > 1 and more.random() < 0.2:
        subjects = 3
    performed = sample_performance(rng, split, num_frames, subjects)
    target = sample_appearance(rng, split, size, subjects, kind)
    # A body seen from the side tells little of two arms, so quadrupeds mostly drive quadrupeds.
    on_four = target.cast[0].plan.on_four
    like = "quadruped" if on_four and rng.random() < 0.8 else None
    but = "" if on_four else "quadruped"
    source = sample_appearance(rng, split, size, subjects, like, but)
    driven = other_rest(rng, performed)
    if varied:
        if more.random() < 0.05:
            performed, driven = leaving(more, performed, driven)
        source, target = (with_variety(more, each, size) for each in (source, target))
    return (source, driven), (target, performed)
