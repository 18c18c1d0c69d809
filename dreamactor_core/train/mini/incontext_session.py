"""One call of the training of mini-incontext: its clock, its helpers, its files."""

from __future__ import annotations

import json
import logging
import math
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import torch
from torch import Tensor

from ...errors import InputError
from ...mini.incontext import create_incontext
from .incontext_model import (
    State,
    add_adapter,
    compile_blocks,
    count_layers,
    load_model,
    model_state,
    read_earlier,
    save_parts,
)
from .incontext_pool import FIRST_SEED, Pool, leave_signals_to_parent

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class RunSizes:
    """How much of everything; toy() is what a CPU can rehearse in minutes, light() what one core
    can train with in hours."""

    rows: int = 16_384  # of the ring
    batch: int = 96  # of the foundation; whole excerpts: half of it
    lora_batch: int = 64
    codec_rows: int = 96
    first_rows: int = 1536  # that the codec waits for
    layers: int = 6
    rank: int = 128
    stored_rank: int = 32  # of the LoRA files: the best directions of what was learned
    pairs: int = 12_288
    pair_batch: int = 256
    cases: int = 64
    other_cases: int = 32
    helpers: int = 4
    compile: bool = True
    arm_steps: int = 0  # 0: as many as ARM_SECONDS hold
    copying: float = 0.02  # share of the foundation's time that is for copying alone
    two_frames: bool = False  # its first excerpts are of two latent frames, not three
    for_ever: bool = True  # clips are drawn as long as it trains, see Pool
    save_minutes: float = math.inf  # between checkpoints within the foundation

    @classmethod
    def light(cls) -> RunSizes:
        return cls(
            rows=8192, layers=4, batch=12, lora_batch=8, codec_rows=4, first_rows=8192, pairs=1024,
            pair_batch=32, other_cases=16, helpers=1, arm_steps=30,
            copying=0.06, two_frames=True, for_ever=False, save_minutes=5,
        )  # fmt: skip

    @classmethod
    def toy(cls) -> RunSizes:
        return cls(
            rows=96, batch=10, lora_batch=4, codec_rows=4, first_rows=24, layers=1, rank=8,
            stored_rank=4, pairs=8, pair_batch=4, cases=3, other_cases=1, helpers=1, arm_steps=2,
        )  # fmt: skip


class Pairs(NamedTuple):
    """Bootstrapped pairs on the device, uint8."""

    frames: Tensor  # (n, 17, h, w, 3) real targets
    driving: Tensor  # (n, 8, h, w, 3) what was made of their motion
    ids: Tensor  # (n, 96) captions of the targets


class Session:
    """Weights, clips and figures of a run in a folder; what the next call needs is in "state"."""

    def __init__(
        self,
        out: Path,
        minutes: float,
        sizes: RunSizes,
        workers: int,
        device: str = "",
        start: Path | None = None,
        codec: Path | None = None,
    ):
        """minutes: of this call in all; workers: processes that draw; device: "" is a GPU if there
        is one; start: folder with weights-*.safetensors of another run, or of a model, for a new
        run; codec: the same, of which only the codec is taken."""
        self.start, self.codec = start, codec
        self.began = time.monotonic()
        self.out, self.state, self.minutes, self.sizes = out, out / "state", minutes, sizes
        self.state.mkdir(parents=True, exist_ok=True)
        self.figures: dict[str, Any] = {}
        self.pairs: Pairs | None = None
        # All processes begin before CUDA does.
        self.helpers = ProcessPoolExecutor(
            sizes.helpers, get_context("fork"), initializer=use_one_thread
        )
        self.helpers.submit(use_one_thread).result()
        first = FIRST_SEED + self.calls() * 10**6
        self.pool = Pool(sizes.rows, workers, first, for_ever=sizes.for_ever)
        self.device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
        torch.backends.cudnn.benchmark = True
        torch.manual_seed(0)
        weights, self.loras = self.earlier_weights()
        self.backbone = create_incontext(layers=count_layers(weights) or sizes.layers)
        load_model(self.backbone, weights)
        for part in (self.backbone.transformer, self.backbone.vae, self.backbone.text_encoder):
            part.to(self.device)
        self.resume()
        self.pool.to(self.device)

    def calls(self) -> int:
        """How many calls this run has had, this one included."""
        path = self.state / "calls"
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

    def is_done(self, stage: str) -> bool:
        return (self.state / f"{stage}.done").exists()

    def mark_done(self, stage: str) -> None:
        (self.state / f"{stage}.done").touch()

    def stage(self, name: str, seconds: float, work: Callable[[float], None]) -> None:
        """Run a stage that is not done yet, for at most so many seconds of those that are left."""
        if self.is_done(name):
            logger.info("%s: done before", name)
            return
        if (given := min(seconds, self.left() - 8)) < 1:
            logger.warning("%s: no time left", name)
            return
        logger.info("== %s: %.0f s of the %.0f left", name, given, self.left())
        began = time.monotonic()
        try:
            work(given)
            self.mark_done(name)
        except TimeoutError as error:  # the next call goes on with it
            logger.warning("%s: %s", name, error)
        except InputError as error:  # a loss that is no number, or far off
            kept = self.state / "state.pt"
            logger.error("%s: %s The last good weights are kept in %s.", name, error, kept)
            self.figures.setdefault("failed", []).append(name)
        except Exception:  # one stage's failure must not cost the others
            logger.exception("%s failed", name)
            self.figures.setdefault("failed", []).append(name)
        self.figures.setdefault("seconds", {})[name] = round(time.monotonic() - began, 1)
        self.save()

    def earlier_weights(self) -> tuple[State, dict[str, State]]:
        """Model and LoRAs of an earlier call, or of the run that this one starts from; or none."""
        path = self.state / "state.pt"
        if path.exists():
            state = torch.load(path, weights_only=True, map_location=self.device)
            return state["model"], state["loras"]
        if self.start:
            parts = read_earlier(self.start, self.sizes.rank)
            return parts.pop("model"), parts
        if self.codec:
            model = read_earlier(self.codec, self.sizes.rank)["model"]
            return {name: value for name, value in model.items() if name.startswith("vae.")}, {}
        return {}, {}

    def resume(self) -> None:
        if (path := self.state / "figures.json").exists():
            self.figures = json.loads(path.read_text())
        if self.start:
            self.figures.setdefault("aimed", _was_aimed(self.start))
        if (path := self.state / "pairs.pt").exists():
            pairs = torch.load(path, weights_only=True, map_location=self.device)
            self.pairs = Pairs(*pairs)
        if self.is_done("foundation"):
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
        temporary = self.state / "state.tmp"
        torch.save(state, temporary)
        temporary.replace(self.state / "state.pt")
        save_parts({"model": state["model"], **self.loras}, self.out, "weights")
        self.save_figures()

    def save_figures(self) -> None:
        text = json.dumps(self.figures, indent=1) + "\n"
        for folder in (self.state, self.out):
            (folder / "figures.json").write_text(text)

    def close(self) -> None:
        self.pool.close()
        self.helpers.shutdown(wait=True, cancel_futures=True)


def _was_aimed(start: Path) -> bool:
    """Whether the run that another starts from began with aimed heads."""
    path = start / "figures.json"
    return path.exists() and bool(json.loads(path.read_text()).get("aimed"))


def use_one_thread() -> None:
    leave_signals_to_parent()
    cv2.setNumThreads(1)
    torch.set_num_threads(1)


def log_to(path: Path) -> logging.Handler:
    """What the core says goes to a file as well, from now on."""
    handler = logging.FileHandler(path, mode="a")
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s", "%H:%M:%S"))
    core = logging.getLogger(__name__.split(".")[0])
    core.addHandler(handler)
    core.setLevel(logging.INFO)
    return handler


def check_minutes(minutes: float) -> None:
    if not minutes > 0:
        raise InputError("minutes", got=minutes, need="above 0", fix="A whole run takes about 10.")
