"""Latents on disk, so that training never waits for a renderer, a decoder or an encoder.

A cache is a folder: meta.json (which autoencoder, size, rate), shard-NNNNN.safetensors with one
row a sample, and shard-NNNNN.json with the captions. The two panels of a composite are encoded
apart and joined when a batch is drawn, so one target can be paired with many drivers.

    target    (n, t', c, h', w')  what the left panel must become; latent frame 0 is the reference
    driving   (n, t', c, h', w')  another identity's performance of the same motion, in RGB
    skeleton  (n, t', c, h', w')  the target's own pose, varied (paper section 3.3)

The cached driving covers the lead-in too; the batch blanks it out, as inference does.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from ..backbones import Backbone
from ..errors import InputError
from ..pose.draw import draw_pose
from ..pose.vary import vary_pose
from ..puppets.scene import Clip, triplet

KEYS = ("target", "driving", "skeleton")


@dataclass(frozen=True)
class Sample:
    """One training pair in pixels: uint8 (t, h, w, 3) each, t = 4k + 1, and a caption."""

    target: np.ndarray
    driving: np.ndarray
    skeleton: np.ndarray
    caption: str


def puppet_samples(seeds: range, num_frames: int, size: int) -> Iterator[Sample]:
    """Two samples a seed: each of the two identities is the target once."""
    for seed in seeds:
        clips = triplet(seed, "train", num_frames, size)
        rng = np.random.default_rng((seed, 1))
        for target, driver in ((clips.truth, clips.driver), (clips.driver, clips.truth)):
            skeleton = skeleton_panel(target, rng, size)
            yield Sample(target.frames, driver.frames, skeleton, target.caption)


def skeleton_panel(clip: Clip, rng: np.random.Generator, size: int) -> np.ndarray:
    """The clip's own pose, bone lengths and box varied, drawn on black."""
    return draw_pose(vary_pose(clip.pose, rng), size, size)


def fingerprint(backbone: Backbone) -> str:
    """Names the encoder: latents of another one must not be mixed in.

    A short hash of what it makes of a fixed picture, at the precision of the cache's comparison.
    """
    rng = np.random.default_rng(0)
    side = backbone.geometry.size_multiple * 2
    picture = torch.from_numpy(rng.random((1, side, side, 3), dtype=np.float32))
    latents = backbone.encode_video(picture).mul(20).round().to(torch.int32)
    return hashlib.sha256(latents.numpy().tobytes()).hexdigest()[:16]


@torch.inference_mode()
def write_cache(backbone: Backbone, samples: Iterator[Sample], folder: Path, shard: str, shard_size: int = 256) -> int:
    """Encode samples into folder/<shard>-NNNNN.safetensors; finished shards are not made again.

    Returns the number of samples. `samples` must give the same order on every run.
    """
    folder.mkdir(parents=True, exist_ok=True)
    geometry = backbone.geometry
    meta = {"encoder": fingerprint(backbone), "fps": geometry.fps, "panel": list(geometry.panel)}
    (folder / "meta.json").write_text(json.dumps(meta, indent=2))
    rows: dict[str, list[Tensor]] = {key: [] for key in KEYS}
    captions: list[str] = []
    count = 0

    def flush(number: int) -> None:
        path = folder / f"{shard}-{number:05d}.safetensors"
        temporary = path.with_suffix(".tmp")
        save_file({key: torch.stack(value) for key, value in rows.items()}, temporary)
        path.with_suffix(".json").write_text(json.dumps(captions))
        temporary.replace(path)
        captions.clear()
        for value in rows.values():
            value.clear()

    for count, sample in enumerate(samples, 1):  # noqa: B007
        for key in KEYS:
            frames = torch.from_numpy(getattr(sample, key)).float() / 255
            latents = backbone.encode_video(frames)[0].transpose(0, 1)
            rows[key].append(latents.half())
        captions.append(sample.caption)
        if count % shard_size == 0:
            flush(count // shard_size - 1)
    if captions:
        flush(count // shard_size)
    return count


@dataclass(frozen=True)
class Cache:
    """A cache in memory (float16)."""

    rows: dict[str, Tensor]  # each (n, t', c, h', w')
    captions: list[str]
    black: Tensor  # (1, c, t', h', w') a black panel

    def __len__(self) -> int:
        return len(self.captions)


@torch.inference_mode()
def read_cache(backbone: Backbone, folder: Path) -> Cache:
    """Raises InputError when the folder is no cache of this backbone's encoder."""
    meta_file = folder / "meta.json"
    shards = sorted(folder.glob("*.safetensors"))
    if not meta_file.exists() or not shards:
        raise InputError(
            "latent cache", got=f"{folder} without meta.json and shards", need="a folder made by `train cache`",
            fix=f"Run `python -m dreamactor_core train cache --out {folder}`.",
        )  # fmt: skip
    encoder = json.loads(meta_file.read_text())["encoder"]
    if encoder != fingerprint(backbone):
        raise InputError(
            "latent cache", got=f"latents of encoder {encoder}", need=f"those of {fingerprint(backbone)}",
            fix="Make the cache again with this model's autoencoder.",
        )  # fmt: skip
    parts = [load_file(path) for path in shards]
    captions = [c for path in shards for c in json.loads(path.with_suffix(".json").read_text())]
    rows = {key: torch.cat([part[key] for part in parts]) for key in KEYS}
    frames = backbone.geometry.temporal_stride * (rows["target"].shape[1] - 1) + 1
    black = backbone.encode_video(torch.zeros(frames, *backbone.geometry.panel, 3))
    return Cache(rows, captions, black)
