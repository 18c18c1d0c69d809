"""The eye's second look: at a figure whose outline is known, cut out and shown where puppets stand.

The eye has learned from whole bodies with room around them, on grounds that are not paper. A figure
that fills its picture, or is drawn on white, is found again once it is taken off its ground and
shown as large as those were: at some sizes, on two plain grounds, and mirrored. What these looks
agree on is where its joints are; how far they differ says how sure that is.

A body that is known at once is looked at again where it stands, from nearer.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import NamedTuple

import cv2
import numpy as np
import torch

from ..skeleton import ANKLE, ELBOW, HIP, KNEE, LIMB_JOINTS, MIRRORED_JOINT, SHOULDER, WRIST
from .eye import Eye
from .guides import INSIDE

EYE_SIDE = 128  # pixels of a look, as of what the shipped eye has learned from
LOOK_FILLS = (0.5, 0.6, 0.7)  # of a look's side, by the longer side of the figure
LOOK_GROUNDS = ((200, 205, 210), (120, 150, 110))  # RGB
VIEWS: list[tuple[float, tuple[int, ...], bool]] = [
    (fill, ground, turned)
    for fill in LOOK_FILLS
    for ground in LOOK_GROUNDS
    for turned in (False, True)
]
CLOSE_FILLS = (0.75, 0.85)  # likewise, of looks at a body that is known
LOOKS_AT_ONCE = 6  # looks: memory
DOUBT = 0.01  # of the figure's longer side: a joint so uncertain counts a quarter in the mean
WIDE = 0.1  # of that side: looks that differ so far say nothing of a joint
LEAST_MEAN_SURE = 0.55  # mean confidence of all joints from which a figure has limbs to move
WITHIN = 0.7  # of a limb's bone must lie inside the outline
LEAST_LIMBS = 0.25  # share of the bones of limbs that must be seen, likewise
LONGEST = 1.8  # times as long as its like on the other side a bone may be


class FigureLook(NamedTuple):
    joints: np.ndarray  # (18, 3) x, y in pixels of the picture, confidence
    is_body: bool  # whether they are sure enough to move limbs by


def look_at_figure(eyes: Sequence[Eye], image: np.ndarray, mask: np.ndarray) -> FigureLook:
    """The joints of the figure that a mask (h, w) in [0, 1] shows of an image (h, w, 3) uint8, by
    what all of some eyes agree on.

    Raises ValueError for a mask without an inside.
    """
    middle, side = _box_of(mask)
    places, weights = [], []
    for eye, first in product(eyes, range(0, len(VIEWS), LOOKS_AT_ONCE)):
        few = VIEWS[first : first + LOOKS_AT_ONCE]
        shown = [shown_square(image, mask, middle, side / fill, ground) for fill, ground, _ in few]
        found, unsure = _found(eye, np.stack(shown), [mirrored for *_, mirrored in few])
        scale = side / np.array([fill for fill, *_ in few]) / EYE_SIDE
        places.append(middle + (found - EYE_SIDE / 2) * scale[:, None, None])
        weights.append(1 / (1 + unsure * scale[:, None] / (DOUBT * side)) ** 2)
    place, weight = np.concatenate(places), np.concatenate(weights)[..., None]
    weight = weight / weight.sum(axis=0)
    mean = (place * weight).sum(axis=0)
    spread = (np.linalg.norm(place - mean, axis=-1) * weight[..., 0]).sum(axis=0) / side
    sure = (1 - spread / WIDE).clip(0, 1)
    joints = _without_lost_limbs(np.column_stack([mean, sure]), mask)
    return FigureLook(joints, bool(sure.mean() >= LEAST_MEAN_SURE and _has_limbs(joints)))


def _has_limbs(joints: np.ndarray) -> bool:
    """Whether (18, 3) show any to move: of one whose legs are all lost only the trunk is known."""
    seen = [bool(joints[[*bone], 2].all()) for bone in LIMB_JOINTS.values()]
    return float(np.mean(seen)) >= LEAST_LIMBS


def look_closer(eye: Eye, image: np.ndarray, mask: np.ndarray, joints: np.ndarray) -> np.ndarray:
    """Joints (18, 2) of a body that the eye has found at joints (18, 3) of an image (h, w, 3)
    uint8, within a mask (h, w): the mean of looks at it where it stands, as large as can be. They
    lie a seventh nearer to where they should.

    Raises ValueError for a mask without an inside.
    """
    middle, side = _box_of(mask)
    places = []
    for fill in CLOSE_FILLS:
        shown = shown_square(image, None, middle, side / fill)
        found, _ = _found(eye, np.stack([shown, shown]), [False, True])
        places += list(middle + (found - EYE_SIDE / 2) * side / fill / EYE_SIDE)
    return np.mean([_with_sides_of(joints[:, :2], place) for place in places], axis=0)


def _with_sides_of(joints: np.ndarray, found: np.ndarray) -> np.ndarray:
    """Joints found (18, 2), whose arms are changed where they are nearer to the other ones of
    joints (18, 2) then, and whose legs likewise."""
    sides = np.arange(len(found))
    for pairs in ((SHOULDER, ELBOW, WRIST), (HIP, KNEE, ANKLE)):
        here = np.ravel(pairs)
        there = np.array(MIRRORED_JOINT)[here]
        as_is, changed = (
            np.linalg.norm(found[each] - joints[here], axis=1).sum() for each in (here, there)
        )
        if changed < as_is:
            sides[here] = there
    return found[sides]


def _box_of(mask: np.ndarray) -> tuple[np.ndarray, float]:
    """The middle (2,) of what a mask (h, w) shows, and its longer side, in pixels."""
    rows, columns = np.nonzero(mask >= INSIDE)
    if not len(rows):
        raise ValueError("an empty mask")
    middle = np.array([columns.min() + columns.max() + 1, rows.min() + rows.max() + 1]) / 2
    return middle, float(max(np.ptp(rows), np.ptp(columns)) + 1)


def _without_lost_limbs(joints: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Joints (18, 3) without the ends of bones that leave the outline, as from a hand to a foot, or
    are far longer than their like: they are not seen then."""
    bones = list(LIMB_JOINTS.values())
    lengths = [np.linalg.norm(joints[end, :2] - joints[start, :2]) for start, end in bones]
    kept = joints.copy()
    for k, (start, end) in enumerate(bones):
        like = max(float(lengths[k ^ 1]), 1.0)  # right and left stand side by side
        steps = np.linspace(0, 1, 33)[:, None]
        x, y = (joints[start, :2] + steps * (joints[end, :2] - joints[start, :2])).T
        rows, columns = np.floor(y).astype(int), np.floor(x).astype(int)
        shown = (rows >= 0) & (columns >= 0) & (rows < mask.shape[0]) & (columns < mask.shape[1])
        inside = mask[rows[shown], columns[shown]] >= INSIDE
        lost = kept[start, 2] == 0 or inside.sum() < WITHIN * len(steps)
        if lost or lengths[k] > LONGEST * like:
            kept[end, 2] = 0
    return kept


def _found(eye: Eye, shown: np.ndarray, mirrored: list[bool]) -> tuple[np.ndarray, np.ndarray]:
    """Looks (n, h, w, 3), some to be mirrored -> joints (n, 18, 2) of the looks as they were,
    and their uncertainty (n, 18), in pixels."""
    turned = np.array(mirrored)
    shown = np.where(turned[:, None, None, None], shown[:, :, ::-1], shown)
    pictures = torch.from_numpy(shown).permute(0, 3, 1, 2) * 2 - 1
    with torch.no_grad():
        seen = eye(pictures.to(eye.tell.weight), labels=False)
    joints, unsure = (part[:, 0].double().cpu().numpy() for part in (seen.joints, seen.uncertainty))
    other = list(MIRRORED_JOINT)
    back = joints[:, other] * [-1, 1] + [EYE_SIDE, 0]
    joints = np.where(turned[:, None, None], back, joints)
    return joints, np.where(turned[:, None], unsure[:, other], unsure)


def shown_square(
    image: np.ndarray,
    mask: np.ndarray | None,
    middle: np.ndarray,
    width: float,
    ground: tuple[int, ...] = (0, 0, 0),
) -> np.ndarray:
    """(h, w, 3) float32 in [0, 1]: a square of the picture; with a mask the figure alone on a
    ground."""
    scale = EYE_SIDE / width
    # cv2 counts from the middle of the first pixel.
    place = np.column_stack([np.eye(2) * scale, EYE_SIDE / 2 - middle * scale + (scale - 1) / 2])
    size = (EYE_SIDE, EYE_SIDE)
    if scale < 1:  # warpAffine does not average
        image = cv2.GaussianBlur(image, (0, 0), 0.4 / scale)
    if mask is None:
        shown = cv2.warpAffine(image, place, size, borderMode=cv2.BORDER_REPLICATE)
        return shown.astype(np.float32) / 255
    if scale < 1:
        mask = cv2.GaussianBlur(mask, (0, 0), 0.4 / scale)
    pixels = cv2.warpAffine(image, place, size).astype(np.float32)
    share = cv2.warpAffine(mask.astype(np.float32), place, size)[..., None]
    return (share * pixels + (1 - share) * np.array(ground, np.float32)) / 255
