"""What a drawn world knows of its pictures, and the loss that teaches it to the small model.

A renderer knows which piece of a body every pixel shows and where that piece is in every frame, so
it knows whether the reference shows it too. None of it is asked for at inference.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from ...mini.brush import DRAWN, STILL, LayerShares
from ...mini.vae import PATCH
from ...skeleton import PARTS

UNSEEN = -1  # in place of a part


class ClipTruth(NamedTuple):
    parts: np.ndarray  # (t, h, w) uint8, see puppets.world.Clip
    places: np.ndarray  # (t, k, 2, 3), in pixels
    joints: np.ndarray  # (t, 2, 18, 2) in pixels; one body alone is both


def truth_of(clip: ClipTruth, frames: list[int]) -> Tensor:
    """What each pixel of a clip shows, (1, t, h, w) int64: a part (skeleton.py), or UNSEEN where
    the reference hides it. frames[0] is the reference, the others are to be drawn."""
    _, shown = sources_of(clip, frames)
    return torch.from_numpy(np.where(shown, part_of(clip.parts[frames[1:]]), UNSEEN))[None]


def part_of(parts: np.ndarray) -> np.ndarray:
    """Parts of any body, those of the second numbered on -> the same of one body, int64."""
    return np.where(parts > 0, (parts.astype(np.int64) - 1) % PARTS + 1, 0)


def sources_of(clip: ClipTruth, frames: list[int]) -> tuple[np.ndarray, np.ndarray]:
    """Where in frames[0] every pixel of the others is to be found, (x, y) in pixels (t, h, w, 2),
    and whether it shows there (t, h, w)."""
    picture, drawn = frames[0], frames[1:]
    height, width = clip.parts.shape[1:]
    y, x = np.mgrid[:height, :width].astype(np.float32) + 0.5
    here = np.stack([x, y, np.ones_like(x)], axis=-1)
    parts = clip.parts[drawn]
    square = np.zeros((len(drawn), clip.places.shape[1], 3, 3))
    square[..., :2, :], square[..., 2, 2] = clip.places[drawn], 1
    # A part that this body lacks has no place and no pixel.
    lacking = np.abs(np.linalg.det(square)) < 1e-9
    square[lacking] = np.eye(3)
    back = (clip.places[picture] @ np.linalg.inv(square)).astype(np.float32)  # t, k, 2, 3
    of_pixel = back[np.arange(len(drawn))[:, None, None], parts]  # t, h, w, 2, 3
    sources = np.einsum("thwij,hwj->thwi", of_pixel, here)
    column, row = np.floor(sources).astype(int).transpose(3, 0, 1, 2)
    inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
    shown = clip.parts[picture][row.clip(0, height - 1), column.clip(0, width - 1)]
    return sources, inside & (shown == parts)


def piece_loss(layers: LayerShares, truth: Tensor) -> Tensor:
    """Negative logarithm of the share of what each pixel shows: cross-entropy.

    layers: of what was painted; truth (b, t, h, w), see truth_of. The scene may be that of the
    reference or be drawn; what the reference does not show is drawn.
    """
    frames = truth.flatten(0, 1).unflatten(2, (-1, PATCH)).unflatten(1, (-1, PATCH))
    cells = frames.transpose(2, 3).flatten(3, 4).flatten(1, 2)[layers.frames]  # n, h' * w', 64
    parts = cells[torch.arange(len(cells))[:, None], layers.cells]
    scene = layers.log_shares[..., [DRAWN, STILL]]
    of_bodies = layers.log_shares[..., STILL + 1 :].unflatten(-1, (-1, PARTS))
    index = (parts - 1).clamp(min=0)[..., None, None].expand(*of_bodies.shape[:-1], 1)
    shown = of_bodies.gather(-1, index)[..., 0].logsumexp(dim=-1)  # by any body
    said = torch.where(parts == 0, scene.logsumexp(dim=-1), shown)
    return -torch.where(parts == UNSEEN, scene[..., DRAWN], said).mean()
