"""Whom a detector of poses is asked for, and what it says of each frame."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import cv2
import numpy as np

from ..errors import InputError
from ..options import SUBJECTS

PERSON, ANIMAL = 0, 1


@dataclass(frozen=True)
class DetectSettings:
    subjects: str = "all"
    threshold: float = 0.5  # the detector's score from which a subject counts
    max_subjects: int = 4
    batch_size: int = 8  # frames in one pass of the detector
    smoothing: bool = True  # False: what the estimator said, gaps and all
    masks: bool = False  # keep where the subjects are, of networks that tell it

    def __post_init__(self):
        if self.subjects not in SUBJECTS:
            need = " or ".join(map(repr, SUBJECTS))
            raise InputError(
                "subjects", got=repr(self.subjects), need=need, fix="Check the spelling."
            )
        for name, good, need in (
            ("threshold", 0 < self.threshold < 1, "more than 0 and less than 1"),
            ("max_subjects", self.max_subjects >= 1, "at least 1"),
            ("batch_size", self.batch_size >= 1, "at least 1"),
        ):
            if not good:
                raise InputError(name, got=getattr(self, name), need=need, fix="Use the default.")


class Cutout(NamedTuple):
    """A mask of one subject, as small as the network made it."""

    values: np.ndarray  # (s, s) uint8, 255 where the subject is
    place: np.ndarray  # (2, 3): a point of it, as shares (x, y, 1), -> pixels of the frame

    def spread(self, height: int, width: int, scale: float = 1.0) -> np.ndarray:
        """(height, width) uint8 over a frame `scale` times as large; 0 outside of its square."""
        matrix = warp_matrix(self.place * scale, len(self.values))
        return cv2.warpAffine(self.values, matrix, (width, height), flags=cv2.INTER_LINEAR)


def spread_all(masks: Sequence[Cutout], height: int, width: int, scale: float = 1.0) -> np.ndarray:
    """Several people's masks over one frame: (height, width, 3) uint8, white where somebody is."""
    spread = [np.zeros((height, width), np.uint8)]
    spread += [mask.spread(height, width, scale) for mask in masks]
    return np.repeat(np.max(spread, axis=0)[..., None], 3, axis=2)


def warp_matrix(place: np.ndarray, side: int) -> np.ndarray:
    """A square's place (2, 3), as of Cutout -> cv2's matrix (2, 3) from its side x side pixels.

    cv2 counts from the middle of the first pixel, places from its left edge.
    """
    linear = place[:, :2] / side
    return np.column_stack([linear, linear @ [0.5, 0.5] + place[:, 2] - 0.5])


class Subjects(NamedTuple):
    """What is in one frame: n subjects."""

    boxes: np.ndarray  # (n, 4) left, top, right, bottom in pixels
    scores: np.ndarray  # (n,) of the detector
    kinds: np.ndarray  # (n,) PERSON or ANIMAL
    points: np.ndarray  # (n, 136, 3) joints as in Pose.points, in pixels; 0 if none were sought
    masks: tuple[Cutout, ...] = ()  # one for each subject, or none
    # (n, 18) pixels from the middle of the hips away from the camera, of networks that tell it
    depth: np.ndarray | None = None


Find = Callable[[list[np.ndarray]], list[Subjects]]  # the next frames (h, w, 3) uint8 of one clip


class PoseNetworks(Protocol):
    @property
    def sees(self) -> str:
        """Whom it looks for, one of SUBJECTS."""

    def start(self, settings: DetectSettings) -> Find:
        """A search through one clip, whose frames are given in order, some at a time."""


def area(box: np.ndarray) -> float:
    """Of (left, top, right, bottom), in their unit squared."""
    return float((box[2] - box[0]) * (box[3] - box[1]))
