"""Clips and pictures out: H.264 in MP4 with exact times and the source's sound, PNG."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, nullcontext, suppress
from fractions import Fraction
from itertools import chain, count, pairwise
from os import PathLike
from typing import NamedTuple

import av
import numpy as np
from av.codec.context import Flags
from PIL import Image
from torch import Tensor

from ..errors import InputError
from .image import to_uint8
from .read import open_media, scan
from .replace import check_readable, replacing

logger = logging.getLogger(__name__)

TICKS = 120_000  # a second; a frame of every usual rate, 24000/1001 included, is a whole number
MP4_SOUND = {"aac", "mp3", "ac3", "eac3", "alac", "flac", "opus"}  # kept as they are
AAC_RATES = {8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000, 88200, 96000}
BT709, LIMITED = 1, 1  # FFmpeg's numbers for colour tags


class _Picture(NamedTuple):
    image: np.ndarray  # (h, w, 3) uint8, sides even
    begin: int  # ticks
    end: int


def write_image(path: str | PathLike, frame: np.ndarray | Tensor, overwrite: bool = False) -> None:
    """Save a frame, (h, w, 3) or (1, h, w, 3), uint8 or float in [0, 1], as PNG."""
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
    """Encode frames as H.264 MP4 with exactly their count and their times.

    frames: (h, w, 3) each, uint8 or float in [0, 1], all of one size; taken one by one. An odd
        side is drawn out by one pixel, as H.264 stores colour for pixels in pairs.
    times: seconds of each frame, rising from 0 (VideoInfo.times), or one number, the frame rate.
    duration: seconds of the whole clip when times are given; by default the last frame lasts as
        long as the one before it.
    audio_from: file whose sound is put under the frames, from audio_start (seconds after that
        file's first frame) to the end of the last frame. A file without sound gives none.
    crf: quality, 0 to 51, less is better; at 18 the loss is hard to see.

    The same input gives the same bytes. Raises InputError when times and frames do not match, and
    in the cases of `replacing`.
    """
    options = {"movflags": "+faststart", "fflags": "+bitexact"}
    source = nullcontext()
    if audio_from is not None:
        source = open_media(check_readable(audio_from, "a file with sound"))
    with (
        source as heard,
        replacing(path, overwrite) as part,
        av.open(str(part), "w", format="mp4", options=options) as out,
    ):
        pictures = _timed(frames, _edges(times, duration))
        first = next(pictures)
        video = _add_h264(out, first, crf)
        sound: Iterator[av.Packet] = iter(())
        if heard is not None and heard.streams.audio:
            sound = _add_sound(out, heard, audio_from, audio_start)
        packet = next(sound, None)
        lasts: dict[int, int] = {}  # the encoder delays packets and forgets how long they last
        for picture in chain([first], pictures):
            lasts[picture.begin] = picture.end - picture.begin
            _mux_pictures(out, video.encode(_to_yuv(picture)), lasts)
            # The sound keeps pace, so the muxer need not hold the whole of either.
            while packet is not None and packet.pts * packet.time_base < picture.end / TICKS:
                out.mux(packet)
                packet = next(sound, None)
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


def _add_h264(out: av.container.OutputContainer, first: _Picture, crf: int) -> av.VideoStream:
    rate = Fraction(TICKS, first.end - first.begin)
    video = out.add_stream("libx264", rate=rate, options={"crf": str(crf), "preset": "fast"})
    video.height, video.width = first.image.shape[:2]
    video.pix_fmt = "yuv420p"
    video.time_base = Fraction(1, TICKS)
    context = video.codec_context
    context.time_base = Fraction(1, TICKS)
    context.max_b_frames = 0  # stored in the order shown: uneven times then need no edit list
    context.thread_count = 1  # with 4, about one run in 50 gave other bytes for the same frames
    context.flags |= Flags.bitexact
    context.colorspace = context.color_primaries = context.color_trc = BT709
    context.color_range = LIMITED
    return video


def _to_yuv(picture: _Picture) -> av.VideoFrame:
    frame = av.VideoFrame.from_ndarray(picture.image, format="rgb24").reformat(
        format="yuv420p", dst_colorspace="ITU709", src_color_range="JPEG", dst_color_range="MPEG"
    )
    frame.pts, frame.time_base = picture.begin, Fraction(1, TICKS)
    return frame


def _add_sound(
    out: av.container.OutputContainer,
    source: av.container.InputContainer,
    path: str | PathLike,
    start: float,
) -> Iterator[av.Packet]:
    """Make a sound track; return its packets on the clock of the frames, ready to mux."""
    heard = source.streams.audio[0]
    begin = (heard.start_time or 0) * heard.time_base
    with suppress(InputError):  # no pictures: the sound counts from its own beginning
        begin = scan(path).origin
    begin += Fraction(start)
    if start > 1:
        with suppress(av.FFmpegError):  # what lies before `begin` is dropped in any case
            source.seek(int((begin - 1) * av.time_base))
    if heard.codec_context.codec.canonical_name in MP4_SOUND:
        packets = _copied(source, heard, out.add_stream_from_template(heard), begin)
    else:
        rate = heard.rate if heard.rate in AAC_RATES else 48000
        layout = {1: "mono", 6: "5.1"}.get(heard.channels, "stereo")
        track = out.add_stream("aac", rate=rate, layout=layout)
        track.codec_context.flags |= Flags.bitexact
        packets = _encoded(source, heard, track, begin)
    return _until_damaged(packets, path)


def _copied(source, heard, track, begin: Fraction) -> Iterator[av.Packet]:
    for packet in source.demux(heard):
        if packet.pts is None or packet.size == 0:
            continue
        shift = round(begin / packet.time_base)
        if packet.pts + max(packet.duration or 0, 1) <= shift:
            continue
        packet.pts -= shift
        packet.dts = packet.pts  # sound is stored in the order heard
        packet.stream = track
        yield packet


def _encoded(source, heard, track, begin: Fraction) -> Iterator[av.Packet]:
    following = None  # samples so far; WebM's times, rounded to 1 ms, would tear the sound
    for frame in source.decode(heard):
        if frame.pts is None:
            continue
        at = round((frame.pts * frame.time_base - begin) * frame.sample_rate)
        if at + frame.samples <= 0:
            continue
        if following is not None and abs(at - following) < frame.sample_rate / 20:
            at = following
        following = at + frame.samples
        frame.time_base, frame.pts = Fraction(1, frame.sample_rate), at
        yield from track.encode(frame)
    yield from track.encode(None)


def _until_damaged(packets: Iterator[av.Packet], path: str | PathLike) -> Iterator[av.Packet]:
    """Damaged sound ends early and is reported; it is no reason to lose the pictures."""
    with closing(packets):
        try:
            yield from packets
        except av.FFmpegError as error:
            logger.warning("%s: the sound is damaged and ends early (%s)", path, error)
