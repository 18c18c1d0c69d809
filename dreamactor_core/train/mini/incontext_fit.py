"""Train for so many seconds: every stage of mini-incontext.

Rates fall along the clock, not the steps: a borrowed accelerator is paid by time. The weights at
the end are averaged ones, and a run that comes off its course goes back (course.py).
"""

from __future__ import annotations

import logging
import math
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

from torch import Tensor, nn

from ..course import SPIKE
from ..fit import LossOf
from ..optimise import CHECKPOINT, Hooks, Rhythm, Run
from ..optimizers import optimizers_of

logger = logging.getLogger(__name__)

SETBACKS = 4  # before a run is given up, at a sixteenth of its rate


@dataclass(frozen=True)
class ClockPace:
    """How long and how fast."""

    seconds: float  # of training
    learning_rate: float
    steps: int = 0  # at most, and the rate then falls along them; 0: until the time is over
    warm_up: int = 50  # steps
    final: float = 0.02  # share of the rate at the end
    ema: float = 0.998
    muon: bool = False  # the visual stream's matrices by Muon, the rest by AdamW
    save_minutes: float = math.inf  # between checkpoints, from which the next call goes on
    log_seconds: float = 5.0
    spike: float = SPIKE  # see train/course.py

    def rate(self, step: int, share: float) -> float:
        """Of a step, counted from 1, when such a share of the whole is over, 0..1: warm-up, then a
        cosine."""
        falling = self.final + (1 - self.final) * 0.5 * (1 + math.cos(math.pi * share))
        return self.learning_rate * min(1, step / self.warm_up) * falling


@dataclass
class FitReport:
    """What became of a training; says so in the log while it runs."""

    name: str
    log_seconds: float
    steps: int = 0
    curve: list[tuple[int, float, float]] = field(default_factory=list)  # step, seconds, loss
    began: float = field(default_factory=time.monotonic)

    def __post_init__(self) -> None:
        self.recent: list[float] = []  # losses that are not in the curve yet

    @property
    def seconds(self) -> float:
        """Until its last point."""
        return self.curve[-1][1] if self.curve else 0.0

    def add(self, step: int, loss: float) -> None:
        self.steps = step
        self.recent.append(loss)
        if time.monotonic() - self.began - self.seconds > self.log_seconds:
            self.note()

    def note(self) -> None:
        """A point of the curve, and a line of the log."""
        if not self.recent:
            return
        seconds, before = time.monotonic() - self.began, self.seconds
        speed = len(self.recent) / max(seconds - before, 1e-9)
        mean, self.recent = sum(self.recent) / len(self.recent), []
        self.curve.append((self.steps, round(seconds, 1), round(mean, 5)))
        line = "%s: step %d, %.0f s, loss %.4f, %.2f steps/s"
        logger.info(line, self.name, self.steps, seconds, mean, speed)


def fit_by_clock(
    module: nn.Module, loss_of: Callable[[], Tensor], pace: ClockPace, folder: Path
) -> FitReport:
    """Train those weights of a module that have requires_grad; they are averaged ones afterwards.
    The folder, called like the stage, gets the curve.

    loss_of: draws a batch -> its loss, a scalar. Raises InputError when the loss stays no number,
    and the module then has the last good weights; KeyboardInterrupt when a signal ended it.
    """
    trainee = LossOf(module, loss_of)
    rhythm = Rhythm(
        pace.steps or sys.maxsize,
        minutes=pace.seconds / 60,
        save_minutes=pace.save_minutes,
        ema_decay=pace.ema,
        # without one the next call begins the stage again
        checkpoint=CHECKPOINT if math.isfinite(pace.save_minutes) else "",
        device=str(next(module.parameters()).device),
        setbacks=SETBACKS,
        spike=pace.spike,
    )
    optimizers = optimizers_of(trainee, pace.learning_rate, beta=0.98, muon=pace.muon)
    run = Run(trainee, optimizers, rhythm, folder, {})
    report = FitReport(folder.name, pace.log_seconds)

    def rate(step: int) -> float:
        gone = (time.monotonic() - report.began) / pace.seconds
        return pace.rate(step, (step - 1) / pace.steps if pace.steps else min(1.0, gone))

    run.train(lambda first: (() for _ in count()), rate, Hooks(report.add))
    run.finish()
    report.note()
    if run.stopped:
        raise KeyboardInterrupt
    return report
