"""What the eye makes of drawn clips: the keypoints that a rig will have to live with.

They are kept in files, so that what this eye has seen is not drawn again.
"""

from __future__ import annotations

import hashlib
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from tqdm import tqdm

from ...mini.backbone import MiniBackbone
from ...pose.keypoints import Pose
from ...puppets.triplet import triplet
from ...puppets.world import LEAD_IN
from ..feeding import workers
from .glances import through_code
from .world import drawing_processes

SHARD = 250  # triplets of a file


class Estimates(NamedTuple):
    """Of n triplets, driver and truth each: keypoints (x, y, uncertainty) in pixels."""

    reference: Tensor  # (n, 2, 2, 18, 3)
    driver: Tensor  # (n, 2, t, 2, 18, 3) of driven frames
    skeleton: Tensor  # (n, 2, t, 2, 18, 3) of their skeletons, stretched onto the panel
    joints: Tensor  # (n, 2, 1 + t, 2, 18, 2) the truth, the reference first


class DrawnEstimates(Dataset):
    """Estimates of one triplet at a time."""

    def __init__(self, backbone: MiniBackbone, first: int):
        self.backbone, self.first = backbone, first

    def __getitem__(self, row: int) -> Estimates:
        geometry = self.backbone.geometry
        size = geometry.panel[0]
        drawn = triplet(self.first + row, "train", geometry.num_frames, size, transition=False)
        both = []
        for clip in (drawn.driver, drawn.truth):
            driven = len(clip.frames) - LEAD_IN
            frames = np.concatenate([without_lead_in(clip.frames), clip.skeleton()])
            reference, driver, skeleton = self._keypoints(frames).split((1, driven, driven))
            joints = torch.from_numpy(size * driven_joints(clip.pose)).float()
            both.append(Estimates(reference[0], driver, skeleton, joints))
        return Estimates(*(torch.stack(sides) for sides in zip(*both, strict=True)))

    @torch.inference_mode()
    def _keypoints(self, frames: np.ndarray) -> Tensor:
        """(t, h, w, 3) uint8 -> (t, 2, 18, 3)"""
        eye, pictures = self.backbone.transformer.eye, through_code(self.backbone, frames)
        return eye.averaged(pictures, labels=False).keypoints


def without_lead_in(frames: np.ndarray) -> np.ndarray:
    """The reference and the driven frames."""
    return np.delete(frames, np.s_[1:LEAD_IN], axis=0)


def driven_joints(pose: Pose) -> np.ndarray:
    """(1 + t, 2, 18, 2) in shares of the panel, of two bodies or of one twice."""
    return without_lead_in(pose.body[:, [0, -1], :, :2])


def draw_estimates(
    backbone: MiniBackbone, first: int, count: int, folder: Path, minutes: float
) -> Estimates | None:
    """Of so many triplets, in files of a folder. None when the minutes are over before."""
    folder.mkdir(parents=True, exist_ok=True)
    began, shards = time.monotonic(), []
    eye = hashlib.sha256()
    for weight in backbone.transformer.eye.state_dict().values():
        eye.update(weight.float().numpy().tobytes())
    for start in tqdm(range(0, count, SHARD), desc="estimates"):
        rows = range(start, min(start + SHARD, count))
        path = folder / f"{eye.hexdigest()[:8]}-{first + start}-{len(rows)}.safetensors"
        if not path.exists():
            if time.monotonic() - began > 60 * minutes:
                return None
            dataset, options = DrawnEstimates(backbone, first), workers(drawing_processes())
            loader = DataLoader(dataset, batch_size=None, sampler=rows, **options)
            drawn = Estimates(*(torch.stack(each) for each in zip(*loader, strict=True)))
            temporary = path.with_suffix(".tmp")
            save_file(drawn._asdict(), temporary)
            temporary.replace(path)
        shards.append(Estimates(**load_file(path)))
    return Estimates(*(torch.cat(each) for each in zip(*shards, strict=True)))
