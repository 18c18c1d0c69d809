"""Where the first blocks look before anything is learned: the first one at the driver's and the
reference's cell, the second around the reference's.

By rotary embedding a constant query and a constant key see each other best at a constant distance.
It is an initialisation, no other architecture: every weight learns on. What it is worth:
docs/incontext.md.
"""

from __future__ import annotations

import torch
from torch import nn

from .incontext_network import InContextTransformer3DModel

ROTARY_BASE = 256.0  # of the stock network
AXIS_SHARES = {  # of time, rows and columns in how sharply a head looks
    "driver": (0.3, 0.4, 0.3),  # at this time
    "reference": (0.0, 0.55, 0.45),  # at any time; what is known is frame 0 alone
}
CELLS_AROUND = (  # rows and columns
    (0, 2), (0, -2), (2, 0), (-2, 0), (0, 4), (0, -4), (4, 0), (-4, 0)
)  # fmt: skip
WAVE_SHARES = (0.6, 0.3, 0.1)  # of each, of its fastest waves; slow ones cannot tell cells
SHARPER = 2.0  # times the length of queries and keys
SAYS_KNOWN = 3.0  # how far a token stands from the middle along the direction that says it is known
KEPT_SHARE = 0.05  # of the random part of queries and keys
BROUGHT = 0.25  # how strongly what the second block reads is told on
OPEN = 1.0  # the gate of every block's attention, which begins near 0 otherwise


@torch.no_grad()
def aim_heads(network: InContextTransformer3DModel, across: int) -> None:
    """Of a new network: half the heads of its first block look at the same cell of the right panel,
    half at that of the left one, together they bring a whole token over; those of its second look
    at cells around the reference's and bring what these show; and all blocks listen.

    across: cells from a place of the left panel to the same one of the right.
    """
    known = _say_known(network)
    first, *others = (block.attn for block in network.transformer_blocks)
    half = first.heads // 2
    places = [(0, 0, across)] * half + [(0, 0, 0)] * (first.heads - half)
    sides = ["driver"] * half + ["reference"] * (first.heads - half)
    _look(network, first, places, sides, known)
    for layer in (first.to_v, first.to_out[0]):
        nn.init.orthogonal_(layer.weight)
    for second in others[:1]:
        around = [(0, *CELLS_AROUND[head % len(CELLS_AROUND)]) for head in range(second.heads)]
        _look(network, second, around, ["reference"] * second.heads, known)
        _bring_shown(network, second)
    for block in network.transformer_blocks:
        block.norm1.linear.bias.view(6, -1)[2] = OPEN


def _look(
    network: InContextTransformer3DModel,
    attn: nn.Module,
    places: list[tuple[int, int, int]],
    sides: list[str],
    known: torch.Tensor,
) -> None:
    """Each head of a block at its place, in time, rows and columns from who asks."""
    for layer in (attn.to_q, attn.to_k):
        layer.weight *= KEPT_SHARE
    for norm in (attn.norm_q, attn.norm_k):
        norm.weight *= SHARPER
    for head, (place, side) in enumerate(zip(places, sides, strict=True)):
        _aim(attn, head, place, AXIS_SHARES[side], network.config.rope_axes_dim)
    _answer_if_known(attn, known)


def _bring_shown(network: InContextTransformer3DModel, attn: nn.Module) -> None:
    """Each head reads as many of the first components as it has channels of what a cell shows."""
    latent = network.config.out_channels
    readings = torch.linalg.pinv(network.x_embedder.proj.weight.flatten(1))
    shown = readings[latent : latent + attn.to_v.out_features // attn.heads]
    attn.to_v.weight.copy_(shown.repeat(attn.heads, 1))
    nn.init.orthogonal_(attn.to_out[0].weight, gain=BROUGHT)


def _say_known(network: InContextTransformer3DModel) -> torch.Tensor:
    """Have the embedding of a token say by one direction, which is answered, whether its cell is
    known, whatever the cell shows: a unit vector, + where it is, - where it is to be drawn."""
    embed = network.x_embedder.proj
    channel = 2 * network.config.out_channels  # behind latents and known latents
    known = torch.randn(embed.out_channels).to(embed.weight)  # the same on any device
    known = nn.functional.normalize(known - known.mean(), dim=0)  # a layer norm keeps it
    weight = embed.weight.flatten(1)
    weight -= known[:, None] * (known @ weight)
    embed.bias -= known * (known @ embed.bias)
    weight[:, channel] = 2 * SAYS_KNOWN * known
    embed.bias -= SAYS_KNOWN * known
    return known


def _answer_if_known(attn: nn.Module, known: torch.Tensor) -> None:
    """Keys that are what the bias says where a token is known, and its opposite where not: of the
    reference's cell at any time only frame 0 answers."""
    attn.to_k.weight += attn.to_k.bias[:, None] * known
    attn.to_k.bias.zero_()


def _aim(
    attn: nn.Module,
    head: int,
    offset: tuple[int, int, int],
    shares: tuple[float, float, float],
    dims: tuple[int, ...],
) -> None:
    """offset: in time, rows and columns, from who asks to who answers."""
    strengths, turns = [], []
    for steps, dim, share in zip(offset, dims, shares, strict=True):
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
        layer.bias[own] = constant
