"""The stage before the small model's foundation: its eye learns where bodies are.

Supervised by what the drawn world knows, on single pictures, so a step costs a fraction of one of
the transformer; the later stages leave it as it is.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from copy import deepcopy
from functools import partial
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional
from torch.utils.data import DataLoader

from ...mini.backbone import MiniBackbone
from ...mini.eye import LABELS, BodyEstimate
from ...mini.vae import PATCH
from ..feeding import workers
from ..fit import fit_network
from .glances import UNKNOWN, EyeConfig, Glances
from .world import drawing_processes

JOINT_WEIGHT, HEATMAP_WEIGHT, LABEL_WEIGHT = 0.1, 0.1, 0.3  # of a pixel off; of logarithms
SCENE_WEIGHT = 0.25  # of a pixel of the scene against one of a body, in the loss of labels
OUTSIDE_WEIGHT = 0.1  # of a joint outside of the picture against one in it


def eye_loss(estimate: BodyEstimate, joints: Tensor, labels: Tensor) -> Tensor:
    """Against joints (n, 2, 18, 2), not a number where there is none, and labels (n, h, w), with
    UNKNOWN:

        JOINT_WEIGHT    pixels that joints are off, those outside of the picture counting little
        HEATMAP_WEIGHT  cross-entropy of the cells that joints are in, and of the number of bodies;
                        and how far heatmaps are from flat where there is no body
        LABEL_WEIGHT    cross-entropy of the labels, the scene counting less than bodies
    """
    rows, columns = (size // PATCH for size in labels.shape[1:])
    known = joints.isfinite().all(dim=-1)
    joints = joints.where(known[..., None], UNKNOWN)
    x, y = (joints / PATCH).floor().long().unbind(dim=-1)
    inside = (x >= 0) & (x < columns) & (y >= 0) & (y < rows)
    weight = inside + OUTSIDE_WEIGHT * (known & ~inside)
    off = ((estimate.joints - joints).abs().mean(dim=-1) * weight).sum()
    off = off / weight.sum().clamp(min=OUTSIDE_WEIGHT)  # of nothing alone there is no joint
    cell = (y * columns + x).where(inside, UNKNOWN)
    cells = functional.cross_entropy(
        estimate.heatmap.flatten(0, 2), cell.flatten(), ignore_index=UNKNOWN, reduction="sum"
    )
    cells = cells / inside.sum().clamp(min=1) + _flatness(estimate.heatmap, known)
    two = (joints[:, 0] != joints[:, 1]).flatten(1).any(dim=1).float()
    bodies = functional.binary_cross_entropy_with_logits(estimate.two_bodies, two)
    weight = torch.ones(LABELS).index_fill(0, torch.tensor(0), SCENE_WEIGHT).to(estimate.labels)
    shown = functional.cross_entropy(estimate.labels, labels, weight, ignore_index=UNKNOWN)
    return JOINT_WEIGHT * off + HEATMAP_WEIGHT * (cells + bodies) + LABEL_WEIGHT * shown


def _flatness(heatmap: Tensor, known: Tensor) -> Tensor:
    """Divergence of heatmaps (n, 2, 18, k) from evenness, of pictures without a known joint; so
    that where there is no body, joints are as uncertain as can be."""
    nobody = ~known.flatten(1).any(dim=1)
    if not nobody.any():
        return heatmap.new_zeros(())
    even = -heatmap[nobody].log_softmax(dim=-1).mean() - math.log(heatmap.shape[-1])
    return even * nobody.float().mean()


def train_eye(
    backbone: MiniBackbone,
    config: EyeConfig,
    folder: Path,
    on_step: Callable[[int, float], None] = lambda step, loss: None,
    minutes: float = math.inf,
) -> None:
    """Train backbone.transformer.eye or, if the config is broad, backbone.broad_eye, which begins
    as a copy of that one where there is none; see fit_network."""
    if config.broad and backbone.broad_eye is backbone.transformer.eye:
        backbone.broad_eye = deepcopy(backbone.transformer.eye)
    eye = backbone.broad_eye if config.broad else backbone.transformer.eye
    eye = eye.to(memory_format=torch.channels_last)
    look = torch.compile(eye, dynamic=False) if config.compile else eye
    glances = Glances(backbone, config)
    # Drawn beside the training, by processes of their own.
    loader = partial(DataLoader, glances, batch_size=None, **workers(drawing_processes()))

    def loss_of(pictures: Tensor, joints: Tensor, labels: Tensor) -> Tensor:
        return eye_loss(look(pictures.to(memory_format=torch.channels_last)), joints, labels)

    def batches(order: range) -> DataLoader:
        return loader(sampler=order)

    fit_network(eye, loss_of, batches, config.schedule, folder, on_step, minutes)
