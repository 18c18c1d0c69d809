"""What every image-to-video backbone offers to the method, and nothing more.

A backbone hides channel order, mask packing and polarity, what "blank" is, its encoders and its
latent scaling. Composite, sampling, chunks, LoRA and training are written once above it.

Frames are float32 in [0, 1], (t, h, w, 3). Latents are (b, c, t', h', w'), t' = (t - 1) / 4 + 1.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import torch
from PIL import Image
from torch import Tensor

from ..geometry import Geometry
from ..options import Defaults
from ..weight_files.keys import KeyNames

TRAIN_TIMESTEPS = 1000  # the networks' clock runs from 0 (data) to 1000 (noise)
HEAD_DIM = 128  # of an attention head, in every published checkpoint
GREY = 0.5  # the pixel value that a backbone with blank "grey" takes for "to be drawn"


class Text(NamedTuple):
    """An encoded prompt. Fields a backbone does not use hold length-0 tensors."""

    prompt_embeds: Tensor  # (b, l, d)
    prompt_embeds_mask: Tensor  # (b, l), 1 = a token, 0 = padding
    prompt_embeds_2: Tensor  # (b, l2, d2)
    prompt_embeds_mask_2: Tensor  # (b, l2)
    image_embeds: Tensor  # (b, n, d3)


EncodeText = Callable[[list[str], Tensor | None], Text]  # (prompts, reference (1, h, w, 3) or None)


class Context(NamedTuple):
    """What the network reads beside the noisy latents."""

    latents: Tensor  # (b, c, t', h', w'), blank where unknown
    known: Tensor  # (b, m, t', h', w'), packed and of the polarity the backbone wants


class LoraTargets(NamedTuple):
    """Regular expressions that match the layers of the visual stream whole, in diffusers' names."""

    feed_forward: str
    attention: str
    patch_embedding: str


class Backbone(Protocol):
    @property
    def name(self) -> str:
        """Base model id, written into LoRA files: "mini", "hunyuanvideo-1.5", ..."""

    @property
    def geometry(self) -> Geometry: ...

    @property
    def defaults(self) -> Defaults:
        """Of sampling, where nobody says otherwise."""

    @property
    def blank(self) -> str:
        """ "zero" or "grey": what an unknown left panel holds."""

    @property
    def layouts(self) -> tuple[str, ...]:
        """Those of options.LAYOUTS that it can work in."""

    @property
    def layout(self) -> str:
        """The one that it works in: "panels", unless lay_out said otherwise. One way, velocity
        also takes memory=, a tokens.ConditionMemory of its context and text."""

    def lay_out(self, layout: str) -> None:
        """Work in another of `layouts` from now on."""

    @property
    def transformer(self) -> Any:
        """The network (nn.Module) that LoRA adapts."""

    @property
    def transformer_2(self) -> Any:
        """The low-noise expert of a backbone that has two, else None."""

    @property
    def vae(self) -> Any:
        """The autoencoder (nn.Module) behind encode_video and decode_video."""

    @property
    def text_encoder(self) -> Any:
        """Behind encode_text, and called like EncodeText; a small model's is an nn.Module."""

    @property
    def key_names(self) -> KeyNames:
        """Of the transformer's layers, in LoRA files of any program."""

    @property
    def lora_targets(self) -> LoraTargets: ...

    @property
    def step_distilled(self) -> bool:
        """Whether velocity also takes sigmas=, all levels that the sampler will visit."""

    @property
    def predicts_clean(self) -> bool:
        """Whether velocity divides the network's error by sigma, which a loss must undo."""

    def encode_video(self, frames: Tensor) -> Tensor:
        """(t, h, w, 3) in [0, 1] -> latents (1, c, t', h', w')."""

    def decode_video(self, latents: Tensor) -> Tensor:
        """Latents (1, c, t', h', w') -> (t, h, w, 3) in [0, 1]."""

    def encode_text(self, prompts: list[str], reference: Tensor | None) -> Text:
        """Prompts, and the reference (1, h, w, 3) for backbones with an image stream."""

    def context(self, latents: Tensor, known: Tensor) -> Context:
        """Composite latents (1, c, t', h', 2w') and mask (t, h, 2w, 1), 1 = known -> network input.

        The latents are those of frames that paint_blank has prepared. The mask may have one value
        per latent cell instead of per pixel (h = h', w = w').
        """

    def pack_known(self, known: Tensor, height: int, width: int) -> Tensor:
        """The mask of context() -> (1, m, t', height, width), 1 = known, as the network reads it.

        height and width are the latents': a cell is known only if every pixel of it is.
        """

    def velocity(self, latents: Tensor, sigma: Tensor, context: Context, text: Text) -> Tensor:
        """d(latents)/d(sigma) at noise level sigma, (b,) in [0, 1]; 1 is pure noise."""


def paint_blank(frames: Tensor, known: Tensor, blank: str) -> Tensor:
    """The pixels to encode: mid-grey where a "grey" backbone must draw, else frames as they are.

    frames (t, h, w, 3), known (t, h, w, 1). A pixel that is known in part counts as unknown. "zero"
    backbones blank their latents instead, in context().
    """
    return torch.where(known == 1, frames, GREY) if blank == "grey" else frames


def to_picture(reference: Tensor) -> Image.Image:
    """(1, h, w, 3) in [0, 1] -> the 8-bit picture that image encoders are given."""
    return Image.fromarray(reference[0].mul(255).round().byte().cpu().numpy())
