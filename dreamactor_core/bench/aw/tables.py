"""The paper's tables of what there is: Table 1, Figure 5, Table 2, and the meters' own.

A figure is a mean over cases with its bootstrapped interval in brackets, the same for the same
seed; raters' have the deviation over raters behind ±, as the paper's. A column "paper" holds what
was published, which is of another set, judge and raters.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from math import isnan
from statistics import fmean, stdev
from typing import NamedTuple

from .gather import Gathered
from .intervals import Interval, Observation, bootstrap_mean, ordinal_alpha, wilson
from .published import (
    PAPER,
    PUBLISHED_FIGURE_5,
    PUBLISHED_TABLE_1,
    PUBLISHED_TABLE_2,
    HumanScore,
    PublishedShares,
    plain_name,
)
from .scores import CHOICES, DIMENSIONS, JUDGED, METERS, RATED, ScoreLine

NO_FIGURE = "-"  # in a cell
THEIRS = (
    f'Columns "paper" are the numbers of {PAPER}: of ByteDance\'s own set, judge and raters, which '
    "were not released. They are not comparable with ours."
)


class ScoreTable(NamedTuple):
    title: str
    head: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]
    notes: tuple[str, ...] = ()
    bars: Sequence[tuple[str, float, float, float]] = ()  # (what, good, same, bad), shares


class Spread(NamedTuple):
    """What raters say of a system, as Table 1 has it."""

    mean: Interval  # of all ratings, over cases and raters
    deviation: float | None  # between raters' own means (n - 1); None of one rater


class Shares(NamedTuple):
    """GSB: a system beside another."""

    judgements: int
    good: Interval
    same: Interval
    bad: Interval
    difference: Interval  # good less bad, of all judgements


def all_tables(gathered: Gathered, seed: int = 0) -> list[ScoreTable]:
    """Those of which there is anything, in the paper's order; the meters' last."""
    judges = sorted({line.judge for line in gathered.judged})
    tables = [_judged_table(gathered, judge, seed) for judge in judges]
    number = len(gathered.case_set.cases)
    tables += rating_tables(gathered.ratings, seed, gathered.names(), number)
    tables += _ablation_table(gathered, seed)
    tables += [_meters_table(gathered, seed)] if gathered.meters else []
    return tables or [_videos_table(gathered)]


def rating_tables(
    ratings: Sequence[ScoreLine],
    seed: int = 0,
    systems: Sequence[str] | None = None,
    number: int | None = None,
) -> list[ScoreTable]:
    """Table 1 by people and Figure 5, of which there is anything.

    systems: rows, though nobody rated them; number: of cases in the set. None: not known.
    """
    rated = [line for line in ratings if line.scores]
    compared = [line for line in ratings if line.choice]
    names = sorted({line.system for line in rated}) if systems is None else systems
    tables = [_rated_table(rated, names, number, seed)] if rated else []
    return tables + ([_gsb_table(compared, seed)] if compared else [])


def spread_of(lines: Iterable[ScoreLine], dimension: str, seed: int = 0) -> Spread | None:
    """What raters' lines of one system say in a dimension; None where they say nothing."""
    lines = [line for line in lines if dimension in line.scores]
    if not lines:
        return None
    by_rater: dict[str, list[float]] = {}
    for line in lines:
        by_rater.setdefault(line.rater, []).append(line.scores[dimension])
    means = [fmean(scores) for scores in by_rater.values()]
    observations = [Observation(line.scores[dimension], line.case, line.rater) for line in lines]
    deviation = stdev(means) if len(means) > 1 else None
    return Spread(bootstrap_mean(observations, seed), deviation)


def shares_of(lines: Sequence[ScoreLine], seed: int = 0) -> Shares:
    """Of at least one comparison, all of the same two systems in the same order."""
    whole = len(lines)
    good, same, bad = (wilson(sum(line.choice == c for line in lines), whole) for c in CHOICES)
    worth = {"good": 1.0, "same": 0.0, "bad": -1.0}
    observations = [Observation(worth[line.choice], line.case, line.rater) for line in lines]
    return Shares(whole, good, same, bad, bootstrap_mean(observations, seed))


def seen_from(line: ScoreLine, system: str) -> ScoreLine:
    """A comparison as seen from the system named, which is one of its two."""
    if line.system == system:
        return line
    flipped = {"good": "bad", "same": "same", "bad": "good"}[line.choice]
    return ScoreLine(line.other, line.case, rater=line.rater, other=line.system, choice=flipped)


def _judged_table(gathered: Gathered, judge: str, seed: int) -> ScoreTable:
    lines = [line for line in gathered.judged if line.judge == judge]
    versions = sorted({line.prompt_version for line in lines if line.prompt_version})
    titles = [DIMENSIONS[name].title for name in JUDGED]

    def ours(system: str) -> tuple[str, ...]:
        own = [line for line in lines if line.system == system]
        cells = (_mean_cell(own, name, seed) for name in JUDGED)
        return _count(own, len(gathered.case_set.cases)), *cells

    def theirs(published: str) -> list[str]:
        return [f"{value:.2f}" for value in PUBLISHED_TABLE_1[published].judged]

    return ScoreTable(
        f"Table 1, by a judge ({judge or 'unnamed'})",
        ("System", "Scored", *titles, *(f"{title} (paper)" for title in titles)),
        _beside(gathered.names(), PUBLISHED_TABLE_1, ours, theirs),
        tuple([f"Prompts: {', '.join(versions)}."] if versions else []),
    )


def _rated_table(
    rated: list[ScoreLine], systems: Sequence[str], number: int | None, seed: int
) -> ScoreTable:
    titles = [DIMENSIONS[name].title for name in RATED]

    def ours(system: str) -> tuple[str, ...]:
        own = [line for line in rated if line.system == system]
        raters = str(len({line.rater for line in own}))
        cells = (_spread_cell(spread_of(own, name, seed)) for name in RATED)
        return raters, _count(own, number), *cells

    def theirs(published: str) -> list[str]:
        return [_human(score) for score in PUBLISHED_TABLE_1[published].rated]

    notes = ["Behind ±: the deviation between raters' own means, n - 1."]
    for name in RATED:
        alpha = ordinal_alpha(
            ((line.system, line.case), round(line.scores[name]))
            for line in rated
            if name in line.scores
        )
        notes.append(_agreement(DIMENSIONS[name].title, alpha))
    return ScoreTable(
        "Table 1, by people",
        ("System", "Raters", "Rated", *titles, *(f"{title} (paper)" for title in titles)),
        _beside(systems, PUBLISHED_TABLE_1, ours, theirs),
        tuple(notes),
    )


def _gsb_table(compared: list[ScoreLine], seed: int) -> ScoreTable:
    pairs: dict[tuple[str, str], list[ScoreLine]] = {}
    for line in compared:
        turn = (line.other, line.system) in pairs
        key = (line.other, line.system) if turn else (line.system, line.other)
        pairs.setdefault(key, []).append(seen_from(line, key[0]))
    rows, notes, bars = [], [], []
    for (system, other), lines in sorted(pairs.items()):
        shares = shares_of(lines, seed)
        published = _match(other, PUBLISHED_FIGURE_5)
        rows.append(
            (
                system,
                other,
                f"{len({line.rater for line in lines})}",
                f"{shares.judgements}",
                *(_interval_cell(share) for share in (shares.good, shares.same, shares.bad)),
                _percent_cell(shares.difference),
                _published_shares(PUBLISHED_FIGURE_5[published]) if published else NO_FIGURE,
            )
        )
        values = (shares.good.value, shares.same.value, shares.bad.value)
        bars.append((f"{system} beside {other}", *values))
        rank = {choice: k for k, choice in enumerate(CHOICES)}
        alpha = ordinal_alpha((line.case, rank[line.choice]) for line in lines)
        notes.append(_agreement(f"{system} beside {other}", alpha))
    return ScoreTable(
        "Figure 5: good, same, bad (GSB)",
        (
            *("System", "Beside", "Raters", "Judgements", "Good", "Same", "Bad", "G - B"),
            "G / S / B, G - B (paper: DreamActor-M2 beside it)",
        ),
        rows,
        (*notes, "Shares have Wilson's intervals, G - B is bootstrapped over cases and raters."),
        bars,
    )


def _ablation_table(gathered: Gathered, seed: int) -> list[ScoreTable]:
    """Table 2, where a system is called as one of its rows, or its settings say "ablation"."""
    rows_of = {
        system.name: _match(str(system.settings.get("ablation") or system.name), PUBLISHED_TABLE_2)
        for system in gathered.systems
    }
    chosen = {row: name for name, row in rows_of.items() if row}
    if not chosen:
        return []
    titles = [DIMENSIONS[name].title for name in RATED]
    rows = []
    for row, published in PUBLISHED_TABLE_2.items():
        own = [line for line in gathered.ratings if line.scores and line.system == chosen.get(row)]
        cells = [_spread_cell(spread_of(own, name, seed)) for name in RATED]
        theirs = [f"{value:.2f}" for value in published]
        count = _count(own, len(gathered.case_set.cases))
        rows.append((row, chosen.get(row, NO_FIGURE), count, *cells, *theirs))
    head = ("Variant", "System", "Rated", *titles, *(f"{title} (paper)" for title in titles))
    title = "Table 2: ablation of the pose-based variant, by people"
    return [ScoreTable(title, head, rows)]


def _meters_table(gathered: Gathered, seed: int) -> ScoreTable:
    there = {name for line in gathered.meters for name in line.scores}
    names = [*(name for name in METERS if name in there), *sorted(there - METERS.keys())]
    rows = []
    for system in gathered.names():
        own = [line for line in gathered.meters if line.system == system]
        cells = (_mean_cell(own, name, seed, digits=3) for name in names)
        rows.append((system, _count(own, len(gathered.case_set.cases)), *cells))
    head = ("System", "Measured", *(_meter_title(name) for name in names))
    return ScoreTable("Meters, by nobody's opinion", head, rows, ("↑ more is better, ↓ less.",))


def _videos_table(gathered: Gathered) -> ScoreTable:
    number = len(gathered.case_set.cases)
    rows = [(name, f"{len(gathered.videos[name])} of {number}") for name in gathered.names()]
    note = "Nothing was scored yet: aw meters, aw judge or aw raters do."
    return ScoreTable("Videos", ("System", "Videos"), rows, (note,))


def _beside(
    systems: Sequence[str],
    published: Collection[str],
    ours: Callable[[str], Sequence[str]],
    theirs: Callable[[str], Sequence[str]],
) -> list[tuple[str, ...]]:
    """A row a system, with the paper's numbers of the same one; then what the paper alone has."""
    no_ours = [NO_FIGURE] * len(ours(""))
    rows, seen = [], set()
    for system in systems:
        match = _match(system, published)
        seen.add(match)
        figures = theirs(match or next(iter(published)))
        rows.append((system, *ours(system), *(figures if match else [NO_FIGURE] * len(figures))))
    rows += [(name, *no_ours, *theirs(name)) for name in published if name not in seen]
    return rows


def _match(name: str, published: Iterable[str]) -> str | None:
    return next((each for each in published if plain_name(each) == plain_name(name)), None)


def _count(lines: list[ScoreLine], number: int | None) -> str:
    """n of N: cases of which anything is known."""
    known = len({line.case for line in lines})
    return f"{known}" if number is None else f"{known} of {number}"


def _mean_cell(lines: list[ScoreLine], name: str, seed: int, digits: int = 2) -> str:
    known = [Observation(line.scores[name], line.case) for line in lines if name in line.scores]
    if not known:
        return NO_FIGURE
    fewer = f" (n={len(known)})" if len(known) < len(lines) else ""
    return _interval_cell(bootstrap_mean(known, seed), digits) + fewer


def _interval_cell(interval: Interval, digits: int = 2) -> str:
    return f"{interval.value:.{digits}f}{_brackets(interval, f'.{digits}f')}"


def _percent_cell(interval: Interval) -> str:
    percent = Interval(*(100 * number for number in interval))
    return f"{percent.value:+.2f} %{_brackets(percent, '+.2f')}"


def _brackets(interval: Interval, form: str) -> str:
    """Nothing where there is no interval."""
    return "" if isnan(interval.low) else f" [{interval.low:{form}}, {interval.high:{form}}]"


def _spread_cell(spread: Spread | None) -> str:
    if spread is None:
        return NO_FIGURE
    deviation = "" if spread.deviation is None else f" ± {spread.deviation:.2f}"
    return f"{spread.mean.value:.2f}{deviation}{_brackets(spread.mean, '.2f')}"


def _human(score: HumanScore) -> str:
    return f"{score.mean:.2f} ± {score.deviation:.2f}"


def _published_shares(shares: PublishedShares) -> str:
    parts = " / ".join(f"{share:.2f}" for share in shares[:3])
    return f"{parts}, {shares.difference:+.2f} %"


def _agreement(what: str, alpha: float | None) -> str:
    said = "nothing was rated twice, or all alike" if alpha is None else f"{alpha:.2f}"
    return f"Agreement between raters (Krippendorff's ordinal alpha), {what}: {said}."


def _meter_title(name: str) -> str:
    scale = METERS.get(name)
    arrow = "" if scale is None else (" ↑" if scale.higher_is_better else " ↓")
    return (scale.title if scale else name) + arrow
