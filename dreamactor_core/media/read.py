"""Clips: what a file really holds, and its frames one at a time (PyAV).

A container's word is taken only where it can be trusted: the number of frames is the number of
packets if that agrees with the header, and is counted by decoding if not. Times come from the
presentation time of each frame, so a variable frame rate needs no special case.
"""

from __future__ import annotations

import logging
import struct
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import lru_cache
from itertools import pairwise
from os import PathLike
from pathlib import Path
from typing import NamedTuple

import av
import numpy as np

from ..errors import InputError
from .replace import check_readable

logger = logging.getLogger(__name__)

NEED = "a video such as MP4, MOV, MKV, WebM, AVI or GIF"
SLACK = 0.0015  # seconds: Matroska rounds each time to 1 ms, and we subtract two of them
SEEKABLE = ("mp4", "matroska", "avi")  # others (GIF builds on the frame before) start at frame 0
TAGGED_BT709, UNSPECIFIED = 1, 2  # FFmpeg's numbers for colour matrices


class Frame(NamedTuple):
    time: float  # seconds from the start of the clip or of the part that was asked for
    image: np.ndarray  # (h, w, 3) uint8


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
    has_audio: bool

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


def probe(path: str | PathLike) -> VideoInfo:
    """What the clip holds. Raises InputError for a file that has no frame to show."""
    return scan(path).info


def read_frames(
    path: str | PathLike,
    start: float = 0.0,
    duration: float | None = None,
    background: float = 1.0,
) -> Iterator[Frame]:
    """Stream the frames of [start, start + duration) in order of presentation.

    Upright, with square pixels, alpha laid over the grey level `background` (white by default, as
    in read_image). One frame is alive at a time beside the decoder's own few. Files that can seek
    are decoded from the key frame before `start`. Times equal `probe(path).cut(...).times`.

    Raises InputError at once, before the first frame is asked for.
    """
    whole = scan(path)
    first, _, _ = whole.info.window(start, duration)
    return _stream(whole, first, whole.info.cut(start, duration).times, background)


class Scan(NamedTuple):
    info: VideoInfo
    origin: Fraction  # time of the first frame on the container's own clock, for the sound
    pts: tuple[int, ...] | None  # of each frame; None where frames are told apart by order only
    size: tuple[int, int]  # (width, height) to decode to: square pixels, before the rotation
    matrix: tuple[int, ...] | None  # for turn()


def scan(path: str | PathLike) -> Scan:
    """Everything that can be said about a clip without keeping its pictures."""
    path = check_readable(path, NEED)
    stat = path.stat()
    return _scan_file(path, stat.st_size, stat.st_mtime_ns)


@lru_cache(maxsize=16)  # probe and read_frames of one clip share it; a changed file has a new key
def _scan_file(path: Path, size: int, mtime_ns: int) -> Scan:
    with _opened(path) as (container, stream):
        first = next(_decode(container, stream), None)
        if first is None:
            fix = "Play it in a video player; if that fails too, export the clip again."
            got = "a video stream from which no frame can be decoded"
            raise InputError(str(path), got=got, need=NEED, fix=fix)
        square = _square_size(first, stream.sample_aspect_ratio)
        matrix = _display_matrix(first)
        height, width = turn(np.empty((square[1], square[0], 0)), matrix).shape[:2]

    stamps = _packet_stamps(path) or _frame_stamps(path)
    with _opened(path) as (container, stream):
        tick = stream.time_base
        rate = stream.average_rate or stream.guessed_rate or Fraction(25)
        pts = tuple(pts for pts, _ in stamps)
        ordered = None not in pts and all(a < b for a, b in pairwise(pts))
        seekable = ordered and any(name in container.format.name for name in SEEKABLE)
        times = repair_times([None if p is None else float(p * tick) for p in pts], 1 / float(rate))
        steps = np.diff(times)
        usual = float(np.median(steps)) if len(steps) else 1 / float(rate)
        last = float(stamps[-1][1] * tick) if stamps[-1][1] else usual
        duration = float(times[-1] - times[0]) + last
        info = VideoInfo(
            path=path,
            width=width,
            height=height,
            num_frames=len(stamps),
            fps=_average_rate(rate, len(stamps), duration),
            times=tuple(float(time - times[0]) for time in times),
            duration=duration,
            variable_rate=len(steps) > 0 and bool(np.ptp(steps) > usual / 4),
            has_audio=bool(container.streams.audio),
        )
    origin = Fraction(float(times[0])) if pts[0] is None else pts[0] * tick
    return Scan(info, origin, pts if seekable else None, square, matrix)


def open_media(path: Path) -> av.container.InputContainer:
    """av.open for a file that check_readable has passed."""
    try:
        return av.open(str(path), metadata_errors="ignore")
    except (av.FFmpegError, OSError) as error:
        fix = "If it plays elsewhere, convert it to MP4; if not, download or export it again."
        got = f"a file that is no media file, or a damaged one ({error.strerror})"
        raise InputError(str(path), got=got, need=NEED, fix=fix) from error


@contextmanager
def _opened(path: Path) -> Iterator[tuple[av.container.InputContainer, av.VideoStream]]:
    """The container and its main video stream; a cover picture in a sound file is not one."""
    with open_media(path) as container:
        stream = container.streams.best("video")
        if stream is None or stream.disposition & av.stream.Disposition.attached_pic:
            got = "a file with sound only" if container.streams.audio else "a file without video"
            raise InputError(str(path), got=got, need=NEED, fix="Choose a file with pictures.")
        stream.thread_type = "AUTO"
        yield container, stream


def _packet_stamps(path: Path) -> list[tuple[int, int]] | None:
    """(pts, duration) of every packet in order of presentation, in milliseconds of work.

    None if packets cannot stand for frames: the header counts otherwise, a time is missing or
    doubled, or a packet is marked as damaged or not to be shown.
    """
    with _opened(path) as (container, stream), suppress(av.FFmpegError):
        stamps = []
        for packet in container.demux(stream):
            if packet.size == 0:
                continue
            if packet.pts is None or packet.is_corrupt or packet.is_discard:
                return None
            stamps.append((packet.pts, packet.duration))
        if len({pts for pts, _ in stamps}) == len(stamps) == stream.frames:
            return sorted(stamps)
    return None


def _frame_stamps(path: Path) -> list[tuple[int | None, int]]:
    """(pts, duration) of every frame that decodes. A file cut short gives what is left of it."""
    with _opened(path) as (container, stream):
        # PyAV 14 does not tell how long a frame lasts; 0 stands for the usual step.
        frames = _decode(container, stream)
        stamps = [(frame.pts, getattr(frame, "duration", 0)) for frame in frames]
        # AVI counts dropped frames in its header, so only MP4's count is worth a warning.
        if "mp4" in container.format.name and len(stamps) < stream.frames:
            logger.warning(
                "%s is damaged or cut off: %d of its %d frames can be read and will be used",
                path,
                len(stamps),
                stream.frames,
            )
    return stamps


def _decode(container, stream) -> Iterator[av.VideoFrame]:
    """Frames in order of presentation; damaged packets are stepped over, a damaged end ends."""
    packets = container.demux(stream)
    while True:
        try:
            packet = next(packets, None)
        except av.FFmpegError:
            packet = None
        if packet is None:
            return
        try:
            frames = packet.decode()
        except av.FFmpegError:
            continue
        yield from frames


def _stream(clip: Scan, first: int, times: tuple[float, ...], background: float) -> Iterator[Frame]:
    count = 0
    for index, frame in _numbered(clip, first):
        if index >= first + len(times):
            break
        if index >= first:
            count += 1
            image = turn(_picture(frame, clip.size, background), clip.matrix)
            yield Frame(times[index - first], image)
    if count < len(times):
        missing = len(times) - count
        logger.warning("%s: %d frames could not be decoded", clip.info.path, missing)


def _numbered(clip: Scan, first: int) -> Iterator[tuple[int, av.VideoFrame]]:
    """Decoded frames with their number in the clip, from `first` or from somewhere before it."""
    path = clip.info.path
    if clip.pts is None:
        with _opened(path) as (container, stream):
            yield from enumerate(_decode(container, stream))
        return
    number = {pts: index for index, pts in enumerate(clip.pts)}
    for seeks in (True, False) if first else (False,):
        with _opened(path) as (container, stream):
            if seeks:
                with suppress(av.FFmpegError):
                    container.seek(clip.pts[first], stream=stream)
            frames = (f for f in _decode(container, stream) if f.pts in number)
            head = next(frames, None)
            if seeks and (head is None or number[head.pts] > first):
                continue  # landed too late: start over from frame 0
            if head is not None:
                yield number[head.pts], head
                yield from ((number[frame.pts], frame) for frame in frames)
            return


def repair_times(times: Sequence[float | None], step: float) -> np.ndarray:
    """Strictly rising times, with every good one kept: (n,) float64, seconds.

    A time that is missing, or not later than the last good one, is put evenly between its good
    neighbours; outside of them one `step` is counted for each frame.
    """
    good: list[int] = []
    for index, time in enumerate(times):
        if time is not None and (not good or time > times[good[-1]]):
            good.append(index)
    if not good:
        return np.arange(len(times)) * step
    index = np.arange(len(times))
    repaired = np.interp(index, good, [times[i] for i in good])
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
    data = frame.side_data.get("DISPLAYMATRIX")
    return None if data is None else struct.unpack("=9i", bytes(data))


def turn(picture: np.ndarray, matrix: tuple[int, ...] | None) -> np.ndarray:
    """Apply a container's display matrix (a b u c d v x y w) to (h, w, c).

    Pixel (x, y) moves to (ax + cy, bx + dy). Only quarter turns and mirrors occur in practice, so
    the signs say it all; translation follows from the size.
    """
    if matrix is None:
        return picture
    a, b, _, c, d = matrix[:5]
    if abs(b) > abs(a):
        picture, a, d = picture.swapaxes(0, 1), c, b
    return np.ascontiguousarray(picture[:: -1 if d < 0 else 1, :: -1 if a < 0 else 1])


def _picture(frame: av.VideoFrame, size: tuple[int, int], background: float) -> np.ndarray:
    """A decoded frame with square pixels on its ground, not yet turned: (h, w, 3) uint8."""
    # Untagged HD is BT.709 by custom, as players have it; smaller frames BT.601 (the default).
    hd = frame.width >= 1280 or frame.height > 576
    bt709 = frame.colorspace == TAGGED_BT709 or (frame.colorspace == UNSPECIFIED and hd)
    alpha = frame.format.has_palette or any(part.is_alpha for part in frame.format.components)
    picture = frame.reformat(
        width=size[0],
        height=size[1],
        format="rgba" if alpha else "rgb24",
        src_colorspace="ITU709" if bt709 else None,
        # Means nothing for RGB, but PyAV before 17 looks at the source only if the two differ.
        dst_colorspace="ITU601" if bt709 else None,
        interpolation="BICUBIC",
    ).to_ndarray()
    if alpha:
        opacity = picture[..., 3:].astype(np.float32) / 255
        ground = 255 * background
        picture = ground + (picture[..., :3] - ground) * opacity
        picture = (picture + 0.5).astype(np.uint8)
    return picture
