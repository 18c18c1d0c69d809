"""kill -9 at random moments of `train cache`, `train lora`, `make-lora` and `animate`: its cost.

    python -m benchmarks.kills --out runs/kills --stage cache --stage lora --stage animate

Each stage is run by its command line on a tiny base of the real classes and three drawn clips, or,
for animate, on the embedded model and a clip of four passes: once as a whole, then in children that
are killed at moments drawn from --seed and started again, job after job, until --kills of them have
died. Every job comes to its end, and then the hashes of its files must be those of the
uninterrupted one. Prints

    kills     how many struck, and in how many jobs
    done again   examples encoded, training steps, videos and passes of a video that were done
              more often than once, on average and at most a kill; what a kill may cost is one
              example, video or pass, or the steps since the last save with the one in work,
              --save-steps of them
    equal     whether all hashes are, and nothing else lies in the folder of a video

and ends with 1 where they are not, or a kill cost more. Of Linux and macOS alone.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib
import json
import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from dreamactor_core.__main__ import main as dreamactor
from dreamactor_core.bootstrap import pair
from dreamactor_core.media import read_frames, write_image
from dreamactor_core.train import store
from dreamactor_core.train.optimise import Run
from tests.core.clips_on_disk import write_clip, write_clips
from tests.core.full_size import BASES, full_size_folder

STAGES = ("cache", "lora", "make-lora", "animate")
STEPS, SHORT_STEPS = 12, 5  # of a training; of both of make-lora's
WINDOW_LENGTH = 33  # frames of a window
DRIVER_SECONDS = 6  # four passes of the embedded model
HANDED_OVER = (
    "*.safetensors", "README.md", "graph.json", "examples/*", "cache-*/examples/*", "pairs/pairs/*",
    "*.mp4", ".*",
)  # fmt: skip


class Counts(NamedTuple):
    """What was done, of all children together: integers in memory that they share."""

    examples: Any
    steps: Any
    videos: Any
    passes: Any

    def now(self) -> list[int]:
        return [each.value for each in self]

    def reset(self) -> None:
        for each in self:
            each.value = 0


class JobEnd(NamedTuple):
    """Of one job."""

    hashes: dict[str, str]
    counts: list[int]


def count_work() -> Counts:
    """Have each kind of work counted when it begins, in this process and its children."""
    counts = Counts(*(multiprocessing.RawValue("i", 0) for _ in Counts._fields))
    method = importlib.import_module("dreamactor_core.animate")
    places = (
        (store, "encode_example"), (Run, "_step"), (pair, "animate_file"), (method, "animate_pass")
    )  # fmt: skip
    for (owner, name), count in zip(places, counts, strict=True):
        setattr(owner, name, _counted(getattr(owner, name), count))
    return counts


def _counted(work: Callable, count: Any) -> Callable:
    def counted(*arguments: Any, **named: Any) -> Any:
        count.value += 1
        return work(*arguments, **named)

    return counted


def stage_command(stage: str, folder: Path, out: Path, save_steps: int) -> list[str]:
    """Of a job in `out`; the base, clips and, for lora, a cache lie in `folder`."""
    variants = 1 if stage == "make-lora" else 2
    window = {"shortest": WINDOW_LENGTH, "longest": WINDOW_LENGTH, "variants": variants}
    told = {
        "lora": {"rank": 2, "alpha": 2}, "steps": STEPS, "batch_size": 1, "learning_rate": 1e-2,
        "held_out": 0, "ema_decay": 0.9, "save_steps": save_steps, "cache": window,
    }  # fmt: skip
    recipes = {name: folder / f"{name}.json" for name in ("pose-based", "end-to-end")}
    for variant, path in recipes.items():
        path.write_text(json.dumps(told | {"variant": variant}))
    base, clips, pose = folder / "base", folder / "clips" / "clips.jsonl", recipes["pose-based"]
    shared = ["--base", base, "--out", out]
    command = {
        "cache": ["train", "cache", *shared, "--pairs", clips, "--config", pose, "--size", 32],
        "lora": ["train", "lora", *shared, "--cache", folder / "cache", "--config", pose],
        "make-lora": [
            "make-lora", clips, *shared, "--size", 32, "--threshold", 0, "--looks", 1,
            "--steps", SHORT_STEPS,
            "--sampling-steps", 1, "--frames", WINDOW_LENGTH, "--pose-recipe", pose,
            "--end-to-end-recipe", recipes["end-to-end"],
        ],
        "animate": [
            "animate", "--model", "mini", "--painter", "network", "--reference",
            folder / "reference.png", "--driving", folder / "long.mp4", "--prompt", "it wanders",
            "--size", 64, "--output", out / "video.mp4", "--overwrite",
        ],
    }[stage]  # fmt: skip
    return [str(part) for part in command]


def run_child(command: list[str], log: Path, seconds: float) -> bool:
    """Run the command in a child; whether it came to its end within so many seconds. Else it is
    dead now."""
    child = os.fork()
    if child == 0:
        with log.open("a") as file:
            for stream in (1, 2):
                os.dup2(file.fileno(), stream)
            os._exit(dreamactor(command))
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            code = os.waitstatus_to_exitcode(status)
            assert code == 0, f"{' '.join(command)} ended with {code}, see {log}"
            return True
        time.sleep(0.005)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return False


def hashes_of(out: Path) -> dict[str, str]:
    paths = sorted(path for pattern in HANDED_OVER for path in out.glob(pattern))
    return {
        path.relative_to(out).as_posix(): hashlib.sha256(_without_place(path, out)).hexdigest()
        for path in paths
    }


def _without_place(path: Path, out: Path) -> bytes:
    """A job is named after its folder, and so are its files; all of ours are called `job`."""
    return path.read_bytes().replace(str(out.parent).encode(), b"")


def strike(stage: str, folder: Path, options: argparse.Namespace, counts: Counts) -> bool:
    """One stage, whole and killed; prints its line. Returns whether all was as it must be."""
    log = folder / f"{stage}.log"

    def place(number: int | str) -> list[str]:
        out = folder / f"{stage}-{number}" / "job"
        (out if stage == "animate" else out.parent).mkdir(parents=True, exist_ok=True)
        return stage_command(stage, folder, out, options.save_steps)

    counts.reset()
    began, command = time.monotonic(), place("whole")
    assert run_child(command, log, float("inf"))
    seconds = time.monotonic() - began
    whole = JobEnd(hashes_of(folder / f"{stage}-whole" / "job"), counts.now())
    rng, struck, jobs = np.random.default_rng(options.seed), 0, 0
    equal, again, costs = True, np.zeros(len(Counts._fields), int), []
    while struck < options.kills:
        counts.reset()
        command, job_struck = place(jobs), 0
        # A child that comes later has less left to do, and opens the base first as all do.
        while not run_child(command, log, rng.uniform(0.05, seconds)):
            job_struck += 1
        more = np.array(counts.now()) - whole.counts
        equal &= hashes_of(folder / f"{stage}-{jobs}" / "job") == whole.hashes
        again, struck, jobs = again + more, struck + job_struck, jobs + 1
        costs += [more.sum() / job_struck] if job_struck else []
        print(f"{stage}: job {jobs}, {struck} kills, {'equal' if equal else 'NOT equal'}",
              file=sys.stderr, flush=True)  # fmt: skip
    allowed = options.save_steps if whole.counts[1] else 1
    kinds = ", ".join(f"{n} {name}" for n, name in zip(again, Counts._fields, strict=True))
    print(
        f"| {stage} | {struck} in {jobs} jobs of {seconds:.1f} s | {kinds} | "
        f"{sum(again) / struck:.2f} (at most {allowed}) | {'yes' if equal else 'NO'} |",
        flush=True,
    )
    return equal and max(costs, default=0) <= allowed


def prepare(folder: Path, base: str) -> None:
    """What all jobs read, made once."""
    if not (folder / "base").exists():
        full_size_folder(base, folder / "base")
    clips = folder / "clips"
    clips.mkdir(parents=True, exist_ok=True)
    if not (clips / "clips.jsonl").exists():
        write_clips(clips, 3)
    write_clip(folder / "long.mp4", 9, DRIVER_SECONDS)
    write_image(folder / "reference.png", next(read_frames(folder / "long.mp4")).image, True)


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True, help="a folder of jobs, new or empty")
    parser.add_argument("--stage", choices=STAGES, action="append", help="several (all)")
    parser.add_argument("--base", choices=BASES, default="wan-2.1", help="(%(default)s)")
    parser.add_argument("--kills", type=int, default=20, help="of each stage, at least (20)")
    parser.add_argument("--seed", type=int, default=0, help="of the moments (0)")
    parser.add_argument("--save-steps", type=int, default=3, help="steps between saves (3)")
    options = parser.parse_args(argv)
    stages = options.stage or STAGES
    torch.set_num_threads(1)  # a pool of threads does not live through a fork
    cv2.setNumThreads(0)
    prepare(options.out, options.base)
    counts = count_work()
    if "lora" in stages and not (options.out / "cache").exists():  # that it reads
        command = stage_command("cache", options.out, options.out / "cache", options.save_steps)
        assert run_child(command, options.out / "cache.log", float("inf"))
    print("| stage | kills | done again | a kill | equal |\n|---|---|---|---|---|")
    return int(not all([strike(s, options.out, options, counts) for s in stages]))


if __name__ == "__main__":
    sys.exit(main())
