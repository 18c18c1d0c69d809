"""Files that a page for raters has saved, counted: their key turns hashes into systems again.

{"format": "aw-bench-ratings", "version": 1, "page": "...", "rater": "...",
 "answers": [{"item": "...", "left": hash, "choice": "left", "same" or "right", "at": ms},
             {"item": "...", "scores": {dimension: 1 to 5}, "at": ms},
             {"item": "...", "unseen": true, "at": ms}]}
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ...errors import InputError
from ...media.replace import check_readable
from .cases import json_object
from .raters import IN_PAIRS, KEY_FORMAT, KEY_VERSION, SINGLY
from .scores import RATED, RATINGS_FILE, ScoreLine, append, read_scores, score_path

RATINGS_FORMAT, RATINGS_VERSION = "aw-bench-ratings", 1
RATER_CHOICES = ("left", "same", "right")
OTHER_PAGE = "Ask the rater for the file of this page, or give the key of the other one."


@dataclass(frozen=True)
class RaterKey:
    """Which video of a page is whose."""

    page: str
    mode: str  # IN_PAIRS or SINGLY
    pair: tuple[str, str] | None  # the system and the other one
    cases: dict[str, str]  # {item: id of its case}
    systems: dict[str, dict[str, str]]  # {item: {hash of a video: system}}


@dataclass
class Tally:
    """Of all files: lines for ratings.jsonl, and what could not be used."""

    lines: list[ScoreLine] = field(default_factory=list)
    raters: dict[str, int] = field(default_factory=dict)  # {rater: items judged}
    sides: Counter[str] = field(
        default_factory=Counter
    )  # how often each of RATER_CHOICES was chosen
    unseen: int = 0  # answers that nothing could be judged
    skipped: list[str] = field(default_factory=list)  # why, one line each


def read_key(path: Path) -> RaterKey:
    """Raises InputError for what is no key that `aw raters` wrote."""
    data = _read_object(path, "the key that aw raters wrote beside its page")
    fits = data.get("format") == KEY_FORMAT and data.get("version") == KEY_VERSION
    try:
        if not fits or data["mode"] not in (IN_PAIRS, SINGLY):
            raise ValueError
        items = data["items"]
        return RaterKey(
            str(data["page"]),
            data["mode"],
            None if data["pair"] is None else (data["pair"][0], data["pair"][1]),
            {name: str(item["case"]) for name, item in items.items()},
            {name: dict(item["videos"]) for name, item in items.items()},
        )
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        got = f"format {data.get('format')!r}, version {data.get('version')!r}"
        need = f"{KEY_FORMAT!r}, version {KEY_VERSION}, whole"
        fix = "Name the file PAGE.key.json that aw raters wrote."
        raise InputError(str(path), got=got, need=need, fix=fix) from error


def tally(files: Sequence[Path], key: RaterKey) -> Tally:
    """Count files of ratings. A rater's latest answer to an item counts, in whichever file it is.

    What cannot be used is skipped and named: a file of another page, or a broken one, too. Raises
    InputError when no file can be used, with what is wrong with the first.
    """
    told = Tally()
    latest: dict[tuple[str, str], dict[str, Any]] = {}
    refused: list[InputError] = []
    for path in files:
        try:
            rater, answers = _read_ratings(path, key)
        except InputError as error:
            refused.append(error)
            told.skipped.append(str(error))
            continue
        told.raters.setdefault(rater, 0)
        for answer, why in _checked(answers, key):
            if why:
                told.skipped.append(f"{path.name}: {why}")
                continue
            slot = rater, answer["item"]
            if slot not in latest or _time_of(answer) >= _time_of(latest[slot]):
                latest[slot] = answer
    if refused and len(refused) == len(files):
        raise refused[0]
    for (rater, item), answer in sorted(latest.items(), key=lambda each: each[0]):
        if answer.get("unseen") is True:
            told.unseen += 1
            continue
        told.raters[rater] += 1
        told.lines.append(_line_of_answer(answer, rater, item, key, told.sides))
    return told


def keep_tally(results: Path, told: Tally) -> int:
    """Add the lines to RESULTS/scores/ratings.jsonl; one that is there already is not added again.

    Returns how many were added.
    """
    path = score_path(results, RATINGS_FILE)
    there = {line.key: line for line in read_scores(path)}
    new = [line for line in told.lines if there.get(line.key) != line]
    append(path, new)
    return len(new)


def _read_object(path: Path, need: str) -> dict[str, Any]:
    check_readable(path, need)
    try:
        return json_object(path.read_text(encoding="utf-8-sig"), str(path))
    except UnicodeDecodeError as error:
        fix = "Save it from the page again."
        raise InputError(str(path), got="no UTF-8 text", need=need, fix=fix) from error


def _read_ratings(path: Path, key: RaterKey) -> tuple[str, list[Any]]:
    """The rater, and answers of any form."""
    need = "a file that a page of aw raters has saved"
    data = _read_object(path, need)
    rater, answers = data.get("rater"), data.get("answers")
    known = data.get("format") == RATINGS_FORMAT and data.get("version") == RATINGS_VERSION
    named = isinstance(rater, str) and rater.strip()
    if not (known and named and isinstance(answers, list)):
        got = f"format {data.get('format')!r}, rater {rater!r}"
        raise InputError(str(path), got=got, need=need, fix="Save it from the page again.")
    if data.get("page") != key.page:
        got, need = f"ratings of page {data.get('page')!r}", f"of page {key.page!r}, as the key"
        raise InputError(str(path), got=got, need=need, fix=OTHER_PAGE)
    assert isinstance(rater, str)
    return rater.strip(), answers


def _checked(answers: Iterable[Any], key: RaterKey) -> Iterable[tuple[dict[str, Any], str]]:
    """Each answer, with why it cannot be used."""
    for answer in answers:
        if not isinstance(answer, dict) or not isinstance(answer.get("item"), str):
            yield {}, f"an answer without its item ({json.dumps(answer)[:60]})"
        elif answer["item"] not in key.cases:
            yield answer, f"item {answer['item'][:40]}, which the page does not have"
        elif answer.get("unseen") is True:
            yield answer, ""
        elif key.mode == IN_PAIRS:
            yield answer, _wrong_choice(answer, key)
        else:
            yield answer, _wrong_scores(answer)


def _wrong_choice(answer: dict[str, Any], key: RaterKey) -> str:
    if answer.get("choice") not in RATER_CHOICES:
        return (
            f"item {answer['item']}: {answer.get('choice')!r} is none of {', '.join(RATER_CHOICES)}"
        )
    if answer.get("left") not in key.systems[answer["item"]]:
        return f"item {answer['item']}: the video on the left is none of its two"
    return ""


def _wrong_scores(answer: dict[str, Any]) -> str:
    scores = answer.get("scores")
    if not isinstance(scores, dict) or not scores:
        return f"item {answer['item']}: no scores"
    for name, value in scores.items():
        if name not in RATED:
            return f"item {answer['item']}: {name!r} is none of {', '.join(RATED)}"
        whole = isinstance(value, int) and not isinstance(value, bool)
        if not whole or not 1 <= value <= 5:
            return f"item {answer['item']}: {name} is {value!r}, not 1 to 5"
    return ""


def _time_of(answer: dict[str, Any]) -> float:
    at = answer.get("at")
    return float(at) if isinstance(at, int | float) else 0.0


def _line_of_answer(
    answer: dict[str, Any], rater: str, item: str, key: RaterKey, sides: Counter[str]
) -> ScoreLine:
    case, systems = key.cases[item], key.systems[item]
    if key.mode == SINGLY:
        (system,) = systems.values()
        return ScoreLine(system, case, dict(answer["scores"]), rater=rater)
    assert key.pair is not None
    sides[answer["choice"]] += 1
    system, other = key.pair
    left = systems[answer["left"]] == system
    choice = {"same": "same", "left": "good" if left else "bad"}.get(
        answer["choice"], "bad" if left else "good"
    )
    return ScoreLine(system, case, rater=rater, other=other, choice=choice)
