"""Frames made to fit: the panel in space (letterbox) and the model's rate in time (holding).

content_box(h=2, w=4, height=6, width=8)  ->  top 1, left 0, height 4, width 8

    [ fill fill fill ]      The whole picture is kept, its shape too: bars fill the rest.
    [    picture     ]
    [ fill fill fill ]
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import cv2
import numpy as np
import torch
from torch import Tensor

from .clip import SLACK, Frame


class Box(NamedTuple):
    top: int
    left: int
    height: int
    width: int


def content_box(h: int, w: int, height: int, width: int) -> Box:
    """Where an h x w picture lies inside a height x width panel, centred, in whole pixels.

    `panel[top : top + box.height, left : left + box.width]` crops a result back to the picture.
    """
    scale = min(height / h, width / w)
    box_h = min(height, max(1, round(h * scale)))
    box_w = min(width, max(1, round(w * scale)))
    return Box((height - box_h) // 2, (width - box_w) // 2, box_h, box_w)


def fit(image: np.ndarray | Tensor, height: int, width: int, fill: float = 0.0) -> Tensor:
    """Letterbox a picture into a panel: never cropped, never stretched.

    image: (h, w, 3), uint8 or float in [0, 1]. Returns (height, width, 3) float32 in [0, 1].
    fill: grey level of the bars.
    """
    pixels = np.asarray(image)
    pixels = pixels.astype(np.float32) / (255 if pixels.dtype == np.uint8 else 1)
    own_height, own_width = pixels.shape[:2]
    top, left, box_h, box_w = content_box(own_height, own_width, height, width)
    if pixels.shape[:2] != (box_h, box_w):
        # Averaging when it shrinks: any other filter skips pixels and makes thin lines flicker.
        shrinks = box_h * box_w < pixels.shape[0] * pixels.shape[1]
        method = cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC
        pixels = cv2.resize(pixels, (box_w, box_h), interpolation=method)
    panel = torch.full((height, width, 3), fill, dtype=torch.float32)
    panel[top : top + box_h, left : left + box_w] = torch.from_numpy(pixels).clamp(0, 1)
    return panel


def shrink(image: np.ndarray, scale: float) -> np.ndarray:
    """(h, w, 3) uint8, made smaller by averaging; never larger."""
    if scale >= 1:
        return image
    height, width = (max(1, round(side * scale)) for side in image.shape[:2])
    return cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)


def smaller(image: np.ndarray, side: int) -> np.ndarray:
    """(h, w, 3) uint8, its longer side at most so many pixels."""
    return shrink(image, side / max(image.shape[:2]))


def fit_frames(
    frames: Iterable[np.ndarray | Tensor], height: int, width: int, fill: float = 0.0
) -> Tensor:
    """fit() for each frame -> (t, height, width, 3); full-size frames are dropped one by one."""
    return torch.stack([fit(frame, height, width, fill) for frame in frames])


def retimed_length(duration: float, fps: float) -> int:
    """Frames that retime() makes of a clip of `duration` seconds: max(1, round(duration * fps))."""
    return max(1, round(duration * fps))


def retime(frames: Iterable[Frame], fps: float, duration: float) -> Iterator[np.ndarray]:
    """The picture that is on screen at 0, 1/fps, 2/fps, ...: exactly retimed_length() of them.

    Holds one frame at a time and reads no further than it must. The frames' times start at 0 and
    rise; duration is the clip's, as VideoInfo.cut(...).duration gives it. A rate above the
    source's repeats frames, one below it skips some.
    """
    frames = iter(frames)
    shown = next(frames, None)
    assert shown is not None, "no frames: read_frames() refuses such clips"
    ahead = next(frames, None)
    for k in range(retimed_length(duration, fps)):
        while ahead is not None and ahead.time <= k / fps + SLACK:
            shown, ahead = ahead, next(frames, None)
        yield shown.image


def hold_indices(source_times: Sequence[float], fps: float, num_frames: int) -> np.ndarray:
    """For each source frame the model frame to show: the way back from retime().

    Model frame k is on screen from k/fps until (k + 1)/fps. source_times: seconds, from 0.
    Returns int64 (len(source_times),) in 0 .. num_frames - 1. `frames[indices]` has the source's
    count and belongs at the source's times.
    """
    indices = np.floor((np.asarray(source_times, dtype=np.float64) + SLACK) * fps)
    return indices.astype(np.int64).clip(0, num_frames - 1)
