"""Guides that nobody has to give: a person whom BlazePose finds in the reference, if it is here."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
from torch import Tensor

from ..media import to_uint8
from ..skeleton import MIRRORED_JOINT
from .blazepose import BlazePose, load_blazepose
from .blazepose_files import FILES, blazepose_home
from .guides import LEAST_JOINTS, MOST_BODIES, Guides, tells_apart
from .subjects import Cutout, DetectSettings, spread_all

MIN_SCORE = 0.7  # the detector's score
ALIKE = 0.01  # of a body's larger side: so far joints may lie from those of the mirrored picture

COMPARED_CONFIDENCE = 0.5  # confidence of the joints that are compared


def find_person(picture: Tensor, mask: np.ndarray | None = None) -> Guides | None:
    """Joints and outline of the people in a picture (h, w, 3) in [0, 1]; None if there is nobody.

    mask: an outline that is known already. Never fetches anything: None where BlazePose is not.
    Who is not the same in the mirrored picture is no person but taken for one, as drawings are.
    """
    home = blazepose_home()
    if not all((home / name).is_file() for name in FILES):
        return None
    image, networks = to_uint8(picture), _usual_networks(home)
    height, width = image.shape[:2]
    bodies, masks = _bodies(image, networks)
    mirrored, _ = _bodies(np.ascontiguousarray(image[:, ::-1]), networks)
    mirrored = mirrored[:, MIRRORED_JOINT] * [-1, 1, 1] + [width, 0, 0]
    kept = [k for k, body in enumerate(bodies) if any(_alike(body, other) for other in mirrored)]
    if not kept:
        return None
    if mask is None:
        own = [masks[k] for k in kept]
        mask = spread_all(own, height, width)[..., 0].astype(np.float32) / 255
    return Guides(height, width, bodies[kept], mask) if tells_apart(mask) else None


def _bodies(image: np.ndarray, networks: BlazePose) -> tuple[np.ndarray, list[Cutout]]:
    """Joints (m, 18, 3) in pixels, and a mask of each, the largest body first."""
    (found,) = networks.start(DetectSettings("people", MIN_SCORE, MOST_BODIES, masks=True))([image])
    order = np.argsort(-(found.boxes[:, 2:] - found.boxes[:, :2]).prod(axis=1))[:MOST_BODIES]
    return found.points[order, :18], [found.masks[k] for k in order]


def _alike(body: np.ndarray, other: np.ndarray) -> bool:
    seen = (body[:, 2] >= COMPARED_CONFIDENCE) & (other[:, 2] >= COMPARED_CONFIDENCE)
    if seen.sum() < LEAST_JOINTS:
        return False
    side = np.ptp(body[seen, :2], axis=0).max()
    return np.linalg.norm(body[seen, :2] - other[seen, :2], axis=1).mean() <= ALIKE * side


@cache
def _usual_networks(home: Path) -> BlazePose:
    return load_blazepose(home)
