"""A clip as it is meant to be seen: its frames, their times, and parts of it."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ..errors import InputError

SLACK = 0.0015  # seconds: Matroska rounds each time to 1 ms, and we subtract two of them


class Frame(NamedTuple):
    time: float  # seconds from the start of the clip or of the part that was asked for
    image: np.ndarray  # (h, w, 3) uint8
    mask: np.ndarray | None = None  # (h, w) uint8, 255 where it is opaque; None without alpha


@dataclass(frozen=True)
class VideoInfo:
    """A clip, or a part of one, as it is meant to be seen."""

    path: Path
    width: int  # pixels, after rotation tag and pixel aspect
    height: int
    num_frames: int  # frames that decode
    fps: Fraction  # average
    times: tuple[float, ...]  # seconds, one for each frame, rising from 0
    duration: float  # seconds, the last frame's own included
    variable_rate: bool  # steps differ by more than a quarter: more than rounding can explain
    has_audio: bool  # a track that can be decoded

    def cut(self, start: float = 0.0, duration: float | None = None) -> VideoInfo:
        """The part [start, start + duration) that read_frames yields; its times begin at 0.

        The frame on screen at `start` is the first. Raises InputError if nothing lies there.
        """
        first, last, end = self.window(start, duration)
        later = tuple(time - start for time in self.times[first + 1 : last])
        return replace(self, num_frames=last - first, times=(0.0, *later), duration=end - start)

    def window(self, start: float, duration: float | None) -> tuple[int, int, float]:
        """(first frame, frame after the last, end in seconds) of [start, start + duration).

        Raises InputError if nothing lies there.
        """
        end = self.duration if duration is None else min(self.duration, start + duration)
        lasts = duration is None or start + duration > start  # untrue of NaN
        if not (0 <= start < self.duration - SLACK and lasts):
            asked = "the end" if duration is None else f"{start + duration:g} s"
            raise InputError(
                f"part of {self.path.name}",
                got=f"{start:g} s to {asked}",
                need=f"a part of its {self.duration:.3f} s",
                fix="Let it start earlier, and last longer than 0 s.",
            )
        first = max(0, bisect_right(self.times, start + SLACK) - 1)
        if end == self.duration:  # its last frame may be shorter than the slack
            return first, self.num_frames, end
        return first, max(first + 1, bisect_left(self.times, end - SLACK)), end
