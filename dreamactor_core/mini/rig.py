"""Bodies of the small model: joints, and the pieces that hang on them.

Joints are in OpenPose's order, (x, y) in pixels. A piece is a part of a picture that moves as one:
torso, head, two pieces of each arm and leg, and feet. Vectors are (..., 2).
"""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from .eye import JOINTS

NECK = 1
SHOULDER, ELBOW, WRIST = (2, 5), (3, 6), (4, 7)  # (right, left)
HIP, KNEE, ANKLE = (8, 11), (9, 12), (10, 13)
EYE, EAR = (14, 15), (16, 17)
FACE = (0, *EYE, *EAR)
LIMBS = tuple(
    (start[side], end[side])
    for start, end in ((SHOULDER, ELBOW), (ELBOW, WRIST), (HIP, KNEE), (KNEE, ANKLE))
    for side in (0, 1)
)
# Of the pieces: torso, head, then right and left of arms, forearms, thighs, shins, feet.
OTHER_SIDE = (0, 1, 3, 2, 5, 4, 7, 6, 9, 8, 11, 10)
TORSO, HEAD, ARMS, FOREARMS, FEET = 0, 1, (2, 3), (4, 5), (10, 11)
EARS_BACK = 0.4  # how far ears go back where the face comes forward by 1
FACE_WIDTH = 0.5  # half of what slides, as a share of half the head's width
FACE_HEIGHT = (-0.45, 0.75)  # from the brow down to the chin, the same
FADE = 0.15  # beyond these, the same
EVEN = 0.5  # how strongly a driver is held to be as wide as it is high


class Clip(NamedTuple):
    """Of a driver, where only some frames of it are asked for: training reads a few of a clip, and
    has to tell the same of the whole as inference."""

    joints: Tensor  # (b, k, m, 18, 2 or 3) of all its frames, see Rig.forward
    times: Tensor  # (b, t) which of these are asked for


class Rig(nn.Module):
    """The driver's pose with the bones of the reference: what animators call retargeting.

    Bones keep the reference's length and take the driver's direction; the lower foot stands where
    the reference stands, lifted as far as the driver has left the ground. Of two bodies seen from
    the side the driver is turned to look where the reference looks; a body on four legs and one on
    two share no more than legs and where they go. What this rule gets wrong, for heads that turn,
    bodies of other plans, cameras that zoom, where a driver stood before it set out, and what the
    eye saw wrong, is learned (train/rig.py): from each frame, those before and after it, how sure
    the eye is of them, and what all frames of the clip have in common.
    """

    BESIDE = (-2, -1, 1, 2)  # frames
    READ = (5 + len(BESIDE)) * 2 * JOINTS + (2 + len(BESIDE)) * JOINTS + 6
    FRAMES = 16  # of the clips that it learns from: the unit of time

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
        clip: Clip | None = None,
    ) -> Tensor:
        """reference (b, m, 18, 3), driver (b, t, m, 18, 3): x, y, and how far from there they may
        be, in pixels; without the third they are certain. shown (b, t) bool: which frames have a
        driver; m bodies, each driven by its like -> (b, t, m, 18, 2). size (2,): width and height
        of the panel. Without a clip the frames of the driver are all there are, in order.
        """
        reference, driver = _with_spread(reference), _with_spread(driver)
        (samples, bodies), count = reference.shape[:2], driver.shape[1]
        whole, told = driver, shown
        own = torch.arange(count, device=shown.device).expand(samples, -1)
        times, last = own, count - 1
        if clip is not None:
            whole = torch.cat([_with_spread(clip.joints), driver], dim=1)
            last = clip.joints.shape[1] - 1
            own = torch.arange(last + 1 + count, device=shown.device).expand(samples, -1)
            times = torch.cat([own[:, : last + 1], clip.times.to(own)], dim=1)
            told = torch.cat([shown.new_ones(samples, last + 1), torch.zeros_like(shown)], dim=1)
        rows = torch.arange(samples, device=shown.device)[:, None]
        beside = [(times + way).clamp(0, last) for way in self.BESIDE]
        beside = [whole[rows, torch.where(told[rows, at], at, own)] for at in beside]
        if clip is None:
            times = shown.cumsum(dim=1) - 1
        # Bodies as samples of their own.
        reference = reference.flatten(0, 1)[:, None]
        whole, *beside = (each.transpose(1, 2).flatten(0, 1) for each in (whole, *beside))
        told, times = (
            each.repeat_interleave(bodies, dim=0)[..., None].to(whole) for each in (told, times)
        )
        made = self._carry(reference, whole, beside, told, times, size)[:, -count:]
        return made.unflatten(0, (samples, bodies)).transpose(1, 2)

    def _carry(
        self,
        reference: Tensor,
        driver: Tensor,
        beside: list[Tensor],
        shown: Tensor,
        times: Tensor,
        size: Tensor,
    ) -> Tensor:
        """reference (n, 1, 18, 3), driver (n, t, 18, 3), beside: the driver before and after,
        shown, times (n, t, 1): those shown tell how large the driver is and where it stands on the
        whole."""
        spreads = [joints[..., 2].log1p() for joints in (reference, driver, *beside)]
        reference, driver, *beside = (joints[..., :2] for joints in (reference, driver, *beside))
        seen = driver
        factor = _size_of_driver(_bones(reference), _bones(driver), shown)
        (lies, right), (driver_lies, driver_right) = (
            _lies((_bones(joints)[..., 0, :] * part).sum(dim=1, keepdim=True))
            for joints, part in ((reference, 1), (driver, shown))
        )
        turned_round = lies & driver_lies & (right != driver_right)
        mirror = torch.stack(
            [1 - 2 * turned_round.to(driver), torch.ones_like(shown[:, :1, 0])], -1
        )
        driver, *beside = (joints * factor * mirror[:, :, None] for joints in (driver, *beside))
        count = shown.sum(dim=1).clamp(min=1)  # n, 1
        middle = (_middle(driver, HIP) * shown).sum(dim=1) / count  # n, 2
        pelvis = _middle(reference, HIP)

        made = _posed(reference, driver, (lies == driver_lies)[..., None])
        feet = lambda joints: joints[..., ANKLE, 1].amax(dim=-1)  # noqa: E731
        ground = feet(driver).masked_fill(shown[..., 0] == 0, -torch.inf).amax(dim=1, keepdim=True)
        y = feet(reference) - (ground - feet(driver)) - feet(made)
        x = pelvis[..., 0] + _middle(driver, HIP)[..., 0] - middle[:, :1]
        made = made + torch.stack([x, y], dim=-1)[..., None, :]

        tall = size_of(reference)[..., None, None] / 4
        about = [reference - pelvis[..., None, :], made - pelvis[..., None, :]]
        about += [joints - middle[:, None, None] for joints in (driver, *beside)]
        read = [each / tall for each in about] + [2 * each / size - 1 for each in (reference, seen)]
        kinds = torch.stack([lies, driver_lies, turned_round], dim=-1).to(driver)
        kinds = torch.cat([kinds, factor[:, :, 0].log()], dim=-1).expand(-1, made.shape[1], -1)
        read = [each.expand_as(made).flatten(2) for each in read]
        spreads = [each.expand(made.shape[:-1]) for each in spreads]
        read = torch.cat([*read, kinds, times / self.FRAMES, *spreads], dim=-1)
        read = read.to(self.out.weight.dtype)
        looks = self.look(read)
        common = (self.recall(looks) * shown.to(looks)).sum(dim=1, keepdim=True)
        common = common / count[:, None].to(looks)
        far = self.out(self.correct(torch.cat([looks, common.expand_as(looks)], dim=-1)))
        return made + tall * far.to(made).unflatten(-1, (JOINTS, 2))


def _with_spread(joints: Tensor) -> Tensor:
    return joints if joints.shape[-1] == 3 else pad(joints, (0, 1))


def _layers(*widths: int) -> nn.Sequential:
    return nn.Sequential(
        *(part for a, b in pairwise(widths) for part in (nn.Linear(a, b), nn.SiLU()))
    )


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


def frames_of(joints: Tensor, winged: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """(..., 18, 2), winged (...) -> of the 12 pieces where they hang (..., 12, 2), which way they
    point, unit, and how long they are there (..., 12)."""
    pelvis = _middle(joints, HIP)
    head, ears, _ = _face(joints)
    trunk = joints[..., NECK, :] - pelvis
    starts, ends = zip(*LIMBS, strict=True)
    limbs = joints[..., ends, :] - joints[..., starts, :]
    wings = joints[..., WRIST, :] - joints[..., SHOULDER, :]
    is_wing = torch.tensor([end in ELBOW for end in ends]).to(winged.device) & winged[..., None]
    wings = torch.cat([wings, torch.zeros_like(limbs[..., 2:, :])], dim=-2)
    limbs = torch.where(is_wing[..., None], wings, limbs)
    origins = [
        pelvis[..., None, :],
        head[..., None, :],
        joints[..., starts, :],
        joints[..., ANKLE, :],
    ]
    level = torch.tensor([1.0, 0.0]).to(joints).expand_as(joints[..., ANKLE, :])
    ways = torch.cat([trunk[..., None, :], ears[..., None, :], limbs, level], dim=-2)
    return torch.cat(origins, dim=-2), _unit(ways), ways.norm(dim=-1)


def carried_back(
    points: Tensor, target: Tensor, reference: Tensor, mirror: Tensor | None, winged: Tensor
) -> Tensor:
    """Where in the reference the points (..., k, 2) of the answer are, by each piece
    (..., 12, k, 2).

    Joints (..., 18, 2) of both. A piece is turned and moved, and all are as much larger or smaller
    as the whole body is. mirror (..., 12) bool, or none: in the other side's piece, mirrored.
    winged (...) bool: the arms are wings, of one piece from shoulder to wrist, which keep their
    feathers down and are as long as they are spread.
    """
    origins, ways, lengths = frames_of(reference, winged)
    goals, goal_ways, goal_lengths = frames_of(target, winged)
    feet, wings = (
        torch.tensor([piece in some for piece in range(len(OTHER_SIDE))]).to(winged.device)
        for some in (FEET, ARMS)
    )
    wings = wings & winged[..., None]
    if mirror is None:
        mirror = torch.zeros_like(wings)
    other = lambda each: each[..., OTHER_SIDE, :]  # noqa: E731
    origins = torch.where(mirror[..., None], other(origins), origins)
    ways = torch.where(mirror[..., None], other(ways), ways)
    lengths = torch.where(mirror, lengths[..., OTHER_SIDE], lengths)
    ways = torch.where((mirror & feet)[..., None], -ways, ways)
    mirror = torch.where(wings, (ways[..., 0] > 0) != (goal_ways[..., 0] > 0), mirror)
    size = size_of(reference) / size_of(target).clamp(min=1e-3)
    scale = size[..., None].expand_as(lengths)
    spread = torch.minimum(lengths / goal_lengths.clamp(min=1e-3), 4 * scale)
    scale = torch.where(wings, spread, scale)
    # Along the piece and across it: the inverse of a turn by its direction.
    back = goal_ways * torch.tensor([1.0, -1.0]).to(goal_ways)
    off = turned(points[..., None, :, :] - goals[..., None, :], back[..., None, :])
    along, across = (scale[..., None, None] * off).unbind(-1)
    across = torch.where(mirror[..., None], -across, across)
    head = _looked(along[..., HEAD, :], across[..., HEAD, :], reference, target, size)
    along = along.index_copy(-2, torch.tensor([HEAD]).to(winged.device), head[..., None, :])
    off = turned(torch.stack([along, across], dim=-1), ways[..., None, :])
    return origins[..., None, :] + off


def _face(joints: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """(..., 18, 2) -> the middle of the head, from ear to ear (..., 2), and how far from the middle
    the face looks that way (...). Where the face comes forward, the ears go back."""
    ears = joints[..., EAR[1], :] - joints[..., EAR[0], :]
    eyes = _middle(joints, EYE) - _middle(joints, EAR)
    ahead = (eyes * _unit(ears)).sum(dim=-1) / (1 + EARS_BACK)
    middle = _middle(joints, EAR) + EARS_BACK * ahead[..., None] * _unit(ears)
    return middle, ears, ahead


def _looked(along: Tensor, down: Tensor, reference: Tensor, target: Tensor, size: Tensor) -> Tensor:
    """Where along the reference's head (..., k) what the answer shows there is: a face slides over
    a head that turns, and what is beside it is pressed together or drawn apart."""
    _, ears, before = _face(reference)
    _, _, now = _face(target)
    radius = ears.norm(dim=-1, keepdim=True) / 2
    half, most = FACE_WIDTH * radius, (1 - FACE_WIDTH - 0.05) * radius
    before, now = (
        torch.minimum(torch.maximum(each[..., None], -most), most) for each in (before, now * size)
    )
    sign = (along > now).to(along) * 2 - 1
    off = (along - now).abs()  # from the middle of the face
    left_now, left_before = (radius - half - sign * each for each in (now, before))
    beside = half + (off - half) * left_before / left_now
    found = before + sign * torch.where(off < half, off, beside)
    found = torch.where(along.abs() < radius, found, along)
    # From the brow to the chin: hats and hair stay.
    brow, chin = FACE_HEIGHT
    inside = torch.minimum(down - brow * radius, chin * radius - down)
    share = (1 + inside / (FADE * radius)).clamp(0, 1)
    return along + share * (found - along)


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


def size_of(joints: Tensor) -> Tensor:
    """(..., 18, 2) -> (...): how long all its bones are together."""
    return _bones(joints).norm(dim=-1).sum(dim=-1)


def _bones(joints: Tensor) -> Tensor:
    """(..., 18, 2) -> (..., 9, 2): the trunk and the limbs."""
    starts, ends = zip(*LIMBS, strict=True)
    trunk = joints[..., NECK, :] - _middle(joints, HIP)
    return torch.cat([trunk[..., None, :], joints[..., ends, :] - joints[..., starts, :]], dim=-2)


def _middle(joints: Tensor, pair: tuple[int, int]) -> Tensor:
    return (joints[..., pair[0], :] + joints[..., pair[1], :]) / 2


def _unit(vectors: Tensor) -> Tensor:
    return vectors / vectors.norm(dim=-1, keepdim=True).clamp(min=1e-3)
