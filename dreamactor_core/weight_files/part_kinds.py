"""What a weights file beside a pipeline can be, and how its keys are named as diffusers names them.

The first kind that owns a file has it: see PART_KINDS at the end.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, NamedTuple

from diffusers.loaders.single_file_utils import convert_wan_vae_to_diffusers

from .family import Tensors


class PartKind(NamedTuple):
    """What a file can be."""

    title: str  # for people
    classes: tuple[str, ...]  # of diffusers or transformers
    owns: Callable[[Tensors], bool]
    convert: Callable[[Tensors], Tensors]  # to the keys of the class, as it saves them
    unused: tuple[str, ...] = ()  # beginnings of keys that the class has no use for
    fits: Callable[[dict[str, Any]], bool] = lambda config: True  # the folder's config


_RESIDUAL = {
    "residual.0": "norm1",
    "residual.2": "conv1",
    "residual.3": "norm2",
    "residual.6": "conv2",
    "shortcut": "conv_shortcut",
}
_WAN_2_2_STAGE = re.compile(
    r"(en|de)coder\.(down|up)samples\.(\d+)\.(?:down|up)samples\.(\d+)\."
    r"(residual\.\d|shortcut|resample|time_conv)\."
)
_HUNYUAN_VAE = (
    (r"\.down\.(\d+)\.block\.(\d+)\.", r".down_blocks.\1.resnets.\2."),
    (r"\.down\.(\d+)\.downsample\.", r".down_blocks.\1.downsamplers.0."),
    (r"\.up\.(\d+)\.block\.(\d+)\.", r".up_blocks.\1.resnets.\2."),
    (r"\.up\.(\d+)\.upsample\.", r".up_blocks.\1.upsamplers.0."),
    (r"\.mid\.block_1\.", ".mid_block.resnets.0."),
    (r"\.mid\.block_2\.", ".mid_block.resnets.1."),
    (r"\.mid\.attn_1\.([qkv])\.", r".mid_block.attentions.0.to_\1."),
    (r"\.mid\.attn_1\.", ".mid_block.attentions.0."),
    (r"\.nin_shortcut\.", ".conv_shortcut."),
)
_OPEN_CLIP = (
    (r"^visual\.", ""),
    (r"^class_embedding$", "embeddings.class_embedding"),
    (r"^conv1\.", "embeddings.patch_embedding."),
    (r"^positional_embedding$", "embeddings.position_embedding.weight"),
    (r"^ln_pre\.", "pre_layrnorm."),
    (r"^ln_post\.", "post_layernorm."),
    (r"^transformer\.resblocks\.", "encoder.layers."),
    (r"\.ln_([12])\.", r".layer_norm\1."),
    (r"\.mlp\.c_fc\.", ".mlp.fc1."),
    (r"\.mlp\.c_proj\.", ".mlp.fc2."),
    (r"\.attn\.", ".self_attn."),
)


def _wan_2_1_vae(tensors: Tensors) -> Tensors:
    """diffusers' own table; its keys pass as they are."""
    return convert_wan_vae_to_diffusers(tensors)


def _wan_2_2_vae(tensors: Tensors) -> Tensors:
    """diffusers' table lacks the stages of Wan 2.2, and lets what it does not know pass."""
    return convert_wan_vae_to_diffusers(
        {_WAN_2_2_STAGE.sub(_wan_2_2_stage, key): tensor for key, tensor in tensors.items()}
    )


def _wan_2_2_stage(found: re.Match) -> str:
    side, way, stage, place, layer = found.groups()
    inner = f"resnets.{place}.{_RESIDUAL[layer]}" if layer in _RESIDUAL else f"{way}sampler.{layer}"
    return f"{side}coder.{way}_blocks.{stage}.{inner}."


def _renamed(tensors: Tensors, rules: tuple[tuple[str, str], ...]) -> Tensors:
    named = {}
    for key, tensor in tensors.items():
        for pattern, name in rules:
            key = re.sub(pattern, name, key)
        named[key] = tensor
    return named


def _hunyuan_vae(tensors: Tensors) -> Tensors:
    return _renamed(tensors, _HUNYUAN_VAE)


def _qwen(tensors: Tensors) -> Tensors:
    return _renamed(tensors, ((r"^language_model\.(model\.)?", ""),))


def _vision(tensors: Tensors) -> Tensors:
    """Of CLIP and SigLIP; CLIP's also by open_clip's names, where q, k and v are one tensor."""
    tensors = _renamed(tensors, ((r"^vision_model\.", ""),))
    if "visual.ln_pre.weight" not in tensors:
        return tensors
    split: Tensors = {}
    for key, tensor in _renamed(tensors, _OPEN_CLIP).items():
        layer, fused, leaf = key.partition(".in_proj_")
        thirds = zip("qkv", tensor.chunk(3), strict=True) if fused else ()
        split |= {f"{layer}.{name}_proj.{leaf}": third for name, third in thirds} or {key: tensor}
    return split


def _has(*keys: str) -> Callable[[Tensors], bool]:
    """Whether a file has any of the keys."""
    return lambda tensors: any(key in tensors for key in keys)


PART_KINDS = (  # the first that owns a file has it
    PartKind(
        "the autoencoder of Wan 2.2 5B",
        ("AutoencoderKLWan",),
        _has(
            "decoder.upsamples.0.upsamples.0.residual.2.weight",
            "decoder.up_blocks.0.upsampler.resample.1.weight",
        ),
        _wan_2_2_vae,
        fits=lambda config: config.get("is_residual", False),
    ),
    PartKind(
        "the autoencoder of Wan 2.1",
        ("AutoencoderKLWan",),
        _has(
            "decoder.middle.0.residual.0.gamma", "decoder.up_blocks.0.upsamplers.0.time_conv.weight"
        ),
        _wan_2_1_vae,
        fits=lambda config: not config.get("is_residual", False),
    ),
    PartKind(
        "the autoencoder of HunyuanVideo-1.5",
        ("AutoencoderKLHunyuanVideo15",),
        _has("decoder.mid.attn_1.norm.gamma", "decoder.mid_block.attentions.0.norm.gamma"),
        _hunyuan_vae,
    ),
    PartKind(
        "a T5 text encoder",
        ("T5EncoderModel", "UMT5EncoderModel"),
        _has("encoder.block.0.layer.0.SelfAttention.q.weight"),
        dict,
        unused=("decoder.", "lm_head.", "spiece_model"),
    ),
    PartKind(
        "a Qwen2.5-VL text encoder",
        ("Qwen2_5_VLTextModel",),
        _has("layers.0.self_attn.q_proj.bias", "language_model.layers.0.self_attn.q_proj.bias"),
        _qwen,
        unused=("visual.", "lm_head."),
    ),
    PartKind(
        "a CLIP image encoder",
        ("CLIPVisionModel",),
        _has("vision_model.pre_layrnorm.weight", "pre_layrnorm.weight", "visual.ln_pre.weight"),
        _vision,
        unused=(
            "vision_model.embeddings.position_ids",
            "visual_projection.",
            "visual.proj",
            "text_",
            "logit_scale",
        ),
    ),
    PartKind(
        "a SigLIP image encoder",
        ("SiglipVisionModel",),
        _has("vision_model.embeddings.patch_embedding.bias", "embeddings.patch_embedding.bias"),
        _vision,
        unused=("vision_model.embeddings.position_ids", "text_model.", "logit_"),
    ),
)
