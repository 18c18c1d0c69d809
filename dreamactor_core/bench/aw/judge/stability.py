"""How far a judge can be trusted with itself: one video twice, and two videos either way round."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

import numpy as np

from ....caption.captioner import CachedCaptioner
from ..cases import CaseSet
from ..scores import JUDGED
from ..systems import System
from .answers import read_ratings
from .ask import ask_once
from .questions import JudgePrompts, load_judge_prompts
from .work import JUDGE_ANSWERS, JudgeWork, judge_folder, question_items


@dataclass(frozen=True)
class Stability:
    """Of one dimension, in points of the scale; NaN where nothing was asked."""

    dimension: str
    asked: int  # pairs of one video twice
    same: float  # share of them that got one number
    apart: float  # mean difference between the two
    first_twice: float  # mean of the first less the second, of one video twice
    swapped: int  # pairs of two videos, each asked either way round
    moved: float  # mean difference of a video's own score between the two places
    first: float  # mean of its score in the first place less that in the second


def stability_of(
    captioner: CachedCaptioner,
    prompts: JudgePrompts,
    dimension: str,
    shown: Sequence[tuple[Mapping[str, Sequence[np.ndarray]], np.ndarray | None]],
) -> Stability:
    """shown: of each case the pictures of its videos by system, and the reference if it is asked
    about. Raises InputError for an answer that cannot be read."""
    twice, moved = [], []
    for pictures, reference in shown:
        videos = list(pictures.values())

        def ask(*pair: Sequence[np.ndarray], beside: np.ndarray | None = reference) -> list[float]:
            answer = ask_once(captioner, prompts, dimension, pair, beside)
            return [each.score for each in read_ratings(answer, "AB").values()]

        first, second = ask(videos[0], videos[0])
        twice.append(first - second)
        if len(videos) > 1:
            one, other = ask(videos[0], videos[1]), ask(videos[1], videos[0])
            moved += [one[0] - other[1], other[0] - one[1]]
    return Stability(
        dimension,
        len(twice),
        _mean([float(not each) for each in twice]),
        _mean([abs(each) for each in twice]),
        _mean(twice),
        len(moved) // 2,
        _mean([abs(each) for each in moved]),
        _mean(moved),
    )


def _mean(values: Sequence[float]) -> float:
    return fmean(values) if values else float("nan")


def stability_lines(found: Sequence[Stability]) -> list[str]:
    """A table for a terminal."""
    heads = ("asked", "same", "apart", "1st-2nd", "swapped", "moved", "1st-2nd")
    lines = [" " * 24 + "".join(f"{head:>9}" for head in heads)]
    for each in found:
        figures = (each.same, each.apart, each.first_twice)
        cells = f"{each.asked:>9}" + "".join(f"{value:>9.2f}" for value in figures)
        cells += f"{each.swapped:>9}{each.moved:>9.2f}{each.first:>9.2f}"
        lines.append(f"{each.dimension:24}{cells}")
    return lines


def judge_stability(
    cases: CaseSet, systems: list[System], work: JudgeWork, count: int, seed: int
) -> list[Stability]:
    """Of the first `count` cases of a drawn order. Raises InputError where there is no video."""
    prompts = load_judge_prompts(work.prompts)
    captioner = CachedCaptioner(work.who(), judge_folder(work.results) / JUDGE_ANSWERS)
    items, _, _ = question_items(cases, systems, work, "", seed)
    ids = list(dict.fromkeys(each.data["case"] for each in items))
    random.Random(seed).shuffle(ids)
    found = []
    for dimension in JUDGED:
        asked = [each.data for each in items if each.data["dimension"] == dimension]
        shown = [work.shown(data) for data in asked if data["case"] in ids[:count]]
        found.append(stability_of(captioner, prompts, dimension, shown))
    return found
