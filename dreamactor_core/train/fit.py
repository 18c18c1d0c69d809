"""A small stage: one module of which everything learns, one loss, a cosine to zero."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from .optimise import Hooks, Rhythm, Run
from .pace import paced


@dataclass(frozen=True)
class Schedule:
    steps: int
    learning_rate: float  # cosine to 0
    warm_up: int = 30
    save_every: int = 100

    def rate(self, step: int) -> float:
        way = 0.5 * (1 + math.cos(math.pi * step / self.steps))
        return self.learning_rate * min(1, step / self.warm_up) * way


class LossOf(nn.Module):
    """A module whose forward pass is the loss of a batch, a tuple."""

    def __init__(self, module: nn.Module, loss_of: Callable[..., Tensor]):
        super().__init__()
        self.module, self.loss_of = module, loss_of

    def forward(self, batch: tuple) -> Tensor:
        return self.loss_of(*batch)


def fit_network(
    module: nn.Module,
    loss_of: Callable[..., Tensor],
    batches: Callable[[range], Iterable[tuple]],
    schedule: Schedule,
    folder: Path,
    on_step: Callable[[int, float], None],
    minutes: float = math.inf,
) -> None:
    """Train all of module with AdamW, by loss_of(*batch) for the batches of a range of steps, on an
    accelerator if there is one, until the last step or for `minutes`.

    Resumes exactly from folder/state.pt as long as a batch depends on its step alone. Raises
    InputError when the loss is no longer a number; the last state is kept.
    """
    module.requires_grad_(True)
    optimizer = torch.optim.AdamW(module.parameters(), betas=(0.9, 0.99), fused=True)
    rhythm = Rhythm(
        schedule.steps,
        save_steps=schedule.save_every,
        save_minutes=math.inf,
        minutes=minutes,
        checkpoint="state.pt",
    )
    run = Run(LossOf(module, loss_of), [optimizer], rhythm, folder, {})
    count = 0

    def drawn(first: int) -> Iterable[Any]:
        nonlocal count
        for batch in batches(range(first, schedule.steps + 1)):
            count = len(batch[0])
            yield batch

    feed, hooks = paced(run, drawn, Hooks(on_step), lambda step: (0, count))
    run.train(feed, schedule.rate, hooks)
    module.requires_grad_(False).eval().cpu()
