"""Stages of `python -m dreamactor_core train` for full-size bases."""

from __future__ import annotations

import argparse
import logging
import os
import re
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from ..backbones.placement import Placement
from ..bench.metrics import keypoint_distance, leak, psnr, ssim
from ..bootstrap.judge import judge
from ..errors import InputError, check_choice
from ..lora.adapters import load_lora
from ..media.replace import make_folder
from ..models.estimate import GIB
from ..models.loading import load_backbone
from ..options import DTYPES, LAYOUTS, LORA_STYLES
from ..pose.detect import detect_pose
from ..pose.networks import NetworkChoice, load_networks
from ..pose.subjects import DetectSettings
from ..sampling import SampleSettings
from ..train import lora
from ..train.caching import CacheJob, cache_clips
from ..train.check import CheckTask, Measure, check_clips
from ..train.clips import default_size, read_rows
from ..train.cross import cross_clips
from ..train.plan import plan, plan_lines
from ..train.recipe import available_recipes, read_recipe
from ..train.store import open_store
from .shared import chosen_device

logger = logging.getLogger(__name__)


def cache_stage(arguments: argparse.Namespace) -> None:
    if not arguments.pairs or not arguments.config:
        raise InputError(
            "train cache",
            got="--seeds" if arguments.seeds else "no --config",
            need="--pairs and --config: a full-size base learns from clips, by a recipe",
            fix=f"Pass a list of clips and one of {', '.join(available_recipes())}.",
        )
    job = CacheJob(
        base=Path(arguments.base),
        clips=arguments.pairs,
        recipe=read_recipe(arguments.config),
        out=arguments.out,
        placement=training_placement(arguments),
        size=arguments.size,
        stored=arguments.stored,
        seed=arguments.seed,
        part=_part(arguments.part),
        layout=layout_of(arguments),
    )
    with tqdm(unit="clip") as bar:

        def show(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        cache_clips(job, show)


def lora_stage(arguments: argparse.Namespace) -> None:
    if arguments.cache is None:
        raise InputError(
            "--cache",
            got="none",
            need="a folder made by `train cache` for this base",
            fix="Run `train cache` first.",
        )
    styles = LORA_STYLES if arguments.style == "both" else (arguments.style,)
    if not set(styles) <= set(LORA_STYLES):
        need = f"{', '.join(LORA_STYLES)} or both"
        raise InputError("--style", got=repr(arguments.style), need=need, fix="Use both.")
    if arguments.shard and arguments.storage:
        raise InputError(
            "--shard", got=f"--storage {arguments.storage}", need="weights as they are computed",
            fix="Leave --storage away: each process holds a part of the weights alone.",
        )  # fmt: skip
    recipe = read_recipe(arguments.config)
    job = lora.LoraJob(
        base=Path(arguments.base),
        examples=arguments.cache,
        recipe=recipe,
        out=arguments.out,
        placement=training_placement(arguments, arguments.storage),
        expert=arguments.expert,
        init=arguments.init,
        styles=styles,
        minutes=arguments.minutes,
        layout=layout_of(arguments),
        shard=arguments.shard,
        offload_activations=arguments.offload_activations,
        tracker=arguments.trackio,
    )
    with tqdm(total=recipe.steps, desc=arguments.out.name) as bar:

        def show(step: int, loss: float) -> None:
            bar.n = step
            bar.set_postfix(loss=f"{loss:.3f}")

        done = lora.train_lora(job, show)
    logger.info("step %d of %d, files in %s", done, recipe.steps, arguments.out)


def check_lora(arguments: argparse.Namespace) -> None:
    recipe = read_recipe(arguments.config)
    rows, _ = read_rows(arguments.pairs, recipe.variant)
    if arguments.cache:
        held = open_store(arguments.cache).held_out(recipe.held_out)
        rows = [row for row in rows if row.name in held]
        if not rows:
            raise InputError(
                f"held-out clips of {arguments.cache}",
                got="none in the list",
                need="at least 1: a tenth of the clips are held out",
                fix="Pass the list that the cache was made of, or leave --cache away.",
            )
    backbone = load_backbone(arguments.base, placement=training_placement(arguments))
    for path in arguments.lora:
        load_lora(backbone, path)
    settings = SampleSettings(
        num_inference_steps=arguments.steps,
        guidance_scale=arguments.guidance,
        shift=arguments.shift,
    )
    size = arguments.size or default_size(backbone.geometry)
    figures = measures(arguments.detector)
    task = CheckTask(recipe.variant, size, arguments.frames, settings, figures, arguments.out)
    rows = rows[: arguments.count]
    if arguments.driven != "cross":
        for score in check_clips(backbone, rows, task):
            logger.info("%s", score)
    if arguments.driven != "self":
        make_folder(task.out)
        for crossed in cross_clips(backbone, rows, task, compare):
            logger.info("%s", crossed)


def measures(detector: str | None) -> dict[str, Measure]:
    """Figures of frames whose truth is known. The distance of keypoints needs networks that find
    them: those of `detector`, or BlazePose if it is on this machine, else it is left out.

    Raises InputError when a named detector is not there.
    """
    figures: dict[str, Measure] = {"PSNR in dB": psnr, "SSIM": ssim}
    try:
        networks = load_networks(NetworkChoice(detector))
    except InputError as error:
        if detector is not None:
            raise
        logger.info("no keypoint distance: %s", error)
        return figures
    settings = DetectSettings(max_subjects=1)

    def distance(frames: np.ndarray, truth: np.ndarray) -> float:
        times = [frame / 24 for frame in range(len(truth))]  # smoothing alone reads them
        found = (detect_pose(list(part), times, networks, settings) for part in (frames, truth))
        return keypoint_distance(*(detection.pose for detection in found))

    return figures | {"keypoint distance": distance}


def compare(made: np.ndarray, reference: np.ndarray, driver: np.ndarray) -> dict[str, float]:
    """A Compare: the judge's scores, 1 to 5, and whose colours they are, 0 the reference's."""
    verdict = judge(driver, made, reference[0])
    colours = (part.reshape(-1, 3) for part in (made, reference, driver))
    share = leak(*colours)
    figures = {"identity": verdict.identity, "motion": verdict.motion}
    figures |= {"stability": verdict.stability}
    return figures | {"leak": share.part / share.whole if share.whole else 0.5}


def plan_training(arguments: argparse.Namespace) -> None:
    recipe, gpu = read_recipe(arguments.config), _bytes(arguments.gpu)
    plans = plan(Path(arguments.base), recipe, gpu, arguments.size, arguments.tflops * 1e12)
    print(*plan_lines(plans, recipe, gpu), sep="\n")


def training_placement(arguments: argparse.Namespace, storage: str = "") -> Placement:
    mine = f"cuda:{os.environ.get('LOCAL_RANK', 0)}"  # of several processes each has its own GPU
    device = chosen_device(arguments, mine)
    name = arguments.dtype or ("fp32" if device == "cpu" else "bf16")
    check_choice("--dtype", name, DTYPES, fix="Use bf16.")
    return Placement(
        device,
        getattr(torch, DTYPES[name]),
        storage=storage,
        offload="leaf" if getattr(arguments, "offload", False) else "",
        vae_tiling=getattr(arguments, "vae_tiling", False),
    )


def layout_of(arguments: argparse.Namespace) -> str:
    check_choice("--layout", arguments.layout, LAYOUTS, "Use panels.")
    return arguments.layout


def _bytes(text: str) -> float:
    """ "24GB" -> bytes, as GPUs are sold: 2**30 each."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(?:GB|GiB|G)?", text, re.IGNORECASE)
    if found is None or not float(found[1]):
        raise InputError("--gpu", got=repr(text), need="such as 24GB", fix="Say its memory.")
    return float(found[1]) * GIB


def _part(text: str) -> tuple[int, int]:
    """ "I/N" -> (I, N), 0 <= I < N."""
    found = re.fullmatch(r"(\d+)/(\d+)", text)
    if found is None or not int(found[1]) < int(found[2]):
        raise InputError("--part", got=repr(text), need="I/N, I from 0 to N - 1", fix="Use 0/1.")
    return int(found[1]), int(found[2])
