"""One question about some videos of a case, in every rotation of one drawn order."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from statistics import fmean
from typing import NamedTuple

import numpy as np

from ....caption.captioner import BY_HAND, CachedCaptioner
from ....errors import InputError
from .answers import LETTERS, Rating, UnreadableError, form_of, read_ratings
from .pictures import STRIP_FRAMES, headed
from .questions import JudgePrompts, enumerated

MOST_TOGETHER = len(LETTERS)  # videos in one question
JUDGE_FIX = (
    "Ask a larger model, or none: aw meter needs no judge. The others are kept; the same command "
    "asks again."
)
NO_JUDGE = "Ask another judge, or none: aw meter needs no judge."


class Judged(NamedTuple):
    """What came of one question about some videos."""

    scores: dict[str, float]  # of each, the mean over the orders
    reasons: dict[str, str]  # of each, in the order in which it came first
    answers: list[dict]  # {"order": names, "answer": text, "sha256": of it}


def deal_systems(systems: Sequence[str], seed: int, case: str) -> list[list[str]]:
    """Systems shuffled, the same way whenever it is asked, and dealt into as few questions as can
    be, of sizes as even as can be."""
    drawn = sorted(systems)
    random.Random(f"{seed} {case}").shuffle(drawn)
    count = -(-len(drawn) // MOST_TOGETHER)
    return [drawn[k::count] for k in range(count)]


@contextmanager
def judging() -> Iterator[None]:
    """What goes wrong with a captioner is told as a judge's."""
    try:
        yield
    except InputError as error:
        if not error.what.startswith("captioner "):
            raise
        raise type(error)(
            error.what.replace("captioner", "judge", 1),
            got=error.got,
            need=error.need,
            fix=error.fix.replace(BY_HAND, NO_JUDGE),
            option=error.options,
        ) from error


def rotations(order: Sequence[str]) -> list[list[str]]:
    """Each stands once in each place."""
    return [[*order[k:], *order[:k]] for k in range(len(order))]


def judge_group(
    captioner: CachedCaptioner,
    prompts: JudgePrompts,
    dimension: str,
    pictures: Mapping[str, Sequence[np.ndarray]],
    reference: np.ndarray | None,
) -> Judged:
    """pictures: of each video (h, w, 3) uint8, as many of each; in the order that was drawn.

    Raises InputError for an answer that cannot be read even when it is asked for again.
    """
    given: dict[str, list[Rating]] = {name: [] for name in pictures}
    answers = []
    for order in rotations(list(pictures)):
        letters = LETTERS[: len(order)]
        answer = ask_once(captioner, prompts, dimension, [pictures[n] for n in order], reference)
        digest = hashlib.sha256(answer.encode()).hexdigest()
        answers.append({"order": order, "answer": answer, "sha256": digest})
        ratings = read_ratings(answer, letters)
        for letter, name in zip(letters, order, strict=True):
            given[name].append(ratings[letter])
    first = {name: _first_order(answers, name) for name in given}
    return Judged(
        {name: fmean(each.score for each in ratings) for name, ratings in given.items()},
        {name: ratings[first[name]].reason for name, ratings in given.items()},
        answers,
    )


def ask_once(
    captioner: CachedCaptioner,
    prompts: JudgePrompts,
    dimension: str,
    videos: Sequence[Sequence[np.ndarray]],
    reference: np.ndarray | None,
) -> str:
    """An answer that read_ratings can read, asked for once more where the first cannot be.

    Raises InputError for a second one that cannot; then neither is remembered.
    """
    letters = LETTERS[: len(videos)]
    question = prompts.questions[dimension]
    asked = question.fill(
        count=len(videos),
        names=enumerated(letters),
        pictures=len(videos[0]),
        frames=STRIP_FRAMES,
    )
    images = [] if reference is None else [headed(reference, "REF")]
    images += [
        headed(picture, letter)
        for letter, pictures in zip(letters, videos, strict=True)
        for picture in pictures
    ]
    words = question.words * len(videos)
    tried, fault = [], ""
    for _ in range(2):
        text = asked
        if fault:
            again = prompts.stricter.fill(fault=fault, count=len(videos), form=form_of(letters))
            text = f"{asked}\n\n{again}"
        tried.append(text)
        try:
            with judging():
                answer = captioner.ask(text, images, words)
            read_ratings(answer, letters)
            return answer
        except UnreadableError as error:
            fault = str(error)
    for text in tried:
        captioner.forget(text, images, words)
    raise InputError(
        f"judge {captioner.name}, {dimension}",
        got=f"twice an answer that cannot be used ({fault}: {answer[:60]!r})",
        need="a line such as 'A: 4, because ...' for each video",
        fix=JUDGE_FIX,
    )


def _first_order(answers: Sequence[dict], name: str) -> int:
    """The order in which it stood first."""
    return next(k for k, each in enumerate(answers) if each["order"][0] == name)
