"""Stages of the small model.

A stage is a configuration (configs/*.json): which weights learn, from which cache, in which
phases. A run lives in a folder: checkpoint.pt (resumes exactly: batches are drawn from the seed
and the step number, so nothing but the step has to be remembered), loss.csv and loss.png,
validation-*.png, and the result.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from ..backbones import Backbone
from ..errors import InputError, check_choice
from ..lora.adapters import LoraSpec
from .batches import Batch, BatchSource, Phase
from .feeding import workers
from .optimise import Hooks, Rhythm, Run
from .optimizers import optimizers_of
from .pace import paced

Objective = Callable[[Any], Tensor]  # a Batch, of the kind that its model has -> the loss, a scalar

CONFIGS = Path(__file__).parent / "configs"
OPTIMIZERS = ("adamw", "muon")


@dataclass(frozen=True)
class TrainConfig:
    """One stage. `lora` None trains the whole network and the text encoder (the foundation)."""

    PHASE: ClassVar[type[Phase]] = Phase

    phases: tuple[Phase, ...]
    lora: LoraSpec | None = None
    variant: str = ""  # of the LoRA: "pose-based" or "end-to-end"
    optimizer: str = "adamw"  # or "muon": the matrices of the blocks by Muon, the rest by AdamW
    learning_rate: float = 5e-4
    final_learning_rate: float = 5e-5  # cosine from the one to the other
    warm_up: int = 100
    weight_decay: float = 0.01
    ema_decay: float = 0.999
    gradient_accumulation_steps: int = 1
    mixed_precision: str = "bf16"  # "no", "fp16", "bf16"
    compile: bool = False  # the transformer blocks; pays from a few hundred steps on
    seed: int = 0
    checkpoint_minutes: float = 4.0
    validate_every: int = 500

    def __post_init__(self):
        check_choice("optimizer", self.optimizer, OPTIMIZERS, fix="Correct the configuration.")

    @property
    def steps(self) -> int:
        return sum(phase.steps for phase in self.phases)

    def phase_at(self, step: int) -> Phase:
        """The phase of a step, counted from 1."""
        for phase in self.phases:
            if step <= phase.steps:
                return phase
            step -= phase.steps
        return self.phases[-1]


Config = TypeVar("Config", bound=TrainConfig)


def read_config(name_or_path: str | Path, kind: type[Config]) -> Config:
    """A name in train/configs, or a JSON file -> a configuration of the kind; keys that it has not
    are refused by name."""
    path = CONFIGS / f"{name_or_path}.json"
    path = path if path.exists() else Path(name_or_path)
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        data["phases"] = tuple(kind.PHASE.parse(phase) for phase in data["phases"])
        if data.get("lora"):
            data["lora"] = LoraSpec(**data["lora"])
        return kind(**data)
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise InputError(
            f"training configuration {path}",
            got=f"{type(error).__name__}: {error}",
            need=f"a JSON object with the fields of {kind.__name__}",
            fix="Compare with dreamactor_core/train/configs.",
        ) from error


class Trainee(nn.Module):
    """Network and text encoder in one module, so that accelerate wraps one forward pass."""

    def __init__(self, backbone: Backbone, objective: Objective):
        super().__init__()
        self.transformer = backbone.transformer
        self.text_encoder = backbone.text_encoder
        self.objective = objective

    def forward(self, batch: Batch) -> Tensor:
        return self.objective(batch)


class Batches(Dataset):
    """The batches of a stage, each drawn from the seed, the step and the process alone."""

    def __init__(self, source: BatchSource, config: TrainConfig, process: int):
        self.source, self.config, self.process = source, config, process

    def __getitem__(self, item: tuple[int, int]) -> Batch:
        step, part = item
        rng = np.random.default_rng((self.config.seed, step, part, self.process))
        return self.source.draw(self.config.phase_at(step), rng)


def train(
    backbone: Backbone,
    source: BatchSource,
    objective: Objective,
    config: TrainConfig,
    folder: Path,
    *,
    minutes: float = math.inf,
    on_step: Callable[[int, float], None] | None = None,
    validate: Callable[[int], None] | None = None,
) -> int:
    """Train until the last step or for `minutes`, whichever is first; returns the step reached.

    Parameters of network and text encoder that learn are those with requires_grad. objective: the
    loss of a batch of the source, for which it calls the backbone. On return the network holds the
    averaged (EMA) weights. Resumes from folder/checkpoint.pt; raises InputError when that is of
    another configuration, and stops with it kept when the loss is no longer a number.
    """
    longest = source.latent_frames
    if max(phase.latent_frames for phase in config.phases) > longest:
        raise InputError(
            "latent_frames of a phase",
            got=max(phase.latent_frames for phase in config.phases),
            need=f"at most {longest}, the length of the cached clips",
            fix="Shorten the phase, or make the cache again for longer clips.",
        )
    if config.compile:
        torch._dynamo.config.cache_size_limit = 64  # one entry for each length of clip and prompt
        backbone.transformer.compile_repeated_blocks(fullgraph=True, dynamic=False)
    trainee = Trainee(backbone, objective)
    optimizers = optimizers_of(
        trainee, config.learning_rate, config.weight_decay, muon=config.optimizer == "muon"
    )
    run = Run(trainee, optimizers, _rhythm(config, minutes), folder, _identity(config))
    backbone.vae.to(run.accelerator.device)  # for validate
    batches = Batches(source, config, run.accelerator.process_index)

    def drawn(first: int) -> Iterable[Batch]:
        steps, parts = range(first, config.steps + 1), range(config.gradient_accumulation_steps)
        order = [(step, part) for step in steps for part in parts]
        return DataLoader(batches, batch_size=None, sampler=order, **workers(source.workers))

    def look(step: int) -> None:
        with torch.compiler.set_stance("force_eager"):
            assert validate is not None
            validate(step)

    hooks = Hooks(on_step or (lambda step, loss: None), validate=look if validate else None)
    feed, hooks = paced(run, drawn, hooks, lambda step: _stretch(config, step))
    run.train(feed, partial(learning_rate, config), hooks)
    run.finish()
    return run.done


def _rhythm(config: TrainConfig, minutes: float) -> Rhythm:
    return Rhythm(
        config.steps,
        accumulate=config.gradient_accumulation_steps,
        save_minutes=config.checkpoint_minutes,
        validate_steps=config.validate_every,
        minutes=minutes,
        precision=config.mixed_precision,
        ema_decay=config.ema_decay,
    )


def _identity(config: TrainConfig) -> dict:
    """Rates, phases and the rest may change on the way."""
    fixed = ("lora", "variant", "optimizer")
    return {key: value for key, value in asdict(config).items() if key in fixed}


def _stretch(config: TrainConfig, step: int) -> tuple[Phase, int]:
    phase = config.phase_at(step)
    return phase, phase.batch_size


def learning_rate(config: TrainConfig, step: int) -> float:
    """Linear warm-up, then a cosine to the final rate at the last step."""
    if step < config.warm_up:
        return config.learning_rate * step / config.warm_up
    way = (step - config.warm_up) / max(1, config.steps - config.warm_up)
    low, high = config.final_learning_rate, config.learning_rate
    return low + (high - low) * 0.5 * (1 + math.cos(math.pi * way))
