"""The words of the judge's questions: files to read and to copy, one folder a version.

A version is never changed once released, so that a judgement can be made again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from ....caption.prompts import Question, read_question
from ..scores import JUDGED

JUDGE_VERSION = "v1"
OUR_QUESTIONS = Path(__file__).parent / "prompts" / JUDGE_VERSION
STRICTER = "stricter"
STATIC = ("imaging_quality", "appearance_consistency")  # shown as single pictures, others as strips
WITH_REFERENCE = ("appearance_consistency",)


class JudgePrompts(NamedTuple):
    version: str  # the name of their folder
    digest: str  # of their words
    questions: dict[str, Question]  # by dimension
    stricter: Question


def load_judge_prompts(folder: Path | None = None) -> JudgePrompts:
    """Ours, or those of a folder. Raises InputError that names the file and what is wrong in it."""
    folder = OUR_QUESTIONS if folder is None else folder
    may = {"count", "names", "pictures", "frames"}
    questions = {name: read_question(folder / f"{name}.txt", {"names"}, may) for name in JUDGED}
    stricter = read_question(folder / f"{STRICTER}.txt", {"fault", "form"}, {"count"})
    texts = [questions[name].text for name in JUDGED] + [stricter.text]
    digest = hashlib.sha256("\0".join(texts).encode()).hexdigest()[:16]
    return JudgePrompts(folder.resolve().name, digest, questions, stricter)


def enumerated(names: Sequence[str]) -> str:
    """A, B and C"""
    return " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))
