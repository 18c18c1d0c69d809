"""A set of cases: SET/cases.jsonl, one line for the set, then a line a case, files below SET.

    {"format": "aw-bench-cases", "version": 1, "name": "open", "about": "..."}
    {"id": "h2c-012",
     "driver": {"file": "media/x.mp4", "sha256": "...", "kind": "human", "region": "full",
                "age": "young", "activity": "dance", "camera": "static", "subjects": 1,
                "license": "CC0-1.0", "source": "https://..."},
     "reference": {"file": "media/y.png", "sha256": "...", "kind": "cartoon", "subjects": 1,
                   "license": "...", "source": "..."},
     "relation": "one-to-one", "scenarios": ["human2nonhuman"], "subset": "human-cartoon",
     "truth": null}

A file that may not be handed on need not be there: "address" beside "source" tells where it is to
be had, and its sha256 whether it is the same. May be absent: "address"; "prompt", what is to be
made in words; "keypoints" of the driver, a file of its joints where they are known.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

from ...errors import InputError, check_choice
from ...media.replace import check_readable, digest_of_file, replacing

CASES_FILE = "cases.jsonl"
MEDIA_FOLDER = "media"
CASES_FORMAT, CASES_VERSION = "aw-bench-cases", 1
DRIVER_KINDS = ("human", "animal", "animated")
REFERENCE_KINDS = ("human", "animal", "cartoon")
REGIONS = ("face", "upper", "full")  # of a human driver
AGES = ("child", "young", "elderly")  # of a human driver
CAMERAS = ("static", "tracked")
RELATIONS = ("one-to-one", "one-to-many", "many-to-many")
PAIR_SUBSETS = ("human-human", "human-cartoon")  # of the 100 pairs that the paper counts with
SCENARIOS = (  # of the paper's project page and its section 5.3
    "half2full", "full2half", "human2human", "human2nonhuman", "nonhuman2human",
    "nonhuman2nonhuman", "animal2animal", "cartoon2cartoon", "one2multi", "multi2multi",
    "object-interaction", "complex-motion",
)  # fmt: skip
ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")  # it names files
SHA256 = re.compile(r"[0-9a-f]{64}")
CORRECT = "Correct the line, or make the set anew with aw build."


@dataclass(frozen=True)
class AwDriver:
    """The video whose motion is performed."""

    file: str  # below the set's folder, with /
    sha256: str
    kind: str  # of DRIVER_KINDS
    region: str | None  # of REGIONS, if human
    age: str | None  # of AGES, if human
    activity: str  # a word or two, as dance
    camera: str  # of CAMERAS
    subjects: int
    license: str  # SPDX's name where there is one
    source: str  # who made it or where it was found
    address: str | None = None  # of the file itself, where it may not lie in the set
    keypoints: str | None = None  # a file of its joints, where they are known


@dataclass(frozen=True)
class AwReference:
    """The picture whose character performs it."""

    file: str
    sha256: str
    kind: str  # of REFERENCE_KINDS
    subjects: int
    license: str
    source: str
    address: str | None = None


@dataclass(frozen=True)
class AwCase:
    id: str  # names the videos that are made of it
    driver: AwDriver
    reference: AwReference
    relation: str  # of RELATIONS: subjects of the driver to those of the reference
    scenarios: tuple[str, ...]  # SCENARIOS has the project page's; others may be named
    subset: str | None = None  # of PAIR_SUBSETS
    truth: str | None = None  # a video of what is to be made, where it is known
    prompt: str = ""  # what is to be made, in words


@dataclass(frozen=True)
class CaseSet:
    name: str
    about: str
    cases: tuple[AwCase, ...]
    folder: Path

    def path_of(self, file: str) -> Path:
        """Of a file that a case names; it need not be there (see lacking)."""
        return self.folder / file

    def lacking(self, case: AwCase) -> list[AwDriver | AwReference]:
        """What must be fetched before the case can be used."""
        parts: tuple[AwDriver | AwReference, ...] = (case.driver, case.reference)
        return [each for each in parts if not self.path_of(each.file).is_file()]


def sha256_of(path: Path) -> str:
    """Of a file's bytes, in hexadecimal. Raises InputError when it cannot be read."""
    check_readable(path, "a file of the set")
    return digest_of_file(path)


def inside(folder: Path, file: object, what: str) -> Path:
    """folder/file, which must not lead out of the folder, by a link neither.

    Raises InputError for an absolute path, one with .. in it, and anything that is no path.
    """
    named = file if isinstance(file, str) else ""
    parts = PurePosixPath(named.replace("\\", "/")).parts
    plain = bool(parts) and ".." not in parts and "\0" not in named
    absolute = PureWindowsPath(named).drive or PureWindowsPath(named).root
    path = folder.joinpath(*parts) if plain and not absolute else None
    if path is None or not path.resolve().is_relative_to(folder.resolve()):
        fix = "Put the file below the folder and name it relative to that."
        raise InputError(what, got=repr(file), need=f"a path inside {folder}", fix=fix)
    return path


def read_cases(path: Path) -> CaseSet:
    """path: the folder of a set, or its cases.jsonl. Media need not be there.

    Raises InputError, with the number of the line, for what is no set of cases, an id that comes
    twice, a value that is none of the names above, and a path that leads out of the folder.
    """
    path = path / CASES_FILE if path.is_dir() else path
    check_readable(path, "a set of cases (cases.jsonl)")
    cases: dict[str, AwCase] = {}
    head: dict[str, Any] | None = None
    for number, line in enumerate(_text_of(path).splitlines(), 1):
        if not line.strip():
            continue
        where = f"{path}, line {number}"
        data = json_object(line, where)
        if head is None:
            head = _header(data, where)
            continue
        case = case_of(data, path.parent, where)
        if case.id.lower() in cases:  # some disks take A.mp4 and a.mp4 for one
            fix = "Give each case an id of its own."
            raise InputError(where, got=f"the id {case.id} again", need="each id once", fix=fix)
        cases[case.id.lower()] = case
    if head is None or not cases:
        fix = "Make one with aw build or aw open-set."
        raise InputError(str(path), got="no case", need="a set of cases", fix=fix)
    return CaseSet(head["name"], head["about"], tuple(cases.values()), path.parent)


def write_cases(folder: Path, name: str, about: str, cases: Iterable[AwCase]) -> Path:
    """Write folder/cases.jsonl in the place of an older one, whole or not at all. Returns its path.

    Raises InputError as read_cases does, before anything is written.
    """
    head = {"format": CASES_FORMAT, "version": CASES_VERSION, "name": name, "about": about}
    rows = [row_of(case) for case in cases]
    for number, row in enumerate(rows, 2):
        case_of(row, folder, f"{folder / CASES_FILE}, line {number}")
    text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in (head, *rows))
    with replacing(folder / CASES_FILE, overwrite=True) as part:
        part.write_text(text, encoding="utf-8")
    return folder / CASES_FILE


def row_of(case: AwCase) -> dict[str, Any]:
    """A case as a line has it: what may be absent and is empty is left out."""
    row = asdict(case) | {"scenarios": list(case.scenarios)}
    for part in (row["driver"], row["reference"]):
        for name in ("address", "keypoints"):
            if part.get(name, "") is None:
                del part[name]
    if not case.prompt:
        del row["prompt"]
    return row


def case_of(data: dict[str, Any], folder: Path, where: str) -> AwCase:
    """A case from the values of a line. where: what errors begin with."""
    driver, reference = (_part(data, name, where) for name in ("driver", "reference"))
    human = driver.get("kind") == "human"
    case = AwCase(
        id=_text(data, "id", where),
        driver=AwDriver(
            **_media(driver, folder, where, DRIVER_KINDS),
            region=_optional(driver, "region", REGIONS if human else None, where),
            age=_optional(driver, "age", AGES if human else None, where),
            activity=_text(driver, "activity", where),
            camera=_choice(driver, "camera", CAMERAS, where),
            keypoints=driver.get("keypoints"),
        ),
        reference=AwReference(**_media(reference, folder, where, REFERENCE_KINDS)),
        relation=_choice(data, "relation", RELATIONS, where),
        scenarios=_names(data.get("scenarios", []), where),
        subset=_optional(data, "subset", PAIR_SUBSETS, where),
        truth=data.get("truth"),
        prompt=_text(data, "prompt", where) if data.get("prompt") else "",
    )
    if not ID.fullmatch(case.id):
        need = "letters, digits, '.', '_' and '-', 100 at most"
        raise InputError(f"{where}: id", got=repr(case.id), need=need, fix=CORRECT)
    for name, file in (("truth", case.truth), ("keypoints", case.driver.keypoints)):
        if file is not None:
            inside(folder, file, f"{where}: {name}")
    return case


def json_object(line: str, where: str) -> dict[str, Any]:
    """Raises InputError for text that is no JSON object."""
    try:
        data = json.loads(line)
    except (ValueError, RecursionError) as error:
        data = None
        why = f"broken JSON ({str(error)[:80]})"
    else:
        why = "no object"
    if not isinstance(data, dict):
        need = "a JSON object in one line, with names and values"
        raise InputError(where, got=why, need=need, fix="Correct the line, or leave it away.")
    return data


def _text_of(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        fix = "Save it as UTF-8."
        raise InputError(str(path), got="no UTF-8 text", need="JSON lines", fix=fix) from error


def _header(data: dict[str, Any], where: str) -> dict[str, Any]:
    if data.get("format") != CASES_FORMAT or data.get("version") != CASES_VERSION:
        got = f"format {data.get('format')!r}, version {data.get('version')!r}"
        need = f"format {CASES_FORMAT!r}, version {CASES_VERSION}"
        raise InputError(where, got=got, need=need, fix="Name a file that aw build wrote.")
    return {"name": _text(data, "name", where), "about": str(data.get("about") or "")}


def _part(data: dict[str, Any], name: str, where: str) -> dict[str, Any]:
    part = data.get(name)
    if not isinstance(part, dict):
        raise InputError(f"{where}: {name}", got=repr(part), need="an object", fix=CORRECT)
    return part


def _media(part: dict[str, Any], folder: Path, where: str, kinds: tuple[str, ...]) -> dict:
    """What driver and reference have in common."""
    file, sha256 = _text(part, "file", where), _text(part, "sha256", where)
    inside(folder, file, f"{where}: file")
    if not SHA256.fullmatch(sha256):
        need = "64 hexadecimal digits, in small letters"
        raise InputError(f"{where}: sha256", got=repr(sha256), need=need, fix=CORRECT)
    subjects = part.get("subjects")
    if not isinstance(subjects, int) or isinstance(subjects, bool) or subjects < 1:
        what = f"{where}: subjects"
        raise InputError(what, got=repr(subjects), need="a whole number from 1", fix=CORRECT)
    address = _text(part, "address", where) if part.get("address") else None
    return {
        "file": file,
        "sha256": sha256,
        "kind": _choice(part, "kind", kinds, where),
        "subjects": subjects,
        "license": _text(part, "license", where),
        "source": _text(part, "source", where),
        "address": address,
    }


def _text(data: dict[str, Any], name: str, where: str) -> str:
    value = data.get(name)
    if not isinstance(value, str) or not value.strip():
        raise InputError(f"{where}: {name}", got=repr(value), need="some text", fix=CORRECT)
    return value


def _choice(data: dict[str, Any], name: str, choices: tuple[str, ...], where: str) -> str:
    value = _text(data, name, where)
    check_choice(f"{where}: {name}", value, choices, CORRECT)
    return value


def _optional(
    data: dict[str, Any], name: str, choices: tuple[str, ...] | None, where: str
) -> str | None:
    """None where the value is null; choices None: it must be."""
    if data.get(name) is None:
        return None
    if choices is None:
        need = "null, for the driver is not human"
        raise InputError(f"{where}: {name}", got=repr(data[name]), need=need, fix=CORRECT)
    return _choice(data, name, choices, where)


def _names(values: object, where: str) -> tuple[str, ...]:
    if isinstance(values, list) and all(isinstance(v, str) and ID.fullmatch(v) for v in values):
        return tuple(values)
    what = f"{where}: scenarios"
    raise InputError(what, got=repr(values), need="a list of names such as half2full", fix=CORRECT)
