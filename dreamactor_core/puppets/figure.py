"""What drawing a puppet works on: one puppet in one frame, and the pen that draws it."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from .body import Body
from .identity import Identity
from .pen import Pen


class PosedPuppet(NamedTuple):
    """Points are in world units (see pen.py)."""

    pen: Pen
    who: Identity
    joints: np.ndarray  # (18, 2)
    pelvis: np.ndarray  # (2,)
    up: np.ndarray  # (2,) unit vector of the torso
    head: np.ndarray  # (2,) centre
    head_up: np.ndarray  # (2,) unit vector of the head
    mouth: float  # 0 shut .. 1 open

    @classmethod
    def at(cls, pen: Pen, who: Identity, body: Body, t: int, mouth: float) -> PosedPuppet:
        """Frame t of a body."""
        joints, pelvis, up = body.joints[t], body.pelvis[t], body.up[t]
        return cls(pen, who, joints, pelvis, up, body.head[t], body.head_up[t], mouth)
