"""The one loop of every training: a module whose forward pass is the loss, batches that depend on
their step alone, a checkpoint to resume from exactly, and a curve.

accelerate spreads it over processes (`accelerate launch`); the first of them alone writes files
and looks at the clock. A run lives in a folder:

    checkpoint.pt     weights that learn, optimisers, averages and the step
    loss.csv, .png    the curve; steps.jsonl has a line a step with its rate and gradient norm too
"""

from __future__ import annotations

import json
import logging
import math
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import broadcast
from diffusers.training_utils import EMAModel
from torch import Tensor, nn

from ..errors import InputError
from ..media.replace import make_folder
from .course import SPIKE, Course, OffCourseError
from .curve import Curve, append_line, forget_after
from .feeding import to_device
from .room import activations_in_ram, out_of_memory_told
from .sharded import gathered, joined, load_optimizer, parted, sharded

logger = logging.getLogger(__name__)

CHECKPOINT, CURVE, STEPS = "checkpoint.pt", "loss.csv", "steps.jsonl"
PRECISIONS = {"no": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}


@dataclass(frozen=True)
class Rhythm:
    """How long a run lasts, and what happens when."""

    steps: int
    accumulate: int = 1  # batches a step
    save_steps: int = 0  # a checkpoint every so many steps; 0: by the minutes alone
    save_minutes: float = 10.0
    validate_steps: int = 0  # 0: never
    minutes: float = math.inf  # stop after so long, resumable
    precision: str = "no"  # accelerate's mixed_precision
    clip: float = 1.0  # largest norm of the gradient
    ema_decay: float = 0.0
    checkpoint: str = CHECKPOINT  # "": none, and nothing to resume from
    curve: str = CURVE
    device: str = ""  # "cpu", or a GPU by name; "": accelerate's choice
    setbacks: int = 0  # so often a run off its course (course.py) begins anew from good weights
    spike: float = SPIKE  # see course.py
    shard: bool = False  # every process holds a part of all weights (FSDP2)
    offload_activations: bool = False  # what waits for the backward pass waits in RAM


def _nothing(*_: Any) -> None:
    pass


@dataclass(frozen=True)
class Hooks:
    """What a caller does beside. Called in the first process alone but for validate."""

    on_step: Callable[[int, float], None] = _nothing  # (step, loss)
    on_save: Callable[[int], None] = _nothing  # averaged weights stand in the module, if there are
    # -> a figure for the log. What it raises is reported and costs nothing else.
    validate: Callable[[int], float | None] | None = None
    on_line: Callable[[dict[str, Any]], None] = _nothing  # a line of steps.jsonl


class Run:
    """One training in one folder."""

    def __init__(
        self,
        module: nn.Module,
        optimizers: list[torch.optim.Optimizer],
        rhythm: Rhythm,
        folder: Path,
        identity: dict[str, Any],
    ):
        """module(batch) -> loss; parameters with requires_grad learn. identity: what a checkpoint
        must have been made with, JSON. Raises InputError when it was not."""
        self.rhythm, self.folder, self.identity = rhythm, folder, identity
        if rhythm.device.startswith("cuda:"):  # accelerate takes the current one
            torch.cuda.set_device(rhythm.device)
        self.accelerator = Accelerator(
            mixed_precision=rhythm.precision,
            gradient_accumulation_steps=rhythm.accumulate,
            cpu=rhythm.device == "cpu",
        )
        make_folder(folder)
        prepare: Callable[..., Any] = self.accelerator.prepare
        if rhythm.shard:
            prepare = partial(sharded, self.accelerator)
        self.module, *self.optimizers = prepare(module.train(), *optimizers)
        self.learning = [p for p in module.parameters() if p.requires_grad]
        self.ema = self._new_average()
        self.done = self._resume()
        if self.ema:
            self.ema.to(self.accelerator.device)
        self.course = Course(self.learning, rhythm.spike) if rhythm.setbacks else None
        self.setbacks, self.stopped, self.on_line = 0, False, Hooks().on_line
        self.curve = Curve(folder / rhythm.curve)

    @property
    def path(self) -> Path:
        return self.folder / self.rhythm.checkpoint

    @property
    def main(self) -> bool:
        return self.accelerator.is_main_process

    def train(
        self,
        batches: Callable[[int], Iterable[Any]],
        rate: Callable[[int], float],
        hooks: Hooks | None = None,
    ) -> int:
        """To the last step, for rhythm.minutes, or until SIGINT or SIGTERM (then `stopped` is
        True), whichever is first; returns the step reached, with a checkpoint of it.

        batches(first): those of steps first, first + 1, ..., rhythm.accumulate of each, in this
        process. Raises InputError when the loss is no longer a number or memory runs out; the last
        checkpoint is kept.
        """
        hooks, rhythm = hooks or Hooks(), self.rhythm
        self.on_line = hooks.on_line
        self._catch_up(hooks)
        began = saved_at = time.monotonic()
        drawn = iter(batches(self.done + 1))
        with _stop_signals() as stopped:
            for step in range(self.done + 1, rhythm.steps + 1):
                now_rate = rate(step) / 2**self.setbacks
                try:
                    loss, norm = self._step(step, drawn, now_rate)
                except OffCourseError as error:
                    self._set_back(error)
                    continue
                self.done, now = step, time.monotonic()
                self._note(step, loss, now_rate, norm, now - began)
                if self.main:
                    hooks.on_step(step, loss)
                self.stopped = stopped.is_set()
                late = self.stopped or now - began > 60 * rhythm.minutes
                due = now - saved_at > 60 * rhythm.save_minutes
                late, due = self._agreed(late, due)
                last = late or step == rhythm.steps
                due |= bool(rhythm.save_steps) and step % rhythm.save_steps == 0
                if last or due:
                    with out_of_memory_told(step):
                        self.save(hooks)
                    saved_at = now
                if hooks.validate and (last or self._validates(step)):
                    self._validate(step, hooks.validate)
                if last:
                    break
        return self.done

    def save(self, hooks: Hooks) -> None:
        """A checkpoint and the curve, then what the caller saves."""
        state = self._state() if self.rhythm.checkpoint and (self.main or self.rhythm.shard) else {}
        if self.main:
            if self.rhythm.checkpoint:
                self._write_checkpoint(state)
            if self.curve.rows:
                self.curve.draw()
        with self.averaged(), gathered(self.module):
            if self.main:
                hooks.on_save(self.done)
        self.accelerator.wait_for_everyone()

    def finish(self) -> None:
        """Leave the averaged weights, if there are any, in the module, and it in eval mode."""
        if self.ema:
            self.ema.copy_to(self.learning)
        self.module.eval()

    @contextmanager
    def averaged(self) -> Iterator[None]:
        """Averaged weights in the module's place, if there are any."""
        if self.ema:
            self.ema.store(self.learning)
            self.ema.copy_to(self.learning)
        try:
            yield
        finally:
            if self.ema:
                self.ema.restore(self.learning)

    def _step(self, step: int, drawn: Iterator[Any], rate: float) -> tuple[float, float]:
        """Loss, the mean of this process's batches, and the norm of the gradient."""
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = rate
        losses: list[Tensor] = []
        device, norm = self.accelerator.device, torch.zeros(())
        with out_of_memory_told(step):
            for _ in range(self.rhythm.accumulate):
                with self.accelerator.accumulate(self.module):
                    batch = to_device(next(drawn), device)
                    with activations_in_ram(self.rhythm.offload_activations, device):
                        loss = self.module(batch)
                    self.accelerator.backward(loss)
                    if self.accelerator.sync_gradients:
                        norm = self.accelerator.clip_grad_norm_(self.learning, self.rhythm.clip)
                    losses.append(loss.detach().clone())  # a recorded one is overwritten
                    if not self.course:  # else a step by a broken loss is taken back
                        self._check_finite(step, loss.item())
                    for optimizer in self.optimizers:
                        optimizer.step()
                        optimizer.zero_grad(set_to_none=True)
        if self.ema:
            self.ema.step(self.learning)
        mean = torch.stack(losses).mean().item()  # only now: whoever asks waits for the device
        self._check_finite(step, mean)
        mean = self._of_all(mean)
        if self.course:
            self.course.look(step, mean)
        return mean, float(joined(norm))

    def _new_average(self) -> EMAModel | None:
        if not self.rhythm.ema_decay:
            return None
        options = {"decay": self.rhythm.ema_decay, "use_ema_warmup": True, "inv_gamma": 10}
        return EMAModel(self.learning, power=0.9, foreach=not self.rhythm.shard, **options)

    def _set_back(self, error: OffCourseError) -> None:
        """The last good weights, all else new, half the rate; the error itself after some tries."""
        if self.course:
            self.course.restore()
        if self.setbacks == self.rhythm.setbacks:
            raise error
        self.setbacks += 1
        logger.warning("%s, back to the last good weights", error)
        for optimizer in self.optimizers:
            optimizer.zero_grad(set_to_none=True)
            optimizer.state.clear()
        self.ema = self._new_average()

    def _of_all(self, loss: float) -> float:
        """The mean over processes."""
        if self.accelerator.num_processes == 1:
            return loss
        here = torch.tensor(loss, device=self.accelerator.device)
        return self.accelerator.reduce(here, "mean").item()

    def _check_finite(self, step: int, loss: float) -> None:
        if not math.isfinite(loss):
            fix = "Train again with a lower learning rate"
            if self.rhythm.checkpoint:
                fix += f": it goes on from the last checkpoint, {self.path}"
            raise OffCourseError(
                f"loss at step {step}", got=loss, need="a finite number", fix=f"{fix}."
            )

    def _agreed(self, *flags: bool) -> list[bool]:
        """The first process's word, for all: clocks and signals differ from one to another."""
        if self.accelerator.num_processes == 1:
            return list(flags)
        told = torch.tensor([int(flag) for flag in flags], device=self.accelerator.device)
        return [bool(flag) for flag in broadcast(told, from_process=0).tolist()]

    def _catch_up(self, hooks: Hooks) -> None:
        """A kill between a checkpoint and the look at it is no reason to leave that look out."""
        due = self._validates(self.done) or self.done == self.rhythm.steps
        if not (hooks.validate and self.done and due):
            return
        path = self.folder / STEPS
        lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
        looked = [json.loads(line)["step"] for line in lines if '"validation"' in line]
        if self.done not in looked:
            self._validate(self.done, hooks.validate)

    def _validates(self, step: int) -> bool:
        every = self.rhythm.validate_steps
        return bool(every) and step % every == 0

    def _validate(self, step: int, validate: Callable[[int], float | None]) -> None:
        self.module.eval()
        try:
            with self.averaged(), torch.no_grad():
                figure = validate(step)
        except Exception as error:  # whatever it is, the training is worth more
            logger.warning(
                "validation at step %d failed: %s: %s", step, type(error).__name__, error
            )
            figure = None
        self.module.train()
        if self.main and figure is not None:
            logger.info("step %d: validation %.4f", step, figure)
            self._tell({"step": step, "validation": figure})

    def _note(self, step: int, loss: float, rate: float, norm: float, seconds: float) -> None:
        if self.main:
            self.curve.add(step, loss, seconds)
            self._tell({"step": step, "loss": loss, "rate": rate, "norm": norm, "seconds": seconds})

    def _tell(self, line: dict[str, Any]) -> None:
        append_line(self.folder / STEPS, line)
        self.on_line(line)

    def _state(self) -> dict[str, Any]:
        """Of a checkpoint; of sharded weights every process calls."""
        return {
            "step": self.done,
            "identity": json.dumps(self.identity),
            "weights": [joined(p.detach()).cpu() for p in self.learning],
            "optimizers": [joined(optimizer.state_dict()) for optimizer in self.optimizers],
            "ema": joined(self.ema.state_dict()) if self.ema else None,
        }

    def _write_checkpoint(self, state: dict[str, Any]) -> None:
        """Beside and rename: a kill or a full disk while saving leaves the last one whole."""
        path, temporary = self.path, self.path.with_suffix(".tmp")
        try:
            torch.save(state, temporary)
            temporary.replace(path)
        except (OSError, RuntimeError) as error:  # torch says RuntimeError for a full disk
            temporary.unlink(missing_ok=True)
            raise InputError(
                str(path),
                got=f"'{error}' while writing",
                need="room and rights for a checkpoint",
                fix="Free some space: the last checkpoint is whole, and the same call goes on.",
            ) from error

    def _resume(self) -> int:
        path = self.path
        if not (self.rhythm.checkpoint and path.exists()):
            return 0
        try:
            state = torch.load(path, weights_only=True, map_location="cpu")
            was = json.loads(state["identity"])
        except Exception as error:  # torch raises many kinds for a damaged file
            raise InputError(
                f"checkpoint {path}",
                got=f"{type(error).__name__}: {error}",
                need="one of this training",
                fix="Use another --out folder, or delete the checkpoint.",
            ) from error
        now = json.loads(json.dumps(self.identity))
        shapes = [tuple(p.shape) for p in state["weights"]]
        if was != now or shapes != [tuple(p.shape) for p in self.learning]:
            changed = sorted(k for k in was.keys() | now.keys() if was.get(k) != now.get(k))
            raise InputError(
                f"checkpoint {path}",
                got=", ".join(f"{k} {was.get(k)}" for k in changed) or f"{len(shapes)} tensors",
                need=", ".join(f"{k} {now.get(k)}" for k in changed)
                or f"{len(self.learning)} tensors of other shapes",
                fix="Use another --out folder, or delete the checkpoint.",
            )
        with torch.no_grad():
            for parameter, value in zip(self.learning, state["weights"], strict=True):
                parameter.copy_(parted(value, parameter))
        for optimizer, saved in zip(self.optimizers, state["optimizers"], strict=True):
            load_optimizer(optimizer, saved)
        if self.ema:
            shadows = zip(state["ema"]["shadow_params"], self.learning, strict=True)
            averages = [parted(value, parameter) for value, parameter in shadows]
            self.ema.load_state_dict(state["ema"] | {"shadow_params": averages})
        if self.main:
            forget_after(self.folder / STEPS, state["step"])
        logger.info("resumed %s at step %d of %d", self.folder, state["step"], self.rhythm.steps)
        return state["step"]


@contextmanager
def _stop_signals() -> Iterator[threading.Event]:
    """Set by the first SIGINT or SIGTERM, so that the step in progress is finished and saved; a
    second one has its usual effect."""
    stopped = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield stopped
        return
    before = {int(number): signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def stop(number: int, frame: Any) -> None:
        stopped.set()
        signal.signal(number, before[number])

    for number in before:
        signal.signal(number, stop)
    try:
        yield stopped
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
