"""From the frames of a clip to the poses of everyone in it.

    frames --> detector --> boxes --> crops --> estimator --> joints   a batch at a time
    boxes of all frames --> tracker --> who is who                     (track)
    joints of each --> short gaps filled --> smoothed --> Pose         (smooth)

Frames are streamed; what is kept of each is its boxes and joints, some kilobytes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import NamedTuple

import cv2
import numpy as np
import torch

from ..errors import InputError
from ..media import to_uint8
from .crops import crop, joints_of, padded_box
from .keypoints import Pose, pose_of_points
from .models import Estimator, PoseModels
from .skeletons import POINTS, to_points
from .smooth import fill_gaps, smooth
from .track import follow

SUBJECTS = ("all", "people", "animals")
PERSON, ANIMAL = 0, 1
SAME_SUBJECT = 0.8  # boxes of one kind that overlap more (intersection / union) are one subject
CROPS = 32  # in one pass of the estimator


@dataclass(frozen=True)
class DetectSettings:
    subjects: str = "all"
    threshold: float = 0.5  # the detector's score from which a box counts
    max_subjects: int = 4
    batch_size: int = 8  # frames in one pass of the detector
    smoothing: bool = True  # False: what the estimator said, gaps and all

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


class Found(NamedTuple):
    """What is in one frame: n subjects."""

    boxes: np.ndarray  # (n, 4) left, top, right, bottom in pixels
    scores: np.ndarray  # (n,) of the detector
    kinds: np.ndarray  # (n,) PERSON or ANIMAL
    points: np.ndarray  # (n, 136, 3) joints as in Pose.points, in pixels; 0 if none were sought


class Detection(NamedTuple):
    pose: Pose
    notes: list[str]  # what a user should know: nobody found, subjects left out


def detect_pose(
    frames: Iterable[np.ndarray],
    times: Sequence[float],
    models: PoseModels,
    settings: DetectSettings | None = None,
    on_frames: Callable[[int], None] | None = None,
) -> Detection:
    """Poses of the subjects of a clip, each at its own place of the Pose from frame to frame.

    frames: (h, w, 3) uint8, or floats in [0, 1], all of one size; taken as they are needed.
    times: seconds of each frame, rising.
    on_frames: called with the number of frames done, after each batch.

    The settings.max_subjects that fill most of the clip are kept, the largest first. Nobody in
    the clip is no error: the pose is empty and a note says so.
    """
    settings = settings or DetectSettings()
    found, (height, width) = find_subjects(frames, models, settings, on_frames)
    if len(found) != len(times):
        raise InputError(
            "times of the frames",
            got=len(times),
            need=f"{len(found)}, one for each frame",
            fix="Use the times of the same clip.",
        )
    identities = follow(found, times, settings.threshold)
    chosen, left_out = _largest(found, identities, models, settings.max_subjects)
    points = np.zeros((len(found), len(chosen), POINTS, 3))
    for t, (frame, numbers) in enumerate(zip(found, identities, strict=True)):
        for p, number in enumerate(chosen):
            points[t, p] = frame.points[numbers == number].sum(axis=0)
    points[..., :2] /= [width, height]
    pose = pose_of_points(points, width / height)
    if settings.smoothing and chosen:
        pose = smooth(fill_gaps(pose, times), times)
    return Detection(pose, _notes(found, chosen, left_out, models, settings))


def find_subjects(
    frames: Iterable[np.ndarray],
    models: PoseModels,
    settings: DetectSettings,
    on_frames: Callable[[int], None] | None = None,
) -> tuple[list[Found], tuple[int, int]]:
    """Boxes and joints of every frame, and the (height, width) of the frames."""
    found: list[Found] = []
    size = None
    for batch in _batches(frames, settings.batch_size):
        for number, image in enumerate(batch, len(found)):
            size = size or image.shape[:2]
            if image.shape != (*size, 3):
                raise InputError(
                    f"frame {number}",
                    got=f"shape {image.shape}",
                    need=f"{(*size, 3)}, as the first",
                    fix="Give frames of one size and three colours.",
                )
        found += _with_joints(batch, detect_boxes(batch, models, settings), models)
        if on_frames is not None:
            on_frames(len(found))
    if size is None:
        raise InputError("frames", got="none", need="at least 1", fix="Choose a longer part.")
    return found, size


@torch.inference_mode()
def detect_boxes(
    images: list[np.ndarray], models: PoseModels, settings: DetectSettings
) -> list[Found]:
    """Where people and animals are; at most twice max_subjects a frame, the largest."""
    detector, processor = models.detector, models.processor
    weight = next(detector.parameters())
    pixels = processor(images=images, return_tensors="pt")["pixel_values"]
    output = detector(pixel_values=pixels.to(weight.device, weight.dtype))
    output.logits, output.pred_boxes = output.logits.float(), output.pred_boxes.float()
    sizes = [image.shape[:2] for image in images]
    answers = processor.post_process_object_detection(
        output, threshold=settings.threshold, target_sizes=sizes
    )
    people = models.labels("person") if settings.subjects != "animals" else set()
    animals = models.labels("animal") if settings.subjects != "people" else set()
    found = []
    for answer, (height, width) in zip(answers, sizes, strict=True):
        labels = answer["labels"].tolist()
        wanted = [k for k, label in enumerate(labels) if label in people | animals]
        boxes = answer["boxes"].cpu().numpy()[wanted].clip(0, [width, height, width, height])
        scores = answer["scores"].cpu().numpy()[wanted]
        kinds = np.array([PERSON if labels[k] in people else ANIMAL for k in wanted], dtype=int)
        keep = _distinct(boxes, scores, kinds)
        keep = sorted(keep, key=lambda k: -_area(boxes[k]))[: 2 * settings.max_subjects]
        points = np.zeros((len(keep), POINTS, 3))
        found.append(Found(boxes[keep], scores[keep], kinds[keep], points))
    return found


def _distinct(boxes: np.ndarray, scores: np.ndarray, kinds: np.ndarray) -> list[int]:
    """Numbers of the boxes with an inside, without lesser doubles of the same kind."""
    keep: list[int] = []
    for kind in (PERSON, ANIMAL):
        numbers = [k for k in np.flatnonzero(kinds == kind) if _area(boxes[k]) > 0]
        corners = [(x, y, right - x, bottom - y) for x, y, right, bottom in boxes[numbers].tolist()]
        kept = cv2.dnn.NMSBoxes(corners, scores[numbers].tolist(), 0.0, SAME_SUBJECT)
        keep += [int(numbers[k]) for k in kept]
    return keep


def _with_joints(
    images: list[np.ndarray], found: list[Found], models: PoseModels
) -> Iterator[Found]:
    """Estimate the joints in every box of a batch of frames, many boxes in one pass."""
    for kind, estimator in ((PERSON, models.people), (ANIMAL, models.animals)):
        if estimator is None:
            continue
        subjects = [
            (t, n) for t, frame in enumerate(found) for n in np.flatnonzero(frame.kinds == kind)
        ]
        for begin in range(0, len(subjects), CROPS):
            some = subjects[begin : begin + CROPS]
            points = _joints(estimator, [(images[t], found[t].boxes[n]) for t, n in some])
            for (t, n), joints in zip(some, points, strict=True):
                found[t].points[n] = joints
    yield from found


def _joints(estimator: Estimator, subjects: list[tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
    """(picture, box) of each subject -> (n, 136, 3) in pixels."""
    height, width = estimator.size
    boxes = np.stack([padded_box(box, width / height) for _, box in subjects])
    pairs = zip(subjects, boxes, strict=True)
    crops = np.stack([crop(image, box, height, width) for (image, _), box in pairs])
    return to_points(joints_of(estimator.heatmaps(crops), boxes), estimator.skeleton)


def _largest(
    found: list[Found], identities: list[np.ndarray], models: PoseModels, count: int
) -> tuple[list[int], int]:
    """The identities whose boxes cover most, summed over the clip, and how many are left out."""
    cover: dict[int, float] = {}
    for frame, numbers in zip(found, identities, strict=True):
        for number, kind, box in zip(numbers, frame.kinds, frame.boxes, strict=True):
            if number >= 0 and (kind == PERSON or models.animals is not None):
                cover[int(number)] = cover.get(int(number), 0.0) + _area(box)
    ranked = sorted(cover, key=lambda number: -cover[number])
    return ranked[:count], len(ranked[count:])


def _notes(
    found: list[Found],
    chosen: list[int],
    left_out: int,
    models: PoseModels,
    settings: DetectSettings,
) -> list[str]:
    notes = []
    animals = sum(bool((frame.kinds == ANIMAL).any()) for frame in found)
    if not chosen:
        whom = {"all": "person or animal", "people": "person", "animals": "animal"}
        notes.append(
            f"No {whom[settings.subjects]} was found in {len(found)} frames: the keypoints are "
            f"empty. If there is one, lower the threshold ({settings.threshold:g}), or use the "
            "end-to-end variant, which needs no keypoints."
        )
    if animals and models.animals is None:
        notes.append(
            f"Animals were seen in {animals} frames and left out: the pose model knows people "
            "only. Give --pose-heads (the original ViTPose++ file) or --animal-model."
        )
    if left_out:
        notes.append(
            f"{left_out} more subjects were left out; raise --max-subjects "
            f"({settings.max_subjects}) to keep them."
        )
    return notes


def _batches(frames: Iterable[np.ndarray], size: int) -> Iterator[list[np.ndarray]]:
    frames = iter(frames)
    while batch := [to_uint8(np.asarray(frame)) for frame in islice(frames, size)]:
        yield batch


def _area(box: np.ndarray) -> float:
    return float((box[2] - box[0]) * (box[3] - box[1]))
