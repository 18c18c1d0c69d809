"""LoRA files opened, and their numbers checked before anything is changed by them."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from torch import Tensor

from ..errors import InputError

LARGEST_SCALE = 1000.0  # alpha / rank; trainers write 0.01 to 10


def read_lora_file(path: str | Path) -> tuple[dict[str, str], dict[str, Tensor]]:
    """Metadata and tensors of a safetensors file."""
    try:
        with safe_open(str(path), framework="pt") as file:
            return file.metadata() or {}, {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 - not a dict
    except (SafetensorError, OSError, ValueError, TypeError, RuntimeError) as error:
        raise InputError(
            f"LoRA file {path}",
            got=str(error),
            need="a whole safetensors file",
            fix="Check the path, or copy the file again.",
        ) from error


def peft_alpha(path: str | Path, metadata: dict[str, str]) -> float | None:
    """Alpha as diffusers (in metadata) or peft (in a file beside) stores it; None if nowhere.

    Raises InputError for what is no such metadata, and for an alpha that cannot be.
    """
    beside = Path(path).with_name("adapter_config.json")
    text = metadata.get("lora_adapter_metadata")
    if text is None and not beside.is_file():
        return None
    try:
        said = json.loads(beside.read_text(encoding="utf-8-sig") if text is None else text)
        said = {key.rpartition(".")[2]: value for key, value in said.items()}
        rank, alpha = said.get("r"), said.get("lora_alpha")
        if rank and alpha and said.get("use_rslora"):
            alpha = alpha * math.sqrt(rank)
        if alpha is None:
            return None
        return checked_scale(f"lora_alpha of {path}", float(alpha), rank or 1)
    except (ValueError, TypeError, AttributeError, OSError, OverflowError, RecursionError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(
            f"what {'adapter_config.json' if text is None else 'its metadata'} says of {path}",
            got=f"{type(error).__name__}: {error}",
            need="r and lora_alpha, as peft writes them",
            fix="Copy the file again.",
        ) from error


def checked_scale(what: str, alpha: float, rank: int) -> float:
    """alpha, if alpha / rank is a number that a LoRA can have. Raises InputError otherwise."""
    if not (rank >= 1 and abs(alpha) <= LARGEST_SCALE * rank):  # untrue of NaN
        raise InputError(
            what,
            got=f"{alpha:g} at rank {rank}",
            need=f"a number, at most {LARGEST_SCALE:g} times the rank",
            fix="The file is damaged: download it again.",
        )
    return alpha


def check_numbers(layer: str, group: dict[str, Any], alpha: float | None) -> None:
    """Raise InputError unless down and up make a change: two matrices of one rank, finite, and an
    alpha that can be.
    """
    down, up = group["down"], group["up"]
    rank = len(down) if down.ndim > 1 else 0
    for part, tensor, need in (
        ("lora_A", down, "(rank, numbers in), a rank of at least 1"),
        ("lora_B", up, f"[{len(up) if up.ndim else 1}, {rank}] (rank {rank})"),
    ):
        if not (rank and tensor.ndim > 1 and (tensor is down or tensor.shape[1] == rank)):
            raise InputError(
                f"LoRA tensor {layer}.{part}",
                got=list(tensor.shape),
                need=need,
                fix="The file is damaged, or belongs to a model of another size.",
            )
    said = group.get("alpha")
    if said is not None and said.numel() != 1:
        raise InputError(
            f"alpha of LoRA layer {layer}",
            got=f"{said.numel()} numbers",
            need="one",
            fix="The file is damaged: download it again.",
        )
    found = alpha if said is None else float(said)
    if found is not None:
        checked_scale(f"alpha of LoRA layer {layer}", found, rank)
    for part, tensor in group.items():
        wide = tensor.float() if tensor.element_size() == 1 else tensor  # torch asks no float8
        if not wide.isfinite().all():
            raise InputError(
                f"LoRA layer {layer}",
                got=f"NaN or infinity in its {part}",
                need="finite numbers",
                fix="The file is damaged, or its training failed: take another one.",
            )
