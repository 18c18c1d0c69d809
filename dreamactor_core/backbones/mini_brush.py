"""How the small model paints: the pieces of the reference, moved to where the joints are.

Cells are of 8x8 pixels; pictures are (n, 3, h, w) in [-1, 1].
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, grid_sample, interpolate

from .mini_eye import JOINTS, PIECES
from .mini_rig import OTHER_SIDE, carried_back
from .mini_vae import PATCH, MiniVAE

HIDDEN = 0.3  # of the other side's area: a piece that shows less of itself is behind the body


class Body(NamedTuple):
    """Of n references and of what is asked of them, as the eye saw it; m bodies, 1 or 2."""

    picture: Tensor  # (n, 3, h, w) in [-1, 1]
    pieces: Tensor  # (n, m, 12, h, w) shares: which piece of which body each pixel shows
    scene: Tensor  # (n, 1, h, w) share: nothing but the scene, as far as EDGE around
    behind: Tensor  # (n, 3, h, w) the scene where the body stands, guessed from what is around it
    there: Tensor  # (n, m) bool: the second is not where there is one alone
    borrowed: Tensor  # (n, m, 12) bool: hidden, and taken from the other side
    joints: Tensor  # (n, m, 18, 2) in pixels
    guess: Tensor  # (n, m, 18, 2) of the answer, see Rig


class Painted(NamedTuple):
    """What the network says of the cells it draws: n frames, l cells, 64 pixels a cell."""

    cells: Tensor  # (n, l) what was drawn, indices into a panel (h', w')
    scores: Tensor  # (n, l, 64, 2 + 12 m) logarithms of the shares: drawn, still, pieces
    joints: Tensor  # (n, m, 18, 2) of the answer, in pixels


class Brush:
    """Turns the answers for a cell, of 8x8 pixels, into the change of its code.

        C     the code of what is drawn anew, less the scene behind the body
        18*2  how far the joints are from where retargeting puts them
        12    for each piece of the body, how far in front it is
        64*2  for each pixel, how much shows of what is drawn, and of the reference in place

    A limb that swings is the same limb elsewhere: the pieces of the reference are turned and moved
    to where the joints are. To draw every pixel of them anew takes a network that this one is too
    small to be.
    """

    PIECES = PIECES - 1
    DRAWN, STILL = 0, 1  # of the scores of a pixel; the pieces follow
    PIXELS = PATCH * PATCH
    NEAR = 12.0  # pixels: cells so near a joint's guess decide where it is
    REACH = 32.0  # pixels that an answer of 1 moves a joint by
    SHARP = 12.0  # between a pixel that shows a piece and one that does not, in logits
    ABSENT = -30.0  # of the pieces of a body that is not there
    DOUBT = -2.0  # of the scene behind the body: a piece that may be there is in front of it
    # Torso, head, arms, forearms, thighs, shins, feet: what is in front, at first.
    FRONT = (3.5, 4.0, 4.5, 4.5, 4.6, 4.6, 3.0, 3.0, 3.1, 3.1, 3.2, 3.2)

    @classmethod
    def answers(cls, channels: int) -> int:
        return channels + 2 * JOINTS + cls.PIECES + 2 * cls.PIXELS

    def __init__(self, vae: MiniVAE):
        self.vae = vae
        at = torch.arange(PATCH) + 0.5
        y, x = torch.meshgrid(at, at, indexing="ij")
        self.pixels = torch.stack([x, y], dim=-1).flatten(0, 1)  # (64, 2) of a cell

    def paint(self, answers: Tensor, cells: Tensor, body: Body) -> tuple[Tensor, Tensor, Tensor]:
        """answers (n, answers, l) for cells (n, l) -> the change of the codes against the
        reference, (n, C, l), and scores and joints of Painted.
        """
        count, bodies = body.there.shape
        channels = answers.shape[1] - self.answers(0)
        sizes = channels, 2 * JOINTS, self.PIECES, 2 * self.PIXELS
        code, votes, front, scores = answers.float().split(sizes, dim=1)
        front = front + torch.tensor(self.FRONT).to(front)[:, None]
        scores = scores.unflatten(1, (self.PIXELS, 2)).permute(0, 3, 1, 2)  # n, l, 64, 2

        side = body.picture.shape[3] // PATCH
        corner = PATCH * torch.stack([cells % side, cells // side], dim=-1)
        joints = self._joints(votes.unflatten(1, (JOINTS, 2)), corner + PATCH / 2, body.guess)
        here = corner[:, :, None] + self.pixels.to(corner.device)  # n, l, 64, 2
        points = here.flatten(1, 2)
        sources = carried_back(
            points[:, None], joints, body.joints, body.borrowed
        )  # n, m, 12, l * 64, 2

        layers = body.picture[:, None, None].expand(-1, bodies, self.PIECES, -1, -1, -1)
        layers = torch.cat([layers, body.pieces[:, :, :, None]], dim=3)
        found = pick(layers.flatten(0, 2), sources.flatten(0, 2)).unflatten(0, (count, -1))
        found = found.unflatten(2, (-1, self.PIXELS)).permute(0, 2, 3, 1, 4)  # n, l, 64, 12 m, 4
        there, scene, behind = (
            pick(picture, points, mode="nearest").unflatten(1, (-1, self.PIXELS))
            for picture in (body.picture, body.scene, body.behind)
        )
        shown = torch.cat([1 - scene, scene, found[..., 3]], dim=-1)
        absent = torch.where(body.there, 0, self.ABSENT)[..., None, None]
        front = (front[:, None] + absent).flatten(1, 2).transpose(1, 2)  # n, l, 12 m
        front = front[:, :, None].expand(-1, -1, self.PIXELS, -1)
        doubt = torch.tensor([self.DOUBT, 0.0]).to(scores)
        scores = torch.cat([scores + doubt, front], dim=-1) + self.SHARP * (shown - 0.5)
        scores = scores.log_softmax(dim=-1)

        encode, decode = (
            layer.weight.to(code).flatten(1) for layer in (self.vae.code, self.vae.uncode)
        )
        drawn = behind + torch.einsum("ncl,cqp->nlpq", code, decode.unflatten(1, (3, self.PIXELS)))
        shares = scores.exp().unsqueeze(-1)
        colours = torch.cat([drawn[:, :, :, None], there[:, :, :, None], found[..., :3]], dim=3)
        change = (shares * (colours - there[:, :, :, None])).sum(dim=3)
        change = torch.einsum("nlpq,cqp->ncl", change, encode.unflatten(1, (3, self.PIXELS)))
        return change.to(answers.dtype), scores, joints

    def _joints(self, votes: Tensor, centres: Tensor, guess: Tensor) -> Tensor:
        """Votes (n, 18, 2, l) of cells around centres (n, l, 2) -> joints (n, m, 18, 2): those
        decide where a joint is that are near its guess (n, m, 18, 2)."""
        far = (centres[:, None, None] - guess[:, :, :, None]).norm(dim=-1)  # n, m, 18, l
        weight = (-far / self.NEAR).softmax(dim=-1)
        return guess + self.REACH * torch.einsum("nmjl,njxl->nmjx", weight, votes)


def borrow(pieces: Tensor) -> tuple[Tensor, Tensor]:
    """Pieces (n, m, 12, h, w) -> the same, where one is hidden with its other side's in its place,
    and which those are (n, m, 12)."""
    area = pieces.sum(dim=(3, 4))
    hidden = area < HIDDEN * area[:, :, OTHER_SIDE]
    return torch.where(hidden[..., None, None], pieces[:, :, OTHER_SIDE], pieces), hidden


def pick(picture: Tensor, places: Tensor, mode: str = "bilinear") -> Tensor:
    """Pictures (n, c, h, w) at places (n, k, 2), in pixels -> (n, k, c); 0 outside."""
    size = torch.tensor(picture.shape[:1:-1], device=picture.device)
    grid = (2 * places / size - 1)[:, :, None]
    found = grid_sample(picture, grid.to(picture.dtype), mode=mode, align_corners=False)
    return found[..., 0].transpose(1, 2)


def fill(picture: Tensor, known: Tensor) -> Tensor:
    """Pictures (n, 3, h, w) where known (n, 1, h, w) is 1, and what lies around where it is 0.

    Pull and push (Gortler et al. 1996, section 3.4.2): from the mean of what is known at half the
    size, and so on.
    """
    if min(picture.shape[2:]) < 2:
        return picture
    weight = avg_pool2d(known, 2)
    coarse = avg_pool2d(picture * known, 2) / weight.clamp(min=1e-4)
    around = interpolate(
        fill(coarse, (4 * weight).clamp(max=1)), size=picture.shape[2:], mode="bilinear"
    )
    return known * picture + (1 - known) * around
