"""Top-down: a detector of objects says where people and animals are, ViTPose where their joints.

frames --> detector --> boxes --> crops --> estimator --> joints     a batch of frames at a time
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import cv2
import numpy as np
import torch
from torch import nn
from transformers import VitPoseForPoseEstimation

from ..errors import InputError
from .crops import crop, joints_of, padded_box
from .skeletons import POINTS, to_points
from .subjects import ANIMAL, PERSON, DetectSettings, Find, Subjects, area

SAME_SUBJECT = 0.8  # boxes of one kind that overlap more (intersection / union) are one subject
CROPS = 32  # in one pass of the estimator
ANIMALS = {
    *("bird", "cat", "dog", "horse", "sheep", "cow", "elephant", "bear", "zebra", "giraffe"),
}  # of COCO's classes; detectors trained on others give them the same names
VITPOSE_EXPERTS = {
    "coco": 0,
    "ap10k": 3,
    "wholebody": 5,
}  # of ViTPose++: COCO, AiC, MPII, AP-10K, ...


class Estimator(NamedTuple):
    """Crops of one kind of subject -> heatmaps."""

    model: VitPoseForPoseEstimation
    skeleton: str  # a key of skeletons.MAPPINGS
    size: tuple[int, int]  # (height, width) of a crop
    mean: tuple[float, ...]  # of RGB in [0, 1]
    std: tuple[float, ...]

    @torch.inference_mode()
    def heatmaps(self, crops: np.ndarray) -> np.ndarray:
        """(n, height, width, 3) uint8 -> (n, k, h, w) float32."""
        weight = next(self.model.parameters())
        pixels = torch.from_numpy(crops).to(weight.device).permute(0, 3, 1, 2) / 255
        mean, std = (pixels.new_tensor(x)[:, None, None] for x in (self.mean, self.std))
        expert = None
        if self.model.backbone.config.num_experts > 1:
            expert = torch.full((len(crops),), VITPOSE_EXPERTS[self.skeleton], device=weight.device)
        pixels = ((pixels - mean) / std).to(weight.dtype)
        return self.model(pixels, dataset_index=expert).heatmaps.float().cpu().numpy()


class Estimators(NamedTuple):
    people: Estimator
    animals: Estimator | None  # None: animals are seen but not followed


class PoseModels(NamedTuple):
    detector: nn.Module
    processor: Any  # the detector's image processor
    people: Estimator
    animals: Estimator | None  # None: animals are seen but not followed

    @property
    def sees(self) -> str:
        return "all"

    def start(self, settings: DetectSettings) -> Find:
        """A search through one clip. Raises InputError when masks are wanted."""
        refuse_masks(settings)

        def find(images: list[np.ndarray]) -> list[Subjects]:
            estimators = Estimators(self.people, self.animals)
            return list(with_joints(images, detect_boxes(images, self, settings), estimators))

        return find

    def labels(self, kind: str) -> set[int]:
        """The detector's numbers of "person" or "animal"."""
        wanted = {"person"} if kind == "person" else ANIMALS
        names = self.detector.config.id2label
        return {int(number) for number, name in names.items() if name.lower() in wanted}


def refuse_masks(settings: DetectSettings) -> None:
    """Raises InputError when they are wanted."""
    if settings.masks:
        raise InputError(
            "mask",
            got="ViTPose, which finds joints alone",
            need="a network that tells the outline too",
            fix="Choose the detector blazepose, or leave the mask away.",
        )


@torch.inference_mode()
def detect_boxes(
    images: list[np.ndarray], models: PoseModels, settings: DetectSettings
) -> list[Subjects]:
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
        keep = sorted(keep, key=lambda k: -area(boxes[k]))[: 2 * settings.max_subjects]
        points = np.zeros((len(keep), POINTS, 3))
        found.append(Subjects(boxes[keep], scores[keep], kinds[keep], points))
    return found


def _distinct(boxes: np.ndarray, scores: np.ndarray, kinds: np.ndarray) -> list[int]:
    """Numbers of the boxes with an inside, without lesser doubles of the same kind."""
    keep: list[int] = []
    for kind in (PERSON, ANIMAL):
        numbers = [k for k in np.flatnonzero(kinds == kind) if area(boxes[k]) > 0]
        corners = [(x, y, right - x, bottom - y) for x, y, right, bottom in boxes[numbers].tolist()]
        kept = cv2.dnn.NMSBoxes(corners, scores[numbers].tolist(), 0.0, SAME_SUBJECT)
        keep += [int(numbers[k]) for k in kept]
    return keep


def with_joints(
    images: list[np.ndarray], found: list[Subjects], estimators: Estimators
) -> Iterator[Subjects]:
    """Estimate the joints in every box of a batch of frames, many boxes in one pass."""
    for kind, estimator in zip((PERSON, ANIMAL), estimators, strict=True):
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
