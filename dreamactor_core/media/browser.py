"""Clips and pictures as every browser shows them, saying nothing of who made them."""

from __future__ import annotations

import os
from contextlib import suppress
from os import PathLike
from pathlib import Path
from tempfile import TemporaryDirectory

import av
from av.bitstream import BitStreamFilterContext
from PIL import Image

from .container import opened
from .image import read_image, to_uint8
from .read import probe_file, read_file
from .replace import replacing
from .scan import scan
from .write import write_video

PLAIN_FORMATS = ("yuv420p", "yuvj420p")  # of pixels, that browsers decode
BROWSER_SIDE = 1024  # pixels, of a picture
BROWSER_CRF = 12  # where a clip is encoded anew: what was made shall be judged, not this


def video_for_browser(
    path: str | PathLike, target: str | PathLike, overwrite: bool = False
) -> None:
    """Write a clip to target, an MP4 with H.264, without its sound and without metadata, in which
    programs leave their names and prompts.

    What is such H.264 already is copied packet by packet, but for what its encoder says of itself;
    all else is encoded anew at its own times. Raises InputError as probe and replacing do.
    """
    path = Path(path)
    with replacing(target, overwrite) as part, TemporaryDirectory() as folder:
        info = probe_file(path)
        if _is_plain(path):
            with suppress(av.FFmpegError, ValueError):
                _copy(path, part)
                if probe_file(part).times == info.times:
                    return
        encoded = Path(folder) / "encoded.mp4"
        frames = (frame.image for frame in read_file(path))
        write_video(encoded, frames, info.times, duration=info.duration, crf=BROWSER_CRF)
        _copy(encoded, part)


def picture_for_browser(
    path: str | PathLike, target: str | PathLike, overwrite: bool = False
) -> None:
    """Write a picture to target, a WebP without metadata, of at most BROWSER_SIDE pixels a side.

    Raises InputError as read_image and replacing do.
    """
    picture = Image.fromarray(to_uint8(read_image(path)))
    picture.thumbnail((BROWSER_SIDE, BROWSER_SIDE))
    with replacing(target, overwrite) as part:
        picture.save(part, format="WebP", quality=92)


def _is_plain(path: Path) -> bool:
    """Whether a browser shows its packets as they are."""
    with opened(path) as (container, stream):
        codec = stream.codec_context
        plain = codec.name == "h264" and codec.pix_fmt in PLAIN_FORMATS
        size = codec.width, codec.height
        plain = plain and "mp4" in container.format.name
    if not plain:
        return False
    seen = scan(path)
    return seen.matrix is None and seen.size == size


def _copy(path: Path, part: Path) -> None:
    options = {"fflags": "+bitexact", "movflags": "+faststart"}
    # Absolute, for FFmpeg takes what stands before a colon for a protocol.
    target = os.path.abspath(part)  # noqa: PTH100
    with (
        opened(path) as (container, stream),
        av.open(target, "w", format="mp4", options=options) as out,
    ):
        copied = out.add_stream_from_template(stream)
        # Messages of the encoder (SEI), x264's settings among them.
        filtering = BitStreamFilterContext("filter_units=remove_types=6", stream, copied)
        for packet in container.demux(stream):
            if packet.dts is None:  # the end
                continue
            for kept in filtering.filter(packet):
                kept.stream = copied
                out.mux(kept)
        for kept in filtering.filter(None):
            kept.stream = copied
            out.mux(kept)
