"""Variation of a driver's picture, so that its identity and its camera tell nothing (the "Data
Augmentation" of the paper's figure 2, which does not say what it is; SCAIL-2 crops and stretches).

One draw a clip: what changes from frame to frame would be motion.
"""

from __future__ import annotations

import cv2
import numpy as np
import torch
from torch import Tensor

CROP = 0.15  # of a side that may be cut away; what is left is stretched to the panel
GAIN, SATURATION = (0.8, 1.2), (0.6, 1.4)
MAX_BLUR = 1.5  # largest standard deviation in pixels at 512 pixels a side
QUALITY = (30, 90)  # of JPEG


def vary_driver(frames: Tensor, rng: np.random.Generator) -> Tensor:
    """(t, h, w, 3) uint8 -> the same: cropped and stretched, other colours, blurred, compressed."""
    height, width = frames.shape[1:3]
    top, bottom, left, right = rng.uniform(0, CROP, 4) * [height, height, width, width]
    rows = slice(round(top), height - round(bottom))
    columns = slice(round(left), width - round(right))
    gain = rng.uniform(*GAIN, size=3)
    saturation = rng.uniform(*SATURATION)
    blur = rng.uniform(0, MAX_BLUR) * min(height, width) / 512
    quality = int(rng.integers(*QUALITY))

    def vary(frame: np.ndarray) -> np.ndarray:
        cut = frame[rows, columns]
        picture = cv2.resize(cut, (width, height), interpolation=cv2.INTER_LINEAR).astype(float)
        grey = picture.mean(axis=-1, keepdims=True)
        picture = (grey + saturation * (picture - grey)) * gain
        picture = cv2.GaussianBlur(picture, (0, 0), blur) if blur > 0.1 else picture
        _, data = cv2.imencode(
            ".jpg", picture.clip(0, 255).astype(np.uint8), [cv2.IMWRITE_JPEG_QUALITY, quality]
        )
        decoded = cv2.imdecode(data, cv2.IMREAD_COLOR)  # there and back, so RGB stays RGB
        assert decoded is not None
        return decoded

    return torch.from_numpy(np.stack([vary(frame) for frame in frames.numpy()]))
