"""What a video is made from, opened, checked and fitted: the picture, the clip, the pose.

Each is a file or lies in memory. The driving clip is read anew, frame by frame, whenever its
frames are asked for.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Container, Iterator
from dataclasses import dataclass
from functools import cached_property
from operator import itemgetter
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
from torch import Tensor

from ..errors import InputError
from ..geometry import EVERY_FRAME, Geometry
from ..media import (
    Box,
    Footage,
    Frame,
    Picture,
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
from ..media.limits import check_pixels
from ..models import Bodies
from ..options import Defaults
from ..pose.draw import DREAMACTOR, Style, draw_pose, fit_box
from ..pose.guides import Guides, read_guides, tells_apart
from ..pose.keypoints import Pose, check_length, load_keypoints, retime_pose
from ..pose.retarget import place_in_panel, stand_as
from ..pose.rigid import RigidMotion
from ..pose.wan_animate import WAN_ANIMATE, crop_face, face_boxes
from .reading import Reading

MIN_SIDE, MAX_SIDE, MAX_ASPECT = 8, 16_384, 16  # of a reference: outside, no character is seen


class Inputs(NamedTuple):
    reference: Tensor  # (1, h, w, 3) in [0, 1]
    clip: VideoInfo  # the part of the driving video that is used
    frames: Callable[[], Iterator[Frame]]  # reads that part, from its beginning each time
    pose: Pose | None  # of every frame of the clip
    guides: Guides | None = None  # of the reference: what was told, its alpha, what was found
    reading: Reading | None = None  # what a model that looks for bodies found


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
    reference_keypoints: Path | Pose | None = None,
    reference_mask: Path | Tensor | None = None,
) -> Inputs:
    """The picture, the part of the clip and its keypoints, opened and checked.

    reference_keypoints, reference_mask: as for read_guides. Without any mask the alpha of a
    picture is its mask.

    Raises InputError for a reference or a driving video that cannot be used, for keypoints that do
    not fit the driving video, and as read_guides does.
    """
    picture, alpha, _ = _reference_pixels(reference)
    mask = alpha if reference_mask is None else reference_mask
    guides = read_guides(reference_keypoints, mask, *picture.shape[1:3])
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
        pose = (
            load_keypoints(keypoints, (whole.width, whole.height))
            if isinstance(keypoints, Path)
            else keypoints
        )
        check_length(pose, whole.num_frames)
        first, last, _ = whole.window(start, duration)
        pose = pose.pick(lambda each: each[first:last])
    return Inputs(picture, clip, lambda: read_frames(driving, start, duration), pose, guides)


@dataclass(frozen=True)
class Fitted:
    """Inputs as a model is shown them: in one panel, at its rate, bars included."""

    inputs: Inputs
    panel: Panel
    fps: float
    pose_fit: str = "box"  # how a pose lies in the panel, one of POSE_FITS
    wanted: Container[int] = EVERY_FRAME  # of the model's, the lead-in counted

    @cached_property
    def guides(self) -> Guides | None:
        """What is known of the reference, in pixels of the panel."""
        guides, panel = self.inputs.guides, self.panel
        return guides and guides.in_panel(panel.box, panel.height, panel.width)

    @property
    def rigid(self) -> RigidMotion | None:
        """How the reference is moved as a whole, at `times`; None: by its limbs."""
        reading = self.inputs.reading
        return reading and reading.rigid and reading.rigid.at(self.times)

    @property
    def times(self) -> np.ndarray:
        """(n,) seconds of the frames that are to be made."""
        return np.arange(retimed_length(self.inputs.clip.duration, self.fps)) / self.fps

    @property
    def bodies(self) -> Bodies | None:
        """Who moves in the driving video, as its keypoints tell; None without keypoints."""
        pose = self.inputs.pose
        if pose is None:
            return None
        times = np.array(self.inputs.clip.times)
        return Bodies(pose.body * [pose.aspect, 1, 1], times, pose.depth)

    def driver_frames(self, fps: float, height: int, width: int) -> Iterator[Tensor]:
        """The driver alone, (height, width, 3) in [0, 1], at any rate."""
        clip = retime(self.inputs.frames(), fps, self.inputs.clip.duration)
        return (fit(image, height, width) for image in clip)

    @cached_property
    def reference(self) -> Tensor:
        """(1, h, w, 3) in [0, 1]."""
        return fit(self.inputs.reference[0], self.panel.height, self.panel.width)[None]

    def driving(self) -> Iterator[Tensor]:
        """What the right panel shows, frames (h, w, 3) in [0, 1]: the driver, or its pose drawn."""
        if self.inputs.pose is not None:
            pose = fit_box(self.inputs.pose) if self.pose_fit == "box" else self._in_place()
            return self._drawn(pose, DREAMACTOR)
        return self.driver_frames(self.fps, self.panel.height, self.panel.width)

    def skeletons(self) -> Iterator[Tensor]:
        """The skeleton as Wan-Animate knows it, (h, w, 3) in [0, 1], where the driver's camera saw
        it: the driver's canvas is letterboxed into the panel.
        """
        return self._drawn(self._in_place(), WAN_ANIMATE)

    def faces(self, size: int) -> Iterator[np.ndarray]:
        """The driver's face, (size, size, 3) uint8. Raises InputError as face_boxes does."""
        boxes = face_boxes(self._retimed(self._pose()))
        images = retime(self.inputs.frames(), self.fps, self.inputs.clip.duration)
        for image, box in zip(images, boxes, strict=True):
            yield crop_face(to_uint8(image), box, size)

    def _pose(self) -> Pose:
        assert self.inputs.pose is not None, "a task that reads a pose was checked for one"
        return self.inputs.pose

    def _in_place(self) -> Pose:
        """Where the driver's camera saw it, or as the reference stands."""
        if self.pose_fit == "reference":
            guides = self.guides
            assert guides is not None, "a job that asks for it was checked for keypoints"
            return stand_as(self._pose(), guides.pose())
        return place_in_panel(self._pose(), self.panel.width / self.panel.height)

    def _retimed(self, pose: Pose) -> Pose:
        clip = self.inputs.clip
        return retime_pose(
            pose, np.array(clip.times), self.fps, retimed_length(clip.duration, self.fps)
        )

    def _drawn(self, pose: Pose, style: Style) -> Iterator[Tensor]:
        pose, panel = self._retimed(pose), self.panel
        for k in range(len(pose.body)):
            one = pose.map(itemgetter(slice(k, k + 1)))
            drawn = draw_pose(one, panel.height, panel.width, style=style)[0]
            yield fit(drawn, panel.height, panel.width)


class Sized(Protocol):
    """What a panel depends on, of a model: a Source, an Animator or a Backbone."""

    @property
    def geometry(self) -> Geometry: ...
    @property
    def defaults(self) -> Defaults: ...


def fit_inputs(inputs: Inputs, size: int | None, model: Sized, pose_fit: str = "box") -> Fitted:
    """Inputs in a panel of the model. size is that of panel_of, whose InputError it raises."""
    _, height, width, _ = inputs.reference.shape
    panel = panel_of(height, width, size, model)
    return Fitted(inputs, panel, model.geometry.fps, pose_fit)


def panel_of(height: int, width: int, size: int | None, model: Sized) -> Panel:
    """The panel for a reference of height x width pixels.

    size None: the model's own panel, in which a reference of another aspect gets bars; or, if the
    model follows the aspect, its area. Otherwise the area size x size. An area is drawn in the
    reference's aspect, each side a multiple of what the model asks for, so that bars are at most
    the rounding. Raises InputError for a size that is no such multiple.
    """
    geometry = model.geometry
    panel_height, panel_width = geometry.panel
    if size is not None:
        geometry.check_panel(size, size)
        check_pixels("size", size, size)  # what is written must be read again
    if size is not None or model.defaults.follows_aspect:
        side = math.sqrt(panel_height * panel_width) if size is None else size
        panel_height, panel_width = geometry.panel_of_area(side, height, width)
    box = content_box(height, width, panel_height, panel_width)
    return Panel(panel_height, panel_width, box)


def _reference_pixels(reference: Path | Tensor) -> Picture:
    """Pixels (1, h, w, 3) and what of them is opaque; InputError for one without a character."""
    name = str(reference) if isinstance(reference, Path) else "reference"
    if isinstance(reference, Path):
        picture, alpha, size = read_picture(reference)
    else:
        picture, alpha, size = reference, None, None
    alpha = alpha if alpha is not None and tells_apart(alpha) else None
    check_frames(name, picture)
    if len(picture) != 1:
        raise InputError(
            name,
            got=f"{len(picture)} pictures",
            need="1, the character",
            fix="Pick one of them first.",
        )
    height, width = size or picture.shape[1:3]
    short, long = sorted((height, width))
    if short < MIN_SIDE or long > min(MAX_SIDE, MAX_ASPECT * short):
        raise InputError(
            name,
            got=f"a picture of {width} x {height} pixels",
            need=f"sides of {MIN_SIDE} to {MAX_SIDE}, one at most {MAX_ASPECT} times the other",
            fix="Scale the picture, or cut it to the character.",
        )
    return Picture(picture, alpha, (height, width))
