"""What the eye looks at while it learns: single pictures of the drawn worlds, and their truth.

The network's eye looks at puppets and rigged bodies. The broad one is for all that the network does
not read itself: it looks at bodies in other styles, pictures of nothing, and people whom BlazePose
finds (people.py).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from ...media import to_frames
from ...mini.backbone import MiniBackbone
from ...puppets.glb import glb_glance
from ...puppets.restyle import draw_in_styles, picture_of_nothing
from ...puppets.world import LEAD_IN, Clip
from ..fit import Schedule
from .people import UNKNOWN, Media, lesson, read_media
from .truth import part_of
from .world import World

EYE_SCHEDULE = Schedule(steps=6000, learning_rate=2e-3)
LEANING_SHARE, LEANING_BY = 0.5, 30.0  # of the restyled bodies; degrees, sigma
Glance = tuple[Tensor, Tensor, Tensor]  # some pictures, their joints and labels, see Glances


@dataclass(frozen=True)
class EyeConfig:
    schedule: Schedule = EYE_SCHEDULE
    triplets: int = 3  # of a batch: both sides of each, and a skeleton
    bodies: Path | None = None  # folder of GLB files, drawn beside the puppets
    glances: int = 2  # of a batch: clips of these
    frames: int = 4  # of each clip
    compile: bool = True
    seed: int = 0
    broad: bool = False  # the broad eye learns, not the network's; clips or pictures of a batch:
    restyled: int = 0  # triplets of puppets in other styles, both sides
    restyled_bodies: int = 0  # clips of rigged bodies in other styles
    nothing: int = 0  # pictures of nothing
    people: int = 0  # pictures of people
    media: Path | None = None  # folder of pictures and clips: grounds, textures, people


BROAD_DIET = EyeConfig(
    schedule=Schedule(steps=2500, learning_rate=6e-4),
    triplets=0,
    glances=2,
    frames=3,
    broad=True,
    restyled=1,
    restyled_bodies=8,
    nothing=4,
    people=6,
)


class Glances(Dataset):
    """Batches of pictures (n, 3, h, w) as the eye sees them, joints (n, 2, 18, 2) in pixels, not a
    number where the body has none, and labels (n, h, w), UNKNOWN of a skeleton."""

    def __init__(self, backbone: MiniBackbone, config: EyeConfig):
        self.backbone, self.config, self.world = backbone, config, World(backbone)
        self.media = read_media(config.media, "train") if config.media else Media([], [])

    def __getitem__(self, step: int) -> Glance:
        rng = np.random.default_rng((self.config.seed, step))
        glances = [self._glance(row, key, rng) for row, key in self._draw_panels(rng)]
        if self.config.bodies:
            glances += [self._glance_at_body(rng) for _ in range(self.config.glances)]
        glances += self._broad(rng)
        pictures, joints, labels = zip(*glances, strict=True)
        return torch.cat(pictures), torch.cat(joints), torch.cat(labels)

    def _draw_panels(self, rng: np.random.Generator) -> list[tuple[int, str]]:
        """Rows and keys of the world: both sides of triplets, and a skeleton of each, side by side,
        so that a triplet is drawn once."""
        rows = self.world.draw_rows(2 * self.config.triplets, rng)
        keys = rng.choice(["pose", "skeleton"], len(rows) // 2, p=[0.3, 0.7])
        return sorted([(row, "target") for row in rows] + list(zip(rows[::2], keys, strict=True)))

    def _moments(self, key: str, rng: np.random.Generator) -> np.ndarray:
        """Frames of a clip of the world; of a target the reference among them."""
        at = LEAD_IN + rng.permutation(self.world.num_frames - LEAD_IN)[: self.config.frames]
        if key == "target":
            at[0] = 0
        return at

    def _glance(self, row: int, key: str, rng: np.random.Generator) -> Glance:
        at = self._moments(key, rng)
        truth = self.world.truth(key, row)
        picture = through_code(self.backbone, self.world.frames(key, row)[at])
        labels = torch.from_numpy(part_of(truth.parts[at]))
        if key != "target":
            labels = torch.full_like(labels, UNKNOWN)
        return picture, torch.from_numpy(truth.joints[at]), labels

    def _glance_at_body(self, rng: np.random.Generator, *, other_style: bool = False) -> Glance:
        """A rigged body; those in other styles in proportions of their own."""
        config, size = self.config, self.world.size
        assert config.bodies is not None
        seed = int(rng.integers(2**31))
        clip = glb_glance(seed, config.bodies, "train", config.frames, size, reshaped=other_style)
        if other_style and rng.random() < LEANING_SHARE:
            clip = leaning(clip, rng.normal(0, LEANING_BY))
        frames = draw_in_styles(rng, clip, self.media.pictures) if other_style else clip.frames
        return through_code(self.backbone, frames), *truth_of_body(clip)

    def _broad(self, rng: np.random.Generator) -> list[Glance]:
        config, glances = self.config, []
        for row in self.world.draw_rows(2 * config.restyled, rng):
            glances.append(self._restyled(row, rng))
        if config.bodies:
            for _ in range(config.restyled_bodies):
                glances.append(self._glance_at_body(rng, other_style=True))
        if config.nothing:
            glances.append(self._nothing(rng))
        if config.people and self.media.people:
            glances.append(self._people(rng))
        return glances

    def _restyled(self, row: int, rng: np.random.Generator) -> Glance:
        at, clip = self._moments("target", rng), self.world.clip("target", row)
        truth = self.world.truth("target", row)
        pictures = through_code(
            self.backbone, draw_in_styles(rng, clip_at(clip, at), self.media.pictures)
        )
        labels = torch.from_numpy(part_of(truth.parts[at]))
        return pictures, torch.from_numpy(truth.joints[at]), labels

    def _nothing(self, rng: np.random.Generator) -> Glance:
        size, count = self.world.size, self.config.nothing
        (row,) = self.world.draw_rows(1, rng)
        body = self.world.clip("target", row).frames[0]
        pictures = [picture_of_nothing(rng, size, self.media.pictures, body) for _ in range(count)]
        joints = torch.full((count, 2, 18, 2), torch.nan)
        labels = torch.zeros(count, size, size, dtype=torch.int64)
        return through_code(self.backbone, np.stack(pictures)), joints, labels

    def _people(self, rng: np.random.Generator) -> Glance:
        people = self.media.people
        chosen = [people[rng.integers(len(people))] for _ in range(self.config.people)]
        lessons = [lesson(rng, person, self.world.size) for person in chosen]
        pictures, joints, labels = (np.stack(parts) for parts in zip(*lessons, strict=True))
        both = torch.from_numpy(joints[:, None]).float().expand(-1, 2, -1, -1)
        return through_code(self.backbone, pictures), both, torch.from_numpy(labels)


def clip_at(clip: Clip, at: np.ndarray | list[int]) -> Clip:
    """Some frames of a drawn clip."""
    assert clip.parts is not None, "of a drawn body they are known"
    return replace(
        clip,
        frames=clip.frames[at],
        mask=clip.mask[at],
        scene=clip.scene[at],
        pose=clip.pose.map(lambda points: points[at]),
        parts=clip.parts[at],
        places=None,
    )


def leaning(clip: Clip, degrees: float) -> Clip:
    """The body turned in the picture about its middle, before the scene that it stood before."""
    assert clip.parts is not None, "of a drawn body they are known"
    height, width = clip.mask.shape[1:]
    matrix = cv2.getRotationMatrix2D((width / 2 - 0.5, height / 2 - 0.5), degrees, 1.0)

    def turned(image: np.ndarray, how: int = cv2.INTER_LINEAR) -> np.ndarray:
        return cv2.warpAffine(image, matrix, (width, height), flags=how)

    mask = np.stack([turned(one) for one in clip.mask])
    parts = np.stack([turned(one.astype(np.uint8), cv2.INTER_NEAREST) for one in clip.parts])
    cover = clip.mask[..., None] / 255
    body = np.stack([turned(one) for one in clip.frames - clip.scene * (1 - cover)])
    frames = body + clip.scene * (1 - mask[..., None] / 255)
    middle, turn = np.array([width, height]) / 2, matrix[:, :2]

    def moved(points: np.ndarray) -> np.ndarray:
        xy = (points[..., :2] * 2 * middle - middle) @ turn.T + middle
        return np.concatenate([xy / (2 * middle), points[..., 2:]], axis=-1)

    return replace(
        clip,
        frames=np.rint(frames.clip(0, 255)).astype(np.uint8),
        mask=mask,
        pose=clip.pose.map(moved),
        parts=parts,
    )


def truth_of_body(clip: Clip) -> tuple[Tensor, Tensor]:
    """Joints (t, 2, 18, 2) in pixels and labels (t, h, w) of a rigged body, as of Glances."""
    assert clip.parts is not None, "of a rigged body they are known"
    body = np.where(clip.pose.body[..., 2:] > 0, clip.pose.body[..., :2], np.nan)
    joints = torch.from_numpy(body[:, [0, 0]] * clip.parts.shape[1]).float()
    return joints, torch.from_numpy(part_of(clip.parts))


@torch.no_grad()
def through_code(backbone: MiniBackbone, frames: np.ndarray) -> Tensor:
    """(t, h, w, 3) uint8 -> (t, 3, h, w) in [-1, 1], what is left of them in latents."""
    pictures = 2 * to_frames(frames).permute(0, 3, 1, 2) - 1
    return backbone.vae.picture(backbone.vae.code(pictures))
