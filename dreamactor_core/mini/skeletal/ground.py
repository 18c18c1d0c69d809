"""What lies behind a figure: the picture without it."""

from __future__ import annotations

import cv2
import numpy as np

from .patches import filled_by_patches
from .repeats import around_hole, fill_repeats

HALO = 0.012  # of the longer side: so far around a figure its outline and blur may reach
AROUND_FIGURE = 0.03  # of the longer side: so far around a figure the ground is looked at
STRUCTURE = 8.0  # deviation of colours of 0 to 255, from which it is not plain
GRAIN = 5  # pixels: structure finer than this is grain


def clean_ground(picture: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Picture (h, w, 3) uint8 without what the mask (h, w) in [0, 1] shows, bit for bit as it was
    from HALO around that on; what is all figure has the colours of its border."""
    reach = 2 * max(2, round(HALO * max(mask.shape))) + 1
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (reach, reach))
    hidden = cv2.dilate((mask > 0.02).astype(np.uint8), kernel) > 0
    if hidden.all():
        hidden = mask >= mask.max()
    if hidden.all():
        return picture.copy()
    picture, hidden = fill_repeats(picture, hidden)
    if not hidden.any():
        return picture
    made = fill(picture.astype(np.float32), ~hidden)
    made = made + _grain(picture, ~hidden)
    smooth = np.where(hidden[..., None], np.rint(made.clip(0, 255)), picture).astype(np.uint8)
    if _is_plain(picture, hidden):
        return smooth
    return filled_by_patches(picture, hidden, smooth)


def _is_plain(picture: np.ndarray, hidden: np.ndarray) -> bool:
    """Whether what is about a figure has no structure that would be missed behind it."""
    around = around_hole(hidden, AROUND_FIGURE)
    if not around.any():
        return True
    broad = cv2.GaussianBlur(picture, (0, 0), max(1.0, AROUND_FIGURE * max(hidden.shape) / 2))
    return bool((picture[around] - broad[around].astype(np.float32)).std() < STRUCTURE)


def _grain(picture: np.ndarray, known: np.ndarray) -> np.ndarray:
    """(h, w, 3) noise as strong as what is fine in the picture, so that what is made up is not
    smoother than what is around it; none on flat ground."""
    fine = picture - cv2.GaussianBlur(picture, (GRAIN, GRAIN), 0).astype(np.float32)
    inner = cv2.erode(known.astype(np.uint8), np.ones((GRAIN, GRAIN), np.uint8)) > 0
    if not inner.any():
        return np.zeros(picture.shape, np.float32)
    strength = np.median(np.abs(fine[inner]), axis=0) / 0.6745  # robust to edges
    noise = np.random.default_rng(0).standard_normal((*picture.shape[:2], 1))
    return (noise * strength).astype(np.float32)


def fill(picture: np.ndarray, known: np.ndarray) -> np.ndarray:
    """(h, w, 3) float32 where known (h, w) bool, and elsewhere what lies around, smooth: pull and
    push, as completion.inpaint."""
    weight = known.astype(np.float32)[..., None]
    return _filled(picture * weight, weight)


def _filled(total: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """total = picture * weight."""
    height, width = total.shape[:2]
    if min(height, width) < 2:
        return total / np.maximum(weight, 1e-6)
    half = ((width + 1) // 2, (height + 1) // 2)
    small_weight = cv2.resize(weight, half, interpolation=cv2.INTER_AREA)[..., None]
    small = cv2.resize(total, half, interpolation=cv2.INTER_AREA)
    gain = np.minimum(4 * small_weight, 1) / np.maximum(small_weight, 1e-6)
    around = _filled(small * gain, small_weight * gain)
    around = cv2.resize(around, (width, height), interpolation=cv2.INTER_LINEAR)
    return total + (1 - weight) * around
