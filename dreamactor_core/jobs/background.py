"""What a figure that is cut out is drawn over: its own picture, nothing, a colour, or a scene."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import chain, repeat
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from ..errors import InputError
from ..media import Footage, probe, read_frames, read_image, retime, to_uint8
from ..options import BACKGROUND_WORDS

TRANSPARENT_ENDINGS = (".webm", ".mov")
COLOUR = re.compile(r"#[0-9a-fA-F]{6}")
STILL_ENDINGS = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff")


class Background(NamedTuple):
    """Neither a colour nor a scene: the reference, or nothing."""

    transparent: bool = False
    colour: tuple[int, int, int] | None = None
    scene: Path | Footage | None = None  # a clip, or a still picture

    @property
    def is_reference(self) -> bool:
        return self == Background()

    def frames(self, ground: np.ndarray, fps: float) -> Iterator[np.ndarray]:
        """Canvases (h, w, 4) uint8 without end, one for each frame at fps: colours and coverage.

        ground: (h, w, 3) uint8, the reference without its figure. A scene covers the picture from
        side to side, what does not fit is cut off; a shorter one begins again. Canvases may be one
        and the same: draw on copies. Raises InputError for a scene that cannot be read.
        """
        height, width = ground.shape[:2]
        if self.scene is not None:
            return self._scene(height, width, fps)
        canvas = np.zeros((height, width, 4), np.uint8)
        if not self.transparent:
            canvas[..., :3] = ground if self.colour is None else self.colour
            canvas[..., 3] = 255
        return repeat(canvas)

    def _scene(self, height: int, width: int, fps: float) -> Iterator[np.ndarray]:
        assert self.scene is not None
        if isinstance(self.scene, Path) and self.scene.suffix.lower() in STILL_ENDINGS:
            return repeat(_covering(to_uint8(read_image(self.scene)), height, width))
        scene, duration = self.scene, probe(self.scene).duration
        rounds = (retime(read_frames(scene), fps, duration) for _ in repeat(None))
        return (_covering(to_uint8(image), height, width) for image in chain.from_iterable(rounds))


def background_of(told: str | Path | Footage) -> Background:
    """One of those words, a colour as #RRGGBB, or a file. Raises InputError for a colour of another
    form, and for a name that is neither a word of these nor a file."""
    if not isinstance(told, str):
        return Background(scene=told)
    if told in BACKGROUND_WORDS:
        return Background(transparent=told == "transparent")
    if COLOUR.fullmatch(told):
        red, green, blue = bytes.fromhex(told[1:])
        return Background(colour=(red, green, blue))
    if told and not told.startswith("#") and Path(told).is_file():
        return Background(scene=Path(told))
    raise InputError(
        "background",
        got=repr(told),
        need="reference, transparent, a colour such as #00B140, or a picture or video file",
        fix="Check the spelling; a colour has six digits.",
    )


def _covering(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """A picture (h, w, 3) uint8 that covers a canvas (height, width, 4), its middle in the
    middle."""
    scale = max(height / image.shape[0], width / image.shape[1])
    tall = max(height, round(image.shape[0] * scale))
    wide = max(width, round(image.shape[1] * scale))
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    image = cv2.resize(image, (wide, tall), interpolation=how)
    top, left = (tall - height) // 2, (wide - width) // 2
    image = image[top : top + height, left : left + width]
    return np.dstack([image, np.full((height, width), 255, np.uint8)])
