"""A set of cases out of anybody's folder: tags guessed, corrected by hand, chosen, paired.

The first call writes SET/tags.csv; when no question mark is left in it, the next one copies what is
chosen into SET/media and writes SET/cases.jsonl. Of more than the paper has, 100 drivers and 200
references, as many of each kind are taken as can be.
"""

from __future__ import annotations

import shutil
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np

from ...caption.choice import CaptionerChoice
from ...errors import InputError
from ...items import DONE, Executor, Item, ItemStore, Outcome, run_items
from ...media.replace import replacing
from .cases import MEDIA_FOLDER, AwCase, AwDriver, AwReference, inside, sha256_of, write_cases
from .pairing import TaggedDriver, TaggedReference, pair_up
from .tags import OPEN_TAG, TAGS_FILE, GuessTags, Tags, read_tags, write_tags

TAGS_STAGE = "tags"
Chosen = TypeVar("Chosen", TaggedDriver, TaggedReference)


@dataclass(frozen=True)
class BuildPlan:
    folder: Path  # of clips and pictures, its own folders included
    out: Path
    name: str = "own"
    drivers: int = 100
    references: int = 200
    count: int | None = None  # of cases; None: as many as there are references, at least 100
    seed: int = 0
    license: str = OPEN_TAG  # of every file, where the table does not say otherwise
    source: str = OPEN_TAG
    captioner: CaptionerChoice | None = None


class Built(NamedTuple):
    cases: list[AwCase]  # [] while the table waits for a person
    path: Path  # of the cases, or of the table
    told: list[str]  # what is to be done, or what there is less of than in the paper


def build_set(
    plan: BuildPlan,
    executor: Executor | None = None,
    on_file: Callable[[str, Outcome, int, int], None] | None = None,
) -> Built:
    """Raises InputError for a folder without media, as read_tags does, and as pair_up does."""
    table = plan.out / TAGS_FILE
    if not table.exists():
        rows, told = _guess(plan, executor, on_file)
        write_tags(table, rows)
        open_ = sum(row.count(OPEN_TAG) for row in rows)
        told.append(f"Look through it ({open_} question marks), then run the same command again.")
        return Built([], table, told)
    drivers, references = _placed(plan, read_tags(table))
    count = plan.count or max(100, len(references))
    cases = pair_up(drivers, references, count, plan.seed)
    path = write_cases(plan.out, plan.name, f"Made by aw build out of {plan.folder.name}.", cases)
    return Built(cases, path, _shortfalls(cases))


def _guess(
    plan: BuildPlan,
    executor: Executor | None,
    on_file: Callable[[str, Outcome, int, int], None] | None,
) -> tuple[list[Tags], list[str]]:
    files = [
        path.relative_to(plan.folder).as_posix()
        for path in sorted(plan.folder.rglob("*"))
        if path.is_file() and plan.out.resolve() not in path.resolve().parents
    ]
    items = [Item(file, {"file": file}) for file in files if not Path(file).name.startswith(".")]

    def heard(outcome: Outcome, number: int, total: int) -> None:
        if on_file is not None:
            on_file(TAGS_STAGE, outcome, number, total)

    with ItemStore(plan.out) as store:
        work = GuessTags(plan.folder, plan.captioner)
        records = run_items(store, TAGS_STAGE, work, items, executor, heard)
    rows = [
        Tags(**record.result)._replace(license=plan.license, source=plan.source)
        for record in records.values()
        if record.state == DONE
    ]
    if not rows:
        fix = "Put clips and pictures into it."
        raise InputError(f"folder {plan.folder}", got="no media", need="some", fix=fix)
    told = [f"left out: {k}: {r.reason}" for k, r in records.items() if r.state != DONE]
    return rows, told


def _placed(
    plan: BuildPlan, rows: Sequence[Tags]
) -> tuple[list[TaggedDriver], list[TaggedReference]]:
    """Those that are chosen, copied into the set."""
    drivers = [_driver(plan, tags) for tags in rows if tags.role == "driver"]
    references = [_reference(plan, tags) for tags in rows if tags.role == "reference"]
    rng = np.random.default_rng(plan.seed)
    return (
        _evenly(drivers, plan.drivers, rng, lambda d: (d.part.kind, d.part.region, d.part.camera)),
        _evenly(references, plan.references, rng, lambda r: (r.part.kind, r.shows)),
    )


def _evenly(
    those: list[Chosen], most: int, rng: np.random.Generator, group_of: Callable[[Chosen], tuple]
) -> list[Chosen]:
    """At most so many, one of each group in turn."""
    groups: dict[tuple, list[Chosen]] = defaultdict(list)
    for place in rng.permutation(len(those)):
        one: Chosen = those[int(place)]
        group = (*group_of(one), one.part.subjects > 1)
        groups[group].append(one)
    chosen: list[Chosen] = []
    while any(groups.values()) and len(chosen) < most:
        for members in groups.values():
            if members and len(chosen) < most:
                chosen.append(members.pop())
    return chosen


def _driver(plan: BuildPlan, tags: Tags) -> TaggedDriver:
    part = AwDriver(
        **_copied(plan, tags),
        region=tags.shows or None,
        age=tags.age or None,
        activity=tags.activity,
        camera=tags.camera,
    )
    return TaggedDriver(part, tuple(tags.also.replace(",", " ").split()))


def _reference(plan: BuildPlan, tags: Tags) -> TaggedReference:
    return TaggedReference(AwReference(**_copied(plan, tags)), tags.shows or None)


def _copied(plan: BuildPlan, tags: Tags) -> dict:
    """What driver and reference have in common. The file is named by its content, too, for files of
    several folders may have one name."""
    source = inside(plan.folder, tags.file, f"{plan.out / TAGS_FILE}: file")
    digest = sha256_of(source)
    stem = "".join(c if c.isascii() and c.isalnum() else "_" for c in source.stem)[:40]
    file = f"{MEDIA_FOLDER}/{stem}-{digest[:6]}{source.suffix.lower()}"
    target = plan.out / file
    if not target.exists() or sha256_of(target) != digest:
        target.parent.mkdir(exist_ok=True)
        with replacing(target, overwrite=True) as part:
            shutil.copyfile(source, part)
    return {
        "file": file,
        "sha256": digest,
        "kind": tags.kind,
        "subjects": int(tags.subjects),
        "license": tags.license,
        "source": tags.source,
    }


def _shortfalls(cases: Sequence[AwCase]) -> list[str]:
    """What there is less of than in the paper, in words."""
    there = {
        "drivers": (len({case.driver.file for case in cases}), 100),
        "references": (len({case.reference.file for case in cases}), 200),
        "human-human pairs": (sum(case.subset == "human-human" for case in cases), 60),
        "human-cartoon pairs": (sum(case.subset == "human-cartoon" for case in cases), 40),
    }
    return [f"{n} {what}, the paper has {paper}" for what, (n, paper) in there.items() if n < paper]
