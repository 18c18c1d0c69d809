"""The open set: what anybody can have of AW Bench, by one command.

    puppets         drawn by this package, truth known
    rigged bodies   GLB files of --characters, both roles, truth known
    real media      free clips and pictures of --media, paired across; no truth

It is ours. The paper's own 100 drivers and 200 references have not been released.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from ...errors import InputError
from ...items import DONE, Executor, Item, ItemStore, Outcome, run_items
from ...media.replace import make_folder, replacing
from .cases import CASES_FILE, MEDIA_FOLDER, AwCase, case_of, read_cases, write_cases
from .open_drawn import DrawCase, drawn_name
from .open_media import place_media
from .pairing import pair_up

OPEN_ABOUT = (
    "An open stand-in for AW Bench, made by aw open-set; it is ours, not ByteDance's, whose set is "
    "not released."
)
DRAWN_STAGE = "drawn"
OnCase = Callable[[str, Outcome, int, int], None]


@dataclass(frozen=True)
class OpenPlan:
    """How many cases of which kind, and where they come from."""

    out: Path
    media: Path | None = None  # a folder with manifest.json; None: no real media
    characters: Path | None = None  # a folder of GLB files; None: no rigged bodies
    puppets: int = 32
    bodies: int = 32
    pairs: int = 36  # of real media
    seed: int = 0


class OpenMade(NamedTuple):
    path: Path
    counts: dict[str, int]  # of cases
    lacking: list[str]  # real media that are not there, and bodies that could not be drawn


def build_open_set(
    plan: OpenPlan, executor: Executor | None = None, on_case: OnCase | None = None
) -> OpenMade:
    """The same bytes each time, on the same machine. What is drawn already is not drawn again.

    Raises InputError for a plan without a case, for a folder whose set has others, and as
    place_media and run_items do.
    """
    bodies = plan.bodies if plan.characters else 0
    first = 1000 * plan.seed
    seeds = [("puppet", first + k) for k in range(plan.puppets)]
    seeds += [("body", first + k) for k in range(bodies)]
    make_folder(plan.out)
    lacking: list[str] = []
    credits: list[dict[str, Any]] = []
    real: list[AwCase] = []
    if plan.media and plan.pairs:
        placed = place_media(plan.media, plan.out)
        credits, lacking = placed.credits, placed.lacking
        real = pair_up(placed.drivers, placed.references, plan.pairs, plan.seed)
    _check_older(plan.out, {drawn_name(*each) for each in seeds}, real)
    cases, not_drawn = _drawn(plan, seeds, executor, on_case)
    lacking = [*not_drawn, *lacking]
    if not cases and not real:
        fix = "Ask for some puppets, or name folders of media and characters."
        raise InputError("open set", got="no case", need="at least one", fix=fix)
    counts = {"puppets": plan.puppets, "bodies": bodies, "real pairs": len(real)}
    path = write_cases(plan.out, "open", OPEN_ABOUT, [*_mixed(cases, real)])
    _write_credits(plan.out, credits)
    return OpenMade(path, counts, lacking)


def _check_older(out: Path, drawn: set[str], real: list[AwCase]) -> None:
    """Raises InputError where cases of the set that lies there already would go, or change: what
    was made of them would lose them."""
    if not (out / CASES_FILE).exists():
        return
    older, same = read_cases(out).cases, {case.id: _sums(case) for case in real}
    gone = [case.id for case in older if case.id not in drawn and same.get(case.id) != _sums(case)]
    if gone:
        raise InputError(
            str(out),
            got=f"another set of {len(older)} cases, {len(gone)} of them not in this one, such as "
            f"{gone[0]}",
            need="an empty folder, or a set that this one goes on",
            fix=f"Name another folder; or remove {CASES_FILE} there, if nothing was made of it.",
        )


def _sums(case: AwCase) -> tuple[str, str]:
    return case.driver.sha256, case.reference.sha256


def _drawn(
    plan: OpenPlan,
    seeds: list[tuple[str, int]],
    executor: Executor | None,
    on_case: OnCase | None,
) -> tuple[list[AwCase], list[str]]:
    items = [Item(drawn_name(of, seed), {"of": of, "seed": seed}) for of, seed in seeds]

    def heard(outcome: Outcome, number: int, total: int) -> None:
        if on_case is not None:
            on_case(DRAWN_STAGE, outcome, number, total)

    work = DrawCase(plan.out, plan.characters)
    with ItemStore(plan.out) as store:
        records = run_items(store, DRAWN_STAGE, work, items, executor, heard)
    done = [record for record in records.values() if record.state == DONE]
    failed = [f"{k}: {record.reason}" for k, record in records.items() if record.state != DONE]
    return [case_of(record.result["row"], plan.out, record.key) for record in done], failed


def _mixed(drawn: list[AwCase], real: list[AwCase]) -> list[AwCase]:
    """Each kind spread over the whole set, so that any few of it are of all kinds."""
    lists = [[c for c in drawn if c.id.startswith(of)] for of in ("puppet", "body")] + [real]
    places = [
        ((number + 0.5) / len(cases), kind, case)
        for kind, cases in enumerate(lists)
        for number, case in enumerate(cases)
    ]
    return [case for _, _, case in sorted(places, key=lambda place: place[:2])]


def _write_credits(out: Path, credits: list[dict[str, Any]]) -> None:
    (out / MEDIA_FOLDER).mkdir(exist_ok=True)
    with replacing(out / MEDIA_FOLDER / "manifest.json", overwrite=True) as part:
        part.write_text(json.dumps(credits, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    lines = [
        "# Where the media come from",
        "",
        "puppet-* and body-* were drawn by dreamactor_core and are CC0-1.0, as are the rigged",
        "bodies that body-* shows.",
        "",
    ]
    for credit in credits:
        lines.append(f"* **{credit['file']}**: {credit['author']}; {credit['license']};")
        lines.append(f"  {credit['source']}" + (f"; {c}" if (c := credit.get("changed")) else ""))
        if "address" in credit:
            lines.append(f"  not to be handed on with the set; fetched from {credit['address']}")
    with replacing(out / "LICENSES.md", overwrite=True) as part:
        part.write_text("\n".join(lines) + "\n", encoding="utf-8")
