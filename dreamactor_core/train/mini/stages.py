"""Every stage of the small model, one after the other, in bites of some minutes.

A stage is a command of its own that resumes where it was stopped, so the same call again and again,
each as long as a borrowed machine allows, makes the model from nothing:

    python -m dreamactor_core train whole --out runs/mini --minutes 9

`--toy` takes a few steps of each, to find what would break before anything dear is running.
"""

from __future__ import annotations

import json
import logging
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import NamedTuple

from ...errors import InputError
from ...media.replace import make_folder
from ..curve import Curve
from ..loop import read_config
from .glances import EyeConfig
from .motions import RigConfig
from .objective import PuppeteerTrainConfig

logger = logging.getLogger(__name__)

PAIR_SEEDS = (20_000, 20_800)  # seeds of the bootstrapped pairs, before they are judged
TOY_STEPS, TOY_PAIRS = 2, 2
# What the stages of a rehearsal are told beside.
TOY_OPTIONS = {
    "vae": ["--code-triplets", "2"],
    "eye": ["--size", "64"],
    "foundation": ["--validation-pairs", "1"],
    "lora": ["--validation-pairs", "1"],
}
MIN_MINUTES = 0.5  # minutes; with less left no stage is begun


class Stage(NamedTuple):
    folder: Path
    command: list[str]  # of python -m dreamactor_core, without --out
    steps: int = 0  # that loss.csv counts; 0 for a stage that is run in one go


def stages(out: Path, bodies: Path | None, toy: bool) -> list[Stage]:
    """All of them in their order, as in `train --help`; the clean-up and its refinement are left
    out, as they were for the shipped weights."""
    made = {
        name: out / name
        for name in (
            "vae", "eye", "rig", "foundation", "pose_based", "pairs", "bootstrap", "end_to_end",
            "mini",
        )
    }  # fmt: skip
    parts = {"eye": EyeConfig().schedule.steps, "rig": RigConfig().schedule.steps}
    configs = {
        name: read_config(name, PuppeteerTrainConfig)
        for name in ("foundation", "pose_based", "end_to_end")
    }
    if toy:
        parts = dict.fromkeys(parts, TOY_STEPS)
        configs = {name: _toy(config) for name, config in configs.items()}
    base = ["--base", str(made["foundation"] / "model")]
    pose_based, end_to_end = (
        str(made[name] / "lora.safetensors") for name in ("pose_based", "end_to_end")
    )
    loras = ["--pose-based", pose_based, "--end-to-end", end_to_end]
    first, last = PAIR_SEEDS
    pairs = ["--seeds", f"{first}:{last}"]
    if toy:
        pairs = ["--seeds", f"{first}:{first + TOY_PAIRS}", "--threshold", "1"]

    def part(name: str, *start: str) -> Stage:
        command = ["train", name, *start, "--part-steps", str(parts[name])]
        return Stage(made[name], [*command, *extra.get(name, [])], parts[name])

    def stage(name: str, kind: str, *start: str) -> Stage:
        path = made[name].with_suffix(".json")
        path.write_text(json.dumps(asdict(configs[name]), indent=1))
        command = ["train", kind, *start, "--config", str(path), "--steps", "1"]
        return Stage(made[name], [*command, *extra.get(kind, [])], configs[name].steps)

    glances = ["--bodies", str(bodies)] if bodies else []
    extra = TOY_OPTIONS if toy else {}
    return [
        Stage(made["vae"], ["train", "vae", "--clean-steps", "0", *extra.get("vae", [])]),
        part("eye", "--vae", str(made["vae"] / "vae"), *glances),
        part("rig", "--base", str(made["eye"] / "model")),
        stage("foundation", "foundation", "--base", str(made["rig"] / "model")),
        stage("pose_based", "lora", *base),
        Stage(
            made["pairs"],
            ["bootstrap", *base, "--lora", pose_based, *pairs],
        ),
        Stage(
            made["bootstrap"],
            ["train", "cache", *base, "--pairs", str(made["pairs"] / "pairs.jsonl")],
        ),
        stage("end_to_end", "lora", *base, "--cache", str(made["bootstrap"]), "--init", pose_based),
        Stage(
            made["mini"],
            ["train", "export", *base, "--vae", str(made["vae"] / "vae"), *loras],
        ),
    ]


def in_a_process(command: list[str]) -> int:
    """python -m dreamactor_core with these words -> its exit status."""
    return subprocess.run(
        [sys.executable, "-m", "dreamactor_core", *command], check=False
    ).returncode


def train_whole(
    out: Path,
    minutes: float,
    *,
    bodies: Path | None = None,
    toy: bool = False,
    threads: int = 0,
    run: Callable[[list[str]], int] = in_a_process,
) -> bool:
    """Run what is left of the stages for so many minutes; whether all are done, in out/mini.

    run: the words of a command -> its exit status. Raises InputError when a stage fails; what it
    said is in the terminal.
    """
    make_folder(out)
    began = time.monotonic()
    for folder, command, steps in stages(out, bodies, toy):
        done = folder.with_suffix(".done")
        if done.exists():
            continue
        left = minutes - (time.monotonic() - began) / 60
        if left < MIN_MINUTES:
            return False
        command = [*command, "--out", str(folder)]
        if steps:
            command += ["--minutes", f"{left:.2f}"]
        if threads:
            command += ["--threads", str(threads)]
        logger.info("%s", " ".join(command))
        if status := run(command):
            raise InputError(
                f"stage {folder.name}",
                got=f"exit status {status}",
                need="0",
                fix="See its message above; the same call goes on from there.",
            )
        rows = Curve(folder / "loss.csv").rows
        if steps and (not rows or rows[-1][0] < steps):
            return False  # its minutes are over
        done.touch()
    return True


def _toy(config: PuppeteerTrainConfig) -> PuppeteerTrainConfig:
    phases = tuple(replace(phase, steps=TOY_STEPS, batch_size=1) for phase in config.phases)
    return replace(config, phases=phases, compile=False, mixed_precision="no")
