"""Wan 2.1 and 2.2 image-to-video (paper section 3.2 on an open backbone).

Two interfaces, told apart by the channels of the checkpoint.

I2V 14B, Fun-InP 1.3B and 14B, and the two experts of A14B read, along channels,

    [ noisy latents 16 | mask 4 | condition latents 16 ]        mask 1 = known, 0 = to be drawn

where the mask holds one value for each of the four frames of a latent (frame 0 four times) and
unknown pixels were mid-grey before encoding. TI2V-5B has no mask: known cells of its input hold the
clean latents, and their tokens stand at timestep 0. Of two experts, one works at sigma >=
boundary_ratio and the other below it.

Frames are float32 in [0, 1], (t, h, w, 3); latents are (b, c, t', h', w'), about unit variance.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from diffusers import WanTransformer3DModel
from diffusers.loaders.single_file_utils import convert_wan_transformer_to_diffusers
from diffusers.models.transformers.transformer_wan import WanAttnProcessor
from torch import Tensor, nn

from ..composite import known_latents
from ..errors import InputError
from ..geometry import Geometry
from ..options import ONE_STEP, Defaults
from ..weight_files.family import Family, Found, Tensors, count_blocks
from ..weight_files.wan_keys import KEY_NAMES
from . import HEAD_DIM, TRAIN_TIMESTEPS, Context, EncodeText, LoraTargets, Text
from .attention import rotate
from .device import get_module_execution_device
from .tokens import ConditionMemory, Exchange, Layouts, towards, velocity_by_tokens
from .wan_text import WanTextEncoder

if TYPE_CHECKING:
    from diffusers import WanImageToVideoPipeline

PATCH_SIZE = 2  # latent cells along each side of a token
BOUNDARY_RATIO = 0.9  # of A14B image-to-video, for files that do not say (Wan 2.2's own config)

I2V_GEOMETRY = Geometry(
    latent_channels=16, spatial_stride=8, size_multiple=16, temporal_stride=4, fps=16.0,
    num_frames=81, panel=(832, 480),
)  # fmt: skip
TI2V_GEOMETRY = replace(
    I2V_GEOMETRY, latent_channels=48, spatial_stride=16, size_multiple=32, fps=24.0,
    num_frames=121, panel=(704, 640),
)  # fmt: skip

# Steps, guidance, shift of the publishers' own programs: generate.py of Wan-Video/Wan2.1 (the shift
# is 3 at 480p and 5 at 720p), wan_i2v_A14B.py and wan_ti2v_5B.py in wan/configs of Wan-Video/Wan2.2
# (both experts of A14B at 3.5), and predict_i2v.py in examples/wan2.1_fun of aigc-apps/VideoX-Fun.
# Fun-InP 14B has the shapes of I2V 14B, and so its defaults; of 1.3B there is no other.
I2V_DEFAULTS = Defaults(40, 5.0, 3.0, shift_large=5.0, follows_aspect=True)
FUN_DEFAULTS = Defaults(50, 6.0, 3.0, shift_large=5.0, follows_aspect=True)
A14B_DEFAULTS = Defaults(40, 3.5, 5.0, follows_aspect=True)
TI2V_DEFAULTS = Defaults(50, 5.0, 5.0, follows_aspect=True)


class WanBackbone(Layouts):
    """The protocol of backbones/__init__.py on diffusers' WanTransformer3DModel."""

    blank = "grey"
    step_distilled = predicts_clean = False
    key_names = KEY_NAMES
    lora_targets = LoraTargets(
        feed_forward=r"blocks\.\d+\.ffn\.net\.(0\.proj|2)",
        attention=r"blocks\.\d+\.attn1\.to_(q|k|v|out\.0)",
        patch_embedding=r"patch_embedding",
    )

    def __init__(
        self,
        name: str,
        geometry: Geometry,
        transformer: WanTransformer3DModel,
        vae: nn.Module,
        text_encoder: EncodeText,
        transformer_2: WanTransformer3DModel | None = None,
        boundary_ratio: float = BOUNDARY_RATIO,
        defaults: Defaults = ONE_STEP,
    ):
        """vae: AutoencoderKLWan. transformer_2: the low-noise expert of A14B."""
        config, channels = transformer.config, geometry.latent_channels
        assert config.out_channels == channels
        assert config.in_channels in (channels, 2 * channels + geometry.temporal_stride)
        self.name = name
        self.geometry = geometry
        self.transformer = transformer
        self.transformer_2 = transformer_2
        self.boundary_ratio = boundary_ratio
        self.defaults = defaults
        self.vae = vae
        self.text_encoder = text_encoder
        assert [*config.patch_size[1:]] == [PATCH_SIZE, PATCH_SIZE], config.patch_size
        self.by_token = config.in_channels == channels  # TI2V

    def encode_video(self, frames: Tensor) -> Tensor:
        """(t, h, w, 3) in [0, 1] -> latents (1, c, t', h', w'), float32, without sampling."""
        self.geometry.latent_frames(frames.shape[0])
        device = get_module_execution_device(self.vae)
        pixels = (2 * frames - 1).movedim(-1, 0)[None].to(device, self.vae.dtype)
        latents = self.vae.encode(pixels).latent_dist.mode().float()
        mean, inverse_std = self._statistics(latents)
        return (latents - mean) * inverse_std

    def decode_video(self, latents: Tensor) -> Tensor:
        """Latents (1, c, t', h', w') -> (t, h, w, 3) in [0, 1], float32."""
        latents = latents.to(get_module_execution_device(self.vae), self.vae.dtype)
        mean, inverse_std = self._statistics(latents)
        pixels = self.vae.decode(latents / inverse_std + mean).sample
        return (pixels[0].float().movedim(0, -1) / 2 + 0.5).clamp(0, 1)

    def encode_text(self, prompts: list[str], reference: Tensor | None) -> Text:
        """Prompts -> Text; reference (1, h, w, 3) for checkpoints with an image stream."""
        return self.text_encoder(prompts, reference)

    def context(self, latents: Tensor, known: Tensor) -> Context:
        """Composite latents (b, c, t', h', 2w') and mask (t, h, 2w, 1), 1 = known -> network input.

        The latents are those of frames that paint_blank has prepared. For TI2V a token is known
        only if each of its cells is.
        """
        return Context(latents, self.pack_known(known, *latents.shape[-2:]).to(latents))

    def pack_known(self, known: Tensor, height: int, width: int) -> Tensor:
        """Mask (t, h, w, 1), 1 = known -> (1, 4 or 1, t', height, width)."""
        stride = self.geometry.temporal_stride
        if self.by_token:
            return pack_token_mask(known, stride, height, width)
        return pack_mask(known, stride, height, width)

    def velocity(
        self,
        latents: Tensor,
        sigma: Tensor,
        context: Context,
        text: Text,
        memory: ConditionMemory | None = None,
    ) -> Tensor:
        """d(latents)/d(sigma) at noise level sigma, (b,) or scalar, in [0, 1]; 1 is pure noise.

        Differentiable. A context or text of batch 1 serves the whole batch of latents, which must
        lie on one side of the boundary between two experts. memory: see Backbone.layout.
        """
        sigma = sigma.to(latents.device).expand(len(latents))
        network = self._expert(sigma * TRAIN_TIMESTEPS)
        answer = partial(self._answer, network)
        if self.exchange is None:
            return answer(latents, sigma, context, text)
        given = context, text
        return velocity_by_tokens(answer, self.exchange, network, latents, sigma, given, memory)

    def _answer(
        self,
        network: WanTransformer3DModel,
        latents: Tensor,
        sigma: Tensor,
        context: Context,
        text: Text,
    ) -> Tensor:
        """A network's, of samples of any size."""
        batch = latents.shape[0]
        timestep = sigma * TRAIN_TIMESTEPS
        given, known = (part.expand(batch, *part.shape[1:]) for part in context)
        if self.by_token:
            noisy, unknown = known * given + (1 - known) * latents, 1 - known
            timestep = token_timesteps(timestep, unknown)
        else:
            noisy = torch.cat([latents, known, given], dim=1)
        words = (text.prompt_embeds, text.image_embeds)
        prompt, image = (
            part.to(latents.device, network.dtype).expand(batch, *part.shape[1:]) for part in words
        )
        predicted = network(
            hidden_states=noisy.to(network.dtype),
            timestep=timestep,
            encoder_hidden_states=prompt,
            encoder_hidden_states_image=None if network.config.image_dim is None else image,
            return_dict=False,
        )[0].to(latents.dtype)
        if not self.by_token:
            return predicted
        # What is given is not predicted: its velocity is the one that leads to it.
        return torch.where(known == 1, towards(given, latents, sigma), predicted)

    def _set_processors(self) -> None:
        for network in filter(None, (self.transformer, self.transformer_2)):
            for block in network.blocks:
                exchange = self.exchange
                block.attn1.set_processor(
                    WanAttnProcessor() if exchange is None else WanStreamAttention(exchange)
                )

    def _expert(self, timestep: Tensor) -> WanTransformer3DModel:
        if self.transformer_2 is None:
            return self.transformer
        high = timestep >= self.boundary_ratio * TRAIN_TIMESTEPS
        assert high.all() or not high.any(), "a batch on both sides of the boundary"
        return self.transformer if high.all() else self.transformer_2

    def _statistics(self, latents: Tensor) -> tuple[Tensor, Tensor]:
        config = self.vae.config
        mean, std = (
            torch.tensor(values).view(1, -1, 1, 1, 1)
            for values in (config.latents_mean, config.latents_std)
        )
        return mean.to(latents), (1.0 / std).to(latents)


class WanStreamAttention(WanAttnProcessor):
    """Self-attention of two streams (tokens.py); the stock one when alone."""

    def __init__(self, exchange: Exchange):
        super().__init__()
        self.exchange = exchange

    def __call__(
        self,
        attn: nn.Module,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | None = None,
        attention_mask: Tensor | None = None,
        rotary_emb: tuple[Tensor, Tensor] | None = None,
    ) -> Tensor:
        if self.exchange.alone or rotary_emb is None:
            inputs = hidden_states, encoder_hidden_states, attention_mask, rotary_emb
            return super().__call__(attn, *inputs)
        freqs = tuple(part[0, :, 0] for part in rotary_emb)  # (l, d)
        value = attn.to_v(hidden_states).unflatten(2, (attn.heads, -1))
        query, key = (
            rotate(norm(layer(hidden_states)).unflatten(2, (attn.heads, -1)), freqs).to(value.dtype)
            for norm, layer in ((attn.norm_q, attn.to_q), (attn.norm_k, attn.to_k))
        )
        answer = self.exchange.attend(
            attn, query, key, value, hidden_states.shape[1], self._attention_backend
        )
        return attn.to_out[1](attn.to_out[0](answer.flatten(2)))


def pack_mask(known: Tensor, temporal_stride: int, height: int, width: int) -> Tensor:
    """Mask (t, h, w, 1), 1 = known -> (1, temporal_stride, t', height, width), a frame a channel.

    A cell of a frame is known only if every pixel of it is; frame 0 fills its group alone.
    """
    frames = known_latents(known, 1, height, width)[0, 0]  # (t, height, width)
    frames = torch.cat([frames[:1].expand(temporal_stride, -1, -1), frames[1:]])
    return frames.unflatten(0, (-1, temporal_stride)).transpose(0, 1)[None]


def pack_token_mask(known: Tensor, temporal_stride: int, height: int, width: int) -> Tensor:
    """Mask (t, h, w, 1), 1 = known -> (1, 1, t', height, width), all cells of a token alike.

    A token is known only if every pixel of it is.
    """
    mask = known_latents(known, temporal_stride, height // PATCH_SIZE, width // PATCH_SIZE)
    return mask.repeat_interleave(PATCH_SIZE, dim=3).repeat_interleave(PATCH_SIZE, dim=4)


def token_timesteps(timestep: Tensor, unknown: Tensor) -> Tensor:
    """(b,) and mask (b, c, t', h', w'), 1 = to be drawn -> (b, tokens), 0 where known."""
    return unknown[:, 0, :, ::PATCH_SIZE, ::PATCH_SIZE].flatten(1) * timestep[:, None]


OTHERS = {  # layers that only relatives of Wan have, which take other inputs
    "vace_patch_embedding": "VACE",
    "vace_blocks": "VACE",
    "face_adapter": "Wan-Animate",
    "motion_encoder": "Wan-Animate",
    "patch_embedding_pose": "SCAIL",
    "patch_embedding_mask": "SCAIL-2",
    "control_adapter": "Fun-Camera",
    "ref_conv": "Fun-Control",
    "casual_audio_encoder": "S2V",
    "audio_proj": "HuMo",
}
SIZES = {1536: "1.3b", 3072: "5b", 5120: "14b"}  # by width


def _owns(tensors: Tensors) -> bool:
    return "patch_embedding.weight" in tensors and bool(
        tensors.keys() & {"head.modulation", "scale_shift_table"}
    )


def _convert(tensors: Tensors) -> Tensors:
    return (
        convert_wan_transformer_to_diffusers(tensors) if "head.modulation" in tensors else tensors
    )


def _describe(tensors: Tensors) -> Found:
    """Heads are 128 wide, as in every published checkpoint; shapes do not tell."""
    width, channels = tensors["patch_embedding.weight"].shape[:2]
    latents = tensors["proj_out.weight"].shape[0] // 4
    image = tensors.get("condition_embedder.image_embedder.norm1.weight")
    relative = next(
        (name for key in tensors for part, name in OTHERS.items() if key.startswith(part)), None
    )
    by_token = channels == latents and latents != 16
    if relative or not (by_token or channels == 2 * latents + I2V_GEOMETRY.temporal_stride):
        kind = relative or ("text-to-video" if channels == latents else f"{channels}-channel")
        raise InputError(
            "Wan checkpoint",
            got=f"a {kind} model ({channels} channels in, {latents} out)",
            need="an image-to-video model: 36 channels in and 16 out, or TI2V-5B with 48 and 48",
            fix="Choose Wan2.1 I2V, Fun-InP, Wan2.2 I2V-A14B or Wan2.2 TI2V-5B.",
        )
    size = SIZES.get(width, str(width))
    experts = not by_token and image is None
    kind = "ti2v" if by_token else "i2v"
    config = {
        "num_attention_heads": width // HEAD_DIM,
        "attention_head_dim": HEAD_DIM,
        "in_channels": channels,
        "out_channels": latents,
        "text_dim": tensors["condition_embedder.text_embedder.linear_1.weight"].shape[1],
        "freq_dim": tensors["condition_embedder.time_embedder.linear_1.weight"].shape[1],
        "ffn_dim": tensors["blocks.0.ffn.net.0.proj.weight"].shape[0],
        "num_layers": count_blocks(tensors, "blocks."),
        "image_dim": None if image is None else image.shape[0],
        "added_kv_proj_dim": None if image is None else width,
    }
    geometry = replace(TI2V_GEOMETRY if latents == 48 else I2V_GEOMETRY, latent_channels=latents)
    name = f"wan-{kind}-a{size}" if experts else f"wan-{kind}-{size}"
    return Found(name, geometry, config, _defaults(by_token, experts, size), two_experts=experts)


def _defaults(by_token: bool, experts: bool, size: str) -> Defaults:
    if by_token:
        return TI2V_DEFAULTS
    if experts:
        return A14B_DEFAULTS
    return FUN_DEFAULTS if size == "1.3b" else I2V_DEFAULTS


def _pack_known(found: Found, known: Tensor, height: int, width: int) -> Tensor:
    by_token = found.config["in_channels"] == found.config["out_channels"]
    pack = pack_token_mask if by_token else pack_mask
    return pack(known, found.geometry.temporal_stride, height, width)


def _widths(config: dict[str, Any]) -> dict[str, int]:
    widths = {"text_encoder": config["text_dim"]}
    return (
        widths if config["image_dim"] is None else widths | {"image_encoder": config["image_dim"]}
    )


def _build(found: Found, pipeline: WanImageToVideoPipeline) -> WanBackbone:
    return WanBackbone(
        found.name,
        found.geometry,
        pipeline.transformer,
        pipeline.vae,
        WanTextEncoder(pipeline),
        pipeline.transformer_2,
        pipeline.config.boundary_ratio or BOUNDARY_RATIO,
        found.defaults,
    )


FAMILY = Family(
    "Wan image-to-video", WanTransformer3DModel, "WanImageToVideoPipeline",
    _owns, _convert, _describe, _widths, _build, _pack_known,
    vae_frames=4, vae_values=800, masks_attention=False,
)  # fmt: skip
