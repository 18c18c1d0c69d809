"""Weights that several processes hold a part of each (FSDP2), whole where they are written."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor

from ..errors import InputError


def sharded(
    accelerator: Accelerator, module: nn.Module, *optimizers: torch.optim.Optimizer
) -> tuple[Any, ...]:
    """As accelerator.prepare, but each process keeps a part of every weight, and has a block's
    whole only while it runs. The optimisers are given the parts.

    Raises InputError for a single process.
    """
    if accelerator.num_processes == 1:
        raise InputError(
            "--shard", got="one process", need="several, which share the weights",
            fix="Start with `torchrun --nproc_per_node N -m dreamactor_core train lora ...`.",
        )  # fmt: skip
    module.to(accelerator.device)
    before = list(module.parameters())
    mesh = init_device_mesh(accelerator.device.type, (accelerator.num_processes,))
    for part in [part for part in module.modules() if type(part).__name__ in _blocks_of(module)]:
        fully_shard(part, mesh=mesh)
    fully_shard(module, mesh=mesh)
    after = dict(zip(map(id, before), module.parameters(), strict=True))
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["params"] = [after[id(parameter)] for parameter in group["params"]]
    if accelerator.mixed_precision != "no":
        module.forward = accelerator.autocast()(module.forward)  # type: ignore[method-assign]
    return module, *map(accelerator.prepare, optimizers)


def _blocks_of(module: nn.Module) -> set[str]:
    """Names of the classes that a network is made of, as diffusers lists them."""
    listed = (getattr(part, "_no_split_modules", None) or () for part in module.modules())
    return set().union(*listed)


def joined(value: Any) -> Any:
    """Tensors anywhere in dictionaries and lists, gathered from all processes, which all call."""
    if isinstance(value, DTensor):
        return value.full_tensor()
    if isinstance(value, dict):
        return {key: joined(part) for key, part in value.items()}
    if isinstance(value, list):
        return [joined(part) for part in value]
    return value


def parted(value: Tensor, like: Tensor) -> Tensor:
    """A whole tensor as another one is held: in parts, or whole."""
    value = value.to(like.device, like.dtype)
    if not isinstance(like, DTensor):
        return value
    return distribute_tensor(value, like.device_mesh, like.placements)


def load_optimizer(optimizer: torch.optim.Optimizer, state: dict) -> None:
    """A whole state_dict into an optimiser, each average held as its parameter is."""
    held = [p for group in optimizer.param_groups for p in group["params"]]
    for index, averages in state["state"].items():
        for name, value in averages.items():
            if isinstance(value, Tensor) and value.shape == held[index].shape:
                averages[name] = parted(value, held[index])
    optimizer.load_state_dict(state)


@contextmanager
def gathered(module: nn.Module) -> Iterator[None]:
    """Weights that learn stand whole in the module, to be read; every process enters."""
    parts: list[tuple[nn.Module, str, nn.Parameter]] = []
    for part in module.modules():
        for name, parameter in part.named_parameters(recurse=False):
            if parameter.requires_grad and isinstance(parameter, DTensor):
                parts.append((part, name, parameter))
                part._parameters[name] = nn.Parameter(parameter.full_tensor())
    try:
        yield
    finally:
        for part, name, parameter in parts:
            part._parameters[name] = parameter
