"""Still pictures: any mode, profile and EXIF orientation -> (1, h, w, 3) of sRGB in [0, 1]."""

from __future__ import annotations

import math
from os import PathLike
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import torch
from PIL import Image, UnidentifiedImageError
from PIL.TiffImagePlugin import ImageFileDirectory_v2
from torch import Tensor

from ..errors import InputError
from .limits import PICTURE_PIXELS
from .pillow import DAMAGED, load_pixels, open_picture
from .png import is_png, light_png
from .profiles import profile_to_srgb
from .replace import check_readable
from .told_colors import told_colors, told_to_srgb

PICTURE_NEEDED = "a picture such as PNG, JPEG, WebP or GIF"
LARGE = 16_000_000  # pixels: above, a picture is reduced by a whole number while it is decoded
EXIF_TURNS = {  # EXIF orientation: what makes it upright
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
SIDEWAYS = [EXIF_TURNS[number] for number in (5, 6, 7, 8)]
OTHER_KINDS = {  # that Pillow does not read: what stands in them, and where
    "an HEIC photo, as phones take them": (4, b"ftyphei"),
    "an HEIF photo": (4, b"ftypmif1"),
    "a JPEG XL": (4, b"JXL \r\n"),
    "a bare JPEG XL": (0, b"\xff\n"),
    "an OpenEXR": (0, b"v/1\x01"),
    "a Radiance HDR": (0, b"#?RADIANCE"),
    "a drawing in SVG": (0, b"<svg"),
    "a PDF": (0, b"%PDF"),
}
TIFF_VALUES = {1: "whole numbers", 2: "signed whole numbers", 3: "floating point"}


class Picture(NamedTuple):
    """A still picture and what of it is opaque."""

    pixels: Tensor  # (1, h, w, 3) float32 in [0, 1]; transparent pixels show the background
    mask: Tensor | None  # (1, h, w) float32 in [0, 1], 1 = opaque; None if all of it is
    size: tuple[int, int]  # (height, width) of the file, upright, before a large one was reduced


def read_image(path: str | PathLike, background: float = 1.0) -> Tensor:
    """The pixels of read_picture: (1, h, w, 3) float32 in [0, 1]."""
    return read_picture(path, background).pixels


def read_mask(path: str | PathLike) -> Tensor | None:
    """What of a picture is opaque: (1, h, w) float32 in [0, 1]; None if all of it is."""
    return read_picture(path).mask


def read_picture(path: str | PathLike, background: float = 1.0) -> Picture:
    """Read a picture of any kind, with its alpha as a mask beside it.

    EXIF orientation and colour profile are applied; palette, CMYK, grey and 16-bit pixels become
    RGB, the first frame of an animation is taken. Of more than 16 million pixels every side is
    divided by a whole number, so that at most 12 bytes are held for a pixel of the file. The
    content decides what the file is, not its name.

    background: grey level in [0, 1] that shows through transparent pixels. White is the default
        because transparent pictures are mostly drawings and sprites with dark outlines, which
        would vanish on black.

    Raises InputError for a file that is missing, empty, cut off, not a picture, of numbers whose
    range nobody knows (32 bits a channel), or larger than limits.PICTURE_PIXELS.
    """
    path = check_readable(path, PICTURE_NEEDED)
    try:
        colors, alpha, size = _read(path)
    except InputError:
        raise
    except UnidentifiedImageError:
        raise _unknown(path) from None
    except DAMAGED as error:
        fix = "Download or export it again."
        got = f"a damaged or cut-off picture ({error})"
        raise InputError(str(path), got=got, need="a whole picture", fix=fix) from error
    pixels = (
        torch.from_numpy(colors).float().div_(255 if colors.dtype == np.uint8 else 65_535)[None]
    )
    if alpha is None or alpha.min() == 255:
        return Picture(pixels, None, size)
    mask = torch.from_numpy(alpha).float().div_(255)[None]
    pixels.sub_(background).mul_(mask[..., None]).add_(background)
    return Picture(pixels, mask, size)


class Raw(NamedTuple):
    colors: np.ndarray  # (h, w, 3) uint8, or float32 of 16 bits, upright
    alpha: np.ndarray | None  # (h, w) uint8
    size: tuple[int, int]  # as in Picture


def _read(path: Path) -> Raw:
    """A PNG with too much beside its pixels is read without that."""
    try:
        return _pixels(path, None, None)
    except ValueError as error:
        if isinstance(error, InputError) or not is_png(path):
            raise
        file, profile = light_png(path)
        return _pixels(path, file, profile)


def _pixels(path: Path, file: object, profile: bytes | None) -> Raw:
    with open_picture(path, PICTURE_PIXELS, file) as image:
        profile = profile or image.info.get("icc_profile")
        size = image.size
        image = _loaded(path, image)
        turn = EXIF_TURNS.get(_orientation(image))
        if image.format == "PPM" and image.mode == "I":  # 16 bits, which Pillow holds in 32
            image = image.convert("I;16")
        size = size if turn in SIDEWAYS else size[::-1]
        if image.mode in ("I", "F"):
            usual = "32-bit floating point" if image.mode == "F" else "32-bit whole numbers"
            tags = getattr(image, "tag_v2", None)
            raise _wide(path, usual if tags is None else _kind_of_pixels(tags))
        if image.mode.startswith("I;16"):
            return Raw(_deep(image, turn), None, size)
        told = told_colors(path, image)
        image = _smaller(image)
    colored = image.mode in ("RGB", "RGBA")
    image = profile_to_srgb(image, profile)
    if colored and not profile:
        image = told_to_srgb(image, told)
    image = image if turn is None else image.transpose(turn)
    alpha = np.array(image.getchannel("A")) if image.mode == "RGBA" else None
    return Raw(np.array(image.convert("RGB")), alpha, size)  # writable, as torch wants it


def _loaded(path: Path, image: Image.Image) -> Image.Image:
    """The picture with its pixels; where its format can, reduced on the way, but not too far."""
    factor = _factor(image)
    if factor > 1 and image.format == "WEBP":  # Pillow holds four copies
        pixels = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_UNCHANGED)
        if pixels is None:
            raise OSError("no frame of it can be decoded")
        order = cv2.COLOR_BGRA2RGBA if pixels.shape[2] == 4 else cv2.COLOR_BGR2RGB
        loaded = Image.fromarray(cv2.cvtColor(pixels, order, dst=pixels))
        loaded.info = image.info
        return loaded
    if factor > 1 and image.format == "JPEG2000":
        image.reduce = int(math.log2(factor))
    image.draft(None, (image.width // factor, image.height // factor))  # JPEG alone
    load_pixels(image)
    return image


def _factor(image: Image.Image) -> int:
    """The whole number to divide the sides by, so that at most LARGE pixels are left."""
    return max(1, math.ceil(math.sqrt(image.width * image.height / LARGE)))


def _deep(image: Image.Image, turn: Image.Transpose | None) -> np.ndarray:
    """Grey of 16 bits, which Pillow's own conversion would clip -> (h, w, 3) float32, upright."""
    grey, factor = np.asarray(image).astype(np.float32), _factor(image)
    tags = getattr(image, "tag_v2", {})  # of a TIFF, which may have 12 bits, or 0 as its white
    grey *= 65_535 / ((1 << tags.get(258, (16,))[0]) - 1)
    grey = 65_535 - grey if tags.get(262) == 0 else grey
    size = (max(1, image.width // factor), max(1, image.height // factor))
    grey = cv2.resize(grey, size, interpolation=cv2.INTER_AREA) if factor > 1 else grey
    grey = grey if turn is None else np.asarray(Image.fromarray(grey).transpose(turn))
    return np.repeat(grey[..., None], 3, axis=2)


def _smaller(image: Image.Image) -> Image.Image:
    """Of a mode that profile_to_srgb takes, reduced. Nothing larger than the file's own pixels is
    made."""
    factor = _factor(image)
    if image.mode == "1":
        image = image.convert("L")
    if image.has_transparency_data and image.mode not in ("RGBA", "LA"):
        image = image.convert("RGBA")
    elif image.mode in ("P", "YCbCr", "HSV"):
        image = image.convert("RGB")
    # Not image.reduce, which is a number for JPEG 2000.
    return Image.Image.reduce(image, factor) if factor > 1 else image.copy()


def _orientation(image: Image.Image) -> int:
    """Of the EXIF data; damaged ones are no reason to refuse the picture."""
    try:
        return image.getexif().get(0x0112, 1)
    except DAMAGED:
        return 1


def _kind_of_pixels(tags: ImageFileDirectory_v2) -> str:
    """What a TIFF's pixels are made of, in words."""
    bits, values = tags[258], TIFF_VALUES.get(tags.get(339, (1,))[0], "unknown numbers")
    channels = f"{len(bits)} channels of " if len(bits) > 1 else ""
    return f"{channels}{bits[0]}-bit {values}"


def _wide(path: Path, kind: str) -> InputError:
    need, fix = "8 or 16 bits a channel", "Save it so; the range of such numbers is not known."
    return InputError(str(path), got=f"a picture of {kind}", need=need, fix=fix)


def _unknown(path: Path) -> InputError:
    """Why Pillow knows no reader for the file."""
    try:
        with path.open("rb") as file:
            tags = ImageFileDirectory_v2(file.read(8))
            file.seek(tags.next)
            tags.load(file)
        return _wide(path, _kind_of_pixels(tags))
    except DAMAGED:
        fix = "For a clip use the driving video input; save other formats as PNG or JPEG first."
        got = _other_kind(path)
        return InputError(str(path), got=got, need=PICTURE_NEEDED, fix=fix)


def _other_kind(path: Path) -> str:
    with path.open("rb") as file:
        head = file.read(16)
    told = (name for name, (at, mark) in OTHER_KINDS.items() if head[at:].startswith(mark))
    return next(told, "a file that is no known picture")


def to_uint8(frame: np.ndarray | Tensor) -> np.ndarray:
    """(h, w, c) or (1, h, w, c), uint8 or float in [0, 1] -> (h, w, c) uint8."""
    pixels = frame.detach().cpu().numpy() if isinstance(frame, Tensor) else frame
    pixels = pixels[0] if pixels.ndim == 4 and len(pixels) == 1 else pixels
    if pixels.dtype != np.uint8:
        pixels = (pixels.astype(np.float32).clip(0, 1) * 255 + 0.5).astype(np.uint8)
    return np.ascontiguousarray(pixels)
