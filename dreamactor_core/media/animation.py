"""Animated WebP and AVIF, which Pillow reads and FFmpeg does not, or not with their alpha."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import ImageSequence

from ..errors import InputError
from .limits import FRAME_PIXELS, check_count
from .pillow import DAMAGED, open_picture
from .profiles import profile_to_srgb

SHORTEST, USUAL = 0.011, 0.1  # seconds: what claims to last less is shown for USUAL, as browsers do


def is_animation(path: Path) -> bool:
    """By the first bytes: any WebP (a still one has one frame), or a sequence of AVIF."""
    with path.open("rb") as file:
        head = file.read(32)
    return (head[:4] == b"RIFF" and head[8:12] == b"WEBP") or head[4:12] == b"ftypavis"


def animation_stamps(path: Path) -> tuple[tuple[int, int], list[float]]:
    """(width, height), and the seconds that each frame lasts.

    Raises InputError for a file that cannot be read, or is beyond the limits.
    """
    try:
        with open_picture(path, FRAME_PIXELS) as image:
            check_count(path, getattr(image, "n_frames", 1))
            lasts = []
            for frame in ImageSequence.Iterator(image):
                frame.load()  # only then does it know how long it lasts
                seconds = frame.info.get("duration", 0) / 1000
                lasts.append(seconds if seconds >= SHORTEST else USUAL)
            return image.size, lasts
    except InputError:
        raise
    except DAMAGED as error:
        fix = "Open it in a browser; if that fails too, export it again."
        got = f"an animation that cannot be read ({error})"
        need = "a whole animated WebP or AVIF, or a video such as MP4"
        raise InputError(str(path), got=got, need=need, fix=fix) from error


def animation_frames(path: Path) -> Iterator[np.ndarray]:
    """(h, w, 3), or (h, w, 4) with alpha; uint8, one at a time."""
    with open_picture(path, FRAME_PIXELS) as image:
        for frame in ImageSequence.Iterator(image):
            mode = "RGBA" if frame.has_transparency_data else "RGB"
            yield np.asarray(profile_to_srgb(frame.convert(mode), frame.info.get("icc_profile")))
