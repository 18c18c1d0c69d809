"""A LoRA on a full-size base, from a folder of encoded examples to files that animate.

    examples --> context, flow target --> frozen network + LoRA --> loss on the unknown cells
                                                                       |
    lora.safetensors, lora-comfyui.safetensors  <-- every save and at every stop
    best.safetensors                            <-- lowest loss on clips that were held out

The network is held frozen in the placement's precision and recomputes its blocks in the backward
pass; autoencoder and encoders are not in memory at all. Examples are read one by one and never
padded, so windows and panels of any sizes mix.
"""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from ..backbones import Backbone, Context
from ..backbones.placement import Placement
from ..errors import InputError
from ..lora.adapters import LoraInfo, save_lora
from ..media.replace import replacing
from ..options import LAYOUTS, LORA_STYLES
from .base import open_network
from .card import write_card
from .examples import EncodedExample, flow_target
from .feeding import to_device
from .network import (
    LORA,
    LatentExample,
    LoraTrainee,
    draw_lora_sigma,
    prepare_network,
    sigma_range,
)
from .optimise import Hooks, Rhythm, Run
from .recipe import Recipe
from .sharded import gathered
from .store import Store, StoreMeta, open_store, panels_for
from .tracking import tracked

logger = logging.getLogger(__name__)

LORA_FILES = {"diffusers": "lora", "comfyui": "lora-comfyui"}  # by style, without suffix
FIXED = 10**12  # numbers of the noise of validation, which no step draws
LEVELS = (0.1, 0.3, 0.5, 0.7, 0.9)  # of the range of noise levels: where validation looks


@dataclass(frozen=True)
class LoraJob:
    """One LoRA to train."""

    base: Path  # pipeline folder
    examples: Path  # as store.fill_store writes them
    recipe: Recipe
    out: Path  # folder of the run; resumed if it holds a checkpoint
    placement: Placement = field(default_factory=Placement)
    expert: str = ""  # "high" or "low" of a base of two experts
    init: Path | None = None  # LoRA to start from (paper section 3.4: stage 2 from stage 1)
    styles: tuple[str, ...] = LORA_STYLES
    minutes: float = math.inf
    layout: str = LAYOUTS[0]  # of LAYOUTS
    shard: bool = False  # all processes hold a part of the weights each (FSDP2)
    offload_activations: bool = False  # they wait in RAM
    tracker: str = ""  # project of trackio that is told of each step


@dataclass(frozen=True)
class Examples:
    """Which example a step reads, and what is drawn for it: all from the seed and a number."""

    backbone: Backbone
    store: Store
    recipe: Recipe
    sigma_range: tuple[float, float]

    def split(self) -> tuple[list[str], list[str]]:
        """Names to train on, and those of the held-out clips."""
        held = self.store.held_out(self.recipe.held_out)
        parts: tuple[list[str], list[str]] = ([], [])
        for name in self.store.names:
            parts[self.store.clip_of(name) in held].append(name)
        return parts

    def batches(self, first: int, process: int, processes: int) -> Iterator[LatentExample]:
        """Of this process, from a step on, recipe.batch_size of each step. Two processes with a
        batch of one read what one process with a batch of two does."""
        names, _ = self.split()
        together = self.recipe.batch_size * processes
        for step in range(first, self.recipe.steps + 1):
            for slot in range(self.recipe.batch_size):
                number = (step - 1) * together + self.recipe.batch_size * process + slot
                yield self.draw(names[self._position(number, len(names))], number)

    def draw(self, name: str, number: int, sigma: float | None = None) -> LatentExample:
        """An example with noise by its number. sigma None: drawn too, and text dropout."""
        encoded = self.store.read(name)
        seed = np.random.SeedSequence((self.recipe.seed, number)).generate_state(1, np.uint64)[0]
        generator = torch.Generator().manual_seed(int(seed) % 2**63)
        noise = torch.randn(encoded.answer.shape, generator=generator)
        dropped = torch.rand((), generator=generator) < self.recipe.text_dropout
        text = encoded.text
        if sigma is None and dropped:  # exactly what encode_text([""], reference) gives
            text = self.store.empty._replace(image_embeds=encoded.text.image_embeds)
        level = draw_lora_sigma(self.recipe.sigma_shift, self.sigma_range, generator)
        if sigma is not None:
            level = torch.tensor(sigma)
        target, context = self._prepare(encoded)
        return LatentExample(target, context, text, noise, level[None])

    def _prepare(self, encoded: EncodedExample) -> tuple[Tensor, Context]:
        context = self.backbone.context(encoded.latents, encoded.known)
        return flow_target(encoded.answer, encoded.latents, context.known), context

    def _position(self, number: int, count: int) -> int:
        """Every example once in an epoch, in another order in each."""
        epoch, position = divmod(number, count)
        rng = np.random.default_rng((self.recipe.seed, epoch))
        return int(rng.permutation(count)[position])


def train_lora(job: LoraJob, on_step: Callable[[int, float], None] | None = None) -> int:
    """Train, and write the LoRA's files; returns the step reached. Resumes from job.out.

    Raises InputError, before the network is read if it can, for a cache or a LoRA of another base,
    and as Run.train does.
    """
    recipe, store = job.recipe, open_store(job.examples)
    if store.meta.variant != recipe.variant:
        raise InputError(
            f"cache {job.examples}",
            got=f"examples of the {store.meta.variant} variant",
            need=f"those of {recipe.variant}, which the recipe trains",
            fix="Make them with `train cache --config` of this recipe, in another folder.",
        )
    backbone = open_network(job.base, job.placement, job.expert)
    _check_store(job, store.meta, backbone.name)
    backbone.lay_out(job.layout)
    network = prepare_network(backbone, recipe.lora, job.expert, job.init, recipe.seed)
    examples = Examples(backbone, store, recipe, sigma_range(backbone, job.expert))
    info = LoraInfo(
        variant=recipe.variant,
        blank=backbone.blank,
        lead_in_seconds=1.0,
        fps=backbone.geometry.fps,
        base=backbone.name,
        rank=recipe.lora.rank,
        alpha=recipe.lora.alpha,
        expert=job.expert,
        layout=job.layout,
    )
    trainee = LoraTrainee(backbone, network)
    run = Run(trainee, [_optimizer(network, recipe)], _rhythm(job), job.out, _identity(job, info))
    accelerator = run.accelerator
    watch = Watch(examples, run, partial(write_lora, backbone, info))

    def save(step: int) -> None:
        for style in job.styles:
            write_lora(backbone, info, job.out / f"{LORA_FILES[style]}.safetensors", style)
        write_card(info, recipe, store, step, job.out)

    if run.done >= recipe.steps:
        run.save(Hooks(on_save=save))
    parts = accelerator.process_index, accelerator.num_processes
    with tracked(job.tracker if run.main else "", job.out.name, asdict(recipe)) as on_line:
        looks = watch if watch.names else None
        done = run.train(
            lambda first: examples.batches(first, *parts),
            recipe.rate,
            Hooks(on_step or (lambda step, loss: None), save, looks, on_line),
        )
    if run.main:  # with the last validation in it
        write_card(info, recipe, store, done, job.out)
    return done


def _check_store(job: LoraJob, made: StoreMeta, base: str) -> None:
    """Raise InputError for examples that were made for another base or layout."""
    wanted = panels_for(job.layout)
    if made.base != base:
        got, need = f"examples for {made.base}", f"examples for {base}"
        fix = "Make a cache with this base"
    elif made.panels != wanted:
        got = f"panels encoded {made.panels}"
        need = f"panels encoded {wanted}, for layout {job.layout}"
        fix = f"Make them with `train cache --layout {job.layout}`"
    else:
        return
    raise InputError(f"cache {job.examples}", got=got, need=need, fix=f"{fix}, in another folder.")


def write_lora(backbone: Backbone, info: LoraInfo, path: Path, style: str = "diffusers") -> None:
    """Beside and rename, so that there is always a whole file."""
    part = path.with_name(f".{path.stem}.part{path.suffix}")
    save_lora(backbone, LORA, part, info, style=style)
    part.replace(path)


@dataclass
class Watch:
    """The loss on held-out clips at fixed levels and noise, and the best file by it."""

    examples: Examples
    run: Run
    write: Callable[[Path], None]  # the LoRA as it is now

    def __post_init__(self):
        _, held = self.examples.split()
        clips: dict[str, str] = {}
        for name in held:  # one variant of each clip
            clips.setdefault(self.examples.store.clip_of(name), name)
        self.names = list(clips.values())

    def __call__(self, step: int) -> float:
        """Mean over clips and levels; writes best.safetensors when it is the lowest so far."""
        low, high = self.examples.sigma_range
        device, losses = self.run.accelerator.device, []
        for number, name in enumerate(self.names):
            for level in LEVELS:
                example = self.examples.draw(name, FIXED + number, low + level * (high - low))
                losses.append(self.run.module(to_device(example, device)).item())
        loss = sum(losses) / len(losses)
        told = self.run.folder / "best.json"
        before = json.loads(told.read_text())["validation"] if told.exists() else math.inf
        with gathered(self.run.module):  # every process enters
            if self.run.main and loss < before:
                self.write(self.run.folder / "best.safetensors")
                with replacing(told, overwrite=True) as part:
                    part.write_text(json.dumps({"step": step, "validation": loss}))
        return loss


def _rhythm(job: LoraJob) -> Rhythm:
    recipe = job.recipe
    autocast = {torch.bfloat16: "bf16", torch.float16: "fp16"}
    return Rhythm(
        steps=recipe.steps,
        accumulate=recipe.batch_size,
        save_steps=recipe.save_steps,
        validate_steps=recipe.validate_steps,
        minutes=job.minutes,
        precision=autocast.get(job.placement.dtype, "no"),
        clip=recipe.clip,
        ema_decay=recipe.ema_decay,
        device=job.placement.device,
        shard=job.shard,
        offload_activations=job.offload_activations,
    )


def _identity(job: LoraJob, info: LoraInfo) -> dict:
    """What cannot change on the way; steps, rates and the like may."""
    recipe = job.recipe
    another = {} if job.layout == LAYOUTS[0] else {"layout": job.layout}
    return another | {
        "base": info.base,
        "variant": info.variant,
        "expert": info.expert,
        "rank": info.rank,
        "alpha": info.alpha,
        "optimizer": recipe.optimizer,
        "averaged": bool(recipe.ema_decay),
    }


def _optimizer(network: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    learning = [p for p in network.parameters() if p.requires_grad]
    options = {
        "lr": recipe.learning_rate,
        "betas": recipe.betas,
        "weight_decay": recipe.weight_decay,
    }
    if recipe.optimizer == "adamw":
        return torch.optim.AdamW(learning, fused=True, **options)
    try:
        from bitsandbytes.optim import AdamW8bit
    except ImportError as error:
        raise InputError(
            "optimizer adamw8bit", got="no package bitsandbytes", need="it",
            fix="pip install bitsandbytes, or set optimizer to adamw.",
        ) from error  # fmt: skip
    return AdamW8bit(learning, **options)
