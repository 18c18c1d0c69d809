"""Puppets drawn while the model trains: no sample is ever seen twice, and nothing lies on disk.

Answers the same questions as cache.Cache, and one more: where the parts of a body are. For models
whose encoder costs next to nothing, as the small one's.
"""

from __future__ import annotations

import os
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from ...backbones import Backbone
from ...media import to_frames
from ...pose.draw import draw_pose
from ...pose.keypoints import Pose
from ...pose.vary import vary_pose
from ...puppets.triplet import triplet
from ...puppets.world import Clip
from ...skeleton import PARTS
from .truth import ClipTruth

TRIPLETS = 20_000_000


def drawing_processes() -> int:
    """How many draw while the model trains: a core for each but one."""
    return max(1, min(15, (os.cpu_count() or 1) - 1))


class World:
    """Two samples a triplet, as cache.puppet_samples; frames of the transition stay black."""

    def __init__(self, backbone: Backbone):
        geometry = backbone.geometry
        self.backbone = backbone
        self.num_frames, self.size = geometry.num_frames, geometry.panel[0]
        self.black = self._encode(np.zeros((self.num_frames, self.size, self.size, 3), np.uint8))
        self.latent_frames = self.black.shape[2]
        self._triplet = lru_cache(1)(self._draw_triplet)

    def __len__(self) -> int:
        return 2 * TRIPLETS

    def draw_rows(self, count: int, rng: np.random.Generator) -> list[int]:
        """Both samples of a triplet side by side, so that it is drawn once."""
        seeds = rng.integers(TRIPLETS, size=(count + 1) // 2)
        return [2 * int(seed) + way for seed in seeds for way in (0, 1)][:count]

    def panel(self, key: str, row: int) -> Tensor:
        """A clip, (1, c, t', h', w') float32."""
        return self._encode(self.frames(key, row))

    def clip(self, key: str, row: int) -> Clip:
        """The "target" or the "driving" one, as it was drawn."""
        target, driver = self._clips(row)
        return target if key == "target" else driver

    def frames(self, key: str, row: int) -> np.ndarray:
        """(t, h, w, 3) uint8"""
        if key in ("target", "driving"):
            return self.clip(key, row).frames
        return draw_pose(self._pose(key, row), self.size, self.size)

    def caption(self, row: int) -> str:
        return self._clips(row)[0].caption

    def truth(self, key: str, row: int) -> ClipTruth:
        clip = self.clip("driving" if key == "driving" else "target", row)
        pose = clip.pose if key in ("target", "driving") else self._pose(key, row)
        joints = pose.body[:, [0, -1], :, :2] * self.size
        assert clip.parts is not None and clip.places is not None, "of a drawn body they are known"
        # Of three bodies the model knows those at the sides; the others count as scene.
        last = max(1, pose.body.shape[1] - 1)
        parts = np.where((clip.parts - 1) // PARTS % last == 0, clip.parts, 0)
        return ClipTruth(parts, clip.places, joints.astype(np.float32))

    def _clips(self, row: int) -> tuple[Clip, Clip]:
        """Target and driver."""
        clips = self._triplet(row // 2)
        return (clips.driver, clips.truth) if row % 2 else (clips.truth, clips.driver)

    def _draw_triplet(self, seed: int):
        return triplet(seed, "train", self.num_frames, self.size, transition=False)

    def _pose(self, key: str, row: int) -> Pose:
        """The target's own pose, as it is or varied."""
        pose = self._clips(row)[0].pose
        return pose if key == "pose" else vary_pose(pose, np.random.default_rng((row, 1)))

    @torch.no_grad()
    def _encode(self, frames: np.ndarray) -> Tensor:
        return self.backbone.encode_video(to_frames(frames))
