"""The stage before the small model's foundation: its eye learns where bodies are.

Supervised by what the drawn world knows, on single pictures, so a step costs a fraction of one of
the transformer; the later stages leave it as it is.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional
from torch.utils.data import DataLoader, Dataset

from ...media import to_frames
from ...mini.backbone import MiniBackbone
from ...mini.eye import LABELS, BodyEstimate
from ...mini.vae import PATCH
from ...puppets.glb import glb_glance
from ...puppets.world import LEAD_IN
from ..feeding import workers
from ..fit import Schedule, fit_network
from .truth import part_of
from .world import World, drawing_processes

EYE_SCHEDULE = Schedule(steps=6000, learning_rate=2e-3)
UNKNOWN = -1  # in place of a label: a skeleton has none; and of a joint
JOINT_WEIGHT, HEATMAP_WEIGHT, LABEL_WEIGHT = 0.1, 0.1, 0.3  # of a pixel off; of logarithms
SCENE_WEIGHT = 0.25  # of a pixel of the scene against one of a body, in the loss of labels
OUTSIDE_WEIGHT = 0.1  # of a joint outside of the picture against one in it


@dataclass(frozen=True)
class EyeConfig:
    schedule: Schedule = EYE_SCHEDULE
    triplets: int = 3  # of a batch: both sides of each, and a skeleton
    bodies: Path | None = None  # folder of GLB files, drawn beside the puppets
    glances: int = 2  # of a batch: clips of these
    frames: int = 4  # of each clip
    compile: bool = True
    seed: int = 0


class Glances(Dataset):
    """Batches of pictures (n, 3, h, w) as the eye sees them, joints (n, 2, 18, 2) in pixels, not a
    number where the body has none, and labels (n, h, w), UNKNOWN of a skeleton."""

    def __init__(self, backbone: MiniBackbone, config: EyeConfig):
        self.backbone, self.config, self.world = backbone, config, World(backbone)

    def __getitem__(self, step: int) -> tuple[Tensor, Tensor, Tensor]:
        rng = np.random.default_rng((self.config.seed, step))
        glances = [self._glance(row, key, rng) for row, key in self._draw_panels(rng)]
        if self.config.bodies:
            glances += [self._glance_at_body(rng) for _ in range(self.config.glances)]
        pictures, joints, labels = zip(*glances, strict=True)
        return torch.cat(pictures), torch.cat(joints), torch.cat(labels)

    def _draw_panels(self, rng: np.random.Generator) -> list[tuple[int, str]]:
        """Rows and keys of the world: both sides of triplets, and a skeleton of each, side by side,
        so that a triplet is drawn once."""
        rows = self.world.draw_rows(2 * self.config.triplets, rng)
        keys = rng.choice(["pose", "skeleton"], len(rows) // 2, p=[0.3, 0.7])
        return sorted([(row, "target") for row in rows] + list(zip(rows[::2], keys, strict=True)))

    def _glance(
        self, row: int, key: str, rng: np.random.Generator
    ) -> tuple[Tensor, Tensor, Tensor]:
        at = LEAD_IN + rng.permutation(self.world.num_frames - LEAD_IN)[: self.config.frames]
        if key == "target":
            at[0] = 0
        truth = self.world.truth(key, row)
        picture = through_code(self.backbone, self.world.frames(key, row)[at])
        labels = torch.from_numpy(part_of(truth.parts[at]))
        if key != "target":
            labels = torch.full_like(labels, UNKNOWN)
        return picture, torch.from_numpy(truth.joints[at]), labels

    def _glance_at_body(self, rng: np.random.Generator) -> tuple[Tensor, Tensor, Tensor]:
        """A rigged body."""
        config, size = self.config, self.world.size
        assert config.bodies is not None
        clip = glb_glance(int(rng.integers(2**31)), config.bodies, "train", config.frames, size)
        assert clip.parts is not None, "of a rigged body they are known"
        body = np.where(clip.pose.body[..., 2:] > 0, clip.pose.body[..., :2], np.nan)
        joints = torch.from_numpy(body[:, [0, 0]] * size).float()
        picture = through_code(self.backbone, clip.frames)
        return picture, joints, torch.from_numpy(part_of(clip.parts))


@torch.no_grad()
def through_code(backbone: MiniBackbone, frames: np.ndarray) -> Tensor:
    """(t, h, w, 3) uint8 -> (t, 3, h, w) in [-1, 1], what is left of them in latents."""
    pictures = 2 * to_frames(frames).permute(0, 3, 1, 2) - 1
    return backbone.vae.picture(backbone.vae.code(pictures))


def eye_loss(estimate: BodyEstimate, joints: Tensor, labels: Tensor) -> Tensor:
    """Against joints (n, 2, 18, 2), not a number where there is none, and labels (n, h, w), with
    UNKNOWN:

        JOINT_WEIGHT    pixels that joints are off, those outside of the picture counting little
        HEATMAP_WEIGHT  cross-entropy of the cells that joints are in, and of the number of bodies
        LABEL_WEIGHT    cross-entropy of the labels, the scene counting less than bodies
    """
    rows, columns = (size // PATCH for size in labels.shape[1:])
    known = joints.isfinite().all(dim=-1)
    joints = joints.where(known[..., None], UNKNOWN)
    x, y = (joints / PATCH).floor().long().unbind(dim=-1)
    inside = (x >= 0) & (x < columns) & (y >= 0) & (y < rows)
    weight = inside + OUTSIDE_WEIGHT * (known & ~inside)
    off = ((estimate.joints - joints).abs().mean(dim=-1) * weight).sum() / weight.sum()
    cell = (y * columns + x).where(inside, UNKNOWN)
    cells = functional.cross_entropy(
        estimate.heatmap.flatten(0, 2), cell.flatten(), ignore_index=UNKNOWN, reduction="sum"
    )
    cells = cells / inside.sum().clamp(min=1)
    two = (joints[:, 0] != joints[:, 1]).flatten(1).any(dim=1).float()
    bodies = functional.binary_cross_entropy_with_logits(estimate.two_bodies, two)
    weight = torch.ones(LABELS).index_fill(0, torch.tensor(0), SCENE_WEIGHT).to(estimate.labels)
    shown = functional.cross_entropy(estimate.labels, labels, weight, ignore_index=UNKNOWN)
    return JOINT_WEIGHT * off + HEATMAP_WEIGHT * (cells + bodies) + LABEL_WEIGHT * shown


def train_eye(
    backbone: MiniBackbone,
    config: EyeConfig,
    folder: Path,
    on_step: Callable[[int, float], None] = lambda step, loss: None,
    minutes: float = math.inf,
) -> None:
    """Train backbone.transformer.eye; see fit_network."""
    eye = backbone.transformer.eye.to(memory_format=torch.channels_last)
    look = torch.compile(eye, dynamic=False) if config.compile else eye
    glances = Glances(backbone, config)
    # Drawn beside the training, by processes of their own.
    loader = partial(DataLoader, glances, batch_size=None, **workers(drawing_processes()))

    def loss_of(pictures: Tensor, joints: Tensor, labels: Tensor) -> Tensor:
        return eye_loss(look(pictures.to(memory_format=torch.channels_last)), joints, labels)

    def batches(order: range) -> DataLoader:
        return loader(sampler=order)

    fit_network(eye, loss_of, batches, config.schedule, folder, on_step, minutes)
