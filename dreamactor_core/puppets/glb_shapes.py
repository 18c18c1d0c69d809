"""Rigged bodies in other proportions, so that a few bodies teach of many."""

from __future__ import annotations

import numpy as np

from .. import skeleton
from .glb_body import RiggedBody, S, to_world
from .glb_names import joint_bones

SIZE_SPREAD = 0.3  # of the logarithm of a limb's or a head's size
SQUEEZE = 0.2  # of the logarithm of the body's width, height and length
# Limbs by their ends, near and far.
SIZED = (skeleton.SHOULDER, skeleton.WRIST), (skeleton.HIP, skeleton.ANKLE)


def reshape(rng: np.random.Generator, body: RiggedBody, local: np.ndarray) -> np.ndarray:
    """Local transforms (t, n, 10) -> matrices (t, n, 4, 4) from node to world, as to_world, of the
    same motion in other proportions."""
    return squeezed(rng, to_world(body, other_sizes(rng, body, local)))


def other_sizes(rng: np.random.Generator, body: RiggedBody, local: np.ndarray) -> np.ndarray:
    """Local transforms (t, n, 10), of the same motion with a head, arms and legs of other sizes;
    both sides alike. What an animator's handles hold (a foot beside its leg) keeps its size."""
    local, standing = local.copy(), joint_bones(body.nodes)
    heads = [node for node, name in enumerate(body.nodes) if name.lower() == "head"]
    limbs = [
        [standing[joint] for joint in near]
        for near, far in SIZED
        if all(joint in standing for joint in near + far)
        and all(
            _hangs_on(body, standing[end], standing[joint])
            for joint, end in zip(near, far, strict=True)
        )
    ]
    for nodes in (heads, *limbs):
        local[:, nodes, S] *= np.exp(rng.normal(0, SIZE_SPREAD))
    return local


def squeezed(rng: np.random.Generator, world: np.ndarray) -> np.ndarray:
    """Matrices (t, n, 4, 4) of a body made wider, higher or longer."""
    return np.diag([*np.exp(rng.normal(0, SQUEEZE, 3)), 1]) @ world


def _hangs_on(body: RiggedBody, node: int, above: int) -> bool:
    while node >= 0 and node != above:
        node = body.parents[node]
    return node == above
