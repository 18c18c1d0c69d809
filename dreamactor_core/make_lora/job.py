"""The stages of a job in their order, each of which goes on by itself where it was stopped.

    footage --prepare--> clips --cache, train--> pose-based LoRA --bootstrap--> pairs
          --cache, train, from that LoRA--> end-to-end LoRA --check--> figures --> handover

A stage that is finished is known by what it was made of: with other clips or another recipe it is
done again, from a folder of its own.
"""

from __future__ import annotations

import gc
import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import torch

from ..lora.adapters import EXPERTS, load_lora
from ..models.loading import load_backbone
from ..options import LAYOUTS
from ..train.base import network_header
from ..train.caching import CacheJob, cache_clips
from ..train.check import CheckTask, check_clips
from ..train.clips import Row, default_size, read_rows
from ..train.cross import cross_clips
from ..train.lora import LoraJob, train_lora
from ..train.store import open_store
from .handover import Made, hand_over
from .journal import Journal, key_of
from .pairs import make_pairs
from .plan import MakePlan

logger = logging.getLogger(__name__)

POSE_BASED, END_TO_END = "pose-based", "end-to-end"
PARTS_OF_A_JOB = {  # of the whole, in the order of the stages; rough: training takes most of it
    "prepare": 0.04,
    f"cache {POSE_BASED}": 0.05,
    f"train {POSE_BASED}": 0.38,
    "bootstrap": 0.14,
    f"cache {END_TO_END}": 0.05,
    f"train {END_TO_END}": 0.28,
    f"check {POSE_BASED}": 0.03,
    f"check {END_TO_END}": 0.03,
}
OnProgress = Callable[[str, float], None]  # the stage, and the share of the whole that is done


class Trained(NamedTuple):
    """A variant's files: the best of each expert by the held-out clips, or the last."""

    files: dict[str, Path]  # by expert, "" of a base of one
    rows: list[Row]  # clips to look at: held out if any are
    held_out: bool
    key: str


def make_lora(plan: MakePlan, on_progress: OnProgress | None = None) -> Made:
    """All of it, or what is missing of it.

    Raises InputError as the stages do, and KeyboardInterrupt when a training was asked to stop:
    what is made stays, and the same call goes on.
    """
    job = _Job(plan, on_progress or (lambda stage, share: None))
    clips = job.prepared()
    pose = job.trained(POSE_BASED, clips, {})
    pairs = job.pairs(clips, pose)
    end = job.trained(END_TO_END, pairs, pose.files)
    checks = {POSE_BASED: job.checked(POSE_BASED, pose), END_TO_END: job.checked(END_TO_END, end)}
    made = hand_over(plan, {POSE_BASED: pose.files, END_TO_END: end.files}, checks, clips)
    job.told("done", 1.0)
    return made


class _Job:
    def __init__(self, plan: MakePlan, told: OnProgress):
        self.plan, self.told = plan, told
        two = network_header(plan.base).found.two_experts
        self.experts = EXPERTS if two else ("",)
        self.journal = Journal(plan.out)

    def within(self, stage: str) -> Callable[[int, int], None]:
        """Told of the part of a stage that is done."""
        names = list(PARTS_OF_A_JOB)
        before = sum(PARTS_OF_A_JOB[name] for name in names[: names.index(stage)])
        self.told(stage, before)
        return lambda done, total: self.told(
            stage, before + PARTS_OF_A_JOB[stage] * done / max(1, total)
        )

    def prepared(self) -> Path:
        """Always looked through again: footage may have come, clips may have been dropped."""
        return self.plan.prepare(self.plan.source, self.plan.out / "clips", self.within("prepare"))

    def trained(self, variant: str, clips: Path, start: dict[str, Path]) -> Trained:
        """start: by expert, LoRAs to begin from."""
        recipe = self.plan.recipes[variant]
        key, cache = self._cached(variant, clips)
        files, stage = {}, f"train {variant}"
        told = [repr(recipe), *self._another_layout()]
        key = key_of(key, *told, *(file.read_bytes() for file in start.values()))
        on_step = self.within(stage)
        for number, expert in enumerate(self.experts):
            folder = self.plan.out / "-".join(filter(None, (variant, expert)))
            name = f"{stage} {expert}".strip()
            if not self.journal.has(name, key):
                self._train(variant, cache, expert, start.get(expert), folder, number, on_step)
                self.journal.note(name, key)
            best = folder / "best.safetensors"
            files[expert] = best if best.exists() else folder / "lora.safetensors"
        rows, _ = read_rows(clips, variant)
        held = open_store(cache).held_out(recipe.held_out)
        chosen = [row for row in rows if row.name in held] or rows
        return Trained(files, chosen[: self.plan.looks.clips], bool(held), key)

    def _another_layout(self) -> list[str]:
        """For keys: a job of panels keeps those it had before there were others."""
        return [] if self.plan.layout == LAYOUTS[0] else [self.plan.layout]

    def _cached(self, variant: str, clips: Path) -> tuple[str, Path]:
        plan, recipe = self.plan, self.plan.recipes[variant]
        told = [str(plan.base.resolve()), repr(recipe.cache), plan.size, plan.seed]
        key = key_of(clips.read_bytes(), variant, *told, *self._another_layout())
        folder, stage = plan.out / f"cache-{variant}-{key}", f"cache {variant}"
        on_clip = self.within(stage)
        if not self.journal.has(stage, key):
            to_fill = plan.base, clips, recipe, folder, plan.placement, plan.size
            cache_clips(CacheJob(*to_fill, seed=plan.seed, layout=plan.layout), on_clip)
            self.journal.note(stage, key)
            _free()
        return key, folder

    def _train(
        self,
        variant: str,
        cache: Path,
        expert: str,
        start: Path | None,
        folder: Path,
        number: int,
        on_step: Callable[[int, int], None],
    ) -> None:
        plan, recipe = self.plan, self.plan.recipes[variant]
        total = recipe.steps * len(self.experts)
        placement = replace(plan.placement, storage=plan.storage, offload="", vae_tiling=False)
        job = LoraJob(
            plan.base, cache, recipe, folder, placement, expert, start, layout=plan.layout
        )

        def show(step: int, loss: float) -> None:
            on_step(recipe.steps * number + step, total)

        done = train_lora(job, show)
        _free()
        if done < recipe.steps:
            raise KeyboardInterrupt

    def pairs(self, clips: Path, pose: Trained) -> Path:
        plan, stage = self.plan, "bootstrap"
        on_item = self.within(stage)
        made = make_pairs(plan, clips, list(pose.files.values()), plan.out / "pairs", on_item)
        _free()
        return made

    def checked(self, variant: str, trained: Trained) -> Path:
        """The folder of figures and videos. What fails is reported and costs nothing else."""
        folder, stage = self.plan.out / f"check-{variant}", f"check {variant}"
        on_clip = self.within(stage)
        key = key_of(trained.key, self.plan.looks.clips, self.plan.looks.frames)
        if self.journal.has(stage, key):
            return folder
        try:
            self._check(variant, trained, folder, on_clip)
            self.journal.note(stage, key)
        except KeyboardInterrupt:
            raise
        except Exception as error:  # whatever it is, the LoRA is worth more
            logger.warning("%s failed: %s: %s", stage, type(error).__name__, error)
        _free()
        return folder

    def _check(
        self, variant: str, trained: Trained, folder: Path, on_clip: Callable[[int, int], None]
    ) -> None:
        plan, looks = self.plan, self.plan.looks
        backbone = load_backbone(plan.base, plan.placement)
        for file in trained.files.values():
            load_lora(backbone, file, name=f"{file.parent.name}-{file.stem}")
        size = plan.size or default_size(backbone.geometry)
        task = CheckTask(variant, size, looks.frames, plan.settings, looks.figures, folder)
        total, done = 2 * len(trained.rows), 0
        for score in check_clips(backbone, trained.rows, task):
            logger.info("%s", score)
            on_clip(done := done + 1, total)
        for crossed in cross_clips(backbone, trained.rows, task, looks.compare):
            logger.info("%s", crossed)
            on_clip(done := done + 1, total)


def _free() -> None:
    """What a stage held, before the next one is opened."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
