"""How the small model paints: the pieces of the reference, completed and moved to the joints.

Cells are of 8x8 pixels; pictures are (n, 3, h, w) in [-1, 1].
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import (
    avg_pool2d,
    conv2d,
    conv_transpose2d,
    grid_sample,
    interpolate,
    max_pool2d,
    pixel_shuffle,
    pixel_unshuffle,
)

from .eye import PIECES
from .rig import ARMS, FOREARMS, HEAD, OTHER_SIDE, TORSO, carried_back
from .vae import PATCH, MiniVAE

HIDDEN = 0.5  # of the other side's area: a piece that shows less of itself is behind the body
BETWEEN = 8  # pixels: what lies so near torso on both sides is torso, if an arm is over it
WING = 0.3  # of the upper arms' area: with less of forearms they are wings


class Body(NamedTuple):
    """Of n references and of what is asked of them, as the eye saw it; m bodies, 1 or 2."""

    picture: Tensor  # (n, 3, h, w) in [-1, 1]
    pieces: Tensor  # (n, m, 12, 4, h, w) colours and shares of the pieces, see complete
    scene: Tensor  # (n, 1, h, w) share: nothing but the scene, as far as EDGE around
    behind: Tensor  # (n, 3, h, w) the scene where the body stands, guessed from what is around it
    there: Tensor  # (n, m) bool: the second is not where there is one alone
    winged: Tensor  # (n, m) bool: the arms are wings, of one piece each
    joints: Tensor  # (n, m, 18, 2) in pixels
    goal: Tensor  # (n, m, 18, 2) of the answer, see Rig


class Painted(NamedTuple):
    """What the network says of the cells it draws: n frames, l cells, 64 pixels a cell."""

    frames: Tensor  # (b * t,) bool: which n of all, those that have a driver
    cells: Tensor  # (n, l) what was drawn, indices into a panel (h', w')
    scores: Tensor  # (n, l, 64, 2 + 12 m) logarithms of the shares: drawn, still, pieces


class Brush:
    """Turns the answers for a cell, of 8x8 pixels, into the change of its code.

        C     the code of what is drawn anew, less the scene behind the body
        12    for each piece of the body, how far in front it is
        64*2  for each pixel, how much shows of what is drawn, and of the reference in place

    A limb that swings is the same limb elsewhere: the pieces of the reference are turned and moved
    to where the joints are. To draw every pixel of them anew takes a network that this one is too
    small to be.
    """

    PIECES = PIECES - 1
    DRAWN, STILL = 0, 1  # of the scores of a pixel; the pieces follow
    PIXELS = PATCH * PATCH
    SHARP = 12.0  # between a pixel that shows a piece and one that does not, in logits
    ABSENT = -30.0  # of the pieces of a body that is not there
    DOUBT = -2.0  # of the scene behind the body: a piece that may be there is in front of it
    # Torso, head, arms, forearms, thighs, shins, feet: what is in front, at first.
    FRONT = (3.5, 4.0, 4.5, 4.5, 4.6, 4.6, 3.0, 3.0, 3.1, 3.1, 3.2, 3.2)

    @classmethod
    def answers(cls, channels: int) -> int:
        return channels + cls.PIECES + 2 * cls.PIXELS

    def __init__(self, vae: MiniVAE):
        self.vae = vae
        at = torch.arange(PATCH) + 0.5
        y, x = torch.meshgrid(at, at, indexing="ij")
        self.pixels = torch.stack([x, y], dim=-1).flatten(0, 1)  # (64, 2) of a cell

    def _split(self, answers: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        channels = answers.shape[1] - self.answers(0)
        return answers.float().split((channels, self.PIECES, 2 * self.PIXELS), dim=1)

    def magnify(self, answers: Tensor, times: int) -> Tensor:
        """Answers (n, answers, h', w') for a picture so many times larger, along both sides."""
        code, front, scores = self._split(answers)
        encode, decode = (layer.weight.to(code) for layer in (self.vae.code, self.vae.uncode))
        larger = {"scale_factor": times, "mode": "bilinear"}
        drawn = interpolate(conv_transpose2d(code, decode, stride=PATCH), **larger)
        front = interpolate(front, scale_factor=times)
        # The two scores of a pixel lie side by side.
        scores = pixel_shuffle(scores.unflatten(1, (-1, 2)).transpose(1, 2).flatten(1, 2), PATCH)
        scores = pixel_unshuffle(interpolate(scores, **larger), PATCH)
        scores = scores.unflatten(1, (2, -1)).transpose(1, 2).flatten(1, 2)
        return torch.cat([conv2d(drawn, encode, stride=PATCH), front, scores], dim=1)

    def paint(self, answers: Tensor, cells: Tensor, body: Body) -> tuple[Tensor, Tensor]:
        """answers (n, answers, l) for cells (n, l) -> the change of the codes against the
        reference, (n, C, l), and the scores of Painted.
        """
        count = len(body.there)
        code, front, scores = self._split(answers)
        front = front + torch.tensor(self.FRONT).to(front)[:, None]
        scores = scores.unflatten(1, (self.PIXELS, 2)).permute(0, 3, 1, 2)  # n, l, 64, 2

        side = body.picture.shape[3] // PATCH
        corner = PATCH * torch.stack([cells % side, cells // side], dim=-1)
        here = corner[:, :, None] + self.pixels.to(corner.device)  # n, l, 64, 2
        points = here.flatten(1, 2)
        sources = carried_back(
            points[:, None], body.goal, body.joints, mirror=None, winged=body.winged
        )  # n, m, 12, l * 64, 2

        found = pick(body.pieces.flatten(0, 2), sources.flatten(0, 2)).unflatten(0, (count, -1))
        found = found.unflatten(2, (-1, self.PIXELS)).permute(0, 2, 3, 1, 4)  # n, l, 64, 12 m, 4
        there, scene, behind = (
            pick(picture, points, mode="nearest").unflatten(1, (-1, self.PIXELS))
            for picture in (body.picture, body.scene, body.behind)
        )
        shown = torch.cat([1 - scene, scene, found[..., 3].clamp(0, 1)], dim=-1)
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
        return change.to(answers.dtype), scores


def complete(
    picture: Tensor, pieces: Tensor, joints: Tensor, wings: Tensor, between: int = BETWEEN
) -> Tensor:
    """Pictures (n, 3, h, w), pieces (n, m, 12, h, w), joints (n, m, 18, 2) and wings (n, m) of the
    bodies -> each piece as it would look alone, (n, m, 12, 4, h, w): colours, and its share.

    What is hidden of a limb, or of the torso by an arm, is taken from its other side, mirrored; and
    what lies between what shows of the torso is torso. What looks like the forearm of a wing is
    wing.
    """
    count, bodies, _, height, width = pieces.shape
    forearms = pieces[:, :, FOREARMS] * wings[..., None, None, None]
    pieces = pieces.clone()
    pieces[:, :, ARMS] += forearms
    pieces[:, :, FOREARMS] -= forearms
    y, x = (torch.arange(size).to(joints) + 0.5 for size in (height, width))
    places = torch.stack(torch.meshgrid(x, y, indexing="xy"), dim=-1).flatten(0, 1)
    places = places.expand(count, bodies, -1, -1)
    mirror = torch.ones(pieces.shape[:3], dtype=torch.bool, device=pieces.device)
    places = carried_back(places, joints, joints, mirror, wings)  # n, m, 12, h w, 2
    pictures = picture[:, None, None].expand(-1, bodies, pieces.shape[2], -1, -1, -1)
    other = torch.cat([pictures, pieces[:, :, OTHER_SIDE, None]], dim=3).flatten(0, 2)
    other = pick(other, places.flatten(0, 2)).transpose(1, 2).view(*pieces.shape[:3], 4, height, -1)
    shows = other[:, :, :, 3].clamp(0, 1)

    area = pieces.sum(dim=(3, 4))
    gone = (area < HIDDEN * area[:, :, OTHER_SIDE])[..., None, None]
    may_be = (pieces.sum(dim=2, keepdim=True) - pieces).clamp(min=0)
    may_be[:, :, HEAD] = 0
    may_be[:, :, TORSO] = pieces[:, :, ARMS + FOREARMS].sum(dim=2)
    torso = pieces[:, :, TORSO]
    window = {"kernel_size": 2 * between + 1, "stride": 1, "padding": between}
    closed = -max_pool2d(-max_pool2d(torso, **window), **window)
    # It shows, or what shows may have it beneath: at the outline of an arm both are half true.
    beneath = shows.clone()
    beneath[:, :, TORSO] = torch.maximum(shows[:, :, TORSO], closed)
    whole = torch.where(gone, torch.maximum(pieces, shows), pieces + may_be * beneath)

    colours, share = other[:, :, :, :3], shows[:, :, TORSO, None]
    known = torso.flatten(0, 1)[:, None] ** 4
    around = fill(picture.repeat_interleave(bodies, dim=0), known).unflatten(0, (count, bodies))
    colours[:, :, TORSO] = share * colours[:, :, TORSO] + (1 - share) * around
    new = ((whole - pieces) / whole.clamp(min=1e-3)).unsqueeze(3)
    return torch.cat([pictures + new * (colours - pictures), whole.unsqueeze(3)], dim=3)


def winged(pieces: Tensor) -> Tensor:
    """Pieces (n, m, 12, h, w) -> (n, m) bool: the arms have no forearms worth the name."""
    arms, forearms = (pieces[:, :, pair].sum(dim=(2, 3, 4)) for pair in (ARMS, FOREARMS))
    return forearms < WING * arms


def pick(picture: Tensor, places: Tensor, mode: str = "bicubic") -> Tensor:
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
