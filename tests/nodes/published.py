"""Networks with the layers of published checkpoints, in ComfyUI's names and without their numbers.

The same on every host, and on the meta device: only names and shapes are there.
"""

from __future__ import annotations

import re
from pathlib import Path
from types import SimpleNamespace

import torch
from torch import nn

KEYS = Path(__file__).resolve().parents[1] / "core" / "keys"
RANGE = re.compile(r"\{(\d+)\.\.(\d+)\}")


def published_shapes(name: str) -> dict[str, tuple[int, ...]]:
    """Key -> shape, from the list of tests/core/keys."""
    shapes = {}
    for line in (KEYS / f"{name}.txt").read_text().splitlines():
        if not line.startswith("#"):
            key, size = line.split()
            found = RANGE.search(key)
            first, last = map(int, found.groups()) if found else (0, 0)
            for number in range(first, last + 1):
                shape = tuple(int(side) for side in size.split("x"))
                shapes[RANGE.sub(str(number), key)] = shape
    return shapes


def network_of(shapes: dict[str, tuple[int, ...]]) -> nn.Module:
    """A tree of modules with these parameters; those with two sides are linear layers."""
    root = nn.Module()
    for key, shape in shapes.items():
        *path, name = key.split(".")
        module = root
        for depth, part in enumerate(path):
            if part not in module._modules:
                last = depth == len(path) - 1 and name == "weight" and len(shape) == 2
                made = nn.Linear(shape[1], shape[0], False, device="meta") if last else nn.Module()
                module.add_module(part, made)
            module = module._modules[part]
        weight = nn.Parameter(torch.empty(shape, device="meta"), requires_grad=False)
        module.register_parameter(name, weight)
    return root


def patcher_of(network: nn.Module):
    """MODEL, as far as a node looks at one that does not run."""
    from comfy.model_patcher import ModelPatcher

    model = nn.Module()
    model.diffusion_model = network
    model.model_config = SimpleNamespace(unet_config={})
    cpu = torch.device("cpu")
    return ModelPatcher(model, load_device=cpu, offload_device=cpu)
