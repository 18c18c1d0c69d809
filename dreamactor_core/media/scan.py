"""What a clip really holds, found out without keeping its pictures.

A container's word is taken only where it can be trusted: the number of frames is the number of
packets if that agrees with the header, and is counted by decoding if not. Times come from the
presentation time of each frame, so a variable frame rate needs no special case.
"""

from __future__ import annotations

import logging
import struct
from collections.abc import Sequence
from contextlib import suppress
from fractions import Fraction
from functools import lru_cache
from itertools import pairwise
from os import PathLike
from pathlib import Path
from typing import Any, NamedTuple

import av
import numpy as np

from ..errors import InputError
from .animation import animation_stamps, is_animation
from .clip import VideoInfo
from .color import UNSPECIFIED, conversion_name, tags
from .container import VIDEO_NEEDED, decode_frames, opened, say_once
from .limits import FRAME_PIXELS, check_count, check_duration, limit
from .replace import check_readable
from .tracks import sound_track

logger = logging.getLogger(__name__)

# Frames of these may carry a named profile, on which PyAV ends the process: it frees the name of
# side data that was looked at, and FFmpeg frees it again. None of them says how it is turned.
LOSSLESS_STILLS = ("png", "apng", "webp", "tiff", "bmp", "gif")
SEEKABLE = ("mp4", "matroska", "avi")  # others (GIF builds on the frame before) start at frame 0


class Scan(NamedTuple):
    info: VideoInfo
    origin: Fraction  # time of the first frame on the container's own clock, for the sound
    pts: tuple[int, ...] | None  # of each frame; None where frames are told apart by order only
    size: tuple[int, int]  # (width, height) to decode to: square pixels, before the rotation
    matrix: tuple[int, ...] | None  # for turn()
    tags: tuple[int, int] = (UNSPECIFIED, UNSPECIFIED)  # of its colours, as color.tags gives them
    animation: bool = False  # read by Pillow


def scan(path: str | PathLike) -> Scan:
    """Everything that can be said about a clip without keeping its pictures."""
    path = check_readable(path, VIDEO_NEEDED)
    stat = path.stat()
    return _scan_file(path, stat.st_size, stat.st_mtime_ns)


@lru_cache(maxsize=16)  # probe and read_frames of one clip share it; a changed file has a new key
def _scan_file(path: Path, size: int, mtime_ns: int) -> Scan:
    if is_animation(path):
        return _scan_animation(path)
    with opened(path) as (container, stream):
        first = next(decode_frames(container, stream), None)
        if first is None:
            fix = "Play it in a video player; if that fails too, export the clip again."
            got = "a video stream from which no frame can be decoded"
            if not stream.codec_context.width:  # what is too large is not even measured
                most = f"{limit(FRAME_PIXELS) / 1e6:g} million pixels"
                got = f"a video stream from which no frame of at most {most} can be decoded"
                fix += f" If it is larger, set {FRAME_PIXELS} higher where this runs."
            raise InputError(str(path), got=got, need=VIDEO_NEEDED, fix=fix)
        square = _square_size(first, stream.sample_aspect_ratio)
        matrix = None if stream.codec_context.name in LOSSLESS_STILLS else _display_matrix(first)
        shown = _turned_size(square, matrix)
        colors = tags(first, stream.codec_context)
        if converted := conversion_name(*colors):
            say_once(path, converted)

    stamps = _packet_stamps(path) or _frame_stamps(path)
    with opened(path) as (container, stream):
        tick = stream.time_base
        rate = stream.average_rate or stream.guessed_rate or Fraction(25)
        pts: tuple[Any, ...] = tuple(pts for pts, _ in stamps)  # None where a frame has none
        ordered = None not in pts and all(a < b for a, b in pairwise(pts))
        seekable = ordered and any(name in container.format.name for name in SEEKABLE)
        times = repair_times([None if p is None else float(p * tick) for p in pts], 1 / float(rate))
        usual = float(np.median(np.diff(times))) if len(times) > 1 else 1 / float(rate)
        last = float(stamps[-1][1] * tick) if stamps[-1][1] else usual
        info = _info(path, shown, times, last, rate, sound_track(container) is not None)
    origin = Fraction(float(times[0])) if pts[0] is None else pts[0] * tick
    return Scan(info, origin, pts if seekable else None, square, matrix, colors)


def _scan_animation(path: Path) -> Scan:
    size, lasts = animation_stamps(path)
    times = np.cumsum([0.0, *lasts[:-1]])
    rate = Fraction(len(lasts) / sum(lasts)).limit_denominator(1001)
    info = _info(path, size, times, lasts[-1], rate, has_audio=False)
    return Scan(info, Fraction(0), None, size, None, animation=True)


def _info(
    path: Path,
    size: tuple[int, int],
    times: np.ndarray,
    last: float,
    rate: Fraction,
    has_audio: bool,
) -> VideoInfo:
    """times: seconds, rising; last: seconds that the last frame lasts; rate: the header's."""
    steps = np.diff(times)
    duration = float(times[-1] - times[0]) + last
    check_duration(path, len(times), duration)
    return VideoInfo(
        path=path,
        width=size[0],
        height=size[1],
        num_frames=len(times),
        fps=_average_rate(rate, len(times), duration),
        times=tuple(float(time - times[0]) for time in times),
        duration=duration,
        variable_rate=len(steps) > 0 and bool(np.ptp(steps) > float(np.median(steps)) / 4),
        has_audio=has_audio,
    )


def _packet_stamps(path: Path) -> list[tuple[int, int]] | None:
    """(pts, duration) of every packet in order of presentation, in milliseconds of work.

    None if packets cannot stand for frames: the header counts otherwise, a time is missing or
    doubled, or a packet is marked as damaged or not to be shown.
    """
    with opened(path) as (container, stream), suppress(av.FFmpegError):
        check_count(path, stream.frames)
        stamps = []
        for packet in container.demux(stream):
            if packet.size == 0:
                continue
            if packet.pts is None or packet.is_corrupt or packet.is_discard:
                return None
            stamps.append((packet.pts, packet.duration))
            check_count(path, len(stamps))
        if len({pts for pts, _ in stamps}) == len(stamps) == stream.frames:
            return sorted(stamps)
    return None


def _frame_stamps(path: Path) -> list[tuple[int | None, int]]:
    """(pts, duration) of every frame that decodes. A file cut short gives what is left of it."""
    with opened(path) as (container, stream):
        stamps = []
        for frame in decode_frames(container, stream):
            # PyAV 14 does not tell how long a frame lasts; 0 stands for the usual step.
            stamps.append((frame.pts, getattr(frame, "duration", 0)))
            check_count(path, len(stamps))
        # AVI counts dropped frames in its header, so only MP4's count is worth a warning.
        missing = len(stamps) < stream.frames and "mp4" in container.format.name
    if missing and (lost := _lost(path, len(stamps))):
        logger.warning(
            "%s is damaged or cut off: %d of its %d frames can be read and will be used",
            path,
            len(stamps),
            len(stamps) + lost,
        )
    return stamps


def _lost(path: Path, num_frames: int) -> int:
    """How many frames are promised and neither there nor left out by an edit list."""
    with opened(path) as (container, stream), suppress(av.FFmpegError):
        hidden = sum(packet.is_discard for packet in container.demux(stream) if packet.size)
        return max(0, stream.frames - hidden - num_frames)
    return 1


def repair_times(times: Sequence[float | None], step: float) -> np.ndarray:
    """Strictly rising times, with every good one kept: (n,) float64, seconds.

    A time that is missing, or not later than the last good one, is put evenly between its good
    neighbours; outside of them one `step` is counted for each frame.
    """
    good: list[int] = []
    kept: list[float] = []  # their times
    for number, time in enumerate(times):
        if time is not None and (not kept or time > kept[-1]):
            good.append(number)
            kept.append(time)
    index = np.arange(len(times))
    if not good:
        return index * step
    repaired = np.interp(index, good, kept)
    return repaired + step * (np.minimum(index - good[0], 0) + np.maximum(index - good[-1], 0))


def _average_rate(rate: Fraction, num_frames: int, duration: float) -> Fraction:
    """The header's exact rate (30000/1001) if it explains the count, else the measured one."""
    if abs(float(rate) * duration - num_frames) < 0.5:
        return rate
    return (num_frames / Fraction(duration)).limit_denominator(1001)


def _square_size(frame: av.VideoFrame, aspect: Fraction | None) -> tuple[int, int]:
    """(width, height) with square pixels: the short side of a pixel is drawn out, none is lost."""
    if not aspect or not 1 / 8 < aspect < 8:  # beyond that it is a broken header
        return frame.width, frame.height
    return round(frame.width * max(aspect, 1)), round(frame.height / min(aspect, 1))


def _display_matrix(frame: av.VideoFrame) -> tuple[int, ...] | None:
    """Asked of one frame only: PyAV keeps a frame in memory, in a cycle, once this is read."""
    try:
        data = frame.side_data.get("DISPLAYMATRIX")
    except ValueError:  # PyAV refuses all where FFmpeg gives a kind that it has no name for: EXIF
        return None
    return None if data is None else struct.unpack("=9i", bytes(data))


def _turned_size(size: tuple[int, int], matrix: tuple[int, ...] | None) -> tuple[int, int]:
    """(width, height) after the display matrix."""
    return size[::-1] if matrix is not None and abs(matrix[1]) > abs(matrix[0]) else size
