"""Exactness: does the video last as long as its driver, and sound as it does?"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ....media import Sound, probe, read_sound

HEARD_RATE = 400  # loudness values a second that are compared


def length(driver: Path, made: Path) -> float:
    """1: the same duration, or within half a frame of it; 0: off by all of it."""
    info = probe(driver)
    off = abs(probe(made).duration - info.duration)
    half = 0.5 / max(float(info.fps), 1.0)
    return float(np.clip(1 - max(0.0, off - half) / info.duration, 0, 1))


def sound(driver: Path, made: Path) -> float | None:
    """Correlation of the two loudnesses over time: 1 the driver's sound at its time, 0 silence,
    another one, or the same too late. None where the driver is silent."""
    own, other = read_sound(driver), read_sound(made)
    if own is None or not own.samples.any():
        return None
    if other is None or not other.samples.any():
        return 0.0
    one, two = _loudness(own), _loudness(other)
    end = min(len(one), len(two))
    one, two = one[:end] - one[:end].mean(), two[:end] - two[:end].mean()
    product = float(np.linalg.norm(one) * np.linalg.norm(two))
    if product < 1e-9:  # both even: loudness alone
        return 1.0
    return float(np.clip(one @ two / product, 0, 1))


def _loudness(heard: Sound) -> np.ndarray:
    step = max(1, heard.rate // HEARD_RATE)
    mono = np.square(heard.samples.mean(axis=0))
    whole = len(mono) // step * step
    return np.sqrt(mono[:whole].reshape(-1, step).mean(axis=1))
