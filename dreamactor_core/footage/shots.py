"""Where a film is cut: hard cuts, and dissolves and fades, whose frames belong to neither shot.

A hard cut changes colours and picture at once, far more than the frames around it do. In a dissolve
the frame between is the mean of both ends, which nothing that moves in front of a camera gives. A
flash is no cut, for what comes after it is what was before.

Written here and not taken from PySceneDetect: its detectors measure the same (difference of
pictures, adapted to the frames around), but it opens files by readers of its own, which know
nothing of edit lists, HDR and variable rates, and count other frames than media does.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from .signals import BLEND, Signals

TURN, CHANGE = 0.25, 12.0  # of a hard cut, at least: distance of histograms, levels
RATIO, AROUND = 3.0, 0.5  # and so many times the median of what is so many seconds around
SAME = 0.6  # correlation of two pictures of one scene, whatever the light does
_APART, _MIXED = 25.0, 0.2  # of a dissolve: levels between its ends, and at most, from their mean


def find_shots(signals: Signals) -> list[tuple[int, int]]:
    """(first frame, frame after the last) of each shot, in order."""
    count = len(signals.times)
    gaps = [(cut, cut) for cut in hard_cuts(signals)] + dissolves(signals)
    shots, begin = [], 0
    for first, after in [*sorted(gaps), (count, count)]:
        if first > begin:
            shots.append((begin, first))
        begin = max(begin, after)
    return shots


def hard_cuts(signals: Signals) -> list[int]:
    """Frames with which a shot begins."""
    candidates = np.flatnonzero((signals.turn > TURN) & (signals.change > CHANGE))
    cuts = []
    for t in candidates.tolist():
        near = np.abs(signals.times - signals.times[t]) <= AROUND
        near[t] = near[0] = False
        around = float(np.median(signals.change[near])) if near.any() else 0.0
        if signals.change[t] > RATIO * around and _likeness(*signals.grey[t - 1 : t + 1]) < SAME:
            cuts.append(t)
    flashes = {
        t
        for t, after in pairwise(cuts)
        if after == t + 1 and _likeness(signals.grey[t - 1], signals.grey[after]) > SAME
    }
    return [t for t in cuts if t not in flashes and t - 1 not in flashes]


def dissolves(signals: Signals) -> list[tuple[int, int]]:
    """(first frame, frame after the last) of what belongs to two shots at once."""
    mixed = (signals.apart > _APART) & (signals.blend < _MIXED)
    frames = np.flatnonzero(mixed)
    runs = np.split(frames, np.flatnonzero(np.diff(frames) > 1) + 1) if len(frames) else []
    spans = []
    for run in runs:
        begin = np.searchsorted(signals.times, signals.times[run[0]] - BLEND)
        spans.append((int(begin), int(run[-1]) + 1))
    return spans


def _likeness(a: np.ndarray, b: np.ndarray) -> float:
    """Correlation of two pictures, -1 to 1; 0 where one has no contrast."""
    a, b = a.astype(float) - a.mean(), b.astype(float) - b.mean()
    return float((a * b).sum() / max(np.linalg.norm(a) * np.linalg.norm(b), 1e-9))
