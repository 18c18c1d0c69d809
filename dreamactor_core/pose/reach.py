"""What of a mask can be a body's whose joints are known: what is near its bones.

A network's mask of a person takes along what hangs beside him, a flag, say, and specks that are
nobody's. Torn off and carried about they are worse than a hat that is lost.
"""

from __future__ import annotations

import cv2
import numpy as np

from ..skeleton import FACE_JOINTS, HIP, KNEE, LIMB_JOINTS, NECK, SHOULDER
from .draw import MIN_CONFIDENCE
from .guides import CLEAR

# In breadths of shoulders:
LIMB_BREADTH, HALF_HEAD = 0.3, 0.42
WORN = 0.3  # hair, clothes and what is held go so far beyond


def within_reach(mask: np.ndarray, bodies: np.ndarray) -> np.ndarray:
    """A mask (h, w) float32 in [0, 1] of bodies (m, 18, 3) in pixels, without what lies too far
    from all of them, or hangs on none."""
    near, reached = np.zeros(mask.shape, np.uint8), np.zeros(mask.shape, bool)
    for body in bodies:
        own = np.zeros(mask.shape, np.uint8)
        unit = _draw(own, body)
        far = cv2.distanceTransform(1 - own, cv2.DIST_L2, 5)
        near |= own
        reached |= far <= WORN * unit
    kept = reached & (mask >= CLEAR)
    _, pieces = cv2.connectedComponents(kept.astype(np.uint8))
    hanging = np.unique(pieces[(near > 0) & kept])
    kept = np.isin(pieces, hanging[hanging > 0])
    if not kept.any():
        return mask
    around = cv2.dilate(kept.astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
    return np.where(around & reached, mask, 0).astype(np.float32)


def _draw(canvas: np.ndarray, body: np.ndarray) -> float:
    """Draw a body of that kind (18, 3), and say how broad its shoulders are."""
    seen, xy = body[:, 2] >= MIN_CONFIDENCE, body[:, :2]
    hips = xy[list(HIP)].mean(axis=0)
    unit = float(np.linalg.norm(xy[SHOULDER[0]] - xy[SHOULDER[1]]))
    unit = max(unit, 0.5 * float(np.linalg.norm(xy[NECK] - hips)) * seen[list(HIP)].all(), 4.0)
    thick = max(1, round(LIMB_BREADTH * unit))
    corners = np.array([j for j in (SHOULDER[0], SHOULDER[1], HIP[1], HIP[0]) if seen[j]])
    if len(corners) > 2:
        hull = cv2.convexHull(np.rint(xy[corners]).astype(np.int32))
        cv2.fillConvexPoly(canvas, hull, 1)
        cv2.polylines(canvas, [hull], True, 1, thick)
    legs = np.array([*HIP, *KNEE[::-1]])
    if seen[legs].all():  # a skirt
        cv2.fillConvexPoly(canvas, cv2.convexHull(np.rint(xy[legs]).astype(np.int32)), 1)
    for start, end in LIMB_JOINTS.values():
        if seen[[start, end]].all():
            _line(canvas, xy[start], xy[end] + 0.15 * (xy[end] - xy[start]), thick)
    face = [joint for joint in FACE_JOINTS if seen[joint]]
    if face:
        middle = xy[face].mean(axis=0)
        cv2.circle(canvas, _point(middle), max(1, round(HALF_HEAD * unit)), 1, cv2.FILLED)
        if seen[NECK]:
            _line(canvas, middle, xy[NECK], thick)
    return unit


def _line(canvas: np.ndarray, start: np.ndarray, end: np.ndarray, thick: int) -> None:
    cv2.line(canvas, _point(start), _point(end), 1, thick)


def _point(place: np.ndarray) -> tuple[int, int]:
    x, y = np.rint(np.clip(place, -16_000, 16_000)).astype(int).tolist()
    return x, y
