"""What a LoRA of this method says about itself, and whether it fits."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from pathlib import Path

from torch import Tensor

from ..errors import InputError
from .files import LARGEST_SCALE, read_lora_file

METHOD = "dreamactor-m2"
SIDE = "reference-left"  # where build_composite puts the reference
VARIANTS = ("pose-based", "end-to-end")
BLANKS = ("zero", "grey")


@dataclass(frozen=True)
class LoraInfo:
    """What a LoRA file says about itself. Every field is written to its metadata as text."""

    variant: str  # "pose-based" or "end-to-end": what the right panel holds
    blank: str  # "zero" or "grey": what an unknown left panel holds
    lead_in_seconds: float
    fps: float
    base: str  # Backbone.name
    rank: int
    alpha: float
    side: str = SIDE
    method: str = METHOD
    expert: str = ""  # "high" or "low" for a backbone of two experts; then alone it is written


def read_lora_info(path: str | Path) -> LoraInfo:
    """The metadata of a LoRA file. Raises InputError when it is none of ours or unreadable."""
    return read_own(path)[0]


def read_own(path: str | Path) -> tuple[LoraInfo, dict[str, str], dict[str, Tensor]]:
    """A LoRA of this method: what it says of itself, its metadata as they are, its tensors."""
    metadata, tensors = read_lora_file(path)
    if metadata.get("method") != METHOD:
        raise InputError(
            f"LoRA file {path}",
            got=f"method {metadata.get('method')!r} in its metadata",
            need=repr(METHOD),
            fix="Choose a LoRA made for this method.",
        )
    said = {"expert": ""} | metadata
    try:
        info = LoraInfo(
            **{
                field.name: {"float": float, "int": int, "str": str}[field.type](said[field.name])
                for field in fields(LoraInfo)
            }
        )
        _check_info(info)
    except (KeyError, ValueError) as error:
        raise InputError(
            f"metadata of {path}",
            got=f"{type(error).__name__} {error}",
            need=", ".join(field.name for field in fields(LoraInfo)),
            fix="Save the LoRA again with save_lora.",
        ) from error
    return info, metadata, tensors


def check_fits(info: LoraInfo, name: str, blank: str, fps: float, file: str = "the LoRA") -> None:
    """Raise InputError for a LoRA of another layout than the model's: its name, blank and rate."""
    ours, models = "", ", that of the model"
    for what, got, accepted, whose in (
        ("variant", info.variant, VARIANTS, ours),
        ("side of the reference", info.side, (SIDE,), ours),
        ("base model", info.base, (name,), models),
        ("blank", info.blank, (blank,), models),
        ("frame rate", info.fps, (fps,), models),
    ):
        if got not in accepted:
            raise InputError(
                f"{what} of {file}",
                got=repr(got),
                need=" or ".join(map(repr, accepted)) + whose,
                fix="Choose a LoRA made for this backbone and layout.",
            )


def check_together(info: LoraInfo, before: LoraInfo, file: str) -> None:
    """Raise InputError when a LoRA cannot stand beside one that is on the model already."""
    for what, got, need in (
        ("variant", info.variant, before.variant),
        ("lead-in", info.lead_in_seconds, before.lead_in_seconds),
    ):
        if got != need:
            raise InputError(
                f"{what} of {file}",
                got=repr(got),
                need=f"{need!r}, that of the LoRA on the model already",
                fix="Chain LoRAs of one variant only.",
            )


def _check_info(info: LoraInfo) -> None:
    """Raise ValueError for numbers that no training can have."""
    for what, value, least, most in (
        ("lead_in_seconds", info.lead_in_seconds, 0, 60),
        ("fps", info.fps, 1, 1000),
        ("rank", info.rank, 1, 1 << 16),
        ("alpha / rank", info.alpha / info.rank if info.rank else math.nan, 1e-6, LARGEST_SCALE),
    ):
        if not least <= value <= most:  # untrue of NaN
            raise ValueError(f"{what} {value:g}")
