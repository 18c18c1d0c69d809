"""Who is who from frame to frame, by the detector's boxes: OC-SORT (arXiv 2203.14360), in seconds.

A subject is followed in three steps a frame:

    predict    where its box is now, from a Kalman filter of constant velocity
    associate  predicted and found boxes by overlap and direction of motion, one assignment for all;
               who is left over, by the overlap with the box where the subject was last seen
    update     the filter, along a straight line from the last box seen to this one, so that the
               guesses made while a subject was hidden leave no trace

So it keeps hold of dancers and of those who are hidden for a moment. It looks at boxes alone, not
at faces: who comes back within LOST seconds near where he left is the same person, later a new one.
A subject seen in one frame only is a mistake of the detector and gets no number.

The assignment is scipy's, which ComfyUI itself requires. A tracking library would bring matplotlib
and 90 MB for the same few boxes; a test compares the two.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Protocol

import numpy as np
from scipy.optimize import linear_sum_assignment

LOST = 2.0  # seconds
MIN_OVERLAP = 0.2  # intersection / union of the predicted and the found box
DIRECTION_WEIGHT = 0.2  # of keeping the direction, beside the overlap: -0.1 to 0.1
DIRECTION_SPAN = 3  # frames back to the box that the direction is taken from
# Of the Kalman filter, as fractions of the variance of a measured box: what the truth may drift
# beside its constant velocity in one second, and what is not known at first. (position, velocity)
PROCESS_NOISE = np.diag([30.0, 4000.0])
FIRST_COVARIANCE = np.diag([1.0, 1e5])


class Boxes(Protocol):
    @property
    def boxes(self) -> np.ndarray: ...  # (n, 4) left, top, right, bottom
    @property
    def scores(self) -> np.ndarray: ...  # (n,)
    @property
    def kinds(self) -> np.ndarray: ...  # (n,)


def follow(found: Sequence[Boxes], times: Sequence[float], threshold: float) -> list[np.ndarray]:
    """A number for each box of each frame, the same for the same subject; -1 for none.

    Kinds (people, animals) are followed apart, so a rider never becomes his horse. times: seconds,
    rising, so that a variable rate is no trouble. threshold: the least score among the boxes.
    """
    numbers = [np.full(len(frame.boxes), -1) for frame in found]
    if len(found) == 1:  # a still picture: nothing to follow
        return [np.arange(len(found[0].boxes))]
    taken = 0
    for kind in sorted({int(kind) for frame in found for kind in frame.kinds}):
        index = [
            np.flatnonzero((frame.kinds == kind) & (frame.scores >= threshold)) for frame in found
        ]
        boxes = [frame.boxes[here].astype(float) for frame, here in zip(found, index, strict=True)]
        scores = [frame.scores[here] for frame, here in zip(found, index, strict=True)]
        for track in _tracks(boxes, scores, times):
            if len(track.seen) > 1:
                for t, n in track.seen:
                    numbers[t][index[t][n]] = taken
                taken += 1
    return numbers


class Track:
    """One subject: the boxes it was seen in, and a Kalman filter of the last one.

    The filter holds centre and size of the box (4,) and their change a second. All four have the
    same noise, so one covariance (2, 2) serves them.
    """

    def __init__(self, t: int, n: int, box: np.ndarray):
        self.seen = [(t, n)]  # (frame, number of the box in it)
        self.boxes = [box]  # of the last DIRECTION_SPAN + 1 of them
        self.direction = np.zeros(2)  # of the last motion, of length 1; zero while unknown
        self.state = np.stack([_centre_and_size(box), np.zeros(4)])
        self.covariance = FIRST_COVARIANCE

    @property
    def last(self) -> int:
        """The frame it was last seen in."""
        return self.seen[-1][0]

    def predict(self, seconds: float) -> np.ndarray:
        """The box (4,) that many seconds after the last one seen."""
        centre, size = (self.state[0] + seconds * self.state[1]).reshape(2, 2)
        half = np.maximum(size, 0) / 2
        return np.concatenate([centre - half, centre + half])

    def reference(self, t: int) -> np.ndarray:
        """The box seen DIRECTION_SPAN frames before frame t, or soon after that, or the last."""
        recent = zip(self.seen[-len(self.boxes) :], self.boxes, strict=True)
        return next((box for (s, _), box in recent if s >= t - DIRECTION_SPAN), self.boxes[-1])

    def update(self, t: int, n: int, box: np.ndarray, times: Sequence[float]) -> None:
        """Take box (4,), number n of frame t, as the subject's."""
        self.direction = _direction(self.reference(t), box[None])[0]
        start, end = _centre_and_size(self.boxes[-1]), _centre_and_size(box)
        begin, passed = times[self.last], times[t] - times[self.last]
        for before, now in pairwise(times[self.last : t + 1]):
            self._advance(now - before)
            self._correct(start + (now - begin) / passed * (end - start))
        self.seen.append((t, n))
        self.boxes = [*self.boxes, box][-DIRECTION_SPAN - 1 :]

    def _advance(self, seconds: float) -> None:
        motion = np.array([[1, seconds], [0, 1]])
        self.state = motion @ self.state
        self.covariance = motion @ self.covariance @ motion.T + PROCESS_NOISE * seconds

    def _correct(self, measured: np.ndarray) -> None:
        gain = self.covariance[:, 0] / (self.covariance[0, 0] + 1)
        self.state = self.state + np.outer(gain, measured - self.state[0])
        self.covariance = self.covariance - np.outer(gain, self.covariance[0])


def _tracks(
    boxes: list[np.ndarray], scores: list[np.ndarray], times: Sequence[float]
) -> list[Track]:
    """Every subject of one kind, in the order of their first frames. boxes: (n, 4) a frame."""
    tracks: list[Track] = []
    for t, here in enumerate(boxes):
        alive = [track for track in tracks if times[t] - times[track.last] <= LOST + 1e-9]
        predicted = [track.predict(times[t] - times[track.last]) for track in alive]
        along = [_direction(track.reference(t), here) @ track.direction for track in alive]
        turn = np.arcsin(np.clip(along, -1, 1)).reshape(len(alive), len(here)) / np.pi
        matched = _assign(_overlap(predicted, here), DIRECTION_WEIGHT * turn * scores[t])
        for subject, n in matched:
            alive[subject].update(t, n, here[n], times)

        hidden = [track for track in alive if track.last != t]
        free = np.setdiff1d(np.arange(len(here)), [n for _, n in matched]).tolist()
        last_seen = [track.boxes[-1] for track in hidden]
        found_again = _assign(_overlap(last_seen, here[free]))
        for subject, n in found_again:
            hidden[subject].update(t, free[n], here[free[n]], times)

        new = np.delete(free, [n for _, n in found_again]).astype(int)
        tracks += [Track(t, n, here[n]) for n in new.tolist()]
    return tracks


def _assign(overlap: np.ndarray, bonus: np.ndarray | float = 0.0) -> list[tuple[int, int]]:
    """(row, column) of the pairs with the largest sum of overlap and bonus that do overlap."""
    rows, columns = linear_sum_assignment(overlap + bonus, maximize=True)
    enough = overlap[rows, columns] >= MIN_OVERLAP
    return list(zip(rows[enough].tolist(), columns[enough].tolist(), strict=True))


def _overlap(some: Sequence[np.ndarray], others: np.ndarray) -> np.ndarray:
    """Intersection / union (m, n) of m boxes (4,) with each of (n, 4)."""
    one = np.reshape(some, (-1, 1, 4))
    low = np.maximum(one[..., :2], others[:, :2])
    high = np.minimum(one[..., 2:], others[:, 2:])
    shared = (high - low).clip(0).prod(axis=-1)
    areas = [(boxes[..., 2:] - boxes[..., :2]).prod(axis=-1) for boxes in (one, others)]
    return shared / (areas[0] + areas[1] - shared).clip(1e-9)


def _direction(box: np.ndarray, others: np.ndarray) -> np.ndarray:
    """(n, 2) of length 1: from the centre of box (4,) to those of (n, 4), 0 where equal."""
    way = _centre_and_size(others)[:, :2] - _centre_and_size(box)[:2]
    return way / (np.linalg.norm(way, axis=-1, keepdims=True) + 1e-6)


def _centre_and_size(box: np.ndarray) -> np.ndarray:
    """Left, top, right, bottom (..., 4) -> centre x, y, width, height."""
    low, high = box[..., :2], box[..., 2:]
    return np.concatenate([(low + high) / 2, high - low], axis=-1)
