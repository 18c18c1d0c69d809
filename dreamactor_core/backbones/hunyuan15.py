"""HunyuanVideo-1.5 and the small model of the same class (paper sections 3.1 and 3.2).

The network reads, along channels,

    [ noisy latents c | condition latents c | mask 1 ]      mask 1 = known, 0 = to be drawn

and unknown condition latents are zero. Frames are float32 in [0, 1], (t, h, w, 3); latents are
(b, c, t', h', w'), scaled to about unit variance.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from diffusers import HunyuanVideo15Transformer3DModel
from torch import Tensor, nn

from ..composite import known_latents
from ..errors import InputError
from . import Context, Geometry, Text

TRAIN_TIMESTEPS = 1000  # the network's clock runs from 0 (data) to 1000 (noise)
PREDICTION_TYPES = ("flow", "sample", "residual")
LEAST_SIGMA = 0.02  # a predicted x0 is divided by sigma: below this its error would be blown up

EncodeText = Callable[[list[str], Tensor | None], Text]  # (prompts, reference (1, h, w, 3) or None)


def encode_video(vae: nn.Module, frames: Tensor) -> Tensor:
    """(t, h, w, 3) in [0, 1] -> scaled latents (1, c, t', h', w'), float32, without sampling."""
    pixels = (2 * frames - 1).movedim(-1, 0)[None].to(vae.device, vae.dtype)
    return vae.encode(pixels).latent_dist.mode().float() * vae.config.scaling_factor


def decode_video(vae: nn.Module, latents: Tensor) -> Tensor:
    """Scaled latents (1, c, t', h', w') -> (t, h, w, 3) in [0, 1], float32."""
    pixels = vae.decode((latents / vae.config.scaling_factor).to(vae.device, vae.dtype)).sample
    return (pixels[0].float().movedim(0, -1) / 2 + 0.5).clamp(0, 1)


class HunyuanVideo15Backbone:
    """The protocol of backbones/__init__.py on diffusers' HunyuanVideo15Transformer3DModel."""

    blank = "zero"

    def __init__(
        self,
        name: str,
        geometry: Geometry,
        transformer: HunyuanVideo15Transformer3DModel,
        vae: nn.Module,
        text_encoder: EncodeText,
        prediction_type: Literal["flow", "sample", "residual"] = "flow",
    ):
        """vae: encode(x).latent_dist.mode(), decode(z).sample, config.scaling_factor, x in [-1, 1].

        prediction_type: what the network predicts. "flow": velocity; "sample": clean latents;
        "residual": clean latents less the known part of frame 0, so that what stands still is right
        before anything is learned.
        """
        config = transformer.config
        assert config.in_channels == 2 * geometry.latent_channels + 1
        assert config.out_channels == geometry.latent_channels
        if prediction_type not in PREDICTION_TYPES:
            raise InputError(
                "prediction_type",
                got=repr(prediction_type),
                need=" or ".join(PREDICTION_TYPES),
                fix="Correct model.json.",
            )
        if config.use_meanflow:
            raise InputError(
                "transformer",
                got="a step-distilled (MeanFlow) checkpoint",
                need="the base image-to-video checkpoint",
                fix="Load the checkpoint it was distilled from.",
            )
        self.name = name
        self.geometry = geometry
        self.transformer = transformer
        self.vae = vae
        self.text_encoder = text_encoder
        self.prediction_type = prediction_type

    def encode_video(self, frames: Tensor) -> Tensor:
        """(t, h, w, 3) in [0, 1] -> latents (1, c, t', h', w')."""
        self.geometry.latent_frames(frames.shape[0])
        return encode_video(self.vae, frames)

    def decode_video(self, latents: Tensor) -> Tensor:
        """Latents (1, c, t', h', w') -> (t, h, w, 3) in [0, 1]."""
        return decode_video(self.vae, latents)

    def encode_text(self, prompts: list[str], reference: Tensor | None) -> Text:
        """Prompts -> Text; reference (1, h, w, 3) for models with an image stream."""
        return self.text_encoder(prompts, reference)

    def context(self, latents: Tensor, known: Tensor) -> Context:
        """Composite latents (b, c, t', h', 2w') and mask (t, h, 2w, 1), 1 = known -> network input.

        Unknown cells become zero: black pixels encode to something else, and the network was
        pre-trained to read exact zeros there.
        """
        mask = known_latents(known, self.geometry.temporal_stride, *latents.shape[-2:]).to(latents)
        return Context(latents * mask, mask)

    def velocity(self, latents: Tensor, sigma: Tensor, context: Context, text: Text) -> Tensor:
        """d(latents)/d(sigma) at noise level sigma, (b,) or scalar, in [0, 1]; 1 is pure noise.

        Differentiable. A context or text of batch 1 serves the whole batch of latents.
        """
        batch, dtype = latents.shape[0], self.transformer.dtype
        sigma = sigma.to(latents.device).expand(batch)
        context = Context(*(_expand(part, batch) for part in context))
        text = Text(*(_expand(part, batch) for part in text))
        predicted = self.transformer(
            hidden_states=torch.cat([latents, *context], dim=1).to(dtype),
            timestep=(sigma * TRAIN_TIMESTEPS).to(dtype),
            encoder_hidden_states=text.prompt_embeds.to(dtype),
            encoder_attention_mask=text.prompt_embeds_mask,
            encoder_hidden_states_2=text.prompt_embeds_2.to(dtype),
            encoder_attention_mask_2=text.prompt_embeds_mask_2,
            image_embeds=text.image_embeds.to(dtype),
            return_dict=False,
        )[0].to(latents.dtype)
        if self.prediction_type == "flow":
            return predicted
        if self.prediction_type == "residual":
            predicted = predicted + context.latents[:, :, :1]
        return (latents - predicted) / sigma.clamp(min=LEAST_SIGMA).to(latents.dtype).view(
            -1, 1, 1, 1, 1
        )


def _expand(part: Tensor, batch: int) -> Tensor:
    return part.expand(batch, *part.shape[1:])
