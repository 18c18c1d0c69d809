"""Pose pictures: the right panel of the pose-based variant (paper section 3.3 and figure 2).

Black canvas; hue runs over the body, so every limb has its own and left differs from right; joints
are brighter dots; fingers thin; the face small white dots. The network reads these colours, so a
trained LoRA is tied to them: change nothing here without training again.
"""

from __future__ import annotations

import colorsys
import math
from collections.abc import Iterable, Iterator
from itertools import pairwise
from operator import itemgetter
from typing import NamedTuple

import cv2
import numpy as np

from .keypoints import MIN_CONFIDENCE, Pose
from .skeletons import FACE, FEET, HANDS

MIN_BOX = 0.05  # of a side: a still or distant pose is enlarged twenty times at most
LINE_WIDTH = 3 / 128  # of the shorter side
SUBPIXEL_BITS = 4


class Limb(NamedTuple):
    """A line between two joints (numbers of Pose.points)."""

    start: int
    end: int
    hue: float  # degrees
    weight: float = 1.0  # of the line width

    def color(self, value: float) -> tuple[int, int, int]:
        rgb = colorsys.hsv_to_rgb(self.hue / 360, 1, value)
        red, green, blue = (round(255 * channel) for channel in rgb)
        return red, green, blue


def _hand(first: int, hue: float) -> list[Limb]:
    """Five fingers of four bones; joint 0 is the wrist. Hue rises by 12 from thumb to little."""
    limbs = []
    for finger in range(5):
        joints = [first, *range(first + 1 + 4 * finger, first + 5 + 4 * finger)]
        finger_hue = (hue + 12 * finger) % 360
        limbs += [Limb(start, end, finger_hue, 0.34) for start, end in pairwise(joints)]
    return limbs


LIMBS = [
    Limb(1, 0, 0),  # neck to nose, then eyes and ears
    Limb(0, 14, 285, 0.67),
    Limb(14, 16, 300, 0.67),
    Limb(0, 15, 320, 0.67),
    Limb(15, 17, 335, 0.67),
    Limb(1, 8, 95),  # torso to the right hip, right leg
    Limb(8, 9, 80),
    Limb(9, 10, 65),
    Limb(1, 11, 50),  # torso to the left hip, left leg
    Limb(11, 12, 35),
    Limb(12, 13, 20),
    Limb(1, 2, 225),  # right shoulder and arm
    Limb(2, 3, 205),
    Limb(3, 4, 185),
    Limb(1, 5, 245),  # left shoulder and arm
    Limb(5, 6, 165),
    Limb(6, 7, 135),
    Limb(10, FEET + 3, 120, 0.67),  # right ankle to big toe and to heel
    Limb(10, FEET + 5, 175, 0.67),
    Limb(13, FEET, 255, 0.67),  # left ankle to big toe and to heel
    Limb(13, FEET + 2, 275, 0.67),
    *_hand(HANDS, 300),  # left hand: magenta to red
    *_hand(HANDS + 21, 0),  # right hand: red to yellow
]


class Style(NamedTuple):
    """A drawing that a network was trained on. Numbers of joints are those of Pose.points."""

    lines: list[tuple[int, int, tuple[int, int, int], float]]  # joints, RGB, share of the width
    dots: list[tuple[int, tuple[int, int, int], float]]  # joint, RGB, radius as a share of it
    width: float  # of a line, as a share of the picture's shorter side


WHITE = (255, 255, 255)
DREAMACTOR = Style(
    lines=[(limb.start, limb.end, limb.color(0.75), limb.weight) for limb in LIMBS],
    dots=[
        *((limb.end, limb.color(1.0), 0.7) for limb in LIMBS if limb.end < HANDS),
        (1, WHITE, 0.7),
        *((joint, WHITE, 0.2) for joint in range(FACE, FEET)),
    ],
    width=LINE_WIDTH,
)


def draw_pose(
    pose: Pose,
    height: int,
    width: int,
    threshold: float = MIN_CONFIDENCE,
    style: Style = DREAMACTOR,
) -> np.ndarray:
    """Pose of t frames -> RGB pictures (t, height, width, 3) uint8.

    The canvas of the pose is stretched onto the picture. Joints less certain than threshold are
    not drawn, nor are limbs that end in one.
    """
    points = pose.points()
    frames = np.zeros((points.shape[0], height, width, 3), np.uint8)
    # cv2 counts from the middle of the first pixel, shares from its left edge. Joints far outside
    # are brought near, or their fixed-point coordinates would overflow.
    xy = points[..., :2].clip(-8, 8) * [width, height] - 0.5
    fixed = np.rint(xy * (1 << SUBPIXEL_BITS)).astype(int).tolist()
    shown = (points[..., 2] >= max(threshold, np.finfo(float).tiny)).tolist()
    for frame, people, people_shown in zip(frames, fixed, shown, strict=True):
        for joints, visible in zip(people, people_shown, strict=True):
            _draw_person(frame, joints, visible, style)
    return frames


def overlay_pose(pose: Pose, frames: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
    """The skeletons over the darkened frames they came from, one by one: to look at, not to train.

    frames: (h, w, 3) uint8, one for each of the pose. Each person's number stands at the neck, so
    that it can be seen whether it stays with them.
    """
    for t, frame in enumerate(frames):
        height, width = frame.shape[:2]
        one = pose.map(itemgetter(slice(t, t + 1)))
        drawn = draw_pose(one, height, width)[0]
        shown = np.where(drawn.any(axis=-1, keepdims=True), drawn, frame // 2)
        for number, (x, y, confidence) in enumerate(pose.body[t, :, 1].tolist()):
            if confidence >= MIN_CONFIDENCE:
                place = round(x * width), round(y * height)
                size = min(height, width) / 400
                cv2.putText(shown, str(number), place, cv2.FONT_HERSHEY_SIMPLEX, size, (255,) * 3)
        yield shown


def _draw_person(frame: np.ndarray, joints: list, visible: list[bool], style: Style) -> None:
    """Draw in place. joints: 136 (x, y) in fixed point; visible: 136 flags."""
    line = style.width * min(frame.shape[:2])
    for start, end, color, weight in style.lines:
        if visible[start] and visible[end]:
            _limb(frame, joints[start], joints[end], line * weight, color)
    for joint, color, radius in style.dots:
        if visible[joint]:
            _dot(frame, joints[joint], radius * line, color)


# cv2 draws its antialiased edge outside the shape: about 1.5 pixels to a width, 0.5 to a radius.


def _limb(frame: np.ndarray, start: list, end: list, width: float, color: tuple) -> None:
    """A bar of any width in pixels; cv2.line knows odd widths only, but serves below two."""
    (x0, y0), (x1, y1) = start, end
    length = math.hypot(x1 - x0, y1 - y0)
    if width < 2 or length == 0:
        cv2.line(frame, start, end, color, 1, cv2.LINE_AA, SUBPIXEL_BITS)
        return
    half = (width - 1.5) / 2 * (1 << SUBPIXEL_BITS) / length
    dx, dy = round((y1 - y0) * half), round((x0 - x1) * half)
    corners = [(x0 + dx, y0 + dy), (x1 + dx, y1 + dy), (x1 - dx, y1 - dy), (x0 - dx, y0 - dy)]
    cv2.fillConvexPoly(frame, np.array(corners, np.int32), color, cv2.LINE_AA, SUBPIXEL_BITS)


def _dot(frame: np.ndarray, center: list, radius: float, color: tuple) -> None:
    fixed = round(max(radius - 0.5, 0.125) * (1 << SUBPIXEL_BITS))
    cv2.circle(frame, center, fixed, color, cv2.FILLED, cv2.LINE_AA, SUBPIXEL_BITS)


def fit_box(pose: Pose, margin: float = 0.0, threshold: float = MIN_CONFIDENCE) -> Pose:
    """Stretch the one box that holds all people in all frames onto the whole canvas.

    Paper section 3.3: x' = (x - x_min) / (x_max - x_min), y apart from x, one box for the clip, so
    motion and the space between people stay. Joints less certain than threshold do not count, but
    move along. margin: share of the canvas left free on each side.
    """
    points = pose.points()
    valid = points[points[..., 2] >= max(threshold, np.finfo(float).tiny)][:, :2]
    if len(valid) == 0:
        return pose
    low, high = valid.min(axis=0), valid.max(axis=0)
    size = np.maximum(high - low, MIN_BOX)
    low = (low + high - size) / 2  # a box that had to grow grows around its middle

    def stretch(joints: np.ndarray) -> np.ndarray:
        xy = margin + (1 - 2 * margin) * (joints[..., :2] - low) / size
        found = joints[..., 2:] > 0
        return np.concatenate([np.where(found, xy, 0), joints[..., 2:]], axis=-1)

    return pose.map(stretch)
