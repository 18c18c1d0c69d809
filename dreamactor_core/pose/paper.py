"""Figures drawn on paper that was photographed: lit unevenly, other things on it and beside it.

The light is what remains of the picture once all that is narrow and dark is closed; what is darker
than that is drawn. Lines that meet are one thing. A figure takes along the paper about its lines.
"""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np

from .ground import encloses

PAPER_SIDE = 768  # pixels of the longer side: thin lines are still there
STROKE = 0.06  # of that side: what is narrower may be drawn, and not the light
INKED = 0.82  # of the light: darker is drawn
GRAIN_OF_PAPER = 0.05  # three quarters of the paper differ less from the light
MOST_INK = 0.3  # share of the picture that may be drawn
LEAST_HEIGHT = 0.15  # of the picture's longer side: a smaller thing is no figure
STROKE_GAP = 0.005  # of that side: lines that end so near to each other meet
BROAD = 0.02  # of that side: wider than a stroke
PAPER_MARGIN = 0.008  # of that side: paper about a line that goes along with it
MOST_FIGURES = 4  # that are looked at, the largest first


class DrawnThing(NamedTuple):
    """A thing on paper: masks (h, w) float32 in [0, 1]."""

    lines: np.ndarray  # what is drawn, and what it encloses
    outline: np.ndarray  # with the paper that goes along


def figures_on_paper(image: np.ndarray) -> list[DrawnThing]:
    """(h, w, 3) uint8 -> what is drawn, each apart from others and from the picture's border, the
    tallest first; none where that is no paper."""
    height, width = image.shape[:2]
    scale = min(1.0, PAPER_SIDE / max(height, width))
    size = tuple(max(8, round(side * scale)) for side in (width, height))
    pixels = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    side = max(size)
    shade = _against_light(pixels, side)
    drawn = (shade < INKED).astype(np.uint8)
    plain = np.abs(1 - shade[drawn == 0])
    if not len(plain) or drawn.mean() > MOST_INK or np.quantile(plain, 0.75) > GRAIN_OF_PAPER:
        return []
    inside = encloses(_without_surroundings(drawn, BROAD * side), STROKE_GAP * side)
    _, pieces, stats, _ = cv2.connectedComponentsWithStats(inside)
    inner = (stats[:, :2] > 0).all(axis=1) & (stats[:, :2] + stats[:, 2:4] < size).all(axis=1)
    tall = stats[:, cv2.CC_STAT_HEIGHT] * inner
    tall[0] = 0
    figures = []
    reach = 2 * round(PAPER_MARGIN * side) + 1
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (reach, reach))
    for piece in np.argsort(-tall, kind="stable")[:MOST_FIGURES].tolist():
        if tall[piece] >= LEAST_HEIGHT * side:
            lines = (pieces == piece).astype(np.float32)
            both = (lines, cv2.dilate(lines, kernel))
            figures.append(DrawnThing(*(cv2.resize(mask, (width, height)) for mask in both)))
    return figures


def _without_surroundings(drawn: np.ndarray, wide: float) -> np.ndarray:
    """(h, w) uint8: what is drawn, without what is as wide as that and goes on to the border: the
    table, a finger, a shadow beside the sheet."""
    reach = 2 * round(wide / 2) + 1
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (reach, reach))
    _, pieces = cv2.connectedComponents(drawn)
    border = np.concatenate([pieces[0], pieces[-1], pieces[:, 0], pieces[:, -1]])
    outer = drawn * np.isin(pieces, border)
    broad = cv2.morphologyEx(np.pad(outer, reach, mode="edge"), cv2.MORPH_OPEN, kernel)
    around = cv2.dilate(broad, kernel)[reach:-reach, reach:-reach]
    return drawn * (1 - around)


def _against_light(pixels: np.ndarray, side: int) -> np.ndarray:
    """(h, w): the darkest of the colours of each pixel, against the light that falls there."""
    reach = 2 * round(STROKE * side / 2) + 1
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (reach, reach))
    grey = cv2.GaussianBlur(pixels, (3, 3), 0)
    light = cv2.GaussianBlur(cv2.morphologyEx(grey, cv2.MORPH_CLOSE, kernel), (0, 0), reach / 3)
    return (grey.astype(np.float32) / light.clip(1)).min(axis=2)
