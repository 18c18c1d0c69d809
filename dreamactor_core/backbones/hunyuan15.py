"""HunyuanVideo-1.5 and the small model of the same class (paper sections 3.1 and 3.2).

The network reads, along channels,

    [ noisy latents c | condition latents c | mask 1 ]      mask 1 = known, 0 = to be drawn

and unknown condition latents are zero. A step-distilled (MeanFlow) network also reads where its
step ends. Frames are float32 in [0, 1], (t, h, w, 3); latents are (b, c, t', h', w'), scaled to
about unit variance.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

import torch
from diffusers import HunyuanVideo15Transformer3DModel
from diffusers.models.attention_dispatch import dispatch_attention_fn
from torch import Tensor, nn
from torch.nn import functional

from ..composite import known_latents
from ..errors import InputError
from ..geometry import Geometry
from ..weight_files.family import Family, Found, Tensors, count_blocks
from ..weight_files.hunyuan15_keys import KEY_NAMES
from ..weight_files.keys import convert_checkpoint
from . import Context, LoraTargets, Text, to_picture
from .network import forget_steps, get_module_execution_device, guidance_branch

if TYPE_CHECKING:
    from diffusers import HunyuanVideo15ImageToVideoPipeline

TRAIN_TIMESTEPS = 1000  # the network's clock runs from 0 (data) to 1000 (noise)
PREDICTION_TYPES = ("flow", "sample", "residual")
HEAD = 128  # width of an attention head
LEAST_SIGMA = 0.02  # a predicted x0 is divided by sigma: below this its error would be blown up

GEOMETRY = Geometry(
    latent_channels=32,
    spatial_stride=16,
    size_multiple=16,
    temporal_stride=4,
    fps=24.0,
    num_frames=121,
    panel=(832, 480),
)

EncodeText = Callable[[list[str], Tensor | None], Text]  # (prompts, reference (1, h, w, 3) or None)


def encode_video(vae: nn.Module, frames: Tensor) -> Tensor:
    """(t, h, w, 3) in [0, 1] -> scaled latents (1, c, t', h', w'), float32, without sampling."""
    device = get_module_execution_device(vae)  # of an offloaded one, where it works
    pixels = (2 * frames - 1).movedim(-1, 0)[None].to(device, vae.dtype)
    return vae.encode(pixels).latent_dist.mode().float() * vae.config.scaling_factor


def decode_video(vae: nn.Module, latents: Tensor) -> Tensor:
    """Scaled latents (1, c, t', h', w') -> (t, h, w, 3) in [0, 1], float32."""
    device = get_module_execution_device(vae)
    pixels = vae.decode((latents / vae.config.scaling_factor).to(device, vae.dtype)).sample
    return (pixels[0].float().movedim(0, -1) / 2 + 0.5).clamp(0, 1)


class HunyuanVideo15Backbone:
    """The protocol of backbones/__init__.py on diffusers' HunyuanVideo15Transformer3DModel."""

    blank = "zero"
    transformer_2 = None
    frames_per_latent = 1  # of which the network reads one at a time, see mini.py
    key_names = KEY_NAMES
    lora_targets = LoraTargets(
        feed_forward=r"transformer_blocks\.\d+\.ff\.net\.(0\.proj|2)",
        attention=r"transformer_blocks\.\d+\.attn\.to_(q|k|v|out\.0)",
        patch_embedding=r"x_embedder\.proj",
    )

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
        latent = geometry.latent_channels // self.frames_per_latent
        assert (config.in_channels, config.out_channels) == self.channels(latent)
        if prediction_type not in PREDICTION_TYPES:
            raise InputError(
                "prediction_type",
                got=repr(prediction_type),
                need=" or ".join(PREDICTION_TYPES),
                fix="Correct model.json.",
            )
        self.name = name
        self.geometry = geometry
        self.transformer = transformer
        self.vae = vae
        self.text_encoder = text_encoder
        self.prediction_type = prediction_type
        self.step_distilled = config.use_meanflow
        self.without_padding = False

    @staticmethod
    def channels(latent: int) -> tuple[int, int]:
        """How many channels the network reads and answers with for so many of the latents."""
        return 2 * latent + 1, latent

    def drop_padding(self) -> None:
        """Leave padding tokens of the prompt out instead of masking them: for one prompt at a time.

        The stock attention writes a mask of tokens x tokens in every block, 13 GB at 65,000 of
        them, and keeps fused kernels from running. The answer is the same up to rounding.
        """
        self.without_padding = True
        for block in self.transformer.transformer_blocks:
            block.attn.set_processor(JointAttention())

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
        forget_steps(self.transformer)
        mask = known_latents(known, self.geometry.temporal_stride, *latents.shape[-2:]).to(latents)
        return Context(latents * mask, mask)

    def velocity(
        self,
        latents: Tensor,
        sigma: Tensor,
        context: Context,
        text: Text,
        sigmas: Tensor | None = None,
    ) -> Tensor:
        """d(latents)/d(sigma) at noise level sigma, (b,) or scalar, in [0, 1]; 1 is pure noise.

        Differentiable. A context or text of batch 1 serves the whole batch of latents. sigmas: the
        falling levels (n + 1,) of the sampler. A step-distilled network then answers with the mean
        velocity from sigma to the level after it; without them, with the velocity at sigma itself.
        """
        batch, dtype = latents.shape[0], self.transformer.dtype
        sigma = sigma.to(latents.device).expand(batch)
        end = None
        if self.step_distilled:
            end = (_level_after(sigma, sigmas) * TRAIN_TIMESTEPS).to(dtype)
        inputs = Context(*(_expand(part, batch) for part in context))
        given, text = text, _valid_tokens(text) if self.without_padding else text
        words = Text(*(_expand(part.to(latents.device), batch) for part in text))
        with guidance_branch(self.transformer, context, given):
            predicted = self.predict(latents, sigma, end, inputs, words)
        if self.prediction_type == "flow":
            return predicted
        if self.prediction_type == "residual":
            predicted = predicted + inputs.latents[:, :, :1]
        return (latents - predicted) / sigma.clamp(min=LEAST_SIGMA).to(latents.dtype).view(
            -1, 1, 1, 1, 1
        )

    def predict(
        self, latents: Tensor, sigma: Tensor, end: Tensor | None, context: Context, text: Text
    ) -> Tensor:
        """One call of the network: latents (b, c, ...), sigma (b,), and a context of the same b."""
        dtype = self.transformer.dtype
        return self.transformer(
            hidden_states=torch.cat([latents, *context], dim=1).to(dtype),
            timestep=(sigma * TRAIN_TIMESTEPS).to(dtype),
            timestep_r=end,
            encoder_hidden_states=text.prompt_embeds.to(dtype),
            encoder_attention_mask=text.prompt_embeds_mask,
            encoder_hidden_states_2=text.prompt_embeds_2.to(dtype),
            encoder_attention_mask_2=text.prompt_embeds_mask_2,
            image_embeds=text.image_embeds.to(dtype),
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
        parts = pipeline.encode_prompt(prompts, device, dtype, batch_size=batch)
        if reference is None:
            width = pipeline.image_encoder.config.hidden_size
            image = torch.zeros(batch, 0, width, device=device, dtype=dtype)
        else:
            device = get_module_execution_device(pipeline.image_encoder)
            image = pipeline.encode_image(to_picture(reference), batch, device, dtype)
        return Text(*parts, image)


class JointAttention:
    """Joint attention of the visual and the text stream without a mask of tokens x tokens.

    masked: padding of the prompts must be kept from being read; unset when every token counts.
    """

    _attention_backend = None
    _parallel_config = None
    masked = False

    def __call__(
        self,
        attn: nn.Module,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor,
        attention_mask: Tensor,
        image_rotary_emb: tuple[Tensor, Tensor],
    ) -> tuple[Tensor, Tensor]:
        """(b, l, d) and (b, m, d) -> the same; attention_mask (b, m), cos and sin as for rotate."""
        query, key, value = (
            layer(hidden_states).unflatten(2, (attn.heads, -1))
            for layer in (attn.to_q, attn.to_k, attn.to_v)
        )
        query, key = (
            rotate(norm(heads), image_rotary_emb)
            for norm, heads in ((attn.norm_q, query), (attn.norm_k, key))
        )
        words = [
            layer(encoder_hidden_states).unflatten(2, (attn.heads, -1))
            for layer in (attn.add_q_proj, attn.add_k_proj, attn.add_v_proj)
        ]
        words[:2] = attn.norm_added_q(words[0]), attn.norm_added_k(words[1])
        # Under autocast norms answer in float32 and layers do not.
        joint = (
            torch.cat(pair, dim=1).to(value.dtype)
            for pair in zip((query, key, value), words, strict=True)
        )
        mask = None
        if self.masked:
            picture = hidden_states.shape[1]
            mask = functional.pad(attention_mask.bool(), (picture, 0), value=True)[:, None, None]
        answer = dispatch_attention_fn(*joint, attn_mask=mask, backend=self._attention_backend)
        picture, text = answer.flatten(2).split([hidden_states.shape[1], words[0].shape[1]], dim=1)
        return attn.to_out[1](attn.to_out[0](picture)), attn.to_add_out(text)


def rotate(heads: Tensor, freqs: tuple[Tensor, Tensor]) -> Tensor:
    """Rotary embedding of heads (b, l, n, d) by cos and sin, (l, d), or (b, l, d) for each sample.

    As diffusers' apply_rotary_emb, which knows the first alone.
    """
    cos, sin = (part.unsqueeze(-2) for part in freqs)
    real, imaginary = heads.unflatten(-1, (-1, 2)).unbind(-1)
    turned = torch.stack([-imaginary, real], dim=-1).flatten(-2)
    return (heads.float() * cos + turned.float() * sin).to(heads.dtype)


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
        "num_attention_heads": width // HEAD,
        "attention_head_dim": HEAD,
        "num_layers": count_blocks(tensors, "transformer_blocks."),
        "num_refiner_layers": count_blocks(
            tensors, "context_embedder.token_refiner.refiner_blocks."
        ),
        "text_embed_dim": tensors["context_embedder.proj_in.weight"].shape[1],
        "text_embed_2_dim": tensors["context_embedder_2.norm.weight"].shape[0],
        "image_embed_dim": tensors["image_embedder.norm_in.weight"].shape[0],
        "use_meanflow": any(key.startswith("time_embed.timestep_embedder_r") for key in tensors),
    }
    return Found("hunyuanvideo-1.5", replace(GEOMETRY, latent_channels=latents), config)


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
    )


FAMILY = Family(
    title="HunyuanVideo-1.5",
    network=HunyuanVideo15Transformer3DModel,
    pipeline="HunyuanVideo15ImageToVideoPipeline",
    owns=_owns,
    convert=_convert,
    describe=_describe,
    widths=_widths,
    build=_build,
    vae_frames=0,
    vae_values=500,
    masks_attention=True,
)
