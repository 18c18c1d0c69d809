"""Stages of `python -m dreamactor_core train` that make the small model, or train its LoRAs."""

from __future__ import annotations

import argparse
import logging
from collections.abc import Callable
from dataclasses import replace
from functools import partial

from tqdm import tqdm

from ..backbones import Backbone
from ..errors import InputError
from ..lora.adapters import LoraInfo, add_lora, load_lora, save_lora
from ..options import LEAD_IN_SECONDS, VARIANTS
from ..sampling import SampleSettings
from ..train.cache import paired_samples, puppet_samples, write_cache
from ..train.loop import TrainConfig, train
from ..train.mini.create import check_small, load_base
from ..train.mini.eye import train_eye
from ..train.mini.folders import open_start, save_stage, ship
from ..train.mini.glances import BROAD_DIET, EyeConfig
from ..train.mini.motions import RigConfig
from ..train.mini.recipe import config_of, training_of
from ..train.mini.refine import train_refinement
from ..train.mini.rig import train_rig
from ..train.mini.stages import train_whole
from ..train.mini.vae import VaeConfig, train_autoencoder
from ..train.network import LORA
from ..train.validation import validate, validation_pairs

WORTH_COMPILING = 100  # steps
TRAINABLE_PARTS: dict[str, tuple[Callable, Callable]] = {
    "eye": (train_eye, EyeConfig),
    "rig": (train_rig, RigConfig),
}


def train_vae(arguments: argparse.Namespace) -> None:
    steps = VaeConfig().steps if arguments.clean_steps is None else arguments.clean_steps
    bar = tqdm(total=steps, desc="vae")
    config = replace(VaeConfig(), steps=steps)
    if arguments.code_triplets:
        config = replace(config, code_triplets=arguments.code_triplets)
    train_autoencoder(arguments.out, config, partial(_show, bar))


def train_part(arguments: argparse.Namespace) -> None:
    """The eye or the rig."""
    backbone = check_small(open_start(arguments.base, arguments.vae, arguments.size))
    name = arguments.part
    learn, kind = TRAINABLE_PARTS[name]
    config = BROAD_DIET if name == "eye" and arguments.broad else kind()
    if arguments.part_steps:
        schedule = replace(config.schedule, steps=arguments.part_steps)
        config = replace(config, schedule=schedule)
    if name == "eye":
        config = replace(config, bodies=arguments.bodies, media=arguments.media)
        if config.schedule.steps < WORTH_COMPILING:
            config = replace(config, compile=False)
    bar = tqdm(total=config.schedule.steps, desc=name)
    learn(backbone, config, arguments.out, partial(_show, bar), arguments.minutes)
    save_stage(backbone, arguments.out, f"After the stage {name}.")


def whole(arguments: argparse.Namespace) -> None:
    options = {name: getattr(arguments, name) for name in ("bodies", "toy", "threads")}
    done = train_whole(arguments.out, arguments.minutes, **options)
    told = f"all is done, see {arguments.out / 'mini'}" if done else "the same call goes on"
    logging.getLogger(__name__).info("%s", told)


def cache_stage(arguments: argparse.Namespace) -> None:
    backbone = open_start(arguments.base, arguments.vae)
    geometry = backbone.geometry
    if arguments.pairs:
        name, samples = arguments.pairs.parent.name, paired_samples(arguments.pairs, geometry)
    else:
        first, last = arguments.seeds
        name = f"puppets-{first:07d}"
        samples = puppet_samples(range(first, last), geometry.num_frames, geometry.panel[0])
    count = write_cache(backbone, tqdm(samples, desc=name, unit=" samples"), arguments.out, name)
    logging.getLogger(__name__).info("%d samples in %s", count, arguments.out)


def train_foundation(arguments: argparse.Namespace) -> None:
    backbone = check_small(open_start(arguments.base, arguments.vae, arguments.size))
    backbone.vae.requires_grad_(False)
    config = config_of(arguments.config)
    _run(backbone, config, arguments, skeleton=False)
    save_stage(backbone, arguments.out, "The foundation of the small model.")


def lora_stage(arguments: argparse.Namespace) -> None:
    backbone = check_small(load_base(arguments.base))
    config = config_of(arguments.config)
    if config.lora is None or not config.variant:
        raise InputError(
            f"configuration {arguments.config}", got="no lora or no variant", need="both",
            fix='Add "lora": {"rank": ..., "alpha": ...} and "variant".',
        )  # fmt: skip
    if arguments.init:  # warm start from another LoRA of the same shape (paper section 3.4)
        start = load_lora(backbone, arguments.init, name=LORA).info
        if (start.rank, start.alpha) != (config.lora.rank, config.lora.alpha):
            raise InputError(
                f"LoRA {arguments.init}",
                got=f"rank {start.rank}, alpha {start.alpha:g}",
                need=f"rank {config.lora.rank}, alpha {config.lora.alpha:g}, as configured",
                fix="Change the configuration, or start without --init.",
            )
        for name, parameter in backbone.transformer.named_parameters():
            parameter.requires_grad_("lora_" in name)
    else:
        add_lora(backbone, config.lora, LORA)
    for module in (backbone.text_encoder, backbone.vae):
        module.requires_grad_(False)
    _run(backbone, config, arguments, skeleton=config.variant == "pose-based")
    info = LoraInfo(
        variant=config.variant,
        blank=backbone.blank,
        lead_in_seconds=LEAD_IN_SECONDS,
        fps=backbone.geometry.fps,
        base=backbone.name,
        rank=config.lora.rank,
        alpha=config.lora.alpha,
    )
    save_lora(backbone, LORA, arguments.out / "lora.safetensors", info)


def refine(arguments: argparse.Namespace) -> None:
    backbone = load_base(arguments.base)
    if arguments.lora:
        load_lora(backbone, arguments.lora)
    seeds = tqdm(range(*arguments.seeds), desc="guesses")
    steps = arguments.refine_steps
    bar = tqdm(total=steps, desc="refine")
    train_refinement(backbone, arguments.vae, seeds, arguments.out, steps, partial(_show, bar))


def export(arguments: argparse.Namespace) -> None:
    loras = {variant: getattr(arguments, variant.replace("-", "_")) for variant in VARIANTS}
    ship(arguments.base, arguments.vae, loras, arguments.out)


def _run(backbone: Backbone, config: TrainConfig, arguments, *, skeleton: bool) -> None:
    source, objective = training_of(backbone, config, arguments.cache)
    geometry = backbone.geometry
    pairs = validation_pairs(
        range(900, 900 + arguments.validation_pairs),
        geometry.panel[0],
        geometry.num_frames,
        skeleton=skeleton,
    )
    bar = tqdm(total=config.steps, desc=str(arguments.out.name))
    log = arguments.out / "validation.csv"

    def look(step: int) -> None:
        picture = arguments.out / f"validation-{step:06d}.png"
        error = validate(
            backbone, pairs, SampleSettings(num_inference_steps=arguments.steps), picture
        )
        with log.open("a") as file:
            file.write(f"{step},{error:.4f}\n")
        bar.write(
            f"step {step}: relative error {error:.3f} on {len(pairs)} unseen pairs, {picture}"
        )

    train(backbone, source, objective, config, arguments.out, minutes=arguments.minutes,
          on_step=lambda step, loss: _show(bar, step, loss), validate=look)  # fmt: skip


def _show(bar: tqdm, step: int, loss: float) -> None:
    bar.n = step
    bar.set_postfix(loss=f"{loss:.3f}")
