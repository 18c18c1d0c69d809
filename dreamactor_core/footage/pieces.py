"""Shots cut into pieces that are not too long for training, and what is measured of each."""

from __future__ import annotations

import base64
import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import cv2
import numpy as np

from ..media import VideoInfo
from .shots import find_shots
from .signals import Signals

STEP = 0.5  # seconds over which motion is measured: what stands still now may have just stopped
BUSIEST = 0.05  # share of the picture, where most moves
GLANCES = 5  # frames of a piece, evenly spread, by which it is told from others
GLANCE_SIZE = (16, 9)  # pixels (width, height)


@dataclass(frozen=True)
class Piece:
    """A part of one shot."""

    start: float  # seconds, of its first frame
    seconds: float
    width: int  # pixels, upright
    height: int
    frames: int
    sharpness: float  # median over time; see signals.sharpness
    motion: float  # levels, 0 to 255: what the busiest part of the picture changes by in STEP
    glances: str  # GLANCES pictures (9, 16) uint8, one after the other, in base64

    @property
    def fps(self) -> float:
        return self.frames / self.seconds


def find_pieces(info: VideoInfo, signals: Signals, longest: float) -> list[Piece]:
    """Of every shot, in order, each at most `longest` seconds: longer shots are cut evenly."""
    return [
        _piece(info, signals, first, last)
        for shot in find_shots(signals)
        for first, last in _parts(info, *shot, longest)
    ]


def glances_of(piece: Piece) -> np.ndarray:
    """(GLANCES, 9, 16) uint8, grey."""
    flat = np.frombuffer(base64.b64decode(piece.glances), np.uint8)
    return flat.reshape(GLANCES, *GLANCE_SIZE[::-1])


def _parts(info: VideoInfo, first: int, last: int, longest: float) -> Iterator[tuple[int, int]]:
    begin, end = info.times[first], _end(info, last)
    count = max(1, math.ceil((end - begin) / longest - 1e-6))
    inner = np.searchsorted(info.times, np.linspace(begin, end, count + 1)[1:-1])
    yield from ((a, b) for a, b in pairwise([first, *inner.tolist(), last]) if a < b)


def _piece(info: VideoInfo, signals: Signals, first: int, last: int) -> Piece:
    start = info.times[first]
    grey, times = signals.grey[first:last], signals.times[first:last]
    sharp = signals.sharp[first:last]
    chosen = np.linspace(0, last - first - 1, GLANCES).round().astype(int)
    return Piece(
        start=start,
        seconds=_end(info, last) - start,
        width=info.width,
        height=info.height,
        frames=last - first,
        sharpness=0.0 if np.isnan(sharp).all() else float(np.nanmedian(sharp)),
        motion=_motion(grey, times),
        glances=_glances(grey[chosen]),
    )


def _end(info: VideoInfo, last: int) -> float:
    return info.times[last] if last < info.num_frames else info.duration


def _motion(grey: np.ndarray, times: np.ndarray) -> float:
    """95th percentile over time of the mean change of the busiest cells, levels."""
    later = np.searchsorted(times, times + STEP)
    pairs = np.flatnonzero(later < len(times))
    if not len(pairs):
        pairs, later = np.array([0]), np.array([len(times) - 1])
    change = np.abs(grey[later[pairs]].astype(float) - grey[pairs])
    return float(np.percentile(busiest(change), 95))


def busiest(change: np.ndarray) -> np.ndarray:
    """Mean of the largest BUSIEST of the values of each picture: (n, h, w) -> (n,)."""
    cells = np.sort(change.reshape(len(change), -1), axis=1)
    return cells[:, -max(1, round(BUSIEST * cells.shape[1])) :].mean(axis=1)


def _glances(grey: np.ndarray) -> str:
    small = [cv2.resize(picture, GLANCE_SIZE, interpolation=cv2.INTER_AREA) for picture in grey]
    return base64.b64encode(np.stack(small).tobytes()).decode()
