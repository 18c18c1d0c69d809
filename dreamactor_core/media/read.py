"""The frames of a clip, one at a time: upright, with square pixels, in sRGB."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import suppress
from itertools import islice
from os import PathLike

import av
import numpy as np

from ..versions import older
from .animation import animation_frames
from .clip import Frame, VideoInfo
from .color import conversion_name, matrix_of, to_srgb
from .container import decode_frames, opened
from .scan import Scan, scan

logger = logging.getLogger(__name__)

# Before 17, PyAV leaves too little room for lines of four bytes, and scaling writes behind it where
# the width is no multiple of 16: the process ends.
RGBA = "gbrap" if older(av.__version__, "17.0") else "rgba"


def probe_file(path: str | PathLike) -> VideoInfo:
    """What the clip holds. Raises InputError for a file that has no frame to show."""
    return scan(path).info


def read_file(
    path: str | PathLike,
    start: float = 0.0,
    duration: float | None = None,
    background: float = 1.0,
) -> Iterator[Frame]:
    """Stream the frames of [start, start + duration) in order of presentation.

    Upright, with square pixels, alpha laid over the grey level `background` (white by default, as
    in read_image). One frame is alive at a time beside the decoder's own few. Files that can seek
    are decoded from the key frame before `start`. Times equal `probe_file(path).cut(...).times`.

    Raises InputError at once, before the first frame is asked for.
    """
    whole = scan(path)
    first, _, _ = whole.info.window(start, duration)
    return _stream(whole, first, whole.info.cut(start, duration).times, background)


def _stream(clip: Scan, first: int, times: tuple[float, ...], background: float) -> Iterator[Frame]:
    count = 0
    for picture in _pictures(clip, first, first + len(times)):
        mask = None
        if picture.shape[2] == 4:
            mask = np.ascontiguousarray(picture[..., 3])
            picture = lay_over(picture, background)
        yield Frame(times[count], picture, mask)
        count += 1
    if count < len(times):
        missing = len(times) - count
        logger.warning("%s: %d frames could not be decoded", clip.info.path, missing)


def _pictures(clip: Scan, first: int, last: int) -> Iterator[np.ndarray]:
    """Frames first to last - 1 of the clip, upright: (h, w, 3), or (h, w, 4) with alpha; uint8."""
    if clip.animation:
        yield from islice(animation_frames(clip.info.path), first, last)
        return
    for index, frame in _numbered(clip, first):
        if index >= last:
            break
        if index >= first:
            yield turn(_decoded(frame, clip), clip.matrix)


def _numbered(clip: Scan, first: int) -> Iterator[tuple[int, av.VideoFrame]]:
    """Decoded frames with their number in the clip, from `first` or from somewhere before it."""
    path = clip.info.path
    if clip.pts is None:
        with opened(path) as (container, stream):
            yield from enumerate(decode_frames(container, stream))
        return
    number = {pts: index for index, pts in enumerate(clip.pts)}
    for seeks in (True, False) if first else (False,):
        with opened(path) as (container, stream):
            if seeks:  # one early: deinterlacing looks at the frame before
                with suppress(av.FFmpegError):
                    container.seek(clip.pts[first - 1], stream=stream)
            frames = (f for f in decode_frames(container, stream) if f.pts in number)
            head = next(frames, None)
            if seeks and (head is None or number[head.pts] > first):
                continue  # landed too late: start over from frame 0
            if head is not None:
                yield number[head.pts], head
                yield from ((number[frame.pts], frame) for frame in frames)
            return


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


def lay_over(picture: np.ndarray, background: float) -> np.ndarray:
    """(h, w, 4) uint8 over the grey level background, 0 to 1 -> (h, w, 3) uint8."""
    opacity = picture[..., 3:].astype(np.float32) / 255
    ground = 255 * background
    return (ground + (picture[..., :3] - ground) * opacity + 0.5).astype(np.uint8)


def _decoded(frame: av.VideoFrame, clip: Scan) -> np.ndarray:
    """With square pixels, not yet turned: (h, w, 3), or (h, w, 4) with alpha; uint8."""
    alpha = frame.format.has_palette or any(part.is_alpha for part in frame.format.components)
    converted = conversion_name(*clip.tags) is not None
    matrix = matrix_of(frame)
    picture = frame.reformat(
        width=clip.size[0],
        height=clip.size[1],
        format=["rgb24", RGBA, "rgb48le", "rgba64le"][2 * converted + alpha],
        src_colorspace=matrix,
        # Means nothing for RGB, but PyAV before 17 looks at the source only if the two differ.
        dst_colorspace=None if matrix is None else "ITU601",
        interpolation="BICUBIC",
    ).to_ndarray()
    if not converted:
        return picture
    colors = to_srgb(picture[..., :3], *clip.tags)
    return np.dstack([colors, (picture[..., 3] >> 8).astype(np.uint8)]) if alpha else colors
