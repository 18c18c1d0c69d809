"""Who is who from frame to frame: OC-SORT, of the library `trackers`, on the detector's boxes.

OC-SORT predicts where a box goes and, when that fails, looks where it was last seen, so it keeps
hold of dancers and of those who are hidden for a moment. It looks at boxes alone, not at faces: who
comes back within LOST seconds near where he left is the same person, later a new one. A subject
seen in one frame only is a mistake of the detector and gets no number.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from supervision import Detections
from trackers import OCSORTTracker

LOST = 2.0  # seconds
MIN_OVERLAP = 0.2  # intersection / union of the predicted and the found box


class Boxes(Protocol):
    boxes: np.ndarray  # (n, 4) left, top, right, bottom
    scores: np.ndarray  # (n,)
    kinds: np.ndarray  # (n,)


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
        where = [np.flatnonzero(frame.kinds == kind) for frame in found]
        boxes = [frame.boxes[index] for frame, index in zip(found, where, strict=True)]
        scores = [frame.scores[index] for frame, index in zip(found, where, strict=True)]
        given = _first_seen(boxes, _track(boxes, scores, times, threshold))
        for t, index in enumerate(where):
            numbers[t][index] = np.where(given[t] >= 0, given[t] + taken, -1)
        taken = max(taken, *(int(frame.max(initial=-1)) + 1 for frame in numbers))
    return numbers


def _track(
    boxes: list[np.ndarray], scores: list[np.ndarray], times: Sequence[float], threshold: float
) -> list[np.ndarray]:
    tracker = OCSORTTracker(
        lost_track_buffer=round(30 * LOST),  # counted in thirtieths of a second, whatever the rate
        frame_rate=(len(times) - 1) / (times[-1] - times[0]),
        minimum_consecutive_frames=1,
        minimum_iou_threshold=MIN_OVERLAP,
        high_conf_det_threshold=threshold,
    )
    numbers = []
    for xyxy, confidence, time in zip(boxes, scores, times, strict=True):
        here = np.full(len(xyxy), -1)
        given = Detections(
            xyxy=xyxy.reshape(-1, 4).astype(float),
            confidence=confidence.astype(float),
            data={"index": np.arange(len(xyxy))},
        )
        answer = tracker.update(given, timestamp=float(time))
        if len(answer):
            here[answer.data["index"]] = answer.tracker_id
        numbers.append(here)
    return numbers


def _first_seen(boxes: list[np.ndarray], numbers: list[np.ndarray]) -> list[np.ndarray]:
    """Give a subject its number in the first frame too, where the tracker is not yet sure of it.

    It is the box without a number, one frame before the number's first, that overlaps it most.
    """
    numbers = [frame.copy() for frame in numbers]
    known: set[int] = set()
    for t, frame in enumerate(numbers):
        for n, number in enumerate(frame.tolist()):
            if number < 0 or number in known:
                continue
            known.add(number)
            free = np.flatnonzero(numbers[t - 1] < 0) if t else np.zeros(0, int)
            if len(free):
                overlap = _overlap(boxes[t][n], boxes[t - 1][free])
                if overlap.max() >= MIN_OVERLAP:
                    numbers[t - 1][free[overlap.argmax()]] = number
    return numbers


def _overlap(box: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Intersection / union of one box (4,) with each of (n, 4)."""
    low, high = np.maximum(box[:2], others[:, :2]), np.minimum(box[2:], others[:, 2:])
    shared = (high - low).clip(0).prod(axis=1)
    areas = (others[:, 2:] - others[:, :2]).prod(axis=1)
    return shared / ((box[2:] - box[:2]).prod() + areas - shared).clip(1e-9)
