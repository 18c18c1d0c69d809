"""`python -m dreamactor_core train <stage>`: a LoRA on any base, or the small model from nothing.

A LoRA on a full-size base (HunyuanVideo-1.5, Wan 2.1, Fun-InP, Wan 2.2), a folder as diffusers
writes it, from clips that a JSON-lines file lists (clips.jsonl; its form below):

    train plan  --base BASE --gpu 24GB --config small_data_pose_based
    train cache --base BASE --pairs clips.jsonl --config small_data_pose_based --out runs/cache
    train lora  --base BASE --cache runs/cache  --config small_data_pose_based --out runs/pose
    train check --base BASE --pairs clips.jsonl --config small_data_pose_based --cache runs/cache
                --lora runs/pose/best.safetensors --out runs/check
    animate ... --model BASE --variant pose-based --lora runs/pose/lora.safetensors

    {"target": VIDEO, "caption": TEXT, "pose": KEYPOINTS}                  pose_based
    {"target": VIDEO, "caption": TEXT, "driving": VIDEO, "lead_in": 25}    end_to_end

Wan 2.2 A14B has two experts: train lora twice, with --expert high and --expert low. Both stages go
on where they were stopped when called again.

The small model's stages in their order; each resumes too. weights/mini/README.md says which of
them, and how much of each, made the shipped weights (far fewer pairs, so far):

    train vae         --out runs/mini
    train eye         --vae runs/mini/vae --out runs/mini/eye
    train rig         --base runs/mini/eye/model --out runs/mini/rig
    train foundation  --base runs/mini/rig/model --out runs/mini/foundation
                      (--base mini in any of the three: go on from the shipped weights)
                      (eye --base mini --broad --bodies FOLDER --media FOLDER: the broad eye, for
                      pictures that the network was not made for: bodies in other styles, people
                      whom BlazePose finds, and pictures of nothing)
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
renderer knows (truth.py). A CPU without bfloat16 units is faster with "mixed_precision": "no" in
the configuration.

The bare method, small (docs/incontext.md), meant for some ten minutes of a GPU:

    train incontext   --out runs/incontext --minutes 9.5

On Linux set MALLOC_MMAP_THRESHOLD_=4000000000 MALLOC_TRIM_THRESHOLD_=8000000000
MALLOC_TOP_PAD_=500000000 first (run.py does): training on a CPU is up to three times faster.
"""

from __future__ import annotations

import argparse
import importlib
import logging
import math
from collections.abc import Callable
from pathlib import Path

from ..models import available_models
from ..options import LAYOUTS
from ..weight_files.files import INDEX
from .shared import add_threads, check_paths, command_parser

SMALL_STAGES, FULL_STAGES = "train_small", "train_full"  # modules of the stages
BARE_STAGES = "train_incontext"
INCONTEXT_STAGES = ("codec", "foundation", "pose-based", "bootstrap", "end-to-end", "figures")
Command = Callable[[argparse.Namespace], None]


def main(argv: list[str]) -> int:
    arguments = _parser().parse_args(argv)
    _check_named(arguments)
    import torch  # here: --help and what is mistyped are answered at once
    from tqdm.contrib.logging import logging_redirect_tqdm

    torch.set_num_threads(arguments.threads or torch.get_num_threads())
    logging.getLogger(__name__.rsplit(".", 2)[0]).setLevel(logging.INFO)
    with logging_redirect_tqdm():
        arguments.run(arguments)
    return 0


def _check_named(arguments: argparse.Namespace) -> None:
    """Raise InputError for a mistyped path of any stage."""
    given = {
        name: value for name, value in vars(arguments).items() if name not in ("out", "config")
    }
    check_paths((value for value in given.values() if isinstance(value, Path)), ())
    base = given.get("base")
    if base and base not in available_models():
        check_paths((Path(base),), ())


def _of(module: str, name: str) -> Command:
    """A stage that is imported when it runs."""

    def run(arguments: argparse.Namespace) -> None:
        getattr(importlib.import_module(f".{module}", __package__), name)(arguments)

    return run


def _of_either(name: str) -> Command:
    """A stage that small and full-size bases have, each its own."""

    def run(arguments: argparse.Namespace) -> None:
        full = arguments.base and (Path(arguments.base) / INDEX).is_file()
        _of(FULL_STAGES if full else SMALL_STAGES, name)(arguments)

    return run


def _parser() -> argparse.ArgumentParser:
    parser = command_parser("train", __doc__)
    stages = parser.add_subparsers(required=True, metavar="stage")

    def stage(name: str, run: Command, text: str) -> argparse.ArgumentParser:
        sub = stages.add_parser(name, help=text, description=text)
        sub.set_defaults(run=run)
        sub.add_argument(
            "--out",
            type=Path,
            required=True,
            help="folder of the run; made if missing, resumed if not",
        )
        add_threads(sub)
        return sub

    _add_cache(stage)
    _add_lora(stage)
    _add_check(stage)
    _add_plan(stages)
    _add_small_model(stage)
    _add_bare_method(stage)
    return parser


def _add_cache(stage: Callable) -> None:
    sub = stage("cache", _of_either("cache_stage"), "encode clips, or puppets, for training")
    encoder = sub.add_mutually_exclusive_group(required=True)
    encoder.add_argument(
        "--vae", type=Path, help="folder of a new autoencoder (before the foundation is trained)"
    )
    encoder.add_argument("--base", help="model name or folder")
    source = sub.add_mutually_exclusive_group(required=True)
    source.add_argument(
        "--seeds", type=_seeds, help="puppets first:last, two samples a seed, about 3.7 MB"
    )
    source.add_argument(
        "--pairs", type=Path, help="JSON lines of clips, or of video pairs; see train --help"
    )
    group = sub.add_argument_group("full-size bases")
    group.add_argument("--config", help="recipe: a file, or a name in train/recipes")
    group.add_argument(
        "--size",
        type=int,
        help="panels have about this area, size x size pixels (default: the base's own)",
    )
    group.add_argument(
        "--stored",
        default="float32",
        help="precision of latents on disk: float32, to the last bit, or float16, half the room",
    )
    group.add_argument("--vae-tiling", action="store_true", help="encode in tiles: less memory")
    group.add_argument(
        "--offload", action="store_true", help="text and image encoders wait in RAM, layer by layer"
    )
    group.add_argument(
        "--part", default="0/1", metavar="I/N", help="of N machines on one folder the one number I"
    )
    group.add_argument("--seed", type=int, default=0, help="of what is drawn (default: 0)")
    _add_device(group)
    add_layout(group)


def _add_lora(stage: Callable) -> None:
    text = "train a LoRA on the feed-forward layers of a frozen base"
    sub = stage("lora", _of_either("lora_stage"), text)
    _add_run(sub, "lora")
    sub.add_argument("--base", required=True, help="model name or folder")
    sub.add_argument("--init", type=Path, help="LoRA to start from (same rank)")
    group = sub.add_argument_group("full-size bases")
    group.add_argument(
        "--expert", default="", help="high or low: which noise levels of a base of two experts"
    )
    group.add_argument(
        "--storage", default="", help="of the frozen weights: fp8, int8 or nf4 (default: --dtype)"
    )
    group.add_argument(
        "--style",
        default="both",
        help="names in the LoRA files: diffusers, comfyui or both (default: both)",
    )
    group.add_argument(
        "--shard",
        action="store_true",
        help="of several processes (torchrun) each holds a part of the weights (FSDP2)",
    )
    group.add_argument(
        "--offload-activations",
        action="store_true",
        help="what the backward pass waits for waits in RAM: less memory of the GPU, slower",
    )
    group.add_argument(
        "--trackio",
        default="",
        metavar="PROJECT",
        help="tell trackio of each step as well, beside loss.csv and steps.jsonl (extra `trackio`)",
    )
    _add_device(group)
    add_layout(group)


def _add_check(stage: Callable) -> None:
    text = "animate clips, by their own motion and by each other's: figures, videos side by side"
    sub = stage("check", _of(FULL_STAGES, "check_lora"), text)
    sub.add_argument("--base", required=True, help="folder of a full-size base")
    sub.add_argument("--pairs", type=Path, required=True, help="JSON lines of clips")
    sub.add_argument("--config", required=True, help="recipe of the LoRA")
    sub.add_argument("--lora", type=Path, action="append", default=[], help="file; two for A14B")
    sub.add_argument("--cache", type=Path, help="only clips that were held out of this cache")
    sub.add_argument("--count", type=int, default=4, help="clips at most (default: 4)")
    sub.add_argument("--frames", type=int, default=49, help="of a window, 4k + 1 (default: 49)")
    sub.add_argument("--size", type=int, help="panels of about size x size pixels (the base's own)")
    sub.add_argument("--steps", type=int, default=30, help="sampling steps (default: 30)")
    sub.add_argument("--guidance", type=float, default=1.0, help="of the text (default: 1, off)")
    sub.add_argument("--shift", type=float, default=5.0, help="of the noise levels (default: 5)")
    sub.add_argument("--vae-tiling", action="store_true", help="less memory")
    sub.add_argument(
        "--driven",
        choices=("both", "self", "cross"),
        default="both",
        help="self: by their own motion, whose truth is known; cross: each by the next one's "
        "(default: both)",
    )
    sub.add_argument(
        "--detector",
        help="that finds keypoints for their distance, as in `pose` (default: blazepose if it is "
        "on this machine)",
    )
    _add_device(sub)


def _add_plan(stages: argparse._SubParsersAction) -> None:
    text = "does a recipe fit a GPU, with which switches, and how long does it take"
    sub = stages.add_parser("plan", help=text, description=text)
    sub.set_defaults(run=_of(FULL_STAGES, "plan_training"), threads=0)
    sub.add_argument("--base", required=True, help="folder of a full-size base")
    sub.add_argument("--config", default="small_data_pose_based", help="recipe (%(default)s)")
    sub.add_argument("--gpu", default="24GB", help="its memory, such as 24GB (default)")
    sub.add_argument("--size", type=int, help="panels of about size x size pixels (the base's own)")
    sub.add_argument(
        "--tflops",
        type=float,
        default=200.0,
        help="speed of the GPU in bf16 in training (default: 200, about a quarter of an H100's "
        "data sheet)",
    )


def _add_device(group: argparse._ActionsContainer) -> None:
    group.add_argument("--device", default="", help="cpu, cuda, cuda:1 (default: a GPU if any)")
    group.add_argument(
        "--dtype", default="", help="fp32, bf16 or fp16 (default: bf16, on a CPU fp32)"
    )


def add_layout(group: argparse._ActionsContainer) -> None:
    group.add_argument(
        "--layout",
        default=LAYOUTS[0],
        help=f"how reference and driver reach the network: {', '.join(LAYOUTS)}; a cache and its "
        "LoRA have the same (%(default)s, as in the paper)",
    )


def _add_run(sub: argparse.ArgumentParser, config: str) -> None:
    sub.add_argument(
        "--cache",
        type=Path,
        help="what train cache made; the small model draws puppets on the way without one",
    )
    sub.add_argument(
        "--config",
        default=config,
        help="file, or a name in train/recipes (full-size) or train/configs (default: %(default)s)",
    )
    _add_minutes(sub)
    sub.add_argument(
        "--steps", type=int, default=2, help="sampling steps of the small model's validation"
    )
    sub.add_argument(
        "--validation-pairs", type=int, default=4, metavar="N", help="that it animates (4)"
    )


def _add_small_model(stage: Callable) -> None:
    text = "fit the linear code of the small model's autoencoder, then train its clean-up"
    sub = stage("vae", _of(SMALL_STAGES, "train_vae"), text)
    sub.add_argument(
        "--clean-steps", type=int, help="of the clean-up; 0 leaves it as it is", metavar="STEPS"
    )
    sub.add_argument(
        "--code-triplets", type=int, metavar="N", help="puppets that the linear code is fitted to"
    )
    for part, text in (
        ("eye", "teach the small model's eye where bodies are"),
        ("rig", "teach its rig to carry a pose to another body"),
    ):
        sub = stage(part, _of(SMALL_STAGES, "train_part"), text)
        sub.set_defaults(part=part)
        _add_start(sub)
        sub.add_argument("--part-steps", type=int, metavar="STEPS")
        _add_minutes(sub)
        if part == "eye":
            _add_bodies(sub)
            text = "the broad eye, for bodies in other styles and pictures of nothing (with --base)"
            sub.add_argument("--broad", action="store_true", help=text)
            text = "of --broad: pictures and clips for grounds, textures, and people"
            sub.add_argument("--media", type=Path, metavar="FOLDER", help=text)
    text = "train the small transformer and its text encoder from nothing"
    sub = stage("foundation", _of(SMALL_STAGES, "train_foundation"), text)
    _add_run(sub, "foundation")
    _add_start(sub)
    text = "let the small model's clean-up learn from the network's own codes"
    sub = stage("refine", _of(SMALL_STAGES, "refine"), text)
    sub.add_argument("--base", required=True, help="model name or folder")
    sub.add_argument("--lora", type=Path, help="end-to-end LoRA")
    sub.add_argument("--vae", type=Path, required=True, help="autoencoder to go on from")
    sub.add_argument(
        "--seeds", type=_seeds, default=(30_000, 30_200), help="puppets (default: 30000:30200)"
    )
    sub.add_argument("--refine-steps", type=int, default=800, help="default: %(default)s")
    sub = stage("whole", _of(SMALL_STAGES, "whole"), "all that made the shipped model, in bites")
    _add_minutes(sub)
    _add_bodies(sub)
    sub.add_argument("--toy", action="store_true", help="a few steps of each, as a rehearsal")
    text = "put the model folder together that the package ships"
    sub = stage("export", _of(SMALL_STAGES, "export"), text)
    for name in ("--base", "--vae", "--pose-based", "--end-to-end"):
        sub.add_argument(name, type=Path, required=True, help="what an earlier stage wrote")


def _add_bare_method(stage: Callable) -> None:
    text = "mini-incontext, nothing but the method: all its stages and its figures"
    sub = stage("incontext", _of(BARE_STAGES, "train_bare_method"), text)
    sub.add_argument("--minutes", type=float, default=9.5, help="of this call in all (9.5)")
    sub.add_argument("--device", default="", help="cpu or cuda (default: a GPU if any)")
    sub.add_argument("--workers", type=int, default=0, help="that draw clips (half the cores)")
    sizes = sub.add_mutually_exclusive_group()
    sizes.add_argument("--toy", action="store_true", help="a few steps of each, as a rehearsal")
    sizes.add_argument("--light", action="store_true", help="short clips, small batches: for a CPU")
    start = sub.add_mutually_exclusive_group()
    text = "folder of an earlier run, or of a model, whose weights a new one starts from"
    start.add_argument("--start", type=Path, metavar="DIR", help=text)
    text = "the same, but its codec alone is taken"
    start.add_argument("--codec", type=Path, metavar="DIR", help=text)
    text = "do this stage and those after it once more, from the weights as they are"
    sub.add_argument("--more", choices=INCONTEXT_STAGES, metavar="STAGE", help=text)
    text = "end with this stage, and give those before it all the minutes (figures)"
    last = INCONTEXT_STAGES[-1]
    sub.add_argument("--last", choices=INCONTEXT_STAGES, default=last, metavar="STAGE", help=text)
    sub.add_argument("--eager", action="store_true", help="do not compile the network")


def _add_start(sub: argparse.ArgumentParser) -> None:
    start = sub.add_mutually_exclusive_group(required=True)
    start.add_argument("--vae", type=Path, help="autoencoder folder: start from nothing")
    start.add_argument("--base", help="model name or folder: go on from these weights")
    sub.add_argument("--size", type=int, metavar="PX", help="side of a new model's panels (128)")


def _add_minutes(sub: argparse.ArgumentParser) -> None:
    text = "stop after this long, resumable"
    sub.add_argument("--minutes", type=float, default=math.inf, help=text)


def _add_bodies(sub: argparse.ArgumentParser) -> None:
    text = "folder of GLB files that the eye learns from as well"
    sub.add_argument("--bodies", type=Path, metavar="FOLDER", help=text)


def _seeds(text: str) -> tuple[int, int]:
    first, _, last = text.partition(":")
    return int(first), int(last)
