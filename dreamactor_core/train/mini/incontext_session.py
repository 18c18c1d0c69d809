"""One call of the training of mini-incontext: its clock, its helpers, its files."""

from __future__ import annotations

import json
import logging
import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import torch
from torch import Tensor

from ...errors import InputError
from ...mini.incontext import create
from . import incontext_cases
from .incontext_cases import SETS
from .incontext_model import (
    State,
    add_adapter,
    compile_blocks,
    load_model,
    model_state,
    save_parts,
)
from .incontext_pool import Pool

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Sizes:
    """How much of everything; toy() is what a CPU can rehearse in minutes."""

    rows: int = 16_384  # of the ring
    batch: int = 256  # of the foundation
    lora_batch: int = 128
    codec_rows: int = 96
    first_rows: int = 1536  # that the codec waits for
    layers: int = 6
    rank: int = 128
    pairs: int = 12_288
    pair_batch: int = 256
    cases: int = 64
    other_cases: int = 32
    scorers: int = 4
    compile: bool = True
    arm_steps: int = 0  # 0: as many as ARM_SECONDS hold

    def sets(self) -> dict[str, int]:
        """All that is scored on, and how many cases of it."""
        return {name: self.cases if name == "plain" else self.other_cases for name in SETS}

    @classmethod
    def toy(cls) -> Sizes:
        return cls(
            rows=96, batch=10, lora_batch=4, codec_rows=4, first_rows=24, layers=1, rank=8,
            pairs=8, pair_batch=4, cases=3, other_cases=1, scorers=1, arm_steps=2,
        )  # fmt: skip


class Pairs(NamedTuple):
    """Bootstrapped pairs on the device, uint8."""

    frames: Tensor  # (n, 17, h, w, 3) real targets
    driving: Tensor  # (n, 8, h, w, 3) what was made of their motion
    ids: Tensor  # (n, 96) captions of the targets


@dataclass
class Session:
    out: Path
    run: Path
    minutes: float
    sizes: Sizes
    workers: int
    began: float = field(default_factory=time.monotonic)
    loras: dict[str, State] = field(default_factory=dict)
    figures: dict = field(default_factory=dict)
    pairs: Pairs | None = None

    def __post_init__(self):
        self.out.mkdir(parents=True, exist_ok=True)
        self.run.mkdir(parents=True, exist_ok=True)
        incontext_cases.folder = self.run
        context = get_context("fork")
        self.scorers = ProcessPoolExecutor(self.sizes.scorers, context, initializer=_alone)
        self.scorers.submit(_alone).result()  # all of them begin before CUDA does
        for name, count in self.sizes.sets().items():
            self.scorers.submit(incontext_cases.keep_cases, name, count)
        self.pool = Pool(
            self.sizes.rows, self.workers, first_seed=30_000_000 + self.calls() * 10**6
        )
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
        torch.backends.cudnn.benchmark = True
        torch.manual_seed(0)
        self.backbone = create(layers=self.sizes.layers)
        for part in (self.backbone.transformer, self.backbone.vae, self.backbone.text_encoder):
            part.to(self.device)
        self.resume()
        self.pool.to(self.device)

    def calls(self) -> int:
        """How many calls this run has had, this one included."""
        path = self.run / "calls"
        count = int(path.read_text()) + 1 if path.exists() else 1
        path.write_text(str(count))
        return count

    def left(self) -> float:
        """Seconds until the end of this call."""
        return 60 * self.minutes - (time.monotonic() - self.began)

    def rng(self, *key: int) -> np.random.Generator:
        return np.random.default_rng(key)

    def generator(self, seed: int) -> torch.Generator:
        return torch.Generator(self.device).manual_seed(seed)

    def stage(self, name: str, seconds: float, work: Callable[[float], None]) -> None:
        """Run a stage that is not done yet, for at most so many seconds of those that are left."""
        done = self.run / f"{name}.done"
        if done.exists():
            logger.info("%s: done before", name)
            return
        if (given := min(seconds, self.left() - 8)) < 1:
            logger.warning("%s: no time left", name)
            return
        logger.info("== %s: %.0f s of the %.0f left", name, given, self.left())
        began = time.monotonic()
        try:
            work(given)
            done.touch()
        except TimeoutError as error:  # the next call goes on with it
            logger.warning("%s: %s", name, error)
        except Exception:  # one stage's failure must not cost the others
            logger.exception("%s failed", name)
            self.figures.setdefault("failed", []).append(name)
        self.figures.setdefault("seconds", {})[name] = round(time.monotonic() - began, 1)
        self.save()

    def resume(self) -> None:
        path = self.run / "state.pt"
        if path.exists():
            state = torch.load(path, weights_only=True, map_location=self.device)
            load_model(self.backbone, state["model"])
            self.loras = state["loras"]
        if (path := self.run / "figures.json").exists():
            self.figures = json.loads(path.read_text())
        if (path := self.run / "pairs.pt").exists():
            pairs = torch.load(path, weights_only=True, map_location=self.device)
            self.pairs = Pairs(*pairs)
        if (self.run / "foundation.done").exists():
            self.adapt()

    def adapt(self) -> None:
        """Put the adapter on the foundation, which is frozen from here on."""
        for part in (self.backbone.transformer, self.backbone.text_encoder, self.backbone.vae):
            part.requires_grad_(False).eval()
        add_adapter(self.backbone, self.sizes.rank)
        if self.sizes.compile:
            compile_blocks(self.backbone)

    def save(self) -> None:
        """Weights and figures, for the next call and for whoever fetches them."""
        state = {"model": model_state(self.backbone), "loras": self.loras}
        temporary = self.run / "state.tmp"
        torch.save(state, temporary)
        temporary.replace(self.run / "state.pt")
        save_parts({"model": state["model"], **self.loras}, self.out, "weights")
        self.save_figures()

    def save_figures(self) -> None:
        text = json.dumps(self.figures, indent=1) + "\n"
        for folder in (self.run, self.out):
            (folder / "figures.json").write_text(text)

    def close(self) -> None:
        self.pool.close()
        self.scorers.shutdown(wait=True, cancel_futures=True)


def _alone() -> None:
    cv2.setNumThreads(1)
    torch.set_num_threads(1)


def log_to(path: Path) -> None:
    """The terminal and a file."""
    handlers = [logging.StreamHandler(sys.stdout), logging.FileHandler(path, mode="a")]
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S",
        handlers=handlers, force=True,
    )  # fmt: skip


def check_minutes(minutes: float) -> None:
    if not minutes > 0:
        raise InputError("minutes", got=minutes, need="above 0", fix="A whole run takes about 10.")
