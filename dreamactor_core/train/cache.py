"""Latents on disk, so that training never waits for a renderer, a decoder or an encoder.

A cache is a folder: meta.json (which autoencoder, size, rate), shard-NNNNN.safetensors with one
row a sample, and shard-NNNNN.json with the captions. The two panels of a composite are encoded
apart and joined when a batch is drawn, so one target can be paired with many drivers.

    target    (n, t', c, h', w')  what the left panel must become; latent frame 0 is the reference
    driving   (n, t', c, h', w')  another identity's performance of the same motion, in RGB
    skeleton  (n, t', c, h', w')  the target's own pose, varied (paper section 3.3)
    pose      (n, t', c, h', w')  the target's own pose where it is, not varied, on no box

The cached driving covers the lead-in too; the batch blanks it out, as inference does.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from ..backbones import Backbone
from ..errors import InputError
from ..geometry import Geometry
from ..media import fit_frames, probe, read_frames, retime, to_frames
from ..media.replace import check_readable, make_folder
from ..pose.draw import draw_pose
from ..pose.keypoints import check_length, load_keypoints, retime_pose
from ..pose.retarget import place_in_panel
from ..pose.vary import vary_pose
from ..puppets.triplet import triplet
from ..puppets.world import Clip
from .clips import too_short

KEYS = ("target", "driving", "skeleton", "pose")
CACHE_META = "meta.json"


@dataclass(frozen=True)
class Sample:
    """One training pair in pixels: uint8 (t, h, w, 3) each, t = 4k + 1, and a caption."""

    target: np.ndarray
    driving: np.ndarray
    skeleton: np.ndarray
    pose: np.ndarray
    caption: str


def puppet_samples(seeds: range, num_frames: int, size: int) -> Iterator[Sample]:
    """Two samples a seed: each of the two identities is the target once."""
    for seed in seeds:
        clips = triplet(seed, "train", num_frames, size)
        rng = np.random.default_rng((seed, 1))
        for target, driver in ((clips.truth, clips.driver), (clips.driver, clips.truth)):
            skeleton = skeleton_panel(target, rng, size)
            yield Sample(
                target.frames,
                driver.frames,
                skeleton,
                draw_pose(target.pose, size, size),
                target.caption,
            )


def paired_samples(manifest: Path, geometry: Geometry) -> Iterator[Sample]:
    """Pairs of real or synthetic footage from a JSON-lines file, re-timed and letterboxed.

    Each line: target, driving (video files beside the manifest), caption, and optionally pose (a
    keypoint file of the target) and lead_in (frames at the native rate by which the driving video
    starts behind the target; 0 if absent). Raises InputError for a line of another form and for
    clips shorter than a pass.
    """
    rng = np.random.default_rng(0)
    for row in _read_manifest(manifest, geometry.num_frames):
        lead = row.get("lead_in", 0)
        target = _clip(manifest.parent / row["target"], geometry, geometry.num_frames)
        driving = _clip(manifest.parent / row["driving"], geometry, geometry.num_frames - lead)
        skeleton = own = np.zeros_like(target)
        if row.get("pose"):
            info = probe(manifest.parent / row["target"])
            pose = load_keypoints(manifest.parent / row["pose"], (info.width, info.height))
            check_length(pose, info.num_frames)
            pose = retime_pose(pose, np.array(info.times), geometry.fps, geometry.num_frames)
            skeleton = draw_pose(vary_pose(pose, rng), *geometry.panel)
            height, width = geometry.panel  # the target is letterboxed there, its pose with it
            own = draw_pose(place_in_panel(pose, width / height), height, width)
        yield Sample(
            target,
            np.concatenate([np.zeros_like(target[:lead]), driving]),
            skeleton,
            own,
            row["caption"],
        )


def _read_manifest(manifest: Path, num_frames: int) -> list[dict]:
    """Every line of it, checked before the first clip is decoded."""
    check_readable(manifest, "a JSON-lines file of pairs")
    rows = []
    for number, line in enumerate(manifest.read_text(encoding="utf-8").splitlines(), 1):
        try:
            row = json.loads(line)
            usable = all(isinstance(row[key], str) for key in ("target", "driving", "caption"))
            usable &= 0 <= row.get("lead_in", 0) < num_frames
        except (ValueError, TypeError, KeyError, AttributeError):
            usable = False
        if not usable:
            raise InputError(
                f"line {number} of {manifest}",
                got=line[:80],
                need='{"target": FILE, "driving": FILE, "caption": TEXT}, with "pose": FILE and '
                f'"lead_in": 0 to {num_frames - 1} if wanted',
                fix="Correct the line or delete it.",
            )
        rows.append(row)
    return rows


def _clip(path: Path, geometry: Geometry, num_frames: int) -> np.ndarray:
    """The first num_frames at the native rate and panel size, uint8."""
    info = probe(path)
    frames = itertools.islice(retime(read_frames(path), geometry.fps, info.duration), num_frames)
    clip = (fit_frames(frames, *geometry.panel) * 255).round().byte().numpy()
    if len(clip) < num_frames:
        raise too_short(path, len(clip), geometry, num_frames, "leave this one out")
    return clip


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
def write_cache(
    backbone: Backbone, samples: Iterator[Sample], folder: Path, shard: str, shard_size: int = 256
) -> int:
    """Encode samples into folder/<shard>-NNNNN.safetensors, in place of an earlier run's.

    Returns the number of samples. Other shards in the folder stay, so a cache can be made in parts;
    raises InputError when they are another encoder's.
    """
    make_folder(folder)
    if (folder / CACHE_META).exists():
        _check_encoder(backbone, folder)
    (folder / CACHE_META).write_text(json.dumps(_meta(backbone), indent=2))
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

    for count, sample in enumerate(samples, 1):
        for key in KEYS:
            frames = to_frames(getattr(sample, key))
            latents = backbone.encode_video(frames)[0].transpose(0, 1)
            rows[key].append(latents.half())
        captions.append(sample.caption)
        if count % shard_size == 0:
            flush(count // shard_size - 1)
    if captions:
        flush(count // shard_size)
    for number in itertools.count(math.ceil(count / shard_size)):  # of a longer run before
        path = folder / f"{shard}-{number:05d}.safetensors"
        if not path.exists():
            break
        path.unlink()
    return count


def _meta(backbone: Backbone) -> dict:
    geometry = backbone.geometry
    return {
        "encoder": fingerprint(backbone),
        "fps": geometry.fps,
        "panel": list(geometry.panel),
    }


def _check_encoder(backbone: Backbone, folder: Path) -> None:
    made, need = json.loads((folder / CACHE_META).read_text()), _meta(backbone)
    if made != need:
        raise InputError(
            f"latent cache {folder}",
            got=f"latents of {made}",
            need=f"those of {need}",
            fix="Make a cache with this model's autoencoder, in another folder.",
        )


@dataclass(frozen=True)
class Cache:
    """A cache in memory (float16)."""

    rows: dict[str, Tensor]  # each (n, t', c, h', w')
    captions: list[str]
    black: Tensor  # (1, c, t', h', w') a black panel

    def __len__(self) -> int:
        return len(self.captions)

    @property
    def latent_frames(self) -> int:
        return self.rows["target"].shape[1]

    def draw_rows(self, count: int, rng: np.random.Generator) -> list[int]:
        return rng.integers(len(self), size=count).tolist()

    def panel(self, key: str, row: int) -> Tensor:
        """A clip, (1, c, t', h', w') float32."""
        return self.rows[key][row].float().transpose(0, 1)[None]

    def caption(self, row: int) -> str:
        return self.captions[row]


@torch.inference_mode()
def read_cache(backbone: Backbone, folder: Path) -> Cache:
    """Raises InputError when the folder is no cache of this backbone's encoder."""
    shards = sorted(folder.glob("*.safetensors"))
    if not (folder / CACHE_META).exists() or not shards:
        raise InputError(
            "latent cache",
            got=f"{folder} without {CACHE_META} and shards",
            need="a folder made by `train cache`",
            fix=f"Run `python -m dreamactor_core train cache --out {folder}`.",
        )
    _check_encoder(backbone, folder)
    parts = [load_file(path) for path in shards]
    if missing := sorted({key for part in parts for key in KEYS if key not in part}):
        raise InputError(
            f"latent cache {folder}",
            got=f"no rows named {', '.join(missing)}",
            need=", ".join(KEYS),
            fix="It was made by an older version: make it again with `train cache`.",
        )
    captions = [c for path in shards for c in json.loads(path.with_suffix(".json").read_text())]
    rows = {key: torch.cat([part[key] for part in parts]) for key in KEYS}
    frames = backbone.geometry.temporal_stride * (rows["target"].shape[1] - 1) + 1
    black = backbone.encode_video(torch.zeros(frames, *backbone.geometry.panel, 3))
    return Cache(rows, captions, black)
