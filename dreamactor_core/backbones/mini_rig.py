"""Bodies of the small model: joints, and the pieces that hang on them.

Joints are in OpenPose's order, (x, y) in pixels. A piece is a part of a picture that moves as one:
torso, head, two pieces of each arm and leg, and feet. Vectors are (..., 2).
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn

from .mini_eye import JOINTS

NECK = 1
SHOULDER, ELBOW, WRIST = (2, 5), (3, 6), (4, 7)  # (right, left)
HIP, KNEE, ANKLE = (8, 11), (9, 12), (10, 13)
EAR = (16, 17)
FACE = (0, 14, 15, 16, 17)
LIMBS = tuple(
    (start[side], end[side])
    for start, end in ((SHOULDER, ELBOW), (ELBOW, WRIST), (HIP, KNEE), (KNEE, ANKLE))
    for side in (0, 1)
)
# Of the pieces: torso, head, then right and left of arms, forearms, thighs, shins, feet.
OTHER_SIDE = (0, 1, 3, 2, 5, 4, 7, 6, 9, 8, 11, 10)
FEET = (10, 11)
EVEN = 0.5  # how strongly a driver is held to be as wide as it is high


class Rig(nn.Module):
    """The driver's pose with the bones of the reference: what animators call retargeting.

    Bones keep the reference's length and take the driver's direction; the lower foot stands where
    the reference stands, lifted as far as the driver has left the ground. Of two bodies seen from
    the side the driver is turned to look where the reference looks; a body on four legs and one on
    two share no more than legs and where they go. What this rule gets wrong, for heads that turn
    and bodies of other plans, is learned from motions alone (train/rig.py).
    """

    READ = 6 * 2 * JOINTS + 5

    def __init__(self, width: int = 384):
        super().__init__()
        widths = (self.READ, width, width, width)
        layers = [layer for a, b in pairwise(widths) for layer in (nn.Linear(a, b), nn.SiLU())]
        self.correct = nn.Sequential(*layers, nn.Linear(width, 2 * JOINTS))
        nn.init.zeros_(self.correct[-1].weight)
        nn.init.zeros_(self.correct[-1].bias)

    def forward(
        self,
        reference: Tensor,
        driver: Tensor,
        shown: Tensor,
        size: Tensor,
        others: Tensor | None = None,
    ) -> Tensor:
        """reference (b, m, 18, 2), driver (b, t, m, 18, 2), shown (b, t) bool: which frames have a
        driver; m bodies, each driven by its like -> (b, t, m, 18, 2). size (2,): width and height
        of the panel. others (b, k, m, 18, 2): further frames of the driver's clip, for how large
        the driver is and where it stands on the whole.
        """
        clip = driver
        if others is not None:
            clip = torch.cat([driver, others], dim=1)
            shown = torch.cat([shown, shown.new_ones(others.shape[:2])], dim=1)
        # Bodies as samples of their own.
        samples, bodies = reference.shape[:2]
        reference = reference.flatten(0, 1)[:, None]
        driver, clip = (each.transpose(1, 2).flatten(0, 1) for each in (driver, clip))
        shown = shown.repeat_interleave(bodies, dim=0)[..., None].to(driver)
        made = self._carry(reference, driver, clip, shown, size)
        return made.unflatten(0, (samples, bodies)).transpose(1, 2)

    def _carry(
        self, reference: Tensor, driver: Tensor, clip: Tensor, shown: Tensor, size: Tensor
    ) -> Tensor:
        """reference (n, 1, 18, 2), driver (n, t, 18, 2), clip (n, k, 18, 2), shown (n, k, 1)."""
        seen = driver
        factor = _size_of_driver(_bones(reference), _bones(clip), shown)
        (lies, right), (driver_lies, driver_right) = (
            _lies((_bones(joints)[..., 0, :] * part).sum(dim=1, keepdim=True))
            for joints, part in ((reference, 1), (clip, shown))
        )
        turned_round = lies & driver_lies & (right != driver_right)
        mirror = torch.stack(
            [1 - 2 * turned_round.to(driver), torch.ones_like(shown[:, :1, 0])], -1
        )
        driver, clip = (joints * factor * mirror[:, :, None] for joints in (driver, clip))
        count = shown.sum(dim=1).clamp(min=1)  # n, 1
        middle = (_middle(clip, HIP) * shown).sum(dim=1) / count  # n, 2
        pelvis = _middle(reference, HIP)

        made = _posed(reference, driver, (lies == driver_lies)[..., None])
        feet = lambda joints: joints[..., ANKLE, 1].amax(dim=-1)  # noqa: E731
        ground = feet(clip).masked_fill(shown[..., 0] == 0, -torch.inf).amax(dim=1, keepdim=True)
        y = feet(reference) - (ground - feet(driver)) - feet(made)
        x = pelvis[..., 0] + _middle(driver, HIP)[..., 0] - middle[:, :1]
        made = made + torch.stack([x, y], dim=-1)[..., None, :]

        tall = _bones(reference).norm(dim=-1).sum(dim=-1)[..., None, None] / 4
        mean = (clip * shown[..., None]).sum(dim=1, keepdim=True) / count[..., None, None]
        about = [reference - pelvis[..., None, :], made - pelvis[..., None, :]]
        about += [joints - middle[:, None, None] for joints in (driver, mean)]
        read = [each / tall for each in about] + [2 * each / size - 1 for each in (reference, seen)]
        read = [each.expand_as(made).flatten(2) for each in read]
        kinds = torch.stack([lies, driver_lies, turned_round], dim=-1).to(driver)
        kinds = torch.cat([kinds, factor[:, :, 0].log()], dim=-1)
        read.append(kinds.expand(-1, made.shape[1], -1))
        read = torch.cat(read, dim=-1).to(self.correct[0].weight.dtype)
        return made + tall * self.correct(read).to(made).unflatten(-1, (JOINTS, 2))


def _posed(reference: Tensor, driver: Tensor, alike: Tensor) -> Tensor:
    """The bones of the reference in the driver's directions, the pelvis at the origin; alike: both
    bodies stand, or both are on four legs."""
    pelvis, goal_pelvis = _middle(reference, HIP), _middle(driver, HIP)
    trunk, goal_trunk = reference[..., NECK, :] - pelvis, driver[..., NECK, :] - goal_pelvis
    face, goal_face = (each[..., EAR[1], :] - each[..., EAR[0], :] for each in (reference, driver))
    as_it_is = torch.tensor([1.0, 0.0]).to(driver)
    lean, nod = (
        torch.where(alike, turn_between(*ways), as_it_is)
        for ways in ((trunk, goal_trunk), (face, goal_face))
    )
    made = torch.zeros_like(driver)
    made[..., NECK, :] = turned(trunk, lean)
    for joint in HIP:
        made[..., joint, :] = turned(reference[..., joint, :] - pelvis, lean)
    for joints, turn in ((SHOULDER, lean), (FACE, nod)):
        for joint in joints:
            off = reference[..., joint, :] - reference[..., NECK, :]
            made[..., joint, :] = made[..., NECK, :] + turned(off, turn)
    for start, end in LIMBS:
        bone = reference[..., end, :] - reference[..., start, :]
        way = _unit(driver[..., end, :] - driver[..., start, :])
        if start in SHOULDER + ELBOW:
            way = torch.where(alike, way, _unit(bone))
        made[..., end, :] = made[..., start, :] + bone.norm(dim=-1, keepdim=True) * way
    return made


def _lies(trunk: Tensor) -> tuple[Tensor, Tensor]:
    """Whether a trunk (..., 2) lies, as that of an animal on four legs, and points to the right."""
    return trunk[..., 0].abs() > trunk[..., 1].abs(), trunk[..., 0] > 0


def _size_of_driver(bones: Tensor, driver: Tensor, shown: Tensor) -> Tensor:
    """(b, 1, 1, 2): what x and y of the driver are multiplied by to give it the reference's size.

    Least squares over bones (b, 1, 9, 2) and (b, t, 9, 2): each as long as the reference's. A
    skeleton has been stretched onto its panel, along x and y apart (paper section 3.3).
    """
    squares = (driver.square() * shown[..., None]).flatten(1, 2)  # b, t * 9, 2
    wanted = (bones.square().sum(dim=-1) * shown).flatten(1)
    both = (wanted.sum(dim=1) / squares.sum(dim=(1, 2)).clamp(min=1e-6))[:, None]  # as one
    matrix = squares.transpose(1, 2) @ squares
    held = EVEN * matrix.diagonal(dim1=1, dim2=2).sum(dim=1)[:, None]
    right = (squares * wanted[..., None]).sum(dim=1) + held * both
    a, b = matrix[:, 0, 0] + held[:, 0] + 1e-6, matrix[:, 0, 1]
    d = matrix[:, 1, 1] + held[:, 0] + 1e-6
    found = torch.stack([d * right[:, 0] - b * right[:, 1], a * right[:, 1] - b * right[:, 0]], -1)
    found = found / (a * d - b * b)[:, None]
    return torch.minimum(torch.maximum(found, both / 4), 4 * both).sqrt()[:, None, None]


def frames_of(joints: Tensor) -> tuple[Tensor, Tensor]:
    """(..., 18, 2) -> where the 12 pieces hang (..., 12, 2), and which way they point, unit."""
    pelvis, head = _middle(joints, HIP), _middle(joints, EAR)
    ears = joints[..., EAR[1], :] - joints[..., EAR[0], :]
    trunk = joints[..., NECK, :] - pelvis
    starts, ends = zip(*LIMBS, strict=True)
    limbs = joints[..., ends, :] - joints[..., starts, :]
    origins = [
        pelvis[..., None, :],
        head[..., None, :],
        joints[..., starts, :],
        joints[..., ANKLE, :],
    ]
    level = torch.tensor([1.0, 0.0]).to(joints).expand_as(joints[..., ANKLE, :])
    ways = [trunk[..., None, :], ears[..., None, :], limbs, level]
    return torch.cat(origins, dim=-2), _unit(torch.cat(ways, dim=-2))


def carried_back(points: Tensor, target: Tensor, reference: Tensor, borrowed: Tensor) -> Tensor:
    """Where in the reference the points (..., k, 2) of the answer are, by each piece
    (..., 12, k, 2).

    Joints (..., 18, 2) of both. A piece is turned and moved, and all are as much larger or smaller
    as the whole body is. borrowed (..., 12) bool: the mirror image of the other side's piece.
    """
    (origins, ways), (goals, goal_ways) = frames_of(reference), frames_of(target)
    mirror = borrowed[..., None]
    origins = torch.where(mirror, origins[..., OTHER_SIDE, :], origins)
    ways = torch.where(mirror, ways[..., OTHER_SIDE, :], ways)
    level = torch.tensor([piece in FEET for piece in range(len(OTHER_SIDE))]).to(mirror.device)
    ways = torch.where(mirror & level[:, None], -ways, ways)
    length = lambda joints: _bones(joints).norm(dim=-1).sum(dim=-1)  # noqa: E731
    scale = length(reference) / length(target).clamp(min=1e-3)
    # Along the piece and across it: the inverse of a turn by its direction.
    back = goal_ways * torch.tensor([1.0, -1.0]).to(goal_ways)
    along, across = turned(
        points[..., None, :, :] - goals[..., None, :], back[..., None, :]
    ).unbind(-1)
    across = torch.where(mirror, -across, across)
    off = turned(torch.stack([along, across], dim=-1), ways[..., None, :])
    return origins[..., None, :] + scale[..., None, None, None] * off


def turn_between(a: Tensor, b: Tensor) -> Tensor:
    """The rotation from the direction of a to that of b, as (cos, sin)."""
    a, b = _unit(a), _unit(b)
    cos = (a * b).sum(dim=-1)
    return torch.stack([cos, a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0]], dim=-1)


def turned(vectors: Tensor, turn: Tensor) -> Tensor:
    """Vectors turned by (cos, sin), which may be scaled."""
    x, y = vectors.unbind(dim=-1)
    cos, sin = turn.unbind(dim=-1)
    return torch.stack([cos * x - sin * y, sin * x + cos * y], dim=-1)


def _bones(joints: Tensor) -> Tensor:
    """(..., 18, 2) -> (..., 9, 2): the trunk and the limbs."""
    starts, ends = zip(*LIMBS, strict=True)
    trunk = joints[..., NECK, :] - _middle(joints, HIP)
    return torch.cat([trunk[..., None, :], joints[..., ends, :] - joints[..., starts, :]], dim=-2)


def _middle(joints: Tensor, pair: tuple[int, int]) -> Tensor:
    return (joints[..., pair[0], :] + joints[..., pair[1], :]) / 2


def _unit(vectors: Tensor) -> Tensor:
    return vectors / vectors.norm(dim=-1, keepdim=True).clamp(min=1e-3)
