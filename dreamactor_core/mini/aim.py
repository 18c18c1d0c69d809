"""Where attention looks before anything is learned: some heads at the same cell of the driver.

By rotary embedding a constant query and a constant key see each other best at a constant distance.
It is an initialisation, no other architecture: every weight learns on. A long training would find
it by itself; a short one did not (docs/incontext.md).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .incontext_network import InContextTransformer3DModel

ROTARY_BASE = 256.0  # of the stock network
AXIS_SHARES = (0.3, 0.4, 0.3)  # shares of time, height and width in how sharply a head looks
WAVE_SHARES = (
    0.6,
    0.3,
    0.1,
)  # of each, the shares of its fastest waves; slow ones cannot tell cells
KEPT_SHARE = 0.1  # what stays of a head's earlier weights
AIMED_CELLS = (  # rows and columns from the same cell of the other panel, three heads a layer
    ((0, 0), (0, 0), (0, 0)),
    ((0, 0), (-1, 0), (1, 0)),
    ((0, 0), (0, -1), (0, 1)),
    ((0, 0), (0, 0), (0, 0)),
)


@torch.no_grad()
def aim_heads(network: InContextTransformer3DModel, across: int) -> None:
    """The heads that do least in each of the first layers look at the right panel from now on.

    across: cells from a place of the left panel to the same one of the right.
    """
    torch.manual_seed(0)
    for block, cells in zip(network.transformer_blocks, AIMED_CELLS, strict=False):
        idle = head_weights(block.attn).argsort()[: len(cells)].tolist()
        for head, (down, right) in zip(idle, cells, strict=False):
            _aim(block.attn, head, (0, down, across + right), network.config.rope_axes_dim)


def head_weights(attn: nn.Module) -> Tensor:
    """(heads,): how much each of them can write, by the product of its two last matrices."""
    read = attn.to_v.weight.unflatten(0, (attn.heads, -1))
    write = attn.to_out[0].weight.unflatten(1, (attn.heads, -1)).movedim(1, 0)
    return (write @ read).flatten(1).norm(dim=1)


def _aim(attn: nn.Module, head: int, offset: tuple[int, int, int], dims: tuple[int, ...]) -> None:
    """offset: in time, rows and columns, from who asks to who answers."""
    strengths, turns = [], []
    for steps, dim, share in zip(offset, dims, AXIS_SHARES, strict=True):
        speeds = ROTARY_BASE ** (-torch.arange(0, dim, 2) / dim)
        waves = torch.zeros(len(speeds))
        waves[: len(WAVE_SHARES)] = torch.tensor(WAVE_SHARES)[: len(speeds)]
        strengths.append(sum(dims) * share * waves)
        turns.append(speeds * steps)
    size, turn = torch.cat(strengths).sqrt(), torch.cat(turns)
    own = slice(head * sum(dims), (head + 1) * sum(dims))
    asks = torch.stack([size * turn.cos(), size * turn.sin()], dim=-1).flatten()
    answers = torch.stack([size, torch.zeros_like(size)], dim=-1).flatten()
    for layer, constant in ((attn.to_q, asks), (attn.to_k, answers)):
        layer.weight[own] *= KEPT_SHARE
        layer.bias[own] = constant
    nn.init.orthogonal_(attn.to_v.weight[own])
    attn.to_v.bias[own] = 0
    attn.to_out[0].weight[:, own] *= KEPT_SHARE
