"""Values over time, at times (n,) in seconds that rise."""

from __future__ import annotations

import numpy as np


def averaged(values: np.ndarray, times: np.ndarray, reach: float) -> np.ndarray:
    """Means (n,) of values (n, ...) over what lies within reach seconds on either side."""
    first = np.searchsorted(times, times - reach - 1e-9)
    last = np.searchsorted(times, times + reach + 1e-9)
    total = np.concatenate([np.zeros_like(values[:1], float), np.cumsum(values, axis=0)])
    count = (last - first).reshape(-1, *[1] * (values.ndim - 1))
    return (total[last] - total[first]) / count


def highest(values: np.ndarray, times: np.ndarray, reach: float) -> np.ndarray:
    """Maxima (n,) of values (n,) over what lies within reach seconds on either side."""
    first = np.searchsorted(times, times - reach - 1e-9)
    last = np.searchsorted(times, times + reach + 1e-9)
    return np.array([values[a:b].max() for a, b in zip(first, last, strict=True)])
