"""What is in somebody's clips and pictures: guessed, then corrected by hand in a table.

tags.csv has a row a file. What could not be guessed is a question mark, and must be filled in:

    file      below the folder of footage
    role      driver, reference, or skip
    kind      of a driver human, animal or animated; of a reference human, animal or cartoon
    shows     face, upper or full: how much of the body; empty for what is no human
    age       of a human driver child, young or elderly; may be empty
    activity  of a driver, in a word or two
    camera    of a driver static or tracked
    subjects  how many
    also      scenarios besides those that follow from the rest, such as object-interaction
    license, source
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from ...caption.choice import CaptionerChoice
from ...errors import InputError, check_choice
from ...items.work import Data
from ...media import probe, read_frames, read_image, to_uint8
from ...media.animation import is_animation
from ...media.replace import check_readable, replacing
from ...pose.reference import RATHER_ALIKE, SeenBody, is_like, look, networks_here, without_hidden
from ...skeleton import ANKLE, HIP, SHOULDER
from .cases import AGES, CAMERAS, DRIVER_KINDS, REFERENCE_KINDS, REGIONS

TAGS_FILE = "tags.csv"
ROLES = ("driver", "reference", "skip")
OPEN_TAG = "?"
TAG_LOOKS, LOOK_SIDE = 3, 640  # frames of a clip in which people are sought; pixels
CAMERA_STILL = 0.004  # of the width: a background that moves less between two looks stands still
CAMERA_LOOKS, CAMERA_SIDE, EDGE_SHARE = (
    9,
    240,
    0.25,
)  # frames; pixels; outer share where nobody stands
QUESTION = (
    "These are frames of one video, in order, or one picture. Who is seen, and what is done? "
    'Answer with JSON alone: {"kind": "human", "animal" or "cartoon", "age": "child", "young", '
    '"elderly" or null, "activity": one or two words}.'
)


class Tags(NamedTuple):
    """A row of tags.csv, all as text."""

    file: str
    role: str
    kind: str = OPEN_TAG
    shows: str = ""
    age: str = ""
    activity: str = ""
    camera: str = ""
    subjects: str = OPEN_TAG
    also: str = ""
    license: str = OPEN_TAG
    source: str = OPEN_TAG


@dataclass(frozen=True)
class GuessTags:
    """Looks at one file. data: file. Its result is a row of tags without licence and source."""

    folder: Path
    captioner: CaptionerChoice | None = None

    def open(self) -> Callable[[Data], Data]:
        captioner = self.captioner() if self.captioner else None

        def guess(data: Data) -> Data:
            path = self.folder / data["file"]
            frames, camera = _looked_at(path)
            role = "driver" if camera else "reference"
            tags = Tags(data["file"], role, camera=camera, **_people(frames))
            if role == "driver":
                tags = tags._replace(activity=OPEN_TAG)
            if captioner is not None:
                tags = _asked(tags, captioner.ask(QUESTION, frames, 40))
            return tags._asdict()

        return guess


def write_tags(path: Path, rows: Sequence[Tags]) -> None:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(Tags._fields)
    writer.writerows(rows)
    with replacing(path, overwrite=True) as part:
        part.write_text(text.getvalue(), encoding="utf-8")


def read_tags(path: Path) -> list[Tags]:
    """Rows that are not skipped. Raises InputError, with the number of the line, for what is still
    unknown and for what cannot be."""
    check_readable(path, "a table of tags")
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
        reader = csv.DictReader(lines)
        rows = [(reader.line_num, row) for row in reader]
    except (ValueError, csv.Error) as error:
        fix = "Save it as CSV in UTF-8."
        raise InputError(str(path), got="a broken table", need="CSV", fix=fix) from error
    found = []
    for number, row in rows:
        known = {name: (row.get(name) or "").strip() for name in Tags._fields}
        tags = Tags(**known)
        if tags.role != "skip":
            _check_tags(tags, f"{path}, line {number}")
            found.append(tags)
    return found


def _check_tags(tags: Tags, where: str) -> None:
    fix = "Correct the table, or write skip as its role."
    check_choice(f"{where}: role", tags.role, ROLES, fix)
    driver = tags.role == "driver"
    kinds = DRIVER_KINDS if driver else REFERENCE_KINDS
    wanted = {
        "kind": f"{', '.join(kinds[:-1])} or {kinds[-1]}",
        "subjects": "how many there are",
        "license": "such as CC0-1.0",
        "source": "where it comes from",
    }
    if driver:
        wanted |= {"activity": "a word or two, such as dancing", "camera": " or ".join(CAMERAS)}
    for name in wanted:
        if getattr(tags, name) in ("", OPEN_TAG):
            got, need = "nothing" if not getattr(tags, name) else OPEN_TAG, wanted[name]
            raise InputError(f"{where}: {name}", got=got, need=need, fix=fix)
    check_choice(f"{where}: kind", tags.kind, kinds, fix)
    human = tags.kind == "human"
    for name, choices in (("shows", REGIONS), ("age", AGES), ("camera", CAMERAS)):
        if getattr(tags, name):
            check_choice(f"{where}: {name}", getattr(tags, name), choices, fix)
    if driver and not human and (tags.shows or tags.age):
        need = "nothing, for the driver is not human"
        got = tags.shows or tags.age
        raise InputError(f"{where}: shows and age", got=got, need=need, fix="Empty both.")
    if not re.fullmatch(r"[1-9]\d{0,3}", tags.subjects):
        need = "a whole number from 1"
        raise InputError(f"{where}: subjects", got=repr(tags.subjects), need=need, fix=fix)


def _looked_at(path: Path) -> tuple[list[np.ndarray], str]:
    """(some frames (h, w, 3) uint8, static or tracked); of a picture itself and ""."""
    if not (is_animation(path) or _is_gif(path)):
        with suppress(InputError):  # a clip, or nothing of ours, which reading it will say
            return [_small(to_uint8(read_image(path)[0]), LOOK_SIDE)], ""
    clip = probe(path)
    count = min(CAMERA_LOOKS, clip.num_frames)
    wanted = np.unique(np.linspace(0, clip.num_frames - 1, count).round().astype(int))
    frames = [
        _small(frame.image, LOOK_SIDE)
        for number, frame in enumerate(read_frames(path))
        if number in wanted
    ]
    few = [frames[k] for k in np.unique(np.linspace(0, len(frames) - 1, TAG_LOOKS).astype(int))]
    return few, "tracked" if _moved(frames) > CAMERA_STILL else "static"


def _is_gif(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(4) == b"GIF8"


def _moved(frames: Sequence[np.ndarray]) -> float:
    """How far the edges of the picture move between two frames, the median, as a share of its
    width."""
    grey = [cv2.cvtColor(_small(frame, CAMERA_SIDE), cv2.COLOR_RGB2GRAY) for frame in frames]
    height, width = grey[0].shape
    ring = np.full((height, width), 255, np.uint8)
    rows, columns = (
        slice(int(EDGE_SHARE * n), int((1 - EDGE_SHARE) * n) + 1) for n in (height, width)
    )
    ring[rows, columns] = 0
    steps = []
    for before, after in pairwise(grey):
        points = cv2.goodFeaturesToTrack(before, 100, 0.01, 5, mask=ring)
        if points is None:
            continue
        moved, there, _ = cv2.calcOpticalFlowPyrLK(before, after, points, None)
        way = np.linalg.norm((moved - points)[there.ravel() == 1], axis=-1)
        steps += [float(np.median(way))] if way.size else []
    return float(np.median(steps)) / width if steps else 0.0


def _people(frames: Sequence[np.ndarray]) -> dict[str, str]:
    """kind, shows and subjects of who is seen in most frames; nothing without BlazePose."""
    networks = networks_here()
    if networks is None:
        return {}
    seen = [
        [one for one in look(networks, f) if one.likeness and is_like(one.likeness, RATHER_ALIKE)]
        for f in frames
    ]
    count = round(float(np.median([len(bodies) for bodies in seen])))
    if not count:
        return {}
    shown = [
        _region(bodies[0], frame) for bodies, frame in zip(seen, frames, strict=True) if bodies
    ]
    usual = max(set(shown), key=shown.count)
    return {"kind": "human", "shows": usual, "subjects": str(count)}


def _region(body: SeenBody, frame: np.ndarray) -> str:
    joints = without_hidden(body.joints, *frame.shape[:2])
    sure = joints[:, 2] >= 0.5
    if sure[list(ANKLE)].any():
        return "full"
    return "upper" if sure[list(HIP)].any() or sure[list(SHOULDER)].all() else "face"


def _asked(tags: Tags, answer: str) -> Tags:
    """With what a captioner says, as far as it is one of the words; the rest stays."""
    found = re.search(r"\{.*\}", answer, re.DOTALL)
    try:
        told = json.loads(found[0]) if found else {}
    except ValueError:
        told = {}
    kind, driver = str(told.get("kind")), tags.role == "driver"
    kind = {"cartoon": "animated", "animated": "animated"}.get(kind, kind) if driver else kind
    if kind in (DRIVER_KINDS if driver else REFERENCE_KINDS):
        tags = tags._replace(kind=kind, shows=tags.shows if kind == "human" else "")
    if driver and tags.kind == "human" and told.get("age") in AGES:
        tags = tags._replace(age=told["age"])
    activity = told.get("activity")
    if driver and isinstance(activity, str) and 0 < len(activity.strip()) <= 40:
        tags = tags._replace(activity=activity.strip())
    return tags


def _small(image: np.ndarray, side: int) -> np.ndarray:
    scale = min(1.0, side / max(image.shape[:2]))
    size = [max(1, round(n * scale)) for n in image.shape[1::-1]]
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA) if scale < 1 else image
