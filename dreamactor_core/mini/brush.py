"""The brush: the network's answers and a cut-out become the codes of the frames.

Every pixel has 2 + 12 m layers: what is drawn anew, the reference in place, and the pieces of m
bodies, moved to where the joints of the answer are. A limb that swings is the same limb elsewhere;
to draw every pixel of it anew takes a network that this one is too small to be. The network says
what it draws, and which layer shows. With a_k what it says of layer k and c_k how far that layer
covers the pixel, the share of the layer is a softmax:

    share_k = softmax_k(a_k + bias_k + SHARPNESS (c_k - 1/2))

The answers for a cell, of 8x8 pixels, are in this order:

    C       the code of what is drawn anew, less the background behind the body
    12      a of each piece, the same for all pixels of the cell and for both bodies
    64 * 2  a of what is drawn and of the reference in place, pixel by pixel
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import (
    conv2d,
    conv_transpose2d,
    interpolate,
    pixel_shuffle,
    pixel_unshuffle,
)

from ..skeleton import PARTS
from .completion import sample_at
from .cutout import CutOut
from .vae import PATCH, MiniVAE
from .warp import source_points

PIXELS = PATCH * PATCH
DRAWN, STILL = 0, 1  # layers; those of the pieces follow
SHARPNESS = 12.0  # logits between a pixel that a layer covers and one that it does not
DRAWN_BIAS = -2.0  # a piece that may be there is in front of what is drawn
ABSENT_BIAS = -30.0  # of the pieces of a body that is not there
# Of torso, head, arms, forearms, thighs, shins, feet: what is in front before anything is learned.
PIECE_BIAS = (3.5, 4.0, 4.5, 4.5, 4.6, 4.6, 3.0, 3.0, 3.1, 3.1, 3.2, 3.2)


class LayerShares(NamedTuple):
    """Which layers show in what the network drew: n frames, l cells, 64 pixels a cell."""

    frames: Tensor  # (b * t,) bool: which n of all, those that have a driver
    cells: Tensor  # (n, l) what was drawn, indices into a panel (h', w')
    log_shares: Tensor  # (n, l, 64, 2 + 12 m)


def answer_channels(code_channels: int) -> int:
    """How many channels the network answers with, for so many of a frame's code."""
    return code_channels + PARTS + 2 * PIXELS


def blend(answers: Tensor, cells: Tensor, cutout: CutOut, vae: MiniVAE) -> tuple[Tensor, Tensor]:
    """Answers (n, answer_channels, l) for cells (n, l) of the panel -> the change of their codes
    against the reference's, (n, C, l), and log_shares of LayerShares."""
    code, of_pieces, of_scene = _by_kind(answers)
    points = _pixels_of(cells, cutout.picture.shape[3] // PATCH)
    pieces = _pieces_at(points, cutout)
    reference, scene, background = (
        sample_at(picture, points, mode="nearest").unflatten(1, (-1, PIXELS))
        for picture in (cutout.picture, cutout.scene, cutout.background)
    )
    cover = torch.cat([1 - scene, scene, pieces[..., 3].clamp(0, 1)], dim=-1)
    said = torch.cat([_scene_logits(of_scene), _piece_logits(of_pieces, cutout.present)], dim=-1)
    log_shares = (said + SHARPNESS * (cover - 0.5)).log_softmax(dim=-1)

    encode, decode = (
        layer.weight.to(code).flatten(1).unflatten(1, (3, PIXELS))
        for layer in (vae.code, vae.uncode)
    )
    drawn = background + torch.einsum("ncl,cqp->nlpq", code, decode)
    colours = torch.cat([drawn[:, :, :, None], reference[:, :, :, None], pieces[..., :3]], dim=3)
    change = log_shares.exp().unsqueeze(-1) * (colours - reference[:, :, :, None])
    change = torch.einsum("nlpq,cqp->ncl", change.sum(dim=3), encode)
    return change.to(answers.dtype), log_shares


def magnify(answers: Tensor, times: int, vae: MiniVAE) -> Tensor:
    """Answers (n, answer_channels, h', w') for a picture so many times larger, along both sides."""
    code, of_pieces, of_scene = _by_kind(answers)
    encode, decode = (layer.weight.to(code) for layer in (vae.code, vae.uncode))
    larger = {"scale_factor": times, "mode": "bilinear"}
    drawn = interpolate(conv_transpose2d(code, decode, stride=PATCH), **larger)
    of_pieces = interpolate(of_pieces, scale_factor=times)
    # The two of a pixel lie side by side.
    of_scene = of_scene.unflatten(1, (-1, 2)).transpose(1, 2).flatten(1, 2)
    of_scene = interpolate(pixel_shuffle(of_scene, PATCH), **larger)
    of_scene = pixel_unshuffle(of_scene, PATCH).unflatten(1, (2, -1)).transpose(1, 2).flatten(1, 2)
    return torch.cat([conv2d(drawn, encode, stride=PATCH), of_pieces, of_scene], dim=1)


def _by_kind(answers: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Of code, pieces, and the two layers of the scene."""
    channels = answers.shape[1] - answer_channels(0)
    return answers.float().split((channels, PARTS, 2 * PIXELS), dim=1)


def _pixels_of(cells: Tensor, columns: int) -> Tensor:
    """Cells (n, l) of a panel so many columns wide -> middles of their pixels (n, l * 64, 2)."""
    at = torch.arange(PATCH, device=cells.device) + 0.5
    y, x = torch.meshgrid(at, at, indexing="ij")
    corners = PATCH * torch.stack([cells % columns, cells // columns], dim=-1)
    return (corners[:, :, None] + torch.stack([x, y], dim=-1).flatten(0, 1)).flatten(1, 2)


def _pieces_at(points: Tensor, cutout: CutOut) -> Tensor:
    """What each piece, moved, has at points (n, l * 64, 2): colours and share,
    (n, l, 64, 12 m, 4)."""
    sources = source_points(
        points[:, None], cutout.goal, cutout.joints, mirror=None, winged=cutout.winged
    )  # n, m, 12, l * 64, 2
    found = sample_at(cutout.pieces.flatten(0, 2), sources.flatten(0, 2))
    found = found.unflatten(0, (len(points), -1)).unflatten(2, (-1, PIXELS))
    return found.permute(0, 2, 3, 1, 4)


def _scene_logits(said: Tensor) -> Tensor:
    """(n, 64 * 2, l) -> (n, l, 64, 2)"""
    said = said.unflatten(1, (PIXELS, 2)).permute(0, 3, 1, 2)
    return said + torch.tensor([DRAWN_BIAS, 0.0]).to(said)


def _piece_logits(said: Tensor, present: Tensor) -> Tensor:
    """(n, 12, l), and which bodies there are (n, m) -> (n, l, 64, 12 m)"""
    said = said + torch.tensor(PIECE_BIAS).to(said)[:, None]
    absent = torch.where(present, 0, ABSENT_BIAS)[..., None, None]
    said = (said[:, None] + absent).flatten(1, 2).transpose(1, 2)
    return said[:, :, None].expand(-1, -1, PIXELS, -1)
