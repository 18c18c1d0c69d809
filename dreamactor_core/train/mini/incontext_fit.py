"""Train for so many seconds: the loop of every stage of mini-incontext.

Rates fall along the clock, not the steps as in train/optimise.py: a borrowed accelerator is paid by
time. The weights at the end are averaged ones. When a loss is no number or far too high, the last
good state comes back with half the rate.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from ...errors import InputError
from ..loop import VISUAL_MATRIX

logger = logging.getLogger(__name__)

CHECK_STEPS = 10  # between looks at the loss: each look waits for the accelerator
SNAPSHOT_SECONDS = 10
SPIKE = 4  # times the lowest mean of CHECK_STEPS losses: the run has come off its course
LEAST_RATE = 1 / 16  # of the rate, before a run is given up


@dataclass(frozen=True)
class ClockPace:
    """How long and how fast."""

    seconds: float  # of training; infinite where steps are given
    learning_rate: float
    steps: int = 0  # 0: until the time is over
    warm_up: int = 50  # steps
    final: float = 0.02  # share of the rate at the end
    ema: float = 0.998
    muon: bool = False  # the visual stream's matrices by Muon, the rest by AdamW
    log_seconds: float = 5.0

    def rate(self, step: int, share: float) -> float:
        """After so many steps and such a share of the whole, 0..1: warm-up, then a cosine."""
        falling = self.final + (1 - self.final) * 0.5 * (1 + math.cos(math.pi * share))
        return self.learning_rate * min(1, (step + 1) / self.warm_up) * falling


@dataclass
class FitReport:
    steps: int = 0
    seconds: float = 0.0
    curve: list[tuple[int, float, float]] = field(default_factory=list)  # step, seconds, loss


class Average:
    """Exponential moving average of tensors, slower as it grows older."""

    def __init__(self, tensors: list[nn.Parameter], decay: float):
        self.tensors, self.decay, self.age = tensors, decay, 0
        self.kept = copies(tensors)

    @torch.no_grad()
    def step(self) -> None:
        self.age += 1
        decay = min(self.decay, (1 + self.age) / (10 + self.age))
        torch._foreach_lerp_(self.kept, [t.detach() for t in self.tensors], 1 - decay)

    def write(self) -> None:
        restore(self.tensors, self.kept)


def copies(tensors: list[nn.Parameter]) -> list[Tensor]:
    return [t.detach().clone() for t in tensors]


@torch.no_grad()
def restore(tensors: list[nn.Parameter], values: list[Tensor]) -> None:
    torch._foreach_copy_([t.data for t in tensors], values)


class ClockFit:
    """One training: its optimisers, its averages and the last good state."""

    def __init__(self, named: dict[str, nn.Parameter], pace: ClockPace, name: str):
        self.named, self.pace, self.name = named, pace, name
        self.learning = list(named.values())
        self.report, self.began = FitReport(), time.monotonic()
        self.good, self.good_at = copies(self.learning), self.began
        self.slower, self.lowest = 1.0, math.inf
        self.recent: list[float] = []
        self.logged_at, self.logged_step = self.began, 0
        self.start()

    def start(self) -> None:
        """New optimisers and averages, from the weights as they are."""
        self.optimizers = _optimizers(self.named, self.pace)
        self.average = Average(self.learning, self.pace.ema)

    def share(self) -> float:
        """How much of the training is over, 1 at its end."""
        gone = (time.monotonic() - self.began) / self.pace.seconds
        return max(gone, self.report.steps / self.pace.steps) if self.pace.steps else gone

    def step(self, loss: Tensor, share: float) -> None:
        if self.pace.steps:
            share = self.report.steps / self.pace.steps
        rate = self.slower * self.pace.rate(self.report.steps, share)
        loss.backward()
        nn.utils.clip_grad_norm_(self.learning, 1.0)
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = rate
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        self.average.step()
        self.report.steps += 1

    def look(self, values: list[float]) -> None:
        """At the losses of the last steps: go on, or back. Raises InputError in the end."""
        mean = sum(values) / len(values)
        if self.report.steps > self.pace.warm_up:
            self.lowest = min(self.lowest, mean)
        if not math.isfinite(mean) or mean > SPIKE * self.lowest:
            return self.go_back(values[-1], mean)
        self.recent += values
        now = time.monotonic()
        if now - self.good_at > SNAPSHOT_SECONDS:
            self.good, self.good_at = copies(self.learning), now
        if now - self.logged_at > self.pace.log_seconds:
            self.note(now)

    def go_back(self, last: float, mean: float) -> None:
        self.slower /= 2
        step = self.report.steps
        logger.warning("%s: step %d has loss %.3g, back to the last good", self.name, step, mean)
        restore(self.learning, self.good)
        if self.slower < LEAST_RATE:
            raise InputError(
                f"loss of {self.name}",
                got=last,
                need="a finite number",
                fix="Train again with a lower learning rate; the last good weights are kept.",
            )
        self.start()

    def note(self, now: float) -> None:
        """A point of the curve, and a line of the log."""
        if not self.recent:
            return
        mean, steps = sum(self.recent) / len(self.recent), self.report.steps
        self.report.curve.append((steps, round(now - self.began, 1), round(mean, 5)))
        speed = (steps - self.logged_step) / max(now - self.logged_at, 1e-9)
        seconds = now - self.began
        line = "%s: step %d, %.0f s, loss %.4f, %.2f steps/s"
        logger.info(line, self.name, steps, seconds, mean, speed)
        self.recent, self.logged_at, self.logged_step = [], now, steps

    def finish(self, values: list[float]) -> FitReport:
        """The averaged weights in place, and the report."""
        self.average.write()
        self.recent += values
        now = time.monotonic()
        self.report.seconds = now - self.began
        self.note(now)
        return self.report


def fit_by_clock(
    named: dict[str, nn.Parameter],
    loss_of: Callable[[int], Tensor],
    pace: ClockPace,
    name: str,
) -> FitReport:
    """Train the parameters on loss_of(step); they hold averaged weights afterwards.

    Raises InputError when the loss stays no number.
    """
    run = ClockFit(named, pace, name)
    losses: list[Tensor] = []
    while (share := run.share()) < 1:
        loss = loss_of(run.report.steps)
        run.step(loss, share)
        losses.append(loss.detach())
        if len(losses) == CHECK_STEPS:
            values, losses = torch.stack(losses).tolist(), []
            run.look(values)
    return run.finish(torch.stack(losses).tolist() if losses else [])


def _optimizers(named: dict[str, nn.Parameter], pace: ClockPace) -> list[torch.optim.Optimizer]:
    rates = {"lr": pace.learning_rate, "weight_decay": 0.01}
    matrices = {
        name: p
        for name, p in named.items()
        if pace.muon and p.ndim == 2 and VISUAL_MATRIX.search(name)
    }
    rest = [p for name, p in named.items() if name not in matrices]
    made: list[torch.optim.Optimizer] = []
    if rest:
        fused = rest[0].device.type == "cuda"
        made.append(torch.optim.AdamW(rest, betas=(0.9, 0.98), fused=fused, **rates))
    if matrices:
        visual = list(matrices.values())
        made.append(torch.optim.Muon(visual, ns_steps=4, adjust_lr_fn="match_rms_adamw", **rates))
    return made
