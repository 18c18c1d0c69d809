"""GrabCut: a figure told apart from any ground by its colours, from a first idea of where it is."""

from __future__ import annotations

import cv2
import numpy as np

ROUNDS = 4
MOST_SIDE = 512  # pixels of the longer side on which a figure is told from its ground
# Shares of a first idea from which a pixel may be, or is, the figure's:
PERHAPS_IN, CERTAINLY_IN = 0.3, 0.8
CORE, OUTSKIRTS = 0.035, 0.16  # of that side: so deep inside is sure, and so far outside is ground
LEAST_PART = 0.02  # of the largest piece: smaller ones are specks


def grab_cut(image: np.ndarray, told: np.ndarray) -> np.ndarray:
    """Picture (h, w, 3) uint8, what is told of each pixel (h, w) uint8 (cv2's GC_BGD, GC_FGD,
    GC_PR_BGD, GC_PR_FGD) -> (h, w) bool, where the figure is."""
    told = told.copy()
    ground = np.isin(told, (cv2.GC_BGD, cv2.GC_PR_BGD))
    if ground.any() and not ground.all():
        models = np.zeros((2, 1, 65))
        cv2.setRNGSeed(0)  # of the clusters of colours: the same picture, the same mask
        cv2.grabCut(image, told, None, *models, ROUNDS, cv2.GC_INIT_WITH_MASK)
    return np.isin(told, (cv2.GC_FGD, cv2.GC_PR_FGD))


def figure_like(image: np.ndarray, body: np.ndarray) -> np.ndarray | None:
    """Outline (h, w) float32 in [0, 1] of the figure in a picture (h, w, 3) uint8, whose place is
    known about: body (h', w') in [0, 1] of any size. None where nothing is left of it."""
    height, width = image.shape[:2]
    scale = min(1.0, MOST_SIDE / max(height, width))
    size = tuple(max(8, round(side * scale)) for side in (width, height))
    small = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    first = cv2.resize(body.astype(np.float32), size, interpolation=cv2.INTER_LINEAR)
    core, around = (2 * round(share * max(size) / 2) + 1 for share in (CORE, OUTSKIRTS))
    told = np.full(small.shape[:2], cv2.GC_PR_BGD, np.uint8)
    told[first > PERHAPS_IN] = cv2.GC_PR_FGD
    told[cv2.erode((first > CERTAINLY_IN).astype(np.uint8), np.ones((core, core))) > 0] = cv2.GC_FGD
    near = cv2.dilate((first > PERHAPS_IN).astype(np.uint8), np.ones((around, around))) > 0
    told[~near] = cv2.GC_BGD
    inside = grab_cut(small, told).astype(np.uint8)
    _, pieces, stats, _ = cv2.connectedComponentsWithStats(inside)
    areas = stats[:, cv2.CC_STAT_AREA].copy()
    areas[0] = 0
    kept = np.isin(pieces, np.flatnonzero(areas >= max(1, LEAST_PART * areas.max())))
    if not kept.any() or kept.all():
        return None
    return cv2.resize(kept.astype(np.float32), (width, height), interpolation=cv2.INTER_LINEAR)
