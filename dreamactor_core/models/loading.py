"""From a name to a model that is ready, in one call: for scripts, training and tests."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ..backbones import Backbone
from ..backbones.placement import Placement
from ..errors import InputError
from ..weight_files.files import Files
from . import Animator, find
from .loras import choose_loras


def load_animator(
    name_or_folder: str | Path,
    variant: str,
    loras: Sequence[tuple[Path, float]] = (),
    placement: Placement | None = None,
) -> Animator:
    """A model that performs a variant, with its LoRAs, (file, strength) each, or the one beside it.

    Raises InputError as find, choose_loras and Source.open do.
    """
    source = find(name_or_folder)
    wanted = choose_loras(source, variant, loras)
    return source.open(placement).wearing(wanted)


def load_backbone(
    name_or_folder: str | Path,
    placement: Placement | None = None,
    files: Files | None = None,
) -> Backbone:
    """The backbone alone, without a LoRA; placement as for Source.open, files as for find.

    Raises InputError as these do, and for a model that reads no composite.
    """
    source = find(name_or_folder, files)
    backbone = source.open(placement).backbone if source.takes_loras else None
    if backbone is None:
        raise InputError(
            "model",
            got=source.name,
            need="one that reads a composite",
            fix="Choose a backbone; see docs/backbones.md.",
        )
    return backbone
