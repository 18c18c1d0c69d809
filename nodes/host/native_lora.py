"""LoRAs on ComfyUI's own models, in whatever names they were saved; refused if they do not fit."""

from __future__ import annotations

from pathlib import Path

import comfy.sd
from comfy.model_patcher import ModelPatcher
from torch import Tensor, nn

from ...dreamactor_core.errors import InputError
from ...dreamactor_core.lora.files import METHOD, check_agrees, check_fits, parse_lora
from ...dreamactor_core.lora.names import fitting, read_adapters, write_adapters
from ...dreamactor_core.lora.stored import peft_alpha, read_lora_file
from ...dreamactor_core.weight_files.keys import no_such_layer
from .native import LORA_ON_MODEL, native_of

LORA_A, LORA_B = ".lora_A.weight", ".lora_B.weight"


def with_native_lora(model: ModelPatcher, path: Path, strength: float) -> tuple[ModelPatcher, str]:
    """A clone with the LoRA, whatever names the file uses, and in words what it patches.

    Raises InputError when the file does not fit the model, or the LoRAs already on it.
    """
    native = native_of(model)
    metadata, tensors = read_lora_file(path)
    ours = metadata.get("method") == METHOD
    info = parse_lora(path, metadata, tensors).info if ours else None
    if info is not None:
        check_fits(info, native.name, native.blank, native.geometry.fps, path.name)
        if (before := model.get_attachment(LORA_ON_MODEL)) is not None:
            lead_in, layout = before.lead_in_seconds, before.layout
            check_agrees(info, before.variant, lead_in, path.name, layout)
    alpha = info.alpha if info else peft_alpha(path, metadata)
    modules = dict(model.model.diffusion_model.named_modules())
    adapters = fitting(
        read_adapters(tensors, native.key_names, alpha),
        lambda layer: native.key_names.native(layer).layer in modules,
    )
    tensors = write_adapters(adapters, native.key_names, "comfyui")
    _check_layers(model.model.diffusion_model, tensors)
    patched, _ = comfy.sd.load_lora_for_models(model, None, tensors, strength, 0)
    patched.set_attachments("lora_metadata", metadata)  # as newer hosts do, if they are given it
    count = sum(
        key.endswith(".weight") and len(patches) > len(model.patches.get(key, []))
        for key, patches in patched.patches.items()
    )
    if count == 0:
        raise InputError(
            f"LoRA {path.name}",
            got=f"{len(tensors)} tensors, none of which ComfyUI put on the model",
            need=f"layers of {native.name}",
            fix="Choose a LoRA made for this model.",
        )
    kind = "no DreamActor LoRA"
    if info is not None:
        patched.set_attachments(LORA_ON_MODEL, info)
        expert = f" for the {info.expert}-noise expert" if info.expert else ""
        kind = f"{info.variant}{expert}, rank {info.rank}"
    return patched, f"{path.stem}: {count} layers patched, {kind}, strength {strength:g}"


def _check_layers(network: nn.Module, tensors: dict[str, Tensor]) -> None:
    """ComfyUI leaves out what does not fit, with no more than a line in its log."""
    modules = dict(network.named_modules())
    for key in tensors:
        if not key.endswith(LORA_A):
            continue
        name = key.removeprefix("diffusion_model.").removesuffix(LORA_A)
        layer = modules.get(name)
        if layer is None:
            raise no_such_layer(name)
        # Of the layer, not of the packed numbers that a quantised one holds.
        linear = isinstance(layer, nn.Linear)
        need = (layer.out_features, layer.in_features) if linear else (*layer.weight.shape[:2],)
        got = (tensors[key.replace(LORA_A, LORA_B)].shape[0], tensors[key].shape[1])
        if got != need:
            raise InputError(
                f"LoRA layer {name}",
                got=f"{got[1]} numbers in and {got[0]} out",
                need=f"{need[1]} in and {need[0]} out",
                fix="Choose a LoRA made for a model of this size.",
            )
