"""Footage for training: a JSON-lines file of clips -> pixels at a base's rate and panel size.

Each line, with files beside the list or absolute:

    {"target": VIDEO, "caption": TEXT,           what to draw, and its three-step caption
     "pose": KEYPOINTS,                          of the target; the pose-based variant needs it
     "driving": VIDEO, "lead_in": FRAMES}        another's performance of the same motion, which the
                                                 end-to-end variant needs, and by how many frames at
                                                 the base's rate it begins behind the target

Other names of these are known (NAMES), and CSV with a head line does as well, so that lists of
character-swap pairs (reference, source, target) and of in-context trainers (media_path,
reference_path, caption) are read as they are.
"""

from __future__ import annotations

import csv
import io
import itertools
import json
import math
import zlib
from codecs import BOM_UTF8
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..errors import InputError, check_choice
from ..geometry import Geometry
from ..media import VideoInfo, fit_frames, probe, read_frames, retime
from ..media.replace import check_readable
from ..options import VARIANTS
from ..pose.draw import draw_pose
from ..pose.keypoints import Pose, check_length, load_keypoints, retime_pose
from ..pose.vary import vary_pose
from .augment import vary_driver
from .examples import Pair

ASPECTS = (9 / 16, 3 / 4, 1.0, 4 / 3, 16 / 9)  # width / height of the panels that clips are put in
NAMES = {  # ours: those of others
    "target": ("video", "media_path", "target_video"),
    "caption": ("prompt", "text"),
    "pose": ("keypoints",),
    "driving": ("source", "reference_path", "reference_video", "source_video"),
}
PASSES = 2  # a clip is read as far as so many passes; windows begin anywhere in that


@dataclass(frozen=True)
class Row:
    """One line of a list of clips."""

    name: str  # unlike any other's of the list, fit for a file name
    target: Path
    caption: str
    pose: Path | None = None
    driving: Path | None = None
    lead_in: int = 0


@dataclass(frozen=True, eq=False)
class TrainingClip:
    """A row's footage in memory."""

    row: Row
    target: Tensor  # (t, h, w, 3) uint8
    driving: Tensor | None  # the same shape; black before row.lead_in
    pose: Pose | None  # of t frames


def read_rows(path: Path, variant: str) -> tuple[list[Row], list[str]]:
    """The usable lines, and what is wrong with each of the others, in words.

    Raises InputError when more than half of them cannot be used, or there is none.
    """
    check_choice("variant", variant, VARIANTS, fix="Pass --variant.")
    _refuse_latents(path)
    check_readable(path, "a JSON-lines file of clips")
    rows, wrong = [], []
    for number, parse in _entries(path):
        try:
            rows.append(_row(_renamed(parse()), path.parent, number, variant))
        except (ValueError, TypeError, AttributeError, RecursionError) as error:
            wrong.append(f"line {number} of {path}: {error}")
    if len(wrong) > len(rows) or not rows:
        raise InputError(
            f"list of clips {path}",
            got=f"{len(rows)} usable lines and {len(wrong)} others"
            + (f", such as {wrong[0]}" if wrong else ""),
            need=f"mostly lines that the {variant} variant can use",
            fix="Correct the list; see `train cache --help` for its form.",
        )
    return rows, wrong


def read_clip(row: Row, geometry: Geometry, size: int, least: int, variant: str) -> TrainingClip:
    """Decode, re-time to the base's rate, letterbox into the panel of area size x size whose aspect
    is nearest the target's.

    Raises InputError when a file cannot be read or the clip has fewer than `least` frames.
    """
    info = probe(row.target)
    height, width = training_panel(info.height, info.width, size, geometry)
    most = PASSES * geometry.num_frames
    target = _frames(row.target, info, geometry, (height, width), most)
    driving = pose = None
    if variant == "end-to-end":
        assert row.driving is not None, "read_rows has seen to it"
        clip = _frames(row.driving, probe(row.driving), geometry, (height, width), most)
        driving = torch.cat([torch.zeros_like(target[:1]).repeat(row.lead_in, 1, 1, 1), clip])
        count = min(len(target), len(driving))
        target, driving = target[:count], driving[:count]
    if len(target) < least:
        raise too_short(row.target, len(target), geometry, least, "a recipe with shorter windows")
    if variant == "pose-based":
        assert row.pose is not None, "read_rows has seen to it"
        pose = load_keypoints(row.pose)
        check_length(pose, info.num_frames)
        pose = retime_pose(pose, np.array(info.times), geometry.fps, len(target))
    return TrainingClip(row, target, driving, pose)


def too_short(path: Path, count: int, geometry: Geometry, least: int, instead: str) -> InputError:
    """For a clip of which there are `count` frames at the rate of a model."""
    return InputError(
        f"training clip {path}",
        got=f"{count} frames at {geometry.fps:g} fps",
        need=f"at least {least}",
        fix=f"Use longer clips, or {instead}.",
    )


def pair_of(clip: TrainingClip, augment: float, rng: np.random.Generator) -> Pair:
    """One variant of a clip: the pose is varied and drawn anew (bone lengths of 30 % of them, then
    always one box for the clip; paper section 3.3), or the driver's picture is varied, with the
    probability `augment`.
    """
    if clip.pose is not None:
        drawn = draw_pose(vary_pose(clip.pose, rng), *clip.target.shape[1:3])
        return Pair(clip.target, torch.from_numpy(drawn), clip.row.caption)
    assert clip.driving is not None, "what has no pose has a driver"
    driving, since = clip.driving, clip.row.lead_in
    if rng.random() < augment:
        driving = torch.cat([driving[:since], vary_driver(driving[since:], rng)])
    return Pair(clip.target, driving, clip.row.caption, since)


def rng_of(seed: int, name: str, variant: int) -> np.random.Generator:
    """Draws of a variant of a clip: the same in whatever order, on whatever machine it is made."""
    return np.random.default_rng((seed, zlib.crc32(name.encode()), variant))


def training_panel(height: int, width: int, size: int, geometry: Geometry) -> tuple[int, int]:
    """(height, width) of area about size x size, of that of ASPECTS that is nearest."""
    aspect = min(ASPECTS, key=lambda ratio: abs(math.log(ratio * height / width)))
    geometry.check_panel(size, size)
    return geometry.panel_of_area(size, 1000, round(1000 * aspect))


def default_size(geometry: Geometry) -> int:
    """The side of a square of about the native panel's area."""
    height, width = geometry.panel
    return geometry.size_multiple * round(math.sqrt(height * width) / geometry.size_multiple)


def _refuse_latents(path: Path) -> None:
    """A data set that another trainer has encoded; LTX's lies in a folder .precomputed."""
    if any((folder / "latents").is_dir() for folder in (path, path / ".precomputed")):
        raise InputError(
            f"list of clips {path}",
            got="a folder of latents",
            need="the videos: no other base's autoencoder made what this one reads, nor together "
            "with the driver's panel",
            fix="Pass the list they were encoded from (media_path, reference_path, caption).",
        )


def _entries(path: Path) -> Iterator[tuple[int, Callable[[], object]]]:
    """Number of each line that says something, and how to read it."""
    data = path.read_bytes()
    if path.suffix.lower() == ".csv":
        yield from _table_rows(data.decode("utf-8-sig", "surrogateescape"))
        return
    for number, line in enumerate(data.removeprefix(BOM_UTF8).splitlines(), 1):
        if line.strip():
            yield number, partial(json.loads, line)


def _table_rows(text: str) -> Iterator[tuple[int, Callable[[], object]]]:
    reader = csv.DictReader(io.StringIO(text, newline=""))
    while True:
        try:
            row = next(reader)
        except StopIteration:
            return
        except csv.Error as error:  # what follows is read all the same
            yield reader.line_num, partial(_refuse, str(error))
        else:
            yield reader.line_num, partial(_encodable, row)


def _refuse(reason: str) -> None:
    raise ValueError(reason)


def _encodable(row: dict) -> dict:
    """Raises ValueError for bytes that are no UTF-8."""
    "".join(map(str, row.values())).encode("utf-8")
    return row


def _renamed(data: object) -> dict:
    """With our names for what others call otherwise. Raises ValueError for what is no object."""
    if not isinstance(data, dict):
        raise ValueError("not an object with names and values")
    found = dict(data)
    for ours, others in NAMES.items():
        for name in others:
            if name in data:
                found.setdefault(ours, data[name])
    return found


def _row(data: dict, folder: Path, number: int, variant: str) -> Row:
    """Raises ValueError, in words, for a line that the variant cannot use."""
    needed = "pose" if variant == "pose-based" else "driving"
    for key in ("target", "caption", needed):
        if not isinstance(data.get(key), str) or (key != "caption" and not data[key]):
            raise ValueError(f"no text under {key!r}, which the {variant} variant needs")
    lead_in = data.get("lead_in", 0)
    if type(lead_in) is not int or lead_in < 0:
        raise ValueError(f"lead_in is {lead_in!r}, not a number of frames")
    target = folder / data["target"]
    return Row(
        name=f"{number:06d}-{''.join(c if c.isalnum() else '_' for c in target.stem)[:60]}",
        target=target,
        caption=data["caption"],
        pose=folder / data["pose"] if isinstance(data.get("pose"), str) else None,
        driving=folder / data["driving"] if isinstance(data.get("driving"), str) else None,
        lead_in=lead_in,
    )


def _frames(
    path: Path, info: VideoInfo, geometry: Geometry, panel: tuple[int, int], most: int
) -> Tensor:
    """(t, h, w, 3) uint8, at most `most` frames at the base's rate."""
    frames = itertools.islice(retime(read_frames(path), geometry.fps, info.duration), most)
    fitted = [(fit_frames([frame], *panel)[0] * 255).round().byte() for frame in frames]
    return torch.stack(fitted)
