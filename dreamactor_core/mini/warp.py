"""Which point of the reference a point of the answer shows, if it shows a certain piece of a body.

A piece is a part (skeleton.py) as it is cut out of the reference, and moves as one: it is turned
and moved with its bone. Arrays of pieces leave the scene out, so part p is row p - 1 of twelve.

A piece's frame is where it hangs, which way it points, and how long it is: of a limb from joint to
joint, of the torso from the pelvis to the neck, of the head from ear to ear, of a foot level.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from .. import skeleton
from .vectors import LIMB_ENDS, LIMB_STARTS, body_size, midpoint, turned, unit

TORSO_ROW, HEAD_ROW = skeleton.TORSO - 1, skeleton.HEAD - 1
ARM_ROWS, FOREARM_ROWS, FOOT_ROWS = (
    tuple(part - 1 for part in pair)
    for pair in (skeleton.UPPER_ARM, skeleton.FOREARM, skeleton.FOOT)
)
MIRRORED_ROWS = tuple(part - 1 for part in skeleton.MIRRORED_PART[1:])
MOST_SPREAD = 4.0  # a wing's stretch against that of the body

# The head, all in shares of its radius, which is half of the way from ear to ear.
EARS_BACK = 0.4  # how far ears go back where the face comes forward by 1
FACE_WIDTH = 0.5  # half of what slides
FACE_TOP, FACE_BOTTOM = -0.45, 0.75  # the brow, above the line of the ears, and the chin, below
FACE_FADE = 0.15  # from there on it slides less and less, down to nothing


class PieceFrames(NamedTuple):
    """The frames of the twelve pieces of bodies (...)."""

    origins: Tensor  # (..., 12, 2) pixels
    ways: Tensor  # (..., 12, 2) unit vectors
    lengths: Tensor  # (..., 12) pixels

    def mirrored(self, rows: Tensor) -> PieceFrames:
        """With the other side's frame where rows (..., 12) bool; feet then point backwards."""
        feet = _marked(FOOT_ROWS, rows)
        origins, ways = (
            torch.where(rows[..., None], each[..., MIRRORED_ROWS, :], each)
            for each in (self.origins, self.ways)
        )
        lengths = torch.where(rows, self.lengths[..., MIRRORED_ROWS], self.lengths)
        return PieceFrames(origins, torch.where((rows & feet)[..., None], -ways, ways), lengths)


def piece_frames(joints: Tensor, winged: Tensor) -> PieceFrames:
    """Of joints (..., 18, 2); winged (...) bool: upper arms reach from the shoulder to the wrist,
    and forearms are none."""
    pelvis = midpoint(joints, skeleton.HIP)
    head = head_frame(joints)
    trunk = joints[..., skeleton.NECK, :] - pelvis
    limbs = joints[..., LIMB_ENDS, :] - joints[..., LIMB_STARTS, :]
    wings = joints[..., skeleton.WRIST, :] - joints[..., skeleton.SHOULDER, :]
    wings = torch.cat([wings, torch.zeros_like(limbs[..., 2:, :])], dim=-2)
    is_arm = torch.tensor([end in skeleton.ELBOW for _, end in skeleton.LIMB_JOINTS.values()]).to(
        winged.device
    )
    limbs = torch.where((is_arm & winged[..., None])[..., None], wings, limbs)
    origins = [
        pelvis[..., None, :],
        head.centre[..., None, :],
        joints[..., LIMB_STARTS, :],
        joints[..., skeleton.ANKLE, :],
    ]
    level = torch.tensor([1.0, 0.0]).to(joints).expand_as(joints[..., skeleton.ANKLE, :])
    ways = torch.cat([trunk[..., None, :], head.ears[..., None, :], limbs, level], dim=-2)
    return PieceFrames(torch.cat(origins, dim=-2), unit(ways), ways.norm(dim=-1))


def source_points(
    points: Tensor, target: Tensor, reference: Tensor, mirror: Tensor | None, winged: Tensor
) -> Tensor:
    """Points (..., k, 2) of the answer -> where each piece of the reference would show them from,
    (..., 12, k, 2). target, reference: joints (..., 18, 2) of both.

    With origins o, o' and unit vectors w, w' of a piece in target and reference, and the body s
    times as large in the reference, q = o' + s R(w -> w') (p - o).

    mirror (..., 12) bool, or none: from the other side's piece, mirrored. winged (...) bool: the
    arms are wings, of one piece from shoulder to wrist, which keep their feathers down and are as
    long as they are spread.
    """
    wings = _marked(ARM_ROWS, winged[..., None]) & winged[..., None]
    if mirror is None:
        mirror = torch.zeros_like(wings)
    source, goal = piece_frames(reference, winged).mirrored(mirror), piece_frames(target, winged)
    # A wing that points the other way is turned over, not upside down.
    over = (source.ways[..., 0] > 0) != (goal.ways[..., 0] > 0)
    mirror = torch.where(wings, over, mirror)
    size = body_size(reference) / body_size(target).clamp(min=1e-3)
    scale = size[..., None].expand_as(source.lengths)
    spread = source.lengths / goal.lengths.clamp(min=1e-3)
    scale = torch.where(wings, torch.minimum(spread, MOST_SPREAD * scale), scale)
    # Along the piece and across it: turned by the inverse of its own turn.
    inverse = goal.ways * torch.tensor([1.0, -1.0]).to(goal.ways)
    off = turned(points[..., None, :, :] - goal.origins[..., None, :], inverse[..., None, :])
    along, across = (scale[..., None, None] * off).unbind(-1)
    across = torch.where(mirror[..., None], -across, across)
    head = slide_face(along[..., HEAD_ROW, :], across[..., HEAD_ROW, :], reference, target, size)
    row = torch.tensor([HEAD_ROW]).to(winged.device)
    along = along.index_copy(-2, row, head[..., None, :])
    off = turned(torch.stack([along, across], dim=-1), source.ways[..., None, :])
    return source.origins[..., None, :] + off


class HeadFrame(NamedTuple):
    centre: Tensor  # (..., 2) the middle of the head
    ears: Tensor  # (..., 2) from the right ear to the left one
    turn: Tensor  # (...) pixels along the ears: how far from the centre the face looks


def head_frame(joints: Tensor) -> HeadFrame:
    """Of joints (..., 18, 2). Where the face comes forward by `turn`, the ears go back."""
    ears = joints[..., skeleton.EAR[1], :] - joints[..., skeleton.EAR[0], :]
    eyes = midpoint(joints, skeleton.EYE) - midpoint(joints, skeleton.EAR)
    turn = (eyes * unit(ears)).sum(dim=-1) / (1 + EARS_BACK)
    centre = midpoint(joints, skeleton.EAR) + EARS_BACK * turn[..., None] * unit(ears)
    return HeadFrame(centre, ears, turn)


def slide_face(
    along: Tensor, down: Tensor, reference: Tensor, target: Tensor, size: Tensor
) -> Tensor:
    """A head that turns: its face slides over it, and what is beside the face is pressed together
    or drawn apart, so that the rim stays where it is.

    along, down (..., k): a point of the target's head from its centre, along the ears and down, in
    pixels of the reference; size (...): of the reference's body against the target's. Returns where
    along the reference's head the point comes from.

    The head has radius r; the face, 2 h wide, has its middle at m, and had it at m0 in the
    reference. Of a point at m + d the source is

        m0 + d                                                 in the face, |d| < h
        m0 + h + (d - h) (r - h - m0) / (r - h - m)            beside it, h < d, up to the rim at r

    and likewise on the other side.
    """
    before, now = head_frame(reference), head_frame(target).turn
    radius = before.ears.norm(dim=-1, keepdim=True) / 2
    half, most = FACE_WIDTH * radius, (1 - FACE_WIDTH - 0.05) * radius
    before, now = (
        torch.minimum(torch.maximum(turn[..., None], -most), most)
        for turn in (before.turn, now * size)
    )
    sign = (along > now).to(along) * 2 - 1
    off = (along - now).abs()
    left_now, left_before = (radius - half - sign * each for each in (now, before))
    beside = half + (off - half) * left_before / left_now
    found = before + sign * torch.where(off < half, off, beside)
    found = torch.where(along.abs() < radius, found, along)
    # From the brow to the chin: hats and hair stay.
    inside = torch.minimum(down - FACE_TOP * radius, FACE_BOTTOM * radius - down)
    share = (1 + inside / (FACE_FADE * radius)).clamp(0, 1)
    return along + share * (found - along)


def _marked(rows: tuple[int, ...], like: Tensor) -> Tensor:
    """(12,) bool: which pieces these are."""
    return torch.tensor([row in rows for row in range(skeleton.PARTS)]).to(like.device)
