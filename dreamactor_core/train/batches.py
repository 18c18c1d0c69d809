"""Draw a training batch from a cache: the composite of inference, in latents.

    latent frame 0      [ reference | black ]                  known on the left
    1..lead             [   blank   | black ]                  the lead-in (paper section 5.1), or
    1..prefix           [   known   | driving ]                the tail of a previous chunk
    then                [   blank   | driving ]                what inference draws

Short windows (fewer latent frames than a whole pass) start anywhere in the clip and have no
lead-in: most steps run on them, many times cheaper. The small model, which draws each frame by
itself, can also leave out cells where nothing moves.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from ..backbones import Backbone, Context
from ..errors import InputError
from ..mini.backbone import MiniBackbone
from ..mini.rig import Clip
from ..mini.vae import GROUP, join_frames, split_frames
from .cache import KEYS, Cache
from .mini.truth import truth_of
from .mini.world import World

MOVED = 0.02  # of latent units; a cell that differs by less stands still
# What the right panel shows; "single" has none. "driving>pose" asks for the target's skeleton in
# place of its picture: pose estimation by the same diptych, from a skeleton as the reference.
TASKS = ("single", *KEYS, *(f"{right}>pose" for right in ("target", "driving", "skeleton")))


@dataclass(frozen=True)
class Conditions:
    """How often a condition is left out or given; probabilities a sample."""

    text_dropout: float = 0.1
    driving_dropout: float = 0.05
    reference_dropout: float = 0.05
    prefix: float = 0.3
    keep: float = 0.1
    # The small model alone, which draws each frame by itself:
    any_reference: float = 0.0  # any driven frame of the clip in place of its first
    any_frames: float = 0.0  # driven frames from all over the clip, not neighbours


@dataclass(frozen=True)
class Phase:
    """A stretch of a stage with one shape of batch."""

    steps: int
    latent_frames: int  # reference slot included
    batch_size: int
    pure_noise: float  # share of samples at sigma = 1, where the context alone must do
    # Odds of a sample; of "single", which is half as wide, of a whole batch.
    tasks: dict[str, float] = field(default_factory=lambda: {"driving": 1.0})
    tokens: int = 0  # cells of each panel that are read, the small model alone; 0 is all
    conditions: Conditions = field(default_factory=Conditions)

    def __post_init__(self):
        if not self.tasks or set(self.tasks) - set(TASKS):
            raise InputError(
                "tasks of a phase",
                got=sorted(self.tasks),
                need=f"some of {', '.join(TASKS)}",
                fix="Correct the configuration.",
            )
        if self.latent_frames < 2:
            raise InputError(
                "latent_frames of a phase",
                got=self.latent_frames,
                need="at least 2, the reference and one to draw",
                fix="Correct the configuration.",
            )


class Batch(NamedTuple):
    target: Tensor  # (b, c, t', h', w2') left: the answer, right: the driving panel
    context: Context
    weight: Tensor  # (b, 1, t', h', w2') 1 where the loss counts: unknown cells of the left panel
    prompts: list[str]
    noise: Tensor
    sigma: Tensor  # (b,)
    # Of the small model, see MiniBackbone.velocity:
    tokens: Tensor | None = None  # (b, t' - 1, k)
    clip: Clip | None = None
    truth: Tensor | None = None  # (b, t, h, w), see truth_of


def draw_batch(
    backbone: Backbone, source: Cache | World, phase: Phase, rng: np.random.Generator
) -> Batch:
    tasks = _draw_tasks(phase, rng)
    lead = backbone.geometry.lead_frames()
    lead_groups = lead // backbone.geometry.temporal_stride
    rows = source.draw_rows(len(tasks), rng)
    samples = [
        _draw(backbone, source, phase, task, row, lead_groups, rng)
        for task, row in zip(tasks, rows, strict=True)
    ]
    targets, contexts, weights, prompts, tokens, clips, truths = zip(*samples, strict=True)
    target = torch.cat(targets)
    generator = torch.Generator().manual_seed(int(rng.integers(2**63)))
    return Batch(
        target=target,
        context=Context(*(torch.cat(parts) for parts in zip(*contexts, strict=True))),
        weight=torch.cat(weights),
        prompts=list(prompts),
        noise=torch.randn(target.shape, generator=generator),
        sigma=draw_sigma(phase.batch_size, phase.pure_noise, generator),
        tokens=None if tokens[0] is None else torch.cat(tokens),
        # Told of all samples or of none: a missing driver or a skeleton to draw has no truth.
        clip=None if None in clips else Clip(*map(torch.stack, zip(*clips, strict=True))),
        truth=None if any(truth is None for truth in truths) else torch.cat(truths),
    )


def _draw_tasks(phase: Phase, rng: np.random.Generator) -> list[str]:
    """One for each sample: tasks side by side in a batch pull less to and fro than in turns."""
    odds = dict(phase.tasks)
    single = odds.pop("single", 0.0) / sum(phase.tasks.values())
    if rng.random() < single:
        return ["single"] * phase.batch_size
    shares = np.array(list(odds.values())) / sum(odds.values())
    return rng.choice(list(odds), phase.batch_size, p=shares).tolist()


def draw_sigma(count: int, pure_noise: float, generator: torch.Generator) -> Tensor:
    """Noise levels (count,): 1 with probability pure_noise, else logit-normal, shifted by 2."""
    normal = torch.sigmoid(torch.randn(count, generator=generator))
    shifted = (2 * normal / (1 + normal)).clamp(0.05, 1)
    return torch.where(torch.rand(count, generator=generator) < pure_noise, torch.ones(()), shifted)


def _draw(
    backbone: Backbone,
    source: Cache | World,
    phase: Phase,
    task: str,
    row: int,
    lead: int,
    rng: np.random.Generator,
):
    """One sample: target, context, weight, prompt, tokens, clip, truth."""
    conditions, small = phase.conditions, isinstance(backbone, MiniBackbone)
    groups = phase.latent_frames - 1
    right_row, _, left_row = task.partition(">")
    left_key = left_row or "target"
    left_whole = source.panel(left_key, row)
    whole = left_whole.shape[2] - 1
    start = 1 + int(rng.integers(source.first_group - 1, whole - groups + 1))
    window = np.arange(GROUP * start, GROUP * (start + groups))  # of split_frames
    if rng.random() < conditions.any_frames:
        driven = np.arange(GROUP * (1 + lead), GROUP * (1 + whole))
        window = rng.permutation(driven)[: GROUP * groups]
    picture = 0
    if rng.random() < conditions.any_reference:
        picture = int(rng.integers(GROUP * (1 + lead), GROUP * (1 + whole)))
    chosen = [picture] * GROUP + window.tolist()

    def choose(clip: Tensor) -> Tensor:
        if small:
            return join_frames(split_frames(clip)[:, :, chosen])
        return clip[:, :, [0, *range(start, start + groups)]]

    left = choose(left_whole)
    reference = left[:, :, :1]
    known = torch.zeros(phase.latent_frames, *left.shape[-2:])
    if rng.random() >= conditions.reference_dropout:
        known[0] = 1
    prefix = 0
    if rng.random() < conditions.prefix:
        prefix = min(lead, groups - 1)
        known[1 : 1 + prefix] = 1
    if rng.random() < conditions.keep:
        known[1:] = torch.maximum(known[1:], _keep_mask(rng, *known.shape[1:]))
    prompt = "" if rng.random() < conditions.text_dropout else source.caption(row)
    weight = 1 - known
    if task != "single":
        right_whole = source.panel(right_row, row)
        right = choose(right_whole)
        right[:, :, 0] = source.black[:, :, 0]
        dropped = rng.random() < conditions.driving_dropout
        blank = groups if dropped else 0
        if not prefix and groups == whole:
            blank = max(blank, lead)
        right[:, :, 1 : 1 + blank] = source.black[:, :, 1 : 1 + blank]
        left = torch.cat([left, right], dim=-1)
        known = torch.cat([known, torch.ones_like(known)], dim=-1)
        weight = torch.cat([weight, torch.zeros_like(weight)], dim=-1)
    # One value a frame again, as the mask builder gives it: frame 0, then groups of four.
    stride = backbone.geometry.temporal_stride
    frames = torch.cat([known[:1], known[1:].repeat_interleave(stride, dim=0)])[..., None]
    context, weight = backbone.context(left, frames), weight[None, None]
    tokens = clip = truth = None
    if task != "single" and small:
        right_whole[:, :, : 1 + lead] = source.black[:, :, : 1 + lead]
        if not dropped:  # the whole clip's mean, as at inference, not that of the window
            context = backbone.summarise(context, right_whole)
        if phase.tokens:
            driven = right_whole[:, :, 1 + lead :]
            empty = driven if right_row == "driving" else source.black
            shown = left_whole[:, :, source.first_group :]  # black before that in a World
            left_cells = busy_cells(shown, reference, phase.tokens, rng)
            right_cells = busy_cells(driven, empty, phase.tokens, rng)
            tokens, weight = pair_tokens(left_cells, right_cells, weight)
        known_clip = source.truth(left_key, row) if left_key == "target" else None
        if known_clip and not dropped:
            at = [max(0, index - GROUP + 1) for index in chosen[GROUP - 1 :]]  # frames of the clip
            truth = truth_of(known_clip, at)
            first = GROUP * lead + 1
            joints = torch.from_numpy(source.truth(right_row, row).joints[first:])
            clip = Clip(joints, torch.tensor(at[1:]) - first)
    return left, context, weight, prompt, tokens, clip, truth


def busy_cells(latents: Tensor, empty: Tensor, count: int, rng: np.random.Generator) -> Tensor:
    """Indices (count,) of cells (h', w') of a panel (1, c, t', h', w'): those where it ever differs
    from the first frame of `empty` and their neighbours, as far as they go, then others, at random.
    """
    differs = ((latents - empty[:, :, :1]).abs().mean(dim=1).amax(dim=1) > MOVED).float()
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


def _keep_mask(rng: np.random.Generator, height: int, width: int) -> Tensor:
    """(height, width): 1 inside or outside a random box, where scene pixels stay."""
    y, x = np.sort(rng.integers(0, height + 1, 2)), np.sort(rng.integers(0, width + 1, 2))
    mask = torch.zeros(height, width)
    mask[y[0] : y[1], x[0] : x[1]] = 1
    return mask if rng.random() < 0.5 else 1 - mask
