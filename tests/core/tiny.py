"""Random models of the real classes, small enough for a test."""

import torch
from diffusers import AutoencoderKLHunyuanVideo15, HunyuanVideo15Transformer3DModel

from dreamactor_core.backbones import Geometry
from dreamactor_core.backbones.byte_text import ByteTextEncoder
from dreamactor_core.backbones.hunyuan15 import HunyuanVideo15Backbone

GEOMETRY = Geometry(
    latent_channels=8,
    spatial_stride=16,
    size_multiple=16,
    temporal_stride=4,
    fps=8,
    num_frames=25,
    panel=(32, 32),
)


def tiny_transformer(target_size: int = 640) -> HunyuanVideo15Transformer3DModel:
    torch.manual_seed(0)
    model = HunyuanVideo15Transformer3DModel(
        in_channels=17,
        out_channels=8,
        num_attention_heads=2,
        attention_head_dim=16,
        num_layers=2,
        num_refiner_layers=1,
        text_embed_dim=24,
        text_embed_2_dim=8,
        image_embed_dim=8,
        rope_axes_dim=(4, 6, 6),
        target_size=target_size,
    )
    return model.eval()


def tiny_vae() -> AutoencoderKLHunyuanVideo15:
    torch.manual_seed(1)
    return AutoencoderKLHunyuanVideo15(
        latent_channels=8, block_out_channels=(8, 8, 8, 16, 16), layers_per_block=1
    ).eval()


def tiny_backbone(prediction_type: str = "flow", target_size: int = 640) -> HunyuanVideo15Backbone:
    transformer = tiny_transformer(target_size)
    torch.manual_seed(2)
    text = ByteTextEncoder.create(24, 1, 2, text_embed_2_dim=8, image_embed_dim=8).eval()
    return HunyuanVideo15Backbone("tiny", GEOMETRY, transformer, tiny_vae(), text, prediction_type)
