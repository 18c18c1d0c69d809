"""Names of layers: diffusers' own, and those that checkpoint and LoRA files use for them.

A family is a table of Rules, in which {} is the number of a block. A name may stand with dots
("double_blocks.3.img_attn.qkv"), flat ("double_blocks_3_img_attn_qkv", as kohya writes), or mixed.
"""

from __future__ import annotations

import re
from typing import NamedTuple

import torch
from torch import Tensor

from ..errors import InputError

BLOCK = re.compile(r"(?<=blocks[._])\d+")
PREFIXES = (  # of whole files, the longest first
    "base_model.model.",
    "model.diffusion_model.",
    "diffusion_model.",
    "transformer.",
    "lora_unet__",  # VideoX-Fun
    "lora_unet_",
    "lora_transformer_",
    "model.",
)


class Rule(NamedTuple):
    diffusers: str
    native: str  # what ComfyUI calls the layer
    part: int = -1  # 0, 1 or 2: this third of the rows of a native layer that holds q, k and v
    also: tuple[str, ...] = ()  # other names of the whole layer
    also_fused: str = ""  # another name of the native layer that holds q, k and v
    swapped: bool = False  # the two halves of the rows are exchanged (shift, scale)


class Alias(NamedTuple):
    """What a name in a file stands for."""

    layer: str  # diffusers' name
    part: int
    swapped: bool


class KeyNames:
    """A table of Rules, ready to look names up."""

    def __init__(self, rules: tuple[Rule, ...]):
        self.rules = {rule.diffusers: rule for rule in rules}
        self.aliases: dict[str, list[Alias]] = {}
        for rule in rules:
            self._add(rule.diffusers, Alias(rule.diffusers, -1, False))
            self._add(rule.native, Alias(rule.diffusers, rule.part, rule.swapped))
            if rule.also_fused:
                self._add(rule.also_fused, Alias(rule.diffusers, rule.part, rule.swapped))
            for name in rule.also:
                self._add(name, Alias(rule.diffusers, -1, rule.swapped))

    def find(self, name: str) -> list[Alias]:
        """The diffusers layers of a name without prefix: three for a fused one, none if unknown."""
        template, number = _split(name)
        return [
            alias._replace(layer=alias.layer.format(number))
            for alias in self.aliases.get(template.replace(".", "_"), ())
        ]

    def native(self, layer: str) -> Alias:
        """ComfyUI's name of a diffusers layer, and which part of it."""
        template, number = _split(layer)
        rule = self.rules[template]
        return Alias(rule.native.format(number), rule.part, rule.swapped)

    def _add(self, name: str, alias: Alias) -> None:
        known = self.aliases.setdefault(name.replace(".", "_"), [])
        if alias not in known:
            known.append(alias)


def strip_prefix(name: str) -> str:
    """Without the prefix that a whole file carries, if there is one."""
    for prefix in PREFIXES:
        if name.startswith(prefix):
            return name.removeprefix(prefix)
    return name


def take_part(tensor: Tensor, alias: Alias) -> Tensor:
    """The rows of a file's tensor that belong to the diffusers layer."""
    if alias.part >= 0:
        tensor = tensor.chunk(3)[alias.part]
    # A list, by which diffusers knows GGUF tensors again.
    return torch.cat(list(tensor.chunk(2)[::-1])) if alias.swapped else tensor


def convert_checkpoint(checkpoint: dict[str, Tensor], names: KeyNames) -> dict[str, Tensor]:
    """A checkpoint in any layout of its family -> diffusers' keys. Empties the given dictionary.

    A key whose layer no rule knows keeps its name, for the loader to complain of.
    """
    converted = {}
    for key in list(checkpoint):
        tensor = checkpoint.pop(key)
        layer, _, leaf = strip_prefix(key).rpartition(".")
        leaf = "weight" if leaf == "scale" else leaf  # of RMS norms
        for alias in names.find(layer) or [Alias(layer, -1, False)]:
            converted[f"{alias.layer}.{leaf}"] = take_part(tensor, alias)
    return converted


def no_such_layer(name: str) -> InputError:
    return InputError(
        "LoRA layer", got=name, need="a layer of the backbone", fix="Is it another base?"
    )


def _split(name: str) -> tuple[str, str]:
    """Name -> (template, number of the block)."""
    if found := BLOCK.search(name):
        return f"{name[: found.start()]}{{}}{name[found.end() :]}", found[0]
    return name, ""
