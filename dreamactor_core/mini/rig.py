"""The rig: retargeting by rule, and what the rule gets wrong, learned.

The rule (retarget.py) knows nothing of heads that turn, bodies of other plans, cameras that zoom,
where a driver stood before it set out, or errors of the keypoints. A small network corrects it
(train/mini/rig.py), from each frame, the frames before and after it, how uncertain the keypoints
are, and what all frames of the clip have in common.
"""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from ..skeleton import HIP, JOINTS
from .retarget import Retargeted, retarget
from .vectors import body_size, midpoint

NEIGHBOURS = (-2, -1, 1, 2)  # frames away
CLIP_FRAMES = 16  # of the clips that it learned from: the unit of time


class DrivingClip(NamedTuple):
    """The clip that a few driving frames are from, where they come alone: training draws a few
    frames, and must be told of the whole what inference is told."""

    joints: Tensor  # (b, k, m, 18, 2 or 3) of all its frames, see Rig.forward
    times: Tensor  # (b, t) which of these the few are


class DriverFrames(NamedTuple):
    """All frames of a driver that are read, n of them; those to be posed are the last."""

    joints: Tensor  # (b, n, m, 18, 3)
    counts: Tensor  # (b, n) bool: which tell of the clip on the whole
    times: Tensor  # (b, n) the frame's number among those that count
    neighbours: list[Tensor]  # each as joints, the frame so far away

    def by_body(self) -> DriverFrames:
        """Bodies as samples of their own: (b * m, n, 18, 3); counts and times (b * m, n, 1)."""
        bodies = self.joints.shape[2]
        joints, *neighbours = (
            each.transpose(1, 2).flatten(0, 1) for each in (self.joints, *self.neighbours)
        )
        counts, times = (
            each.repeat_interleave(bodies, dim=0)[..., None].to(joints)
            for each in (self.counts, self.times)
        )
        return DriverFrames(joints, counts, times, neighbours)


class Rig(nn.Module):
    """Keypoints of a reference and of a driver -> joints of the answer.

    The names of its layers are those of the weights: `look` reads each frame, `recall` what all
    frames have in common, `correct` and `out` tell the correction from both.
    """

    # Joints: of reference and answer, of the driver and its neighbours, each about a pelvis; of
    # reference and driver in the panel. Uncertainties; plan, scale and time.
    READ = (5 + len(NEIGHBOURS)) * 2 * JOINTS + (2 + len(NEIGHBOURS)) * JOINTS + 6

    def __init__(self, width: int = 384):
        super().__init__()
        self.look = _layers(self.READ, width, width)
        self.recall = _layers(width, width)
        self.correct = _layers(2 * width, width, width)
        self.out = nn.Linear(width, 2 * JOINTS)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    def forward(
        self,
        reference: Tensor,
        driver: Tensor,
        shown: Tensor,
        size: Tensor,
        clip: DrivingClip | None = None,
    ) -> Tensor:
        """reference (b, m, 18, 3), driver (b, t, m, 18, 3): x, y and uncertainty, in pixels;
        without the third they are certain. shown (b, t) bool: which frames have a driver; m bodies,
        each driven by its like -> (b, t, m, 18, 2). size (2,): width and height of the panel.
        Without a clip the frames of the driver are all there are, in order.
        """
        reference, driver = _with_uncertainty(reference), _with_uncertainty(driver)
        samples, bodies = reference.shape[:2]
        frames = _frames_of(driver, shown, clip).by_body()
        reference = reference.flatten(0, 1)[:, None]
        rule = retarget(reference[..., :2], frames.joints[..., :2], frames.counts)
        correction = self._correction(_features(reference, frames, rule, size), frames.counts)
        joints = rule.joints + _unit_of(reference) * correction.to(rule.joints)
        joints = joints[:, -driver.shape[1] :]
        return joints.unflatten(0, (samples, bodies)).transpose(1, 2)

    def _correction(self, features: Tensor, counts: Tensor) -> Tensor:
        """Features (n, t, READ) of frames, and which of them count -> (n, t, 18, 2)."""
        features = features.to(self.out.weight.dtype)
        looks = self.look(features)
        common = (self.recall(looks) * counts.to(looks)).sum(dim=1, keepdim=True)
        common = common / counts.sum(dim=1).clamp(min=1)[:, None].to(looks)
        both = torch.cat([looks, common.expand_as(looks)], dim=-1)
        return self.out(self.correct(both)).unflatten(-1, (JOINTS, 2))


def _frames_of(driver: Tensor, shown: Tensor, clip: DrivingClip | None) -> DriverFrames:
    """The frames of the driver, behind those of the clip if there is one.

    Frames of the clip count, and the few that are asked for, which it holds already, do not. A
    neighbour that is out of the clip is its first or last frame; one without a driver is replaced
    by the frame itself.
    """
    samples, count = shown.shape
    joints, counts = driver, shown
    own = torch.arange(count, device=shown.device).expand(samples, -1)
    index, last = own, count - 1
    if clip is not None:
        joints = torch.cat([_with_uncertainty(clip.joints), driver], dim=1)
        length = clip.joints.shape[1]
        own = torch.arange(length + count, device=shown.device).expand(samples, -1)
        index, last = torch.cat([own[:, :length], clip.times.to(own)], dim=1), length - 1
        counts = torch.cat([shown.new_ones(samples, length), torch.zeros_like(shown)], dim=1)
    row = torch.arange(samples, device=shown.device)[:, None]
    neighbours = []
    for away in NEIGHBOURS:
        at = (index + away).clamp(0, last)
        neighbours.append(joints[row, torch.where(counts[row, at], at, own)])
    times = shown.cumsum(dim=1) - 1 if clip is None else index
    return DriverFrames(joints, counts, times, neighbours)


def _features(reference: Tensor, frames: DriverFrames, rule: Retargeted, size: Tensor) -> Tensor:
    """What the correction reads of every frame, (n, t, READ); reference (n, 1, 18, 3).

    In sizes of the body, about the pelvis, so that it is the same for large and small ones; and
    in [-1, 1] of the panel.
    """
    keypoints = [reference, frames.joints, *frames.neighbours]
    uncertainties = [each[..., 2].log1p() for each in keypoints]
    reference, driver, *neighbours = (each[..., :2] for each in keypoints)
    pelvis, centre = midpoint(reference, HIP)[..., None, :], rule.centre[:, None, None]
    about = [reference - pelvis, rule.joints - pelvis]
    about += [rule.as_reference(joints) - centre for joints in (driver, *neighbours)]
    read = [joints / _unit_of(reference) for joints in about]
    read += [2 * joints / size - 1 for joints in (reference, driver)]
    read = [joints.expand_as(rule.joints).flatten(2) for joints in read]
    constant = torch.cat([rule.plan, rule.scale[:, :, 0].log()], dim=-1)
    constant = constant.expand(-1, rule.joints.shape[1], -1)
    uncertainties = [each.expand(rule.joints.shape[:-1]) for each in uncertainties]
    return torch.cat([*read, constant, frames.times / CLIP_FRAMES, *uncertainties], dim=-1)


def _unit_of(reference: Tensor) -> Tensor:
    """(n, 1, 1, 1) pixels: a quarter of the size of a body (n, 1, 18, 2 or 3)."""
    return body_size(reference[..., :2])[..., None, None] / 4


def _with_uncertainty(joints: Tensor) -> Tensor:
    return joints if joints.shape[-1] == 3 else pad(joints, (0, 1))


def _layers(*widths: int) -> nn.Sequential:
    return nn.Sequential(
        *(part for a, b in pairwise(widths) for part in (nn.Linear(a, b), nn.SiLU()))
    )
