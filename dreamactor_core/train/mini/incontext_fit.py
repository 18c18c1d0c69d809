"""Train for so many seconds: the loop of every stage of mini-incontext.

Rates fall along the clock, not the steps: a borrowed accelerator is paid by time. The weights at
the end are averaged ones. When a loss is no number or far too high, the last good state comes
back with half the rate.
"""

from __future__ import annotations

import logging
import math
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from ...errors import InputError

logger = logging.getLogger(__name__)

VISUAL_MATRIX = re.compile(r"transformer_blocks\.\d+\.(attn\.to_(q|k|v|out)|ff)\.")
CHECK_STEPS = 10  # between looks at the loss: each look waits for the accelerator
SNAPSHOT_SECONDS = 10
SPIKE = 4  # times the lowest mean of CHECK_STEPS losses: the run has come off its course
LEAST_RATE = 1 / 16  # of the rate, before a run is given up


@dataclass(frozen=True)
class Pace:
    """How long and how fast."""

    seconds: float  # of training; infinite where steps are given
    learning_rate: float
    steps: int = 0  # 0: until the time is over
    warm_up: int = 50  # steps
    final: float = 0.02  # share of the rate at the end
    ema: float = 0.998
    muon: bool = False  # the visual stream's matrices by Muon, the rest by AdamW
    log_seconds: float = 5.0


@dataclass
class Report:
    steps: int = 0
    seconds: float = 0.0
    curve: list[tuple[int, float, float]] = field(default_factory=list)  # step, seconds, loss


class Average:
    """Exponential moving average of tensors, slower as it grows older."""

    def __init__(self, tensors: list[Tensor], decay: float):
        self.tensors, self.decay, self.age = tensors, decay, 0
        self.kept = [t.detach().clone() for t in tensors]

    @torch.no_grad()
    def step(self) -> None:
        self.age += 1
        decay = min(self.decay, (1 + self.age) / (10 + self.age))
        torch._foreach_lerp_(self.kept, [t.detach() for t in self.tensors], 1 - decay)

    @torch.no_grad()
    def write(self) -> None:
        restore(self.tensors, self.kept)


@torch.no_grad()
def restore(tensors: list[Tensor], values: list[Tensor]) -> None:
    torch._foreach_copy_([t.data for t in tensors], values)


def fit(
    named: dict[str, nn.Parameter],
    loss_of: Callable[[int], Tensor],
    pace: Pace,
    name: str,
) -> Report:
    """Train the parameters on loss_of(step); they hold averaged weights afterwards.

    Raises InputError when the loss stays no number.
    """
    learning = list(named.values())
    optimizers = _optimizers(named, pace)
    average = Average(learning, pace.ema)
    report, began = Report(), time.monotonic()
    good, good_at, slower = [t.detach().clone() for t in learning], began, 1.0
    losses: list[Tensor] = []
    lowest = math.inf
    recent, logged_at, logged_step = [], began, 0
    while True:
        now = time.monotonic()
        share = report.steps / pace.steps if pace.steps else (now - began) / pace.seconds
        if share >= 1 or now - began > pace.seconds:
            break
        rate = pace.learning_rate * slower * min(1, (report.steps + 1) / pace.warm_up)
        rate *= pace.final + (1 - pace.final) * 0.5 * (1 + math.cos(math.pi * share))
        loss = loss_of(report.steps)
        loss.backward()
        nn.utils.clip_grad_norm_(learning, 1.0)
        for optimizer in optimizers:
            for group in optimizer.param_groups:
                group["lr"] = rate
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        average.step()
        report.steps += 1
        losses.append(loss.detach())
        if len(losses) < CHECK_STEPS:
            continue
        values, losses = torch.stack(losses).tolist(), []
        mean = sum(values) / len(values)
        if report.steps > pace.warm_up:
            lowest = min(lowest, mean)
        if not math.isfinite(mean) or mean > SPIKE * lowest:
            slower /= 2
            logger.warning(
                "%s: step %d has loss %.3g, back to the last good", name, report.steps, mean
            )
            restore(learning, good)
            if slower < LEAST_RATE:
                raise InputError(
                    f"loss of {name}",
                    got=values[-1],
                    need="a finite number",
                    fix="Train again with a lower learning rate; the last good weights are kept.",
                )
            optimizers, average = _optimizers(named, pace), Average(learning, pace.ema)
            continue
        recent += values
        now = time.monotonic()
        if now - good_at > SNAPSHOT_SECONDS:
            good, good_at = [t.detach().clone() for t in learning], now
        if now - logged_at > pace.log_seconds:
            mean = sum(recent) / len(recent)
            report.curve.append((report.steps, round(now - began, 1), round(mean, 5)))
            speed = (report.steps - logged_step) / (now - logged_at)
            logger.info(
                "%s: step %d, %.0f s, loss %.4f, %.2f steps/s",
                name, report.steps, now - began, mean, speed,
            )  # fmt: skip
            recent, logged_at, logged_step = [], now, report.steps
    average.write()
    report.seconds = time.monotonic() - began
    if losses:
        recent += torch.stack(losses).tolist()
    if recent:
        mean = sum(recent) / len(recent)
        report.curve.append((report.steps, round(report.seconds, 1), round(mean, 5)))
    logger.info("%s: %d steps in %.0f s", name, report.steps, report.seconds)
    return report


def _optimizers(named: dict[str, nn.Parameter], pace: Pace) -> list[torch.optim.Optimizer]:
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
        muon = torch.optim.Muon(visual, ns_steps=4, adjust_lr_fn="match_rms_adamw", **rates)
        made.append(muon)
    return made
