"""Rank correlations of a judge (or of meters) with people's own scores.

Labels have Video-Bench's form: a file a dimension, named by it, that holds a list of

    {"videos": {"SYSTEM": "any/folder/CASE.mp4", ...}, "human_anno": {"SYSTEM": [3, 4, 4], ...}}

with a number, or one of each person, for every system. "id" may name the case; otherwise the
video's name does.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from statistics import fmean
from typing import NamedTuple

import numpy as np

from ....errors import InputError
from ....media.replace import check_readable
from ..scores import DIMENSIONS, METERS, ScoreLine

# What Video-Bench tells of its own judge against its own people (its table "HumanAlignment").
VIDEO_BENCH = {"imaging_quality": 0.733, "temporal_consistency": 0.402, "motion_smoothness": 0.514}
ALSO_CALLED = {"motion_effects": "motion_smoothness"}  # Video-Bench's nearest to a dimension
METERS_OF = {  # the meters that come nearest to a dimension
    "imaging_quality": ("sharpness",),
    "motion_smoothness": ("flicker",),
    "temporal_consistency": ("flicker", "drift"),
    "appearance_consistency": ("identity", "leak"),
    "motion_consistency": ("pck", "angle_error", "tempo_error"),
}
ENTRY = ("videos", "human_anno")  # of an entry of labels
LEAST_PAIRS = 3  # videos from which a correlation is told

Labels = dict[str, dict[tuple[str, str], float]]  # {dimension: {(system, case): mean of people}}


class Correlation(NamedTuple):
    dimension: str
    by: str  # the judge, or the meter
    videos: int  # that both people and it have scored
    rho: float  # Spearman's
    theirs: float | None  # Video-Bench's own of that dimension


def read_labels(path: Path) -> Labels:
    """A file DIMENSION.json, or a folder of such. Raises InputError that names the entry."""
    files = sorted(path.glob("*.json")) if path.is_dir() else [path]
    if not files:
        need, fix = "files such as imaging_quality.json", "Name the folder that has them."
        raise InputError(str(path), got="a folder without any", need=need, fix=fix)
    labels: Labels = {}
    for file in files:
        name = ALSO_CALLED.get(file.stem, file.stem)
        if name not in DIMENSIONS:
            if path.is_dir():
                continue  # another dimension of Video-Bench's
            need = f"a name such as imaging_quality.json ({', '.join(DIMENSIONS)})"
            raise InputError(str(file), got="a name that tells none", need=need, fix="Rename it.")
        labels[name] = _labels_of(file)
    if not labels:
        need = f"files named {', '.join(DIMENSIONS)}"
        raise InputError(str(path), got="none of them", need=need, fix="Rename the files.")
    return labels


def correlations(
    labels: Labels, judged: Iterable[ScoreLine], measured: Iterable[ScoreLine] = ()
) -> list[Correlation]:
    """Of each judge and of the meters with the people, by dimension; what has fewer than
    LEAST_PAIRS is left out. A meter of which less is better counts the other way round."""
    scored: dict[tuple[str, str], dict[tuple[str, str], float]] = {}
    for line in judged:
        for dimension, score in line.scores.items():
            scored.setdefault((dimension, line.judge), {})[line.system, line.case] = score
    for line in measured:
        for dimension, meters in METERS_OF.items():
            for meter in meters:
                if meter in line.scores:
                    sign = 1 if METERS[meter].higher_is_better else -1
                    own = scored.setdefault((dimension, f"aw meter: {meter}"), {})
                    own[line.system, line.case] = sign * line.scores[meter]
    found = []
    for (dimension, by), own in sorted(scored.items()):
        people = labels.get(dimension, {})
        both = sorted(people.keys() & own.keys())
        if len(both) >= LEAST_PAIRS:
            rho = spearman([people[key] for key in both], [own[key] for key in both])
            found.append(Correlation(dimension, by, len(both), rho, VIDEO_BENCH.get(dimension)))
    return found


def spearman(one: Iterable[float], other: Iterable[float]) -> float:
    """Rank correlation, ties at their mean rank; NaN where one has no order at all."""
    from scipy.stats import rankdata

    a, b = (rankdata(list(values)) for values in (one, other))
    a, b = a - a.mean(), b - b.mean()
    size = float(np.sqrt((a @ a) * (b @ b)))
    return float(a @ b) / size if size else float("nan")


def correlation_lines(found: Iterable[Correlation]) -> list[str]:
    """A table for a terminal."""
    lines = [f"{'dimension':24}{'videos':>8}{'rho':>8}{'Video-Bench':>13}  by"]
    for each in found:
        theirs = "-" if each.theirs is None else f"{each.theirs:.3f}"
        line = f"{each.dimension:24}{each.videos:>8}{each.rho:>8.3f}{theirs:>13}  {each.by}"
        lines.append(line)
    return lines


def _labels_of(file: Path) -> dict[tuple[str, str], float]:
    check_readable(file, "a file of labels")
    try:
        entries = json.loads(file.read_text(encoding="utf-8-sig"))
    except (ValueError, RecursionError) as error:
        line = f" from line {error.lineno} on" if isinstance(error, json.JSONDecodeError) else ""
        need, fix = "JSON, a list of entries", "Save it again."
        raise InputError(str(file), got=f"no JSON{line}", need=need, fix=fix) from error
    if not isinstance(entries, list):
        fix = "Put the entries between [ and ]."
        raise InputError(str(file), got="another JSON", need="a list of entries", fix=fix)
    found: dict[tuple[str, str], list[float]] = {}
    for number, entry in enumerate(entries, 1):
        try:
            for key, score in _scores_of(entry):
                found.setdefault(key, []).append(score)
        except _UnlabelledError as error:
            need = '"videos" and "human_anno", both by system, with numbers from 1 to 5'
            raise InputError(
                f"{file}, entry {number}", got=str(error), need=need, fix="Correct the entry."
            ) from None
    return {key: fmean(scores) for key, scores in found.items()}


class _UnlabelledError(Exception):
    """An entry that does not say what people gave; in words."""


def _scores_of(entry: object) -> Iterable[tuple[tuple[str, str], float]]:
    parts = [entry.get(name) if isinstance(entry, dict) else None for name in ENTRY]
    for name, part in zip(ENTRY, parts, strict=True):
        if not isinstance(part, dict):
            raise _UnlabelledError(f'no "{name}" by system')
    videos, people = parts
    assert isinstance(entry, dict) and videos is not None and people is not None
    for system, given in people.items():
        case, video = entry.get("id"), videos.get(system)
        if not case and not isinstance(video, str):
            raise _UnlabelledError(f"no video of {system}")
        numbers = given if isinstance(given, list) else [given]
        if not numbers or not all(_is_score(each) for each in numbers):
            raise _UnlabelledError(f"{json.dumps(given)} of {system}")
        case = case or PurePosixPath(str(video).replace("\\", "/")).stem
        yield (system, str(case)), fmean(map(float, numbers))


def _is_score(given: object) -> bool:
    try:
        return not isinstance(given, bool) and 1 <= float(given) <= 5  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return False
