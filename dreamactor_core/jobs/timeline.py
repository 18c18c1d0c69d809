"""Which frame is shown when: the model's frames at the driver's times, and what stands beside."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from ..media import Box, VideoInfo, fit, hold_indices, retime, retimed_length
from .inputs import Inputs


class Timeline(NamedTuple):
    times: list[float]  # seconds, of each frame written
    indices: list[int]  # the model frame it shows, lead-in counted
    duration: float  # seconds


def timeline_of(clip: VideoInfo, fps: float, lead: int, rate: str) -> Timeline:
    """When to show which model frame: at the driver's own frames, or at the model's rate."""
    num_frames = retimed_length(clip.duration, fps)
    if rate == "native":
        indices = list(range(lead + num_frames))
        return Timeline([k / fps for k in indices], indices, len(indices) / fps)
    held = lead + hold_indices(clip.times, fps, num_frames)
    times = [*(k / fps for k in range(lead)), *(lead / fps + t for t in clip.times)]
    return Timeline(times, [*range(lead), *held.tolist()], lead / fps + clip.duration)


def drivers_beside(inputs: Inputs, lead: int, fps: float | None) -> Iterator[np.ndarray]:
    """The driver's picture beside each frame written, at its own times or at fps; black during
    the lead-in.
    """
    if fps is None:
        images = (frame.image for frame in inputs.frames())
    else:
        images = retime(inputs.frames(), fps, inputs.clip.duration)
    black = np.zeros((inputs.clip.height, inputs.clip.width, 3), np.uint8)
    return chain((black for _ in range(lead)), images)


def side_by_side(
    reference: Tensor, drivers: Iterator[np.ndarray], results: Iterator[Tensor]
) -> Iterator[Tensor]:
    """reference | driver | result, each of the reference's size (h, w, 3)."""
    height, width = reference.shape[:2]
    for driver, result in zip(drivers, results, strict=False):
        yield torch.cat([reference, fit(driver, height, width), result], dim=1)


def held(frames: Iterator[Tensor], indices: Sequence[int]) -> Iterator[Tensor]:
    """frames[i] for each i of indices, which never fall; one frame is held at a time."""
    position, frame = -1, None
    for index in indices:
        while position < index:
            position, frame = position + 1, next(frames)
        yield frame


def crop(frame: Tensor, box: Box) -> Tensor:
    return frame[box.top : box.top + box.height, box.left : box.left + box.width]
