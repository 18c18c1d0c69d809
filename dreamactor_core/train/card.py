"""The card of a trained LoRA: README.md beside its files, in the form that model hubs read."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from ..lora.adapters import LoraInfo
from ..media.replace import replacing
from .recipe import Recipe
from .store import Store


class Base(NamedTuple):
    title: str
    licence: str  # of the base, by a hub's short name
    note: str


HUNYUAN = Base(
    "HunyuanVideo-1.5",
    "other",
    "The base is under the Tencent Hunyuan Community License, which does not extend to the "
    "European Union, the United Kingdom and South Korea; a LoRA for it is a derivative.",
)
INTENDED = (
    "Intended for characters whose owners agree, drawn ones included. Out of scope: videos of real "
    "people without their consent, or that pass for true."
)
WAN = Base("Wan", "apache-2.0", "The base is under the Apache License 2.0.")


class CardOfPair(NamedTuple):
    """What is said of two LoRAs that one job made."""

    name: str
    info: LoraInfo  # of either
    clips: int
    recipes: Mapping[str, Recipe]  # by variant
    files: Mapping[str, Sequence[str]]  # by variant
    figures: Mapping[str, Mapping[str, float]]  # by variant, by name


def write_card(info: LoraInfo, recipe: Recipe, store: Store, step: int, folder: Path) -> None:
    """What it is, of what it was made and how it must be used; the rest is the trainer's to add."""
    with replacing(folder / "README.md", overwrite=True) as part:
        part.write_text(card(info, recipe, store, step, folder), encoding="utf-8")


def card(info: LoraInfo, recipe: Recipe, store: Store, step: int, folder: Path) -> str:
    base = _base_of(info)
    clips = len({store.clip_of(name) for name in store.names})
    held = len(store.held_out(recipe.held_out))
    best = folder / "best.json"
    score = "No clip was held out."
    if best.is_file():
        figures = json.loads(best.read_text(encoding="utf-8"))
        score = (
            f"Lowest loss on {held} held-out clips: {figures['validation']:.4f} at step "
            f"{figures['step']} (best.safetensors)."
        )
    drives = (
        "a drawn skeleton" if info.variant == "pose-based" else "the driving video itself, in RGB"
    )
    expert = f", {info.expert}-noise expert" if info.expert else ""
    return "\n".join(
        [
            *_head(info),
            f"# DreamActor LoRA, {info.variant}, for {info.base}{expert}",
            "",
            f"Animates the character of a picture by {drives}, with ComfyUI-DreamActor-M2. "
            f"{base.note}",
            "",
            "| | |",
            "|---|---|",
            f"| rank, alpha | {info.rank}, {info.alpha:g}; visual feed-forward layers |",
            f"| trained on | {clips - held} clips, {len(store.names)} examples; panels of about "
            f"{store.meta.size}x{store.meta.size} |",
            f"| steps | {step} of {recipe.steps}, {recipe.batch_size} examples a device each |",
            f"| learning rate | {recipe.learning_rate:g} |",
            f"| lead-in | {info.lead_in_seconds:g} s of empty driving frames |",
            f"| rate | {info.fps:g} frames a second |",
            f"| layout | {info.layout} |",
            "",
            score,
            "",
            "Files: `lora.safetensors` (diffusers' names), `lora-comfyui.safetensors` (ComfyUI's "
            "own LoRA loader).",
            "",
            INTENDED,
            "",
        ]
    )


def pair_card(about: CardOfPair) -> str:
    """README.md of a job's folder."""
    info = about.info
    lines = [
        *_head(info),
        f"# {about.name}: DreamActor LoRAs for {info.base}",
        "",
        "Two LoRAs that animate the character of a picture, with ComfyUI-DreamActor-M2: pose-based "
        "by a drawn skeleton, end-to-end by the driving video itself. " + _base_of(info).note,
        "",
        f"Made of {about.clips} clips. The end-to-end one began from the pose-based one and "
        "learned from clips of the same motion by other characters, which that one had made.",
        "",
    ]
    for variant, recipe in about.recipes.items():
        lines += [
            f"## {variant}",
            "",
            f"Files: {', '.join(f'`{file}`' for file in about.files[variant])}, in ComfyUI's "
            f"names of layers. Rank {recipe.lora.rank}, alpha {recipe.lora.alpha:g}, "
            f"{recipe.steps} steps of {recipe.batch_size}, learning rate "
            f"{recipe.learning_rate:g}.",
            "",
        ]
        lines += _figures(about.figures.get(variant, {}))
    return "\n".join([*lines, INTENDED, ""])


def _figures(figures: Mapping[str, float]) -> list[str]:
    if not figures:
        return ["No figures: the check failed or was left out.", ""]
    lines = [f"| {name} | {value:.3f} |" for name, value in figures.items()]
    return ["| mean over the clips looked at | |", "|---|---|", *lines, ""]


def _base_of(info: LoraInfo) -> Base:
    return HUNYUAN if "hunyuan" in info.base else WAN


def _head(info: LoraInfo) -> list[str]:
    return [
        "---",
        f"license: {_base_of(info).licence}",
        f"base_model: {info.base}",
        "library_name: diffusers",
        "tags: [lora, video, character-animation, dreamactor-m2]",
        "---",
    ]
