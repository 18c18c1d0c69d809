"""Boxes that somebody else found, in the place of a detector of our own.

ComfyUI's BOUNDING_BOX: of each frame a list of {"x", "y", "width", "height"} in pixels, and
perhaps "label" and "score"; one list, or one box, for all frames.
"""

from __future__ import annotations

import math
from itertools import islice
from typing import Any, NamedTuple

import numpy as np

from ..errors import InputError
from .skeletons import POINTS
from .subjects import ANIMAL, PERSON, DetectSettings, Find, Subjects, area
from .top_down import ANIMALS, Estimators, refuse_masks, with_joints

MOST_BOXES = 1000  # of a frame
# Labels; where one of them is told, boxes of other things are not read.
NAMED = ANIMALS | {"person"}
BOX_SIDES = ("x", "y", "width", "height")


def parse_boxes(value: Any, num_frames: int) -> list[list[dict]]:
    """What a BOUNDING_BOX holds, frame by frame. Raises InputError for what is none."""
    if not isinstance(value, (list, tuple, dict)):
        raise _no_box(value)
    frames = [[value]] if isinstance(value, dict) else list(value or [[]])
    if all(isinstance(one, dict) for one in frames):
        frames = [frames]
    if len(frames) == 1:
        frames *= num_frames
    if len(frames) != num_frames:
        raise InputError(
            "bboxes",
            got=f"boxes of {len(frames)} frames",
            need=f"{num_frames}, one list for each frame, or one for all",
            fix="Find them in the very frames that are wired here.",
        )
    for frame in frames:
        if not isinstance(frame, (list, tuple)) or len(frame) > MOST_BOXES:
            raise _no_box(frame)
        for box in frame:
            if not isinstance(box, dict) or not all(
                _is_number(box.get(side)) for side in BOX_SIDES
            ):
                raise _no_box(box)
    return frames


class Boxed(NamedTuple):
    """The protocol PoseNetworks: joints are found in boxes that are told."""

    estimators: Estimators
    boxes: list[list[dict]]  # as of parse_boxes

    @property
    def sees(self) -> str:
        return "all"

    def start(self, settings: DetectSettings) -> Find:
        """Through the clip whose boxes they are. Raises InputError when masks are wanted."""
        refuse_masks(settings)
        labels = {_label(box) for frame in self.boxes for box in frame}
        others = labels - NAMED - {""} if labels & NAMED else set()  # chairs beside a person
        left = iter(self.boxes)

        def find(images: list[np.ndarray]) -> list[Subjects]:
            told = [
                [box for box in frame if _label(box) not in others]
                for frame in islice(left, len(images))
            ]
            found = [
                _subjects(boxes, image.shape[:2], settings)
                for boxes, image in zip(told, images, strict=True)
            ]
            return list(with_joints(images, found, self.estimators))

        return find


def _subjects(boxes: list[dict], size: tuple[int, int], settings: DetectSettings) -> Subjects:
    """Those that count, the largest."""
    height, width = size
    told = []
    for box in boxes:
        left, top, wide, high = (float(box[side]) for side in BOX_SIDES)
        edges = np.clip([left, top, left + wide, top + high], 0, [width, height, width, height])
        kind = ANIMAL if _label(box) in ANIMALS else PERSON
        score = box.get("score", 1.0)
        score = float(score) if _is_number(score) else 1.0
        wanted = settings.subjects == "all" or (settings.subjects == "animals") == (kind == ANIMAL)
        if wanted and area(edges) > 0 and score >= settings.threshold:
            told.append((edges, score, kind))
    told = sorted(told, key=lambda one: -area(one[0]))[: 2 * settings.max_subjects]
    return Subjects(
        np.reshape([edges for edges, _, _ in told], (-1, 4)),
        np.array([score for _, score, _ in told]),
        np.array([kind for _, _, kind in told], int),
        np.zeros((len(told), POINTS, 3)),
    )


def _label(box: dict) -> str:
    return str(box.get("label") or "").lower()


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _no_box(value: Any) -> InputError:
    return InputError(
        "bboxes",
        got=repr(value)[:80],
        need="x, y, width and height in pixels, of each box of each frame",
        fix="Wire the boxes of RT-DETR or SAM3.",
    )
