"""A few frames that tell what happens: more where much moves, within a budget of tokens."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import NamedTuple

import cv2
import numpy as np

from ..media import Frame, shrink

PIXELS_PER_TOKEN = 28 * 28  # of the Qwen-VL class: patches of 14, four to a token
MAX_SAMPLE_SIDE = 448  # pixels: larger frames show motion no better
MIN_FRAMES, MAX_FRAMES = 2, 16
THUMBNAIL = 48  # pixels a side, in which motion is measured
REST = 0.25  # share of the frames that are spread evenly, however still it is there


class MotionSample(NamedTuple):
    images: list[np.ndarray]  # (h, w, 3) uint8
    times: list[float]  # seconds


def sample_by_motion(frames: Callable[[], Iterator[Frame]], budget: int = 4096) -> MotionSample:
    """Frames at even steps of the motion so far, the first and the last among them.

    frames: begins the clip anew each time it is called; it is read twice, one frame at a time.
    budget: tokens for all images together; decides how many there are and, below MIN_FRAMES of
        full size, how small they get.

    Motion is the mean difference of neighbouring thumbnails. It is summed over time, mixed with
    time itself (REST), and cut into equal steps.
    """
    changes, size, before = [], (1, 1), None
    for frame in frames():
        small = cv2.resize(frame.image, (THUMBNAIL, THUMBNAIL), interpolation=cv2.INTER_AREA)
        small = small.astype(np.float32)
        changes.append(0.0 if before is None else float(np.abs(small - before).mean()))
        before, size = small, frame.image.shape[:2]
    count, scale = _afford(size, len(changes), budget)
    chosen = set(choose(np.array(changes), count))
    images, times = [], []
    for number, frame in enumerate(frames()):
        if number in chosen:
            images.append(shrink(frame.image, scale))
            times.append(round(frame.time, 2))
    return MotionSample(images, times)


def choose(changes: np.ndarray, count: int) -> list[int]:
    """Numbers of `count` frames, rising, from 0 to the last; changes: (n,) from the one before."""
    n = len(changes)
    if count >= n:
        return list(range(n))
    moved = changes.cumsum()
    moved = moved / moved[-1] if moved[-1] > 0 else np.zeros(n)
    progress = REST * np.linspace(0, 1, n) + (1 - REST) * moved
    steps = np.linspace(progress[0], progress[-1], count)
    chosen = np.abs(progress[None] - steps[:, None]).argmin(axis=1)
    # Two steps may meet in one frame where the picture jumps: each goes on to the next free one.
    for k in range(1, count):
        chosen[k] = max(chosen[k], chosen[k - 1] + 1)
    for k in range(count - 1, -1, -1):
        chosen[k] = min(chosen[k], n - count + k)
    return chosen.tolist()


def within_budget(image: np.ndarray, budget: int) -> np.ndarray:
    """A picture (h, w, 3) uint8 no larger than so many tokens of a captioner allow."""
    height, width = image.shape[:2]
    return shrink(image, picture_scale(height, width, budget))


def picture_scale(height: int, width: int, budget: int) -> float:
    """What makes one picture no larger than MAX_SAMPLE_SIDE and worth at most `budget` tokens."""
    fits = math.sqrt(budget * PIXELS_PER_TOKEN / (height * width))
    return min(1.0, MAX_SAMPLE_SIDE / max(height, width), fits)


def _afford(size: tuple[int, int], frames: int, budget: int) -> tuple[int, float]:
    """How many frames, and how much smaller."""
    scale = picture_scale(*size, budget // MIN_FRAMES)
    tokens = max(1, round(size[0] * scale * size[1] * scale / PIXELS_PER_TOKEN))
    return min(frames, MAX_FRAMES, max(MIN_FRAMES, budget // tokens)), scale
