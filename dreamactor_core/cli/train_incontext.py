"""`python -m dreamactor_core train incontext`: mini-incontext from nothing, and its figures."""

from __future__ import annotations

import argparse
import logging
import os
from dataclasses import replace
from typing import Any

import numpy as np

from ..bootstrap.judge import judge
from ..media.replace import make_folder
from ..train.mini.incontext_export import export_model
from ..train.mini.incontext_session import RunSizes, Session, check_minutes, log_to
from ..train.mini.incontext_stages import begin_again, stand_on, train_incontext
from .train_incontext_figures import draw_early, measure

logger = logging.getLogger(__name__)


def train_bare_method(arguments: argparse.Namespace) -> None:
    """All stages and their figures, in one folder; a second call goes on."""
    check_minutes(arguments.minutes)
    make_folder(arguments.out)
    handler = log_to(arguments.out / "run.log")
    session = open_session(arguments)
    try:
        train_incontext(session, judge_clips, measure, arguments.last)
    finally:
        session.save()
        session.close()
        if session.loras:
            logger.info("model folder: %s", export_model(session))
        logger.info("the end, %.0f s left", session.left())
        logging.getLogger(__name__.split(".")[0]).removeHandler(handler)


def open_session(arguments: argparse.Namespace, **changes: Any) -> Session:
    """changes: of RunSizes."""
    sizes = RunSizes.toy() if arguments.toy else RunSizes()
    sizes = RunSizes.light() if arguments.light else sizes
    state = arguments.out / "state"
    if arguments.start and not state.exists():
        stand_on(state, "codec", "foundation")
    elif arguments.codec and not state.exists():
        stand_on(state, "codec")
    if arguments.more:
        begin_again(state, arguments.more)
    sizes = replace(sizes, compile=sizes.compile and not arguments.eager, **changes)
    # More would slow the one that tells the card what to do.
    workers = arguments.workers or max(1, (os.cpu_count() or 1) // 2)
    session = Session(
        arguments.out, arguments.minutes, sizes, workers, arguments.device, arguments.start,
        arguments.codec,
    )  # fmt: skip
    draw_early(session)
    return session


def judge_clips(source: np.ndarray, made: np.ndarray, pictures: np.ndarray) -> np.ndarray:
    """The bootstrap's filter: scores (n,) of uint8 clips; 0 for one that falls far short in one
    respect."""
    scores = []
    for clip, answer, picture in zip(source, made, pictures, strict=True):
        verdict = judge(*(x.astype(np.float32) / 255 for x in (clip, answer, picture)))
        scores.append(verdict.score if verdict.kept(0.0) else 0.0)
    return np.array(scores)
