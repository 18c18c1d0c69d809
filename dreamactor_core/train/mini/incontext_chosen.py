"""Which tokens the foundation of mini-incontext learns from: those where something happens.

Of a clip's cells most are scene that stays as it is. A body's cells, those next to them, and what a
drawn pose lights up come first, then others by chance, up to a number for each panel: two fifths of
the tokens, and a step takes less than half the time.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import max_pool2d

from ...mini.codec import BLOCK_SIDE, BlockCodec
from ...mini.incontext_network import said_tokens
from .incontext_tasks import CompositeBatch, frames_at

CHOSEN_CELLS = (96, 112, 72)  # of 256: of the reference, of what is drawn, of the driver
SAYS_NOTHING = 0.05  # by which latents of a black driver differ from silence, at most


@torch.no_grad()
def choose_tokens(
    batch: CompositeBatch,
    parts: Tensor,
    codec: BlockCodec,
    generator: torch.Generator,
) -> CompositeBatch:
    """An excerpt with its chosen tokens, and with no weight on cells that were left
    out. parts: label maps (b, 17, h, w)."""
    b, frames = len(parts), len(batch.times)
    rows, columns = batch.target.shape[3], batch.target.shape[4] // 2
    device = parts.device
    silence = codec.silence().to(batch.target)[:, None, None, None]
    lit = (batch.context.latents[..., columns:] - silence).abs().amax(dim=1) > SAYS_NOTHING
    bodies = torch.stack([_body(parts, time) for time in batch.times], dim=1)  # b, t, rows, columns
    near = max_pool2d((bodies | bodies[:, :1]).float(), 3, stride=1, padding=1) > 0

    counts = [min(count, rows * columns) for count in CHOSEN_CELLS]
    kept = torch.zeros(b, frames, rows, 2 * columns, dtype=torch.bool, device=device)
    kept[:, 0, :, :columns] = _first(bodies[:, :1], counts[0], generator)[:, 0]
    kept[:, 1:, :, :columns] = _first(near[:, 1:], counts[1], generator)
    kept[:, 1:, :, columns:] = _first(lit[:, 1:], counts[2], generator)
    drawn = batch.weight * kept[:, None]
    said = kept.flatten(1)[:, said_tokens((frames, rows, 2 * columns), device)]
    return batch._replace(weight=drawn, chosen=said.nonzero()[:, 1].view(b, -1))


def _body(parts: Tensor, time: int) -> Tensor:
    """(b, rows, columns) bool: cells that a body touches at some latent frame."""
    shown = (frames_at(parts, time) > 0).any(dim=1, keepdim=True)
    return max_pool2d(shown.float(), BLOCK_SIDE)[:, 0] > 0


def _first(important: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """So many cells of each frame (b, t, rows, columns), the important first: bool, the same
    shape."""
    chance = torch.rand(important.shape, generator=generator, device=important.device)
    order = (important + chance).flatten(2).topk(count, dim=2).indices
    kept = torch.zeros_like(important).flatten(2).scatter(2, order, True)
    return kept.view(important.shape)
