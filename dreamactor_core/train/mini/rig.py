"""The stage of the small model's rig, behind that of its eye.

A step reads whole clips of joints (motions.py). What is asked for is not where the joints of the
answer are, but where the points of the reference go that the eye took for joints.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ...mini.backbone import MiniBackbone
from ...mini.rig import DrivingClip
from ...puppets.camera import in_picture
from ..fit import fit_network
from .estimates import draw_estimates
from .eye import OUTSIDE_WEIGHT
from .motions import MotionClips, RigConfig

FEW = 6  # frames of a clip that are asked for in every other step; all in the rest
FAR = 4.0  # pixels: a joint so far off is as wrong as it can be, nearly

RigStep = tuple[Tensor, Tensor, Tensor, DrivingClip | None]  # reference, driver, goal, clip


def train_rig(
    backbone: MiniBackbone,
    config: RigConfig,
    folder: Path,
    on_step: Callable[[int, float], None] = lambda step, loss: None,
    minutes: float = math.inf,
) -> None:
    """Train backbone.transformer.rig; see fit_network."""
    began = time.monotonic()
    geometry, rig = backbone.geometry, backbone.transformer.rig
    count = min(config.estimated, config.schedule.steps)
    estimates = draw_estimates(backbone, config.first, count, folder / "estimates", minutes)
    if estimates is None:
        return
    clips = MotionClips(config, estimates, geometry.num_frames, geometry.panel[0])
    size = torch.tensor([geometry.panel[1], geometry.panel[0]]).float()

    def steps(order: range) -> Iterator[RigStep]:
        for step in order:
            yield rig_step(clips, step)

    def loss_of(reference: Tensor, driver: Tensor, goal: Tensor, clip: DrivingClip | None):
        shown = torch.ones(driver.shape[:2], dtype=torch.bool, device=driver.device)
        made = rig(reference, driver, shown, size.to(driver.device), clip)
        return rig_loss(made, goal, size)

    minutes -= (time.monotonic() - began) / 60
    fit_network(rig, loss_of, steps, config.schedule, folder, on_step, minutes)


def rig_step(clips: MotionClips, step: int) -> RigStep:
    """One body of each clip; each is driven by its like alone, so one of the two will do. In every
    other step a few frames in any order, and the clip that they are from."""
    body = slice(step // 2 % 2, step // 2 % 2 + 1)
    reference, driver, goal = (each[..., body, :, :] for each in clips.batch(step))
    if step % 2:
        return reference, driver, goal, None
    rng = np.random.default_rng((clips.config.seed, step, 1))
    frames = np.tile(np.arange(driver.shape[1]), (len(driver), 1))
    times = torch.from_numpy(rng.permuted(frames, axis=1)[:, :FEW])
    row = torch.arange(len(driver))[:, None]
    return reference, driver[row, times], goal[row, times], DrivingClip(driver, times)


def rig_loss(made: Tensor, goal: Tensor, size: Tensor) -> Tensor:
    """The mean over joints (..., 2) of FAR log(1 + d / FAR), d pixels between made and goal;
    joints outside of the picture, size (2,), count little."""
    inside = in_picture(goal / size.to(goal))
    weight = inside + OUTSIDE_WEIGHT * ~inside
    off = ((made - goal).square().sum(dim=-1) + 1e-4).sqrt()
    return (FAR * (off / FAR).log1p() * weight).sum() / weight.sum()
