"""Which LoRAs a model wears: those that were named, or the one that lies beside it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ..errors import InputError
from ..lora.files import WantedLora, check_together, read_lora
from . import Source


def choose_loras(
    source: Source, variant: str, named: Sequence[tuple[Path, float]]
) -> list[WantedLora]:
    """The LoRAs that were named, (file, strength) each, or the one that lies beside the model.

    Each file is opened once. [] for a model that performs as it is. Raises InputError for files
    that are none of this method, of another variant, or that do not go together.
    """
    if not source.takes_loras:
        if named:
            raise takes_none(source.name)
        return []
    named = named or [(source.lora_beside(variant), 1.0)]
    loras = [WantedLora(read_lora(path), strength) for path, strength in named]
    check_together(loras, variant)
    return loras


def takes_none(name: str) -> InputError:
    return InputError(
        f"model {name}",
        got="a LoRA",
        need="none, for it performs motions as it is, and LoRAs of this method need a backbone",
        fix="Leave the LoRA away.",
    )


def lora_beside(folder: Path, called: str, variant: str) -> Path:
    """<model>/lora/<variant>.safetensors. Raises InputError when there is no such file."""
    path = folder / "lora" / f"{variant}.safetensors"
    if not path.is_file():
        raise InputError(
            f"{variant} LoRA of {called}",
            got=f"no file {path}",
            need="one, for without it the model does not know the task",
            fix="Name a LoRA file that was trained for this model.",
        )
    return path
