"""What the small model's rig learns from motions alone: nothing is drawn, so minutes are enough.

A batch holds whole clips of joints. The driver is another body's motion as it is seen, or as a
skeleton stretched onto its panel, or the body's own; both sides are blurred as the eye's finds are.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from ..backbones.mini import MiniBackbone
from ..backbones.mini_eye import JOINTS
from ..backbones.mini_rig import Clip
from ..pose.draw import MIN_BOX
from ..puppets.scene import LEAD_IN, in_picture, triplet_poses
from .fit import Schedule, fit

SCHEDULE = Schedule(steps=30_000, learning_rate=2e-3, warm_up=100, save_every=1000)
DRIVERS = {"other": 0.45, "other boxed": 0.4, "own": 0.1, "own boxed": 0.05}
GUESSED = 6.0  # times the blur of what is seen
ASKED = 6  # frames of a clip in every other step; all in the rest


@dataclass(frozen=True)
class RigConfig:
    schedule: Schedule = SCHEDULE
    triplets: int = 112_000  # at most, those of a short schedule are fewer
    clips: int = 128  # of a batch
    # Pixels of 128, Laplace, a clip's up to this: of the reference, of a driver's frames, and of
    # what all its frames are off by.
    blur: tuple[float, float, float] = (0.7, 0.5, 0.4)
    seed: int = 0
    first: int = 40_000_000  # triplet


class Clips:
    """Joints (n, 2, t, 2, 18, 2) in pixels: of driver and truth, of two bodies or of one twice."""

    def __init__(self, config: RigConfig, num_frames: int, size: int):
        self.config, self.size = config, size
        count = min(config.triplets, config.schedule.steps * config.clips)
        seeds = tqdm(range(config.first, config.first + count), desc="motions")
        # Nothing of the poses but this is kept: their hands and faces would fill the memory.
        joints = np.empty((len(seeds), 2, num_frames, 2, JOINTS, 2), np.float32)
        for row, seed in enumerate(seeds):
            for side, pose in enumerate(triplet_poses(seed, "train", num_frames)):
                joints[row, side] = pose.body[:, [0, -1], :, :2]
        self.joints = torch.from_numpy(joints).mul_(size)

    def batch(self, step: int) -> tuple[Tensor, Tensor, Tensor]:
        """References (n, 2, 18, 2), drivers and truth (n, t, 2, 18, 2) of driven frames."""
        config = self.config
        rng = np.random.default_rng((config.seed, step))
        rows = torch.from_numpy(rng.integers(len(self.joints), size=config.clips))
        side = torch.from_numpy(rng.integers(2, size=config.clips))  # either may be the truth
        whole = self.joints[rows, side]
        reference, truth = whole[:, 0], whole[:, LEAD_IN:]
        other = self.joints[rows, 1 - side][:, LEAD_IN:]
        names = rng.choice(list(DRIVERS), config.clips, p=list(DRIVERS.values()))
        own, boxed = (
            torch.tensor([word in name for name in names]).view(-1, 1, 1, 1, 1)
            for word in ("own", "boxed")
        )
        driver = torch.where(own, truth, other)
        driver = torch.where(boxed, self._boxed(driver), driver)
        alone = (truth[:, :, 0] == truth[:, :, 1]).flatten(1).all(dim=1)
        of_reference, of_frame, of_clip = config.blur
        reference = reference + of_reference * self._blur(reference, rng)
        blur = of_frame * self._blur(driver, rng) + of_clip * self._blur(driver[:, :1], rng)
        driver = driver + blur
        for joints in (reference, driver.transpose(1, 2)):
            joints[alone, 1] = joints[alone, 0]
        return reference, driver, truth

    def _blur(self, joints: Tensor, rng: np.random.Generator) -> Tensor:
        """Laplace, up to a pixel of 128 a clip; what is not in the picture is guessed."""
        blur = rng.laplace(size=joints.shape) * self.size / 128
        blur *= rng.random((len(joints), *[1] * (joints.ndim - 1)))
        blur = torch.from_numpy(blur).float()
        return torch.where(in_picture(joints / self.size)[..., None], blur, GUESSED * blur)

    def _boxed(self, joints: Tensor) -> Tensor:
        """As pose.draw.fit_box does with a clip, (n, t, 2, 18, 2)."""
        inside = in_picture(joints / self.size)[..., None]
        low = joints.where(inside, torch.inf).amin(dim=(1, 2, 3), keepdim=True)
        high = joints.where(inside, -torch.inf).amax(dim=(1, 2, 3), keepdim=True)
        gone = low > high
        low, high = low.masked_fill(gone, 0), high.masked_fill(gone, self.size)
        side = high - low
        grown = side.clamp(min=MIN_BOX * self.size)
        return self.size * (joints - low + (grown - side) / 2) / grown


def train_rig(
    backbone: MiniBackbone,
    config: RigConfig,
    folder: Path,
    on_step: Callable[[int, float], None] = lambda step, loss: None,
    minutes: float = math.inf,
) -> None:
    """Train backbone.transformer.rig; see fit. The loss is in pixels."""
    geometry, rig = backbone.geometry, backbone.transformer.rig
    clips = Clips(config, geometry.num_frames, geometry.panel[0])
    size = torch.tensor([geometry.panel[1], geometry.panel[0]]).float()

    def batches(order: range) -> Iterator[tuple[Tensor, Tensor, Tensor, Clip | None]]:
        for step in order:
            # Each body is driven by its like alone, so one of the two will do.
            body = slice(step // 2 % 2, step // 2 % 2 + 1)
            reference, driver, truth = (each[..., body, :, :] for each in clips.batch(step))
            if step % 2:
                yield reference, driver, truth, None
                continue
            order_of = np.random.default_rng((config.seed, step, 1)).permuted
            frames = np.tile(np.arange(driver.shape[1]), (len(driver), 1))
            times = torch.from_numpy(order_of(frames, axis=1)[:, :ASKED])
            row = torch.arange(len(driver))[:, None]
            yield reference, driver[row, times], truth[row, times], Clip(driver, times)

    def loss_of(reference: Tensor, driver: Tensor, truth: Tensor, clip: Clip | None) -> Tensor:
        shown = torch.ones(driver.shape[:2], dtype=torch.bool, device=driver.device)
        made = rig(reference, driver, shown, size.to(driver.device), clip)
        return (made - truth).abs().mean()

    fit(rig, loss_of, batches, config.schedule, folder, on_step, minutes)
