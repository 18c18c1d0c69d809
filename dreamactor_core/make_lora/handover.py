"""What a job ends in: the LoRAs under one name, their card, a sheet, and the graph that uses them.

    NAME-pose-based.safetensors, NAME-end-to-end.safetensors (of each expert of the base)
    README.md    the card        sheet.html   pictures of what they make, with figures
    graph.json   for ComfyUI, with NAME-reference.png and NAME-driving.mp4 to try it on

The files have ComfyUI's names of layers, which every reader of ours knows, too.
"""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from ..lora.files import read_lora
from ..lora.names import convert_lora
from ..media import read_frames, write_image
from ..media.replace import replacing
from ..train.card import CardOfPair, pair_card
from ..train.check import SCORES
from ..train.clips import read_rows
from ..train.cross import CROSS_SCORES
from ..weight_files.tensor_file import write_tensors
from .graph import graph_of
from .plan import MakePlan
from .sheet import write_sheet

MeanFigures = dict[str, float]  # by name, the mean over clips


class Made(NamedTuple):
    loras: list[Path]
    card: Path
    sheet: Path
    graph: Path


def hand_over(
    plan: MakePlan,
    trained: Mapping[str, Mapping[str, Path]],
    checks: Mapping[str, Path],
    clips: Path,
) -> Made:
    """trained: variant -> expert -> file; checks: variant -> folder of figures and videos, which
    may be empty. Writes into plan.out, over what an earlier call has written there.
    """
    name, out = plan.out.resolve().name, plan.out
    loras: dict[str, list[Path]] = {}
    for variant, files in trained.items():
        for expert, file in files.items():
            path = out / f"{'-'.join(filter(None, (name, variant, expert)))}.safetensors"
            made = convert_lora(file, "comfyui")
            with replacing(path, overwrite=True) as part:
                write_tensors(part, made.tensors, made.metadata)
            loras.setdefault(variant, []).append(path)
    graph = out / "graph.json"
    listed = {variant: [path.name for path in paths] for variant, paths in loras.items()}
    wired = graph_of(plan.base.resolve().name, listed, _samples(clips, plan), plan.size)
    _write(graph, json.dumps(wired, indent=1))
    figures = {variant: figures_in(folder) for variant, folder in checks.items()}
    info = read_lora(loras["pose-based"][0]).info
    rows, _ = read_rows(clips, "pose-based")
    about = CardOfPair(name, info, len(rows), plan.recipes, listed, figures)
    _write(out / "README.md", pair_card(about))
    sheet = write_sheet(out / "sheet.html", name, checks)
    return Made(
        [path for paths in loras.values() for path in paths], out / "README.md", sheet, graph
    )


def figures_in(folder: Path) -> MeanFigures:
    """The means of what the tables of a check say; nothing of a check that failed."""
    columns: dict[str, list[float]] = {}
    for table in (SCORES, CROSS_SCORES):
        if (folder / table).exists():
            with (folder / table).open(newline="") as file:
                for line in csv.DictReader(file):
                    for name, value in line.items():
                        if name not in ("clip", "reference", "driver"):
                            columns.setdefault(name, []).append(float(value))
    means = {name: sum(values) / len(values) for name, values in columns.items()}
    return {name: value for name, value in means.items() if value == value}  # not NaN


def _samples(clips: Path, plan: MakePlan) -> tuple[str, str]:
    """A picture and a clip of the job to try the graph on; their names."""
    rows, _ = read_rows(clips, "pose-based")
    name = plan.out.resolve().name
    picture, video = f"{name}-reference.png", f"{name}-driving{rows[-1].target.suffix}"
    first = next(iter(read_frames(rows[0].target))).image
    write_image(plan.out / picture, first, overwrite=True)
    with replacing(plan.out / video, overwrite=True) as part:
        shutil.copyfile(rows[-1].target, part)
    return picture, video


def _write(path: Path, text: str) -> None:
    with replacing(path, overwrite=True) as part:
        part.write_text(text, encoding="utf-8")
