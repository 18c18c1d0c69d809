"""Where the bodies of a composite stand, and where those of the answer are to stand."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from ..skeleton import HIP
from .eye import BodyEstimate, Eye
from .network import MiniTransformer3DModel
from .panels import Panels
from .rig import DrivingClip
from .vae import PATCH, MiniVAE

Guide = Callable[[BodyEstimate], BodyEstimate]  # what the eye found -> what is to be believed


class Poses(NamedTuple):
    """Of b references and n frames to be drawn, each of two bodies, see BodyEstimate."""

    sample: Tensor  # (n,) which of the references each frame is of
    reference: BodyEstimate  # b
    driver: BodyEstimate | None  # n; None without a driving panel
    goal: Tensor  # (n, 2, 18, 2) joints of the answer, in pixels


@torch.no_grad()
def estimate_poses(
    network: MiniTransformer3DModel,
    vae: MiniVAE,
    panels: Panels,
    shown: Tensor,
    clip: DrivingClip | None,
    guide: Guide | None = None,
) -> Poses:
    """By eye and rig of the network; shown (b, t) bool: which frames have a driver and are to be
    drawn, n of them. clip: where they are a few of a clip. guide: what is told of the references.
    """
    eye, rig = network.eye, network.rig
    sample, _ = shown.nonzero(as_tuple=True)
    reference = eye.averaged(vae.picture(panels.reference).to(eye.dtype))
    if guide is not None:
        reference = guide(reference)
    if not panels.has_driver:
        return Poses(sample, reference, None, reference.joints[sample])
    frames = vae.picture(panels.driver.transpose(1, 2)[shown])
    driver = eye.averaged(frames.to(eye.dtype), labels=False)
    keypoints = reference.joints.new_zeros(*shown.shape, *driver.keypoints.shape[1:])
    keypoints[shown] = driver.keypoints
    height, width = panels.reference.shape[2:]
    size = PATCH * torch.tensor([width, height]).to(keypoints)
    goal = rig(reference.keypoints, keypoints, shown, size, clip)
    kept = shown & (panels.known == 1).flatten(2).all(dim=2)
    if kept.any():
        pictures = vae.picture(panels.drawn.transpose(1, 2)[kept])
        goal = _continued(goal, eye, pictures, kept)
    return Poses(sample, reference, driver, goal[shown])


def _continued(goal: Tensor, eye: Eye, pictures: Tensor, kept: Tensor) -> Tensor:
    """Joints (b, t, 2, 18, 2), moved as a whole so that they go on from the frames that are known
    already, kept (b, t) bool, their pictures (k, 3, h, w): the tail of the pass before, whose
    driver stood elsewhere on average."""
    tail = eye.averaged(pictures.to(eye.dtype), labels=False)
    off = torch.zeros_like(goal)
    off[kept] = tail.joints - goal[kept]
    count = kept.sum(dim=1).clamp(min=1)[:, None, None]
    moved = off[..., HIP, :].mean(dim=3).sum(dim=1) / count  # b, 2, 2
    return goal + moved[:, None, :, None]
