"""Colours that a picture's file tells without a profile: PNG's chunks, and a camera's EXIF."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image

from .color import ADOBE, LINEAR, PRIMARIES, SRGB_CURVE, UNSPECIFIED, conversion_name, to_srgb
from .pillow import DAMAGED
from .png import SIGNATURE

STRIP_ROWS = 64  # that are converted together: a large photo is not held as numbers of 32 bits
SAME_POINT = 0.002  # of two chromaticities that are the same


def told_to_srgb(image: Image.Image, told: tuple[int, int]) -> Image.Image:
    """A picture of mode RGB or RGBA whose file tells (primaries, transfer) -> the same in sRGB."""
    if conversion_name(*told) is None:
        return image
    pixels = np.array(image)
    for top in range(0, len(pixels), STRIP_ROWS):
        rows = pixels[top : top + STRIP_ROWS, :, :3]
        rows[:] = to_srgb(rows.astype(np.uint16) << 8, *told)
    return Image.fromarray(pixels)


def told_colors(path: Path, image: Image.Image) -> tuple[int, int]:
    """(primaries, transfer) in the numbers of color.py, as the file tells them."""
    if image.format == "PNG":
        if found := _cicp(path):
            return found
        if "srgb" not in image.info:
            gamma = image.info.get("gamma")  # of the file: the inverse of a screen's
            transfer = LINEAR if gamma and abs(gamma - 1) < SAME_POINT else SRGB_CURVE
            return _primaries(image.info.get("chromaticity")), transfer
    try:
        interop = image.getexif().get_ifd(ExifTags.IFD.Interop).get(1)
    except DAMAGED:
        interop = None
    return (ADOBE, ADOBE) if interop == "R03" else (UNSPECIFIED, UNSPECIFIED)


def _cicp(path: Path) -> tuple[int, int] | None:
    """What the chunk cICP says, which stands before the pixels."""
    with path.open("rb") as file:
        file.seek(len(SIGNATURE))
        while len(head := file.read(8)) == 8:
            length, kind = struct.unpack(">I4s", head)
            if kind == b"IDAT":
                break
            if kind == b"cICP" and len(told := file.read(4)) == 4:
                return told[0], told[1]
            file.seek(length + 4, 1)
    return None


def _primaries(told: tuple[float, ...] | None) -> int:
    """Those of cHRM, x and y of white, red, green, blue, if they have a number."""
    if told is None or len(told) != 8:
        return UNSPECIFIED
    points = np.roll(np.reshape(told, (4, 2)), -1, axis=0)
    near = [n for n, one in PRIMARIES.items() if np.abs(points - one).max() < SAME_POINT]
    return near[0] if near else UNSPECIFIED
