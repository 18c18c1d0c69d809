"""A help while the foundation of mini-incontext learns: which part of a body a token shows.

Two readings of the network's own tokens, thrown away afterwards: after its second block of the
reference's, after its third of what is to be drawn. What they are asked is what has to be found out
anyhow, where each limb is and where it goes; asked for it, the network learns it from fewer clips
than from errors of pixels alone (as in REPA, arXiv 2410.06940, with parts in place of features).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import log_softmax, one_hot

from ...mini.vae import GROUP, PATCH
from ...skeleton import PARTS

QUARTERS = 2  # of a cell, along each side
CLASSES = 1 + PARTS
READ_AFTER = (1, 2)  # blocks: of the reference's tokens, of those to be drawn
PARTS_WEIGHT = 0.03  # of this loss beside the pixels'


class PartReader(nn.Module):
    """Tokens (..., d) -> the parts in each quarter of their cells."""

    def __init__(self, width: int):
        super().__init__()
        self.of_reference, self.of_drawn = (
            nn.Sequential(nn.LayerNorm(width), nn.Linear(width, QUARTERS**2 * CLASSES))
            for _ in range(2)
        )

    def loss(self, heard: list[Tensor], parts: Tensor, times: tuple[int, ...]) -> Tensor:
        """Cross-entropy, a scalar. heard: tokens (b, l, d) after each block, of an excerpt of these
        times (see InContextTransformer3DModel); parts: label maps (b, 17, h, w), of the left panel.
        """
        truth = part_shares(parts, times)
        rows, columns = truth.shape[2:4]
        last = len(heard) - 1
        first, later = (heard[min(block, last)].float() for block in READ_AFTER)
        reference = first[:, : rows * columns].unflatten(1, (rows, columns))
        drawn = later[:, rows * columns :].unflatten(1, (-1, rows, 2 * columns))[..., :columns, :]
        said = torch.cat(
            [self.of_reference(reference)[:, None], self.of_drawn(drawn)], dim=1
        ).unflatten(-1, (QUARTERS**2, CLASSES))
        return -(truth * log_softmax(said, dim=-1)).sum(dim=-1).mean()


def part_shares(parts: Tensor, times: tuple[int, ...]) -> Tensor:
    """Label maps (b, 4k + 1, h, w), 0..PARTS -> how much of each quarter of a cell each part covers
    in the frames of some times: (b, len(times), h / 8, w / 8, 4, CLASSES), sums 1."""
    shares = []
    for time in times:
        frames = parts[:, max(0, GROUP * (time - 1) + 1) : GROUP * time + 1].long()
        shown = one_hot(frames, CLASSES).float().mean(dim=1)
        side = PATCH // QUARTERS
        shown = shown.unflatten(2, (-1, QUARTERS, side)).unflatten(1, (-1, QUARTERS, side))
        # b, rows, quarter, side, columns, quarter, side, classes
        shares.append(shown.mean(dim=(3, 6)).transpose(2, 3).flatten(3, 4))
    return torch.stack(shares, dim=1)
