"""What training takes, by formula: bytes on the device and floating-point operations of a step.

A frozen network with a LoRA on its feed-forward layers, blocks recomputed in the backward pass,
one example at a time:

    weights     of one network, as they are stored
    LoRA        weights, gradients and Adam's two averages in float32, 16 bytes a parameter
    stored      what enters each block, kept until its backward pass
    block       what one block keeps while it is recomputed, and its gradients in passing

The bytes kept were counted on tiny networks of each kind (tests/core/test_memory.py counts them
again), in bf16. In `stored` is also what is kept once, outside of the blocks.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from ..geometry import Geometry
from ..models.estimate import GIB


class Kept(NamedTuple):
    """Bytes kept for the backward pass, each per token: by a block, and (`once`, `words`, `cell`)
    outside of them."""

    width: float  # and unit of width
    inner: float  # and unit of the feed-forward layers' inner width
    rank: float  # and rank of a LoRA on them
    text: float  # and unit of width, for each token of text
    once: float  # and unit of width
    words: float  # and unit of width, for each token of text
    cell: float


HUNYUAN_KEPT = Kept(width=26.0, inner=4.0, rank=8.0, text=32.1, once=2.0, words=0.0, cell=138)
WAN_KEPT = Kept(width=39.8, inner=4.05, rank=20.0, text=4.0, once=4.0, words=2.0, cell=280)
WAN_IMAGE_KEPT = WAN_KEPT._replace(width=41.8)  # with an image stream: one more attention
TI2V_KEPT = WAN_KEPT._replace(width=71.8, once=18.0, cell=796)  # a timestep for each token
HUNYUAN_TEXT, WAN_TEXT, WAN_IMAGE = 1000, 512, 257  # tokens; of HunyuanVideo's at most
GRADIENTS = 2  # values as wide as a block's input and inner layer that stand beside what it keeps


class Sizes(NamedTuple):
    """A network, by what its memory depends on."""

    parameters: int
    blocks: int
    width: int
    inner: int  # of the feed-forward layers
    kept: Kept
    text_in_blocks: bool  # whether the text is a stream of its own through the blocks
    text_tokens: int  # the reference's image stream with them


class TrainingMemory(NamedTuple):
    """Bytes on the device."""

    weights: int
    lora: int
    stored: int
    block: int

    @property
    def total(self) -> int:
        return sum(self)

    def __str__(self) -> str:
        parts = zip(("weights", "LoRA", "stored", "block"), self, strict=True)
        told = ", ".join(f"{name} {value / GIB:.1f}" for name, value in parts)
        return f"{self.total / GIB:.1f} GiB ({told})"


def sizes_of(config: dict[str, Any], parameters: int) -> Sizes:
    """From a diffusers configuration of HunyuanVideo-1.5's or Wan's network."""
    width = config["num_attention_heads"] * config["attention_head_dim"]
    if "ffn_dim" in config:
        inner = config["ffn_dim"]
        image = config.get("image_dim") is not None
        by_token = config["in_channels"] == config["out_channels"]
        kept = TI2V_KEPT if by_token else WAN_IMAGE_KEPT if image else WAN_KEPT
        words = WAN_TEXT + (WAN_IMAGE if image else 0)
        return Sizes(parameters, config["num_layers"], width, inner, kept, False, words)
    inner = int(width * config.get("mlp_ratio", 4.0))
    blocks = config["num_layers"]
    return Sizes(parameters, blocks, width, inner, HUNYUAN_KEPT, True, HUNYUAN_TEXT)


def tokens_of(geometry: Geometry, panel: tuple[int, int], num_frames: int) -> int:
    """Of a composite of two panels (height, width)."""
    height, width = panel
    cells = height * 2 * width // geometry.size_multiple**2
    return geometry.latent_frames(num_frames) * cells


def lora_parameters(sizes: Sizes, rank: int) -> int:
    """Of a LoRA on the two feed-forward layers of every block."""
    return sizes.blocks * 2 * rank * (sizes.width + sizes.inner)


def training_memory(
    sizes: Sizes,
    tokens: int,
    text_tokens: int,
    rank: int,
    *,
    weight_bytes: float = 2.0,
    state_bytes: float = 8.0,
    averaged: bool = False,
    offload: bool = False,
) -> TrainingMemory:
    """weight_bytes: of a stored parameter of the base, 1 for fp8 and int8. state_bytes: of the
    optimiser, a parameter; 2 for 8-bit Adam. averaged: a copy of the LoRA is kept (EMA).
    offload: what enters the blocks waits in RAM, all but one's."""
    each = 4 + 4 + state_bytes + (4 if averaged else 0)
    entering = tokens + (text_tokens if sizes.text_in_blocks else 0)
    kept = sizes.kept
    once = int(
        tokens * (kept.once * sizes.width + kept.cell) + text_tokens * kept.words * sizes.width
    )
    passing = GRADIENTS * 2 * tokens * (sizes.width + sizes.inner)
    return TrainingMemory(
        weights=int(sizes.parameters * weight_bytes),
        lora=int(lora_parameters(sizes, rank) * each),
        stored=2 * (1 if offload else sizes.blocks) * entering * sizes.width + once,
        block=int(kept_by_block(sizes, tokens, text_tokens, rank)) + passing,
    )


def kept_by_block(sizes: Sizes, tokens: int, text_tokens: int, rank: int) -> float:
    """Bytes in bf16."""
    kept = sizes.kept
    each = kept.width * sizes.width + kept.inner * sizes.inner + kept.rank * rank
    return tokens * each + text_tokens * kept.text * sizes.width


def step_flops(sizes: Sizes, tokens: int) -> float:
    """Floating-point operations of one example: forward, again for the blocks in the backward
    pass, and the backward pass of the inputs, for the base's weights have no gradient."""
    forward = 2 * sizes.parameters * tokens + 4 * sizes.blocks * tokens**2 * sizes.width
    return 3 * forward
