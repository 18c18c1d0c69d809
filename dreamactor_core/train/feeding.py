"""How batches come to the device."""

from __future__ import annotations

from dataclasses import is_dataclass, replace

import torch
from torch import Tensor


def workers(count: int) -> dict[str, int]:
    """Options of a DataLoader that draws ahead in so many processes of its own, or in none."""
    return {"num_workers": count, "prefetch_factor": 6} if count else {}


def to_device(batch, device: torch.device):
    """A tensor, or tuples and dataclasses of tensors within such; anything else as it is."""
    if isinstance(batch, Tensor):
        return batch.to(device)
    if isinstance(batch, tuple):
        moved = [to_device(part, device) for part in batch]
        return type(batch)(*moved) if hasattr(batch, "_fields") else tuple(moved)
    if is_dataclass(batch) and not isinstance(batch, type):
        return replace(batch, **{k: to_device(part, device) for k, part in vars(batch).items()})
    return batch
