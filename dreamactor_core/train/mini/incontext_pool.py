"""Puppet clips for mini-incontext, drawn by processes of their own while the network trains.

Each process draws triplets into its own rows of one shared ring and goes round and round; a
thread copies what is new to the accelerator. A row is a clip; row ^ 1 is the other clip of its
triplet: the same motion by another character.
"""

from __future__ import annotations

import logging
import mmap
import os
import signal
import threading
import time
from itertools import count
from multiprocessing import get_context
from typing import NamedTuple

import cv2
import numpy as np
import torch
from torch import Tensor

from ...mini.incontext import INCONTEXT_GEOMETRY, PROMPT_BYTES
from ...mini.text import byte_ids
from ...pose.draw import draw_pose
from ...pose.vary import vary_pose
from ...puppets.told import told_triplet
from ...puppets.triplet import triplet
from ...puppets.world import LEAD_IN, Clip
from ...skeleton import PARTS

logger = logging.getLogger(__name__)

PANEL, NUM_FRAMES = INCONTEXT_GEOMETRY.panel[0], INCONTEXT_GEOMETRY.num_frames
DRIVEN = NUM_FRAMES - LEAD_IN
TOLD_EVERY = 4  # one triplet in so many is one whose driver does not tell all
FIRST_SEED = 30_000_000
# Puppets differ in build by more than people do: with the paper's 0.3 and 0.8 to 1.2 a pose of
# another body is placed worse (benchmarks/incontext_placing.py).
BONES_VARIED, PUPPET_SPREAD = 0.85, (0.6, 1.5)
COPY_ROWS = 256


class Rows(NamedTuple):
    """Clips. uint8, but ids."""

    frames: Tensor  # (n, 17, h, w, 3)
    parts: Tensor  # (n, 17, h, w): 0 the scene, 1..12 a piece of a body
    varied: Tensor  # (n, 8, h, w, 3) the pose with other bones, boxed
    plain: Tensor  # (n, 8, h, w, 3) the pose where it is
    ids: Tensor  # (n, 96) int16, the caption

    def take(self, index: Tensor) -> Rows:
        return Rows(*(part[index] for part in self))


ROW_SHAPES = Rows(
    (NUM_FRAMES, PANEL, PANEL, 3),
    (NUM_FRAMES, PANEL, PANEL),
    (DRIVEN, PANEL, PANEL, 3),
    (DRIVEN, PANEL, PANEL, 3),
    (PROMPT_BYTES,),
)
ROW_TYPES = Rows(np.uint8, np.uint8, np.uint8, np.uint8, np.int16)


def caption_ids(caption: str) -> np.ndarray:
    """(96,) int16, padded with 0."""
    ids = np.zeros(PROMPT_BYTES, np.int16)
    made = byte_ids(caption)
    ids[: len(made)] = made
    return ids


def kinds_of_parts(clip: Clip) -> np.ndarray:
    """(t, h, w) uint8: a clip's parts, those of every body as of the first; 0 is the scene."""
    assert clip.parts is not None, "a drawn clip"
    kinds = np.where(clip.parts > 0, (clip.parts.astype(np.int16) - 1) % PARTS + 1, 0)
    return kinds.astype(np.uint8)


def draw_row(clip: Clip, rng: np.random.Generator) -> Rows:
    """The arrays of one row; the pose is boxed over what is driven, as at inference."""
    pose = clip.driven
    return Rows(
        clip.frames,
        kinds_of_parts(clip),
        draw_pose(vary_pose(pose, rng, BONES_VARIED, PUPPET_SPREAD), PANEL, PANEL),
        draw_pose(pose, PANEL, PANEL),
        caption_ids(clip.caption),
    )


def training_pair(seed: int) -> tuple[Clip, Clip]:
    """Driver and truth, of the training split; of each fourth pair something is only told."""
    draw = told_triplet if seed % TOLD_EVERY == TOLD_EVERY - 1 else triplet
    clips = draw(seed, "train", NUM_FRAMES, PANEL)
    return clips.driver, clips.truth


def leave_signals_to_parent() -> None:
    """In a process that was forked: the command line's own handlers are not for it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)


class Pool:
    """The ring, the processes that fill it, and its copy on a device."""

    def __init__(
        self, rows: int, workers: int, first_seed: int = FIRST_SEED, for_ever: bool = True
    ):
        """for_ever: old rows give way to new ones; else nothing is drawn when the ring is full."""
        self.for_ever = for_ever
        self.workers, self.share = workers, rows // workers // 2 * 2
        # Memory that forked processes share, in no file system.
        self.host = Rows(
            *(
                _shared((self.share * workers, *shape), dtype)
                for shape, dtype in zip(ROW_SHAPES, ROW_TYPES, strict=True)
            )
        )
        self.drawn = _shared((workers,), np.int64)
        context = get_context("fork")
        self.processes = [
            context.Process(target=self._fill, args=(i, first_seed), daemon=True)
            for i in range(workers)
        ]
        for process in self.processes:
            process.start()
        self.stopped = threading.Event()
        self.resting = threading.Lock()  # nothing is copied to a device while another has it
        self.copied = np.zeros(workers, np.int64)
        self.thread: threading.Thread | None = None
        self.device = torch.device("cpu")

    def wait(self, rows: int, seconds: float = 120) -> None:
        """Until so many rows can be drawn from."""
        until = time.monotonic() + seconds
        ready = self.drawn if self.thread is None else self.copied
        while ready.sum() < rows and time.monotonic() < until:
            time.sleep(0.05)

    def to(self, device: torch.device) -> None:
        """Keep a copy on a device from now on. A CPU reads the ring itself."""
        self.device = device
        if device.type == "cpu":
            self.device_rows = Rows(*(torch.from_numpy(part) for part in self.host))
            return
        self.device_rows = Rows(
            *(
                torch.empty(part.shape, dtype=_torch_dtype(part), device=device)
                for part in self.host
            )
        )
        self.staging = Rows(
            *(
                torch.empty((COPY_ROWS, *part.shape[1:]), dtype=_torch_dtype(part)).pin_memory()
                for part in self.host
            )
        )
        torch.cuda.synchronize()
        self.stream = torch.cuda.Stream()  # copies need not wait for the training
        self.thread = threading.Thread(target=self._copy_for_ever, daemon=True)
        self.thread.start()

    def draw(self, number: int, rng: np.random.Generator) -> tuple[Tensor, Rows]:
        """Indices (number,) of random rows, and the rows."""
        filled = np.minimum(self.drawn if self.thread is None else self.copied, self.share)
        ends = np.cumsum(filled)
        flat = rng.integers(ends[-1], size=number)
        worker = np.searchsorted(ends, flat, side="right")
        index = worker * self.share + flat - (ends - filled)[worker]
        index = torch.from_numpy(index).to(self.device)
        return index, self.device_rows.take(index)

    def take(self, index: Tensor) -> Rows:
        return self.device_rows.take(index)

    def close(self) -> None:
        self.stopped.set()
        for process in self.processes:
            process.terminate()
        if self.thread:
            self.thread.join(timeout=5)

    def _fill(self, worker: int, first_seed: int) -> None:
        leave_signals_to_parent()
        os.nice(5)
        cv2.setNumThreads(1)
        for seed in count(first_seed + worker, self.workers):
            rng = np.random.default_rng((seed, 5))
            at = worker * self.share + int(self.drawn[worker]) % self.share
            try:
                drawn = [draw_row(clip, rng) for clip in training_pair(seed)]
            except Exception:  # one scene must not stop the ring
                logger.exception("seed %d could not be drawn", seed)
                continue
            for place, row in enumerate(drawn):
                for part, value in zip(self.host, row, strict=True):
                    part[at + place] = value
            self.drawn[worker] += 2
            if not self.for_ever and self.drawn[worker] >= self.share:
                return

    def _copy_for_ever(self) -> None:
        while not self.stopped.is_set():
            with self.resting:
                busy = self._copy_some()
            if not busy:
                time.sleep(0.02)

    def _copy_some(self) -> bool:
        """Copy up to COPY_ROWS new rows of each process; whether there were any."""
        busy = False
        for worker in range(self.workers):
            # Rows that were overwritten before they could be copied are skipped.
            done = max(self.copied[worker], self.drawn[worker] - self.share)
            start = int(done % self.share)
            new = int(min(self.drawn[worker] - done, COPY_ROWS, self.share - start))
            if new <= 0:
                continue
            busy = True
            at = worker * self.share + start
            for staged, part in zip(self.staging, self.host, strict=True):
                staged[:new].copy_(torch.from_numpy(part[at : at + new]))
            with torch.cuda.stream(self.stream):
                for kept, staged in zip(self.device_rows, self.staging, strict=True):
                    kept[at : at + new].copy_(staged[:new], non_blocking=True)
            self.stream.synchronize()
            self.copied[worker] = done + new
        return busy


def _torch_dtype(part: np.ndarray) -> torch.dtype:
    return torch.int16 if part.dtype == np.int16 else torch.uint8


def _shared(shape: tuple[int, ...], dtype: type) -> np.ndarray:
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    return np.frombuffer(mmap.mmap(-1, size), dtype).reshape(shape)
