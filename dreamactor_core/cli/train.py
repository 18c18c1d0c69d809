"""`python -m dreamactor_core train <stage>`: the small model from nothing, or a LoRA on any base.

The stages in their order; each resumes when called again. weights/mini/README.md says which of
them, and how much of each, made the shipped weights (far fewer pairs, so far):

    train vae         --out runs/mini
    train eye         --vae runs/mini/vae --out runs/mini/eye
    train rig         --base runs/mini/eye/model --out runs/mini/rig
    train foundation  --base runs/mini/rig/model --out runs/mini/foundation
                      (--base mini in any of the three: go on from the shipped weights)
    train lora        --base runs/mini/foundation/model --config pose_based
                      --out runs/mini/pose_based
    bootstrap         --base runs/mini/foundation/model --lora runs/mini/pose_based/lora.safetensors
                      --out runs/mini/pairs --seeds 20000:20800
    train cache       --base runs/mini/foundation/model --pairs runs/mini/pairs/pairs.jsonl
                      --out runs/mini/bootstrap
    train lora        --base runs/mini/foundation/model --cache runs/mini/bootstrap
                      --config end_to_end --init runs/mini/pose_based/lora.safetensors
                      --out runs/mini/end_to_end
    train refine      --base runs/mini/foundation/model --lora runs/mini/end_to_end/lora.safetensors
                      --vae runs/mini/vae --out runs/mini/refine
    train export      --base runs/mini/foundation/model --vae runs/mini/refine/vae
                      --pose-based runs/mini/pose_based/lora.safetensors
                      --end-to-end runs/mini/end_to_end/lora.safetensors
                      --out dreamactor_core/weights/mini

All of them but refine, in bites of nine minutes, is the same call again and again:

    train whole       --out runs/mini --minutes 9

Without --cache the small model trains on puppets that are drawn on the way, and is told what their
renderer knows (truth.py). Any other base needs a cache. A CPU without bfloat16 units is faster with
"mixed_precision": "no" in the configuration.

On Linux set MALLOC_MMAP_THRESHOLD_=4000000000 MALLOC_TRIM_THRESHOLD_=8000000000
MALLOC_TOP_PAD_=500000000 first (run.py does): training on a CPU is up to three times faster.
"""

from __future__ import annotations

import argparse
import logging
import math
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch
from tqdm import tqdm
from tqdm.contrib.logging import logging_redirect_tqdm

from ..backbones import Backbone
from ..errors import InputError
from ..lora.adapters import VARIANTS, LoraInfo, add_lora, load_lora, save_lora
from ..sampling import SampleSettings
from ..train.cache import paired_samples, puppet_samples, write_cache
from ..train.loop import TrainConfig, train
from ..train.mini.create import check_small, load_base
from ..train.mini.eye import EyeConfig, train_eye
from ..train.mini.folders import open_start, save_stage, ship
from ..train.mini.motions import RigConfig
from ..train.mini.recipe import batches_of, config_of, objective_of
from ..train.mini.refine import train_refinement
from ..train.mini.rig import train_rig
from ..train.mini.stages import train_whole
from ..train.mini.vae import REFINE_STEPS, VaeConfig, train_autoencoder
from ..train.validation import puppet_pairs, validate

WORTH_COMPILING = 100  # steps
LORA = "learning"  # the name of the LoRA in training within the network


def main(argv: list[str]) -> int:
    arguments = _parser().parse_args(argv)
    torch.set_num_threads(arguments.threads or torch.get_num_threads())
    logging.getLogger(__name__.rsplit(".", 2)[0]).setLevel(logging.INFO)
    with logging_redirect_tqdm():
        arguments.run(arguments)
    return 0


def train_vae(arguments: argparse.Namespace) -> None:
    bar = tqdm(total=arguments.clean_steps, desc="vae")
    train_autoencoder(arguments.out, arguments.clean_steps, partial(_show, bar))


def train_part(arguments: argparse.Namespace) -> None:
    """The eye or the rig."""
    backbone = open_start(arguments.base, arguments.vae)
    check_small(backbone)
    name, learn, config = arguments.part
    if arguments.part_steps:
        schedule = replace(config.schedule, steps=arguments.part_steps)
        config = replace(config, schedule=schedule)
    if name == "eye":
        config = replace(config, bodies=arguments.bodies)
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


def make_cache(arguments: argparse.Namespace) -> None:
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
    backbone = open_start(arguments.base, arguments.vae)
    backbone.vae.requires_grad_(False)
    config = config_of(backbone, arguments.config)
    _run(backbone, config, arguments, skeleton=False)
    save_stage(backbone, arguments.out, "The foundation of the small model.")


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
    backbone = load_base(arguments.base)
    if arguments.lora:
        load_lora(backbone, arguments.lora)
    seeds = tqdm(range(*arguments.seeds), desc="guesses")
    bar = tqdm(total=arguments.refine_steps, desc="refine")
    train_refinement(backbone, arguments.vae, seeds, arguments.out, arguments.refine_steps,
                     partial(_show, bar))  # fmt: skip


def export(arguments: argparse.Namespace) -> None:
    loras = {variant: getattr(arguments, variant.replace("-", "_")) for variant in VARIANTS}
    ship(arguments.base, arguments.vae, loras, arguments.out)


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


def _show(bar: tqdm, step: int, loss: float) -> None:
    bar.n = step
    bar.set_postfix(loss=f"{loss:.3f}")


def _add_minutes(parser: argparse.ArgumentParser) -> None:
    text = "stop after this long, resumable"
    parser.add_argument("--minutes", type=float, default=math.inf, help=text)


def _add_bodies(parser: argparse.ArgumentParser) -> None:
    text = "folder of GLB files that the eye learns from as well"
    parser.add_argument("--bodies", type=Path, metavar="FOLDER", help=text)


def _seeds(text: str) -> tuple[int, int]:
    first, _, last = text.partition(":")
    return int(first), int(last)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="dreamactor_core train",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    stages = parser.add_subparsers(required=True, metavar="stage")

    def stage(name: str, run, text: str) -> argparse.ArgumentParser:
        sub = stages.add_parser(name, help=text, description=text)
        sub.set_defaults(run=run)
        sub.add_argument(
            "--out",
            type=Path,
            required=True,
            help="folder of the run; made if missing, resumed if not",
        )
        sub.add_argument(
            "--threads", type=int, default=0, help="CPU threads (default: torch's own choice)"
        )
        return sub

    sub = stage("vae", train_vae, "fit the linear code of the autoencoder, then train its clean-up")
    sub.add_argument(
        "--clean-steps",
        type=int,
        default=VaeConfig().steps,
        help="of the clean-up; 0 leaves it as it is (default: %(default)s)",
        metavar="STEPS",
    )
    for part, text in (
        (("eye", train_eye, EyeConfig()), "teach the small model's eye where bodies are"),
        (("rig", train_rig, RigConfig()), "teach its rig to carry a pose to another body"),
    ):
        sub = stage(part[0], train_part, text)
        sub.set_defaults(part=part)
        start = sub.add_mutually_exclusive_group(required=True)
        start.add_argument("--vae", type=Path, help="autoencoder folder: start from nothing")
        start.add_argument("--base", help="model name or folder: go on from these weights")
        sub.add_argument(
            "--part-steps", type=int, help=f"default: {part[2].schedule.steps}", metavar="STEPS"
        )
        _add_minutes(sub)
        if part[0] == "eye":
            _add_bodies(sub)
    cache = stage("cache", make_cache, "render puppets and store their latents")
    encoder = cache.add_mutually_exclusive_group(required=True)
    encoder.add_argument(
        "--vae", type=Path, help="folder of a new autoencoder (before the foundation is trained)"
    )
    encoder.add_argument("--base", help="model name or folder")
    source = cache.add_mutually_exclusive_group(required=True)
    source.add_argument(
        "--seeds", type=_seeds, help="puppets first:last, two samples a seed, about 3.7 MB"
    )
    source.add_argument(
        "--pairs", type=Path, help="JSON lines of video pairs, see cache.paired_samples"
    )
    for name, run, text in (
        (
            "foundation",
            train_foundation,
            "train the small transformer and its text encoder from nothing",
        ),
        ("lora", train_lora, "train a LoRA on the feed-forward layers of a frozen base"),
    ):
        sub = stage(name, run, text)
        sub.add_argument(
            "--cache",
            type=Path,
            help="latent cache; without one puppets are drawn on the way, none of them twice",
        )
        sub.add_argument(
            "--config", default=name, help="file, or a name in train/configs (default: %(default)s)"
        )
        _add_minutes(sub)
        sub.add_argument(
            "--steps", type=int, default=2, help="sampling steps of the validation pictures"
        )
        if name == "foundation":
            start = sub.add_mutually_exclusive_group(required=True)
            start.add_argument("--vae", type=Path, help="autoencoder folder: start from nothing")
            start.add_argument("--base", help="model name or folder: go on from these weights")
        else:
            sub.add_argument("--base", required=True, help="model name or folder")
            sub.add_argument("--init", type=Path, help="LoRA to start from (same rank)")
    sub = stage(
        "refine", refine, "let the autoencoder's clean-up learn from the network's own codes"
    )
    sub.add_argument("--base", required=True, help="model name or folder")
    sub.add_argument("--lora", type=Path, help="end-to-end LoRA")
    sub.add_argument("--vae", type=Path, required=True, help="autoencoder to go on from")
    sub.add_argument(
        "--seeds", type=_seeds, default=(30_000, 30_200), help="puppets (default: 30000:30200)"
    )
    sub.add_argument("--refine-steps", type=int, default=REFINE_STEPS, help="default: %(default)s")
    sub = stage("whole", whole, "all that made the shipped model, from nothing, in bites")
    _add_minutes(sub)
    _add_bodies(sub)
    sub.add_argument("--toy", action="store_true", help="a few steps of each, as a rehearsal")
    sub = stage("export", export, "put the model folder together that the package ships")
    for name in ("--base", "--vae", "--pose-based", "--end-to-end"):
        sub.add_argument(name, type=Path, required=True, help="what an earlier stage wrote")
    return parser
