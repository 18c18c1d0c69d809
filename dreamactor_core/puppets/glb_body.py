"""Rigged bodies in motion: animations sampled, skeletons posed, skins moved.

    local = sample_animation(body, "Walk", times)   (t, n, 10) each node beside its parent
    world = to_world(body, local)                   (t, n, 4, 4)
    points, normals = skin(body, world[0])          (v, 3), (v, 3)

A local transform is one row of ten: translation (3), rotation as a quaternion x y z w (4), scale
(3). Lengths are the file's own, y up, the body looking along z.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

T, R, S = slice(0, 3), slice(3, 7), slice(7, 10)  # of a local transform


class Channel(NamedTuple):
    """One animated part of one node's transform."""

    node: int
    part: slice  # T, R or S
    times: np.ndarray  # (k,) seconds, rising
    values: np.ndarray  # (k, 3 or 4); CUBICSPLINE (k, 3, 3 or 4): in-tangent, value, out-tangent
    interpolation: str  # LINEAR, STEP or CUBICSPLINE


class Mesh(NamedTuple):
    """Every mesh of a body in one list of v vertices and f triangles."""

    points: np.ndarray  # (v, 3)
    normals: np.ndarray  # (v, 3)
    uv: np.ndarray  # (v, 2) 0, 0 = upper left of the texture
    colours: np.ndarray  # (v, 3) sRGB in [0, 1], a factor of the texture
    weights: np.ndarray  # (v, e) of each entry of the palette; rows add up to 1
    triangles: np.ndarray  # (f, 3) vertices, anticlockwise from outside
    material: np.ndarray  # (f,)


@dataclass(frozen=True, eq=False)  # a body equals itself alone, and can be a key
class RiggedBody:
    name: str  # of the file, without .glb
    nodes: tuple[str, ...]  # names, parents before children
    parents: tuple[int, ...]  # -1 for a root
    rest: np.ndarray  # (n, 10) local transforms without animation
    motions: dict[str, tuple[Channel, ...]]
    mesh: Mesh
    textures: tuple[np.ndarray, ...]  # one for each material, (h, w, 3) uint8 sRGB
    palette: np.ndarray  # (e,) the node that moves each entry
    offsets: np.ndarray  # (e, 4, 4) from the mesh to that node

    def duration(self, motion: str) -> float:
        """Seconds."""
        return max(float(channel.times[-1]) for channel in self.motions[motion])


def sample_animation(body: RiggedBody, motion: str, times: np.ndarray) -> np.ndarray:
    """Local transforms (t, n, 10) at (t,) seconds; held before the first key and after the last."""
    local = np.repeat(body.rest[None], len(times), axis=0)
    for channel in body.motions[motion]:
        local[:, channel.node, channel.part] = _interpolate(channel, times)
    return local


def mix(first: np.ndarray, second: np.ndarray, share: np.ndarray) -> np.ndarray:
    """Local transforms from first (share 0) to second (share 1), rotations along the sphere.

    first, second: (..., 10), share broadcasts to (...).
    """
    share = np.asarray(share)[..., None]
    straight = first + (second - first) * share
    straight[..., R] = _slerp(first[..., R], second[..., R], share)
    return straight


def to_world(body: RiggedBody, local: np.ndarray) -> np.ndarray:
    """Local transforms (t, n, 10) -> matrices (t, n, 4, 4) from node to world."""
    world = np.zeros((*local.shape[:2], 4, 4))
    world[..., :3, :3] = _rotations(local[..., R]) * local[..., None, S]
    world[..., :3, 3], world[..., 3, 3] = local[..., T], 1
    for node, parent in enumerate(body.parents):
        if parent >= 0:
            world[:, node] = world[:, parent] @ world[:, node]
    return world


def skin(body: RiggedBody, world: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Vertices and unit normals (v, 3) in one frame. world: (n, 4, 4)."""
    entries = (world[body.palette] @ body.offsets)[:, :3].astype(np.float32)
    matrices = (body.mesh.weights @ entries.reshape(len(entries), 12)).reshape(-1, 3, 4)
    points = np.einsum("vij,vj->vi", matrices[..., :3], body.mesh.points) + matrices[..., 3]
    normals = np.einsum("vij,vj->vi", matrices[..., :3], body.mesh.normals)
    return points, normals / np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-12)


def _interpolate(channel: Channel, times: np.ndarray) -> np.ndarray:
    """(t,) seconds -> (t, 3 or 4)."""
    keys, values = channel.times, channel.values
    times = np.clip(times, keys[0], keys[-1])
    i = np.searchsorted(keys, times, side="right") - 1
    j = np.minimum(i + 1, len(keys) - 1)
    step = (keys[j] - keys[i])[:, None]
    s = (times - keys[i])[:, None] / np.where(step > 0, step, 1)
    if channel.interpolation == "STEP":
        return values[i]
    if channel.interpolation == "LINEAR":
        if channel.part == R:
            return _slerp(values[i], values[j], s)
        return values[i] + (values[j] - values[i]) * s
    v0, out, into, v1 = values[i, 1], values[i, 2] * step, values[j, 0] * step, values[j, 1]
    mixed = (
        (2 * s**3 - 3 * s**2 + 1) * v0
        + (s**3 - 2 * s**2 + s) * out
        + (3 * s**2 - 2 * s**3) * v1
        + (s**3 - s**2) * into
    )
    return mixed / np.linalg.norm(mixed, axis=-1, keepdims=True) if channel.part == R else mixed


def _slerp(a: np.ndarray, b: np.ndarray, s: np.ndarray) -> np.ndarray:
    """Along the shorter arc. a, b: (..., 4) unit quaternions, s: (..., 1)."""
    cos = (a * b).sum(axis=-1, keepdims=True)
    b, cos = np.where(cos < 0, -b, b), np.minimum(np.abs(cos), 1)
    angle = np.arccos(cos)
    sin = np.sin(angle)
    near = sin < 1e-6  # the chord will do
    sin = np.where(near, 1, sin)
    mixed = np.where(near, 1 - s, np.sin((1 - s) * angle) / sin) * a
    mixed = mixed + np.where(near, s, np.sin(s * angle) / sin) * b
    return mixed / np.linalg.norm(mixed, axis=-1, keepdims=True)


def _rotations(q: np.ndarray) -> np.ndarray:
    """Unit quaternions x y z w (..., 4) -> (..., 3, 3)."""
    x, y, z, w = np.moveaxis(q, -1, 0)
    rows = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
        [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
        [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
    ]
    return np.moveaxis(np.array(rows), (0, 1), (-2, -1))
