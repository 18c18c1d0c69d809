"""Heads that see where, for tiny random bases: what attention of a trained one finds by itself.

A LoRA on feed-forward layers changes what is done with what attention brings, not what it brings,
and random attention brings a mean of everything. So the self-attention of each block gets two heads
that answer to places alone, through the rotary embedding that is there:

    all times      the token's own place at all times: the reference stands there
    other panel    the same place in the panel on the right at the same time: the driver
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

SHARPNESS = 2.0  # weight of the norms of query and key
FINE = 0.15  # radians a cell, from which a frequency tells neighbours apart
BROUGHT = 0.3  # gain of what a head brings: the token's own must not drown in it


@torch.no_grad()
def see_places(network: nn.Module, panel_cells: int) -> None:
    """Of a network of two heads. panel_cells: tokens from a place in the left panel to the same in
    the right one."""
    rates, axes = rotation_rates(network)
    fine = (rates >= FINE).to(torch.float32)
    shifted = torch.where(axes == 2, -panel_cells * rates, 0.0)
    all_times = _turned(fine * (axes > 0), torch.zeros_like(rates))
    here, there = _turned(fine, torch.zeros_like(rates)), _turned(fine, shifted)
    for attention in self_attentions(network):
        for layer, head in ((attention.to_q, here), (attention.to_k, there)):
            layer.weight.zero_()
            layer.bias.copy_(torch.cat([all_times, head]))
        for norm in (attention.norm_q, attention.norm_k):
            norm.weight.fill_(SHARPNESS)
        for layer in (attention.to_v, attention.to_out[0]):
            nn.init.orthogonal_(layer.weight)
        attention.to_out[0].weight.mul_(BROUGHT)


def self_attentions(network: nn.Module) -> list[nn.Module]:
    if hasattr(network, "blocks"):  # Wan
        return [block.attn1 for block in network.blocks]
    return [block.attn for block in network.transformer_blocks]  # HunyuanVideo-1.5


def rotation_rates(network: nn.Module) -> tuple[Tensor, Tensor]:
    """(64,) radians a cell of each pair of a head's channels, and (64,) its axis: 0 time, 1 rows,
    2 columns."""
    rope = network.rope
    if hasattr(rope, "rope_dim"):
        widths, base = rope.rope_dim, rope.theta
    else:
        widths, base = (rope.t_dim, rope.h_dim, rope.w_dim), 10000.0
    rates = [base ** -(torch.arange(0, width, 2) / width) for width in widths]
    axes = [torch.full((width // 2,), k) for k, width in enumerate(widths)]
    return torch.cat(rates), torch.cat(axes)


def _turned(lengths: Tensor, angles: Tensor) -> Tensor:
    """Pairs of channels, one after the other: (2n,) with a mean square of 1."""
    pairs = torch.stack([lengths * angles.cos(), lengths * angles.sin()], dim=-1).flatten()
    return pairs / pairs.square().mean().sqrt()
