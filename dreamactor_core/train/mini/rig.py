"""What the small model's rig learns: from motions, and from what the eye makes of drawn ones.

A batch holds whole clips of joints. The driver is another body's motion as it is seen, or as a
skeleton stretched onto its panel, or the body's own. Half of the clips have been drawn and looked
at; the others, of which there are many more as nothing is drawn, are off by as much as the eye was
in one of those. It is wrong seldom, then far and for several frames, and mostly knows it.

What is asked for is not where the joints of the answer are, but where the points of the reference
go that the eye took for joints: a piece that is taken by the wrong point still lands where it ought
to, as long as that point does.
"""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.nn.functional import pad
from torch.utils.data import DataLoader, Dataset
from tqdm import tqdm

from ...mini.backbone import MiniBackbone
from ...mini.eye import JOINTS
from ...mini.rig import (
    ANKLE,
    ARMS,
    EAR,
    ELBOW,
    EYE,
    FACE,
    HEAD,
    HIP,
    KNEE,
    LIMBS,
    NECK,
    SHOULDER,
    TORSO,
    WRIST,
    Clip,
    frames_of,
    size_of,
    turn_between,
    turned,
)
from ...pose.draw import MIN_BOX
from ...pose.keypoints import Pose
from ...puppets.scene import LEAD_IN, in_picture, triplet, triplet_poses
from ..feeding import workers
from ..fit import Schedule, fit
from .eye import OUTSIDE_WEIGHT, through_code
from .world import drawing_processes

SCHEDULE = Schedule(steps=30_000, learning_rate=2e-3, warm_up=100, save_every=1000)
DRIVERS = {"other": 0.45, "other boxed": 0.4, "own": 0.1, "own boxed": 0.05}
ASKED = 6  # frames of a clip in every other step; all in the rest
PART = 250  # triplets of a file
LARGER = 1.15  # as much larger or smaller a clip is made
FAR = 4.0  # pixels: a limb so far off is as wrong as it can be, nearly
PAIRS = (SHOULDER, ELBOW, WRIST, HIP, KNEE, ANKLE, EYE, EAR)
OTHER = dict(PAIRS) | {left: right for right, left in PAIRS}
OTHER_SIDE = [OTHER.get(joint, joint) for joint in range(JOINTS)]
# The pieces that each joint moves with. Those of LIMBS follow torso and head.
PIECES_OF = [(TORSO, (NECK, *HIP)), (HEAD, FACE), *enumerate(LIMBS, start=ARMS[0])]
MOVED_BY = [[piece for piece, joints in PIECES_OF if j in joints] for j in range(JOINTS)]


@dataclass(frozen=True)
class RigConfig:
    schedule: Schedule = SCHEDULE
    triplets: int = 112_000  # of motions, at most: those of a short schedule are fewer
    looks: int = 6000  # triplets that are drawn and looked at, as many as steps at most
    clips: int = 128  # of a batch
    seed: int = 0
    first: int = 40_000_000  # triplet


class Looks(NamedTuple):
    """Of n triplets, driver and truth, what the eye tells: x, y, and how far from there they may
    be, in pixels."""

    reference: Tensor  # (n, 2, 2, 18, 3)
    seen: Tensor  # (n, 2, t, 2, 18, 3) of driven frames
    boxed: Tensor  # (n, 2, t, 2, 18, 3) of their skeletons, stretched onto the panel
    joints: Tensor  # (n, 2, 1 + t, 2, 18, 2) the truth, the reference first


class Drawn(Dataset):
    """Looks of one triplet at a time."""

    def __init__(self, backbone: MiniBackbone, first: int):
        self.backbone, self.first = backbone, first

    def __getitem__(self, row: int) -> Looks:
        geometry = self.backbone.geometry
        size = geometry.panel[0]
        drawn = triplet(self.first + row, "train", geometry.num_frames, size, transition=False)
        looks = []
        for clip in (drawn.driver, drawn.truth):
            driven = len(clip.frames) - LEAD_IN
            found = self._look_at(np.concatenate([without_lead_in(clip.frames), clip.skeleton()]))
            reference, seen, boxed = found.split((1, driven, driven))
            joints = torch.from_numpy(size * joints_of(clip.pose)).float()
            looks.append(Looks(reference[0], seen, boxed, joints))
        return Looks(*(torch.stack(sides) for sides in zip(*looks, strict=True)))

    @torch.inference_mode()
    def _look_at(self, frames: np.ndarray) -> Tensor:
        """(t, h, w, 3) uint8 -> (t, 2, 18, 3)"""
        eye, pictures = self.backbone.transformer.eye, through_code(self.backbone, frames)
        return eye.twice(pictures, pieces=False).found


def without_lead_in(frames: np.ndarray) -> np.ndarray:
    """The reference and the driven frames."""
    return np.delete(frames, np.s_[1:LEAD_IN], axis=0)


def joints_of(pose: Pose) -> np.ndarray:
    """(1 + t, 2, 18, 2) in shares of the panel, of two bodies or of one twice."""
    return without_lead_in(pose.body[:, [0, -1], :, :2])


def look(backbone: MiniBackbone, config: RigConfig, folder: Path, minutes: float) -> Looks | None:
    """All of config.looks, in files of a folder: those that this eye has made are not drawn again.
    None when the minutes are over before."""
    folder.mkdir(parents=True, exist_ok=True)
    began, parts = time.monotonic(), []
    count, eye = min(config.looks, config.schedule.steps), hashlib.sha256()
    for weight in backbone.transformer.eye.state_dict().values():
        eye.update(weight.float().numpy().tobytes())
    for start in tqdm(range(0, count, PART), desc="looks"):
        rows = range(start, min(start + PART, count))
        part = folder / f"{eye.hexdigest()[:8]}-{config.first + start}-{len(rows)}.safetensors"
        if not part.exists():
            if time.monotonic() - began > 60 * minutes:
                return None
            loader = DataLoader(
                Drawn(backbone, config.first),
                batch_size=None,
                sampler=rows,
                **workers(drawing_processes()),
            )
            looks = Looks(*(torch.stack(each) for each in zip(*loader, strict=True)))
            temporary = part.with_suffix(".tmp")
            save_file(looks._asdict(), temporary)
            temporary.replace(part)
        parts.append(Looks(**load_file(part)))
    return Looks(*(torch.cat(each) for each in zip(*parts, strict=True)))


class Clips:
    """Joints (n, 2, t, 2, 18, 2) in pixels: of driver and truth, of two bodies or of one twice."""

    def __init__(self, config: RigConfig, looks: Looks, num_frames: int, size: int):
        self.config, self.looks, self.size = config, looks, size
        count = min(config.triplets, config.schedule.steps * config.clips)
        # Behind those that are drawn.
        first = config.first + config.looks
        seeds = tqdm(range(first, first + count), desc="motions")
        # Nothing of the poses but this is kept: their hands and faces would fill the memory.
        driven = 1 + num_frames - LEAD_IN
        joints = np.empty((len(seeds), 2, driven, 2, JOINTS, 2), np.float32)
        for row, seed in enumerate(seeds):
            for side, pose in enumerate(triplet_poses(seed, "train", num_frames)):
                joints[row, side] = joints_of(pose)
        self.joints = torch.from_numpy(joints).mul_(size)

    def batch(self, step: int) -> tuple[Tensor, Tensor, Tensor]:
        """References (n, 2, 18, 3), drivers (n, t, 2, 18, 3), and where the points of the reference
        go that were taken for joints, (n, t, 2, 18, 2)."""
        rng = np.random.default_rng((self.config.seed, step))
        reference, driver, goal = self._clips(rng)
        # Seldom seen as they are, so that those that were drawn are not learned by heart.
        larger = LARGER ** torch.from_numpy(rng.uniform(-1, 1, (2, self.config.clips))).float()
        mirrored = torch.from_numpy(rng.random(self.config.clips) < 0.5)
        of_answer, of_driver = larger[..., None, None, None, None].unbind()
        return (
            self._changed(reference[:, None], of_answer, mirrored)[:, 0],
            self._changed(driver, of_driver, mirrored),
            self._changed(goal, of_answer, mirrored),
        )

    def _clips(self, rng: np.random.Generator) -> tuple[Tensor, Tensor, Tensor]:
        looked_at = self.config.clips // 2
        parts = self._looked_at(looked_at, rng), self._off(self.config.clips - looked_at, rng)
        return tuple(torch.cat(each) for each in zip(*parts, strict=True))

    def _changed(self, joints: Tensor, larger: Tensor, mirrored: Tensor) -> Tensor:
        """(n, t, 2, 18, 2 or 3), so much larger (n, 1, 1, 1, 1) about the middle, and some as in a
        mirror (n,)."""
        middle = torch.tensor([self.size / 2, self.size / 2, 0])[: joints.shape[-1]]
        joints = middle + larger * (joints - middle)
        other = joints[..., OTHER_SIDE, :]
        other[..., 0] = self.size - other[..., 0]
        return torch.where(mirrored[:, None, None, None, None], other, joints)

    def _looked_at(self, count: int, rng: np.random.Generator) -> tuple[Tensor, Tensor, Tensor]:
        looks = self.looks
        rows, side, driver, boxed = self._draw(len(looks.joints), count, rng)
        seen = torch.where(boxed, looks.boxed[rows, driver], looks.seen[rows, driver])
        reference, truth = looks.reference[rows, side], looks.joints[rows, side]
        return reference, seen, carried(reference[..., :2], truth[:, 0], truth[:, 1:])

    def _off(self, count: int, rng: np.random.Generator) -> tuple[Tensor, Tensor, Tensor]:
        """Motions, off by what the eye was in other clips."""
        looks = self.looks
        rows, side, driver, boxed = self._draw(len(self.joints), count, rng)
        truth, seen = self.joints[rows, side], self.joints[rows, driver, 1:]
        rows, side, driver, _ = self._draw(len(looks.joints), count, rng)
        off = pad(truth[:, 0] - looks.joints[rows, side, 0], (0, 1))
        reference = looks.reference[rows, side] + off
        others = looks.joints[rows, driver, 1:]
        off = torch.where(boxed, self._boxed(seen) - self._boxed(others), seen - others)
        found = torch.where(boxed, looks.boxed[rows, driver], looks.seen[rows, driver])
        goal = carried(reference[..., :2], truth[:, 0], truth[:, 1:])
        return reference, found + pad(off, (0, 1)), goal

    @staticmethod
    def _draw(
        among: int, count: int, rng: np.random.Generator
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Rows (n,), which side is the truth and which the driver (n,), and whether that is a
        skeleton (n, 1, 1, 1, 1)."""
        rows, side = (torch.from_numpy(rng.integers(high, size=count)) for high in (among, 2))
        names = rng.choice(list(DRIVERS), count, p=list(DRIVERS.values()))
        own, boxed = (torch.tensor([word in name for name in names]) for word in ("own", "boxed"))
        return rows, side, torch.where(own, side, 1 - side), boxed.view(-1, 1, 1, 1, 1)

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


def carried(points: Tensor, reference: Tensor, truth: Tensor) -> Tensor:
    """Where points (n, m, 18, 2) of the reference, which were taken for joints, go with the pieces
    of a body: (n, t, m, 18, 2). reference (n, m, 18, 2) and truth (n, t, m, 18, 2): its joints."""
    points, reference = (
        each[:, None].expand(-1, truth.shape[1], -1, -1, -1) for each in (points, reference)
    )
    (_, ways, _), (_, goal_ways, _) = (
        frames_of(joints, torch.zeros(joints.shape[:-2], dtype=torch.bool))
        for joints in (reference, truth)
    )
    larger = size_of(truth) / size_of(reference).clamp(min=1e-3)
    off = (points - reference) * larger[..., None, None]
    turn = turn_between(ways, goal_ways)
    off = [
        turned(off[..., joint, None, :], turn[..., pieces, :]).mean(dim=-2)
        for joint, pieces in enumerate(MOVED_BY)
    ]
    return truth + torch.stack(off, dim=-2)


def train_rig(
    backbone: MiniBackbone,
    config: RigConfig,
    folder: Path,
    on_step: Callable[[int, float], None] = lambda step, loss: None,
    minutes: float = math.inf,
) -> None:
    """Train backbone.transformer.rig; see fit. The loss is in pixels, far ones pressed together."""
    began = time.monotonic()
    geometry, rig = backbone.geometry, backbone.transformer.rig
    looks = look(backbone, config, folder / "looks", minutes)
    if looks is None:
        return
    clips = Clips(config, looks, geometry.num_frames, geometry.panel[0])
    size = torch.tensor([geometry.panel[1], geometry.panel[0]]).float()

    def batches(order: range) -> Iterator[tuple[Tensor, Tensor, Tensor, Clip | None]]:
        for step in order:
            # Each body is driven by its like alone, so one of the two will do.
            body = slice(step // 2 % 2, step // 2 % 2 + 1)
            reference, driver, goal = (each[..., body, :, :] for each in clips.batch(step))
            if step % 2:
                yield reference, driver, goal, None
                continue
            order_of = np.random.default_rng((config.seed, step, 1)).permuted
            frames = np.tile(np.arange(driver.shape[1]), (len(driver), 1))
            times = torch.from_numpy(order_of(frames, axis=1)[:, :ASKED])
            row = torch.arange(len(driver))[:, None]
            yield reference, driver[row, times], goal[row, times], Clip(driver, times)

    def loss_of(reference: Tensor, driver: Tensor, goal: Tensor, clip: Clip | None) -> Tensor:
        shown = torch.ones(driver.shape[:2], dtype=torch.bool, device=driver.device)
        made = rig(reference, driver, shown, size.to(driver.device), clip)
        inside = in_picture(goal / size.to(goal))
        weight = inside + OUTSIDE_WEIGHT * ~inside
        off = ((made - goal).square().sum(dim=-1) + 1e-4).sqrt()
        return (FAR * (off / FAR).log1p() * weight).sum() / weight.sum()

    minutes -= (time.monotonic() - began) / 60
    fit(rig, loss_of, batches, config.schedule, folder, on_step, minutes)
