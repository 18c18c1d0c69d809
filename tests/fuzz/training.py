"""What training, `prepare` and `bootstrap` read beside clips: lists, recipes, caches, journals."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from dataclasses import asdict
from functools import partial
from pathlib import Path

import torch
from safetensors.torch import save

from dreamactor_core.backbones import Text
from dreamactor_core.bootstrap.cast import read_source_clips
from dreamactor_core.footage.sheet import dropped_names
from dreamactor_core.make_lora.journal import STAGES_FILE, Journal
from dreamactor_core.train.clips import read_rows
from dreamactor_core.train.recipe import read_recipe
from dreamactor_core.train.store import EMPTY, EXAMPLES, META, StoreMeta, open_store

from .damage import damaged, damaged_json

LINE = {"target": "a.mp4", "caption": "A fox.", "pose": "a.json", "driving": "b.mp4", "lead_in": 9}
TABLE = b"source,target,prompt\nb.mp4,a.mp4,A fox.\nc.mp4,d.mp4,\n"
RECIPE = {
    "variant": "pose-based", "lora": {"rank": 2, "alpha": 2}, "steps": 3, "betas": [0.9, 0.99],
    "cache": {"shortest": 49, "longest": 81, "draws": {"keep": 0.5}}, "about": {"steps": "few"},
}  # fmt: skip
CACHE_META = asdict(StoreMeta("tiny", "0f", 8.0, "pose-based", 32, {"variants": 1}))
JSON_FILES = {  # ending: values
    ".recipe": [RECIPE],
    ".meta": [CACHE_META],
    ".dropped": [{"dropped": ["a", "b"]}],
    ".stages": [{"train": "0123"}],
}


def _text_part(*shape: int) -> dict[str, torch.Tensor]:
    return {f"text.{name}": torch.zeros(shape) for name in Text._fields}


def _example() -> bytes:
    panels = {name: torch.zeros(1, 2, 1, 2, 4) for name in ("latents", "answer")}
    return save(panels | {"known": torch.ones(1, 2, 4, 1)} | _text_part(1, 2), {"prompt": "A fox."})


def _empty() -> bytes:
    return save({name.removeprefix("text."): part for name, part in _text_part(1, 2).items()})


def training_cases(rng: random.Random) -> Iterator[tuple[str, bytes]]:
    while True:
        ending = rng.choice([*JSON_FILES, ".jsonl", ".csv", ".example", ".empty"])
        if ending in JSON_FILES:
            yield ending, damaged_json(rng.choice(JSON_FILES[ending]), rng)
        elif ending == ".jsonl":
            lines = [json.dumps(LINE).encode()] * 2 + [damaged_json(LINE, rng)]
            yield ending, b"\n".join(rng.sample(lines, 3))
        elif ending == ".empty":
            yield ending, damaged(_empty(), rng)
        else:
            yield ending, damaged(TABLE if ending == ".csv" else _example(), rng)


def read_training_file(path: Path) -> None:
    """As the command that is given it, or finds it in its folder."""
    readers: dict[str, Callable[[Path], object]] = {
        ".recipe": read_recipe,
        ".dropped": _beside("dropped-1.json", dropped_names),
        ".stages": _beside(STAGES_FILE, lambda folder: Journal(folder).has("train", "0123")),
        ".meta": _beside(META, open_store),
        ".example": _read_example,
        ".empty": _beside(EMPTY, open_store),
    }
    for read in [readers[path.suffix]] if path.suffix in readers else _LISTS:
        read(path)


def _beside(name: str, read: Callable[[Path], object]) -> Callable[[Path], None]:
    """The file under its own name in a folder which has, where it matters, what a cache has."""

    def placed(path: Path) -> None:
        folder = _cache(path.parent / "job")
        (folder / name).write_bytes(path.read_bytes())
        read(folder)

    return placed


def _read_example(path: Path) -> None:
    folder = _cache(path.parent / "job")
    (folder / EXAMPLES / "a-000.safetensors").write_bytes(path.read_bytes())
    open_store(folder).read("a-000")


def _cache(folder: Path) -> Path:
    (folder / EXAMPLES).mkdir(parents=True, exist_ok=True)
    (folder / EXAMPLES / "a-000.safetensors").write_bytes(_example())
    (folder / EMPTY).write_bytes(_empty())
    (folder / META).write_text(json.dumps(CACHE_META))
    return folder


_LISTS = (
    partial(read_rows, variant="pose-based"), partial(read_rows, variant="end-to-end"),
    read_source_clips,
)  # fmt: skip
