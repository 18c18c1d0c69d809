"""The eye's second look: at a figure whose outline is known, cut out and shown where puppets stand.

The eye has learned from whole bodies with room around them, on grounds that are not paper. A figure
that fills its picture, or is drawn on white, is found again once it is taken off its ground and
shown as large as those were: at some sizes, on two plain grounds, and mirrored. What these looks
agree on is where its joints are; how far they differ says how sure that is.
"""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np
import torch

from ..skeleton import LIMB_JOINTS, MIRRORED_JOINT
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


def look_at_figure(eye: Eye, image: np.ndarray, mask: np.ndarray) -> FigureLook:
    """The joints of the figure that a mask (h, w) in [0, 1] shows of an image (h, w, 3) uint8.

    Raises ValueError for a mask without an inside.
    """
    rows, columns = np.nonzero(mask >= INSIDE)
    if not len(rows):
        raise ValueError("an empty mask")
    middle = np.array([columns.min() + columns.max() + 1, rows.min() + rows.max() + 1]) / 2
    side = float(max(np.ptp(rows), np.ptp(columns)) + 1)
    places, weights = [], []
    for first in range(0, len(VIEWS), LOOKS_AT_ONCE):
        few = VIEWS[first : first + LOOKS_AT_ONCE]
        shown = [_shown(image, mask, middle, side / fill, ground) for fill, ground, _ in few]
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


def _shown(
    image: np.ndarray, mask: np.ndarray, middle: np.ndarray, width: float, ground: tuple[int, ...]
) -> np.ndarray:
    """(h, w, 3) float32 in [0, 1]: a square of the picture, the figure alone on a ground."""
    scale = EYE_SIDE / width
    place = np.column_stack([np.eye(2) * scale, EYE_SIDE / 2 - middle * scale])
    if scale < 1:  # warpAffine does not average
        image, mask = (cv2.GaussianBlur(part, (0, 0), 0.4 / scale) for part in (image, mask))
    pixels = cv2.warpAffine(image, place, (EYE_SIDE, EYE_SIDE)).astype(np.float32)
    share = cv2.warpAffine(mask.astype(np.float32), place, (EYE_SIDE, EYE_SIDE))[..., None]
    return (share * pixels + (1 - share) * np.array(ground, np.float32)) / 255
