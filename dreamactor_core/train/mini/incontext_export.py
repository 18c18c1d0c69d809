"""A run of mini-incontext as a model folder, which every command and Load Model opens."""

from __future__ import annotations

from pathlib import Path

from ...lora.adapters import remove_lora, save_lora
from ...lora.files import LoraInfo
from ...media import replacing
from ...mini.folder import save_backbone
from ...options import LEAD_IN_SECONDS
from .incontext_model import ADAPTER, add_adapter, load_adapter, narrowed
from .incontext_session import Session

CARD = """# mini-incontext

The bare method, small: 64x64 panels, 8 fps, 17 frames a pass (9 of them lead-in). A composite and
noise go in, latents come out; no eye, no rig, no brush. Trained by `train incontext` on the puppet
world, training split: codec; foundation on single clips and on diptychs of the same clip, never on
two characters doing the same; a pose-based LoRA on feed-forward layers; pairs that it made, judged;
an end-to-end LoRA on those.

{aimed}Unseen puppets; relative error 1 is the reference standing still. Below the two variants,
each thing taken away from them; change: the mean difference from the answer as it should be, of
full white.

{figures}
The whole of it: figures.json of the run, and docs/incontext.md.
"""
AIMED = """The first block of the foundation began by looking at the same cell of driver and
reference (`mini/aim.py`): an initialisation, not another architecture.

"""
CARD_COLUMNS = {
    "relative_error": "relative error",
    "silhouette_iou": "silhouette IoU",
    "identity_error": "identity error",
}
CARD_ROWS = ("still-reference", "vae-floor", "pose-based", "end-to-end")


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
        scaled=("transformer", "vae"),
    )
    aimed = AIMED if session.figures.get("aimed") else ""
    with replacing(folder / "README.md", overwrite=True) as part:
        part.write_text(CARD.format(figures=_table(session), aimed=aimed), encoding="utf-8")
    return folder


def _table(session: Session) -> str:
    rows = session.figures.get("rows", {})
    changes = session.figures.get("change", {})
    lines = [
        f"| | {' | '.join(CARD_COLUMNS.values())} | change |",
        "|---" * (len(CARD_COLUMNS) + 2) + "|",
    ]
    for name in dict.fromkeys(name for name in (*CARD_ROWS, *rows) if name in rows):
        variant, _, what = name.partition(": ")
        told = [rows[name].get(key) for key in CARD_COLUMNS]
        told.append(changes.get(variant, {}).get(what))
        if told[0] is not None:
            cells = ("" if value is None else f"{value:.3f}" for value in told)
            lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"
