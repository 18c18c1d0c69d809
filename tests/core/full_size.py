"""Pipeline folders of the five full-size bases, as diffusers writes them: everything that a reader
tells them by is the published one's (channels, strides, rate, length, experts, classes of
tokenizers and encoders). Width and depth alone are shrunk, and the weights are random.
"""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import torch
from diffusers import (
    AutoencoderKLHunyuanVideo15,
    DiffusionPipeline,
    HunyuanVideo15Transformer3DModel,
)

from dreamactor_core.backbones import Backbone
from dreamactor_core.backbones.placement import Placement
from dreamactor_core.models.loading import load_backbone

from .tiny import tiny_hunyuan_pipeline, tiny_wan_pipeline, tiny_wan_transformer, tiny_wan_vae

BASES = ("hunyuanvideo-1.5", "wan-2.1", "fun-inp-1.3b", "wan-2.2-a14b", "wan-2.2-ti2v")
HEAD, BLOCKS = 128, 2  # one head as wide as the published ones', 54 or 30 to 40 blocks there
EXACT = Placement(dtype=torch.float32)
# What the published models are told by, and our fixtures are: fps, frames of a pass, stride.
NATIVE = {
    "hunyuanvideo-1.5": (24.0, 121, 16),
    "wan-2.1": (16.0, 81, 8),
    "fun-inp-1.3b": (16.0, 81, 8),
    "wan-2.2-a14b": (16.0, 81, 8),
    "wan-2.2-ti2v": (24.0, 121, 16),
}


def full_size_pipeline(base: str) -> DiffusionPipeline:
    """The stock pipeline of a base of BASES, tiny."""
    if base == "hunyuanvideo-1.5":
        return tiny_hunyuan_pipeline(_hunyuan())
    if base == "wan-2.2-ti2v":
        return tiny_wan_pipeline(_wan([_expert(0, 48, 48)], tiny_wan_vae(48)))
    if base == "wan-2.2-a14b":  # no image stream, as the published one
        return tiny_wan_pipeline(_wan([_expert(0), _expert(5)], tiny_wan_vae()))
    seed = 0 if base == "wan-2.1" else 7
    return tiny_wan_pipeline(_wan([_expert(seed, image_dim=8)], tiny_wan_vae()))


def full_size_folder(base: str, folder: Path) -> Path:
    """The same, saved."""
    full_size_pipeline(base).save_pretrained(folder)
    return folder


def open_base(folder: Path) -> Backbone:
    """Whole on the CPU in float32, as a user opens it."""
    return load_backbone(folder, EXACT)


def _hunyuan() -> SimpleNamespace:
    torch.manual_seed(0)
    transformer = HunyuanVideo15Transformer3DModel(
        in_channels=65, out_channels=32, num_attention_heads=1, attention_head_dim=HEAD,
        num_layers=BLOCKS, num_refiner_layers=1, text_embed_dim=24, text_embed_2_dim=8,
        image_embed_dim=8, rope_axes_dim=(16, 56, 56),
    )  # fmt: skip
    torch.manual_seed(1)
    vae = AutoencoderKLHunyuanVideo15(
        latent_channels=32, block_out_channels=(8, 8, 16, 32, 64), layers_per_block=1
    )
    return SimpleNamespace(transformer=transformer.eval(), vae=vae.eval())


def _expert(seed: int, channels: int = 36, latents: int = 16, image_dim: int | None = None):
    return tiny_wan_transformer(channels, latents, image_dim, seed, HEAD)


def _wan(experts: list, vae) -> SimpleNamespace:
    return SimpleNamespace(
        transformer=experts[0],
        transformer_2=experts[1] if len(experts) > 1 else None,
        vae=vae,
        by_token=vae.config.z_dim == 48,
        boundary_ratio=0.9,
    )
