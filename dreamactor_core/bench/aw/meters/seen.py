"""A made video beside its driver and reference, read once for all meters."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ....errors import InputError
from ....media import Frame, VideoInfo, probe, read_frames, read_image, smaller, to_uint8
from ....pose.keypoints import Pose
from .bodies import BodyReader

SEEN_SIDE = 256  # pixels of the longer side of what is kept of each frame
SEEN_RATE = 30.0  # frames a second that are kept, at most
SEEN_SECONDS = 30.0  # of a clip
FULL_SIZE_STILLS = 8  # frames that are kept as large as they are


@dataclass(frozen=True)
class Watched:
    """Frames of a clip, made smaller, and what is known of who moves in it."""

    frames: list[np.ndarray]  # (h, w, 3) uint8
    times: np.ndarray  # (t,) seconds
    pose: Pose | None = None  # of every frame, one person; None: nobody knows
    stills: list[np.ndarray] = field(default_factory=list)  # some frames, as large as they are

    def at(self, times: np.ndarray) -> np.ndarray:
        """(n,) numbers of the frames that are on screen at some seconds."""
        return (np.searchsorted(self.times, times + 1e-3, side="right") - 1).clip(0)


@dataclass(frozen=True)
class Compared:
    """All that a meter may look at."""

    reference: np.ndarray  # (h, w, 3) uint8
    mask: np.ndarray | None  # (h, w) in [0, 1], the character in it; None: nobody knows
    reference_pose: Pose | None  # one frame of one person
    driver: Watched
    made: Watched

    def together(self) -> tuple[np.ndarray, np.ndarray]:
        """Numbers of frames of the driver and of the video that are on screen together, one pair
        for each frame of the one that has fewer a second, as long as both last."""
        end = min(self.driver.times[-1], self.made.times[-1])
        fewer = min((self.driver, self.made), key=lambda one: len(one.times) / (one.times[-1] + 1))
        times = fewer.times[fewer.times <= end + 1e-3]
        return self.driver.at(times), self.made.at(times)


def see_files(reference: Path, driver: Path, made: Path, reader: BodyReader) -> Compared:
    """Raises InputError for a file that cannot be read."""
    picture = to_uint8(read_image(reference))
    picture = smaller(picture.reshape(picture.shape[-3:]), 2 * SEEN_SIDE)
    return see(picture, _watched(driver), _watched(made), reader)


def see(reference: np.ndarray, driver: Watched, made: Watched, reader: BodyReader) -> Compared:
    """reference: (h, w, 3) uint8. Bodies are looked for where no pose is known yet."""
    known = reader.of_reference(reference)
    driver, made = (
        one if one.pose is not None else _with_pose(one, reader) for one in (driver, made)
    )
    return Compared(reference, known.mask, known.pose, driver, made)


def _with_pose(clip: Watched, reader: BodyReader) -> Watched:
    pose = reader.of_clip(clip.frames, clip.times)
    return Watched(clip.frames, clip.times, pose, clip.stills)


def _watched(path: Path) -> Watched:
    info = probe(path)
    duration = min(info.duration, SEEN_SECONDS)
    part = info.cut(0.0, duration)
    wanted = set(
        np.unique(np.linspace(0, part.num_frames - 1, FULL_SIZE_STILLS).round().astype(int))
    )
    frames, times, stills = [], [], []
    for number, frame in enumerate(_thinned(path, part, duration)):
        frames.append(smaller(frame.image, SEEN_SIDE))
        times.append(frame.time)
        if number in wanted:
            stills.append(frame.image)
    if not frames:
        fix = "Make the video again."
        raise InputError(path.name, got="no frame", need="at least 1", fix=fix)
    return Watched(frames, np.array(times), stills=stills)


def _thinned(path: Path, part: VideoInfo, duration: float) -> Iterator[Frame]:
    step = max(1, round(float(part.fps) / SEEN_RATE))
    for number, frame in enumerate(read_frames(path, 0.0, duration)):
        if number % step == 0:
            yield frame
