"""Tiny random models for the native path: ComfyUI's own classes, and plain ones for the fake host.

A real host tells a model by the shapes of its weights, so any small width loads as the real thing.
"""

from __future__ import annotations

import math
from types import SimpleNamespace

import torch
from torch import nn

WIDTH, TEXT, BYTES, LENGTH = 128, 4096, 1472, 512  # of the network, of a token, of ByT5's, tokens
KINDS = ("hunyuan", "i2v", "a14b", "ti2v")
STRIDES = {"hunyuan": 16, "i2v": 8, "a14b": 8, "ti2v": 16}
CHANNELS = {"hunyuan": 32, "i2v": 16, "a14b": 16, "ti2v": 48}
IMAGE = {"hunyuan": 1152, "i2v": 1280}  # width of CLIP vision tokens


class PoolingVae:
    """An autoencoder that is easy to follow: the mean of each cell, times the number of a channel.

    ComfyUI's VAE, as far as the nodes use it. frames: what it was given last.
    """

    def __init__(self, kind: str):
        self.latent_channels, self.stride = CHANNELS[kind], STRIDES[kind]

    def spacial_compression_encode(self) -> int:
        return self.stride

    def temporal_compression_decode(self) -> int:
        return 4

    def encode(self, frames: torch.Tensor) -> torch.Tensor:
        self.frames = frames
        grey = frames.mean(-1)[None, None]  # (1, 1, t, h, w)
        cells = nn.functional.avg_pool3d(grey, (1, self.stride, self.stride))
        first, later = cells[:, :, :1], nn.functional.avg_pool3d(cells[:, :, 1:], (4, 1, 1))
        return torch.cat([first, later], 2) * torch.arange(1, self.latent_channels + 1).view(
            1, -1, 1, 1, 1
        )

    def decode(self, latents: torch.Tensor) -> torch.Tensor:
        """(1, c, t', h', w') -> (t, h, w, 3), from the first channel alone."""
        cells = torch.cat([latents[0, 0, :1], latents[0, 0, 1:].repeat_interleave(4, 0)])
        pixels = cells.repeat_interleave(self.stride, 1).repeat_interleave(self.stride, 2)
        return pixels[..., None].expand(-1, -1, -1, 3).clamp(0, 1).contiguous()


def random_state(network: nn.Module) -> dict[str, torch.Tensor]:
    """Its state dict with random numbers, around 1 for the scales of norms."""
    generator = torch.Generator().manual_seed(0)
    state = {}
    for name, weight in network.state_dict().items():
        shape = tuple(weight.shape)
        scale = 1 / math.sqrt(math.prod(shape[1:])) if len(shape) > 1 else 0.05
        state[name] = torch.randn(shape, generator=generator) * scale
        if len(shape) == 1 and name.endswith("weight"):
            state[name] += 1
    return state


def native_weights(kind: str, in_channels: int | None = None) -> dict[str, torch.Tensor]:
    """State dict of ComfyUI's network of one kind."""
    import comfy.ldm.hunyuan_video.model
    import comfy.ldm.wan.model
    import comfy.ops

    settings = {"device": "cpu", "dtype": torch.float32, "operations": comfy.ops.manual_cast}
    latents = CHANNELS[kind]
    if kind == "hunyuan":
        network = comfy.ldm.hunyuan_video.model.HunyuanVideo(
            **settings,
            in_channels=in_channels or 2 * latents + 1,
            out_channels=latents,
            patch_size=[1, 1, 1],
            vec_in_dim=None,
            context_in_dim=TEXT,
            hidden_size=WIDTH,
            mlp_ratio=4.0,
            num_heads=1,
            depth=2,
            depth_single_blocks=0,
            axes_dim=[16, 56, 56],
            theta=256,
            qkv_bias=True,
            guidance_embed=False,
            byt5=True,
            meanflow=False,
            use_cond_type_embedding=True,
            vision_in_dim=IMAGE["hunyuan"],
            meanflow_sum=True,
        )
    else:
        network = comfy.ldm.wan.model.WanModel(
            **settings,
            model_type="i2v" if kind == "i2v" else "t2v",
            dim=WIDTH,
            ffn_dim=64,
            num_heads=1,
            num_layers=2,
            in_dim=in_channels or (latents if kind == "ti2v" else 2 * latents + 4),
            out_dim=latents,
        )
    return random_state(network)


def native_model(kind: str, **changes):
    """MODEL, as a loader of ComfyUI makes it of those weights."""
    import comfy.sd

    options = {"dtype": torch.float32}
    return comfy.sd.load_diffusion_model_state_dict(native_weights(kind, **changes), options)


def conditioning(kind: str, seed: int) -> list:
    """What a text encoder would give."""
    generator = torch.Generator().manual_seed(seed)
    words = torch.randn(1, LENGTH if kind != "hunyuan" else 7, TEXT, generator=generator)
    letters = torch.randn(1, 5, BYTES, generator=generator)
    others = {"pooled_output": None, "conditioning_byt5small": letters}
    return [[words, others if kind == "hunyuan" else {"pooled_output": None}]]


def clip_vision(kind: str):
    """CLIP_VISION_OUTPUT for the models that read one, else None."""
    if kind not in IMAGE:
        return None
    tokens = torch.randn(1, 257, IMAGE[kind], generator=torch.Generator().manual_seed(9))
    return SimpleNamespace(last_hidden_state=tokens, penultimate_hidden_states=tokens)
