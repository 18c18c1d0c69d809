"""Steady joints that still move fast: gaps first, then the One-Euro filter (Casiez et al., 2012).

The rules, for each joint of each person by itself:

* a joint is seen where its confidence is at least SEEN, which is also what the drawing shows;
* unseen between two frames that see it and lie at most MAX_GAP seconds apart: put on the straight
  line between them, with the lesser of their confidences; longer gaps stay as they are;
* seen joints are smoothed. The cutoff rises with speed, so what rests is held still and what moves
  fast is let through. The filter runs forwards and backwards and the two are averaged, which takes
  its delay away; it begins anew after every gap. Confidence is never changed.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .draw import MIN_CONFIDENCE as SEEN
from .keypoints import Pose, pose_of_points

MAX_GAP = 0.25  # seconds
MIN_CUTOFF = 2.0  # Hz, of a joint at rest
SPEED_GAIN = 6.0  # Hz more for each body length a second
SPEED_CUTOFF = 2.0  # Hz, of the estimate of the speed


def fill_gaps(pose: Pose, times: Sequence[float], max_gap: float = MAX_GAP) -> Pose:
    """Short gaps filled by straight lines; times: seconds of the frames, rising."""
    seconds = np.asarray(times, dtype=float)
    points = pose.points()
    filled = points.copy()
    seen = points[..., 2] >= SEEN
    for p, joint in zip(*np.nonzero(seen.any(axis=0) & ~seen.all(axis=0)), strict=True):
        known = np.flatnonzero(seen[:, p, joint])
        after = np.searchsorted(known, np.arange(len(times)))
        inside = (after > 0) & (after < len(known)) & ~seen[:, p, joint]
        before, behind = known[after[inside] - 1], known[after[inside]]
        near = seconds[behind] - seconds[before] <= max_gap + 1e-6
        frames, before, behind = np.flatnonzero(inside)[near], before[near], behind[near]
        share = (seconds[frames] - seconds[before]) / (seconds[behind] - seconds[before])
        line = points[:, p, joint]
        filled[frames, p, joint] = line[before] + share[:, None] * (line[behind] - line[before])
        filled[frames, p, joint, 2] = np.minimum(line[before, 2], line[behind, 2])
    return pose_of_points(filled, pose.aspect)


def smooth(pose: Pose, times: Sequence[float]) -> Pose:
    """Every seen joint filtered both ways in time; times: seconds of the frames, rising."""
    steps = np.diff(np.asarray(times, dtype=float))
    points = pose.points()
    seen = points[..., 2:] >= SEEN
    unit = np.array([1 / pose.aspect, 1]) * _body_lengths(pose)[:, None, None]  # of x and of y
    xy = points[..., :2] / unit
    forwards = _one_euro(xy, seen, steps)
    backwards = _one_euro(xy[::-1], seen[::-1], steps[::-1])[::-1]
    even = np.where(seen, (forwards + backwards) / 2 * unit, points[..., :2])
    return pose_of_points(np.concatenate([even, points[..., 2:]], axis=-1), pose.aspect)


def _one_euro(xy: np.ndarray, seen: np.ndarray, steps: np.ndarray) -> np.ndarray:
    """(t, p, n, 2) in body lengths -> filtered; seen: (t, p, n, 1); steps: (t - 1,) seconds."""
    out = xy.copy()
    speed = np.zeros_like(xy[0])
    for t, step in enumerate(steps, 1):
        going = seen[t] & seen[t - 1]
        speed_now = (xy[t] - xy[t - 1]) / step
        weight = _weight(SPEED_CUTOFF, step)
        fresh = going & ~(seen[t - 2] if t > 1 else np.zeros_like(going))  # its first speed
        speed = np.where(fresh, speed_now, speed + weight * (speed_now - speed))
        fast = np.linalg.norm(speed, axis=-1, keepdims=True)
        weight = _weight(MIN_CUTOFF + SPEED_GAIN * fast, step)
        out[t] = np.where(going, out[t - 1] + weight * (xy[t] - out[t - 1]), xy[t])
    return out


def _weight(cutoff: np.ndarray | float, step: float) -> np.ndarray | float:
    """Share of the new value in a low-pass of this cutoff (Hz) and step (s)."""
    turn = 2 * np.pi * cutoff * step
    return turn / (1 + turn)


def _body_lengths(pose: Pose) -> np.ndarray:
    """(p,): the usual larger side of each person's joints, in canvas heights; 1 if never seen."""
    points = pose.points()
    seen = points[..., 2] >= SEEN
    lengths = np.ones(points.shape[1])
    for p in range(points.shape[1]):
        xy = points[:, p, :, :2] * [pose.aspect, 1]
        frames = np.flatnonzero(seen[:, p].sum(axis=-1) > 1)
        sides = [np.ptp(xy[t][seen[t, p]], axis=0).max() for t in frames]
        lengths[p] = max(float(np.median(sides)), 0.01) if sides else 1.0
    return lengths
