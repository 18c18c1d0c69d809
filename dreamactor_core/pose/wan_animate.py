"""What Wan-Animate is shown of a driver: a skeleton in the colours it was trained on, and the face.

Both as in the preparation published with its weights: limbs in steps of 20 degrees of hue, fingers
of 18, no points of the face; the box of the face grown to 1.3 times its area, upwards most.
"""

from __future__ import annotations

import math

import cv2
import numpy as np

from ..errors import InputError
from .draw import FEET, HANDS, MIN_CONFIDENCE, Limb, Style
from .keypoints import Pose

LIMB_BONES = [(1, 2), (1, 5), (2, 3), (3, 4), (5, 6), (6, 7), (1, 8), (8, 9), (9, 10), (1, 11)]
LIMB_BONES += [(11, 12), (12, 13), (1, 0), (0, 14), (14, 16), (0, 15), (15, 17)]
TOES = [(13, FEET, (120, 120, 0)), (10, FEET + 3, (60, 60, 0))]
FINGERS = [(0 if joint % 4 == 1 else joint - 1, joint) for joint in range(1, 21)]
LARGER = 1.3  # times the area of the box around the face's points


def _limb(start: int, end: int, hue: float, value: float, weight: float) -> tuple:
    return start, end, Limb(start, end, hue).color(value), weight


WAN_ANIMATE = Style(
    lines=[
        *(_limb(start, end, 20 * k, 0.6, 1.0) for k, (start, end) in enumerate(LIMB_BONES)),
        *((start, end, color, 1.0) for start, end, color in TOES),
        *(
            _limb(hand + start, hand + end, 18 * k, 1.0, 0.5)
            for hand in (HANDS, HANDS + 21)
            for k, (start, end) in enumerate(FINGERS)
        ),
    ],
    dots=[
        *((joint, Limb(joint, joint, 20 * joint).color(1.0), 0.5) for joint in range(18)),
        *((joint, (0, 0, 255), 0.25) for joint in range(HANDS, HANDS + 42)),
    ],
    width=4 / 720,
)


def face_boxes(pose: Pose) -> np.ndarray:
    """(t, 4): left, top, right, bottom of the face, as shares of the canvas.

    Of several people the one whose face is seen most. Where it is not seen the box moves evenly
    between the frames around. Raises InputError when no frame shows a face.
    """
    seen = pose.face[..., 2] >= MIN_CONFIDENCE  # (t, p, 70)
    if not (seen.sum(axis=2) > 2).any():
        raise InputError(
            "keypoints",
            got="no points of a face",
            need="a face in some frame, for wan2.2-animate reads expressions from it",
            fix="Detect the pose with a whole-body model, whose keypoints have a face.",
        )
    person = seen.sum(axis=(0, 2)).argmax()
    seen, points = seen[:, person], pose.face[:, person, :, :2]
    frames = np.flatnonzero(seen.sum(axis=1) > 2)
    boxes = []
    for t in frames:
        low, high = points[t, seen[t]].min(axis=0), points[t, seen[t]].max(axis=0)
        grown = (math.sqrt(LARGER) - 1) * (high - low)
        boxes.append([*(low - grown * [0.5, 0.75]), *(high + grown * [0.5, 0.25])])
    every = np.arange(len(points))
    return np.stack([np.interp(every, frames, side) for side in np.transpose(boxes)], axis=1)


def crop_face(image: np.ndarray, box: np.ndarray, size: int) -> np.ndarray:
    """(h, w, 3) uint8 and its box in shares -> (size, size, 3) uint8, stretched to the square."""
    height, width = image.shape[:2]
    left, top = np.floor(box[:2] * [width, height]).astype(int).clip(0, [width - 1, height - 1])
    right, bottom = np.ceil(box[2:] * [width, height]).astype(int).clip([left + 1, top + 1])
    return cv2.resize(image[top:bottom, left:right], (size, size), interpolation=cv2.INTER_AREA)
