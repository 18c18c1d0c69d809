"""Videos that somebody else made, brought in: found by a scheme of names or a list.

A scheme says how files are called, as {driver}_{reference}.mp4: {case} is the id of a case, the
other two are the names of its files without their endings. A list is CSV with the columns case and
file, or a JSON object {"id": "file"}.
"""

from __future__ import annotations

import csv
import json
import math
import re
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from ...errors import InputError
from ...items import Item
from ...items.work import Data
from ...media import probe, read_picture
from ...media.replace import check_readable, replacing
from .cases import AwCase, inside
from .job import only_file
from .systems import VIDEO_SUFFIXES

SCHEME_PLACES = ("case", "driver", "reference")  # of a scheme
SECONDS_SLACK, RATE_SLACK, ASPECT_SLACK = 0.1, 0.01, 0.02  # seconds, shares: less is no difference


@dataclass(frozen=True)
class BringVideo:
    """One video, looked at and copied. data: id, file, driver, reference, and the file's stamp."""

    cases: Path  # the folder of the set
    videos: Path
    out: Path  # the folder of the system

    def open(self) -> Callable[[Data], Data]:
        return self._bring

    def _bring(self, data: Data) -> Data:
        source = inside(self.videos, data["file"], "video")
        target = self.out / f"{data['id']}{source.suffix.lower()}"
        notes = differences(source, self.cases / data["driver"], self.cases / data["reference"])
        with replacing(target, overwrite=True) as part:
            shutil.copyfile(source, part)
        only_file(self.out, data["id"], target, VIDEO_SUFFIXES)
        return {"file": data["file"], "notes": notes}


def differences(video: Path, driver: Path, reference: Path) -> list[str]:
    """In which a video is not as its case, in words: length, rate, shape.

    Raises InputError for a video that cannot be read.
    """
    made = probe(video)
    notes = []
    if driver.is_file():
        asked = probe(driver)
        if abs(made.duration - asked.duration) > max(SECONDS_SLACK, 1.5 / float(asked.fps)):
            notes.append(f"lasts {made.duration:.2f} s, its driver {asked.duration:.2f} s")
        if abs(made.fps / asked.fps - 1) > RATE_SLACK:
            notes.append(f"has {float(made.fps):.4g} fps, its driver {float(asked.fps):.4g}")
    size = _size_of(reference) if reference.is_file() else None
    if size is not None:
        height, width = size
        if abs(math.log(made.width / made.height * height / width)) > ASPECT_SLACK:
            notes.append(f"is {made.width} x {made.height}, its reference {width} x {height}")
    return notes


def find_by_scheme(cases: Sequence[AwCase], videos: Path, scheme: str) -> dict[str, str]:
    """Id of a case -> file below `videos`, for those that are there.

    Raises InputError for a scheme with other places, or none, and when two cases get one file.
    """
    named = re.findall(r"\{(.*?)\}", scheme)
    if not named or any(name not in SCHEME_PLACES for name in named):
        need = "a name with {case}, {driver} or {reference} in it"
        fix = "Write it as {driver}_{reference}.mp4, say, or give a list of files instead."
        raise InputError("--scheme", got=repr(scheme), need=need, fix=fix)
    found: dict[str, str] = {}
    whose: dict[str, str] = {}
    for case in cases:
        told = {
            "case": case.id,
            "driver": PurePosixPath(case.driver.file).stem,
            "reference": PurePosixPath(case.reference.file).stem,
        }
        wanted = PurePosixPath(_filled(scheme, told))
        if other := whose.get(str(wanted)):
            raise InputError(
                "--scheme",
                got=f"{wanted} for both {other} and {case.id}",
                need="a name of its own for each case",
                fix="Use {case}, or both {driver} and {reference}.",
            )
        whose[str(wanted)] = case.id
        endings = dict.fromkeys([wanted.suffix, *VIDEO_SUFFIXES])
        for name in (str(wanted.with_suffix(ending)) for ending in endings if ending):
            if inside(videos, name, "--scheme").is_file():
                found[case.id] = name
                break
    return found


def _filled(scheme: str, told: dict[str, str]) -> str:
    """A scheme with its places filled; what fills one may have braces of its own."""
    return re.sub(r"\{(.*?)\}", lambda place: told[place[1]], scheme)


def find_by_list(cases: Sequence[AwCase], videos: Path, path: Path) -> dict[str, str]:
    """The same by a list of files. Raises InputError for a broken one, an id that the set has not,
    and a path that leads out of `videos`."""
    ids = {case.id for case in cases}
    found = {}
    for where, case, file in _listed(path):
        if case not in ids:
            fix = "Take the ids of cases.jsonl."
            raise InputError(where, got=f"the case {case!r}", need="one of the set", fix=fix)
        inside(videos, file, where)
        if case in found:
            fix = "Name one file for each case."
            raise InputError(where, got=f"{case} again", need="each case once", fix=fix)
        found[case] = str(file)
    return found


def _listed(path: Path) -> list[tuple[str, str, object]]:
    """(where it stands, id, file) of each entry."""
    check_readable(path, "a list of files (CSV or JSON)")
    try:
        text = path.read_text(encoding="utf-8-sig")
        if path.suffix.lower() != ".csv":
            data = json.loads(text)
            return [(f"{path}, {key}", key, file) for key, file in dict(data).items()]
        rows = csv.DictReader(text.splitlines())
        columns = rows.fieldnames or []
        if not {"case", "file"} <= set(columns):
            raise _no_list(path, f"the columns {', '.join(columns) or 'of nothing'}")
        return [(f"{path}, line {rows.line_num}", row["case"], row["file"]) for row in rows]
    except (ValueError, TypeError, RecursionError, csv.Error) as error:
        if isinstance(error, InputError):
            raise
        what = "table" if path.suffix.lower() == ".csv" else "JSON object"
        raise _no_list(path, f"no {what} that can be read") from error


def _no_list(path: Path, got: str) -> InputError:
    need = 'CSV with the columns case and file, or JSON {"id": "file"}'
    return InputError(str(path), got=got, need=need, fix="Correct it.")


def bring_items(
    cases: Sequence[AwCase], videos: Path, found: dict[str, str]
) -> tuple[list[Item], dict[str, str]]:
    """Items of the cases that have a file, and why the others have none, by id."""
    items: list[Item] = []
    missing: dict[str, str] = {}
    for case in cases:
        file = found.get(case.id)
        path = None if file is None else inside(videos, file, "video")
        if path is None or not path.is_file():
            missing[case.id] = f"no file {file}" if file else "no file of its name"
        elif path.suffix.lower() not in VIDEO_SUFFIXES:
            need = ", ".join(VIDEO_SUFFIXES)
            missing[case.id] = f"{file} is none of {need}: convert it"
        else:
            stat = path.stat()
            data = {
                "id": case.id,
                "file": file,
                "bytes": stat.st_size,
                "modified": stat.st_mtime_ns,
                "driver": case.driver.file,
                "reference": case.reference.file,
            }
            items.append(Item(case.id, data))
    return items, missing


def _size_of(reference: Path) -> tuple[int, int] | None:
    try:
        _, height, width, _ = read_picture(reference).pixels.shape
    except InputError:
        return None
    return height, width
