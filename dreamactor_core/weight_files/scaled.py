"""Weights that a file stores as small numbers with a scale beside them: value = stored * scale.

These are ComfyUI's layouts. Older files say `layer.scale_weight`, and `scaled_fp8` once for a whole
network; newer ones say `layer.weight_scale`, and how the layer is stored as JSON: in
`layer.comfy_quant`, or for all layers in the file's metadata. A scale is one number, or one for
each row. Scales of inputs serve arithmetic in fp8 alone and are left unread.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..errors import InputError
from .keys import strip_prefix
from .tensor_file import write_tensors

METADATA = "_quantization_metadata"  # of a safetensors file
SCALES = ("scale_weight", "weight_scale")  # beside a weight
HOW = "comfy_quant"  # beside a weight: JSON, as bytes
NO_WEIGHTS = (*SCALES, HOW, "scale_input", "input_scale", "scaled_fp8")
ROWS_FORMAT = "int8_tensorwise"  # which may have a scale for each row as well
SCALED_FORMATS = ("float8_e4m3fn", "float8_e5m2", ROWS_FORMAT)  # what a multiplication undoes
SMALLEST_SCALED = 4096  # numbers of a weight that is stored so by store_scaled
INTEGERS = (torch.int8, torch.uint8)  # mean nothing without a word on their format

Formats = dict[str, dict[str, Any]]  # layer without prefix -> what the file says of it


def formats_of(metadata: dict[str, str], said: dict[str, bytes]) -> Formats:
    """metadata: of the file. said: layer -> its comfy_quant. Raises ValueError for broken JSON."""
    layers = json.loads(metadata[METADATA])["layers"] if METADATA in metadata else {}
    layers |= {layer: json.loads(text) for layer, text in said.items()}
    return {strip_prefix(layer): how for layer, how in layers.items()}


def find_scales(path: Path, tensors: dict[str, Tensor], formats: Formats) -> dict[str, str]:
    """Weight -> its scale, by the file's own keys. Tensors may be on the meta device.

    Raises InputError, naming the format, for a file that no multiplication with scales undoes.
    """
    scales = {}
    for key, weight in tensors.items():
        layer, _, leaf = key.rpartition(".")
        if leaf != "weight":
            continue
        scale = next((f"{layer}.{name}" for name in SCALES if f"{layer}.{name}" in tensors), None)
        how = formats.get(strip_prefix(layer), {})
        if other := _other_format(how, weight, None if scale is None else tensors[scale]):
            raise InputError(
                f"model file {path}",
                got=f"weights stored as {other} ({key})",
                need="bf16, fp16, fp8, GGUF, or fp8 and int8 with a scale for each tensor or row",
                fix="Load this file with ComfyUI's own loader, or take another edition of it.",
            )
        if scale is not None:
            scales[key] = scale
    return scales


def is_weight(key: str) -> bool:
    """Whether a key of a file is more than a note on how others are stored."""
    return key.rpartition(".")[2] not in NO_WEIGHTS


def unscale(weight: Tensor, scale: Tensor, dtype: torch.dtype) -> Tensor:
    """weight * scale, computed in float32 and rounded once. scale: one number, or one for a row."""
    rows = scale.float().reshape(-1, *[1] * (weight.ndim - 1))
    return (weight.float() * rows).to(dtype)


def store_scaled(path: Path, weights: dict[str, Tensor], below: tuple[str, ...] = ("",)) -> None:
    """Write weights as int8 with a scale for each row, those of few numbers or one dimension as
    float16. An error is at most half of 1/127 of the largest number in its row.

    below: how the names of those begin that become int8.
    """
    tensors, layers = {}, {}
    for key, weight in weights.items():
        layer, _, leaf = key.rpartition(".")
        fine = leaf != "weight" or weight.ndim < 2 or weight.numel() < SMALLEST_SCALED
        if fine or not key.startswith(below):
            tensors[key] = weight.half().contiguous()
            continue
        rows = weight.float().flatten(1)
        scale = (rows.abs().amax(dim=1) / 127).clamp(min=torch.finfo(torch.float32).tiny)
        tensors[key] = (rows / scale[:, None]).round().to(torch.int8).view_as(weight)
        tensors[f"{layer}.weight_scale"] = scale
        layers[layer] = {"format": ROWS_FORMAT}
    told = {"format": "pt", METADATA: json.dumps({"layers": layers}, sort_keys=True)}
    write_tensors(path, tensors, told)


def _other_format(how: dict[str, Any], weight: Tensor, scale: Tensor | None) -> str:
    """What a layer is stored as, if it is more than a number times a scale; else nothing."""
    form = how.get("format", "")
    options = how | how.get("params", {})
    if (form and form not in SCALED_FORMATS) or options.get("convrot"):
        return f"{form} with convrot" if options.get("convrot") else form
    if weight.dtype in INTEGERS and not (form and scale is not None):
        return f"{str(weight.dtype).removeprefix('torch.')} without format and scale"
    if scale is not None and tuple(scale.shape) not in _shapes(weight):
        return f"{form or 'numbers'} with block scales {tuple(scale.shape)}"
    return ""


def _shapes(weight: Tensor) -> tuple[tuple[int, ...], ...]:
    """The shapes of a scale that is one number, or one for each row."""
    rows = weight.shape[0]
    return (), (1,), (rows,), (rows, *[1] * (weight.ndim - 1))
