"""Memory of a training step: what it lacks, in words, and what can wait beside the device."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

import torch
from torch.autograd.graph import save_on_cpu

from ..errors import InputError, lacks_memory


@contextmanager
def out_of_memory_told(step: int) -> Iterator[None]:
    """Raise InputError, with the switches that help, where a step finds no memory."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:  # torch.OutOfMemoryError is a RuntimeError
        if not lacks_memory(error):
            raise
        told = str(error) or type(error).__name__
        raise InputError(
            f"memory at step {step}",
            got=told.splitlines()[0],
            need="room for one example",
            fix="Train with --offload-activations, cache smaller panels (--size) or shorter "
            "windows, store the base as int8 or fp8 (--storage), or lower the rank. It goes on "
            "from the last checkpoint.",
        ) from error


def activations_in_ram(wanted: bool, device: torch.device) -> AbstractContextManager:
    """What a forward pass keeps for the backward pass waits in RAM, if that is wanted: with blocks
    that are computed again, what enters each of them."""
    return save_on_cpu(pin_memory=device.type == "cuda") if wanted else nullcontext()
