"""The small model before it has learned anything: sizes in one place."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import torch
from diffusers import HunyuanVideo15Transformer3DModel

from ...backbones import Backbone
from ...errors import InputError
from ...geometry import Geometry
from ...mini.backbone import MiniBackbone
from ...mini.network import MiniTransformer3DModel
from ...mini.text import ByteTextEncoder
from ...mini.vae import GROUP, PATCH, MiniVAE
from ...models.loading import load_backbone
from ...puppets.world import FPS

SHIPPED_FINER = 2


@dataclass(frozen=True)
class MiniConfig:
    num_attention_heads: int = 4
    attention_head_dim: int = 64
    num_layers: int = 6
    rope_axes_dim: tuple[int, int, int] = (16, 24, 24)
    text_dim: int = 96
    text_layers: int = 2
    size: int = 128
    num_frames: int = 25
    seed: int = 0


def create_mini(vae: MiniVAE, config: MiniConfig) -> MiniBackbone:
    """A random transformer and text encoder around a trained autoencoder.

    It predicts the change of the clean latents against frame 0, so that what stands still is right
    from the start. At first it moves the pieces to where retargeting puts them (brush.py); a new
    eye sees none.
    """
    torch.manual_seed(config.seed)
    read, answered = MiniBackbone.network_channels(vae.config.latent_channels)
    transformer = MiniTransformer3DModel(
        in_channels=read,
        out_channels=answered,
        num_attention_heads=config.num_attention_heads,
        attention_head_dim=config.attention_head_dim,
        num_layers=config.num_layers,
        num_refiner_layers=1,
        rope_axes_dim=config.rope_axes_dim,
        text_embed_dim=config.text_dim,
        text_embed_2_dim=8,
        image_embed_dim=8,
        target_size=config.size,
    )
    torch.nn.init.zeros_(transformer.proj_out.weight)
    torch.nn.init.zeros_(transformer.proj_out.bias)
    look_across(transformer, panel_width=config.size // PATCH)
    text_encoder = ByteTextEncoder.create(config.text_dim, config.text_layers, 4, 8, 8)
    geometry = Geometry(
        latent_channels=vae.config.latent_channels,
        spatial_stride=PATCH,
        size_multiple=2 * PATCH,  # as of the large models
        temporal_stride=GROUP,
        fps=FPS,
        num_frames=config.num_frames,
        panel=(config.size, config.size),
    )
    return MiniBackbone("mini", geometry, transformer, vae, text_encoder)


def check_small(backbone: Backbone) -> MiniBackbone:
    """The same; raises InputError for a model that has no parts of the small one's to train."""
    if not isinstance(backbone, MiniBackbone):
        raise InputError(
            "base",
            got=backbone.name,
            need="the small model: no other has an eye or a rig",
            fix="Choose mini, or a folder that an earlier stage wrote.",
        )
    return backbone


def load_base(base: str | Path) -> Backbone:
    """A model to train. The small one with panels as large as those that it reads: it paints larger
    ones (panels.magnification), but learns nothing more from them."""
    backbone = load_backbone(base)
    return _with_panel(backbone, 1) if isinstance(backbone, MiniBackbone) else backbone


def to_ship(backbone: MiniBackbone) -> MiniBackbone:
    """With panels as large as those that it paints."""
    return _with_panel(backbone, SHIPPED_FINER)


def _with_panel(backbone: MiniBackbone, times: int) -> MiniBackbone:
    side = times * backbone.transformer.config.target_size
    backbone.geometry = replace(backbone.geometry, panel=(side, side))
    return backbone


@torch.no_grad()
def look_across(transformer: HunyuanVideo15Transformer3DModel, panel_width: int) -> None:
    """Let the first two heads of every block begin where the answer is to be found.

    Head 0 looks at the same place and time of the panel to the right, head 1 at the same place at
    every time (the reference among them); the others begin at random. Queries and keys get a
    constant part that rotary embedding turns into a preference for one offset. Without it the
    attention of so small a network took thousands of steps to find the other panel at all.
    """
    heads = transformer.config.num_attention_heads
    sizes = transformer.config.rope_axes_dim
    theta = transformer.config.rope_theta
    for block in transformer.transformer_blocks:
        attention = block.attn
        for head, (axes, shift) in enumerate((("thw", panel_width), ("hw", 0))):
            query, key, start = [], [], 0
            for axis, size in zip("thw", sizes, strict=True):
                rate = theta ** (-torch.arange(size // 2) * 2 / size)  # radians a cell
                strong = (rate > 0.3).float() * (
                    axis in axes
                )  # slow waves tell no neighbours apart
                angle = -rate * shift * (axis == "w")
                query.append(torch.stack([strong, 0 * strong], -1).flatten())
                key.append(torch.stack([strong * angle.cos(), strong * angle.sin()], -1).flatten())
                start += size
            rows = slice(head * start, (head + 1) * start)
            assert heads * start == attention.to_q.bias.shape[0]
            for layer, constant in ((attention.to_q, query), (attention.to_k, key)):
                layer.weight[rows] *= 0.5
                layer.bias[rows] = 1.5 * torch.cat(constant)
        for norm in (attention.norm_q, attention.norm_k):
            norm.weight.fill_(1.5)  # sharper than the usual 1
        # Shift, scale and gate of attention, then of the feed-forward layer: open the gates.
        for gate in (2, 5):
            block.norm1.linear.bias.unflatten(0, (6, -1))[gate] = 0.3
