"""Figures with ground truth. Frames are float32 in [0, 1], (t, h, w, 3), as numpy arrays."""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np

from ..pose.keypoints import MIN_CONFIDENCE, Pose

FOREGROUND = 0.1  # a pixel this far from the empty scene, in any channel, belongs to the character
COLOUR_LEVELS = 16  # of each channel, when colours are told apart


class Share(NamedTuple):
    """A ratio whose mean over cases is one of sums: a case counts by the size of its whole."""

    part: float
    whole: float


def absolute_error(frames: np.ndarray, truth: np.ndarray) -> float:
    """Mean absolute error, 0..1."""
    return float(np.abs(frames - truth).mean())


def psnr(frames: np.ndarray, truth: np.ndarray) -> float:
    """Peak signal-to-noise ratio in dB, the mean over frames; 99 where frames are equal."""
    mse = np.square(frames - truth).mean(axis=(1, 2, 3))
    return float(np.minimum(-10 * np.log10(np.maximum(mse, 1e-12)), 99).mean())


def ssim(frames: np.ndarray, truth: np.ndarray) -> float:
    """Structural similarity on luma (Wang et al. 2004: Gaussian 11x11, sigma 1.5), 1 is equal."""
    c1, c2 = 0.01**2, 0.03**2

    def blur(x: np.ndarray) -> np.ndarray:
        return cv2.GaussianBlur(x, (11, 11), 1.5)

    values = []
    for a, b in zip(_luma(frames), _luma(truth), strict=True):
        mean_a, mean_b = blur(a), blur(b)
        var_a, var_b = blur(a * a) - mean_a**2, blur(b * b) - mean_b**2
        cov = blur(a * b) - mean_a * mean_b
        score = (2 * mean_a * mean_b + c1) * (2 * cov + c2)
        score /= (mean_a**2 + mean_b**2 + c1) * (var_a + var_b + c2)
        values.append(score.mean())
    return float(np.mean(values))


def foreground(frames: np.ndarray, scene: np.ndarray) -> np.ndarray:
    """(t, h, w) bool: what differs from the empty scene (t, h, w, 3)."""
    return np.abs(frames - scene).max(axis=-1) > FOREGROUND


def iou(a: np.ndarray, b: np.ndarray) -> float:
    """Intersection over union of masks (t, h, w), the mean over frames; 1 where both are empty."""
    both, either = (a & b).sum(axis=(1, 2)), (a | b).sum(axis=(1, 2))
    return float(np.where(either > 0, both / np.maximum(either, 1), 1.0).mean())


def identity_error(frames: np.ndarray, truth: np.ndarray, mask: np.ndarray) -> float:
    """Mean colour distance (Euclidean, RGB, 0..sqrt 3) on the true foreground (t, h, w) bool."""
    return float(np.linalg.norm(frames - truth, axis=-1)[mask].mean())


def relative_error(frames: np.ndarray, truth: np.ndarray, still: np.ndarray) -> Share:
    """Absolute error over that of a still picture (1, h, w, 3). 0: perfect; 1: no better than it.

    As a share, so that a case with little motion does not weigh more than it moves.
    """
    return Share(absolute_error(frames, truth), absolute_error(still, truth))


def leak(made: np.ndarray, reference: np.ndarray, driver: np.ndarray) -> Share:
    """How much the colours made (n, 3) are the driver's (m, 3) rather than the reference's (k, 3).

    Squared distances to the nearest colour of each, summed: reference / (reference + driver).
    0: all are colours of the reference; 1: all are the driver's and none the reference's; 0.5: as
    far from one as from the other. Colours that both have say nothing, so as a share: two
    characters in the same clothes do not weigh.
    """
    to_reference, to_driver = (_squared_distance(made, colours) for colours in (reference, driver))
    return Share(to_reference, to_reference + to_driver)


def keypoint_distance(made: Pose, truth: Pose) -> float:
    """How far the joints made are from the true ones, in heights of the true body, 0..1.

    The mean over the body joints that the truth has, of the first person of each; a joint that is
    missing in what was made, or further away, counts 1. NaN where the truth has nobody.
    """
    if not truth.body.shape[1]:
        return float("nan")
    want = truth.body[:, 0]  # (t, 18, 3)
    got = made.body[:, 0] if made.body.shape[1] else np.zeros_like(want)
    seen, found = (joints[..., 2] >= MIN_CONFIDENCE for joints in (want, got))
    if not seen.any():
        return float("nan")
    y = want[..., 1]
    heights = np.where(seen, y, -np.inf).max(axis=1) - np.where(seen, y, np.inf).min(axis=1)
    height = heights[seen.any(axis=1)].max()
    away = np.linalg.norm((got - want)[..., :2] * [truth.aspect, 1], axis=-1) / max(height, 1e-6)
    return float(np.where(found, away.clip(0, 1), 1.0)[seen].mean())


def motion_agreement(source: np.ndarray, made: np.ndarray) -> float:
    """Likeness of two motion energies over time, 0..1: cosine of the profiles times their ratio.

    source, made: (t, h, w, 3) in [0, 1], of one length. 1 where neither moves.
    """
    a, b = (np.abs(np.diff(x, axis=0)).mean(axis=(1, 2, 3)) for x in (source, made))
    if max(a.sum(), b.sum()) < 1e-3 * len(a):
        return 1.0  # neither moves
    ratio = min(a.sum(), b.sum()) / max(a.sum(), b.sum(), 1e-9)
    cosine = float(a @ b / max(np.linalg.norm(a) * np.linalg.norm(b), 1e-9))
    return cosine * ratio**0.5


def _squared_distance(made: np.ndarray, colours: np.ndarray) -> float:
    """Sum over made (n, 3) of the squared distance to the nearest of colours (m, 3)."""
    (made, counts), (colours, _) = _levels(made), _levels(colours)
    squares = np.square(made[:, None] - colours).sum(axis=-1).min(axis=1)
    return float(squares @ counts) / (COLOUR_LEVELS - 1) ** 2


def _levels(colours: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(n, 3) in [0, 1] -> the colours there are (u, 3), up to COLOUR_LEVELS - 1, and how often
    each."""
    steps = (colours * (COLOUR_LEVELS - 1)).round().astype(int).clip(0, COLOUR_LEVELS - 1)
    codes, counts = np.unique(steps @ [COLOUR_LEVELS**2, COLOUR_LEVELS, 1], return_counts=True)
    return np.stack(np.unravel_index(codes, (COLOUR_LEVELS,) * 3), axis=-1), counts


def _luma(frames: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(frames @ np.array([0.299, 0.587, 0.114], np.float32))
