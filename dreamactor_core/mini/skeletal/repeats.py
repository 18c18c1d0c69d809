"""A hole in a ground that repeats itself: stripes, checks, a horizon go on as they are around it.

For every offset at once, how unlike what is about the hole is to what lies that far from it, by
Fourier transforms; where it is alike, so is what is in the hole (He and Sun, 2012, whose offsets
are those of patches).
"""

from __future__ import annotations

import cv2
import numpy as np
from scipy import fft

ABOUT_HOLE, ABOUT_PIXEL = 0.06, 0.1  # of the longer side: so far about them is compared
REPEATED = 3.0  # deviation of colours of 0 to 255, up to which the ground repeats itself
LEAST_COMPARED, LEAST_NEAR = 0.3, 0.8  # of what is about a hole, and near a pixel
WORTH = 0.03  # of what is hidden still: so much an offset must reach
OFFSETS = 16  # at most, each for what those before it do not reach


def fill_repeats(picture: np.ndarray, hidden: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Picture (h, w, 3) uint8 with what is hidden (h, w) bool taken from where it is seen again,
    and what is hidden still: everything, where nothing repeats itself."""
    about = around_hole(hidden, ABOUT_HOLE)
    made, left = picture.copy(), hidden.copy()
    if not about.any():
        return made, left
    known, near = _spectrum(~hidden), _sum_near(about)
    unlike = _unlike(picture, about, ~hidden, known)
    for _ in range(OFFSETS):
        alike = unlike < REPEATED**2
        if not (alike.any() and left.any()):
            break
        alike &= _matching(_spectrum(left), known) >= WORTH * left.sum()
        if not alike.any():
            break
        best = np.unravel_index(np.where(alike, unlike, np.inf).argmin(), unlike.shape)
        unlike[best] = np.inf
        offset = [_signed(int(at), size) for at, size in zip(best, unlike.shape, strict=True)]
        there, seen = _moved(picture, offset), _moved((~hidden).astype(np.uint8), offset) > 0
        taken = left & seen & _vouched(picture, there, about & seen, near)
        made[taken] = there[taken]
        left &= ~taken
    return made, left


def around_hole(hidden: np.ndarray, share: float) -> np.ndarray:
    """(h, w) bool: what lies around what is hidden (h, w) bool, so far in shares of the longer
    side, and is seen."""
    reach = 2 * max(2, round(share * max(hidden.shape))) + 1
    wider = cv2.dilate(hidden.astype(np.uint8), np.ones((reach, reach), np.uint8)) > 0
    return wider & ~hidden


def _unlike(
    picture: np.ndarray, about: np.ndarray, seen: np.ndarray, known: np.ndarray
) -> np.ndarray:
    """Of each offset (2 h, 2 w) the mean squared deviation of what is about from what is seen
    there, whose spectrum is known; infinite where little can be compared."""
    colours = picture - picture[about].mean(axis=0)  # small numbers lose least in float32
    power = (colours**2).sum(axis=2)
    ring = _spectrum(about)
    count = _matching(ring, known)
    off = _matching(_spectrum(about * power), known) + _matching(ring, _spectrum(seen * power))
    for channel in np.moveaxis(colours, 2, 0):
        off -= 2 * _matching(_spectrum(about * channel), _spectrum(seen * channel))
    enough = count >= LEAST_COMPARED * about.sum()
    return np.where(enough, off / (3 * count.clip(min=1)), np.inf)


def _spectrum(values: np.ndarray) -> np.ndarray:
    """Of values (h, w) with as much nothing beside them, so that no offset comes round."""
    return fft.rfft2(values.astype(np.float32), [2 * size for size in values.shape])


def _matching(here: np.ndarray, there: np.ndarray) -> np.ndarray:
    """(2 h, 2 w) of each offset, negative ones from the end: the sum of here times what is there,
    so far away; of two spectra."""
    return fft.irfft2(here.conj() * there, (here.shape[0], 2 * here.shape[1] - 2))


def _signed(offset: int, size: int) -> int:
    return offset - size if offset >= size // 2 else offset


def _moved(values: np.ndarray, offset: list[int]) -> np.ndarray:
    """At (row, column) what is at (row, column) + offset; 0 outside."""
    matrix = np.array([[1, 0, -offset[1]], [0, 1, -offset[0]]], np.float32)
    return cv2.warpAffine(values, matrix, values.shape[1::-1], flags=cv2.INTER_NEAREST)


def _vouched(
    picture: np.ndarray, there: np.ndarray, compared: np.ndarray, near: np.ndarray
) -> np.ndarray:
    """(h, w) bool: whether enough of what is about a hole near each pixel (h, w), so many pixels,
    could be compared, and is alike."""
    off = ((picture.astype(np.float32) - there) ** 2).mean(axis=2)
    count = _sum_near(compared)
    alike = _sum_near(off * compared) < REPEATED**2 * count
    return (near < 1) | (alike & (count > LEAST_NEAR * near))


def _sum_near(values: np.ndarray) -> np.ndarray:
    """(h, w) float32: of values (h, w) about each pixel the sum."""
    side = 2 * round(ABOUT_PIXEL * max(values.shape)) + 1
    return cv2.boxFilter(values.astype(np.float32), -1, (side, side), normalize=False)
