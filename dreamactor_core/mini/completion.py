"""Pieces as each would look alone: what other pieces or the picture's border hide is filled in.

Pictures are (n, 3, h, w) in [-1, 1]. Pieces (n, m, 12, h, w) are shares of what each pixel shows,
of m bodies, in the rows of warp.py.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, grid_sample, interpolate, max_pool2d

from .warp import ARM_ROWS, FOREARM_ROWS, HEAD_ROW, MIRRORED_ROWS, TORSO_ROW, source_points

HIDDEN = 0.5  # of the other side's area: a piece that shows less of itself is behind the body
BETWEEN = 8  # pixels: what lies so near torso on both sides is torso, if an arm is over it
WING = 0.3  # of the upper arms' area: with less of forearms they are wings


def are_wings(pieces: Tensor) -> Tensor:
    """(n, m) bool: the arms have no forearms worth the name."""
    arms, forearms = (pieces[:, :, rows].sum(dim=(2, 3, 4)) for rows in (ARM_ROWS, FOREARM_ROWS))
    return forearms < WING * arms


def complete(
    picture: Tensor, pieces: Tensor, joints: Tensor, wings: Tensor, between: int = BETWEEN
) -> Tensor:
    """Pictures, pieces, joints (n, m, 18, 2) and which bodies have wings (n, m) -> each piece as it
    would look alone, (n, m, 12, 4, h, w): colours, and its share.

    What is hidden of a limb, or of the torso by an arm, is taken from its other side, mirrored; and
    what lies between what shows of the torso is torso. What looks like the forearm of a wing is
    wing.
    """
    forearms = pieces[:, :, FOREARM_ROWS] * wings[..., None, None, None]
    pieces = pieces.clone()
    pieces[:, :, ARM_ROWS] += forearms
    pieces[:, :, FOREARM_ROWS] -= forearms
    other = _other_sides(picture, pieces, joints, wings)
    whole = _whole_shares(pieces, other[:, :, :, 3].clamp(0, 1), between)
    colours = _hidden_colours(picture, pieces, other)
    new = ((whole - pieces) / whole.clamp(min=1e-3)).unsqueeze(3)
    own = picture[:, None, None]
    return torch.cat([own + new * (colours - own), whole.unsqueeze(3)], dim=3)


def _other_sides(picture: Tensor, pieces: Tensor, joints: Tensor, wings: Tensor) -> Tensor:
    """What each pixel would show if the piece were its other side's, mirrored: colours and share,
    (n, m, 12, 4, h, w)."""
    count, bodies, _, height, width = pieces.shape
    y, x = (torch.arange(size).to(joints) + 0.5 for size in (height, width))
    points = torch.stack(torch.meshgrid(x, y, indexing="xy"), dim=-1).flatten(0, 1)
    points = points.expand(count, bodies, -1, -1)
    mirror = torch.ones(pieces.shape[:3], dtype=torch.bool, device=pieces.device)
    sources = source_points(points, joints, joints, mirror, wings)  # n, m, 12, h w, 2
    pictures = picture[:, None, None].expand(-1, bodies, pieces.shape[2], -1, -1, -1)
    other = torch.cat([pictures, pieces[:, :, MIRRORED_ROWS, None]], dim=3).flatten(0, 2)
    other = sample_at(other, sources.flatten(0, 2)).transpose(1, 2)
    return other.view(*pieces.shape[:3], 4, height, -1)


def _whole_shares(pieces: Tensor, mirrored: Tensor, between: int) -> Tensor:
    """Shares of pieces, with what is hidden of them; mirrored: those of their other sides.

    A piece may go on beneath what shows in front of it, which of a limb is any other piece but the
    head, of the torso the arms, and of the head nothing. It does so as far as its other side shows
    it there, and the torso also where it shows on both sides nearby (a morphological closing). A
    limb that is hardly seen at all is its other side.
    """
    area = pieces.sum(dim=(3, 4))
    gone = (area < HIDDEN * area[:, :, MIRRORED_ROWS])[..., None, None]
    in_front = (pieces.sum(dim=2, keepdim=True) - pieces).clamp(min=0)
    in_front[:, :, HEAD_ROW] = 0
    in_front[:, :, TORSO_ROW] = pieces[:, :, ARM_ROWS + FOREARM_ROWS].sum(dim=2)
    torso = pieces[:, :, TORSO_ROW]
    window = {"kernel_size": 2 * between + 1, "stride": 1, "padding": between}
    closed = -max_pool2d(-max_pool2d(torso, **window), **window)
    beneath = mirrored.clone()
    beneath[:, :, TORSO_ROW] = torch.maximum(mirrored[:, :, TORSO_ROW], closed)
    # It shows, or what shows may have it beneath: at the outline of an arm both are half true.
    return torch.where(gone, torch.maximum(pieces, mirrored), pieces + in_front * beneath)


def _hidden_colours(picture: Tensor, pieces: Tensor, other: Tensor) -> Tensor:
    """Colours of what is hidden, (n, m, 12, 3, h, w): the other side's, and where the torso has
    none, those around it."""
    count, bodies = pieces.shape[:2]
    colours, share = other[:, :, :, :3], other[:, :, TORSO_ROW, 3:].clamp(0, 1)
    known = pieces[:, :, TORSO_ROW].flatten(0, 1)[:, None] ** 4
    around = inpaint(picture.repeat_interleave(bodies, dim=0), known)
    around = around.unflatten(0, (count, bodies))
    colours[:, :, TORSO_ROW] = share * colours[:, :, TORSO_ROW] + (1 - share) * around
    return colours


def sample_at(picture: Tensor, points: Tensor, mode: str = "bicubic") -> Tensor:
    """Pictures (n, c, h, w) at points (n, k, 2), in pixels -> (n, k, c); 0 outside."""
    size = torch.tensor(picture.shape[:1:-1], device=picture.device)
    grid = (2 * points / size - 1)[:, :, None]
    found = grid_sample(picture, grid.to(picture.dtype), mode=mode, align_corners=False)
    return found[..., 0].transpose(1, 2)


def inpaint(picture: Tensor, known: Tensor) -> Tensor:
    """Pictures where known (n, 1, h, w) is 1, and what lies around where it is 0.

    Pull and push (Gortler et al. 1996, section 3.4.2): from the mean of what is known at half the
    size, and so on.
    """
    if min(picture.shape[2:]) < 2:
        return picture
    weight = avg_pool2d(known, 2)
    coarse = avg_pool2d(picture * known, 2) / weight.clamp(min=1e-4)
    around = inpaint(coarse, (4 * weight).clamp(max=1))
    around = interpolate(around, size=picture.shape[2:], mode="bilinear")
    return known * picture + (1 - known) * around
