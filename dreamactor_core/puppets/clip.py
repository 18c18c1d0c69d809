"""Puppets drawn frame by frame: appearance and performance -> a clip with its truth."""

from __future__ import annotations

import cv2
import numpy as np

from ..skeleton import PARTS
from .body import Body, solve
from .camera import exposed, places_in, pose_in, shaded, through, views_of
from .captions import scene_caption
from .pen import Pen
from .puppet import draw_puppet
from .scene import Appearance, Performance
from .world import LEAD_IN, Clip


def render(
    appearance: Appearance, performance: Performance, size: int, *, transition: bool = True
) -> Clip:
    """Draw a performance with an appearance on a square panel of size pixels.

    transition: draw frames 1 .. LEAD_IN - 1 too; they are black otherwise.
    """
    num_frames = len(performance.camera)
    frames = np.zeros((num_frames, size, size, 3), np.uint8)
    scene, mask = np.zeros_like(frames), np.zeros((num_frames, size, size), np.uint8)
    parts = np.zeros_like(mask)
    bodies = bodies_of(appearance, performance)
    views = views_of(appearance, bodies, performance.camera)
    backdrop = cv2.resize(appearance.background, (size, size), interpolation=cv2.INTER_AREA)
    for t in range(num_frames):
        if not transition and 0 < t < LEAD_IN:
            continue
        view = tuple(views[t])
        empty = shaded(through(backdrop, view), appearance, bodies, t, view)
        canvas = np.zeros((size, size, 4), np.uint8)
        canvas[..., :3] = empty
        for i, (who, body) in enumerate(zip(appearance.cast, bodies, strict=True)):
            pen = Pen(canvas, view, who, parts[t], first=i * PARTS + 1)
            draw_puppet(pen, who, body, t, mouth=float(performance.motions[i].mouth[t]))
        frames[t], scene[t] = exposed(appearance, canvas[..., :3]), exposed(appearance, empty)
        mask[t] = canvas[..., 3]
    return Clip(
        frames,
        mask,
        scene,
        pose_in(bodies, views),
        scene_caption(appearance.cast, performance.keys),
        parts,
        places_in(appearance, bodies, views) * size,
    )


def bodies_of(appearance: Appearance, performance: Performance) -> list[Body]:
    """The joints of every puppet in every frame."""
    pairs = zip(appearance.cast, performance.motions, strict=True)
    return [solve(who, motion) for who, motion in pairs]
