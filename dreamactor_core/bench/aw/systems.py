"""Systems: RESULTS/SYSTEM/system.json, and beside it a video a case, named by the case's id."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ...errors import InputError
from ...media.replace import check_readable, make_folder, replacing
from .cases import ID, AwCase, json_object

SYSTEM_FILE = "system.json"
SYSTEM_FORMAT, SYSTEM_VERSION = "aw-bench-system", 1
SCORES_FOLDER = "scores"  # of RESULTS, so no system is called so
VIDEO_SUFFIXES = (".mp4", ".webm", ".mov", ".gif")  # the first that is there is taken
ORIGINS = ("run", "import", "hosted")  # which command made a system's videos


@dataclass(frozen=True)
class System:
    """Whose videos they are."""

    name: str  # unlike any other's in RESULTS
    folder: Path  # of its videos
    made_by: str  # of ORIGINS
    model: str = ""
    settings: dict[str, Any] = field(default_factory=dict)


def read_systems(results: Path) -> list[System]:
    """All systems in a folder of results, by name; those without any video as well.

    Raises InputError when there is none, for a broken system.json, and for two of one name.
    """
    systems: dict[str, System] = {}
    for path in sorted(results.glob(f"*/{SYSTEM_FILE}")):
        system = _read_system(path)
        if other := systems.get(system.name.lower()):
            raise InputError(
                f"systems in {results}",
                got=f"two named {system.name} ({other.folder.name} and {system.folder.name})",
                need="names that differ",
                fix=f"Change the name in one of the two {SYSTEM_FILE}.",
            )
        systems[system.name.lower()] = system
    if not systems:
        fix = "Make some with aw run, aw import or aw hosted, and name the folder they went to."
        got = "no system" if results.is_dir() else "no such folder"
        raise InputError(f"results in {results}", got=got, need="at least one system", fix=fix)
    return [systems[name] for name in sorted(systems)]


def settle_system(results: Path, system: System) -> System:
    """Write system.json into system.folder, or find the same there: then its videos go on.

    Raises InputError for a name that cannot be a folder's, and when another system has it.
    """
    if not ID.fullmatch(system.name) or system.name.lower() == SCORES_FOLDER:
        need = "letters, digits, '.', '_' and '-', and not the word scores"
        raise InputError("system", got=repr(system.name), need=need, fix="Choose another name.")
    path = system.folder / SYSTEM_FILE
    there = read_systems(results) if any(results.glob(f"*/{SYSTEM_FILE}")) else []
    for other in there:
        if other.name.lower() == system.name.lower() and other != system:
            raise InputError(
                f"system {system.name}",
                got="one of that name that was made otherwise",
                need="the same model and settings, or another name",
                fix=f"Choose another name, or another folder of results than {results}.",
            )
    if system in there:
        return system
    row = {
        "format": SYSTEM_FORMAT,
        "version": SYSTEM_VERSION,
        "name": system.name,
        "made_by": system.made_by,
        "model": system.model,
        "settings": system.settings,
    }
    make_folder(system.folder)
    with replacing(path, overwrite=True) as part:
        part.write_text(json.dumps(row, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    return system


def name_of(text: str) -> str:
    """A name for a system out of any text."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", text).strip("-._")[:100] or "system"


def video_of(system: System, case: AwCase | str) -> Path | None:
    """The video that a system made of a case, or of the case of an id, if there is one."""
    case_id = case if isinstance(case, str) else case.id
    for suffix in VIDEO_SUFFIXES:
        path = system.folder / f"{case_id}{suffix}"
        if path.is_file():
            return path
    return None


def _read_system(path: Path) -> System:
    check_readable(path, "a system's system.json")
    try:
        data = json_object(path.read_text(encoding="utf-8-sig"), str(path))
    except UnicodeDecodeError as error:
        fix = "Save it as UTF-8."
        raise InputError(str(path), got="no UTF-8 text", need="JSON", fix=fix) from error
    name, settings = data.get("name"), data.get("settings", {})
    fits = data.get("format") == SYSTEM_FORMAT and data.get("version") == SYSTEM_VERSION
    named = isinstance(name, str) and ID.fullmatch(name)
    if not (fits and named and data.get("made_by") in ORIGINS and isinstance(settings, dict)):
        raise InputError(
            str(path),
            got=f"format {data.get('format')!r}, version {data.get('version')!r}, name {name!r}, "
            f"made_by {data.get('made_by')!r}",
            need=f"{SYSTEM_FORMAT!r}, {SYSTEM_VERSION}, a name, and {', '.join(ORIGINS)}",
            fix="Correct it, or import the videos again with aw import.",
        )
    assert isinstance(name, str)
    model = str(data.get("model") or "")
    return System(name, path.parent, data["made_by"], model, settings)


def no_videos(results: Path, failed: Sequence[str] = ()) -> InputError:
    """No system made a video of any case that can be used. failed: why those there are cannot."""
    return InputError(
        f"videos in {results}",
        got=failed[0] if failed else "none of any case",
        need="at least 1 named by a case's id",
        fix="Make them with aw run, or bring them with aw import.",
    )
