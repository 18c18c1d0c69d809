"""A clip may also lie in memory; a file or not, it answers the same two questions."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from os import PathLike
from pathlib import Path

from torch import Tensor

from ..errors import InputError
from . import read
from .clip import Frame, VideoInfo


@dataclass(frozen=True, eq=False)
class Footage:
    """Frames in memory, shown at an even rate. Raises InputError when they cannot be shown."""

    frames: Tensor  # (t, h, w, 3) in [0, 1], on the CPU
    fps: float
    sound: Path | None = None  # a file whose sound begins with the first frame
    name: str = "driving frames"

    def __post_init__(self):
        check_frames(self.name, self.frames)
        if not (self.fps > 0 and math.isfinite(self.fps)):
            raise InputError(
                f"rate of the {self.name}",
                got=self.fps,
                need="frames per second, more than 0",
                fix="Use the rate they were filmed at, such as 24.",
            )

    def __str__(self) -> str:
        return self.name

    @property
    def info(self) -> VideoInfo:
        num_frames, height, width, _ = self.frames.shape
        return VideoInfo(
            path=Path(self.name),
            width=width,
            height=height,
            num_frames=num_frames,
            fps=Fraction(self.fps).limit_denominator(100_000),
            times=tuple(k / self.fps for k in range(num_frames)),
            duration=num_frames / self.fps,
            variable_rate=False,
            has_audio=self.sound is not None,
        )


def sound_of(clip: Path | Footage) -> Path | None:
    """A file whose sound begins with the clip's first frame, if it has any; None: it has none."""
    return clip.sound if isinstance(clip, Footage) else clip


def probe(clip: str | PathLike | Footage) -> VideoInfo:
    """What the clip holds. Raises InputError for a file that has no frame to show."""
    return clip.info if isinstance(clip, Footage) else read.probe_file(clip)


def read_frames(
    clip: str | PathLike | Footage, start: float = 0.0, duration: float | None = None
) -> Iterator[Frame]:
    """The frames of [start, start + duration) one by one; their times begin at 0.

    Images are uint8 from a file (see read.read_file), float32 in [0, 1] from memory. Raises
    InputError at once for a part that holds nothing.
    """
    if not isinstance(clip, Footage):
        return read.read_file(clip, start, duration)
    first, last, _ = clip.info.window(start, duration)
    times = clip.info.cut(start, duration).times
    images = clip.frames[first:last].numpy()
    return (Frame(time, image) for time, image in zip(times, images, strict=True))


def check_frames(what: str, frames: Tensor) -> None:
    """Raise InputError unless frames is (t, h, w, 3), t and the sides at least 1, and finite."""
    if frames.ndim != 4 or frames.shape[-1] != 3 or 0 in frames.shape:
        raise InputError(
            what,
            got=f"a batch of shape {tuple(frames.shape)}",
            need="at least 1 picture, laid out (number, height, width, 3 colours)",
            fix="Wire in an IMAGE that is not empty; take the alpha channel off first.",
        )
    for index, frame in enumerate(frames):
        if not frame.isfinite().all():
            raise InputError(
                what,
                got=f"NaN or infinity in picture {index}",
                need="numbers from 0 to 1",
                fix="A step before this one has failed: look at its pictures.",
            )
