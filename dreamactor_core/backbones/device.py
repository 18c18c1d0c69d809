"""Where a module's inputs must be, whichever diffusers is installed."""

from __future__ import annotations

import torch
from torch import nn

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


__all__ = ["get_module_execution_device"]
