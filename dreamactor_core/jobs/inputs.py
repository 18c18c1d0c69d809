"""What a video is made from, opened, checked and fitted: the picture, the clip, the pose.

Each is a file or lies in memory. The driving clip is read anew, frame by frame, whenever its
frames are asked for.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from ..errors import InputError
from ..geometry import Geometry
from ..media import (
    Box,
    Footage,
    Frame,
    VideoInfo,
    check_frames,
    content_box,
    fit,
    probe,
    read_frames,
    read_picture,
    retime,
    retimed_length,
    to_uint8,
)
from ..pose.draw import DREAMACTOR, Style, draw_pose, fit_box
from ..pose.keypoints import Pose, check_length, load_keypoints, retime_pose
from ..pose.retarget import place_in_panel
from ..pose.wan_animate import WAN_ANIMATE, crop_face, face_boxes

POSE_FITS = ("box", "none")  # one box stretched onto the panel, or where the camera saw it
MIN_SIDE, MAX_SIDE, MAX_ASPECT = 8, 16_384, 16  # of a reference: outside, no character is seen


class Inputs(NamedTuple):
    reference: Tensor  # (1, h, w, 3) in [0, 1]
    clip: VideoInfo  # the part of the driving video that is used
    frames: Callable[[], Iterator[Frame]]  # reads that part, from its beginning each time
    pose: Pose | None  # of every frame of the clip


class Panel(NamedTuple):
    height: int
    width: int
    box: Box  # where the reference lies in it, and so the result; bars around it are cropped away


def open_inputs(
    reference: Path | Tensor,
    driving: Path | Footage,
    keypoints: Path | Pose | None = None,
    start: float = 0.0,
    duration: float | None = None,
) -> Inputs:
    """The picture, the part of the clip and its keypoints, opened and checked.

    Raises InputError for a reference or a driving video that cannot be used, and for keypoints
    that do not fit the driving video.
    """
    picture = _picture(reference)
    whole = probe(driving)
    clip = whole.cut(start, duration)
    if clip.num_frames < 2:
        raise InputError(
            str(driving),
            got="1 frame" + ("" if whole.num_frames == 1 else " in the part that was asked for"),
            need="at least 2, for one frame holds no motion",
            fix="Choose a video, or a longer part of it.",
        )
    pose = None
    if keypoints is not None:
        pose = keypoints
        if isinstance(keypoints, Path):
            pose = load_keypoints(keypoints, (whole.width, whole.height))
        check_length(pose, whole.num_frames)
        first, last, _ = whole.window(start, duration)
        pose = pose.map(lambda points: points[first:last])
    return Inputs(picture, clip, lambda: read_frames(driving, start, duration), pose)


def fit_inputs(inputs: Inputs, size: int | None, geometry: Geometry) -> tuple[Tensor, Tensor]:
    """What the model is shown: reference (1, h, w, 3) and driving (t, h, w, 3) of its panel and
    rate, bars included. size is that of panel_of, whose InputError it raises.
    """
    panel = panel_of(*inputs.reference.shape[1:3], size, geometry)
    reference = fit(inputs.reference[0], panel.height, panel.width)
    return reference[None], torch.stack([*driving_frames(inputs, panel, geometry.fps)])


def panel_of(height: int, width: int, size: int | None, geometry: Geometry) -> Panel:
    """The panel for a reference of height x width pixels.

    size None: the panel the model was trained on; a reference of another aspect gets bars there.
    Otherwise the reference's aspect with the area size x size, each side a multiple of what the
    model asks for, so that bars are at most the rounding. Raises InputError for any other size.
    """
    if size is None:
        panel_height, panel_width = geometry.panel
    else:
        geometry.check_panel(size, size)
        multiple = geometry.size_multiple
        panel_height, panel_width = (
            multiple * max(1, round(size * math.sqrt(aspect) / multiple))
            for aspect in (height / width, width / height)
        )
    box = content_box(height, width, panel_height, panel_width)
    return Panel(panel_height, panel_width, box)


def driving_frames(
    inputs: Inputs, panel: Panel, fps: float, pose_fit: str = "box"
) -> Iterator[Tensor]:
    """What the right panel shows, (h, w, 3) in [0, 1], at the model's rate.

    pose_fit: how a pose lies in it, one of POSE_FITS.
    """
    if inputs.pose is None:
        for image in retime(inputs.frames(), fps, inputs.clip.duration):
            yield fit(image, panel.height, panel.width)
    else:
        pose = fit_box(inputs.pose) if pose_fit == "box" else _in_place(inputs.pose, panel)
        yield from _drawn(_retimed(pose, inputs.clip, fps), panel, DREAMACTOR)


def skeleton_frames(inputs: Inputs, panel: Panel, fps: float) -> Iterator[Tensor]:
    """The skeleton as Wan-Animate knows it, (h, w, 3) in [0, 1], where the driver's camera saw it.

    The driver's canvas is letterboxed into the panel.
    """
    return _drawn(_retimed(_in_place(inputs.pose, panel), inputs.clip, fps), panel, WAN_ANIMATE)


def face_frames(inputs: Inputs, size: int, fps: float) -> Iterator[np.ndarray]:
    """The driver's face, (size, size, 3) uint8. Raises InputError as face_boxes does."""
    boxes = face_boxes(_retimed(inputs.pose, inputs.clip, fps))
    images = retime(inputs.frames(), fps, inputs.clip.duration)
    for image, box in zip(images, boxes, strict=True):
        yield crop_face(to_uint8(image), box, size)


def _in_place(pose: Pose, panel: Panel) -> Pose:
    return place_in_panel(pose, panel.width / panel.height)


def _retimed(pose: Pose, clip: VideoInfo, fps: float) -> Pose:
    return retime_pose(pose, np.array(clip.times), fps, retimed_length(clip.duration, fps))


def _drawn(pose: Pose, panel: Panel, style: Style) -> Iterator[Tensor]:
    for k in range(len(pose.body)):
        one = pose.map(lambda points, k=k: points[k : k + 1])
        drawn = draw_pose(one, panel.height, panel.width, style=style)[0]
        yield fit(drawn, panel.height, panel.width)


def _picture(reference: Path | Tensor) -> Tensor:
    """(1, h, w, 3); InputError for one that no character is seen in."""
    name = str(reference) if isinstance(reference, Path) else "reference"
    read = read_picture(reference) if isinstance(reference, Path) else None
    picture = read.pixels if read else reference
    check_frames(name, picture)
    if len(picture) != 1:
        raise InputError(
            name,
            got=f"{len(picture)} pictures",
            need="1, the character",
            fix="Pick one of them first.",
        )
    height, width = read.size if read else picture.shape[1:3]
    short, long = sorted((height, width))
    if short < MIN_SIDE or long > min(MAX_SIDE, MAX_ASPECT * short):
        raise InputError(
            name,
            got=f"a picture of {width} x {height} pixels",
            need=f"sides of {MIN_SIDE} to {MAX_SIDE}, one at most {MAX_ASPECT} times the other",
            fix="Scale the picture, or cut it to the character.",
        )
    return picture
