"""What the judge is shown of a video: as many pictures of one size as of every other.

    still pictures   2 a second and the last, for what is seen in a picture     (Video-Bench's rate)
    strips           8 frames of one second side by side, for what moves        (Video-Bench's grid)

How many there are follows from the driver's length and where they lie from the video's own, so a
video that is too long or too short is not told by their number.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from ....media import VideoInfo, fit, probe, read_frames, to_uint8
from ....media.clip import SLACK
from .questions import STATIC

STILL_RATE, MOST_STILLS = 2.0, 8
STRIP_FRAMES, MOST_STRIPS = 8, 4  # frames of a second; strips of a video
STILL_SIDE, CELL_SIDE = 384, 192  # pixels of the longer side of a picture, of a strip's frame
HEADING = 28  # pixels above a picture, for the letter of its video


class Look(NamedTuple):
    """How every video of a case is shown."""

    height: int  # of a still picture
    width: int
    stills: int
    strips: int


def look_of(reference: np.ndarray, driver: VideoInfo) -> Look:
    """For a case: the shape of its reference (h, w, 3), no larger than that or its driver."""
    height, width = reference.shape[:2]
    side = max(height, width)
    scale = min(STILL_SIDE, max(side, driver.height, driver.width)) / side
    return Look(
        max(8, round(height * scale)),
        max(8, round(width * scale)),
        min(MOST_STILLS, round(STILL_RATE * driver.duration) + 1),
        min(MOST_STRIPS, max(1, round(driver.duration))),
    )


def still_pictures(video: Path, look: Look) -> list[np.ndarray]:
    """The first picture, the last, and others evenly between; (h, w, 3) uint8."""
    times = np.linspace(0, 1, look.stills) * probe(video).times[-1]
    return [to_uint8(fit(image, look.height, look.width)) for image in _at(video, times)]


def strip_pictures(video: Path, look: Look) -> list[np.ndarray]:
    """Strips of STRIP_FRAMES frames of a second, at even places; a shorter video holds its last."""
    info = probe(video)
    starts = np.linspace(0, max(0.0, info.duration - 1.0), look.strips)
    times = (starts[:, None] + np.arange(STRIP_FRAMES) / STRIP_FRAMES).ravel()
    scale = CELL_SIDE / STILL_SIDE
    cell = [max(4, round(side * scale)) for side in (look.height, look.width)]
    frames = [to_uint8(fit(image, *cell)) for image in _at(video, times)]
    return [
        np.concatenate(frames[k : k + STRIP_FRAMES], axis=1)
        for k in range(0, len(frames), STRIP_FRAMES)
    ]


def pictures_of(dimension: str, video: Path, look: Look) -> list[np.ndarray]:
    """What a video is shown by when it is asked about."""
    return (still_pictures if dimension in STATIC else strip_pictures)(video, look)


def headed(picture: np.ndarray, name: str) -> np.ndarray:
    """A picture with a name on white above it."""
    heading = np.full((HEADING, picture.shape[1], 3), 255, np.uint8)
    font = cv2.FONT_HERSHEY_SIMPLEX
    cv2.putText(heading, name, (6, HEADING - 7), font, 0.8, (0, 0, 0), 2, cv2.LINE_AA)
    return np.concatenate([heading, picture])


def _at(video: Path, times: np.ndarray) -> list[np.ndarray]:
    """What is on screen at some seconds, in their order."""
    known = np.array(probe(video).times)
    numbers = (np.searchsorted(known, times + SLACK, side="right") - 1).clip(0)
    wanted, kept = set(numbers.tolist()), {}
    for number, frame in enumerate(read_frames(video)):
        if number in wanted:
            kept[number] = frame.image
    last = max(kept)  # of a file whose end cannot be decoded
    return [kept.get(int(number), kept[last]) for number in numbers]
