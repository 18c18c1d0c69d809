"""The driver's pose with the bones of the reference, by rule: what animators call retargeting.

Bones keep the reference's length and take the driver's direction. The body goes where the driver
goes from its own mean place, and its lower foot stands where the reference stands, lifted as far as
the driver has left the ground. Of two bodies seen from the side the driver is mirrored to look
where the reference looks. A body on four legs and one on two share no more than legs and way.

Joints are (n, t, 18, 2) in pixels: n bodies, t frames, one frame of a reference.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from ..skeleton import ANKLE, EAR, ELBOW, FACE_JOINTS, HIP, LIMB_JOINTS, NECK, SHOULDER
from .vectors import bone_vectors, midpoint, turn_between, turned, unit

RIDGE_WEIGHT = 0.5  # see driver_scale
MOST_UNEVEN = 4.0  # an area's factor along x or y, against the one that is the same along both


class Retargeted(NamedTuple):
    joints: Tensor  # (n, t, 18, 2) of the answer
    scale: Tensor  # (n, 1, 1, 2) what x and y of the driver are multiplied by, see driver_scale
    mirror: Tensor  # (n, 1, 1, 2) -1 along x where the driver looks the other way, else 1
    centre: Tensor  # (n, 2) where the driver's pelvis is on average, after scale and mirror
    plan: Tensor  # (n, 1, 3) 0 or 1: the reference is on four legs, the driver is, they face apart

    def as_reference(self, joints: Tensor) -> Tensor:
        """Joints of the driver, as large as the reference and facing as it does."""
        return joints * self.scale * self.mirror


def retarget(reference: Tensor, driver: Tensor, counts: Tensor) -> Retargeted:
    """reference (n, 1, 18, 2), driver (n, t, 18, 2); counts (n, t, 1), 0 or 1: which frames tell
    how large the driver is, where it stands on average, and where the ground is."""
    scale = driver_scale(bone_vectors(reference), bone_vectors(driver), counts)
    on_four, faces_right = _stance(reference, torch.ones_like(counts[:, :1]))
    driver_on_four, driver_faces_right = _stance(driver, counts)
    apart = on_four & driver_on_four & (faces_right != driver_faces_right)
    mirror = torch.stack([1 - 2 * apart.to(driver), torch.ones_like(counts[:, :1, 0])], dim=-1)
    mirror = mirror[:, :, None]
    driver = driver * scale * mirror
    pelvis = midpoint(driver, HIP)
    centre = (pelvis * counts).sum(dim=1) / counts.sum(dim=1).clamp(min=1)

    joints = _posed(reference, driver, (on_four == driver_on_four)[..., None])
    ground = _lowest_foot(driver).masked_fill(counts[..., 0] == 0, -torch.inf)
    ground = ground.amax(dim=1, keepdim=True)
    lifted = ground - _lowest_foot(driver)
    x = midpoint(reference, HIP)[..., 0] + pelvis[..., 0] - centre[:, :1]
    y = _lowest_foot(reference) - lifted - _lowest_foot(joints)
    joints = joints + torch.stack([x, y], dim=-1)[..., None, :]
    plan = torch.stack([on_four, driver_on_four, apart], dim=-1).to(driver)
    return Retargeted(joints, scale, mirror, centre, plan)


def driver_scale(bones: Tensor, driver: Tensor, counts: Tensor) -> Tensor:
    """(n, 1, 1, 2): the factors of x and y that make the driver's bones (n, t, 9, 2) as long as the
    reference's (n, 1, 9, 2).

    The two differ, as a skeleton has been stretched onto its panel along x and y apart (paper
    section 3.3). The squares f = (fx^2, fy^2) of the factors solve, over all bones i of all frames
    that count, with s_i = (dx^2, dy^2) of the driver and l_i of the reference,

        min  sum_i (s_i . f - |l_i|^2)^2  +  RIDGE_WEIGHT tr(S) |f - (f0, f0)|^2,

    where S = sum_i s_i s_i^T and f0 = sum |l_i|^2 / sum |d_i|^2 is the factor for both. Limbs that
    point one way all the time tell nothing of the other axis: the ridge then holds it at f0.
    """
    squares = (driver.square() * counts[..., None]).flatten(1, 2)  # n, t * 9, 2
    wanted = (bones.square().sum(dim=-1) * counts).flatten(1)
    both = (wanted.sum(dim=1) / squares.sum(dim=(1, 2)).clamp(min=1e-6))[:, None]
    matrix = squares.transpose(1, 2) @ squares
    ridge = RIDGE_WEIGHT * matrix.diagonal(dim1=1, dim2=2).sum(dim=1)[:, None]
    right = (squares * wanted[..., None]).sum(dim=1) + ridge * both
    a, b = matrix[:, 0, 0] + ridge[:, 0] + 1e-6, matrix[:, 0, 1]
    d = matrix[:, 1, 1] + ridge[:, 0] + 1e-6
    found = torch.stack([d * right[:, 0] - b * right[:, 1], a * right[:, 1] - b * right[:, 0]], -1)
    found = found / (a * d - b * b)[:, None]
    found = torch.minimum(torch.maximum(found, both / MOST_UNEVEN), MOST_UNEVEN * both)
    return found.sqrt()[:, None, None]


def _stance(joints: Tensor, counts: Tensor) -> tuple[Tensor, Tensor]:
    """Whether the trunk lies on average, as that of an animal on four legs, and points to the
    right: (n, 1) bool each."""
    trunk = (bone_vectors(joints)[..., 0, :] * counts).sum(dim=1, keepdim=True)
    return trunk[..., 0].abs() > trunk[..., 1].abs(), trunk[..., 0] > 0


def _lowest_foot(joints: Tensor) -> Tensor:
    """(n, t, 18, 2) -> y (n, t)."""
    return joints[..., ANKLE, 1].amax(dim=-1)


def _posed(reference: Tensor, driver: Tensor, alike: Tensor) -> Tensor:
    """The bones of the reference in the driver's directions, the pelvis at the origin.

    alike (n, 1, 1): both bodies stand, or both are on four legs. Of an unlike driver the trunk, the
    head and the arms take nothing: they stay as the reference has them.
    """
    pelvis, driver_pelvis = midpoint(reference, HIP), midpoint(driver, HIP)
    trunk, driver_trunk = reference[..., NECK, :] - pelvis, driver[..., NECK, :] - driver_pelvis
    ears, driver_ears = (
        joints[..., EAR[1], :] - joints[..., EAR[0], :] for joints in (reference, driver)
    )
    no_turn = torch.tensor([1.0, 0.0]).to(driver)
    lean = torch.where(alike, turn_between(trunk, driver_trunk), no_turn)
    nod = torch.where(alike, turn_between(ears, driver_ears), no_turn)
    made = torch.zeros_like(driver)
    made[..., NECK, :] = turned(trunk, lean)
    for joint in HIP:
        made[..., joint, :] = turned(reference[..., joint, :] - pelvis, lean)
    for joints, turn in ((SHOULDER, lean), (FACE_JOINTS, nod)):
        for joint in joints:
            off = reference[..., joint, :] - reference[..., NECK, :]
            made[..., joint, :] = made[..., NECK, :] + turned(off, turn)
    for start, end in LIMB_JOINTS.values():
        bone = reference[..., end, :] - reference[..., start, :]
        way = unit(driver[..., end, :] - driver[..., start, :])
        if start in SHOULDER + ELBOW:
            way = torch.where(alike, way, unit(bone))
        made[..., end, :] = made[..., start, :] + bone.norm(dim=-1, keepdim=True) * way
    return made
