"""What a clip with ground truth holds, be its bodies drawn (triplet.py) or rigged (glb.py).

Every clip opens on a reference pose (frame 0), moves into the motion during the lead-in and then
performs it, so that frame 0 is the reference picture and the first second is the transition that
the model has to invent (paper section 5.1).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..pose.draw import draw_pose, fit_box
from ..pose.keypoints import Pose

FPS = 8.0
LEAD_IN = 9  # frames, frame 0 among them: one second at FPS, of the form 4k + 1


@dataclass(frozen=True)
class Clip:
    """t square frames whose truth is known."""

    frames: np.ndarray  # (t, h, w, 3) uint8
    mask: np.ndarray  # (t, h, w) uint8, 255 = foreground
    scene: np.ndarray  # (t, h, w, 3) uint8, the same pictures without the bodies
    pose: Pose
    caption: str
    # What a drawn body knows: which part each pixel shows (t, h, w) uint8, 0 is the scene, and
    # where part k is, (t, k, 2, 3): of part coordinates (u, v, 1) the pixel (x, y).
    parts: np.ndarray | None = None
    places: np.ndarray | None = None

    @property
    def driven(self) -> Pose:
        """The pose behind the lead-in."""
        return self.pose.map(lambda points: points[LEAD_IN:])

    def skeleton(self) -> np.ndarray:
        """(t - LEAD_IN, h, w, 3) uint8: what drives the pose-based variant with this clip's motion.

        As for a user's keypoints: one box over what is driven, without the lead-in.
        """
        return draw_pose(fit_box(self.driven), *self.frames.shape[1:3])


@dataclass(frozen=True)
class Triplet:
    """driver and truth perform the same motion; truth.frames[0] is the reference picture.

    The driver's first LEAD_IN frames are its own transition; the driving video is what follows.
    """

    driver: Clip
    truth: Clip


def entered(num_frames: int) -> np.ndarray:
    """(num_frames,) share of the motion: 0 in frame 0, smoothly to 1 behind the lead-in."""
    share = np.clip(np.arange(num_frames) / (LEAD_IN - 1), 0, 1)
    return share * share * (3 - 2 * share)


def since_lead_in(num_frames: int) -> np.ndarray:
    """(num_frames,) share of what follows the lead-in that has gone by, 0 until its end."""
    gone = np.arange(num_frames) - LEAD_IN
    return np.clip(gone / max(1, num_frames - LEAD_IN), 0, 1)
