"""Containers opened: which of their streams is the clip and which its sound, and frames decoded."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from fractions import Fraction
from functools import lru_cache
from pathlib import Path

import av

from ..errors import InputError
from .limits import FRAME_PIXELS, check_pixels, limit

logger = logging.getLogger(__name__)

VIDEO_NEEDED = "a video such as MP4, MOV, MKV, WebM, AVI, GIF or an animated WebP"
FFMPEGS_MOST_PIXELS = 2**31 - 1
STILLS = ("png", "mjpeg", "bmp", "webp", "tiff", "gif")  # codecs of covers
ALPHA_DECODERS = {"vp8": "libvpx", "vp9": "libvpx-vp9"}  # FFmpeg's own pass the alpha over


@lru_cache(maxsize=256)
def say_once(path: Path, text: str) -> None:
    """A clip is opened anew for every use; what is done to it is said the first time."""
    logger.warning("%s: %s", path, text)


def _decoder_limits() -> dict[str, str]:
    """A larger number than FFmpeg's own most would let it decode nothing at all."""
    return {"max_pixels": str(min(limit(FRAME_PIXELS), FFMPEGS_MOST_PIXELS))}


def open_media(path: Path) -> av.container.InputContainer:
    """av.open for a file that check_readable has passed."""
    try:
        # Absolute, for FFmpeg takes what stands before a colon for a protocol. The options reach
        # the decoders that look into the file while it is opened.
        options = _decoder_limits()
        return av.open(os.path.abspath(path), metadata_errors="ignore", options=options)  # noqa: PTH100 - keeps ".."
    except (av.FFmpegError, OSError, ValueError) as error:
        fix = "If it plays elsewhere, convert it to MP4; if not, download or export it again."
        got = (
            f"a file that is no media file, or a damaged one ({getattr(error, 'strerror', error)})"
        )
        raise InputError(str(path), got=got, need=VIDEO_NEEDED, fix=fix) from error


@contextmanager
def opened(path: Path) -> Iterator[tuple[av.container.InputContainer, av.VideoStream]]:
    """The container and its main video stream; a cover is not one.

    Raises InputError for a file without one, and for pictures beyond the limit.
    """
    with open_media(path) as container:
        stream = _film(container)
        if stream is None:
            got = "a file with sound only" if container.streams.audio else "a file without video"
            raise InputError(
                str(path), got=got, need=VIDEO_NEEDED, fix="Choose a file with pictures."
            )
        if stream.codec_context is None:
            got, fix = "a video of an unknown codec", "Convert it to MP4 (H.264) first."
            raise InputError(str(path), got=got, need=VIDEO_NEEDED, fix=fix)
        check_pixels(path, stream.codec_context.width, stream.codec_context.height)
        with suppress(av.FFmpegError, ValueError, RuntimeError):  # opened by the demuxer already
            stream.codec_context.options = _decoder_limits()
        stream.thread_type = "AUTO"
        yield container, stream


def _film(container: av.container.InputContainer) -> av.VideoStream | None:
    """The stream that moves: covers and thumbnails may stand first, or be marked as the default."""
    kinds = av.stream.Disposition
    aside = kinds.attached_pic | getattr(kinds, "timed_thumbnails", 0)
    films = [stream for stream in container.streams.video if not stream.disposition & aside]
    if len(films) > 1:
        known = [film for film in films if film.codec_context is not None] or films
        moving = [film for film in known if film.codec_context.name not in STILLS] or known
        films = [film for film in moving if film.frames != 1] or moving
    best = container.streams.best("video")
    if best is not None:
        films.sort(key=lambda film: film.index != best.index)  # stable
    return films[0] if films else None


def decode_frames(
    container: av.container.InputContainer, stream: av.VideoStream
) -> Iterator[av.VideoFrame]:
    """Frames in order of presentation, deinterlaced; damaged packets are stepped over, a damaged
    end ends.
    """
    return _deinterlaced(stream, _decoded(container, stream))


def _decoded(container, stream) -> Iterator[av.VideoFrame]:
    decoder = _alpha_decoder(stream)
    packets = container.demux(stream)
    while True:
        try:
            packet = next(packets, None)
        except av.FFmpegError:
            packet = None
        if packet is None:
            return
        try:
            frames = packet.decode() if decoder is None else _through(decoder, packet)
        except av.FFmpegError:
            continue
        yield from frames


def _alpha_decoder(stream: av.VideoStream) -> av.VideoCodecContext | None:
    """One that knows the alpha of WebM and MKV, where the stream's own does not."""
    name = ALPHA_DECODERS.get(stream.codec_context.name)
    told = {key.lower(): value for key, value in stream.metadata.items()}  # in capitals in MKV
    if told.get("alpha_mode") != "1" or name not in av.codecs_available:
        return None
    decoder = av.CodecContext.create(name, "r")
    decoder.extradata = stream.codec_context.extradata
    return decoder


def _through(decoder: av.VideoCodecContext, packet: av.Packet) -> list[av.VideoFrame]:
    return decoder.decode(packet if packet.size else None)


def _deinterlaced(stream, frames: Iterator[av.VideoFrame]) -> Iterator[av.VideoFrame]:
    """From the first interlaced frame on, one whole frame each; progressive ones as they are."""
    for frame in frames:
        if not getattr(frame, "interlaced_frame", False):
            yield frame
            continue
        say_once(Path(stream.container.name), "it is interlaced and is deinterlaced")
        graph = av.filter.Graph()
        source = graph.add_buffer(
            width=frame.width,
            height=frame.height,
            format=frame.format,
            time_base=frame.time_base or stream.time_base,
        )
        bwdif = graph.add("bwdif", "mode=send_frame:deint=interlaced")
        source.link_to(bwdif)
        bwdif.link_to(graph.add("buffersink"))
        graph.configure()
        yield from _filtered(graph, frame, frames, stream.time_base)
        return


def _filtered(graph, first, frames: Iterator[av.VideoFrame], tick: Fraction):
    shape = (first.width, first.height, first.format.name)
    graph.push(first)
    for frame in frames:
        if (frame.width, frame.height, frame.format.name) != shape:
            continue  # a change in the middle of the stream: no player shows such clips whole
        graph.push(frame)
        yield from _pulled(graph, tick)
    graph.push(None)
    yield from _pulled(graph, tick)


def _pulled(graph: av.filter.Graph, tick: Fraction) -> Iterator[av.VideoFrame]:
    while True:
        try:
            frame = graph.pull()
        except (av.BlockingIOError, av.EOFError):
            return
        if frame.pts is not None:  # bwdif counts in half ticks
            frame.pts = round(frame.pts * frame.time_base / tick)
            frame.duration = round(frame.duration * frame.time_base / tick)
        frame.time_base = tick
        yield frame
