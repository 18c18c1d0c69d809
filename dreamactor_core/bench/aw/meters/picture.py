"""The picture itself: fine detail, and what flickers."""

from __future__ import annotations

import cv2
import numpy as np

from .seen import Compared

FINE_BLUR, COARSE_BLUR = (
    1.0,
    8.0,
)  # pixels: what blurs of them take away
EDGES = 0.99  # quantile over the picture: its edges, not the noise of flat ground
FLICKER_SIDE = 48  # pixels of a side on which it is measured


def fine_detail(seen: Compared) -> float:
    """Fine detail beside contrast at the edges, the mean of some frames, beside the reference's:
    1 as sharp, or sharper."""
    stills = seen.made.stills or seen.made.frames
    height, width = stills[0].shape[:2]
    method = cv2.INTER_AREA if seen.reference.shape[0] > height else cv2.INTER_CUBIC
    own = fineness(cv2.resize(seen.reference, (width, height), interpolation=method))
    return float(min(1.0, np.mean([fineness(still) for still in stills]) / max(own, 1e-6)))


def fineness(image: np.ndarray) -> float:
    """Of an image (h, w, 3) uint8: fine detail beside contrast at its edges."""
    gray = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.float32)
    fine, coarse = (cv2.GaussianBlur(gray, (0, 0), sigma) for sigma in (FINE_BLUR, COARSE_BLUR))
    finest, all_of_it = (np.quantile(np.abs(gray - x), EDGES) for x in (fine, coarse))
    return float(finest / max(all_of_it, 1.0))


def flicker(seen: Compared) -> float | None:
    """How far pixels go up and down again, or down and up, from a frame to the next but one; the
    mean over the picture where the least of it is, for limbs do so too. None for two frames."""
    if len(seen.made.frames) < 3:
        return None
    size = (FLICKER_SIDE, FLICKER_SIDE)
    small = [cv2.resize(f, size, interpolation=cv2.INTER_AREA) for f in seen.made.frames]
    steps = np.diff(np.stack(small).astype(np.float32) / 255, axis=0)
    before, after = steps[:-1], steps[1:]
    turned = np.where(before * after < 0, np.minimum(np.abs(before), np.abs(after)), 0)
    return float(turned.mean())
