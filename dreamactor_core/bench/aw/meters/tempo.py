"""Is the driver's motion performed at the driver's speed? Nobody needs to be recognised for that.

Which frames of a video look alike, and which do not, is the same in two videos of one motion,
whatever the characters look like. So of each a table is made of the distances between its own
frames, and the driver's is stretched in time until the two are most alike.
"""

from __future__ import annotations

import cv2
import numpy as np

from .seen import Compared, Watched

TEMPO_SECONDS, TEMPO_RATE = 8.0, 16.0  # of the video that are looked at; moments a second
TEMPO_SIDE, TEMPO_BLUR = 32, 1.0  # pixels of a side on which frames are compared
SPEEDS = np.exp2(np.arange(-24, 25) / 16)  # of the driver's, that are tried
LEAST_MOMENTS = 6  # of either of them, and that both last for at such a speed
LEAST_MOTION = 5e-3  # spread of the distances of frames with spread 1: less is noise
LEAST_LIKE = 0.8  # correlation of the tables from which it is the same motion
AS_GOOD = 0.02  # of it: less is no reason to believe in another speed


def tempo_error(seen: Compared) -> float | None:
    """Octaves by which the performance is too slow or too fast, below 1.5: 0 the driver's speed, 1
    half or double of it. None where it is surely another motion, or next to none."""
    end = min(float(seen.made.times[-1]), TEMPO_SECONDS)
    moments = np.linspace(0, end, min(len(seen.made.times), int(end * TEMPO_RATE) + 1))
    if min(len(moments), len(seen.driver.times)) < LEAST_MOMENTS:
        return None
    made, own = _distances(seen.made), _distances(seen.driver)
    shown = _between(made, np.interp(moments, seen.made.times, np.arange(len(made))))
    alike = np.full(len(SPEEDS), -1.0)
    for k, speed in enumerate(SPEEDS):
        there = moments[moments * speed <= seen.driver.times[-1] + 1e-3] * speed
        if len(there) >= LEAST_MOMENTS:
            numbers = np.interp(there, seen.driver.times, np.arange(len(own)))
            alike[k] = _alike(_between(own, numbers), shown[: len(there), : len(there)])
    off = np.abs(np.log2(SPEEDS))
    told = off[alike >= max(alike.max() - AS_GOOD, LEAST_LIKE)]
    return float(told.min()) if len(told) and told.min() < off.max() else None


def _distances(clip: Watched) -> np.ndarray:
    """(t, t) between its own frames, each with mean 0 and spread 1, so that light that changes is
    no motion."""
    size = (TEMPO_SIDE, TEMPO_SIDE)
    small = [cv2.resize(frame, size, interpolation=cv2.INTER_AREA) for frame in clip.frames]
    blurred = np.stack([cv2.GaussianBlur(each, (0, 0), TEMPO_BLUR) for each in small])
    flat = blurred.reshape(len(small), -1, 3).astype(np.float64)
    even = (flat - flat.mean(axis=1, keepdims=True)) / (flat.std(axis=1, keepdims=True) + 1.0)
    even = even.reshape(len(small), -1)
    products = even @ even.T / even.shape[1]
    squares = np.diagonal(products)
    return np.sqrt(np.maximum(squares[:, None] + squares - 2 * products, 0))


def _between(table: np.ndarray, numbers: np.ndarray) -> np.ndarray:
    """(t, t) -> (n, n): a table at (n,) numbers of frames, whole or not."""
    first = np.minimum(numbers.astype(int), len(table) - 2)
    share = (numbers - first)[:, None]
    rows = table[first] * (1 - share) + table[first + 1] * share
    return rows[:, first] * (1 - share.T) + rows[:, first + 1] * share.T


def _alike(one: np.ndarray, other: np.ndarray) -> float:
    """Correlation of two tables; -1 where nothing moves."""
    pairs = np.triu_indices(len(one), 1)
    if min(one[pairs].std(), other[pairs].std()) < LEAST_MOTION:
        return -1.0
    return float(np.corrcoef(one[pairs], other[pairs])[0, 1])
