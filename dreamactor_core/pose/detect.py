"""From the frames of a clip to the poses of everyone in it.

    frames --> boxes and joints, a batch at a time              (blazepose, or top_down)
    boxes of all frames --> tracker --> who is who              (track)
    joints of each --> short gaps filled --> smoothed --> Pose  (smooth)

Frames are streamed; what is kept of each is its boxes and joints, some kilobytes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import compress, islice
from typing import NamedTuple

import numpy as np

from ..errors import InputError
from ..media import to_uint8
from ..skeleton import JOINTS
from .keypoints import Pose, pose_of_points
from .skeletons import POINTS
from .smooth import fill_gaps, smooth
from .subjects import ANIMAL, Cutout, DetectSettings, PoseNetworks, Subjects, area
from .track import follow


class Detection(NamedTuple):
    pose: Pose
    notes: list[str]  # what a user should know: nobody found, subjects left out
    masks: list[list[Cutout]] | None = None  # of each frame those who are kept; see settings.masks


def detect_pose(
    frames: Iterable[np.ndarray],
    times: Sequence[float],
    networks: PoseNetworks,
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
    found, (height, width) = find_subjects(frames, networks, settings, on_frames)
    if len(found) != len(times):
        raise InputError(
            "times of the frames",
            got=len(times),
            need=f"{len(found)}, one for each frame",
            fix="Use the times of the same clip.",
        )
    identities = follow(found, times, settings.threshold)
    chosen, left_out = _largest(found, identities, settings.max_subjects)
    points = np.zeros((len(found), len(chosen), POINTS, 3))
    for t, (frame, numbers) in enumerate(zip(found, identities, strict=True)):
        for p, number in enumerate(chosen):
            points[t, p] = frame.points[numbers == number].sum(axis=0)
    points[..., :2] /= [width, height]
    pose = pose_of_points(points, width / height)
    if settings.smoothing and chosen:
        pose = smooth(fill_gaps(pose, times), times)
    pose = replace(pose, depth=_depth(found, identities, chosen, height))
    masks = _masks(found, identities, chosen) if settings.masks else None
    return Detection(pose, _notes(found, chosen, left_out, networks, settings), masks)


def find_subjects(
    frames: Iterable[np.ndarray],
    networks: PoseNetworks,
    settings: DetectSettings,
    on_frames: Callable[[int], None] | None = None,
) -> tuple[list[Subjects], tuple[int, int]]:
    """Boxes and joints of every frame, and the (height, width) of the frames."""
    found: list[Subjects] = []
    size, find = None, networks.start(settings)
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
        found += find(batch)
        if on_frames is not None:
            on_frames(len(found))
    if size is None:
        raise InputError("frames", got="none", need="at least 1", fix="Choose a longer part.")
    return found, size


def _largest(
    found: list[Subjects], identities: list[np.ndarray], count: int
) -> tuple[list[int], int]:
    """The identities whose boxes cover most, summed over the clip, and how many are left out."""
    cover: dict[int, float] = {}
    for frame, numbers in zip(found, identities, strict=True):
        for number, joints, box in zip(numbers, frame.points, frame.boxes, strict=True):
            if number >= 0 and joints.any():
                cover[int(number)] = cover.get(int(number), 0.0) + area(box)
    ranked = sorted(cover, key=lambda number: -cover[number])
    return ranked[:count], len(ranked[count:])


def _depth(
    found: list[Subjects], identities: list[np.ndarray], chosen: list[int], height: int
) -> np.ndarray | None:
    """(t, p, 18) of the chosen ones, in heights of the frame; 0 for who is not there."""
    depth = np.zeros((len(found), len(chosen), JOINTS))
    for t, (frame, numbers) in enumerate(zip(found, identities, strict=True)):
        if frame.depth is None:
            return None
        for p, number in enumerate(chosen):
            depth[t, p] = frame.depth[numbers == number].sum(axis=0) / height
    return depth


def _masks(
    found: list[Subjects], identities: list[np.ndarray], chosen: list[int]
) -> list[list[Cutout]]:
    """Of each frame the masks of the chosen ones who are in it."""
    kept = [np.isin(numbers, chosen).tolist() for numbers in identities]
    return [list(compress(frame.masks, those)) for frame, those in zip(found, kept, strict=True)]


def _notes(
    found: list[Subjects],
    chosen: list[int],
    left_out: int,
    networks: PoseNetworks,
    settings: DetectSettings,
) -> list[str]:
    notes, spell = [], InputError.spell
    unread = sum(
        bool(((frame.kinds == ANIMAL) & ~frame.points.any(axis=(1, 2))).any()) for frame in found
    )
    if not chosen:
        whom = {"all": "person or animal", "people": "person", "animals": "animal"}
        sought = settings.subjects if networks.sees == "all" else networks.sees
        other = "use the end-to-end variant, which needs no keypoints"
        if networks.sees == "people":
            other = f"choose ViTPose, which finds animals too, or {other}"
        notes.append(
            f"No {whom[sought]} was found in {len(found)} frames: the keypoints are empty. If "
            f"there is one, lower the threshold ({settings.threshold:g}), or {other}."
        )
    if unread:
        notes.append(
            f"Animals were seen in {unread} frames and left out: the pose model knows people "
            f"only. Give {spell('pose_heads')} (the original ViTPose++ file) or "
            f"{spell('animal_model')}."
        )
    if left_out:
        notes.append(
            f"{left_out} more subjects were left out; raise {spell('max_subjects')} "
            f"({settings.max_subjects}) to keep them."
        )
    return notes


def _batches(frames: Iterable[np.ndarray], size: int) -> Iterator[list[np.ndarray]]:
    frames = iter(frames)
    while batch := [to_uint8(np.asarray(frame)) for frame in islice(frames, size)]:
        yield batch
