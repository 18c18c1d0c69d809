"""What somebody hands in: a system's videos with their hashes, how they were made, and a licence.

A folder, or a ZIP of the same files, all in one place:

    submission.json    {"format": "aw-bench-submission", "version": 1, "system": name,
                        "set": {"name": ..., "cases_sha256": of its cases.jsonl},
                        "license": of the videos, "statement": how they were made,
                        "videos": {id of a case: {"file": ..., "sha256": ..., "bytes": ...}}}
    system.json        as in a folder of results
    CASE_ID.mp4, ...

Some cases may be missing: the tables say n of N. A folder of this form can stand in RESULTS.
"""

from __future__ import annotations

import json
import shutil
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from ...errors import InputError
from ...media import probe
from ...media.replace import check_readable, make_folder, replacing
from .cases import CASES_FILE, CaseSet, json_object, read_cases, sha256_of
from .systems import SYSTEM_FILE, VIDEO_SUFFIXES, System, read_systems, video_of

SUBMISSION_FILE = "submission.json"
SUBMISSION_FORMAT, SUBMISSION_VERSION = "aw-bench-submission", 1
LARGEST_SUBMISSION = 64 << 30  # bytes, of all files
LENGTH_SLACK = 0.25  # seconds that a video may be longer or shorter than its driver without a note
SUBMISSION_NEEDED = "a folder or a ZIP that aw submit pack made"


@dataclass
class SubmissionReport:
    """What a check has found."""

    system: str = ""
    made: int = 0  # cases of the set with a good video
    wanted: int = 0  # cases of the set
    problems: list[str] = field(default_factory=list)  # for which it is refused
    notes: list[str] = field(default_factory=list)  # worth knowing


def pack_submission(
    set_path: Path, folder: Path, out: Path, license_name: str, statement: str, overwrite: bool
) -> SubmissionReport:
    """Write the videos of a system's folder to `out`, a ZIP if it is called so, else a folder.

    Raises InputError for what check_submission would refuse: then nothing is written.
    """
    cases = read_cases(set_path)
    system = _system_in(folder)
    found = {case.id: video_of(system, case) for case in cases.cases}
    videos = {case: path for case, path in found.items() if path is not None}
    with TemporaryDirectory(dir=out.parent, prefix=".aw-submission-") as hidden:
        part = Path(hidden)
        for path in (system.folder / SYSTEM_FILE, *videos.values()):
            _place(path, part / path.name)
        told = {
            "format": SUBMISSION_FORMAT,
            "version": SUBMISSION_VERSION,
            "system": system.name,
            "set": {"name": cases.name, "cases_sha256": sha256_of(cases.folder / CASES_FILE)},
            "license": license_name,
            "statement": statement,
            "videos": {
                case: {
                    "file": path.name,
                    "sha256": sha256_of(path),
                    "bytes": path.stat().st_size,
                }
                for case, path in videos.items()
            },
        }
        (part / SUBMISSION_FILE).write_text(json.dumps(told, indent=1, ensure_ascii=False) + "\n")
        report = _check_folder(cases, part)
        if report.problems:
            fix = "Mend it, then pack it again."
            raise InputError("submission", got=report.problems[0], need="a whole one", fix=fix)
        _write_out(part, out, overwrite)
    return report


def check_submission(
    set_path: Path, submission: Path, results: Path | None = None
) -> SubmissionReport:
    """Look a submission over: its form, each hash, whether each video plays.

    results: a folder that takes a good one over, as RESULTS/SYSTEM. Raises InputError for what is
    neither a folder nor a ZIP, and for a system that is in the results already.
    """
    cases = read_cases(set_path)
    with _opened_submission(submission) as (folder, problems):
        report = SubmissionReport(problems=problems) if problems else _check_folder(cases, folder)
        if results is not None and not report.problems:
            _take_over(folder, report.system, results)
    return report


def _check_folder(cases: CaseSet, folder: Path) -> SubmissionReport:
    report = SubmissionReport(wanted=len(cases.cases))
    try:
        system, told = _system_in(folder), _read_told(folder / SUBMISSION_FILE)
    except InputError as error:
        report.problems.append(str(error))
        return report
    report.system = system.name
    report.problems += _wrong_words(told, system, cases)
    known = {case.id: case for case in cases.cases}
    named = {SUBMISSION_FILE, SYSTEM_FILE}
    for name, entry in told["videos"].items():
        if name not in known:
            report.problems.append(f"{name}: the set has no such case")
            continue
        wrong = _wrong_video(folder, name, entry)
        if wrong:
            report.problems.append(f"{name}: {wrong}")
            continue
        named.add(entry["file"])
        report.made += 1
        driver = cases.path_of(known[name].driver.file)
        report.notes += _other_length(name, folder / entry["file"], driver)
    others = sorted(path.name for path in folder.iterdir() if path.name not in named)
    if others and not report.problems:
        report.problems.append(f"files that submission.json does not name: {', '.join(others[:5])}")
    missing = [case for case in known if case not in told["videos"]]
    if missing:
        report.notes.append(f"no video of {len(missing)} cases: {', '.join(missing[:5])}")
    return report


def _read_told(path: Path) -> dict[str, Any]:
    check_readable(path, SUBMISSION_NEEDED)
    told = json_object(path.read_text(encoding="utf-8-sig", errors="replace"), path.name)
    fits = told.get("format") == SUBMISSION_FORMAT and told.get("version") == SUBMISSION_VERSION
    if not (fits and isinstance(told.get("videos"), dict) and isinstance(told.get("set"), dict)):
        got = f"format {told.get('format')!r}, version {told.get('version')!r}"
        need = f"{SUBMISSION_FORMAT!r}, version {SUBMISSION_VERSION}, with set and videos"
        raise InputError(path.name, got=got, need=need, fix="Pack it with aw submit pack.")
    return told


def _wrong_words(told: dict[str, Any], system: System, cases: CaseSet) -> Iterator[str]:
    if told.get("system") != system.name:
        yield f"system is {told.get('system')!r}, and {system.name!r} in system.json"
    if told["set"].get("cases_sha256") != sha256_of(cases.folder / CASES_FILE):
        yield f"it was made for another set than this {cases.name!r}: {told['set'].get('name')!r}"
    for name, what in (
        ("license", "under which licence the videos are given"),
        ("statement", "how they were made: model, settings, what was chosen by hand"),
    ):
        if not isinstance(told.get(name), str) or not told[name].strip():
            yield f"no {name}: say {what}"
    if not told["videos"]:
        yield "no video of any case"


def _wrong_video(folder: Path, case: str, entry: object) -> str:
    if not isinstance(entry, dict):
        return f"{entry!r} does not say its file"
    file = entry.get("file")
    if file not in {f"{case}{suffix}" for suffix in VIDEO_SUFFIXES}:
        return f"its file is called {file!r}, not {case}{VIDEO_SUFFIXES[0]}"
    path = folder / file
    if path.is_symlink() or not path.is_file():
        return f"{file} is not there"
    if sha256_of(path) != entry.get("sha256"):
        return f"{file} is not the file that was packed (another sha256)"
    try:
        probe(path)
    except InputError as error:
        return str(error)
    return ""


def _other_length(case: str, video: Path, driver: Path) -> list[str]:
    if not driver.is_file():
        return []
    lasts, wanted = probe(video).duration, probe(driver).duration
    if abs(lasts - wanted) <= LENGTH_SLACK:
        return []
    return [f"{case}: {lasts:.2f} s long, its driver {wanted:.2f} s"]


def _system_in(folder: Path) -> System:
    """The one whose videos lie in a folder. Raises InputError as read_systems does."""
    folder = folder.resolve()
    for system in read_systems(folder.parent) if (folder / SYSTEM_FILE).is_file() else []:
        if system.folder.resolve() == folder:
            return system
    fix = "Name the folder of one system, with its system.json."
    raise InputError(str(folder), got=f"no {SYSTEM_FILE}", need="a system's folder", fix=fix)


@contextmanager
def _opened_submission(path: Path) -> Iterator[tuple[Path, list[str]]]:
    """The folder of a submission, and why it cannot be looked at."""
    if path.is_dir():
        yield path, []
        return
    check_readable(path, SUBMISSION_NEEDED)
    with TemporaryDirectory(prefix="aw-submission-") as hidden:
        folder = Path(hidden) / "system"  # a parent of its own, where no other system lies
        folder.mkdir()
        try:
            with zipfile.ZipFile(path) as archive:
                problems = list(_wrong_members(archive)) or _unpack(archive, folder)
        except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError) as error:
            fix = "Pack it again with aw submit pack."
            got = f"no ZIP that can be read ({error})"
            raise InputError(str(path), got=got, need=SUBMISSION_NEEDED, fix=fix) from error
        yield folder, problems


def _wrong_members(archive: zipfile.ZipFile) -> Iterator[str]:
    """Names that lead elsewhere, names that come twice, and more bytes than a disk should be
    trusted with."""
    seen: set[str] = set()
    for member in archive.infolist():
        name = member.filename
        if "/" in name or "\\" in name or ":" in name or name in ("", ".", ".."):
            yield f"{name!r} lies in another folder: all files must lie in one place"
        if name.lower() in seen:
            yield f"{name!r} is there twice"
        seen.add(name.lower())
    total = sum(member.file_size for member in archive.infolist())
    if total > LARGEST_SUBMISSION:
        yield f"{total / 1e9:.0f} GB when unpacked, {LARGEST_SUBMISSION / 1e9:.0f} at most"


def _unpack(archive: zipfile.ZipFile, folder: Path) -> list[str]:
    """Each file, of no more bytes than it is said to have (zipfile sees to that)."""
    for member in archive.infolist():
        with archive.open(member) as source, (folder / member.filename).open("wb") as target:
            shutil.copyfileobj(source, target, 1 << 20)
    return []


def _write_out(part: Path, out: Path, overwrite: bool) -> None:
    if out.suffix.lower() != ".zip":
        with replacing(out, overwrite, folder=True) as target:
            for path in part.iterdir():
                path.rename(target / path.name)
        return
    with replacing(out, overwrite) as target, zipfile.ZipFile(target, "w") as archive:
        for path in sorted(part.iterdir()):  # videos are as small as they get: stored
            archive.write(path, path.name)


def _take_over(folder: Path, name: str, results: Path) -> None:
    there = read_systems(results) if any(results.glob(f"*/{SYSTEM_FILE}")) else []
    if name.lower() in {system.name.lower() for system in there}:
        fix = "Take it out first, or choose another folder of results."
        raise InputError(str(results), got=f"a system {name} already", need="none", fix=fix)
    make_folder(results)
    with replacing(results / name, folder=True) as part:
        for path in folder.iterdir():
            _place(path, part / path.name)


def _place(path: Path, target: Path) -> None:
    shutil.copyfile(path, target)
