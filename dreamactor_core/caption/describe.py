"""The text step (paper section 3.3): motion of the driver, appearance of the reference, fused.

    driving video --> frames by motion --> "the subject waves both hands"            T_m
    reference ------> one picture -------> "a gray bird with colourful feathers"     T_a
    T_m + T_a -----> no picture ---------> "that bird is waving its wings"           the prompt

Each answer is checked (check.py) and, if it is wrong, asked for again with what is wrong, at most
RETRIES times; the best one is taken and what is left of its faults is told.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from ..errors import InputError
from ..media import probe, read_frames, read_image, to_uint8
from .captioner import BY_HAND, Captioner
from .check import (
    faults_of_appearance,
    faults_of_fusion,
    faults_of_motion,
    is_refusal,
    without_body_parts,
)
from .prompts import Prompts, load_prompts
from .sample import MotionSample, sample_by_motion, within_budget

RETRIES = 2
BUDGET = 4096  # tokens of pictures in one question


@dataclass(frozen=True)
class Typed:
    """What a user wrote instead of asking; empty: ask."""

    motion: str = ""
    appearance: str = ""
    caption: str = ""


@dataclass(frozen=True)
class Caption:
    text: str  # the prompt for the video model
    motion: str
    appearance: str
    notes: tuple[str, ...]  # faults that stayed, steps that were left out
    captioner: str
    prompts: str  # their version


def describe_files(
    captioner: Captioner | None,
    reference: Path,
    driving: Path,
    *,
    start: float = 0.0,
    duration: float | None = None,
    typed: Typed | None = None,
    prompts: Prompts | None = None,
    budget: int = BUDGET,
) -> Caption:
    """describe() for a picture and a video, which are read only if they are asked about.

    Raises InputError for files that cannot be used, and as describe() does.
    """
    if budget < 64:
        raise InputError("budget", got=budget, need="64 tokens or more", fix=f"Use {BUDGET}.")
    probe(driving).cut(start, duration)

    def motion() -> MotionSample:
        return sample_by_motion(lambda: read_frames(driving, start, duration), budget)

    def picture() -> np.ndarray:
        return within_budget(to_uint8(read_image(reference)), budget)

    return describe(captioner, picture, motion, typed=typed, prompts=prompts)


def describe(
    captioner: Captioner | None,
    reference: Callable[[], np.ndarray],
    motion: Callable[[], MotionSample],
    *,
    typed: Typed | None = None,
    prompts: Prompts | None = None,
    unfused: bool = True,
) -> Caption:
    """The three steps; what was typed is taken as it is.

    captioner None: nobody to ask, so motion and appearance must be typed.
    unfused: let the caption be the two one after the other when nobody can fuse them.
    Raises InputError when a text is missing that nobody can write.
    """
    typed, prompts = typed or Typed(), prompts or load_prompts()
    name = captioner.name if captioner else "typed by hand"
    if typed.caption:
        texts = typed.motion, typed.appearance
        return Caption(typed.caption, *texts, (), "typed by hand", prompts.version)
    t_m, motion_notes = _motion(captioner, motion, typed.motion, prompts)
    t_a, looks_notes = _appearance(captioner, reference, typed.appearance, prompts)
    text, fusion_notes = _fusion(captioner, t_m, t_a, prompts, unfused)
    notes = (*motion_notes, *looks_notes, *fusion_notes)
    return Caption(text, t_m, t_a, notes, name, prompts.version)


def _motion(captioner, motion, typed: str, prompts: Prompts) -> tuple[str, list[str]]:
    if typed:
        return typed, []
    sample = motion() if captioner else MotionSample([], [])
    times = ", ".join(f"{time:g}" for time in sample.times)
    question = prompts.motion.fill(count=len(sample.images), times=times)
    check = partial(faults_of_motion, prompts=prompts)
    return _ask("motion", captioner, question, sample.images, prompts.motion.words, check)


def _appearance(captioner, reference, typed: str, prompts: Prompts) -> tuple[str, list[str]]:
    if typed:
        return typed, []
    images = [reference()] if captioner else []
    question = prompts.appearance
    check = partial(faults_of_appearance, prompts=prompts)
    return _ask("appearance", captioner, question.fill(), images, question.words, check)


def _fusion(
    captioner, motion: str, appearance: str, prompts: Prompts, unfused: bool
) -> tuple[str, list[str]]:
    question = prompts.fusion.fill(motion=motion, appearance=appearance)
    check = partial(faults_of_fusion, appearance=appearance, prompts=prompts)
    try:
        return _ask("caption", captioner, question, [], prompts.fusion.words, check)
    except InputError as error:
        if not unfused:
            raise
        why = str(error) if captioner else "Nobody was asked to fuse the two texts."
        note = f"{why} The caption is the appearance followed by the motion."
        return f"{without_body_parts(appearance)} {motion}", [note]


def _ask(
    what: str,
    captioner: Captioner | None,
    question: str,
    images: Sequence[np.ndarray],
    words: int,
    faults: Callable[[str], list[str]],
) -> tuple[str, list[str]]:
    """The answer with the fewest faults, and a note about each that is left."""
    if captioner is None:
        need = "a captioner to ask, or the text typed by hand"
        raise InputError(what, got="nothing", need=need, fix=BY_HAND)
    best = ""
    best_faults: list[str] | None = None
    again = ""
    for _ in range(1 + RETRIES):
        answer = captioner.ask(question + again, images, words).strip().strip('"')
        if is_refusal(answer):
            got = f"a refusal ({answer[:80]!r})"
            raise InputError(f"captioner {captioner.name}", got=got, need=f"a {what}", fix=BY_HAND)
        wrong = faults(answer)
        if best_faults is None or len(wrong) < len(best_faults):
            best, best_faults = answer, wrong
        if not wrong:
            break
        again = f"\n\nYour last answer was:\n{answer}\nIt is wrong: {'; '.join(wrong)}. Try again."
    return best, [f"The {what} is not as it should be: {fault}." for fault in best_faults or []]
