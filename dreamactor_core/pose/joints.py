"""Joints and a mask that somebody places on a picture by hand, and what they start from.

What the widget saves is JSON. Places are shares of the picture's width and height from its upper
left corner, so that they hold for the picture at any size:

    {"version": 1,
     "bodies": [[[0.51, 0.2], null, ... 18 joints], ...],
     "strokes": [[1, 0.04, 0.5, 0.2, 0.52, 0.24, ...], ...]}

bodies is null as long as nobody has moved a joint. A stroke of the brush adds to the mask (1) or
takes away from it (0); then come its radius as a share of the picture's shorter side, and the x and
y of each of its points. Nothing at all is "".
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import torch
from torch import Tensor

from ..errors import InputError
from ..media import to_frames
from ..skeleton import JOINTS, STANDING
from .draw import LIMBS, MIN_CONFIDENCE
from .grabcut import grab_cut
from .ground import outline
from .guides import LEAST_JOINTS, MOST_BODIES, Guides, read_guides, tells_apart
from .keypoints import Pose, load_keypoints
from .reference import find_person

FORM = 1  # of the value
# The box about the standing figure, skull and feet included: left, top, width, height, in lengths
# of its trunk.
STANDING_BOX = (-0.6, -0.7, 1.2, 3.45)
TALL = 0.8  # of a picture's height
MOST_STROKES, MOST_POINTS = 10_000, 100_000  # of a value: more was not painted by hand
CUT_SIDE = 256  # pixels of the longer side on which a mask is sought about joints
BONE, ABOUT_BONE = (
    0.02,
    0.16,
)  # of a body's larger side, from its bones: inside for sure, and perhaps
LEAST_SIDE = 8  # pixels


class Stroke(NamedTuple):
    adds: bool
    radius: float  # share of the picture's shorter side
    points: np.ndarray  # (n, 2) shares


class Edits(NamedTuple):
    """What was placed. Shares of the picture."""

    bodies: np.ndarray | None  # (m, 18, 3): x, y, 1 or 0 for a joint that is not there
    strokes: list[Stroke]


class Start(NamedTuple):
    """What there is before anybody moves anything."""

    bodies: np.ndarray  # (m, 18, 3) shares and confidence
    mask: np.ndarray | None  # (h, w) float32 in [0, 1]; None: it is sought about the joints
    notes: list[str]  # person, standing, nobody, many, uniform: the widget says what they mean


def read_edits(text: str | None) -> Edits:
    """The value of the widget. Raises InputError for anything else, joints outside of the picture
    among it.
    """
    if not (text or "").strip():
        return Edits(None, [])
    try:
        value = json.loads(text or "")
        version, bodies, strokes = (value[key] for key in ("version", "bodies", "strokes"))
        assert version == FORM and len(strokes) <= MOST_STROKES
        assert sum(len(one) for one in strokes) <= MOST_POINTS
        return Edits(_bodies(bodies), [_stroke(one) for one in strokes])
    except InputError:
        raise
    except (AssertionError, LookupError, OverflowError, TypeError, ValueError, RecursionError):
        raise InputError(
            "joints",
            got="a text that the widget has not written",
            need="its value, or nothing",
            fix="Empty the text, and place the joints in the node.",
        ) from None


def _bodies(bodies: list | None) -> np.ndarray | None:
    if bodies is None:
        return None
    if not 1 <= len(bodies) <= MOST_BODIES:
        raise InputError(
            "joints",
            got=f"{len(bodies)} bodies",
            need=f"1 or {MOST_BODIES}",
            fix="Add a body, or remove one.",
        )
    read = np.zeros((len(bodies), JOINTS, 3))
    for body, joints in zip(read, bodies, strict=True):
        for row, joint in zip(body, joints, strict=True):
            if joint is not None:
                x, y = (float(share) for share in joint)
                row[:] = x, y, 1
    _check_inside(read[..., :2])
    return read


def _stroke(numbers: list) -> Stroke:
    adds, radius, *points = (float(number) for number in numbers)
    places = np.array(points).reshape(-1, 2)
    assert len(places) and math.isfinite(radius) and 0 < radius <= 1
    assert np.isfinite(places).all() and np.abs(places).max() <= 8
    return Stroke(adds == 1, radius, places)


def _check_inside(places: np.ndarray) -> None:
    if not np.isfinite(places).all() or places.min() < 0 or places.max() > 1:
        raise InputError(
            "joints",
            got="one outside of the picture",
            need="shares of its width and height, 0 to 1",
            fix="Move the joint into the picture, or delete it.",
        )


def start_of(
    image: np.ndarray, keypoints: Path | Pose | None = None, mask: Path | Tensor | None = None
) -> Start:
    """Where to start on a picture (h, w, 3) uint8.

    keypoints: of the picture, one frame; without them a person who is found, or a standing figure.
    mask: as for read_guides; one that is all black or all white counts as none, for Load Image
        gives such a one of every opaque picture. Without it the outline on plain ground, or of a
        person.
    Raises InputError as read_guides does, but for bodies that are too many or none.
    """
    height, width = image.shape[:2]
    notes = []
    if isinstance(mask, Tensor) and not tells_apart(mask):
        mask = None
        notes.append("uniform")
    pose = load_keypoints(keypoints) if isinstance(keypoints, Path) else keypoints
    if pose is not None and len(pose.body) == 1:
        pose, note = _largest(pose)
        notes += note
    told = read_guides(pose, mask, height, width) or Guides(height, width)
    inside = outline(image) if told.mask is None else told.mask
    person = find_person(to_frames(image), inside) if keypoints is None else None
    if person is not None:
        notes.append("person")
        told = told._replace(joints=person.joints)
        inside = person.mask if inside is None else inside
    elif keypoints is None:
        notes.append("standing")
    if told.joints is None:
        return Start(standing(height, width, inside)[None], inside, notes)
    bodies = told.pose().body[0]
    out = ((bodies[..., :2] < 0) | (bodies[..., :2] > 1)).any(axis=-1)
    bodies[out] = 0
    return Start(bodies, inside, notes)


def _largest(pose: Pose) -> tuple[Pose | None, list[str]]:
    """As many as there may be of those who are in the picture, and what is to be said of it."""
    bodies = pose.body[0]
    places = (bodies[..., :2] >= 0) & (bodies[..., :2] <= 1)
    seen = (bodies[..., 2] >= MIN_CONFIDENCE) & places.all(axis=-1)
    kept = np.flatnonzero(seen.sum(axis=1) >= LEAST_JOINTS)
    if not len(kept):
        return None, ["nobody"]
    sizes = [np.ptp(bodies[k, seen[k], :2], axis=0).max() for k in kept]
    order = kept[np.argsort(sizes)[::-1]][:MOST_BODIES]
    some = pose.map(lambda points: points[:, order])
    return some, ["many"] if len(kept) > MOST_BODIES else []


def standing(height: int, width: int, mask: np.ndarray | None = None) -> np.ndarray:
    """(18, 3) shares: the standing figure in the box about the mask, or in the middle."""
    if mask is None or not tells_apart(mask):
        tall = TALL
        wide = min(TALL, STANDING_BOX[2] / STANDING_BOX[3] * TALL * height / width)
        left, top = (1 - wide) / 2, (1 - tall) / 2
    else:
        rows, columns = (np.flatnonzero((mask >= 0.5).any(axis=axis)) for axis in (1, 0))
        top, left = rows[0] / height, columns[0] / width
        tall, wide = (rows[-1] + 1) / height - top, (columns[-1] + 1) / width - left
    shares = (np.array(STANDING) - STANDING_BOX[:2]) / STANDING_BOX[2:]
    places = shares * [wide, tall] + [left, top]
    return np.column_stack([places, np.ones(JOINTS)])


def mask_of(image: np.ndarray, start: Start, edits: Edits) -> np.ndarray:
    """What the strokes lie over, (h, w) float32: the mask, or who stands about the joints."""
    if start.mask is not None:
        return start.mask
    return cut_about(image, start.bodies if edits.bodies is None else edits.bodies)


def placed(image: np.ndarray, start: Start, edits: Edits) -> Guides:
    """What comes of both, of a picture (h, w, 3) uint8: joints and mask.

    Raises InputError as read_guides does: for a body of hardly any joint, and for a mask that was
    all rubbed out or all filled.
    """
    height, width = image.shape[:2]
    bodies = start.bodies if edits.bodies is None else edits.bodies
    pose = Guides(height, width, bodies * [width, height, 1]).pose()
    mask = torch.from_numpy(painted(mask_of(image, start, edits), edits.strokes))
    guides = read_guides(pose, mask, height, width)
    assert guides is not None
    return guides


def as_value(bodies: np.ndarray) -> list[list[list[float] | None]]:
    """(m, 18, 3) -> bodies as the widget saves them; a joint that is hardly seen is not there."""
    return [
        [[round(x, 4), round(y, 4)] if sure >= MIN_CONFIDENCE else None for x, y, sure in body]
        for body in bodies.tolist()
    ]


def painted(mask: np.ndarray, strokes: list[Stroke]) -> np.ndarray:
    """The mask (h, w) in [0, 1] with the strokes over it, in their order."""
    height, width = mask.shape
    bits = 4  # of a pixel
    pixels = (mask * 255).round().astype(np.uint8)
    for stroke in strokes:
        # cv2's antialiased edge lies outside; it counts from the middle of the first pixel.
        radius = max(stroke.radius * min(height, width) - 0.5, 0.5)
        places = np.rint((stroke.points * [width, height] - 0.5) * (1 << bits)).astype(np.int32)
        paint, thick = (255 if stroke.adds else 0), max(1, round(2 * radius))
        cv2.polylines(pixels, [places], False, paint, thick, cv2.LINE_AA, bits)
        for place in places.tolist():
            size = round(radius * (1 << bits))
            cv2.circle(pixels, place, size, paint, cv2.FILLED, cv2.LINE_AA, bits)
    return pixels.astype(np.float32) / 255


def cut_about(image: np.ndarray, bodies: np.ndarray) -> np.ndarray:
    """Who stands where the bones are: (h, w, 3) uint8, (m, 18, 3) shares -> (h, w) float32.

    By GrabCut: what lies on a bone is the body's for sure, what is far from all of them is not.
    """
    height, width = image.shape[:2]
    scale = min(1.0, CUT_SIDE / max(height, width))
    size = tuple(max(LEAST_SIDE, round(side * scale)) for side in (width, height))
    small = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    told = np.full(small.shape[:2], cv2.GC_BGD, np.uint8)
    for kind, share in ((cv2.GC_PR_FGD, ABOUT_BONE), (cv2.GC_FGD, BONE)):
        for body in bodies:
            _draw_bones(told, body, kind, share)
    inside = grab_cut(small, told).astype(np.float32)
    return cv2.resize(inside, (width, height), interpolation=cv2.INTER_LINEAR)


def _draw_bones(canvas: np.ndarray, body: np.ndarray, value: int, share: float) -> None:
    places = np.rint(body[:, :2] * canvas.shape[::-1]).astype(int)
    seen = body[:, 2] >= MIN_CONFIDENCE
    if not seen.any():
        return
    width = max(1, round(2 * share * np.ptp(places[seen], axis=0).max()))
    for limb in LIMBS:
        if limb.end < JOINTS and seen[limb.start] and seen[limb.end]:
            start, end = places[limb.start].tolist(), places[limb.end].tolist()
            cv2.line(canvas, start, end, value, width)
