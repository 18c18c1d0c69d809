"""Clips and pictures out: exact times, the source's sound, and alpha where frames have it."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from fractions import Fraction
from itertools import chain, count, pairwise
from os import PathLike
from pathlib import Path
from typing import NamedTuple

import av
import numpy as np
from av.codec.context import Flags
from PIL import Image
from torch import Tensor

from ..errors import InputError
from .container import open_media
from .image import to_uint8
from .replace import check_readable, replacing
from .soundtrack import MOV, MP4, WEBM, Sounds, add_sound

logger = logging.getLogger(__name__)

TICKS = 120_000  # a second; a frame of every usual rate, 24000/1001 included, is a whole number
BT709_TAG, LIMITED = 1, 1  # FFmpeg's numbers for colour tags


class _Format(NamedTuple):
    codec: str
    options: dict[str, str]  # of the encoder
    pix_fmts: tuple[str, str]  # without and with alpha
    sounds: Sounds


FORMATS = {
    ".mp4": _Format("libx264", {"crf": "{crf}", "preset": "fast"}, ("yuv420p", ""), MP4),
    ".webm": _Format(
        "libvpx-vp9",  # whose alternate frames and alpha exclude each other
        {"crf": "{crf}", "b": "0", "cpu-used": "4", "auto-alt-ref": "0", "lag-in-frames": "0"},
        ("yuv420p", "yuva420p"),
        WEBM,
    ),
    ".mov": _Format(
        "prores_ks", {"profile": "4444", "vendor": "apl0"}, ("yuv444p10le", "yuva444p10le"), MOV
    ),
}


class _Picture(NamedTuple):
    image: np.ndarray  # (h, w, 3) or (h, w, 4) uint8, sides even
    begin: int  # ticks
    end: int


def write_image(path: str | PathLike, frame: np.ndarray | Tensor, overwrite: bool = False) -> None:
    """Save a frame, (h, w, 3 or 4) or one more axis of 1, uint8 or float in [0, 1], as PNG."""
    with replacing(path, overwrite) as part:
        Image.fromarray(to_uint8(frame)).save(part, format="PNG")


def write_loop(
    path: str | PathLike, frames: Sequence[np.ndarray], fps: float, overwrite: bool = False
) -> None:
    """Save frames (h, w, 3), uint8 or float in [0, 1], as a WebP that plays for ever."""
    first, *others = (Image.fromarray(to_uint8(frame)) for frame in frames)
    with replacing(path, overwrite) as part:
        first.save(
            part, format="WebP", save_all=True, append_images=others,
            duration=round(1000 / fps), loop=0, quality=80,
        )  # fmt: skip


def write_frames(
    folder: str | PathLike, frames: Iterable[np.ndarray | Tensor], overwrite: bool = False
) -> int:
    """Save frames, (h, w, 3) or with alpha (h, w, 4), as 00000.png, 00001.png, ... in a new folder.

    The folder appears when all are written; an older one is replaced if overwrite is True. Returns
    how many there are. Raises InputError as `replacing` does.
    """
    written = 0
    with frames_stream(folder, overwrite) as write:
        for frame in frames:
            write(frame)
            written += 1
    return written


@contextmanager
def frames_stream(
    folder: str | PathLike, overwrite: bool = False
) -> Iterator[Callable[[np.ndarray | Tensor], None]]:
    """As write_frames, of a caller that makes frames in a loop of its own: yields a function that
    takes one."""
    with replacing(folder, overwrite, folder=True) as part:
        numbers = count()

        def write(frame: np.ndarray | Tensor) -> None:
            Image.fromarray(to_uint8(frame)).save(part / f"{next(numbers):05d}.png")

        yield write


def write_video(
    path: str | PathLike,
    frames: Iterable[np.ndarray | Tensor],
    times: Sequence[float] | float | Fraction,
    *,
    duration: float | None = None,
    audio_from: str | PathLike | None = None,
    audio_start: float = 0.0,
    overwrite: bool = False,
    crf: int = 18,
) -> None:
    """Encode frames with exactly their count and their times, in the format the name asks for.

    path: .webm is VP9, .mov ProRes 4444, both with alpha where the frames have it; any other
        ending is H.264 in MP4.
    frames: (h, w, 3), or (h, w, 4) with straight alpha, each; uint8 or float in [0, 1], all of one
        size; taken one by one. An odd side is drawn out by one pixel, as colour is stored for
        pixels in pairs.
    times: seconds of each frame, rising from 0 (VideoInfo.times), or one number, the frame rate.
    duration: seconds of the whole clip when times are given; by default the last frame lasts as
        long as the one before it.
    audio_from: file whose sound is put under the frames, from audio_start (seconds after that
        file's first frame) to the end of the last frame. A file without sound gives none.
    crf: quality of MP4 and WebM, 0 to 51, less is better; at 18 the loss is hard to see.

    The same input gives the same bytes; seldom, H.264 of tiny pictures does not (of x264 165 one in
    3,000 encodings of 64x48 was off by a few levels, of the same planes). Raises InputError when
    times and frames do not match, for alpha in an MP4, and in the cases of `replacing`.
    """
    kind = FORMATS.get(Path(path).suffix.lower(), FORMATS[".mp4"])
    if audio_from is not None:
        audio_from = check_readable(audio_from, "a file with sound")
        open_media(audio_from).close()
    options = {"fflags": "+bitexact"}
    if kind is not FORMATS[".webm"]:
        options["movflags"] = "+faststart"  # players can start before the end
    with (
        replacing(path, overwrite) as part,
        # Absolute, for FFmpeg takes what stands before a colon for a protocol.
        av.open(os.path.abspath(part), "w", format=kind.sounds.format, options=options) as out,  # noqa: PTH100
    ):
        pictures = _timed(frames, _edges(times, duration))
        first = next(pictures)
        video = _add_video(out, kind, first, crf)
        sound: Iterator[av.Packet] = iter(())
        if audio_from is not None:
            sound = add_sound(out, kind.sounds, audio_from, audio_start)
        _mux(out, video, chain([first], pictures), sound)


def _mux(
    out: av.container.OutputContainer,
    video: av.VideoStream,
    pictures: Iterator[_Picture],
    sound: Iterator[av.Packet],
) -> None:
    packet = next(sound, None)
    lasts: dict[int, int] = {}  # the encoder delays packets and forgets how long they last
    for picture in pictures:
        lasts[picture.begin] = picture.end - picture.begin
        _mux_pictures(out, video.encode(_to_yuv(picture, video.pix_fmt)), lasts)
        # The sound keeps pace, so the muxer need not hold the whole of either.
        while packet is not None and packet.pts * packet.time_base < picture.end / TICKS:
            try:
                out.mux(packet)
                packet = next(sound, None)
            except av.FFmpegError as error:
                logger.warning("the sound ends early: %s", error)
                packet = None
    _mux_pictures(out, video.encode(None), lasts)


def _mux_pictures(
    out: av.container.OutputContainer, packets: list[av.Packet], lasts: dict[int, int]
) -> None:
    for packet in packets:
        packet.duration = lasts.pop(packet.pts)
        out.mux(packet)


def _edges(times: Sequence[float] | float | Fraction, duration: float | None) -> Iterable[int]:
    """Where frames begin and end, in ticks: n + 1 of them, without end for a frame rate."""
    if isinstance(times, (int, float, Fraction)):
        if times <= 0:
            raise InputError("frame rate", got=times, need="more than 0", fix="Use 24.")
        return (round(k * TICKS / Fraction(times)) for k in count())
    step = times[-1] - times[-2] if len(times) > 1 else 0.04
    end = times[-1] + step if duration is None else duration
    edges = [round(float(time) * TICKS) for time in (*times, end)]
    wrong = [k for k, (begin, then) in enumerate(pairwise(edges)) if then <= begin]
    if wrong:
        raise InputError(
            "times of the frames",
            got=f"frame {wrong[0]} at {times[wrong[0]]:.6f} s, not before the next or the end",
            need="times that rise, all before the end of the clip",
            fix="Use VideoInfo.times and VideoInfo.duration of one probe() or cut().",
        )
    return edges


def _timed(frames: Iterable[np.ndarray | Tensor], edges: Iterable[int]) -> Iterator[_Picture]:
    """Frames with their times; refuses a mismatch in number or size when it comes to it."""
    wanted = len(edges) - 1 if isinstance(edges, list) else None
    frames, size, done = iter(frames), None, 0
    for (begin, end), frame in zip(pairwise(edges), frames, strict=False):
        image = to_uint8(frame)
        size = size or image.shape
        if image.shape != size:
            raise InputError(
                f"frame {done} of the video",
                got=image.shape,
                need=f"{size}, the shape of the first",
                fix="Fit all frames to one size first (media.fit).",
            )
        done += 1
        # One more column or row of the same colour where H.264 needs an even side.
        even = ((0, size[0] % 2), (0, size[1] % 2), (0, 0))
        yield _Picture(np.pad(image, even, mode="edge"), begin, end)
    too_many = wanted is not None and next(frames, None) is not None
    if done == 0 or too_many or (wanted is not None and done < wanted):
        raise InputError(
            "number of frames",
            got=f"more than {done}" if too_many else done,
            need="at least 1" if wanted is None else f"{wanted}, one for each time",
            fix="Give as many frames as times.",
        )


def _add_video(
    out: av.container.OutputContainer, kind: _Format, first: _Picture, crf: int
) -> av.VideoStream:
    has_alpha = first.image.shape[2] == 4
    if has_alpha and not kind.pix_fmts[1]:
        raise InputError(
            "frames of the video",
            got="frames with alpha",
            need="a format that keeps it, as MP4 does not",
            fix="Write .webm or .mov, or PNG frames, or take the alpha off.",
        )
    rate = Fraction(TICKS, first.end - first.begin)
    options = {name: value.format(crf=crf) for name, value in kind.options.items()}
    video = out.add_stream(kind.codec, rate=rate, options=options)
    video.height, video.width = first.image.shape[:2]
    video.pix_fmt = kind.pix_fmts[has_alpha]
    video.time_base = Fraction(1, TICKS)
    context = video.codec_context
    context.time_base = Fraction(1, TICKS)
    context.max_b_frames = 0  # stored in the order shown: uneven times then need no edit list
    context.thread_count = 1  # with 4, about one run in 50 gave other bytes for the same frames
    context.flags |= Flags.bitexact
    context.colorspace = context.color_primaries = context.color_trc = BT709_TAG
    context.color_range = LIMITED
    return video


def _to_yuv(picture: _Picture, pix_fmt: str) -> av.VideoFrame:
    source = "rgba" if picture.image.shape[2] == 4 else "rgb24"
    frame = av.VideoFrame.from_ndarray(picture.image, format=source).reformat(
        format=pix_fmt, dst_colorspace="ITU709", src_color_range="JPEG", dst_color_range="MPEG"
    )
    frame.pts, frame.time_base = picture.begin, Fraction(1, TICKS)
    return frame
