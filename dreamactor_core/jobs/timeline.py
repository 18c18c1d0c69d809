"""Which of the model's frames is shown when, and what stands beside it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import chain
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from ..media import VideoInfo, fit, hold_indices, retime, retimed_length
from .inputs import Fitted


class Timeline(NamedTuple):
    times: list[float]  # seconds, of each frame written
    shown: Counter[int]  # how often each of the model's frames is, lead-in counted
    duration: float  # seconds


def timeline_of(clip: VideoInfo, fps: float, lead: int, rate: str) -> Timeline:
    """When to show which model frame: at the driver's own frames, or at the model's rate."""
    num_frames = retimed_length(clip.duration, fps)
    if rate == "native":
        count = lead + num_frames
        return Timeline([k / fps for k in range(count)], Counter(range(count)), count / fps)
    held = lead + hold_indices(clip.times, fps, num_frames)
    times = [*(k / fps for k in range(lead)), *(lead / fps + t for t in clip.times)]
    return Timeline(times, Counter([*range(lead), *held.tolist()]), lead / fps + clip.duration)


class Views:
    """What is seen of the model's frames, one after the other, as often as each is shown: without
    the panel's bars, and if wanted as the right of three pictures: reference | driver | result.
    """

    def __init__(
        self, fitted: Fitted, timeline: Timeline, lead: int, rate: str, side_by_side: bool
    ):
        self.box, self.timeline = fitted.panel.box, timeline
        self.position = 0  # of the model's next frame
        self.reference = self._cropped(fitted.reference[0])
        self.drivers = _drivers(fitted, lead, rate) if side_by_side else None

    def of(self, frames: Tensor) -> Iterator[Tensor]:
        """The model's next frames (n, h, w, 3 or 4) as they are written, (h', w' or 3w', 3 or 4)
        each."""
        for frame in frames:
            for _ in range(self.timeline.shown[self.position]):
                yield self._view(frame)
            self.position += 1

    def _view(self, frame: Tensor) -> Tensor:
        result = self._cropped(frame)
        if self.drivers is None:
            return result
        driver = fit(next(self.drivers), self.box.height, self.box.width)
        beside = torch.cat([self.reference, driver], dim=1)
        if result.shape[2] == 4:
            beside = torch.cat([beside, torch.ones_like(beside[..., :1])], dim=2)
        return torch.cat([beside, result], dim=1)

    def _cropped(self, frame: Tensor) -> Tensor:
        box = self.box
        return frame[box.top : box.top + box.height, box.left : box.left + box.width]


def _drivers(fitted: Fitted, lead: int, rate: str) -> Iterator[np.ndarray]:
    """The driver's picture beside each frame written, at its own times or at the model's rate;
    black during the lead-in.
    """
    clip, frames = fitted.inputs.clip, fitted.inputs.frames()
    if rate == "native":
        images = retime(frames, fitted.fps, clip.duration)
    else:
        images = (frame.image for frame in frames)
    black = np.zeros((clip.height, clip.width, 3), np.uint8)
    return chain((black for _ in range(lead)), images)
