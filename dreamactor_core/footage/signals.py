"""What one pass over a file keeps of each frame: enough to cut it into shots and to judge them.

About 700 bytes a frame, so that hours of footage fit.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import NamedTuple

import cv2
import numpy as np

from ..media import Frame

THUMB = (32, 18)  # pixels (width, height) in which frames are compared
SHARP_SIDE = 512  # pixels: the longer side of the picture whose sharpness is measured
SHARP_STEP = 0.25  # seconds between two measurements of it
BLEND = 0.75  # seconds that the two ends of a sought dissolve lie apart


class Signals(NamedTuple):
    """Of n frames. Distances of histograms are Hellinger's, 0 to 1; levels are 0 to 255."""

    times: np.ndarray  # (n,) seconds
    change: np.ndarray  # (n,) levels, mean difference from the frame before; 0 for the first
    turn: np.ndarray  # (n,) distance of its histogram from the frame before's
    apart: np.ndarray  # (n,) levels, difference from the frame BLEND seconds before
    blend: np.ndarray  # (n,) how far the frame between is from the mean of both, over `apart`
    grey: np.ndarray  # (n, 18, 32) uint8
    sharp: np.ndarray  # (n,) variance of the Laplacian; NaN where it was not measured


def read_signals(frames: Iterable[Frame], fps: float) -> Signals:
    """frames: (h, w, 3) uint8, at about `fps` a second. Raises what reading them raises."""
    span = max(2, round(BLEND * fps))
    last: deque[tuple[np.ndarray, np.ndarray]] = deque(maxlen=span + 1)  # thumbs and histograms
    rows, greys, next_sharp = [], [], 0.0
    for frame in frames:
        thumb, histogram = _thumb(frame.image), _histogram(frame.image)
        last.append((thumb, histogram))
        sharp = np.nan
        if frame.time >= next_sharp:
            sharp, next_sharp = sharpness(frame.image), frame.time + SHARP_STEP
        rows.append((frame.time, *_compare(last, span), sharp))
        grey = cv2.cvtColor(thumb, cv2.COLOR_RGB2GRAY)
        greys.append(np.rint(grey).astype(np.uint8))
    times, change, turn, apart, blend, sharps = np.array(rows).T
    return Signals(times, change, turn, apart, blend, np.stack(greys), sharps)


def sharpness(image: np.ndarray) -> float:
    """Variance of the Laplacian of a picture (h, w, 3) uint8 whose longer side is SHARP_SIDE.

    Above 100 in crisp footage, below 20 where nothing is in focus.
    """
    scale = min(1.0, SHARP_SIDE / max(image.shape[:2]))
    small = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    return float(cv2.Laplacian(cv2.cvtColor(small, cv2.COLOR_RGB2GRAY), cv2.CV_64F).var())


def _thumb(image: np.ndarray) -> np.ndarray:
    """(18, 32, 3) float32, levels."""
    return cv2.resize(image, THUMB, interpolation=cv2.INTER_AREA).astype(np.float32)


def _histogram(image: np.ndarray) -> np.ndarray:
    """(512,) square roots of the shares of 8 x 8 x 8 colours."""
    small = cv2.resize(image, (64, 36), interpolation=cv2.INTER_AREA)
    counts = cv2.calcHist([small], [0, 1, 2], None, [8] * 3, [0, 256] * 3).ravel()
    return np.sqrt(counts / counts.sum())


def _compare(last: deque[tuple[np.ndarray, np.ndarray]], span: int) -> tuple[float, ...]:
    """change, turn, apart and blend of the newest frame."""
    thumb, histogram = last[-1]
    change = turn = apart = 0.0
    blend = 1.0
    if len(last) > 1:
        change = float(np.abs(thumb - last[-2][0]).mean())
        turn = _distance(histogram, last[-2][1])
    if len(last) > span:
        before, between = last[0][0], last[span // 2][0]
        apart = float(np.abs(thumb - before).mean())
        share = (span // 2) / span
        mean = (1 - share) * before + share * thumb
        blend = float(np.abs(between - mean).mean()) / max(apart, 1.0)
    return change, turn, apart, blend


def _distance(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.sqrt(max(0.0, 1.0 - float(a @ b))))
