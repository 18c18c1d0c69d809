"""A camera that looks at rigged bodies, with a mild perspective."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

DISTANCE = 2.5  # from the middle of what is seen, in diagonals of its box


@dataclass(frozen=True)
class Camera:
    """Looks at a middle point from a distance; the picture is then scaled and moved."""

    view: np.ndarray  # (3, 3) rows: right, up, towards the camera
    middle: np.ndarray  # (3,)
    distance: float
    scale: float = 1.0
    shift: tuple[float, float] = (0.0, 0.0)

    def project(self, points: np.ndarray) -> np.ndarray:
        """(..., 3) in the world -> x, y in shares of the panel, y down, and 1 / depth."""
        seen = (points - self.middle) @ self.view.T
        near = 1 / (self.distance - seen[..., 2])
        x = seen[..., 0] * near * self.scale + self.shift[0]
        y = -seen[..., 1] * near * self.scale + self.shift[1]
        return np.stack([x, y, near], axis=-1)


def aim(rng: np.random.Generator, yaw: float, pitch: float, points: np.ndarray) -> Camera:
    """A camera that holds all points (n, 3) in the panel, with some room that rng shares out.

    yaw: radians that a body looking along z is turned to the right of the picture.
    pitch: radians that it is seen from above.
    """
    low, high = points.min(axis=0), points.max(axis=0)
    camera = Camera(_view(yaw, pitch), (low + high) / 2, DISTANCE * np.linalg.norm(high - low))
    seen = camera.project(points)[:, :2]
    low, high = seen.min(axis=0), seen.max(axis=0)
    scale = rng.uniform(0.74, 0.92) / (high - low).max()
    room = 1 - (high - low) * scale
    shift = -low * scale + room * rng.uniform(0.25, 0.75, 2)
    return Camera(camera.view, camera.middle, camera.distance, scale, tuple(shift))


def _view(yaw: float, pitch: float) -> np.ndarray:
    """(3, 3) rows right, up and towards the camera, for a body that looks along z."""
    c, s = np.cos(yaw), np.sin(yaw)
    turn = np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]])
    c, s = np.cos(pitch), np.sin(pitch)
    return np.array([[1, 0, 0], [0, c, -s], [0, s, c]]) @ turn
