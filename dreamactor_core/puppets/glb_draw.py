"""Triangles to pixels with numpy alone: a depth buffer, one light.

Nothing loops over triangles: all write down the stretches of pixel rows that they cover, and of
those that share a pixel the nearest stays. Only then is anything coloured.
"""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np

from .glb_body import Mesh

SAMPLES = 2  # to each side of a pixel; their mean softens the edges
TOLERANCE = 1e-6  # pixels, so that no pixel falls between two neighbours
AMBIENT, DIRECT = 0.5, 0.6  # shares of the light


class Hits(NamedTuple):
    """The nearest triangle at each of n covered pixels."""

    pixel: np.ndarray  # (n,) y * size + x
    triangle: np.ndarray  # (n,)
    share: np.ndarray  # (n, 3) of each corner, perspective taken out


def draw(
    mesh: Mesh,
    textures: tuple[np.ndarray, ...],
    points: np.ndarray,
    brightness: np.ndarray,
    labels: np.ndarray,
    size: int,
) -> tuple[np.ndarray, np.ndarray]:
    """One body on nothing: (size, size, 4) in [0, 1], colours times coverage and coverage; and the
    label of what is seen near the middle of each pixel, 0 where nothing is, (size, size) uint8.

    points: (v, 3) as Camera.project gives them; brightness: (v,) cosine between normal and light;
    labels: (f,) of the triangles.
    """
    fine = size * SAMPLES
    hits = rasterise(points * [fine, fine, 1], mesh.triangles, fine)
    corners = mesh.triangles[hits.triangle]
    light = np.einsum("nc,nc->n", brightness[corners], hits.share)
    light = AMBIENT + DIRECT * np.maximum(light, 0)
    colours = _texels(mesh, textures, hits, corners) * light[:, None]
    picture = np.zeros((fine * fine, 4), np.float32)
    picture[hits.pixel, :3], picture[hits.pixel, 3] = np.minimum(colours, 1), 1
    seen = np.zeros(fine * fine, np.uint8)
    seen[hits.pixel] = labels[hits.triangle]
    middle = SAMPLES // 2
    labelled = seen.reshape(fine, fine)[middle::SAMPLES, middle::SAMPLES]
    mean = cv2.resize(picture.reshape(fine, fine, 4), (size, size), interpolation=cv2.INTER_AREA)
    return mean, labelled


def rasterise(points: np.ndarray, triangles: np.ndarray, size: int) -> Hits:
    """Which triangle is seen at the middle of each pixel of a square.

    points: (v, 3) x and y in pixels, y down, and 1 / depth; both sides of a triangle are seen.
    """
    corners = points[triangles]  # (f, corner, xyz)
    planes = _planes(corners)
    near = np.einsum("fc,fck->fk", corners[..., 2], planes)
    face, row, left, count = _spans(corners, planes, size)

    span = np.repeat(np.arange(len(face)), count)
    column = np.arange(len(span)) + np.repeat(left - (count.cumsum() - count), count)
    start = near[face, 1] * (row + 0.5) + near[face, 2] + 0.5 * near[face, 0]
    depth = start[span] + near[face, 0][span] * column
    pixel = (row * size)[span] + column
    nearest = np.zeros(size * size)
    np.maximum.at(nearest, pixel, depth)
    owner = np.full(size * size, -1)
    best = depth == nearest[pixel]
    owner[pixel[best]] = face[span[best]]

    pixel = np.flatnonzero(owner >= 0)
    face = owner[pixel]
    at = np.stack([pixel % size + 0.5, pixel // size + 0.5, np.ones(len(pixel))], axis=1)
    share = np.einsum("nck,nk->nc", planes[face], at) * corners[face, :, 2]
    return Hits(pixel, face, share / share.sum(axis=1, keepdims=True))


def _planes(corners: np.ndarray) -> np.ndarray:
    """(f, corner, 3) factors of x, y and 1 that give each corner's share; 0 without an area."""
    x, y, _ = np.moveaxis(corners, 2, 0)  # (f, corner)
    after, before = [1, 2, 0], [2, 0, 1]
    planes = np.stack(
        [
            y[:, after] - y[:, before],
            x[:, before] - x[:, after],
            x[:, after] * y[:, before] - x[:, before] * y[:, after],
        ],
        axis=2,
    )
    area = planes[..., 2].sum(axis=1)[:, None, None]
    return np.divide(planes, area, out=np.zeros_like(planes), where=area != 0)


def _spans(corners: np.ndarray, planes: np.ndarray, size: int) -> tuple[np.ndarray, ...]:
    """Every stretch of a pixel row that a triangle covers: face, row, first column, how many."""
    low = np.clip(np.ceil(corners[..., 1].min(axis=1) - 0.5), 0, size).astype(int)
    high = np.clip(np.floor(corners[..., 1].max(axis=1) - 0.5), -1, size - 1).astype(int)
    rows = np.where(planes.any(axis=(1, 2)), np.maximum(high - low + 1, 0), 0)
    face = np.repeat(np.arange(len(corners)), rows)
    row = np.arange(len(face)) + np.repeat(low - (rows.cumsum() - rows), rows)

    # Each share is slope * x + rest in a row, and must not be below 0.
    slope, rest = planes[face, :, 0], planes[face, :, 1] * (row + 0.5)[:, None] + planes[face, :, 2]
    with np.errstate(divide="ignore", invalid="ignore"):
        edge = -rest / slope
    left = np.where(slope > 0, edge, -np.inf).max(axis=1)
    right = np.where(slope < 0, edge, np.inf).min(axis=1)
    first = np.clip(np.ceil(left - 0.5 - TOLERANCE), 0, size).astype(int)
    last = np.clip(np.floor(right - 0.5 + TOLERANCE), -1, size - 1).astype(int)
    count = np.where(((slope == 0) & (rest < 0)).any(axis=1), 0, np.maximum(last - first + 1, 0))
    return face, row, first, count


def _texels(
    mesh: Mesh, textures: tuple[np.ndarray, ...], hits: Hits, corners: np.ndarray
) -> np.ndarray:
    """(n, 3) in [0, 1]: the colour of the nearest texel, the pictures repeating without end."""
    shapes = np.array([texture.shape[:2] for texture in textures])
    starts = np.cumsum(shapes.prod(axis=1)) - shapes.prod(axis=1)
    texels = np.concatenate([texture.reshape(-1, 3) for texture in textures])
    material = mesh.material[hits.triangle]
    uv = np.einsum("ncx,nc->nx", mesh.uv[corners], hits.share) % 1
    height, width = shapes[material].T
    column = np.minimum(uv[:, 0] * width, width - 1).astype(int)
    row = np.minimum(uv[:, 1] * height, height - 1).astype(int)
    tint = np.einsum("ncx,nc->nx", mesh.colours[corners], hits.share) / np.float32(255)
    return texels[starts[material] + row * width + column] * tint
