"""Pictures opened by Pillow, with our limit in the place of its own, and what its readers raise."""

from __future__ import annotations

import math
import re
import struct
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from PIL import Image, ImageCms

from .limits import check_pixels, limit, too_large

DAMAGED = (
    OSError, SyntaxError, EOFError, ValueError, TypeError, LookupError, ArithmeticError,
    AttributeError, NotImplementedError, RuntimeError, MemoryError, struct.error,
    ImageCms.PyCMSError,
)  # fmt: skip
ONE_AT_A_TIME = threading.Lock()  # of those that change Pillow's own limit


@contextmanager
def _our_limit(pixels: int) -> Iterator[None]:
    """Pillow warns from its limit on and refuses from twice that on, before memory is taken."""
    with ONE_AT_A_TIME, warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        usual, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, max(1, pixels // 2)
        try:
            yield
        finally:
            Image.MAX_IMAGE_PIXELS = usual


def open_picture(path: Path, name: str, file: object = None) -> Image.Image:
    """Image.open of a path, or of a file in its place; nothing is decoded yet.

    name: of the limit that holds, as in limits.py. Raises InputError beyond it.
    """
    with _our_limit(limit(name)):
        try:
            image = Image.open(path if file is None else file)
        except Image.DecompressionBombError as error:
            found = re.search(r"\d+", str(error))  # Pillow tells the size in words alone
            raise too_large(path, "a picture", int(found[0]) if found else 0, name) from None
    width, height = image.size
    check_pixels(path, width, height, name)
    return image


def load_pixels(image: Image.Image) -> None:
    """image.load() of one that open_picture has passed: some readers look at the limit again."""
    if image.width * image.height <= (Image.MAX_IMAGE_PIXELS or math.inf):
        image.load()
        return
    with _our_limit(2 * image.width * image.height):
        image.load()
