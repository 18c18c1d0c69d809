"""What every adapter does around a call of its network."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

from torch import nn

from . import Context, Text


def guidance_branch(network: nn.Module, context: Context, text: Text) -> AbstractContextManager:
    """Call the network inside: step caches keep each (context, text) apart from the others."""
    if network.is_cache_enabled:
        return network.cache_context(f"{id(context)}-{id(text)}")
    return nullcontext()


def forget_steps(network: nn.Module | None) -> None:
    """A new clip begins: what step caches remember of the last one is void."""
    if network is not None and network.is_cache_enabled:
        network._reset_stateful_cache()
