"""The card of a trained mini-incontext: what it is, and every figure that its run measured."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from statistics import mean, stdev
from typing import Any

ABOUT = """# mini-incontext

The bare method, small: 64x64 panels, 8 fps, 17 frames a pass (9 of them lead-in). A composite and
noise go in, latents come out; no eye, no rig, no brush. Trained by `train incontext` on the puppet
world, training split: codec; foundation on single clips and on diptychs of the same clip, never on
two characters doing the same; a pose-based LoRA on feed-forward layers; pairs that it made, judged;
an end-to-end LoRA on those. Licence: Apache-2.0.
"""
AIMED = """
The first block of the foundation began by looking at the same cell of driver and
reference (`mini/aim.py`): an initialisation, not another architecture.
"""
TRAINED = """
Steps and seconds of each stage of this run; one that started from another run has the others there.
"""
MEASURED = """
Unseen puppets; relative error 1 is the reference standing still. Below the two variants,
each thing taken away from them; change: the mean difference from the answer as it should be, of
full white (`bench puppets`, `benchmarks/what_matters.py`). Measured before these files were
written, in which weights are int8 and LoRAs narrowed.
"""
ONLY_CAPTIONED = """
Scenes where only the caption tells what happens: relative error with the true caption, with none,
and with that of another state.
"""
TABLE_2 = """
Table 2: LoRAs from the same foundation, of the same steps, mean and deviation over seeds of
training, to be compared with each other alone; other builds: drivers of quite another build
(`benchmarks/incontext_arms.py`).
"""
MORE_FIGURES = """
`train incontext --start` goes on from this folder. How it came to be: docs/incontext.md.
"""
CARD_COLUMNS = {
    "relative_error": "relative error",
    "silhouette_iou": "silhouette IoU",
    "identity_error": "identity error",
    "leak": "leak",
}
FIRST_ROWS = ("still-reference", "vae-floor", "pose-based", "end-to-end")
CARD_TEXTS = ("true", "none", "other")


def incontext_card(figures: dict[str, Any]) -> str:
    """Markdown, of what is in figures.json."""
    parts = [ABOUT, AIMED if figures.get("aimed") else ""]
    for said, lines in (
        (TRAINED, _stages(figures)),
        (MEASURED, _rows(figures)),
        (ONLY_CAPTIONED, _told(figures)),
        (TABLE_2, _arms(figures)),
    ):
        if len(table := [*lines]) > 2:
            parts += [said, "\n", *(f"| {' | '.join(line)} |\n" for line in table)]
    return "".join([*parts, MORE_FIGURES])


def _head(names: Iterable[str]) -> Iterator[list[str]]:
    row = ["", *names]
    yield row
    yield ["---"] * len(row)


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


def _stages(figures: dict[str, Any]) -> Iterator[list[str]]:
    yield from _head(["steps", "seconds"])
    for name, stage in figures.get("training", {}).items():
        yield [name, str(stage["steps"]), f"{stage['seconds']:.0f}"]


def _rows(figures: dict[str, Any]) -> Iterator[list[str]]:
    rows, changes = figures.get("rows", {}), figures.get("change", {})
    yield from _head([*CARD_COLUMNS.values(), "change"])
    for name in dict.fromkeys(name for name in (*FIRST_ROWS, *rows) if name in rows):
        variant, _, what = name.partition(": ")
        if "relative_error" in rows[name]:
            told = [rows[name].get(key) for key in CARD_COLUMNS]
            yield [name, *map(_number, (*told, changes.get(variant, {}).get(what)))]


def _told(figures: dict[str, Any]) -> Iterator[list[str]]:
    yield from _head(CARD_TEXTS)
    for name, row in figures.get("rows", {}).items():
        if set(row) == set(CARD_TEXTS):
            yield [name, *(_number(row[text]["relative_error"]) for text in CARD_TEXTS)]


def _arms(figures: dict[str, Any]) -> Iterator[list[str]]:
    yield from _head([*CARD_COLUMNS.values(), "other builds", "seeds"])
    for name, seeds in figures.get("arms", {}).items():
        done = [seed for seed in seeds.values() if {"plain", "builds"} <= set(seed)]
        if done:
            cells = [_spread([seed["plain"][key] for seed in done]) for key in CARD_COLUMNS]
            other = _spread([seed["builds"]["relative_error"] for seed in done])
            yield [name, *cells, other, str(len(done))]


def _spread(values: list[float]) -> str:
    """Mean and deviation; of one value the value alone."""
    told = f"{mean(values):.3f}"
    return f"{told} ± {stdev(values):.3f}" if len(values) > 1 else told
