"""What a reference shows and a driver does, by whoever knows it best, and who that was.

    joints    told, BlazePose's of a person, the eye's of the figure cut out, the eye's of all of it
    outline   told, the picture's alpha, BlazePose's of a person, that of a figure on plain ground

Where nobody is sure of the joints there are none: limbs that are not there would be torn off.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import torch
from torch import Tensor

from ..media import to_uint8
from ..pose.ground import outline
from ..pose.guides import Guides, Recognised
from ..pose.reference import find_person
from .eye import CONFIDENT, BodyEstimate, Eye, confidence
from .second_look import look_at_figure

SURE = 0.75  # confidence from which the eye needs no second look
BELIEVED = 0.5  # without one, from which limbs are moved: most of the joints are where they should
FIGURE_SIDE = 512  # pixels of the longer side: at this size a figure is looked at


def recognise_reference(
    eye: Eye, picture: Tensor, panel: Tensor, told: Guides | None, is_alpha: bool
) -> Recognised:
    """picture (h, w, 3) in [0, 1] as it is, panel (h', w', 3) as the eye is to see it; told: what
    is known of it, is_alpha: whether its mask is the picture's own alpha."""
    joints = None if told is None else told.joints
    mask = None if told is None else told.mask
    joints_by = "none" if joints is None else "given"
    outline_by = "none" if mask is None else "alpha" if is_alpha else "given"
    seen = _look(eye, panel, labels=True)
    trust, bodies = float(confidence(seen)[0]), 1 + int(seen.two_bodies[0] > 0)
    image, person = to_uint8(picture), None
    if joints is not None and mask is None:
        mask = outline(image)
        outline_by = "none" if mask is None else "ground"
    if joints is None or mask is None:
        person = find_person(picture, mask, doubtful=trust >= SURE)
        if person is not None and joints is None:
            joints, joints_by = person.joints, "blazepose"
        if person is not None and mask is None:
            mask, outline_by = person.mask, "blazepose"
    if joints is None and mask is None and trust >= SURE:
        return Recognised(None, "eye", "eye", bodies)
    if joints is None:
        ground = outline(image) if mask is None else mask
        found = None if ground is None else _of_figure(eye, image, ground)
        if found is not None:
            joints, joints_by = found[None], "eye"
        elif trust >= BELIEVED:
            joints_by = "eye"
        if mask is None and ground is not None and (found is not None or trust < BELIEVED):
            mask, outline_by = ground, "ground"
        elif mask is None and joints_by == "eye":
            outline_by = "eye"
    if joints is not None:
        bodies = len(joints)
    if joints is None and mask is None:
        return Recognised(None, joints_by, outline_by, bodies)
    others = 0 if person is None else person.others
    guides = Guides(image.shape[0], image.shape[1], joints, mask, others=others)
    return Recognised(guides, joints_by, outline_by, bodies)


def _of_figure(eye: Eye, image: np.ndarray, mask: np.ndarray) -> np.ndarray | None:
    """(18, 3) joints of the figure within a mask; None if they are not sure."""
    scale = min(1.0, FIGURE_SIDE / max(mask.shape))
    size = tuple(max(1, round(side * scale)) for side in mask.shape[::-1])
    small, inside = (
        cv2.resize(part, size, interpolation=cv2.INTER_AREA)
        for part in (image, mask.astype(np.float32))
    )
    if (inside >= 0.5).sum() < 1:
        return None
    found = look_at_figure(eye, small, inside)
    ratio = [mask.shape[1] / size[0], mask.shape[0] / size[1], 1]
    return found.joints * ratio if found.is_body else None


def is_sure_of(eye: Eye, frames: Sequence[Tensor]) -> bool:
    """Whether the eye knows the body in most of some frames (h, w, 3) in [0, 1], as large as it is
    to see them."""
    sure = [float(confidence(_look(eye, frame, labels=False))[0]) for frame in frames]
    return float(np.median(sure)) >= CONFIDENT


def _look(eye: Eye, picture: Tensor, labels: bool) -> BodyEstimate:
    """What the eye sees of a picture (h, w, 3) in [0, 1]."""
    shown = picture.permute(2, 0, 1)[None] * 2 - 1
    with torch.no_grad():
        return eye.averaged(shown.to(eye.tell.weight), labels=labels)
