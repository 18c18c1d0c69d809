"""Who performs what: relations, scenarios and the subset that drivers and references make, and
cases chosen so that kinds, relations and files come about equally often.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import product
from typing import NamedTuple

import numpy as np

from ...errors import InputError
from .cases import AwCase, AwDriver, AwReference

# Of the paper's 200 references 100 are in the pairs that it counts with, 60 and 40 of these kinds.
SUBSET_SHARES = {"human-human": (0.3, 60), "human-cartoon": (0.2, 40)}  # of the cases; at most
KIND_LETTERS = {"human": "h", "animal": "a", "animated": "c", "cartoon": "c"}  # of ids


class TaggedDriver(NamedTuple):
    part: AwDriver
    also: tuple[str, ...] = ()  # scenarios that it belongs to whoever performs it


class TaggedReference(NamedTuple):
    part: AwReference
    shows: str | None = None  # of REGIONS: how much of the body


def relation_of(driver: AwDriver, reference: AwReference) -> str | None:
    """None for two whom the benchmark does not bring together: many drivers and one to move."""
    if driver.subjects == 1:
        return "one-to-one" if reference.subjects == 1 else "one-to-many"
    return "many-to-many" if reference.subjects > 1 else None


def scenarios_of(driver: TaggedDriver, reference: TaggedReference) -> tuple[str, ...]:
    """Names of SCENARIOS that two belong to."""
    mine, theirs = driver.part, reference.part
    sides = ("human" if kind == "human" else "nonhuman" for kind in (mine.kind, theirs.kind))
    found = ["2".join(sides)]
    found += ["animal2animal"] if (mine.kind, theirs.kind) == ("animal", "animal") else []
    found += ["cartoon2cartoon"] if (mine.kind, theirs.kind) == ("animated", "cartoon") else []
    relation = relation_of(mine, theirs)
    found += ["one2multi"] if relation == "one-to-many" else []
    found += ["multi2multi"] if relation == "many-to-many" else []
    if mine.region and reference.shows:
        half = mine.region != "full", reference.shows != "full"
        found += ["half2full"] if half == (True, False) else []
        found += ["full2half"] if half == (False, True) else []
    return tuple(dict.fromkeys([*found, *driver.also]))


def subset_of(driver: AwDriver, reference: AwReference) -> str | None:
    """Which of the paper's two kinds of counted pairs it could be of."""
    name = f"{driver.kind}-{reference.kind}"
    return name if name in SUBSET_SHARES else None


def pair_up(
    drivers: Sequence[TaggedDriver],
    references: Sequence[TaggedReference],
    count: int,
    seed: int,
    first: int = 1,
) -> list[AwCase]:
    """So many cases, or all that there can be. The same for the same order and seed.

    Half of them are the counted subset as far as there are such pairs; files, kinds and relations
    that came least so far come next. first: the number of the first id. Raises InputError when
    nobody goes with anybody.
    """
    pairs = [
        (driver, reference)
        for driver, reference in product(drivers, references)
        if relation_of(driver.part, reference.part)
    ]
    if not pairs:
        raise InputError(
            "drivers and references",
            got=f"{len(drivers)} and {len(references)}, of which no two go together",
            need="a driver of one subject, or a reference of several",
            fix="Correct the number of subjects in the tags, or add files.",
        )
    order = np.random.default_rng(seed).permutation(len(pairs))
    left = [pairs[k] for k in order]
    chosen: list[tuple[TaggedDriver, TaggedReference, str | None]] = []
    used: Counter[str] = Counter()
    for subset, (share, most) in SUBSET_SHARES.items():
        for _ in range(min(most, round(share * count))):
            own = [pair for pair in left if subset_of(pair[0].part, pair[1].part) == subset]
            if own:
                chosen.append((*_take(left, own, used), subset))
    while left and len(chosen) < count:
        chosen.append((*_take(left, left, used), None))
    return [_case(number, *each) for number, each in enumerate(chosen, first)]


def _take(
    left: list[tuple[TaggedDriver, TaggedReference]],
    among: list[tuple[TaggedDriver, TaggedReference]],
    used: Counter[str],
) -> tuple[TaggedDriver, TaggedReference]:
    """The pair that repeats least; it is counted, and is left no longer."""

    def repeats(pair: tuple[TaggedDriver, TaggedReference]) -> tuple[int, int]:
        files = used[pair[0].part.file] + used[pair[1].part.file]
        return files, used[_group(*pair)]

    best = min(among, key=repeats)
    left.remove(best)
    used.update([best[0].part.file, best[1].part.file, _group(*best)])
    return best


def _group(driver: TaggedDriver, reference: TaggedReference) -> str:
    mine, theirs = driver.part, reference.part
    return f"{mine.kind} {theirs.kind} {relation_of(mine, theirs)}"


def _case(
    number: int, driver: TaggedDriver, reference: TaggedReference, subset: str | None
) -> AwCase:
    mine, theirs = driver.part, reference.part
    relation = relation_of(mine, theirs)
    assert relation is not None, "pair_up has left the others out"
    name = f"{KIND_LETTERS[mine.kind]}2{KIND_LETTERS[theirs.kind]}-{number:03d}"
    return AwCase(name, mine, theirs, relation, scenarios_of(driver, reference), subset)
