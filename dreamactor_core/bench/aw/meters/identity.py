"""Is it still the reference's character, from the first frame to the last?"""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np

from ....media import smaller
from ....pose.keypoints import MIN_CONFIDENCE, Pose
from ....skeleton import HIP, LIMB_JOINTS, NECK, NOSE
from ...own import kept
from .alike import as_sharp_as, in_light_of
from .seen import Compared

COLOUR_SIDE = 192  # pixels of the longer side on which colours are looked up
ALONG = (0.25, 0.5, 0.75)  # of a bone: where its colour is looked up
LOOKED_ALONG = ((NECK, HIP[0]), (NECK, HIP[1]), (NECK, NOSE), *LIMB_JOINTS.values())
COLOUR_BLUR = 2.0  # pixels about such a point over which its colour is a mean
UNLIKE = 40.0  # distance in Lab (L 0..100) from which colours are not alike at all
IDENTITY_MOMENTS = 24  # frames that are looked at


def identity(seen: Compared) -> float | None:
    """Mean over moments: 1 the same colours on the same limbs, 0 other ones everywhere, in the
    video's light and as sharp as it is. None where limbs are not known on both sides."""
    if seen.reference_pose is None or seen.made.pose is None:
        return None
    scores = []
    for k, frame, reference in _moments(seen):
        own, there = limb_colours(reference, seen.reference_pose, 0)
        colours, found = limb_colours(frame, seen.made.pose, k)
        both = there & found
        if both.any():
            away = np.linalg.norm(colours - own, axis=-1)[both]
            scores.append(float((1 - away / UNLIKE).clip(0, 1).mean()))
    return float(np.mean(scores)) if scores else None


def colours_kept(seen: Compared) -> float | None:
    """Mean over moments of the share of the character's colours that is still there, whatever its
    limbs, in the video's light and as sharp as it is. None where its outline in the reference is
    not known."""
    if seen.mask is None:
        return None
    mask = seen.mask
    return float(np.mean([kept(own, mask, frame) for _, frame, own in _moments(seen)]))


def _moments(seen: Compared) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
    """Number and frame, and the reference as it would look in it."""
    numbers = moments_of(seen)
    reference = as_sharp_as(seen.reference, [seen.made.frames[k] for k in numbers[::3]])
    for k in numbers:
        frame = seen.made.frames[k]
        yield k, frame, in_light_of(frame, reference)


def moments_of(seen: Compared) -> np.ndarray:
    """(n,) numbers of the frames of a video that are looked at."""
    count = len(seen.made.frames)
    return np.unique(np.linspace(0, count - 1, IDENTITY_MOMENTS).round().astype(int))


def limb_colours(image: np.ndarray, pose: Pose, frame: int) -> tuple[np.ndarray, np.ndarray]:
    """(b, p, 3) Lab at points along the bones of an image (h, w, 3) uint8, and (b, p) bool: those
    that are in the picture."""
    small = smaller(image, COLOUR_SIDE).astype(np.float32) / 255
    lab = cv2.cvtColor(cv2.GaussianBlur(small, (0, 0), COLOUR_BLUR), cv2.COLOR_RGB2LAB)
    height, width = lab.shape[:2]
    joints = pose.body[frame, 0]
    share = np.array(ALONG)[:, None]
    start, end = (joints[[bone[k] for bone in LOOKED_ALONG]] for k in (0, 1))
    xy = start[:, None, :2] * (1 - share) + end[:, None, :2] * share
    column, row = (xy[..., k] * side for k, side in ((0, width), (1, height)))
    found = (np.minimum(start[:, 2], end[:, 2]) >= MIN_CONFIDENCE)[:, None]
    found = found & (column >= 0) & (column < width) & (row >= 0) & (row < height)
    row, column = row.astype(int).clip(0, height - 1), column.astype(int).clip(0, width - 1)
    return lab[row, column], found


def drift(seen: Compared) -> float | None:
    """How fast the picture's colours go one way, in shares of their range a second.

    Mean and spread of each channel, with a straight line through them over time. A camera that
    moves or light that is meant to change counts as well, so compare systems on one case. None for
    less than half a second.
    """
    times = seen.made.times
    if times[-1] - times[0] < 0.5:
        return None
    return float(np.abs(_slopes(seen.made.frames, times)).mean())


def _slopes(frames: list[np.ndarray], times: np.ndarray) -> np.ndarray:
    """(6,) a second."""
    values = np.array([np.concatenate(cv2.meanStdDev(frame)).ravel() for frame in frames]) / 255
    pairs, between = (values[1:] + values[:-1]) / 2, (times[1:] + times[:-1]) / 2  # no flicker
    return np.polyfit(between - between.mean(), pairs, 1)[0]
