"""What is scored: unseen puppets, or bodies out of GLB files, doing unseen motions.

A case is a triplet of the test split. The reference picture and the driver go in; the truth is
the same motion performed by the reference's character, which only a drawn world knows.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
from torch import Tensor

from ..errors import InputError
from ..media import to_frames
from ..options import GROUPS
from ..pose.guides import MOST_BODIES, Guides
from ..pose.keypoints import Pose
from ..puppets.colours import HUES
from ..puppets.triplet import THUMBNAIL_SIZE, triplet
from ..puppets.world import LEAD_IN, Clip, Triplet

Draw = Callable[[int, int, int], Triplet]  # (seed, num_frames, size) -> one of the test split

VARIED, BODIES = APART = ("varied", "glb-bodies")  # a case is in one of these, or in none
SEED_CASES = 1000  # so many triplets belong to one seed, so that no two seeds share one


@dataclass(frozen=True)
class Case:
    """Frames are float32 in [0, 1]; the videos start behind the lead-in."""

    reference: Tensor  # (1, h, w, 3)
    driving: Tensor  # (t, h, w, 3)
    skeleton: Tensor  # (t, h, w, 3) the driver's pose, its box stretched to the panel
    keypoints: Pose  # (t, ...) the same pose
    truth: np.ndarray  # (t, h, w, 3)
    scene: np.ndarray  # (t, h, w, 3) the truth without its characters
    mask: np.ndarray  # (t, h, w) bool, true foreground
    reference_mask: np.ndarray  # (1, h, w) bool, foreground of the reference
    driving_mask: np.ndarray  # (t, h, w) bool, foreground of the driver
    prompt: str
    groups: tuple[str, ...]
    guides: Guides  # the reference's true joints and outline


def draw_puppets(seed: int, num_frames: int, size: int) -> Triplet:
    return triplet(seed, "test", num_frames, size)


def draw_varied(seed: int, num_frames: int, size: int) -> Triplet:
    """As those of the training split, but of unseen puppets."""
    return triplet(seed, "test", num_frames, size, varied=True)


def draw_bodies(folder: Path) -> Draw:
    """Triplets of the rigged bodies in a folder of GLB files."""
    from ..puppets.glb import glb_triplet

    return lambda seed, num_frames, size: glb_triplet(seed, folder, "test", num_frames, size)


def make_case(
    seed: int, size: int, num_frames: int, draw: Draw = draw_puppets, apart: str | None = None
) -> Case:
    """Case of one triplet; num_frames counts frame 0 and the lead-in; apart: one of APART."""
    clips = draw(seed, num_frames, size)
    driver, truth = clips.driver, clips.truth
    return Case(
        reference=to_frames(truth.frames[:1]),
        driving=to_frames(driver.frames[LEAD_IN:]),
        skeleton=to_frames(driver.skeleton()),
        keypoints=driver.driven,
        truth=to_frames(truth.frames[LEAD_IN:]).numpy(),
        scene=to_frames(truth.scene[LEAD_IN:]).numpy(),
        mask=truth.mask[LEAD_IN:] > 127,
        reference_mask=truth.mask[:1] > 127,
        driving_mask=driver.mask[LEAD_IN:] > 127,
        prompt=truth.caption,
        groups=(apart,) if apart else groups_of(clips),
        guides=_guides_of(truth),
    )


def _guides_of(clip: Clip) -> Guides:
    """What the first frame shows; of three bodies those at the sides."""
    _, height, width = clip.mask.shape
    bodies = clip.pose.body[0] * [width, height, 1]
    if len(bodies) > MOST_BODIES:
        bodies = bodies[[0, -1]]
    return Guides(height, width, bodies, clip.mask[0].astype(np.float32) / 255)


def groups_of(clips: Triplet) -> tuple[str, ...]:
    """The members of GROUPS that two puppet clips belong to."""
    several = clips.truth.pose.body.shape[1] > 1
    crossed = _kinds(clips.driver.caption) != _kinds(clips.truth.caption)
    return tuple(name for name, has in zip(GROUPS, (several, crossed), strict=True) if has)


def case_seeds(seed: int, cases: int, num_frames: int, group: str | None = None) -> list[int]:
    """The first so many triplets that belong to a seed; in one group only, if it is named."""
    own = range(seed * SEED_CASES, (seed + 1) * SEED_CASES)
    members = own if group is None else (s for s in own if group in _groups(s, num_frames))
    found = list(islice(members, cases))
    if len(found) < cases:
        what = "cases" if group is None else f"{group} cases"
        fix = "Ask for fewer, or for several seeds."
        raise InputError(what, got=cases, need=f"at most the {len(found)} of a seed", fix=fix)
    return found


def _groups(seed: int, num_frames: int) -> tuple[str, ...]:
    return groups_of(draw_puppets(seed, num_frames, THUMBNAIL_SIZE))


def _kinds(caption: str) -> list[str]:
    """What each puppet is: a clip keeps no identities, but says "a red bear is ..."."""
    return re.findall(rf"\ban? (?:{'|'.join(HUES)}) (\w+)", caption)
