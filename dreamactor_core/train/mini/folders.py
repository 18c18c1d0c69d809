"""The folders between the stages of the small model, and the one that the package ships."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from ...backbones import Backbone
from ...mini.folder import save_backbone
from ...mini.vae import MiniVAE
from ...options import VARIANTS
from .create import MiniConfig, check_small, create_mini, load_base, to_ship


def open_start(base: str | Path | None, vae: Path | None, size: int | None = None) -> Backbone:
    """What a stage goes on from: a model by name or folder, or a new one around the autoencoder of
    a folder, with panels of size x size pixels (MiniConfig's, if None)."""
    if base:
        return load_base(base)
    config = MiniConfig(size=size or MiniConfig.size)
    return create_mini(MiniVAE.from_pretrained(vae).requires_grad_(False), config)


def save_stage(backbone: Any, folder: Path, description: str) -> None:
    """Write the model that the next stage starts from."""
    save_backbone(backbone, folder / "model", description=description)


def ship(base: str | Path, vae: Path, loras: dict[str, Path], folder: Path) -> None:
    """Put the model folder together that the package ships: a trained model, the autoencoder that
    was refined last, and a LoRA file of each variant."""
    backbone = to_ship(check_small(load_base(base)))
    backbone.vae = MiniVAE.from_pretrained(vae)
    save_backbone(
        backbone,
        folder,
        description="The small model of ComfyUI-DreamActor-M2, see README.md.",
        trained_on="the puppet world of dreamactor_core/puppets, training split",
    )
    (folder / "lora").mkdir(exist_ok=True)
    for variant in VARIANTS:
        shutil.copy(loras[variant], folder / "lora" / f"{variant}.safetensors")
