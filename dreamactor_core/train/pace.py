"""How fast training goes, and how much of the machine that uses.

The work of a step is counted once, on its forward pass; a backward pass is as much again for the
inputs and for the weights. It is set against what the machine does in one large matrix product,
as no data sheet says what a shared processor or a throttled accelerator gives.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import cache, partial
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from .feeding import to_device
from .optimise import PRECISIONS, Hooks, Run

logger = logging.getLogger(__name__)

SIDES = {"cuda": 8192, "cpu": 1024}  # of the matrix that is multiplied with itself
PASSES_A_STEP = 3  # forward, and backward for inputs and weights


class Pace:
    """Samples a second of a stretch of steps, its first left out."""

    def __init__(self, device: torch.device | str = "cpu", dtype: torch.dtype = torch.float32):
        self.peak = product_rate(torch.device(device), dtype)
        self.work = 0.0  # floating-point operations of a sample
        self._samples = 0
        self._began: float | None = None

    def count(self, forward: Callable[[], object], samples: int) -> None:
        """Measure the work of a sample by a forward pass of so many; a new stretch begins."""
        self.work = PASSES_A_STEP * forward_work(forward) / samples
        self.pause()

    def add(self, samples: int) -> None:
        """A step is done. The first of a stretch, which may compile, starts the clock."""
        if self._began is None:
            self._samples, self._began = 0, time.perf_counter()
        else:
            self._samples += samples

    def pause(self) -> None:
        """Something else took time: a new stretch begins."""
        self._began = None

    def report(self) -> str:
        """Of the stretch, which ends; "" if it has no step that counts."""
        if self._began is None or not self._samples:
            return ""
        rate = self._samples / (time.perf_counter() - self._began)
        self._samples, self._began = 0, time.perf_counter()
        done = rate * self.work
        return (
            f"{rate:.3g} samples/s, {done / 1e9:.3g} GFLOP/s: {done / self.peak:.0%} of a matrix "
            f"product's {self.peak / 1e9:.3g}"
        )


@torch.no_grad()
def forward_work(forward: Callable[[], object]) -> int:
    """Floating-point operations of matrix products, convolutions and attention in one call."""
    with torch.compiler.set_stance("force_eager"), FlopCounterMode(display=False) as counter:
        forward()
    return counter.get_total_flops()


@cache
def product_rate(device: torch.device, dtype: torch.dtype) -> float:
    """Floating-point operations a second in the best of some products of square matrices."""
    side = SIDES.get(device.type, SIDES["cpu"])
    matrix = torch.ones(side, side, device=device, dtype=dtype)
    best = float("inf")
    for _ in range(4):
        began = time.perf_counter()
        matrix @ matrix
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        best = min(best, time.perf_counter() - began)
    return 2 * side**3 / best


def paced(
    run: Run,
    batches: Callable[[int], Iterable[Any]],
    hooks: Hooks,
    stretch_of: Callable[[int], tuple[Any, int]],
) -> tuple[Callable[[int], Iterable[Any]], Hooks]:
    """Batches and hooks for Run.train that also log how fast it goes, at every save.

    stretch_of: a step -> what its batches have in common, so that their work is counted anew when
    it changes, and how many samples a batch has.
    """
    device, parts = run.accelerator.device, run.rhythm.accumulate
    pace = Pace(device, PRECISIONS[run.rhythm.precision])

    def log(step: int) -> None:
        if told := pace.report():
            logger.info("step %d: %s", step, told)

    def counted(first: int) -> Iterable[Any]:
        stretch: Any = object()
        for index, batch in enumerate(batches(first)):
            step = first + index // parts
            now, samples = stretch_of(step)
            if now != stretch:
                log(step)
                stretch = now
                pace.count(partial(run.module, to_device(batch, device)), samples)
            yield batch

    def on_step(step: int, loss: float) -> None:
        pace.add(stretch_of(step)[1] * parts)
        hooks.on_step(step, loss)

    def on_save(step: int) -> None:
        log(step)
        hooks.on_save(step)

    look = hooks.validate

    def validate(step: int) -> float | None:
        figure = look(step) if look else None
        pace.pause()
        return figure

    return counted, replace(
        hooks, on_step=on_step, on_save=on_save, validate=validate if look else None
    )
