"""LoRA files of this method: what they say of themselves, and what they fit."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import NamedTuple

from torch import Tensor

from ..errors import InputError
from ..options import LAYOUTS, LEAD_IN_SECONDS, VARIANTS
from .stored import LARGEST_SCALE, read_lora_file

METHOD = "dreamactor-m2"
READERS: dict[str, Callable] = {"float": float, "int": int, "str": str}  # of LoraInfo's fields
REFERENCE_SIDE = "reference-left"  # where build_composite puts the reference


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
    side: str = REFERENCE_SIDE
    method: str = METHOD
    expert: str = ""  # "high" or "low" for a backbone of two experts; then alone it is written
    layout: str = LAYOUTS[0]  # of LAYOUTS; files from before it have none, and are of the first


class LoraFile(NamedTuple):
    """A LoRA file of this method, opened."""

    path: Path
    info: LoraInfo
    metadata: dict[str, str]  # as they stand in the file
    tensors: dict[str, Tensor]


class WantedLora(NamedTuple):
    file: LoraFile
    strength: float = 1.0  # 1 as trained, 0 off


def read_lora(path: str | Path) -> LoraFile:
    """Open a LoRA file. Raises InputError when it is none of this method or unreadable."""
    return parse_lora(path, *read_lora_file(path))


def parse_lora(path: str | Path, metadata: dict[str, str], tensors: dict[str, Tensor]) -> LoraFile:
    """What a file says of itself. Raises InputError when it is none of this method."""
    if metadata.get("method") != METHOD:
        raise InputError(
            f"LoRA file {path}",
            got=f"method {metadata.get('method')!r} in its metadata",
            need=repr(METHOD),
            fix="Choose a LoRA made for this method.",
        )
    said = {"expert": "", "layout": LAYOUTS[0]} | metadata
    try:
        info = LoraInfo(
            **{field.name: READERS[str(field.type)](said[field.name]) for field in fields(LoraInfo)}
        )
        _check_info(info)
    except (KeyError, ValueError) as error:
        raise InputError(
            f"metadata of {path}",
            got=f"{type(error).__name__} {error}",
            need=", ".join(field.name for field in fields(LoraInfo)),
            fix="Save the LoRA again with save_lora.",
        ) from error
    return LoraFile(Path(path), info, metadata, tensors)


def check_fits(
    info: LoraInfo,
    name: str,
    blank: str,
    fps: float,
    file: str = "the LoRA",
    layouts: Sequence[str] = LAYOUTS[:1],
) -> None:
    """Raise InputError for a LoRA that was made for another model: another name, blank or rate, or
    a layout that it cannot work in."""
    ours, models = "", ", that of the model"
    for what, got, accepted, whose in (
        ("variant", info.variant, VARIANTS, ours),
        ("side of the reference", info.side, (REFERENCE_SIDE,), ours),
        ("base model", info.base, (name,), models),
        ("blank", info.blank, (blank,), models),
        ("frame rate", info.fps, (fps,), models),
        ("layout", info.layout, layouts, models),
    ):
        if got not in accepted:
            raise InputError(
                f"{what} of {file}",
                got=repr(got),
                need=" or ".join(map(repr, accepted)) + whose,
                fix="Choose a LoRA made for this backbone and layout.",
            )


def check_agrees(
    info: LoraInfo, variant: str, lead_in_seconds: float, file: str, layout: str = ""
) -> None:
    """Raise InputError for a LoRA of another variant, lead-in or layout than what it works with;
    layout "": any."""
    for what, got, need in (
        ("variant", info.variant, variant),
        ("lead-in", info.lead_in_seconds, lead_in_seconds),
        ("layout", info.layout, layout or info.layout),
    ):
        if got != need:
            raise InputError(
                f"{what} of {file}",
                got=repr(got),
                need=f"{need!r}, which goes with the rest",
                fix="Choose a LoRA of this variant, or the variant of this LoRA; chain LoRAs of "
                "one variant only.",
            )


def check_together(loras: Sequence[WantedLora], variant: str) -> float:
    """The lead-in seconds of LoRAs that work together; the usual ones without any.

    Raises InputError for one of another variant, or of another lead-in or layout than the first.
    """
    if not loras:
        return LEAD_IN_SECONDS
    first = loras[0].file.info
    for file, _ in loras:
        check_agrees(file.info, variant, first.lead_in_seconds, str(file.path), first.layout)
    return first.lead_in_seconds


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
