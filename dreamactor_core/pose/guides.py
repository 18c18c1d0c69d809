"""Guides: what a reference shows, told by its user: joints, from keypoints, and the outline."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import torch
from torch import Tensor

from ..errors import InputError
from ..media import Box, read_picture
from .draw import MIN_CONFIDENCE
from .keypoints import Pose, load_keypoints, pose_of_points
from .skeletons import POINTS

MOST_BODIES = 2
LEAST_JOINTS = 2  # that must be seen of a body, for a size and a place
SAME_ASPECT = 0.03  # width / height of guides may be off by this share: rounding
CLEAR = 0.5  # share of a mask from which a pixel is the body's


class Guides(NamedTuple):
    """Of one picture. What is None nobody told."""

    height: int  # of the picture, pixels
    width: int
    joints: np.ndarray | None = None  # (m, 18, 3): x, y in pixels, confidence; m bodies, 1 or 2
    mask: np.ndarray | None = None  # (height, width) float32 in [0, 1], 1 where a body is
    box: Box | None = None  # where the picture lies in a panel with bars; None: all of it
    others: int = 0  # people in the picture who are left out

    def in_panel(self, box: Box, height: int, width: int) -> Guides:
        """The same of a panel of height x width, in whose box the picture lies."""
        joints, mask = self.joints, None
        if joints is not None:
            scale = [box.width / self.width, box.height / self.height, 1]
            joints = joints * scale + [box.left, box.top, 0]
        if self.mask is not None:
            mask = np.zeros((height, width), np.float32)
            inside = np.s_[box.top : box.top + box.height, box.left : box.left + box.width]
            mask[inside] = _resized(self.mask, box.height, box.width)
        return Guides(height, width, joints, mask, box)

    def pose(self) -> Pose:
        """The joints as one frame of keypoints; nobody if none are told."""
        joints = np.zeros((0, 18, 3)) if self.joints is None else self.joints
        points = np.zeros((1, len(joints), POINTS, 3))
        points[0, :, :18] = joints / [self.width, self.height, 1]
        return pose_of_points(points, self.width / self.height)


class Recognised(NamedTuple):
    """Of a reference."""

    guides: Guides | None  # in pixels of the picture; None: the eye alone finds what there is
    joints_by: str  # "given", "blazepose", "outline", "eye" or "none"
    outline_by: str  # "given", "alpha", "blazepose", "ground", "eye" or "none"
    bodies: int = 1

    @property
    def has_limbs(self) -> bool:
        return self.joints_by != "none"


def read_guides(
    keypoints: Path | Pose | None, mask: Path | Tensor | None, height: int, width: int
) -> Guides | None:
    """What is told of a reference of height x width pixels; None for nothing.

    keypoints: one frame. mask: a picture, white where the body is, or its alpha; or (1, h, w) in
        [0, 1]. Both may be of another size than the picture, but of its aspect.
    Raises InputError for more than one frame, more than two bodies, hardly any joint in the
    picture, a mask that is empty or everything, and for what belongs to another picture.
    """
    if keypoints is None and mask is None:
        return None
    joints = None if keypoints is None else _joints(keypoints, height, width)
    return Guides(height, width, joints, None if mask is None else _mask(mask, height, width))


def _joints(keypoints: Path | Pose, height: int, width: int) -> np.ndarray:
    what = "reference keypoints"
    pose = load_keypoints(keypoints) if isinstance(keypoints, Path) else keypoints
    if len(pose.body) != 1:
        fix = "Detect the pose on the picture, not on the driving video."
        raise InputError(what, got=f"{len(pose.body)} frames", need="1, the picture", fix=fix)
    _check_aspect(what, pose.aspect, height, width)
    bodies = pose.body[0]
    inside = (bodies[..., :2] >= 0) & (bodies[..., :2] <= 1)
    seen = (bodies[..., 2] >= MIN_CONFIDENCE) & inside.all(axis=-1)
    bodies = bodies[seen.sum(axis=1) >= LEAST_JOINTS]
    if not 1 <= len(bodies) <= MOST_BODIES:
        raise InputError(
            what,
            got=f"{len(bodies)} bodies with at least {LEAST_JOINTS} joints in the picture",
            need=f"1 or {MOST_BODIES}",
            fix="Place the joints on the character, and delete those of others.",
        )
    return bodies * [width, height, 1]


def _mask(mask: Path | Tensor, height: int, width: int) -> np.ndarray:
    what = "reference mask"
    if isinstance(mask, Path):
        picture = read_picture(mask)
        mask = picture.pixels.mean(dim=-1) if picture.mask is None else picture.mask
    values = mask.detach().float().cpu()
    if values.ndim == 2:
        values = values[None]
    if values.ndim != 3 or len(values) != 1 or not torch.isfinite(values).all():
        got, fix = f"shape {tuple(mask.shape)}", "Give the mask of the one picture."
        raise InputError(what, got=got, need="1 mask of finite numbers", fix=fix)
    pixels = values[0].clamp(0, 1).numpy()
    if not tells_apart(pixels):
        raise InputError(
            what,
            got="one that is all white" if pixels.max() >= CLEAR else "one that is all black",
            need="white where the character is, black elsewhere",
            fix="Paint the character white, or leave the mask away.",
        )
    _check_aspect(what, pixels.shape[1] / pixels.shape[0], height, width)
    return _resized(pixels, height, width)


def tells_apart(mask: np.ndarray | Tensor) -> bool:
    """Whether a mask has both an inside and an outside."""
    return 0 < float(((mask >= CLEAR) + 0.0).mean()) < 1


def _check_aspect(what: str, aspect: float, height: int, width: int) -> None:
    if abs(aspect * height / width - 1) > SAME_ASPECT:
        raise InputError(
            what,
            got=f"those of a picture {aspect:.2f} times as wide as high",
            need=f"{width / height:.2f}, as the reference of {width} x {height} pixels",
            fix="Make them from this very picture.",
        )


def _resized(mask: np.ndarray, height: int, width: int) -> np.ndarray:
    if mask.shape == (height, width):
        return mask
    shrinks = height * width < mask.size
    how = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return cv2.resize(mask.astype(np.float32), (width, height), interpolation=how)
