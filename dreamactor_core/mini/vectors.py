"""Vectors (..., 2) of a skeleton in the picture plane: x to the right, y down, in pixels.

Joints are (..., 18, 2), numbered as in skeleton.py. A turn is a rotation as (cos, sin).
"""

from __future__ import annotations

import torch
from torch import Tensor

from ..skeleton import HIP, LIMB_JOINTS, NECK

LIMB_STARTS, LIMB_ENDS = zip(*LIMB_JOINTS.values(), strict=True)


def unit(vectors: Tensor) -> Tensor:
    """Of length 1; vectors shorter than a thousandth of a pixel become nothing."""
    return vectors / vectors.norm(dim=-1, keepdim=True).clamp(min=1e-3)


def turn_between(a: Tensor, b: Tensor) -> Tensor:
    """The turn from the direction of a to that of b."""
    a, b = unit(a), unit(b)
    cos = (a * b).sum(dim=-1)
    return torch.stack([cos, a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0]], dim=-1)


def turned(vectors: Tensor, turn: Tensor) -> Tensor:
    """Vectors after a turn; of a turn that is no unit vector, scaled by its length as well."""
    x, y = vectors.unbind(dim=-1)
    cos, sin = turn.unbind(dim=-1)
    return torch.stack([cos * x - sin * y, sin * x + cos * y], dim=-1)


def midpoint(joints: Tensor, pair: tuple[int, int]) -> Tensor:
    """(..., 18, 2) -> (..., 2), half-way between two joints."""
    return (joints[..., pair[0], :] + joints[..., pair[1], :]) / 2


def bone_vectors(joints: Tensor) -> Tensor:
    """(..., 18, 2) -> (..., 9, 2): the trunk, from the pelvis to the neck, and the eight limbs."""
    trunk = joints[..., NECK, :] - midpoint(joints, HIP)
    limbs = joints[..., LIMB_ENDS, :] - joints[..., LIMB_STARTS, :]
    return torch.cat([trunk[..., None, :], limbs], dim=-2)


def body_size(joints: Tensor) -> Tensor:
    """(..., 18, 2) -> (...): the length of all bones together. Of a body that is only turned, or
    whose limbs swing, it stays what it is."""
    return bone_vectors(joints).norm(dim=-1).sum(dim=-1)
