"""A page to look through: every case with its videos side by side, in step, and what was said.

SITE/index.html     the page, which needs no network
SITE/media/...      pictures and videos, without sound and metadata
"""

from __future__ import annotations

import html
from collections.abc import Callable
from pathlib import Path
from statistics import fmean
from typing import Any, NamedTuple

from ...errors import InputError
from ...media.replace import make_folder, replacing
from .cases import MEDIA_FOLDER, AwCase, AwDriver, AwReference, sha256_of
from .gather import Gathered
from .render import NOT_THEIRS, tables_html
from .scores import CHOICES, DIMENSIONS, METERS, ScoreLine
from .shown import ShownMedia, media_path
from .tables import all_tables, seen_from
from .web import script_json, template

NAME_DIGITS = 20  # of a file's sha256 that name it on the page


class Site(NamedTuple):
    page: Path
    cases: int
    videos: int
    left_out: dict[str, str]  # {file: why}


def write_site(
    gathered: Gathered,
    folder: Path,
    seed: int = 0,
    on_case: Callable[[int, int], None] = lambda number, total: None,
) -> Site:
    """Write the page into a folder, in the place of an older one of its kind.

    Media that an earlier run has written stay, so one that was stopped goes on. A file that cannot
    be read or is missing is left out and named. Raises InputError for a folder that holds others'
    files.
    """
    page = folder / "index.html"
    if folder.is_dir() and any(folder.iterdir()) and not (folder / MEDIA_FOLDER).is_dir():
        fix = "Choose a folder of its own for the page."
        raise InputError(str(folder), got="a folder with other files", need="a new one", fix=fix)
    make_folder(folder / MEDIA_FOLDER)
    media = ShownMedia(folder / MEDIA_FOLDER, kept=True)
    left_out: dict[str, str] = {}
    cases = []
    for number, case in enumerate(gathered.case_set.cases, 1):
        on_case(number, len(gathered.case_set.cases))
        cases.append(_case_data(gathered, case, media, left_out))
    title = f"AW Bench in the open: {gathered.case_set.name}"
    data = {
        "systems": [
            {"name": s.name, "made_by": s.made_by, "model": s.model} for s in gathered.systems
        ],
        "scales": {
            name: {"title": scale.title, "higher": scale.higher_is_better}
            for name, scale in (DIMENSIONS | METERS).items()
        },
        "cases": cases,
    }
    with replacing(page, overwrite=True) as part:
        part.write_text(
            template(
                "site.html",
                title=html.escape(title),
                about=html.escape(f"{gathered.case_set.about} {NOT_THEIRS}".strip()),
                tables=tables_html(all_tables(gathered, seed)),
                data=script_json(data),
            ),
            encoding="utf-8",
        )
    media.drop_others()
    return Site(page, len(cases), sum(len(case["videos"]) for case in cases), left_out)


def _case_data(
    gathered: Gathered, case: AwCase, media: ShownMedia, left_out: dict[str, str]
) -> dict[str, Any]:
    def given(part: AwDriver | AwReference, picture: bool = False) -> str | None:
        try:
            return shown(media_path(case_set, part), picture)
        except InputError as error:
            left_out[part.file] = str(error)
            return None

    def shown(path: Path, picture: bool = False) -> str | None:
        try:
            name = sha256_of(path)[:NAME_DIGITS]
            return f"{MEDIA_FOLDER}/{media.add(path, name, picture)}"
        except InputError as error:
            left_out[str(path)] = str(error)
            return None

    case_set = gathered.case_set
    videos = {
        system: shown(found[case.id])
        for system, found in gathered.videos.items()
        if case.id in found
    }
    return {
        "id": case.id,
        "tags": _tags(case),
        "prompt": case.prompt,
        "reference": given(case.reference, picture=True),
        "driver": given(case.driver),
        "truth": shown(case_set.path_of(case.truth)) if case.truth else None,
        "credits": [
            f"{part}: {file.license}, {file.source}"
            for part, file in (("Picture", case.reference), ("Motion", case.driver))
        ],
        "videos": {system: src for system, src in videos.items() if src},
        "said": _said(gathered, case.id),
        "compared": _compared(gathered, case.id),
    }


def _tags(case: AwCase) -> dict[str, list[str]]:
    """What the page can be filtered by."""
    return {
        "Scenario": list(case.scenarios),
        "Driver": [case.driver.kind],
        "Region": [case.driver.region] if case.driver.region else [],
        "Reference": [case.reference.kind],
        "Camera": [case.driver.camera],
        "Relation": [case.relation],
        "Subset": [case.subset] if case.subset else [],
    }


def _said(gathered: Gathered, case: str) -> list[dict[str, Any]]:
    """Judgements of a case, the judge's first; raters are one voice, without their names."""
    judged = [(f"judge {line.judge}".strip(), line) for line in gathered.judged]
    found = [
        {
            "by": by,
            "system": line.system,
            "scores": line.scores,
            "reasons": line.reasons,
            "notes": list(line.notes),
        }
        for by, line in (*judged, *(("meters", line) for line in gathered.meters))
        if line.case == case
    ]
    by_system: dict[str, list[ScoreLine]] = {}
    for line in gathered.ratings:
        if line.case == case and line.scores:
            by_system.setdefault(line.system, []).append(line)
    for system, lines in by_system.items():
        names = dict.fromkeys(name for line in lines for name in line.scores)
        means = {n: fmean(line.scores[n] for line in lines if n in line.scores) for n in names}
        notes = [f"mean of {len(lines)} raters"]
        row = {"by": "people", "system": system, "scores": means, "reasons": {}, "notes": notes}
        found.append(row)
    return found


def _compared(gathered: Gathered, case: str) -> list[str]:
    """What raters say of two systems side by side, a sentence a pair."""
    pairs: dict[tuple[str, str], list[ScoreLine]] = {}
    for line in gathered.ratings:
        if line.case == case and line.choice:
            system, other = sorted((line.system, line.other))
            pairs.setdefault((system, other), []).append(seen_from(line, system))
    told = []
    for (system, other), lines in pairs.items():
        counts = (f"{c} {sum(line.choice == c for line in lines)}" for c in CHOICES)
        told.append(f"{system} beside {other}, by people: {', '.join(counts)}")
    return told
