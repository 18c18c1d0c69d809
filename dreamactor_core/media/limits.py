"""How large a file may be, checked before its pixels are decoded: a few bytes can claim gigabytes.

Each limit is well above what cameras and editors write. A setting of the machine, never of a graph,
raises it: the environment variable that the message names.
"""

from __future__ import annotations

import os
from os import PathLike

from ..errors import InputError

FRAME_PIXELS = "DREAMACTOR_MAX_FRAME_PIXELS"  # of each frame of a clip; 8K is 33 million
PICTURE_PIXELS = "DREAMACTOR_MAX_PICTURE_PIXELS"  # of a still picture
FRAMES = "DREAMACTOR_MAX_FRAMES"  # of a clip
FRAME_SECONDS = "DREAMACTOR_MAX_FRAME_SECONDS"  # a frame, on average, in clips longer than a minute

DEFAULTS_OF_LIMITS = {
    FRAME_PIXELS: 36_000_000,
    PICTURE_PIXELS: 178_000_000,
    FRAMES: 200_000,
    FRAME_SECONDS: 30,
}


def limit(name: str) -> int:
    """The limit of that name: the environment's, if it is a whole number above 0, or the usual."""
    text = os.environ.get(name, "").strip()
    return (
        int(text) if text.isascii() and text.isdigit() and int(text) else DEFAULTS_OF_LIMITS[name]
    )


def check_pixels(path: str | PathLike, width: int, height: int, name: str = FRAME_PIXELS) -> None:
    """Raise InputError for pictures of more pixels than the limit `name` allows."""
    if width * height > limit(name):
        raise too_large(path, f"{width} x {height}", width * height, name)


def too_large(path: str | PathLike, got: str, pixels: int, name: str) -> InputError:
    """The error for more pixels than the limit `name` allows."""
    return InputError(
        str(path),
        got=f"{got}, {pixels / 1e6:g} million pixels",
        need=f"at most {limit(name) / 1e6:g} million pixels",
        fix=f"Make it smaller, or set {name} to {pixels} where this runs.",
    )


def check_count(path: str | PathLike, num_frames: int) -> None:
    """Raise InputError for more frames than a clip may have; call it while counting."""
    most = limit(FRAMES)
    if num_frames > most:
        raise InputError(
            str(path),
            got=f"more than {most} frames",
            need=f"at most {most} frames",
            fix=f"Cut it to the part that is needed, or set {FRAMES} higher where this runs.",
        )


def check_duration(path: str | PathLike, num_frames: int, duration: float) -> None:
    """Raise InputError for a clip that claims to last far longer than its frames can show."""
    most = limit(FRAME_SECONDS)
    if duration > max(60, most * num_frames):
        raise InputError(
            str(path),
            got=f"{num_frames} frames that claim to last {duration:.0f} seconds",
            need=f"at most {most} seconds a frame",
            fix=f"Export it again with its true rate, or set {FRAME_SECONDS} higher where this "
            "runs.",
        )
