"""A run of mini-incontext as a model folder, which every command and Load Model opens."""

from __future__ import annotations

from pathlib import Path

from ...lora.adapters import remove_lora, save_lora
from ...lora.files import LoraInfo
from ...media import replacing
from ...mini.folder import save_backbone
from ...options import LEAD_IN_SECONDS
from .incontext_card import incontext_card
from .incontext_model import ADAPTER, add_adapter, load_adapter, narrowed
from .incontext_session import Session


def export_model(session: Session) -> Path:
    """out/model: weights as float16, of the networks as scaled int8, model.json, a card, and the
    LoRAs that there are, each of the directions that matter most.

    The run's adapter is off the network afterwards: it is the last thing that a call does.
    """
    backbone, folder = session.backbone, session.out / "model"
    (folder / "lora").mkdir(parents=True, exist_ok=True)
    rank = min(session.sizes.rank, session.sizes.stored_rank)
    if session.loras:
        remove_lora(backbone, ADAPTER)
        add_adapter(backbone, rank)
    for variant, state in session.loras.items():
        load_adapter(backbone, narrowed(state, rank))
        info = LoraInfo(
            variant=variant,
            blank=backbone.blank,
            lead_in_seconds=LEAD_IN_SECONDS,
            fps=backbone.geometry.fps,
            base=backbone.name,
            rank=rank,
            alpha=rank,
        )
        save_lora(backbone, ADAPTER, folder / "lora" / f"{variant}.safetensors", info)
    if session.loras:
        remove_lora(backbone, ADAPTER)
    save_backbone(
        backbone,
        folder,
        description="The bare method, 64x64, see README.md.",
        trained_on="the puppet world of dreamactor_core/puppets, training split",
        scaled=("transformer.", "vae."),
    )
    with replacing(folder / "README.md", overwrite=True) as part:
        part.write_text(incontext_card(session.figures), encoding="utf-8")
    return folder
