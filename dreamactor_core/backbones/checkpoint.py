"""What is in a weights file, known from its header alone: nothing large is read here.

Files are safetensors, GGUF, a diffusers folder of shards, or a pickle that loads weights-only.
"""

from __future__ import annotations

import importlib
import json
import math
from pathlib import Path
from typing import NamedTuple

import torch
from diffusers.utils import is_gguf_available
from safetensors import SafetensorError, safe_open
from torch import Tensor

from ..errors import InputError
from .family import Family, Found
from .keys import strip_prefix

PICKLES = (".pt", ".pth", ".ckpt", ".bin")
SCALED = (".scale_weight", ".scale_input", ".weight_scale", ".comfy_quant", "scaled_fp8")


class Header(NamedTuple):
    """Names and shapes in a file. Tensors are on the meta device; keys stand without prefix."""

    path: Path
    tensors: dict[str, Tensor]

    def num_parameters(self) -> int:
        return sum(tensor.numel() for tensor in self.tensors.values())


class Checkpoint(NamedTuple):
    """A file that has been recognised and whose every key has its place."""

    header: Header
    family: Family
    found: Found


def read_header(path: str | Path) -> Header:
    """Shapes of a file, or of a folder of safetensors shards.

    Raises InputError for a missing, cut or unknown file, and for a pickle that runs code.
    """
    path = Path(path)
    if path.is_dir():
        shards = sorted(path.glob("*.safetensors"))
        if not shards:
            raise _unreadable(path, "a folder without safetensors files")
        tensors = {
            key: tensor for shard in shards for key, tensor in read_header(shard).tensors.items()
        }
        return Header(path, tensors)
    if not path.is_file():
        raise _unreadable(path, "no such file")
    readers = {".safetensors": _read_safetensors, ".gguf": _read_gguf}
    readers |= dict.fromkeys(PICKLES, _read_pickle)
    if path.suffix not in readers:
        raise _unreadable(path, f"a {path.suffix or 'nameless'} file")
    tensors = readers[path.suffix](path)
    if scaled := [key for key in tensors if key.endswith(SCALED)]:
        raise InputError(
            f"model file {path}",
            got=f"scaled weights in ComfyUI's own layout ({scaled[0]})",
            need="bf16, fp16, plain fp8 or GGUF weights",
            fix="Load this file with ComfyUI's own loader, or take another edition of the model.",
        )
    return Header(path, {strip_prefix(key): tensor for key, tensor in tensors.items()})


def recognise(header: Header, families: tuple[Family, ...]) -> Checkpoint:
    """Which backbone a file is, by keys and shapes, whatever it is called.

    Raises InputError when it is none, or when a key is missing, unknown or of another shape.
    """
    for family in families:
        if family.owns(header.tensors):
            converted = family.convert(dict(header.tensors))
            found = family.describe(converted)
            _check_keys(header.path, family, found, converted)
            return Checkpoint(header, family, found)
    some = [f"{key} {tuple(header.tensors[key].shape)}" for key in sorted(header.tensors)[:3]]
    raise InputError(
        f"model file {header.path}",
        got=f"{len(header.tensors)} tensors such as {', '.join(some)}",
        need=" or ".join(family.title for family in families),
        fix="Choose the diffusion model of one of these; text encoders and VAEs go elsewhere.",
    )


def _check_keys(path: Path, family: Family, found: Found, converted: dict[str, Tensor]) -> None:
    with torch.device("meta"):
        network = family.network.from_config(found.config)
    want = network.state_dict()
    ignored = network._keys_to_ignore_on_load_unexpected or []
    unknown = [key for key in converted if key not in want and not any(i in key for i in ignored)]
    problems = {
        "without": sorted(want.keys() - converted.keys()),
        "with unknown": sorted(unknown),
        "with other shapes of": sorted(
            key for key in want.keys() & converted.keys() if want[key].shape != converted[key].shape
        ),
    }
    for problem, keys in problems.items():
        if keys:
            raise InputError(
                f"model file {path}",
                got=f"{found.name} {problem} {keys[0]} and {len(keys) - 1} more",
                need=f"exactly the {len(want)} tensors of {found.name}",
                fix="The file is incomplete or of a variant that is not supported.",
            )


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    try:
        with safe_open(str(path), framework="pt") as file:
            return {key: _meta(file.get_slice(key).get_shape()) for key in file.keys()}  # noqa: SIM118 - not a dict
    except (SafetensorError, OSError) as error:
        raise _unreadable(path, str(error)) from error


def _read_gguf(path: Path) -> dict[str, Tensor]:
    if not is_gguf_available():
        raise InputError(
            f"model file {path}", got="no package gguf", need="it", fix="pip install gguf."
        )
    gguf = importlib.import_module("gguf")  # optional, and only this kind of file needs it
    try:
        reader = gguf.GGUFReader(path)
        return {tensor.name: _meta(reversed(tensor.shape.tolist())) for tensor in reader.tensors}
    except (ValueError, IndexError, KeyError, OSError) as error:
        raise _unreadable(path, str(error)) from error


def _read_pickle(path: Path) -> dict[str, Tensor]:
    try:
        state = torch.load(path, map_location="meta", weights_only=True, mmap=True)
        while isinstance(state.get("state_dict"), dict):
            state = state["state_dict"]
        return {key: _meta(tensor.shape) for key, tensor in state.items()}
    except Exception as error:  # unpickling can raise anything
        raise InputError(
            f"model file {path}",
            got=f"a pickle that holds more than weights ({type(error).__name__})",
            need="a safetensors or GGUF file",
            fix="Pickles can run code. Take the safetensors edition of the model.",
        ) from error


def _meta(shape) -> Tensor:
    return torch.empty(tuple(shape), device="meta")


def _unreadable(path: Path, got: str) -> InputError:
    return InputError(
        f"model file {path}",
        got=got,
        need="a whole .safetensors or .gguf file, or a diffusers folder",
        fix="Check the path, or download the file again.",
    )


def encoder_width(folder: Path) -> int | None:
    """Hidden size that an encoder's config.json states; None when there is no such folder."""
    if not (folder / "config.json").is_file():
        return None
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    for part in (config, config.get("text_config") or {}, config.get("vision_config") or {}):
        for name in ("hidden_size", "d_model"):
            if name in part:
                return part[name]
    return None


def largest(tensors: dict[str, Tensor], prefix: str) -> int:
    """Parameters of one block, the keys of which start with prefix."""
    return sum(math.prod(t.shape) for key, t in tensors.items() if key.startswith(prefix))
