"""LoRA files in the names of other programs, both ways, without changing what they do.

    read    diffusers  transformer.blocks.0.ffn.net.2.lora_A.weight
            peft       base_model.model.<diffusers or native name>.lora_A.weight
            ComfyUI    diffusion_model.blocks.0.ffn.2.lora_A.weight, or lora_down, with .alpha
            kohya      lora_unet_blocks_0_ffn_2.lora_down.weight and .alpha (also musubi)
            and what trainers.py lists
    write   diffusers, or ComfyUI's names

ComfyUI keeps q, k and v of HunyuanVideo-1.5 in one layer: three adapters of rank r become one of
rank 3r, the downs stacked, the ups on the diagonal, with alpha / rank as before.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from ..backbones import hunyuan15, wan
from ..errors import InputError, check_choice
from ..options import LORA_STYLES
from ..weight_files.keys import KeyNames, no_such_layer, take_part
from .stored import check_numbers, peft_alpha, read_lora_file
from .trainers import TEXT_ENCODERS, check_one_expert, is_elsewhere, layer_of, tell_left_out

BASE_KEY_NAMES = {"hunyuanvideo-1.5": hunyuan15.KEY_NAMES, "wan": wan.KEY_NAMES}
STYLE_PREFIXES = {"diffusers": "transformer.", "comfyui": "diffusion_model."}
DOWN_KEYS = ("lora_A", "lora_down", "lora.down", "lora_linear_layer.down")
UP_KEYS = ("lora_B", "lora_up", "lora.up", "lora_linear_layer.up")
SUFFIX = re.compile(
    rf"(?P<layer>.+?)\.(?:(?P<down>{'|'.join(map(re.escape, DOWN_KEYS))})"
    rf"|(?P<up>{'|'.join(map(re.escape, UP_KEYS))}))"
    r"(?:\.(?!weight|bias)\w+)?(?:\.(?P<leaf>weight|bias))?"  # peft's name of the adapter between
    r"|(?P<other>.+?)\.(?P<kind>alpha|diff|diff_b|w_norm|b_norm)"
)


class Adapter(NamedTuple):
    """What a LoRA does to one layer: weight + alpha / r * up @ down, and bias + bias."""

    down: Tensor  # (r, in) or (r, in, kt, kh, kw)
    up: Tensor  # (out, r) or (out, r, 1, 1, 1)
    alpha: float
    bias: Tensor | None = None  # (out,)

    def delta(self) -> Tensor:
        """The change of the weight, at strength 1."""
        change = self.up.float().flatten(1) @ self.down.float().flatten(1)
        return self.alpha / len(self.down) * change.view(len(self.up), *self.down.shape[1:])


class Converted(NamedTuple):
    tensors: dict[str, Tensor]
    metadata: dict[str, str]
    family: str  # of the base, a key of BASE_KEY_NAMES
    layers: int


def read_adapters(
    tensors: dict[str, Tensor], names: KeyNames, alpha: float | None = None
) -> dict[str, Adapter]:
    """The tensors of a LoRA file, in any of the styles above -> diffusers layer -> Adapter.

    alpha: of files that do not store it layer by layer; None means the rank of each layer.
    Layers that only other models of the family have are left out with a warning, as are changes of
    norms. Raises InputError for a layer that nobody has, for other kinds of adapters, for numbers
    that cannot be (see stored.py), and for the layers of two experts in one.
    """
    check_one_expert(tensors)
    groups: dict[str, dict[str, Tensor]] = {}
    texts = []
    for key, tensor in tensors.items():
        if TEXT_ENCODERS.match(key):
            texts.append(key)
            continue
        found = SUFFIX.fullmatch(key)
        if found is None:
            raise InputError(
                "LoRA tensor",
                got=key,
                need="a LoRA (lora_A and lora_B, or lora_down and lora_up)",
                fix="LoHa, LoKr and DoRA files are not read; convert them to LoRA.",
            )
        layer = found["layer"] or found["other"]
        kind = found["kind"] or ("down" if found["down"] else "up")
        kind = "bias" if found["leaf"] == "bias" else kind
        groups.setdefault(layer_of(layer), {})[kind] = tensor
    tell_left_out(texts, "text encoders are not adapted")
    adapters: dict[str, Adapter] = {}
    changes, elsewhere = [], []
    for layer, group in groups.items():
        known = bool(names.find(layer))
        if not {"down", "up"} & group.keys() and not (known and "diff" in group):
            changes += [layer] if any(change.any() for change in group.values()) else []
        elif not known and is_elsewhere(layer):
            elsewhere.append(layer)
        else:
            adapters |= _read_layer(layer, group, names, alpha)
    tell_left_out(changes, "changes of norms and of biases alone are not read")
    tell_left_out(elsewhere, "only other models have such layers")
    return adapters


def fitting(adapters: dict[str, Adapter], has: Callable[[str], bool]) -> dict[str, Adapter]:
    """Without the layers that only other models of the family have, which is said in one line.

    has: whether the model has a layer of this name, which is diffusers'.
    """
    absent = [layer for layer in adapters if is_elsewhere(layer) and not has(layer)]
    tell_left_out(absent, "this model has no such layers")
    return {layer: adapter for layer, adapter in adapters.items() if layer not in absent}


def write_adapters(adapters: dict[str, Adapter], names: KeyNames, style: str) -> dict[str, Tensor]:
    """Adapters by diffusers layer -> the tensors of a file, float as they are.

    ComfyUI's style stores alpha with each layer. Raises InputError for an unknown style.
    """
    check_choice("LoRA style", style, LORA_STYLES, fix="Use diffusers.")
    prefix, tensors = STYLE_PREFIXES[style], {}
    if style == "comfyui":
        adapters = _native(adapters, names)
    for layer, (down, up, alpha, bias) in adapters.items():
        tensors[f"{prefix}{layer}.lora_A.weight"] = down.contiguous()
        tensors[f"{prefix}{layer}.lora_B.weight"] = up.contiguous()
        if style == "comfyui":
            tensors[f"{prefix}{layer}.alpha"] = torch.tensor(float(alpha))
        if bias is not None and style == "comfyui":
            tensors[f"{prefix}{layer}.diff_b"] = bias.contiguous()
        elif bias is not None:  # peft scales it like the rest
            tensors[f"{prefix}{layer}.lora_B.bias"] = bias * (len(down) / alpha)
    return tensors


def convert_lora(source: str | Path, style: str, strength: float = 1.0) -> Converted:
    """A LoRA file with another program's names; its weights and metadata stay as they are.

    strength: multiplied into its ups, so that the file does at 1 what the source did at this. A
    foreign file's alpha, which diffusers' names do not hold, goes into them too. Raises InputError
    for a file of no family that is known, and for an unknown style.
    """
    metadata, tensors = read_lora_file(source)
    family = family_of(tensors)
    names = BASE_KEY_NAMES[family]
    ours = "method" in metadata and "alpha" in metadata  # as lora.adapters.save_lora writes them
    alpha = float(metadata["alpha"]) if ours else peft_alpha(source, metadata)
    adapters = read_adapters(tensors, names, alpha)
    if strength != 1:
        adapters = {layer: _stronger(adapter, strength) for layer, adapter in adapters.items()}
    if style == "diffusers" and not ours:
        adapters = {layer: _unscaled(adapter) for layer, adapter in adapters.items()}
        metadata = {k: v for k, v in metadata.items() if k != "lora_adapter_metadata"}
    return Converted(write_adapters(adapters, names, style), metadata, family, len(adapters))


def _stronger(adapter: Adapter, strength: float) -> Adapter:
    bias = None if adapter.bias is None else adapter.bias * strength
    return adapter._replace(up=adapter.up * strength, bias=bias)


def _unscaled(adapter: Adapter) -> Adapter:
    """The same change with alpha = rank."""
    rank = len(adapter.down)
    return adapter._replace(up=adapter.up * (adapter.alpha / rank), alpha=float(rank))


def family_of(tensors: dict[str, Tensor]) -> str:
    """ "hunyuanvideo-1.5" or "wan", by the names of the layers. Raises InputError for neither."""
    layers = [
        layer_of(found["layer"])
        for found in map(SUFFIX.fullmatch, tensors)
        if found is not None and found["layer"] and not TEXT_ENCODERS.match(found["layer"])
    ]
    layers = [layer for layer in layers if not is_elsewhere(layer)] or layers
    for family, names in BASE_KEY_NAMES.items():
        if layers and all(names.find(layer) for layer in layers):
            return family
    raise InputError(
        "LoRA",
        got=f"layers like {layers[0]}" if layers else "no LoRA layers",
        need=f"layers of {' or '.join(BASE_KEY_NAMES)}",
        fix="Choose a LoRA made for one of these models.",
    )


def _read_layer(
    layer: str, group: dict[str, Tensor], names: KeyNames, alpha: float | None
) -> dict[str, Adapter]:
    aliases = names.find(layer)
    if not aliases:
        raise no_such_layer(layer)
    if "diff" in group:  # the whole change of a weight
        rank = len(group["diff"]) if group["diff"].ndim > 1 else 0
        group["down"], group["up"] = group["diff"], torch.eye(rank)
        group["alpha"] = torch.tensor(float(rank))
    for part, name in (("down", "A"), ("up", "B")):
        if part not in group:
            raise InputError(
                f"LoRA tensor {aliases[0].layer}.lora_{name}",
                got="nothing",
                need="lora_A and lora_B of every layer",
                fix="The file is damaged, or belongs to a model of another size.",
            )
    check_numbers(aliases[0].layer, group, alpha)
    down, up = group["down"], group["up"]
    scale = group["alpha"].item() / len(down) if "alpha" in group else None
    if scale is None:
        scale = 1.0 if alpha is None else alpha / len(down)
    if scale == 0:
        return {}  # changes nothing
    bias = group.get("diff_b", group["bias"] * scale if "bias" in group else None)
    adapters = {}
    blocks = _thirds(down, up) if len(aliases) == 3 else None
    for alias in aliases:
        own = (down, take_part(up, alias)) if blocks is None else blocks[alias.part]
        if blocks is not None and not (own[0].any() or own[1].any()):
            continue  # written beside the others of a fused layer; was never adapted
        offset = None if bias is None else take_part(bias, alias)
        adapters[alias.layer] = Adapter(own[0], own[1], scale * len(own[0]), offset)
    return adapters


def _thirds(down: Tensor, up: Tensor) -> list[tuple[Tensor, Tensor]] | None:
    """Undo _fuse: (down, up) of q, k and v, or None when the ups are not on the diagonal."""
    rank = len(down) // 3
    if len(down) % 3 or rank == 0:
        return None
    parts = [rows.split(rank, dim=1) for rows in up.chunk(3)]
    if any(parts[i][j].any() for i in range(3) for j in range(3) if i != j):
        return None
    return [(down[i * rank : (i + 1) * rank], parts[i][i]) for i in range(3)]


def _native(adapters: dict[str, Adapter], names: KeyNames) -> dict[str, Adapter]:
    """Adapters by ComfyUI's layer."""
    native: dict[str, Adapter] = {}
    fused: dict[str, dict[int, Adapter]] = {}
    for layer, adapter in adapters.items():
        alias = names.native(layer)
        if alias.part >= 0:
            fused.setdefault(alias.layer, {})[alias.part] = adapter
            continue
        up, bias = adapter.up, adapter.bias
        if alias.swapped:
            up = take_part(up, alias)
            bias = None if bias is None else take_part(bias, alias)
        native[alias.layer] = adapter._replace(up=up, bias=bias)
    return native | {layer: _fuse(parts) for layer, parts in fused.items()}


def _fuse(parts: dict[int, Adapter]) -> Adapter:
    """Adapters of q, k and v (0, 1, 2; those that there are) -> the one of the joint layer."""
    some = next(iter(parts.values()))
    nothing = some._replace(
        down=torch.zeros_like(some.down), up=torch.zeros_like(some.up), bias=None
    )
    three = [parts.get(index, nothing) for index in range(3)]
    scale = some.alpha / len(some.down)
    ups = [part.up * (part.alpha / len(part.down) / scale) for part in three]
    rank = sum(len(part.down) for part in three)
    bias = None
    if any(part.bias is not None for part in three):
        empty = some.up.new_zeros(len(some.up))
        bias = torch.cat([empty if part.bias is None else part.bias for part in three])
    return Adapter(
        down=torch.cat([part.down for part in three]),
        up=torch.block_diag(*ups),
        alpha=scale * rank,
        bias=bias,
    )
