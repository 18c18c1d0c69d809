"""Keep or drop a synthetic driver: an automatic stand-in for the paper's two filters.

The paper keeps videos that Video-Bench scores above 4.5 and then checks motion and identity by
hand. Here three measures on the usual scale of 1 to 5 need no second model:

    identity   colours of the video against those of the picture it was made from
    motion     does it move when, and as much as, the source moves
    stability  a picture without flicker: what changes from frame to frame changes smoothly
"""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np

from ..bench.metrics import motion_agreement
from ..options import KEPT_SCORE


class Verdict(NamedTuple):
    identity: float  # each 1..5
    motion: float
    stability: float

    @property
    def score(self) -> float:
        return sum(self) / len(self)

    def kept(self, threshold: float = KEPT_SCORE) -> bool:
        """Good enough on the whole, and nowhere far below: 1.5 under the threshold at the least."""
        return self.score > threshold and min(self) > threshold - 1.5


def judge(source: np.ndarray, made: np.ndarray, picture: np.ndarray) -> Verdict:
    """How well `made` performs `source` with the character of `picture`.

    source, made: (t, h, w, 3) float in [0, 1], of one length; picture: (h, w, 3), what made was
    animated from.
    """
    return Verdict(
        identity=_scale(1 - np.mean([_colour_distance(frame, picture) for frame in made[::4]])),
        motion=_scale(motion_agreement(source, made)),
        stability=_scale(1 - min(1.0, 4 * _jitter(made))),
    )


def _scale(share: float) -> float:
    """0..1 -> 1..5"""
    return 1 + 4 * float(np.clip(share, 0, 1))


def _colour_distance(a: np.ndarray, b: np.ndarray) -> float:
    """Hellinger distance of 8x8x8 RGB histograms, 0..1."""

    def histogram(x: np.ndarray) -> np.ndarray:
        h = cv2.calcHist(
            [(x * 255).astype(np.uint8)], [0, 1, 2], None, [8] * 3, [0, 256] * 3
        ).ravel()
        return cv2.GaussianBlur((h / h.sum()).reshape(64, 8), (3, 3), 0).ravel()

    return float(cv2.compareHist(histogram(a), histogram(b), cv2.HISTCMP_BHATTACHARYYA))


def _jitter(made: np.ndarray) -> float:
    """Second difference in time (of 16x16 thumbnails) over 8 times the first (of the pixels).

    Near 0 for smooth motion, 0.25 for a picture that is light and dark in turn.
    """
    if len(made) < 3:
        return 0.0
    first = np.abs(np.diff(made, axis=0)).mean()
    small = np.stack([cv2.resize(frame, (16, 16), interpolation=cv2.INTER_AREA) for frame in made])
    return float(np.abs(np.diff(small, n=2, axis=0)).mean() / max(first, 1e-3) / 8)
