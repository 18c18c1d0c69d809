"""Batches of the small model, which draws each frame by itself.

So the frames of a window need not be neighbours, any frame of a clip may be its reference, and
cells where nothing moves may be left out. What only the drawn world knows comes along.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar, NamedTuple

import numpy as np
import torch
from torch import Tensor

from ...mini.backbone import MiniBackbone
from ...mini.rig import DrivingClip
from ...mini.vae import GROUP, join_frames, split_frames
from ..batches import (
    Batch,
    Conditions,
    DrawnSample,
    Phase,
    assemble,
    compose_sample,
    draw_known,
    draw_tasks,
    lead_groups,
)
from ..cache import Cache
from .truth import truth_of
from .world import World, drawing_processes

MOVED = 0.02  # of latent units; a cell that differs by less stands still


@dataclass(frozen=True)
class PuppeteerConditions(Conditions):
    any_reference: float = 0.0  # any driven frame of the clip in place of its first
    any_frames: float = 0.0  # driven frames from all over the clip, not neighbours


@dataclass(frozen=True)
class PuppeteerPhase(Phase):
    CONDITIONS: ClassVar[type[Conditions]] = PuppeteerConditions

    conditions: PuppeteerConditions = field(default_factory=PuppeteerConditions)
    tokens: int = 0  # cells of each panel that are read; 0 is all


@dataclass(frozen=True)
class PuppeteerBatch(Batch):
    """With what MiniBackbone.paint reads beside the context, and the truth to learn from."""

    tokens: Tensor | None = None  # (b, t' - 1, k)
    clip: DrivingClip | None = None
    truth: Tensor | None = None  # (b, t, h, w), see truth_of


class Extras(NamedTuple):
    """Of one sample, as in PuppeteerBatch; of `clip` without the batch axis."""

    tokens: Tensor | None = None
    clip: DrivingClip | None = None
    truth: Tensor | None = None


class Frames(NamedTuple):
    """Which frames a sample shows, as split_frames counts them."""

    reference: int
    drawn: list[int]  # a whole number of groups

    def of(self, latents: Tensor) -> Tensor:
        """(1, c, t', h', w') of a clip -> (1, c, 1 + groups, h', w')."""
        chosen = [self.reference] * GROUP + self.drawn
        return join_frames(split_frames(latents)[:, :, chosen])

    def in_clip(self) -> list[int]:
        """The same as frames of the clip, reference first."""
        return [max(0, index - GROUP + 1) for index in (self.reference, *self.drawn)]


class PuppeteerBatches:
    """Batches from a cache, or from the world that is drawn while the model trains."""

    def __init__(self, backbone: MiniBackbone, clips: Cache | World):
        self.backbone, self.clips = backbone, clips
        self.world = clips if isinstance(clips, World) else None
        self.latent_frames = clips.latent_frames
        self.workers = drawing_processes() if self.world else 0
        self.lead = lead_groups(backbone.geometry)
        # A world leaves the lead-in black, so no window starts there.
        self.first_group = 1 + self.lead if self.world else 1

    def draw(self, phase: PuppeteerPhase, rng: np.random.Generator) -> PuppeteerBatch:
        tasks = draw_tasks(phase, rng)
        rows = self.clips.draw_rows(len(tasks), rng)
        drawn = [
            self._draw_sample(phase, task, row, rng) for task, row in zip(tasks, rows, strict=True)
        ]
        samples, extras = zip(*drawn, strict=True)
        tokens, clips, truths = zip(*extras, strict=True)
        # Of all samples or of none: a missing driver or a skeleton to draw has no truth.
        clip = None
        if None not in clips:
            clip = DrivingClip(*(torch.stack(parts) for parts in zip(*clips, strict=True)))
        return PuppeteerBatch(
            **vars(assemble(samples, phase, rng)),
            tokens=None if tokens[0] is None else torch.cat(tokens),
            clip=clip,
            truth=None if any(truth is None for truth in truths) else torch.cat(truths),
        )

    def _draw_sample(
        self, phase: PuppeteerPhase, task: str, row: int, rng: np.random.Generator
    ) -> tuple[DrawnSample, Extras]:
        clips, conditions, groups = self.clips, phase.conditions, phase.latent_frames - 1
        right_key, _, left_key = task.partition(">")
        left_key = left_key or "target"
        left_whole = clips.panel(left_key, row)
        frames = self._draw_frames(left_whole.shape[2] - 1, groups, conditions, rng)
        left = frames.of(left_whole)
        known, prefix = draw_known(left, self.lead, conditions, rng)
        prompt = "" if rng.random() < conditions.text_dropout else clips.caption(row)
        if task == "single":
            return DrawnSample(*compose_sample(self.backbone, left, None, known), prompt), Extras()
        right_whole = clips.panel(right_key, row)
        right = frames.of(right_whole)
        dropped = rng.random() < conditions.driving_dropout
        whole = groups == left_whole.shape[2] - 1
        blank = groups if dropped else self.lead if whole and not prefix else 0
        right[:, :, : 1 + blank] = clips.black[:, :, : 1 + blank]
        target, context, weight = compose_sample(self.backbone, left, right, known)
        right_whole[:, :, : 1 + self.lead] = clips.black[:, :, : 1 + self.lead]
        if not dropped:  # the whole clip's mean, as at inference, not that of the window
            context = self.backbone.summarise(context, right_whole)
        tokens = clip = truth = None
        if phase.tokens:
            driven = right_whole[:, :, 1 + self.lead :]
            still = driven if right_key == "driving" else clips.black
            shown = left_whole[:, :, self.first_group :]
            left_cells = busy_cells(shown, left[:, :, :1], phase.tokens, rng)
            right_cells = busy_cells(driven, still, phase.tokens, rng)
            tokens, weight = pair_tokens(left_cells, right_cells, weight)
        if self.world and left_key == "target" and not dropped:
            clip, truth = self._known_to_the_world(self.world, row, right_key, frames)
        return DrawnSample(target, context, weight, prompt), Extras(tokens, clip, truth)

    def _draw_frames(
        self, whole: int, groups: int, conditions: PuppeteerConditions, rng: np.random.Generator
    ) -> Frames:
        """Of a clip of so many groups after the first."""
        start = 1 + int(rng.integers(self.first_group - 1, whole - groups + 1))
        drawn = np.arange(GROUP * start, GROUP * (start + groups))
        driven = np.arange(GROUP * (1 + self.lead), GROUP * (1 + whole))
        if rng.random() < conditions.any_frames:
            drawn = rng.permutation(driven)[: GROUP * groups]
        reference = 0
        if rng.random() < conditions.any_reference:
            reference = int(rng.integers(driven[0], driven[-1] + 1))
        return Frames(reference, drawn.tolist())

    def _known_to_the_world(
        self, world: World, row: int, driver: str, frames: Frames
    ) -> tuple[DrivingClip, Tensor]:
        at, first = frames.in_clip(), GROUP * self.lead + 1
        joints = torch.from_numpy(world.truth(driver, row).joints[first:])
        clip = DrivingClip(joints, torch.tensor(at[1:]) - first)
        return clip, truth_of(world.truth("target", row), at)


def busy_cells(latents: Tensor, still: Tensor, count: int, rng: np.random.Generator) -> Tensor:
    """Indices (count,) of cells (h', w') of a panel (1, c, t', h', w'): those where it ever differs
    from the first frame of `still` and their neighbours, as far as they go, then others, at random.
    """
    differs = ((latents - still[:, :, :1]).abs().mean(dim=1).amax(dim=1) > MOVED).float()
    near = torch.nn.functional.max_pool2d(differs[None], 3, stride=1, padding=1).flatten()
    chance = torch.from_numpy(rng.random(near.numel(), dtype=np.float32))
    return (near + chance).topk(min(count, near.numel())).indices


def pair_tokens(left: Tensor, right: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """Cells of the two panels -> tokens (1, t' - 1, k) of pairs (2, h', 2w'), and the weight
    (1, 1, t', h', 2w') of those alone: the reference, the answer and the driver.
    """
    height, both = weight.shape[-2:]
    width, size = both // 2, height * both
    left, right = (cells // width * both + cells % width for cells in (left, right))
    tokens = torch.cat([left, size + left, size + width + right])
    drawn = torch.zeros(size).index_fill(0, left, 1).view(height, both)
    return tokens.expand(1, weight.shape[2] - 1, -1), weight * drawn
