"""GGUF files, as diffusers' linear layers take them: those weights packed, everything else plain.

Only a linear layer unpacks its weight while it runs. An embedding, a convolution or a bias that a
quantiser has packed too is unpacked here, and a tensor that was folded to fit GGUF's four
dimensions gets its own shape again, which the file says in comfy.gguf.orig_shape.<name>.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from diffusers.utils import is_gguf_available
from torch import Tensor

from ..errors import InputError

SHAPE = "comfy.gguf.orig_shape."
NUMBERS = ("F64", "F32", "F16", "I8", "I16", "I32", "I64")  # not packed at all


def gguf_shapes(path: Path) -> dict[str, Tensor]:
    """Names and shapes, on the meta device. Raises InputError without the package gguf, and what
    the package raises for a broken file.
    """
    _, reader = _opened(path)
    return {
        tensor.name: torch.empty(_shape(reader, tensor), device="meta") for tensor in reader.tensors
    }


def gguf_weights(
    path: Path, dtype: torch.dtype, packed: Callable[[str], bool]
) -> Iterator[tuple[str, Tensor]]:
    """(name, weight) of every tensor, one read at a time.

    packed: which names may stay packed, as a GGUFParameter of diffusers; all others come unpacked,
        in dtype. What diffusers cannot unpack comes unpacked in any case.
    Raises InputError for a kind that nobody here unpacks.
    """
    gguf, reader = _opened(path)
    utils = importlib.import_module("diffusers.quantizers.gguf.utils")  # needs the package gguf
    for tensor in reader.tensors:
        kind, shape = tensor.tensor_type, _shape(reader, tensor)
        if kind.name in NUMBERS:
            yield tensor.name, torch.from_numpy(tensor.data.copy()).reshape(shape)
            continue
        own = tuple(reversed(tensor.shape.tolist())) == shape
        if own and packed(tensor.name) and kind in utils.SUPPORTED_GGUF_QUANT_TYPES:
            values = torch.from_numpy(tensor.data.copy())
            yield tensor.name, utils.GGUFParameter(values, quant_type=kind)
            continue
        try:
            values = gguf.quants.dequantize(tensor.data, kind)
        except NotImplementedError:
            raise InputError(
                f"model file {path}",
                got=f"{tensor.name} packed as {kind.name}, which the package gguf does not unpack",
                need="a kind such as Q8_0, Q6_K or Q4_K",
                fix="Take another edition of the file, or a newer package gguf.",
            ) from None
        yield tensor.name, torch.from_numpy(values).reshape(shape).to(dtype)


def _opened(path: Path) -> tuple[Any, Any]:
    if not is_gguf_available():
        raise InputError(
            f"model file {path}", got="no package gguf", need="it", fix="pip install gguf."
        )
    gguf = importlib.import_module("gguf")  # optional, and only this kind of file needs it
    return gguf, gguf.GGUFReader(path)


def _shape(reader: Any, tensor: Any) -> tuple[int, ...]:
    """As it was before it was folded. Raises ValueError for a word on it that cannot be."""
    stored = tuple(reversed(tensor.shape.tolist()))
    field = reader.get_field(SHAPE + tensor.name)
    if field is None:
        return stored
    shape = tuple(int(field.parts[index][0]) for index in field.data)
    if any(side < 1 for side in shape) or _count(shape) != _count(stored):
        raise ValueError(f"{tensor.name} is {stored} and says that it was {shape}")
    return shape


def _count(shape: tuple[int, ...]) -> int:
    total = 1
    for side in shape:
        total *= side
    return total
