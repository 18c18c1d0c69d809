"""The loop of the small stages: one module, one loss, a cosine, and a state to resume from."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, is_dataclass, replace
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn

from ..errors import InputError
from .curve import Curve
from .pace import Pace

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Schedule:
    steps: int
    learning_rate: float  # cosine to 0
    warm_up: int = 30
    save_every: int = 100


def fit(
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
    folder.mkdir(parents=True, exist_ok=True)
    device = torch.accelerator.current_accelerator(check_available=True) or torch.device("cpu")
    module.requires_grad_(True).train().to(device)
    optimizer = torch.optim.AdamW(module.parameters(), betas=(0.9, 0.99), fused=True)
    state, done = folder / "state.pt", 0
    if state.exists():
        saved = torch.load(state, weights_only=True)
        module.load_state_dict(saved["module"])
        optimizer.load_state_dict(saved["optimizer"])
        done = saved["step"]
    curve, began = Curve(folder / "loss.csv"), time.monotonic()
    order, pace = range(done + 1, schedule.steps + 1), Pace(device)
    for step, batch in zip(order, batches(order), strict=True):
        for group in optimizer.param_groups:
            way = 0.5 * (1 + math.cos(math.pi * step / schedule.steps))
            group["lr"] = schedule.learning_rate * min(1, step / schedule.warm_up) * way
        batch = to_device(batch, device)
        if step == done + 1:
            pace.count(partial(loss_of, *batch), len(batch[0]))
        loss = loss_of(*batch)
        if not math.isfinite(loss.item()):
            raise InputError(
                f"loss at step {step}",
                got=loss.item(),
                need="a finite number",
                fix=f"Train again with a lower learning rate: it goes on from {state}.",
            )
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(module.parameters(), 1.0)
        optimizer.step()
        curve.add(step, loss.item(), time.monotonic() - began)
        pace.add(len(batch[0]))
        on_step(step, loss.item())
        last = step == schedule.steps or time.monotonic() - began > 60 * minutes
        if last or step % schedule.save_every == 0:
            temporary = state.with_suffix(".tmp")
            kept = {
                "module": module.state_dict(),
                "optimizer": optimizer.state_dict(),
                "step": step,
            }
            torch.save(kept, temporary)
            temporary.replace(state)
            curve.draw()
            if told := pace.report():
                logger.info("step %d: %s", step, told)
        if last:
            break
    module.requires_grad_(False).eval().cpu()


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
    if is_dataclass(batch):
        return replace(batch, **{k: to_device(part, device) for k, part in vars(batch).items()})
    return batch
