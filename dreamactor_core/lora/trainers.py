"""What trainers and extractors write around the names of layers, and layers of other models.

    pipe.dit.blocks.0.ffn.0          DiffSynth-Studio
    base_model.model.blocks.0...     peft
    diffusion_model.blocks.0...      ComfyUI, ai-toolkit, diffusion-pipe
    transformer.blocks.0...          diffusers, finetrainers, SimpleTuner
    lora_unet_blocks_0_ffn_0         kohya, musubi; also lora_unet_blocks_0.ffn.0, lycoris_blocks_0
    module., _orig_mod., ...         of wrappers around a network or a block

A file may hold both experts of Wan 2.2: transformer and transformer_2, dit and dit2,
high_noise_model and low_noise_model.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable

from torch import Tensor

from ..errors import InputError

logger = logging.getLogger(__name__)

HIGH, LOW = "high", "low"
BEFORE = r"(?:base_model\.model\.|diffusion_model\.|pipe\.|lora_(?:unet_)?)?"
EXPERT_PREFIXES = {  # what stands before a layer of one expert
    HIGH: re.compile(BEFORE + r"(?:dit1|dit_high|transformer_1|high_noise(?:_model)?)[._]"),
    LOW: re.compile(BEFORE + r"(?:dit2|dit_low|transformer_2|low_noise(?:_model)?)[._]"),
}
WRAPPERS = re.compile(
    r"(?:_orig_mod|_fsdp_wrapped_module|_checkpoint_wrapped_module|(?:^|(?<=\.))module)[.]"
)
PREFIX = re.compile(
    r"(?:base_model\.model|model\.diffusion_model|diffusion_model|pipe\.dit|dit|transformer|unet"
    r"|denoiser|network|net|model)\."
    r"|lora_(?:unet|transformer|dit)_{1,2}|lycoris_(?:unet_|transformer_)?"
)
TEXT_ENCODERS = re.compile(r"lora_te\d?_|text_encoders?(?:_\d)?\.|te\d?\.|clip_[lgh]\.|t5xxl\.")
ELSEWHERE = re.compile(  # layers that only other models of the family have
    r"(?:img_emb|condition_embedder[._]image_embedder|vace_|control_adapter|ref_conv|face_adapter"
    r"|face_encoder|motion_encoder|motion_synthesis|pose_patch_embedding|casual_audio|causal_audio"
    r"|audio|frame_packer|cond_encoder|trainable_cond_mask|vision_in|image_embedder)"
    r"|.*[._](?:k_img|v_img|norm_k_img|add_k_proj|add_v_proj|norm_added_k|audio_\w+)$"
)


def layer_of(name: str) -> str:
    """The layer's own name, without what a trainer, a wrapper or an expert put before it."""
    name = WRAPPERS.sub("", name)
    for pattern in EXPERT_PREFIXES.values():
        name = pattern.sub("", name, count=1) if pattern.match(name) else name
    while found := PREFIX.match(name):
        name = name[found.end() :]
    return name


def split_experts(tensors: dict[str, Tensor]) -> dict[str, dict[str, Tensor]]:
    """The tensors of a file by the expert they name: one part "" where none is named.

    Beside layers of the low-noise expert, those that name none are of the high-noise one.
    """
    parts: dict[str, dict[str, Tensor]] = {}
    for key, tensor in tensors.items():
        expert = next((name for name, found in EXPERT_PREFIXES.items() if found.match(key)), "")
        parts.setdefault(expert, {})[key] = tensor
    if "" in parts and len(parts) > 1:
        parts[HIGH] = parts.pop("") | parts.get(HIGH, {})
    return parts


def check_one_expert(tensors: Iterable[str]) -> None:
    """Raise InputError for a file that holds a LoRA for each of two experts."""
    parts = split_experts(dict.fromkeys(tensors))
    if len(parts) > 1:
        raise InputError(
            "LoRA",
            got="layers of both experts in one file",
            need="those of one",
            fix="Load it on a backbone of two experts, or take the edition of one file for each.",
        )


def is_elsewhere(layer: str) -> bool:
    """Whether a layer, by any program's name for it, is one that only some models have."""
    return ELSEWHERE.match(layer) is not None


def tell_left_out(layers: list[str], why: str) -> None:
    """One line for all of them, in which blocks are not counted one by one."""
    if layers:
        kinds = sorted({re.sub(r"(?<=[._])\d+(?=[._])", "*", layer) for layer in layers})
        named = ", ".join(kinds[:8]) + (", ..." if len(kinds) > 8 else "")
        logger.warning("LoRA: %d layers left out (%s): %s", len(layers), named, why)
