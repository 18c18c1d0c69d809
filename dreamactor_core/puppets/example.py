"""Something to try the method on, drawn, so that no file is needed."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor

from ..media import to_frames
from ..pose.keypoints import dump_keypoints
from .triplet import triplet
from .world import LEAD_IN

EXAMPLE_SIZE = 256  # pixels
EXAMPLE_FRAMES = 16  # two seconds at FPS


class PuppetExample(NamedTuple):
    """A picture, a driving clip of another body, and what the picture's character does then."""

    reference: Tensor  # (1, h, w, 3) in [0, 1]
    driving: Tensor  # (EXAMPLE_FRAMES, h, w, 3), at FPS
    keypoints: list[dict]  # of driving, in OpenPose form
    caption: str


def example(seed: int, kind: str | None = None) -> PuppetExample:
    """Two unseen characters, and two seconds of motion, of the small model's size and rate."""
    clips = triplet(seed, "test", LEAD_IN + EXAMPLE_FRAMES, EXAMPLE_SIZE, kind)
    pose = clips.driver.pose.map(lambda points: points[LEAD_IN:])
    return PuppetExample(
        reference=to_frames(clips.truth.frames[:1]),
        driving=to_frames(clips.driver.frames[LEAD_IN:]),
        keypoints=dump_keypoints(pose, EXAMPLE_SIZE, EXAMPLE_SIZE),
        caption=clips.truth.caption,
    )
