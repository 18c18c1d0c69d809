"""Figures with ground truth. Frames are float32 in [0, 1], (t, h, w, 3), as numpy arrays."""

from __future__ import annotations

import cv2
import numpy as np

FOREGROUND = 0.1  # a pixel this far from the empty scene, in any channel, belongs to the character


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


def _luma(frames: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(frames @ np.array([0.299, 0.587, 0.114], np.float32))
