"""Encoded examples on disk: training then needs neither decoder nor encoder, nor memory for more
than one example.

    meta.json                          base, encoder, variant and recipe that they were made with
    empty.safetensors                  the empty prompt, for text dropout
    examples/<clip>-<variant>.safetensors

A file is whole or absent, so the same call again makes what is missing, in one process or several
on one folder. Values are those of the encoders, to the last bit unless stored in half.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from ..backbones import Backbone, Text
from ..errors import InputError, check_choice
from ..media.replace import replacing
from ..options import LAYOUTS
from ..weight_files.tensor_file import write_tensors
from .clips import Row, pair_of, read_clip, rng_of
from .examples import EncodedExample, draw_example, encode_example, usable_frames
from .recipe import CacheRecipe

logger = logging.getLogger(__name__)

META, EMPTY, EXAMPLES = "meta.json", "empty.safetensors", "examples"
STORED = ("float32", "float16")


@dataclass(frozen=True)
class StoreMeta:
    """What examples of one folder have in common. All of it must agree before more are added."""

    base: str
    encoder: str  # fingerprint of the autoencoder
    fps: float
    variant: str
    size: int  # panels have about the area size x size
    recipe: dict  # CacheRecipe, as JSON
    stored: str = "float32"  # precision of the latents
    seed: int = 0
    panels: str = "together"  # or "apart": how they were encoded


def fill_store(
    backbone: Backbone, rows: list[Row], meta: StoreMeta, recipe: CacheRecipe, folder: Path
) -> Iterator[tuple[Row, str]]:
    """Encode what is missing, clip by clip: yields each row with what is wrong with it, or "".

    The backbone needs its encoders alone. Raises InputError when the folder holds examples of
    another meta.
    """
    (folder / EXAMPLES).mkdir(parents=True, exist_ok=True)
    _agree(folder, meta)
    if not (folder / EMPTY).exists():
        _save(folder / EMPTY, backbone.encode_text([""], None)._asdict(), {})
    lengths = recipe.lengths(backbone.geometry)
    for row in rows:
        paths = [
            folder / EXAMPLES / f"{row.name}-{k:03d}.safetensors" for k in range(recipe.variants)
        ]
        try:
            if missing := [(k, path) for k, path in enumerate(paths) if not path.exists()]:
                clip = read_clip(row, backbone.geometry, meta.size, lengths[0], meta.variant)
            for k, path in missing:
                rng = rng_of(meta.seed, row.name, k)
                pair = pair_of(clip, recipe.augment, rng)
                fitting = [n for n in lengths if n <= usable_frames(pair, backbone.geometry)]
                length = int(rng.choice(fitting or lengths[:1]))
                example = draw_example(pair, length, recipe.draws, backbone.geometry, rng)
                _write(path, row, encode_example(backbone, example), example.prompt, meta.stored)
        except InputError as error:
            yield row, str(error)
        else:
            yield row, ""


@dataclass(frozen=True)
class Store:
    """A folder of encoded examples, opened for training."""

    folder: Path
    meta: StoreMeta
    names: list[str]  # of the examples, sorted
    empty: Text

    def clip_of(self, name: str) -> str:
        return name.rpartition("-")[0]

    def held_out(self, most: int) -> set[str]:
        """Clips to validate on: `most` of them, a tenth at most, spread evenly over the list."""
        clips = sorted({self.clip_of(name) for name in self.names})
        count = min(most, len(clips) // 10)
        return {clips[k * len(clips) // count] for k in range(count)}

    def read(self, name: str) -> EncodedExample:
        """Latents come as float32. Raises InputError for a damaged file."""
        path = self.folder / EXAMPLES / f"{name}.safetensors"
        with _whole(path):
            tensors = load_file(path)
            latents, answer, known = (tensors[key] for key in ("latents", "answer", "known"))
            text = Text(**{key: tensors[f"text.{key}"] for key in Text._fields})
        return EncodedExample(latents.float(), answer.float(), known, text)


def open_store(folder: Path) -> Store:
    """Raises InputError when the folder holds no examples."""
    names = sorted(path.stem for path in (folder / EXAMPLES).glob("*.safetensors"))
    if not names or not (folder / META).is_file() or not (folder / EMPTY).is_file():
        raise InputError(
            f"cache {folder}",
            got=f"{len(names)} examples",
            need=f"{META}, {EMPTY} and at least one example, as `train cache` writes them",
            fix=f"Run `python -m dreamactor_core train cache --base ... --out {folder}`.",
        )
    with _whole(folder / EMPTY):
        empty = Text(**load_file(folder / EMPTY))
    return Store(folder, _read_meta(folder), names, empty)


@contextmanager
def _whole(path: Path) -> Iterator[None]:
    """What is raised of a damaged file of a cache, as InputError."""
    try:
        yield
    except (SafetensorError, OSError, KeyError, TypeError) as error:
        raise InputError(
            f"example {path}",
            got=f"{type(error).__name__}: {error}",
            need="a file as `train cache` writes it",
            fix="Delete it and run `train cache` again: it makes what is missing.",
        ) from error


def encoder_fingerprint(vae: nn.Module) -> str:
    """Names an autoencoder by its weights, the same on every device and at every precision."""
    sha = hashlib.sha256()
    for name, value in sorted(vae.state_dict().items()):
        some = value.flatten()[:16].detach().to("cpu", torch.bfloat16).view(torch.int16)
        sha.update(name.encode() + str(tuple(value.shape)).encode() + some.numpy().tobytes())
    return sha.hexdigest()[:16]


def meta_of(
    backbone: Backbone, variant: str, size: int, recipe: CacheRecipe, stored: str, seed: int
) -> StoreMeta:
    check_choice("stored", stored, STORED, fix="Use float32.")
    backbone.geometry.check_panel(size, size)
    recorded = json.loads(json.dumps(asdict(recipe)))
    return StoreMeta(
        backbone.name,
        encoder_fingerprint(backbone.vae),
        backbone.geometry.fps,
        variant,
        size,
        recorded,
        stored,
        seed,
        panels_for(backbone.layout),
    )


def panels_for(layout: str) -> str:
    """How a layout wants its panels encoded."""
    return "together" if layout == LAYOUTS[0] else "apart"


def _agree(folder: Path, meta: StoreMeta) -> None:
    path = folder / META
    if not path.exists():
        with replacing(path) as part:
            part.write_text(json.dumps(asdict(meta), indent=2), encoding="utf-8")
        return
    made = _read_meta(folder)
    for name, value in asdict(meta).items():
        if getattr(made, name) != value:
            raise InputError(
                f"cache {folder}",
                got=f"examples of {name} {getattr(made, name)}",
                need=f"{name} {value}",
                fix="Use another --out folder.",
            )


def _read_meta(folder: Path) -> StoreMeta:
    try:
        return StoreMeta(**json.loads((folder / META).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError, RecursionError) as error:
        raise InputError(
            f"cache {folder}",
            got=f"{type(error).__name__} in {META}",
            need="the file that `train cache` writes",
            fix="Use another folder, or make the cache again.",
        ) from error


def _write(path: Path, row: Row, encoded: EncodedExample, prompt: str, stored: str) -> None:
    dtype = getattr(torch, stored)
    tensors = {
        "latents": encoded.latents.to(dtype),
        "answer": encoded.answer.to(dtype),
        "known": encoded.known,
    }
    tensors |= {f"text.{key}": value for key, value in encoded.text._asdict().items()}
    _save(path, tensors, {"prompt": prompt, "target": row.target.name})


def _save(path: Path, tensors: dict, metadata: dict[str, str]) -> None:
    tensors = {key: value.detach().cpu().contiguous() for key, value in tensors.items()}
    with replacing(path, overwrite=True) as part:
        write_tensors(part, tensors, metadata)
