"""Whether a run is on its course, and the weights that it had when it last was."""

from __future__ import annotations

import math
import time

import torch
from torch import nn

from ..errors import InputError

LOOK_STEPS = 10  # whose losses are averaged
SETTLE_STEPS = 100  # before which no loss is the lowest: a warm-up hardly moves
SPIKE = 4  # as above, while the task stays the same
SNAPSHOT_SECONDS = 10


class OffCourseError(InputError):
    """The loss is no number, or far above what it was."""


class Course:
    """The losses of a run so far, and its last good weights."""

    def __init__(self, learning: list[nn.Parameter], spike: float = SPIKE):
        """spike: times the lowest average of losses at which the run has come off its course."""
        self.learning, self.spike, self.lowest = learning, spike, math.inf
        self.recent: list[float] = []
        self._keep()

    def look(self, step: int, loss: float) -> None:
        """At the loss of a step, counted from 1. Raises OffCourseError."""
        self.recent.append(loss)
        if len(self.recent) < LOOK_STEPS:
            return
        mean, self.recent = sum(self.recent) / LOOK_STEPS, []
        if mean > self.spike * self.lowest:
            raise OffCourseError(
                f"loss at step {step}",
                got=f"{mean:.3g}",
                need=f"at most {self.spike:g} times the lowest, {self.lowest:.3g}",
                fix="Train again with a lower learning rate.",
            )
        if step > SETTLE_STEPS:
            self.lowest = min(self.lowest, mean)
        if time.monotonic() - self.kept_at > SNAPSHOT_SECONDS:
            self._keep()

    @torch.no_grad()
    def restore(self) -> None:
        self.recent = []
        for parameter, value in zip(self.learning, self.kept, strict=True):
            parameter.copy_(value)

    def _keep(self) -> None:
        self.kept = [parameter.detach().clone() for parameter in self.learning]
        self.kept_at = time.monotonic()
