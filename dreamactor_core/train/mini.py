"""The small model before it has learned anything: sizes in one place."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from diffusers import HunyuanVideo15Transformer3DModel

from ..backbones import Geometry
from ..backbones.byte_text import ByteTextEncoder
from ..backbones.hunyuan15 import HunyuanVideo15Backbone
from ..backbones.mini_vae import GROUP, PATCH, MiniVAE
from ..puppets.scene import FPS


@dataclass(frozen=True)
class MiniConfig:
    num_attention_heads: int = 3
    attention_head_dim: int = 64
    num_layers: int = 6
    rope_axes_dim: tuple[int, int, int] = (16, 24, 24)
    text_dim: int = 96
    text_layers: int = 2
    size: int = 128
    num_frames: int = 25
    seed: int = 0


def create_mini(vae: MiniVAE, config: MiniConfig) -> HunyuanVideo15Backbone:
    """A random transformer and text encoder around a trained autoencoder.

    It predicts clean latents ("sample"): with 128 channels and a width of 192 a network that must
    pass the noise through has little room left for the picture.
    """
    torch.manual_seed(config.seed)
    channels = vae.config.latent_channels
    transformer = HunyuanVideo15Transformer3DModel(
        in_channels=2 * channels + 1,
        out_channels=channels,
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
    text_encoder = ByteTextEncoder.create(config.text_dim, config.text_layers, 4, 8, 8)
    geometry = Geometry(
        latent_channels=channels,
        spatial_stride=PATCH,
        size_multiple=PATCH,
        temporal_stride=GROUP,
        fps=FPS,
        num_frames=config.num_frames,
        panel=(config.size, config.size),
    )
    return HunyuanVideo15Backbone("mini", geometry, transformer, vae, text_encoder, "sample")
