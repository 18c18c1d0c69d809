"""Whoever finds bodies: BlazePose where somebody is surely a person, else the small model's eye."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np

from ....media import Frame, VideoInfo, fit, to_frames
from ....media.fit import content_box
from ....models import Watcher, find
from ....options import DEFAULT_MODEL
from ....pose.footage import read_people
from ....pose.keypoints import Pose, pose_of_points
from ....pose.reference import networks_here
from ....pose.skeletons import POINTS

SURE_FRAMES, REMEMBERED = 4, 4  # frames that tell whether the eye knows a body; clips


WasRead = TypeVar("WasRead")


class KnownReference(NamedTuple):
    mask: np.ndarray | None  # (h, w) in [0, 1]
    pose: Pose | None  # one frame of one person


class BodyReader:
    """Opens the small model when it is first asked; BlazePose is used if it is on this machine.

    follow_people: whether to use BlazePose at all.
    """

    def __init__(self, follow_people: bool = True):
        self.follow_people = follow_people
        self._known: OrderedDict[str, Any] = OrderedDict()

    @cached_property
    def _eye(self) -> tuple[Watcher, tuple[int, int]]:
        animator = find(DEFAULT_MODEL).open()
        assert animator.eye is not None, "the shipped model has one"
        return animator.eye, animator.geometry.panel

    def of_reference(self, picture: np.ndarray) -> KnownReference:
        """picture: (h, w, 3) uint8. Its limbs are read as those of a clip are, so that the two can
        be compared; where that fails, in whatever way a reference's are."""
        return self._remembered([picture], lambda: self._of_reference(picture))

    def of_clip(self, frames: list[np.ndarray], times: np.ndarray) -> Pose | None:
        """One person in every frame (h, w, 3) uint8; None where nobody is sure of one."""
        return self._remembered([*frames, times], lambda: self._of_clip(frames, times))

    def _remembered(self, arrays: Sequence[np.ndarray], read: Callable[[], WasRead]) -> WasRead:
        """What was read last: systems of one case share its driver and its reference."""
        digest = hashlib.sha1(repr((len(arrays), arrays[0].shape)).encode(), usedforsecurity=False)
        for array in arrays:
            digest.update(np.ascontiguousarray(array).data)
        key = digest.hexdigest()
        if key not in self._known:
            self._known[key] = read()
            while len(self._known) > REMEMBERED:
                self._known.popitem(last=False)
        self._known.move_to_end(key)
        return self._known[key]

    def _of_reference(self, picture: np.ndarray) -> KnownReference:
        eye, panel = self._eye
        image = to_frames(picture)
        seen = eye.recognise(
            image, fit(image, *panel), None, is_alpha=False, people=self.follow_people
        )
        guides = seen.guides
        mask = None if guides is None else guides.mask
        joints = None if guides is None else guides.joints
        height, width = picture.shape[:2]
        if seen.joints_by == "eye" and joints is None:
            by_eye = eye.seen(image[None], guides)
            joints, mask = by_eye.joints, by_eye.mask
        pose = self._of_clip([picture], np.zeros(1))
        if pose is None and joints is not None:
            pose = _pose(joints[None, 0], height, width)
        return KnownReference(mask, pose)

    def _of_clip(self, frames: list[np.ndarray], times: np.ndarray) -> Pose | None:
        eye, panel = self._eye
        shown = np.unique(np.linspace(0, len(frames) - 1, SURE_FRAMES).round().astype(int))
        sure = eye.is_sure_of([fit(frames[k], *panel) for k in shown])
        networks = networks_here() if self.follow_people else None
        if networks is not None:
            info = _info(frames, times)

            def again() -> Iterator[Frame]:
                return (Frame(t, image) for t, image in zip(info.times, frames, strict=True))

            people = read_people(again, info, networks)
            if people is not None and (people.surely or not sure):
                return people.pose
        if not sure:
            return None
        joints = eye.watch(fit(frame, *panel) for frame in frames)[:, 0]
        height, width = frames[0].shape[:2]
        return _pose(_from_panel(joints, (height, width), panel), height, width)


def _from_panel(joints: np.ndarray, size: tuple[int, int], panel: tuple[int, int]) -> np.ndarray:
    """Joints (..., 3) in a panel -> in the picture (h, w) that was fitted into it."""
    box = content_box(*size, *panel)
    scale = np.array([size[1] / box.width, size[0] / box.height])
    xy = (joints[..., :2] - [box.left, box.top]) * scale
    return np.concatenate([xy, joints[..., 2:]], axis=-1)


def _pose(joints: np.ndarray, height: int, width: int) -> Pose:
    """(t, 18, 3) in pixels -> Pose of one person."""
    points = np.zeros((len(joints), 1, POINTS, 3))
    points[:, 0, :18] = joints / [width, height, 1]
    return pose_of_points(points, width / height)


def _info(frames: list[np.ndarray], times: np.ndarray) -> VideoInfo:
    height, width = frames[0].shape[:2]
    span = float(times[-1]) if len(times) > 1 else 1.0
    rate = max(1, len(times) - 1) / max(span, 1e-3)
    return VideoInfo(
        path=Path("clip"),
        width=width,
        height=height,
        num_frames=len(frames),
        fps=Fraction(rate).limit_denominator(1000),
        times=tuple(times.tolist()),
        duration=span + 1 / rate,
        variable_rate=False,
        has_audio=False,
    )
