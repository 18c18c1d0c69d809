"""Coordinates as OpenCV's drawing takes them: whole sixteenths of a pixel."""

from __future__ import annotations

import numpy as np

FIXED_POINT_BITS = 4


def fixed_point(pixels: np.ndarray) -> np.ndarray:
    """Pixels of any shape -> int32 of the same shape, for a `shift` of FIXED_POINT_BITS."""
    return np.rint(pixels * (1 << FIXED_POINT_BITS)).astype(np.int32)
