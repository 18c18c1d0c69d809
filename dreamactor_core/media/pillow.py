"""Pictures opened by Pillow, with our limit in the place of its own, and what its readers raise."""

from __future__ import annotations

import re
import struct
import threading
import warnings
from pathlib import Path

from PIL import Image, ImageCms

from .limits import check_pixels, limit, too_large

DAMAGED = (
    OSError, SyntaxError, EOFError, ValueError, TypeError, LookupError, ArithmeticError,
    AttributeError, NotImplementedError, RuntimeError, MemoryError, struct.error,
    ImageCms.PyCMSError,
)  # fmt: skip
ONE_AT_A_TIME = threading.Lock()  # of those that change Pillow's own limit


def open_picture(path: Path, name: str, file: object = None) -> Image.Image:
    """Image.open of a path, or of a file in its place; nothing is decoded yet.

    name: of the limit that holds, as in limits.py. Raises InputError beyond it.
    """
    with ONE_AT_A_TIME, warnings.catch_warnings():
        # Pillow warns from its limit on and refuses from twice that on: before memory is taken.
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        usual, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, max(1, limit(name) // 2)
        try:
            image = Image.open(path if file is None else file)
        except Image.DecompressionBombError as error:
            found = re.search(r"\d+", str(error))  # Pillow tells the size in words alone
            raise too_large(path, "a picture", int(found[0]) if found else 0, name) from None
        finally:
            Image.MAX_IMAGE_PIXELS = usual
    width, height = image.size
    check_pixels(path, width, height, name)
    return image
