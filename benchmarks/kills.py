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

and ends with 1 where they are not, or a kill cost more. With --minutes it stops behind the first
child past so many, and ends with 3; the same call goes on there. Of Linux and macOS alone.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib
import json
import multiprocessing
import os
import shutil
import signal
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from dreamactor_core.__main__ import main as dreamactor
from dreamactor_core.bootstrap import pair
from dreamactor_core.media import read_frames, write_image
from dreamactor_core.media.replace import replacing
from dreamactor_core.train import store
from dreamactor_core.train.optimise import Run
from tests.core.clips_on_disk import write_clip, write_clips
from tests.core.full_size import BASES, full_size_folder, open_base

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

    def reset(self, values: Sequence[int] = ()) -> None:
        for number, each in enumerate(self):
            each.value = values[number] if values else 0


class TimeUpError(Exception):
    """The time is up; the same call goes on."""


@dataclass
class Record:
    """What is known of a stage so far, in a file."""

    path: Path
    seconds: float = 0.0  # of a job as a whole; 0: not done yet
    hashes: dict[str, str] = field(default_factory=dict)  # of its files
    counts: list[int] = field(default_factory=list)  # what it did
    jobs: list[dict[str, Any]] = field(
        default_factory=list
    )  # that came to their end: what is below
    kills: int = 0  # of the job in work
    done: list[int] = field(default_factory=list)  # by its children so far, as in Counts

    @classmethod
    def read(cls, path: Path) -> Record:
        return cls(path, **(json.loads(path.read_text()) if path.exists() else {}))

    def write(self) -> None:
        told = {key: value for key, value in vars(self).items() if key != "path"}
        with replacing(self.path, overwrite=True) as part:
            part.write_text(json.dumps(told, indent=1))

    def end_job(self, equal: bool) -> None:
        more = [a - b for a, b in zip(self.done, self.counts, strict=True)]
        self.jobs.append({"kills": self.kills, "more": more, "equal": equal})
        self.kills, self.done = 0, []

    @property
    def struck(self) -> int:
        return self.kills + sum(job["kills"] for job in self.jobs)


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


def run_child(command: list[str], log: Path, seconds: float = float("inf")) -> bool:
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
    """One stage, whole and killed; prints its line. Returns whether all was as it must be, and
    raises TimeUpError when the time is up."""
    record = Record.read(folder / f"{stage}.json")
    if not record.seconds:
        out = new_job(stage, folder, "whole")
        counts.reset()
        began = time.monotonic()
        run_child(stage_command(stage, folder, out, options.save_steps), log_of(folder, stage))
        record.seconds = time.monotonic() - began
        record.hashes, record.counts = hashes_of(out), counts.now()
        record.write()
    while record.struck < options.kills or record.kills:
        kill_job(stage, folder, options, counts, record)
        same = "equal" if record.jobs[-1]["equal"] else "NOT equal"
        line = f"{stage}: job {len(record.jobs)}, {record.struck} kills, {same}"
        print(line, file=sys.stderr, flush=True)
    allowed = options.save_steps if record.counts[1] else 1
    again = np.sum([job["more"] for job in record.jobs], axis=0)
    costs = [sum(job["more"]) / job["kills"] for job in record.jobs if job["kills"]]
    equal = all(job["equal"] for job in record.jobs)
    kinds = ", ".join(f"{n} {name}" for n, name in zip(again, Counts._fields, strict=True))
    print(
        f"| {stage} | {record.struck} in {len(record.jobs)} jobs of {record.seconds:.1f} s | "
        f"{kinds} | {sum(again) / record.struck:.2f} (at most {allowed}) | "
        f"{'yes' if equal else 'NO'} |",
        flush=True,
    )
    return equal and max(costs, default=0) <= allowed


def kill_job(
    stage: str, folder: Path, options: argparse.Namespace, counts: Counts, record: Record
) -> None:
    """One job to its end, or on to it, noted after each child."""
    number = len(record.jobs)
    out = new_job(stage, folder, number, fresh=not record.done)
    command = stage_command(stage, folder, out, options.save_steps)
    # A child that comes later has less left to do, and opens the base first as all do.
    moments = np.random.default_rng((options.seed, number))
    for _ in range(record.kills):
        moments.uniform()
    counts.reset(record.done)
    while True:
        if time.monotonic() > options.deadline:
            raise TimeUpError
        ended = run_child(command, log_of(folder, stage), moments.uniform(0.05, record.seconds))
        record.done = counts.now()
        if ended:
            break
        record.kills += 1
        record.write()
    record.end_job(hashes_of(out) == record.hashes)
    record.write()


def log_of(folder: Path, stage: str) -> Path:
    return folder / f"{stage}.log"


def new_job(stage: str, folder: Path, number: int | str, fresh: bool = True) -> Path:
    """The folder of a job's files; fresh: with nothing of a call that was stopped."""
    out = folder / f"{stage}-{number}" / "job"
    if fresh:
        shutil.rmtree(out.parent, ignore_errors=True)
    (out if stage == "animate" else out.parent).mkdir(parents=True, exist_ok=True)
    return out


def prepare(folder: Path, base: str) -> None:
    """What all jobs read, made once."""
    if not (folder / "base").exists():
        full_size_folder(base, folder / "base")
    open_base(folder / "base")  # what it imports a child need not
    clips = folder / "clips"
    clips.mkdir(parents=True, exist_ok=True)
    if not (clips / "clips.jsonl").exists():
        write_clips(clips, 3)
    if not (folder / "long.mp4").exists():
        write_clip(folder / "long.mp4", 9, DRIVER_SECONDS)
    write_image(folder / "reference.png", next(read_frames(folder / "long.mp4")).image, True)


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True, help="a folder of jobs")
    parser.add_argument("--stage", choices=STAGES, action="append", help="several (all)")
    parser.add_argument("--base", choices=BASES, default="wan-2.1", help="(%(default)s)")
    parser.add_argument("--kills", type=int, default=20, help="of each stage, at least (20)")
    parser.add_argument("--seed", type=int, default=0, help="of the moments (0)")
    parser.add_argument("--save-steps", type=int, default=3, help="steps between saves (3)")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="then stop (never)")
    options = parser.parse_args(argv)
    options.deadline = time.monotonic() + 60 * options.minutes
    stages = options.stage or STAGES
    torch.set_num_threads(1)  # a pool of threads does not live through a fork
    cv2.setNumThreads(0)
    prepare(options.out, options.base)
    counts = count_work()
    if "lora" in stages and not (options.out / "cache").exists():  # that it reads
        command = stage_command("cache", options.out, options.out / "cache", options.save_steps)
        run_child(command, log_of(options.out, "cache"))
    print("| stage | kills | done again | a kill | equal |\n|---|---|---|---|---|")
    try:
        return int(not all([strike(s, options.out, options, counts) for s in stages]))
    except TimeUpError:
        print("stopped; call again", file=sys.stderr)
        return 3


if __name__ == "__main__":
    sys.exit(main())
