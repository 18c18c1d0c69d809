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

from ...mini.backbone import MiniBackbone
from ...mini.eye import PIECES, Seen
from ...mini.vae import PATCH
from ...puppets.glb import glb_glance
from ...puppets.scene import LEAD_IN, to_frames
from ..feeding import workers
from ..fit import Schedule, fit
from .truth import piece_of
from .world import World, drawing_processes

SCHEDULE = Schedule(steps=6000, learning_rate=2e-3)
UNTOLD = -1  # in place of a piece: a skeleton has none; and of a joint
JOINT_WEIGHT, HEAT_WEIGHT, PIECE_WEIGHT = 0.1, 0.1, 0.3  # of an error of a pixel; of logarithms
SCENE_WEIGHT = 0.25  # of a pixel of the scene against one of a body
OUTSIDE_WEIGHT = 0.1  # of a joint outside of the picture against one in it


@dataclass(frozen=True)
class EyeConfig:
    schedule: Schedule = SCHEDULE
    triplets: int = 3  # of a batch: both sides of each, and a skeleton
    bodies: Path | None = None  # folder of GLB files, drawn beside the puppets
    glances: int = 2  # of a batch: clips of these
    frames: int = 4  # of each clip
    compile: bool = True
    seed: int = 0


class Glances(Dataset):
    """Batches of pictures (n, 3, h, w) as the eye sees them, joints (n, 2, 18, 2) in pixels, not a
    number where the body has none, and pieces (n, h, w)."""

    def __init__(self, backbone: MiniBackbone, config: EyeConfig):
        self.backbone, self.config, self.world = backbone, config, World(backbone)

    def __getitem__(self, step: int) -> tuple[Tensor, Tensor, Tensor]:
        config = self.config
        rng = np.random.default_rng((config.seed, step))
        pictures, joints, pieces = [], [], []
        rows = self.world.draw_rows(2 * config.triplets, rng)
        drawn = rng.choice(["pose", "skeleton"], len(rows) // 2, p=[0.3, 0.7])
        looks = [(row, "target") for row in rows] + list(zip(rows[::2], drawn, strict=True))
        for row, key in sorted(looks):  # a triplet is drawn once
            at = LEAD_IN + rng.permutation(self.world.num_frames - LEAD_IN)[: config.frames]
            if key == "target":
                at[0] = 0
            truth = self.world.truth(key, row)
            pictures.append(through_code(self.backbone, self.world.frames(key, row)[at]))
            joints.append(torch.from_numpy(truth.joints[at]))
            shown = torch.from_numpy(piece_of(truth.parts[at]))
            pieces.append(shown if key == "target" else torch.full_like(shown, UNTOLD))
        for _ in range(config.glances if config.bodies else 0):
            clip = glb_glance(
                int(rng.integers(2**31)), config.bodies, "train", config.frames, self.world.size
            )
            pictures.append(through_code(self.backbone, clip.frames))
            body = np.where(clip.pose.body[..., 2:] > 0, clip.pose.body[..., :2], np.nan)
            joints.append(torch.from_numpy(body[:, [0, 0]] * self.world.size).float())
            pieces.append(torch.from_numpy(piece_of(clip.parts)))
        return torch.cat(pictures), torch.cat(joints), torch.cat(pieces)


@torch.no_grad()
def through_code(backbone: MiniBackbone, frames: np.ndarray) -> Tensor:
    """(t, h, w, 3) uint8 -> (t, 3, h, w) in [-1, 1], what is left of them in latents."""
    pictures = 2 * to_frames(frames).permute(0, 3, 1, 2) - 1
    return backbone.picture(backbone.vae.code(pictures))


def eye_loss(seen: Seen, joints: Tensor, pieces: Tensor) -> Tensor:
    """How far joints (n, 2, 18, 2) are off, whether their cells are told, the number of bodies, and
    pieces (n, h, w). Joints that are not a number are left out."""
    rows, columns = (size // PATCH for size in pieces.shape[1:])
    known = joints.isfinite().all(dim=-1)
    joints = joints.where(known[..., None], UNTOLD)
    x, y = (joints / PATCH).floor().long().unbind(dim=-1)
    inside = (x >= 0) & (x < columns) & (y >= 0) & (y < rows)
    weight = inside + OUTSIDE_WEIGHT * (known & ~inside)
    off = ((seen.joints - joints).abs().mean(dim=-1) * weight).sum() / weight.sum()
    cell = (y * columns + x).where(inside, UNTOLD)
    heat = functional.cross_entropy(
        seen.heat.flatten(0, 2), cell.flatten(), ignore_index=UNTOLD, reduction="sum"
    )
    heat = heat / inside.sum().clamp(min=1)
    two = (joints[:, 0] != joints[:, 1]).flatten(1).any(dim=1).float()
    several = functional.binary_cross_entropy_with_logits(seen.several, two)
    weight = torch.ones(PIECES).index_fill(0, torch.tensor(0), SCENE_WEIGHT).to(seen.pieces)
    told = functional.cross_entropy(seen.pieces, pieces, weight, ignore_index=UNTOLD)
    return JOINT_WEIGHT * off + HEAT_WEIGHT * (heat + several) + PIECE_WEIGHT * told


def train_eye(
    backbone: MiniBackbone,
    config: EyeConfig,
    folder: Path,
    on_step: Callable[[int, float], None] = lambda step, loss: None,
    minutes: float = math.inf,
) -> None:
    """Train backbone.transformer.eye; see fit."""
    eye = backbone.transformer.eye.to(memory_format=torch.channels_last)
    look = torch.compile(eye, dynamic=False) if config.compile else eye
    glances = Glances(backbone, config)
    # Drawn beside the training, by processes of their own.
    loader = partial(DataLoader, glances, batch_size=None, **workers(drawing_processes()))

    def loss_of(pictures: Tensor, joints: Tensor, pieces: Tensor) -> Tensor:
        return eye_loss(look(pictures.to(memory_format=torch.channels_last)), joints, pieces)

    def batches(order: range) -> DataLoader:
        return loader(sampler=order)

    fit(eye, loss_of, batches, config.schedule, folder, on_step, minutes)
