"""The outline of what is drawn or stands on a plain ground: a figure on paper, a cut-out on white.

The ground's colour is a plane over the picture, fitted to its border, for paper is lit from one
side. What differs from it is drawn; what is drawn encloses the figure; what the border cannot reach
is inside.
"""

from __future__ import annotations

import cv2
import numpy as np

from .guides import CLEAR

FINE = 512  # pixels of the longer side on which the ground is told
RING = 0.04  # of the sides: the border that is taken for ground
TRIMMED = 0.7  # share of the border that the plane is fitted to in the end: figures may touch it
UNEVEN = 0.06  # deviation of that share from the plane, from which the ground is not plain
CROSSED = 0.2  # share of the border that a figure may cover
DIFFERS = 3.0, 0.07  # times that deviation, and at least: what is drawn
LINE_GAP = 0.015  # of the longer side: lines that end so near to each other meet
LEAST_PIECE = 0.1  # of the largest piece: smaller ones are specks
# Of the largest figure's height, of one's own width, of the largest one's area: from the first and
# third on, and with no more than the second above or below the largest, it is another figure.
AS_TALL, AS_WIDE, AS_LARGE = 0.5, 0.2, 0.25
FIGURE = 0.01, 0.9  # shares of the picture that a figure may fill


def outline(image: np.ndarray) -> np.ndarray | None:
    """(h, w, 3) uint8 -> (h, w) float32 in [0, 1], 1 inside; None where the ground is not plain."""
    height, width = image.shape[:2]
    scale = min(1.0, FINE / max(height, width))
    small = tuple(max(8, round(side * scale)) for side in (height, width))
    pixels = cv2.resize(image, small[::-1], interpolation=cv2.INTER_AREA).astype(np.float32) / 255
    difference, deviation = _from_ground(pixels)
    times, least = DIFFERS
    drawn = (difference > max(times * deviation, least)).astype(np.uint8)
    if deviation > UNEVEN or drawn[_border(*small)].mean() > CROSSED:
        return None
    inside = encloses(drawn, LINE_GAP * max(small))
    _, pieces, stats, _ = cv2.connectedComponentsWithStats(inside)
    areas = stats[:, cv2.CC_STAT_AREA].copy()
    areas[0] = 0
    kept = np.isin(pieces, np.flatnonzero(areas >= max(1, LEAST_PIECE * areas.max())))
    low, high = FIGURE
    if not low < kept.mean() < high:
        return None
    return cv2.resize(kept.astype(np.float32), (width, height), interpolation=cv2.INTER_LINEAR)


def largest_of(mask: np.ndarray) -> tuple[np.ndarray, int]:
    """Of a mask (h, w) in [0, 1] of several figures that stand beside each other the largest, with
    all that is no other one's; and how many others there are."""
    _, pieces, stats, _ = cv2.connectedComponentsWithStats((mask >= CLEAR).astype(np.uint8))
    areas = stats[:, cv2.CC_STAT_AREA].copy()
    areas[0] = 0
    largest = int(areas.argmax())
    left, right = (
        stats[:, cv2.CC_STAT_LEFT],
        stats[:, cv2.CC_STAT_LEFT] + stats[:, cv2.CC_STAT_WIDTH],
    )
    shared = np.minimum(right, right[largest]) - np.maximum(left, left[largest])
    tall, wide = stats[:, cv2.CC_STAT_HEIGHT], stats[:, cv2.CC_STAT_WIDTH]
    others = (tall >= AS_TALL * tall[largest]) & (shared <= AS_WIDE * wide)
    others &= areas >= AS_LARGE * areas[largest]
    others[[0, largest]] = False
    if not others.any():
        return mask, 0
    around = cv2.dilate(np.isin(pieces, np.flatnonzero(others)).astype(np.uint8), np.ones((5, 5)))
    return np.where(around > 0, 0, mask).astype(np.float32), int(others.sum())


def encloses(drawn: np.ndarray, gap: float) -> np.ndarray:
    """(h, w) uint8: what is drawn, and what lines enclose that end at most `gap` pixels apart."""
    reach = 2 * round(gap) + 1
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (reach, reach))
    closed = cv2.morphologyEx(np.pad(drawn, reach), cv2.MORPH_CLOSE, kernel)
    closed = closed[reach:-reach, reach:-reach]
    _, free = cv2.connectedComponents(np.pad(1 - closed, 1, constant_values=1), connectivity=4)
    return (free != free[0, 0])[1:-1, 1:-1].astype(np.uint8)


def _border(height: int, width: int) -> np.ndarray:
    """(height, width) bool"""
    edge_y, edge_x = (max(1, round(RING * side)) for side in (height, width))
    ring = np.ones((height, width), bool)
    ring[edge_y:-edge_y, edge_x:-edge_x] = False
    return ring


def _from_ground(pixels: np.ndarray) -> tuple[np.ndarray, float]:
    """How far each pixel's colour lies from the ground's (h, w), and how far the ground's own."""
    height, width = pixels.shape[:2]
    y, x = np.mgrid[:height, :width].astype(np.float32)
    terms = np.stack([np.ones_like(x), x / width, y / height], axis=-1)
    ring = _border(height, width)
    for _ in range(3):
        plane = np.linalg.lstsq(terms[ring], pixels[ring], rcond=None)[0]
        difference = np.abs(pixels - terms @ plane).max(axis=-1)
        limit = np.quantile(difference[ring], TRIMMED)
        ring &= difference <= max(limit, 1e-6)
    return difference, float(difference[ring].max())
