"""Stages of `python -m dreamactor_core train` that make the small model, or train its LoRAs."""

from __future__ import annotations

import argparse
import logging
import shutil
from dataclasses import replace
from functools import partial
from pathlib import Path

from tqdm import tqdm

from ..backbones import Backbone
from ..errors import InputError
from ..lora.adapters import LoraInfo, add_lora, load_lora, save_lora
from ..mini.folder import save_backbone
from ..mini.vae import MiniVAE
from ..options import VARIANTS
from ..sampling import SampleSettings
from ..train.cache import paired_samples, puppet_samples, write_cache
from ..train.loop import TrainConfig, train
from ..train.mini.create import MiniConfig, check_small, create_mini, load_base, to_ship
from ..train.mini.eye import EyeConfig, train_eye
from ..train.mini.recipe import batches_of, config_of, objective_of
from ..train.mini.refine import guess_codes
from ..train.mini.rig import RigConfig, train_rig
from ..train.mini.stages import train_whole
from ..train.mini.vae import VaeConfig, fit_code, train_clean
from ..train.validation import puppet_pairs, validate

WORTH_COMPILING = 100  # steps
LORA = "learning"  # the name of the LoRA in training within the network
PARTS = {"eye": (train_eye, EyeConfig), "rig": (train_rig, RigConfig)}


def train_vae(arguments: argparse.Namespace) -> None:
    config = VaeConfig()
    arguments.out.mkdir(parents=True, exist_ok=True)
    if (arguments.out / "vae" / "config.json").exists():
        vae = MiniVAE.from_pretrained(arguments.out / "vae")
    else:
        vae = fit_code(config)
        vae.save_pretrained(arguments.out / "vae")
    if arguments.clean_steps is not None:
        config = replace(config, steps=arguments.clean_steps)
    if config.steps:
        bar = tqdm(total=config.steps, desc="vae")
        train_clean(vae, config, arguments.out, lambda step, loss: _show(bar, step, loss))


def train_part(arguments: argparse.Namespace) -> None:
    """The eye or the rig."""
    backbone = load_base(arguments.base) if arguments.base else _new_mini(arguments.vae)
    check_small(backbone)
    name = arguments.part
    learn, config = PARTS[name][0], PARTS[name][1]()
    if arguments.part_steps:
        schedule = replace(config.schedule, steps=arguments.part_steps)
        config = replace(config, schedule=schedule)
    if name == "eye":
        config = replace(config, bodies=arguments.bodies)
        if config.schedule.steps < WORTH_COMPILING:
            config = replace(config, compile=False)
    bar = tqdm(total=config.schedule.steps, desc=name)
    learn(backbone, config, arguments.out, partial(_show, bar), arguments.minutes)
    save_backbone(backbone, arguments.out / "model", description=f"After the stage {name}.")


def whole(arguments: argparse.Namespace) -> None:
    options = {name: getattr(arguments, name) for name in ("bodies", "toy", "threads")}
    done = train_whole(arguments.out, arguments.minutes, **options)
    told = f"all is done, see {arguments.out / 'mini'}" if done else "the same call goes on"
    logging.getLogger(__name__).info("%s", told)


def make_cache(arguments: argparse.Namespace) -> None:
    backbone = _new_mini(arguments.vae) if arguments.vae else load_base(arguments.base)
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
    backbone = load_base(arguments.base) if arguments.base else _new_mini(arguments.vae)
    backbone.vae.requires_grad_(False)
    config = config_of(backbone, arguments.config)
    _run(backbone, config, arguments, skeleton=False)
    save_backbone(
        backbone, arguments.out / "model", description="The foundation of the small model."
    )


def train_lora(arguments: argparse.Namespace) -> None:
    backbone = load_base(arguments.base)
    config = config_of(backbone, arguments.config)
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
        lead_in_seconds=1.0,
        fps=backbone.geometry.fps,
        base=backbone.name,
        rank=config.lora.rank,
        alpha=config.lora.alpha,
    )
    save_lora(backbone, LORA, arguments.out / "lora.safetensors", info)


def refine(arguments: argparse.Namespace) -> None:
    config = replace(VaeConfig(), steps=arguments.refine_steps, learning_rate=4e-4)
    arguments.out.mkdir(parents=True, exist_ok=True)
    backbone = load_base(arguments.base)
    if arguments.lora:
        load_lora(backbone, arguments.lora)
    first, last = arguments.seeds
    guesses = guess_codes(backbone, tqdm(range(first, last), desc="guesses"), config)
    vae = MiniVAE.from_pretrained(arguments.vae)
    bar = tqdm(total=config.steps, desc="refine")
    train_clean(vae, config, arguments.out, lambda step, loss: _show(bar, step, loss), guesses)


def export(arguments: argparse.Namespace) -> None:
    backbone = to_ship(load_base(arguments.base))
    backbone.vae = MiniVAE.from_pretrained(arguments.vae)
    save_backbone(
        backbone,
        arguments.out,
        description="The small model of ComfyUI-DreamActor-M2, see README.md.",
        trained_on="the puppet world of dreamactor_core/puppets, training split",
    )
    (arguments.out / "lora").mkdir(exist_ok=True)
    for variant in VARIANTS:
        source = getattr(arguments, variant.replace("-", "_"))
        shutil.copy(source, arguments.out / "lora" / f"{variant}.safetensors")


def _run(backbone: Backbone, config: TrainConfig, arguments, *, skeleton: bool) -> None:
    source, objective = batches_of(backbone, arguments.cache), objective_of(backbone, config)
    geometry = backbone.geometry
    pairs = puppet_pairs(range(900, 904), geometry.panel[0], geometry.num_frames, skeleton=skeleton)
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


def _new_mini(vae: Path) -> Backbone:
    return create_mini(MiniVAE.from_pretrained(vae).requires_grad_(False), MiniConfig())


def _show(bar: tqdm, step: int, loss: float) -> None:
    bar.n = step
    bar.set_postfix(loss=f"{loss:.3f}")
