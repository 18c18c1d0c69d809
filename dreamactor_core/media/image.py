"""Still pictures: any mode, any EXIF orientation -> (1, h, w, 3) in [0, 1]."""

from __future__ import annotations

import struct
from os import PathLike

import numpy as np
import torch
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor

from ..errors import InputError
from .replace import check_readable

NEED = "a picture such as PNG, JPEG, WebP or GIF"


def read_image(path: str | PathLike, background: float = 1.0) -> Tensor:
    """Read a picture of any kind as (1, h, w, 3) float32 in [0, 1].

    EXIF orientation is applied, palette, CMYK, grey and 16-bit pixels become RGB, the first frame
    of an animation is taken. The content decides what the file is, not its name.

    background: grey level in [0, 1] that shows through transparent pixels. White is the default
        because transparent pictures are mostly drawings and sprites with dark outlines, which
        would vanish on black.

    Raises InputError for a file that is missing, empty, cut off, not a picture, or larger than
    about 179 million pixels (2 GB as floats).
    """
    path = check_readable(path, NEED)
    try:
        with Image.open(path) as image:
            pixels = _to_rgb(ImageOps.exif_transpose(image), background)
    except UnidentifiedImageError:
        fix = "For a clip use the driving video input; save other formats as PNG or JPEG first."
        raise InputError(
            str(path), got="a file that is no known picture", need=NEED, fix=fix
        ) from None
    except Image.DecompressionBombError as error:
        fix = "Scale the picture down first; the model needs no more than about 1000 pixels a side."
        need = "at most 178 million pixels"
        raise InputError(
            str(path), got=f"too large a picture ({error})", need=need, fix=fix
        ) from None
    except (OSError, SyntaxError, EOFError, struct.error) as error:
        fix = "Download or export it again."
        got = f"a damaged or cut-off picture ({error})"
        raise InputError(str(path), got=got, need="a whole picture", fix=fix) from error
    return torch.from_numpy(pixels)[None]


def _to_rgb(image: Image.Image, background: float) -> np.ndarray:
    """(h, w, 3) float32 in [0, 1]. The caller keeps the file open until this returns."""
    if image.mode.startswith("I"):  # 16 bits a pixel; Pillow's own conversion would clip it
        grey = np.asarray(image).astype(np.float32) / 65535
        return np.repeat(grey.clip(0, 1)[..., None], 3, axis=2)
    if image.mode == "F":
        raise OSError("32-bit floating point, of unknown range; save it with 8 or 16 bits")
    if not image.has_transparency_data:
        pixels = np.asarray(image.convert("RGB")).astype(np.float32)
        pixels /= 255
        return pixels
    rgba = np.asarray(image.convert("RGBA")).astype(np.float32) / 255
    return background + (rgba[..., :3] - background) * rgba[..., 3:]


def to_uint8(frame: np.ndarray | Tensor) -> np.ndarray:
    """(h, w, 3) or (1, h, w, 3), uint8 or float in [0, 1] -> (h, w, 3) uint8."""
    pixels = frame.detach().cpu().numpy() if isinstance(frame, Tensor) else frame
    pixels = pixels[0] if pixels.ndim == 4 and len(pixels) == 1 else pixels
    if pixels.dtype != np.uint8:
        pixels = (pixels.astype(np.float32).clip(0, 1) * 255 + 0.5).astype(np.uint8)
    return np.ascontiguousarray(pixels)
