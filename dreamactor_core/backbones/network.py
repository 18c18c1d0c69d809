"""What every adapter does around a call of its network."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import nn

from . import Context, Text

try:
    from diffusers.utils.torch_utils import get_module_execution_device
except ImportError:  # diffusers before 0.41
    from diffusers.hooks.group_offloading import _get_group_onload_device

    def get_module_execution_device(module: nn.Module) -> torch.device:
        """Where a module's inputs must be: offloaded weights come there when it is called."""
        try:
            return _get_group_onload_device(module)
        except ValueError:  # it is not offloaded block by block
            hooks = [getattr(part, "_hf_hook", None) for part in module.modules()]
            devices = [getattr(hook, "execution_device", None) for hook in hooks]
            given = next((device for device in devices if device is not None), None)
            return next(module.parameters()).device if given is None else torch.device(given)


def guidance_branch(network: nn.Module, context: Context, text: Text) -> AbstractContextManager:
    """Call the network inside: step caches keep each (context, text) apart from the others."""
    if network.is_cache_enabled:
        return network.cache_context(f"{id(context)}-{id(text)}")
    return nullcontext()


def forget_steps(network: nn.Module | None) -> None:
    """A new clip begins: what step caches remember of the last one is void."""
    if network is not None and network.is_cache_enabled:
        network._reset_stateful_cache()
