"""Eight-bit pixels and frames: 0..255 as files hold them, [0, 1] as the method passes them."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor


def to_frames(pixels: np.ndarray) -> Tensor:
    """uint8 of any shape, such as (t, h, w, 3) -> float32 in [0, 1] of the same shape."""
    return torch.from_numpy(pixels).float() / 255
