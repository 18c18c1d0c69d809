"""Guides that nobody has to give: a person whom BlazePose finds in the reference, if it is here."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
from torch import Tensor

from ..media import to_uint8
from ..skeleton import MIRRORED_JOINT
from .blazepose import BlazePose, load_blazepose
from .blazepose_files import blazepose_home, is_home
from .guides import CLEAR, LEAST_JOINTS, MOST_BODIES, Guides, tells_apart
from .reach import within_reach
from .subjects import Cutout, DetectSettings, spread_all

MIN_SCORE = 0.7  # the detector's score
COMPARED_CONFIDENCE = 0.5  # confidence of the joints that are compared


class Likeness(NamedTuple):
    """How a body compares with the one that is found in the mirrored picture: who is another there
    is no person but taken for one, as drawings are."""

    apart: float  # mean distance of their joints, in the body's larger side
    shared: float  # intersection / union of their outlines


SURELY_ALIKE = Likeness(0.01, 0.0)  # at most, and at least: surely a person
RATHER_ALIKE = Likeness(0.03, 0.85)  # where nobody else knows a body in the picture


class SeenBody(NamedTuple):
    """A body in a picture."""

    joints: np.ndarray  # (18, 3) x, y in pixels, confidence
    mask: Cutout
    likeness: Likeness | None  # None: nobody is in the mirrored picture


def find_person(
    picture: Tensor, mask: np.ndarray | None = None, *, doubtful: bool = True
) -> Guides | None:
    """Joints and outline of the people in a picture (h, w, 3) in [0, 1]; None if there is nobody.

    mask: an outline that is known already, and with it who is meant. doubtful: somebody else knows
    a body in the picture, so that only who is surely a person counts. Of more than MOST_BODIES the
    largest are taken. Never fetches anything: None where BlazePose is not.
    """
    networks = networks_here()
    if networks is None:
        return None
    image = to_uint8(picture)
    height, width = image.shape[:2]
    limit = SURELY_ALIKE if doubtful else RATHER_ALIKE
    people = [
        one
        for one in look(networks, image)
        if one.likeness is not None
        and (is_like(one.likeness, SURELY_ALIKE) or is_like(one.likeness, limit))
        and (mask is None or _is_within(one.joints, mask))
    ]
    kept = people[:MOST_BODIES]
    if not kept:
        return None
    if mask is None:
        mask = spread_all([one.mask for one in kept], height, width)[..., 0] / np.float32(255)
        mask = within_reach(mask, np.stack([one.joints for one in kept]))
    joints = np.stack([without_hidden(one.joints, height, width) for one in kept])
    others = len(people) - len(kept)
    return Guides(height, width, joints, mask, others=others) if tells_apart(mask) else None


def networks_here() -> BlazePose | None:
    """BlazePose, if its files are on this machine."""
    home = blazepose_home()
    return _usual_networks(home) if is_home(home) else None


def look(networks: BlazePose, image: np.ndarray) -> list[SeenBody]:
    """People in a picture (h, w, 3) uint8, the largest first, some of many."""
    height, width = image.shape[:2]
    bodies, masks = _bodies(image, networks)
    mirrored, turned = _bodies(np.ascontiguousarray(image[:, ::-1]), networks)
    mirrored = mirrored[:, MIRRORED_JOINT] * [-1, 1, 1] + [width, 0, 0]
    seen = []
    for body, mask in zip(bodies, masks, strict=True):
        own, best = mask.spread(height, width) > 127, None
        for other, cutout in zip(mirrored, turned, strict=True):
            there = cutout.spread(height, width)[:, ::-1] > 127
            apart = _apart(body, other)
            if best is None or apart < best.apart:
                shared = (own & there).sum() / max(1, (own | there).sum())
                best = Likeness(apart, float(shared))
        seen.append(SeenBody(body, mask, best))
    return seen


def is_like(likeness: Likeness, limit: Likeness) -> bool:
    return likeness.apart <= limit.apart and likeness.shared >= limit.shared


def _bodies(image: np.ndarray, networks: BlazePose) -> tuple[np.ndarray, list[Cutout]]:
    """Joints (m, 18, 3) in pixels, and a mask of each, the largest body first."""
    (found,) = networks.start(DetectSettings("people", MIN_SCORE, MOST_BODIES, masks=True))([image])
    order = np.argsort(-(found.boxes[:, 2:] - found.boxes[:, :2]).prod(axis=1))
    return found.points[order, :18], [found.masks[k] for k in order]


def without_hidden(joints: np.ndarray, height: float, width: float) -> np.ndarray:
    """Joints (..., 3) in a picture, without confidence where they lie outside of it: BlazePose
    makes up the legs of half a body, and nobody should follow them."""
    inside = (joints[..., :2] >= 0) & (joints[..., :2] <= [width, height])
    return joints * np.where(np.all(inside, axis=-1, keepdims=True), 1, [1, 1, 0])


def _is_within(joints: np.ndarray, mask: np.ndarray) -> bool:
    """Whether most of the joints that are seen lie in a mask (h, w)."""
    seen = joints[joints[:, 2] >= COMPARED_CONFIDENCE, :2]
    rows, columns = (
        seen[:, axis].astype(int).clip(0, size - 1)
        for axis, size in ((1, mask.shape[0]), (0, mask.shape[1]))
    )
    return bool(len(seen)) and float((mask[rows, columns] >= CLEAR).mean()) > 0.5


def _apart(body: np.ndarray, other: np.ndarray) -> float:
    seen = (body[:, 2] >= COMPARED_CONFIDENCE) & (other[:, 2] >= COMPARED_CONFIDENCE)
    if seen.sum() < LEAST_JOINTS:
        return float("inf")
    side = np.ptp(body[seen, :2], axis=0).max()
    return float(np.linalg.norm(body[seen, :2] - other[seen, :2], axis=1).mean() / max(side, 1e-6))


@cache
def _usual_networks(home: Path) -> BlazePose:
    return load_blazepose(home)
