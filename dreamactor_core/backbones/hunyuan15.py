"""HunyuanVideo-1.5 (paper sections 3.1 and 3.2).

The network reads, along channels,

    [ noisy latents c | condition latents c | mask 1 ]      mask 1 = known, 0 = to be drawn

and unknown condition latents are zero. A step-distilled (MeanFlow) network also reads where its
step ends. Frames are float32 in [0, 1], (t, h, w, 3); latents are (b, c, t', h', w'), scaled to
about unit variance.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from diffusers import HunyuanVideo15Transformer3DModel
from diffusers.models.transformers.transformer_hunyuan_video15 import (
    HunyuanVideo15AttnProcessor2_0,
)
from torch import Tensor, nn

from ..composite import known_latents
from ..errors import InputError
from ..geometry import Geometry
from ..options import ONE_STEP, Defaults
from ..weight_files.family import Family, Found, Tensors, count_blocks
from ..weight_files.hunyuan15_keys import KEY_NAMES
from ..weight_files.keys import convert_checkpoint
from . import HEAD_DIM, TRAIN_TIMESTEPS, Context, EncodeText, LoraTargets, Text, to_picture
from .attention import JointAttention, joint_attention
from .device import get_module_execution_device
from .tokens import PANELS, ConditionMemory, Exchange, Layouts, velocity_by_tokens

if TYPE_CHECKING:
    from diffusers import HunyuanVideo15ImageToVideoPipeline

LORA_TARGETS = LoraTargets(
    feed_forward=r"transformer_blocks\.\d+\.ff\.net\.(0\.proj|2)",
    attention=r"transformer_blocks\.\d+\.attn\.to_(q|k|v|out\.0)",
    patch_embedding=r"x_embedder\.proj",
)

GEOMETRY = Geometry(
    latent_channels=32, spatial_stride=16, size_multiple=16, temporal_stride=4, fps=24.0,
    num_frames=121, panel=(832, 480),
)  # fmt: skip

# Its publisher's table "Optimal Inference Configurations" (README of Tencent-Hunyuan/
# HunyuanVideo-1.5), rows I2V: the shift is 5 at 480p and 7 at 720p. Distilled for guidance alone,
# the weights have the shapes of the others: they want guidance 1, which nobody can tell from them.
DEFAULTS = Defaults(50, 6.0, 5.0, shift_large=7.0, follows_aspect=True)
STEP_DISTILLED = Defaults(12, 1.0, 7.0, follows_aspect=True)


class HunyuanLayout:
    """What the models of this class have in common: their parts, the names of their layers, zeros
    for what is unknown, and an autoencoder whose latents are scaled by one number."""

    blank = "zero"
    step_distilled = False
    layouts: tuple[str, ...] = (PANELS,)
    layout = PANELS
    transformer_2 = None
    key_names = KEY_NAMES
    lora_targets = LORA_TARGETS

    def __init__(
        self, name: str, geometry: Geometry, transformer: Any, vae: Any, text_encoder: EncodeText
    ):
        """vae: encode(x).latent_dist.mode(), decode(z).sample and config.scaling_factor, as
        diffusers has them, x in [-1, 1]."""
        self.name = name
        self.geometry = geometry
        self.transformer = transformer
        self.vae = vae
        self.text_encoder = text_encoder
        config = transformer.config
        assert (config.in_channels, config.out_channels) == self.network_channels(
            geometry.latent_channels
        )

    @staticmethod
    def network_channels(latent: int) -> tuple[int, int]:
        """How many channels the network reads and answers with, for so many of a latent."""
        return 2 * latent + 1, latent

    def encode_text(self, prompts: list[str], reference: Tensor | None) -> Text:
        """Prompts -> Text; reference (1, h, w, 3) for models with an image stream."""
        return self.text_encoder(prompts, reference)

    def lay_out(self, layout: str) -> None:
        """Work in another of `layouts` from now on."""
        assert layout in self.layouts, layout

    def encode_video(self, frames: Tensor) -> Tensor:
        """(t, h, w, 3) in [0, 1] -> latents (1, c, t', h', w'), float32, without sampling."""
        self.geometry.latent_frames(frames.shape[0])
        device = get_module_execution_device(self.vae)  # of an offloaded one, where it works
        pixels = (2 * frames - 1).movedim(-1, 0)[None].to(device, self.vae.dtype)
        return self.vae.encode(pixels).latent_dist.mode().float() * self.vae.config.scaling_factor

    def decode_video(self, latents: Tensor) -> Tensor:
        """Latents (1, c, t', h', w') -> (t, h, w, 3) in [0, 1], float32."""
        device = get_module_execution_device(self.vae)
        latents = (latents / self.vae.config.scaling_factor).to(device, self.vae.dtype)
        pixels = self.vae.decode(latents).sample
        return (pixels[0].float().movedim(0, -1) / 2 + 0.5).clamp(0, 1)

    def context(self, latents: Tensor, known: Tensor) -> Context:
        """Composite latents (b, c, t', h', 2w') and mask (t, h, 2w, 1), 1 = known -> network input.

        Unknown cells become zero: black pixels encode to something else, and the network was
        pre-trained to read exact zeros there.
        """
        known = self.pack_known(known, *latents.shape[-2:]).to(latents)
        return Context(latents * known, known)

    def pack_known(self, known: Tensor, height: int, width: int) -> Tensor:
        """Mask (t, h, w, 1), 1 = known -> (1, 1, t', height, width)."""
        return known_latents(known, self.geometry.temporal_stride, height, width)


class HunyuanVideo15Backbone(Layouts, HunyuanLayout):
    """The protocol of backbones/__init__.py on diffusers' HunyuanVideo15Transformer3DModel."""

    predicts_clean = False

    def __init__(
        self,
        name: str,
        geometry: Geometry,
        transformer: HunyuanVideo15Transformer3DModel,
        vae: nn.Module,
        text_encoder: EncodeText,
        defaults: Defaults = ONE_STEP,
    ):
        super().__init__(name, geometry, transformer, vae, text_encoder)
        self.defaults = defaults
        self.step_distilled = transformer.config.use_meanflow
        self.without_padding = False

    def drop_padding(self) -> None:
        """Leave padding tokens of the prompt out instead of masking them: for one prompt at a time.

        The stock attention writes a mask of tokens x tokens in every block, 13 GB at 65,000 of
        them, and keeps fused kernels from running. The answer is the same up to rounding.
        """
        self.without_padding = True
        self._set_processors()

    def _set_processors(self) -> None:
        plain = JointAttention if self.without_padding else HunyuanVideo15AttnProcessor2_0
        for block in self.transformer.transformer_blocks:
            processor = plain()
            if self.exchange is not None:
                processor = HunyuanStreamAttention(processor, self.exchange)
            block.attn.set_processor(processor)

    def velocity(
        self,
        latents: Tensor,
        sigma: Tensor,
        context: Context,
        text: Text,
        sigmas: Tensor | None = None,
        memory: ConditionMemory | None = None,
    ) -> Tensor:
        """d(latents)/d(sigma) at noise level sigma, (b,) or scalar, in [0, 1]; 1 is pure noise.

        Differentiable. A context or text of batch 1 serves the whole batch of latents. sigmas: the
        falling levels (n + 1,) of the sampler. A step-distilled network then answers with the mean
        velocity from sigma to the level after it; without them, with the velocity at sigma itself.
        memory: see Backbone.layout.
        """
        sigma = sigma.to(latents.device).expand(len(latents))
        answer = partial(self._answer, sigmas=sigmas)
        if self.exchange is None:
            return answer(latents, sigma, context, text)
        network, given = self.transformer, (context, _valid_tokens(text))
        return velocity_by_tokens(answer, self.exchange, network, latents, sigma, given, memory)

    def _answer(
        self, latents: Tensor, sigma: Tensor, context: Context, text: Text, sigmas: Tensor | None
    ) -> Tensor:
        """The network's, of samples of any size."""
        batch, dtype = latents.shape[0], self.transformer.dtype
        end = None
        if self.step_distilled:
            end = (_level_after(sigma, sigmas) * TRAIN_TIMESTEPS).to(dtype)
        inputs = Context(*(_expand(part, batch) for part in context))
        text = _valid_tokens(text) if self.without_padding else text
        words = Text(*(_expand(part.to(latents.device), batch) for part in text))
        return self.transformer(
            hidden_states=torch.cat([latents, *inputs], dim=1).to(dtype),
            timestep=(sigma * TRAIN_TIMESTEPS).to(dtype),
            timestep_r=end,
            encoder_hidden_states=words.prompt_embeds.to(dtype),
            encoder_attention_mask=words.prompt_embeds_mask,
            encoder_hidden_states_2=words.prompt_embeds_2.to(dtype),
            encoder_attention_mask_2=words.prompt_embeds_mask_2,
            image_embeds=words.image_embeds.to(dtype),
            return_dict=False,
        )[0].to(latents.dtype)


class HunyuanVideo15TextEncoder:
    """Qwen2.5-VL and ByT5 over the prompt, SigLIP over the reference: the stock pipeline's own."""

    def __init__(self, pipeline: HunyuanVideo15ImageToVideoPipeline):
        self.pipeline = pipeline

    @torch.no_grad()
    def __call__(self, prompts: list[str], reference: Tensor | None) -> Text:
        """Without a reference the image stream stays empty, which the network reads as none."""
        pipeline, batch = self.pipeline, len(prompts)
        device = get_module_execution_device(pipeline.text_encoder)
        dtype = pipeline.text_encoder.dtype
        words, mask, words_2, mask_2 = pipeline.encode_prompt(
            prompts, device, dtype, batch_size=batch
        )
        if reference is None:
            width = pipeline.image_encoder.config.hidden_size
            image = torch.zeros(batch, 0, width, device=device, dtype=dtype)
        else:
            device = get_module_execution_device(pipeline.image_encoder)
            image = pipeline.encode_image(to_picture(reference), batch, device, dtype)
        return Text(words, mask, words_2, mask_2, image)


class HunyuanStreamAttention:
    """The attention of two streams (tokens.py), each with its words; a plain one when alone."""

    _attention_backend = None
    _parallel_config = None

    def __init__(self, plain: Any, exchange: Exchange):
        self.plain, self.exchange = plain, exchange

    def __call__(
        self,
        attn: nn.Module,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor,
        attention_mask: Tensor,
        image_rotary_emb: tuple[Tensor, Tensor],
    ) -> tuple[Tensor, Tensor]:
        inputs = hidden_states, encoder_hidden_states
        if self.exchange.alone:
            return self.plain(attn, *inputs, attention_mask, image_rotary_emb)
        attend = partial(
            self.exchange.attend,
            attn,
            pictures=hidden_states.shape[1],
            backend=self._attention_backend,
        )
        return joint_attention(attn, *inputs, image_rotary_emb, attend=attend)


def _valid_tokens(text: Text) -> Text:
    """Without padding; of one prompt."""
    assert len(text.prompt_embeds) == 1, "padding can be dropped of one prompt at a time"
    keep, keep_2 = (mask[0].bool() for mask in (text.prompt_embeds_mask, text.prompt_embeds_mask_2))
    return text._replace(
        prompt_embeds=text.prompt_embeds[:, keep],
        prompt_embeds_mask=text.prompt_embeds_mask[:, keep],
        prompt_embeds_2=text.prompt_embeds_2[:, keep_2],
        prompt_embeds_mask_2=text.prompt_embeds_mask_2[:, keep_2],
    )


def _expand(part: Tensor, batch: int) -> Tensor:
    return part.expand(batch, *part.shape[1:])


def _level_after(sigma: Tensor, sigmas: Tensor | None) -> Tensor:
    """The level that follows each sigma (b,) in sigmas; sigma itself without them."""
    if sigmas is None:
        return sigma
    sigmas = sigmas.to(sigma)
    index = (sigmas[:-1] - sigma[:, None]).abs().argmin(dim=1)
    return sigmas[index + 1]


def _owns(tensors: Tensors) -> bool:
    return bool(tensors.keys() & {"cond_type_embedding.weight", "cond_type_embed.weight"})


def _convert(tensors: Tensors) -> Tensors:
    return convert_checkpoint(tensors, KEY_NAMES)


def _describe(tensors: Tensors) -> Found:
    """Heads are 128 wide, as in every published checkpoint; shapes do not tell."""
    width, channels = tensors["x_embedder.proj.weight"].shape[:2]
    latents = tensors["proj_out.weight"].shape[0]
    if channels != 2 * latents + 1:
        raise InputError(
            "HunyuanVideo-1.5 checkpoint",
            got=f"{channels} channels in and {latents} out",
            need="65 in and 32 out: noise, condition and mask",
            fix="Choose the image-to-video model; a super-resolution model cannot animate.",
        )
    config = {
        "in_channels": channels,
        "out_channels": latents,
        "num_attention_heads": width // HEAD_DIM,
        "attention_head_dim": HEAD_DIM,
        "num_layers": count_blocks(tensors, "transformer_blocks."),
        "num_refiner_layers": count_blocks(
            tensors, "context_embedder.token_refiner.refiner_blocks."
        ),
        "text_embed_dim": tensors["context_embedder.proj_in.weight"].shape[1],
        "text_embed_2_dim": tensors["context_embedder_2.norm.weight"].shape[0],
        "image_embed_dim": tensors["image_embedder.norm_in.weight"].shape[0],
        "use_meanflow": any(key.startswith("time_embed.timestep_embedder_r") for key in tensors),
    }
    geometry = replace(GEOMETRY, latent_channels=latents)
    return Found("hunyuanvideo-1.5", geometry, config, _defaults(config))


def _defaults(config: dict[str, Any]) -> Defaults:
    return STEP_DISTILLED if config["use_meanflow"] else DEFAULTS


def _pack_known(found: Found, known: Tensor, height: int, width: int) -> Tensor:
    return known_latents(known, found.geometry.temporal_stride, height, width)


def _widths(config: dict[str, Any]) -> dict[str, int]:
    return {
        "text_encoder": config["text_embed_dim"],
        "text_encoder_2": config["text_embed_2_dim"],
        "image_encoder": config["image_embed_dim"],
    }


def _build(found: Found, pipeline: HunyuanVideo15ImageToVideoPipeline) -> HunyuanVideo15Backbone:
    return HunyuanVideo15Backbone(
        found.name,
        found.geometry,
        pipeline.transformer,
        pipeline.vae,
        HunyuanVideo15TextEncoder(pipeline),
        defaults=found.defaults,
    )


FAMILY = Family(
    "HunyuanVideo-1.5", HunyuanVideo15Transformer3DModel, "HunyuanVideo15ImageToVideoPipeline",
    _owns, _convert, _describe, _widths, _build, _pack_known,
    vae_frames=0, vae_values=500, masks_attention=True,
)  # fmt: skip
