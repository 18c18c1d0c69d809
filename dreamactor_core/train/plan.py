"""Whether a recipe fits a GPU, with which switches, and how long it takes; from headers alone."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from ..models.estimate import GIB
from .base import network_header
from .clips import default_size
from .memory import (
    TrainingMemory,
    sizes_of,
    step_flops,
    tokens_of,
    training_memory,
)
from .recipe import Recipe

USABLE_MEMORY = 0.9  # of the GPU: the rest is the driver's, fragments and what no formula counts
SPEED = 200e12  # FLOP/s of a step if nobody says: about a quarter of an H100's data sheet in bf16


class Switches(NamedTuple):
    """What can be turned to need less memory."""

    storage: str  # of the frozen weights, "" is bf16
    optimizer: str
    offload: bool = False  # activations wait in RAM

    def __str__(self) -> str:
        base = f"--storage {self.storage}" if self.storage else "no --storage"
        waiting = ", --offload-activations" if self.offload else ""
        return f"{base}, optimizer {self.optimizer}{waiting}"


class Plan(NamedTuple):
    """One length of window with one set of switches."""

    frames: int
    switches: Switches
    memory: TrainingMemory
    fits: bool
    seconds: float  # of an example


LADDER = (
    Switches("", "adamw"),
    Switches("fp8", "adamw"),
    Switches("fp8", "adamw8bit"),
    Switches("fp8", "adamw8bit", offload=True),
)
WEIGHT_BYTES, STATE_BYTES = {"": 2.0, "fp8": 1.0}, {"adamw": 8.0, "adamw8bit": 2.0}


def plan(
    base: Path, recipe: Recipe, gpu: float, size: int | None = None, speed: float = SPEED
) -> list[Plan]:
    """For each length of the recipe's windows, shortest first, and each step of the ladder.

    gpu: bytes of the device; size: panels of about size x size pixels; speed: FLOP/s. Raises
    InputError for a folder that is no base.
    """
    checkpoint = network_header(base)
    geometry, config = checkpoint.found.geometry, checkpoint.found.config
    sizes = sizes_of(config, checkpoint.header.num_parameters())
    side = size or default_size(geometry)
    plans = []
    for frames in recipe.cache.lengths(geometry):
        tokens = tokens_of(geometry, (side, side), frames)
        for switches in LADDER:
            memory = training_memory(
                sizes,
                tokens,
                sizes.text_tokens,
                recipe.lora.rank,
                weight_bytes=WEIGHT_BYTES[switches.storage],
                state_bytes=STATE_BYTES[switches.optimizer],
                averaged=bool(recipe.ema_decay),
                offload=switches.offload,
            )
            fits = memory.total < USABLE_MEMORY * gpu
            seconds = step_flops(sizes, tokens) / speed
            plans.append(Plan(frames, switches, memory, fits, seconds))
    return plans


def plan_lines(plans: list[Plan], recipe: Recipe, gpu: float) -> list[str]:
    """Lines for people: a line each, and what to do."""
    lines = [
        f"{p.frames} frames, {p.switches}: {p.memory}, {'fits' if p.fits else 'does not fit'}, "
        f"{p.seconds:.3g} s an example"
        for p in plans
    ]
    lengths = sorted({p.frames for p in plans})
    fitting = {p.frames: p for p in reversed(plans) if p.fits}  # the first of each length
    usable = sorted(fitting)
    if not usable:
        lines.append(
            f"Nothing fits {gpu / GIB:.0f} GiB: take smaller panels (--size) or a lower rank."
        )
        return lines
    longest = fitting[usable[-1]]
    each = sum(fitting[frames].seconds for frames in usable) / len(usable)
    hours = recipe.steps * recipe.batch_size * each / 3600
    cut = "" if usable == lengths else f" (set longest to {usable[-1]})"
    lines.append(
        f"Train windows of up to {usable[-1]} frames{cut} with {longest.switches}: "
        f"{recipe.steps} steps of {recipe.batch_size} take about {hours:.3g} hours."
    )
    return lines
