"""The reference cut out into pieces, as for cut-out animation."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import interpolate, max_pool2d

from .completion import BETWEEN, are_wings, complete, inpaint
from .conditioning import nearest_body
from .eye import BodyEstimate
from .vae import PATCH

OUTLINE = 2  # pixels: so near a body what is left in place keeps off it


class CutOut(NamedTuple):
    """Of n references; m bodies, 1 or 2."""

    picture: Tensor  # (n, 3, h, w) in [-1, 1]
    pieces: Tensor  # (n, m, 12, 4, h, w) colours and shares of the pieces, see complete
    scene: Tensor  # (n, 1, h, w) share: nothing but the scene, as far as OUTLINE around
    background: Tensor  # (n, 3, h, w) the scene where the body stands, from what is around it
    present: Tensor  # (n, m) bool: the second is not where there is one alone
    winged: Tensor  # (n, m) bool: the arms are wings, of one piece each
    joints: Tensor  # (n, m, 18, 2) in pixels
    goal: Tensor  # (n, m, 18, 2) where they are to be in the answer

    def posed(self, sample: Tensor, goal: Tensor) -> CutOut:
        """A reference for each of k answers, sample (k,), and the joints of these (k, 2, 18, 2)."""
        chosen = CutOut(*(part[sample] for part in self))
        return chosen._replace(goal=goal[:, : chosen.present.shape[1]])


def cut_out(picture: Tensor, estimate: BodyEstimate) -> CutOut:
    """Pictures (n, 3, h, w), and what the eye saw of them or of smaller ones -> where they are."""
    height, width = estimate.features.shape[2:]
    times = picture.shape[3] // (PATCH * width)
    labels = estimate.labels
    assert labels is not None, "nobody cuts skeletons out"
    if labels.shape[2:] != picture.shape[2:]:
        labels = interpolate(labels, scale_factor=times, mode="bilinear")
    labels = labels.softmax(dim=1)
    # Outlines are blurred and half the scene's.
    edge = times * OUTLINE
    scene = 1 - max_pool2d(1 - labels[:, :1], 2 * edge + 1, stride=1, padding=edge)
    two = estimate.two_bodies > 0
    present = torch.stack([torch.ones_like(two), two], dim=1)[:, : 1 + bool(two.any())]
    bodies = present.shape[1]
    owner = nearest_body(estimate.joints, height, width)[:, None]
    owner = interpolate(owner, scale_factor=times * PATCH)
    mine = [(owner == body) | ~two.view(-1, 1, 1, 1) for body in range(bodies)]
    pieces = labels[:, None, 1:] * torch.stack(mine, dim=1)
    wings, joints = are_wings(pieces), times * estimate.joints[:, :bodies]
    whole = complete(picture, pieces, joints, wings, times * BETWEEN)
    if estimate.overlap is not None:
        whole = _overlapping(whole, picture, estimate.overlap[:, None] * torch.stack(mine, dim=1))
    known = scene**4 if estimate.picture is None else scene**4 * estimate.picture
    return CutOut(
        picture=picture,
        pieces=whole,
        scene=scene,
        background=inpaint(picture, known),
        present=present,
        winged=wings,
        joints=joints,
        goal=joints,
    )


def _overlapping(pieces: Tensor, picture: Tensor, overlap: Tensor) -> Tensor:
    """Pieces (n, m, 12, 4, h, w) with what they take along (n, m, 12, h, w), so that nothing gapes
    where two of them turn against each other."""
    overlap = overlap.unsqueeze(3)
    colours, share = pieces[:, :, :, :3], pieces[:, :, :, 3:]
    colours = torch.where(overlap > share, picture[:, None, None], colours)
    return torch.cat([colours, torch.maximum(share, overlap)], dim=3)
