"""What a reference shows and a driver does, by whoever knows it best, and who that was.

    joints    told, BlazePose's of a person, the eye's of the picture if it is sure, the eye's of a
              figure cut out that is one of its own, those that an outline tells by its limbs, the
              eye's of the figure
    outline   told, the picture's alpha, BlazePose's of a person, that of a figure on plain ground
              or on a sheet of paper, what has the colours of what the eye sees

Puppets of the world that the network's own eye knows are left to it, and drawn by the network; at
all else the broad eye looks as well, and the surer is believed. A picture of one who lies is turned
for them, if they are sure of him then. Where nobody is sure of the joints there are none: limbs
that are not there would be torn off.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import cv2
import numpy as np
from torch import Tensor

from ..media import to_uint8
from ..pose.grabcut import figure_like
from ..pose.ground import RING, largest_of, outline
from ..pose.guides import Guides, Recognised
from ..pose.paper import figures_on_paper
from ..pose.reference import find_person
from ..skeleton import NECK, NOSE
from .eye import CONFIDENT, Eye
from .guides import INSIDE
from .second_look import look_at_figure, look_closer
from .sight import (
    Sight,
    look_any_way,
    look_by_surest,
    surest,
    turned_back,
    turned_picture,
)
from .silhouette import joints_of_outline

KNOWS = 0.75  # confidence from which only who is surely a person is one
SAME_FIGURE = 0.6  # intersection / union of an outline and what the eye sees: they are the same
OF_BODY = 0.2  # share of a piece of an outline that the eye sees as a body, at least
AGREED, AT_BORDER = 0.75, 0.03  # likewise, of what may be no body; share of a border that it covers
KNOWN = 0.75  # mean confidence of its joints from which a figure cut out is one of the eye's own
SAME_HEAD = 0.12  # of the picture's longer side: so far apart two readings of a head may be
FIGURE_SIDE = 512  # pixels of the longer side: at this size a figure is looked at


def recognise_reference(
    eyes: Sequence[Eye],
    picture: Tensor,
    panel: Tensor,
    told: Guides | None,
    is_alpha: bool,
    people: bool = True,
) -> Recognised:
    """eyes: the network's own first. picture (h, w, 3) in [0, 1] as it is, panel (h', w', 3) as an
    eye is to see it; told: what is known of it, is_alpha: whether its mask is the picture's own
    alpha, people: whether BlazePose is asked, if it is here."""
    joints = None if told is None else told.joints
    mask = None if told is None else told.mask
    joints_by = "none" if joints is None else "given"
    outline_by = "none" if mask is None else "alpha" if is_alpha else "given"
    image, person = to_uint8(picture), None
    if joints is not None and mask is None:
        mask = outline(image)
        outline_by = "none" if mask is None else "ground"
    if joints is not None and mask is not None:  # nothing is left to look for
        guides = Guides(image.shape[0], image.shape[1], joints, mask)
        return Recognised(guides, joints_by, outline_by, len(joints))
    sight, quarters = look_any_way(eyes[0], image, panel)
    puppet = not quarters and sight.is_sure_at_once()
    if not puppet:
        ways = [(sight, quarters), *(look_any_way(eye, image, panel) for eye in eyes[1:])]
        sight, quarters = ways[surest([each for each, _ in ways])]
    if people:
        person = find_person(picture, mask, doubtful=sight.confidence >= KNOWS)
        if person is not None and joints is None:
            joints, joints_by = person.joints, "blazepose"
        if person is not None and mask is None:
            mask, outline_by = person.mask, "blazepose"
    if joints is None and mask is None and puppet:
        return Recognised(None, "eye", "eye", sight.bodies)
    found = _Found(joints, mask, joints_by, outline_by)
    if joints is None:
        found = _found_by_eye(eyes, image, sight, quarters, mask, outline_by)
    others = found.others if person is None else person.others
    bodies = sight.bodies if found.joints is None else len(found.joints)
    if found.joints is None and found.others:
        bodies = 1
    if found.joints is None and found.mask is None:
        return Recognised(None, found.joints_by, found.outline_by, bodies)
    guides = Guides(image.shape[0], image.shape[1], found.joints, found.mask, others=others)
    return Recognised(guides, found.joints_by, found.outline_by, bodies)


class _Found(NamedTuple):
    """Of a picture (h, w, 3)."""

    joints: np.ndarray | None  # (m, 18, 3)
    mask: np.ndarray | None  # (h, w)
    joints_by: str
    outline_by: str
    others: int = 0  # figures beside them


def _found_by_eye(
    eyes: Sequence[Eye],
    image: np.ndarray,
    sight: Sight,
    quarters: int,
    mask: np.ndarray | None,
    outline_by: str,
) -> _Found:
    """Joints, and the outline if there is no mask (h, w), of a picture (h, w, 3) uint8; turned by
    so many quarters it shows the sight."""
    if not quarters:
        return _found_upright(eyes, image, sight, mask, outline_by)
    shown = None if mask is None else turned_picture(mask, quarters)
    found = _found_upright(eyes, turned_picture(image, quarters), sight, shown, outline_by)
    if found.joints is not None:
        places = turned_back(found.joints[..., :2], quarters, *image.shape[:2])
        found = found._replace(joints=np.concatenate([places, found.joints[..., 2:]], axis=-1))
    if found.mask is not None:
        found = found._replace(mask=turned_picture(found.mask, -quarters))
    return found


def _found_upright(
    eyes: Sequence[Eye],
    image: np.ndarray,
    sight: Sight,
    mask: np.ndarray | None,
    outline_by: str,
) -> _Found:
    """Likewise, of the picture that the sight is of."""
    if sight.confidence >= CONFIDENT:
        joints = sight.joints()[: sight.bodies]
        joints[..., 2] = 1.0  # the eye is believed as a whole
        if mask is None:
            mask, outline_by = _outline_seen(sight, image)
        if sight.bodies == 1 and mask is not None and (mask >= INSIDE).any():
            joints[0, :, :2] = look_closer(sight.eye, image, mask, joints[0])
        return _Found(joints, mask, "eye", outline_by)
    shape, shape_by = mask, outline_by
    if mask is None:
        shape, shape_by = _outline_seen(sight, image, doubtful=True)
    figure = _figure(eyes, image, shape, may_be_several=outline_by != "given")
    if mask is None and figure.mask is not None:
        outline_by = "ground" if shape is None else shape_by
    if mask is None or figure.others:
        mask = figure.mask
    bodies = None if figure.joints is None else figure.joints[None]
    return _Found(bodies, mask, figure.joints_by, outline_by, figure.others)


def _outline_seen(
    sight: Sight, image: np.ndarray, doubtful: bool = False
) -> tuple[np.ndarray | None, str]:
    """Of what the eye sees in a picture (h, w, 3) uint8, and who tells it: plain ground, if what
    stands on it is the same, and no horizon behind it, else the colours; where it is doubtful that
    this is a body, only if they tell the same, and apart from the picture's border."""
    body = sight.body(*image.shape[:2])
    plain, cut = outline(image), figure_like(image, body)
    if plain is not None and _shared(plain, body) >= SAME_FIGURE and not _runs_out(plain, cut):
        return _pieces_of(plain, body), "ground"
    if cut is None or (doubtful and not (_shared(cut, body) >= AGREED and _is_apart(cut))):
        return None, "none"
    return cut, "eye"


def _shared(mask: np.ndarray, other: np.ndarray) -> float:
    """Intersection / union of two masks (h, w)."""
    one, two = mask >= INSIDE, other >= INSIDE
    return float((one & two).sum() / max(1, (one | two).sum()))


def _pieces_of(mask: np.ndarray, body: np.ndarray) -> np.ndarray:
    """A mask (h, w) without pieces that are none of a body's (h, w), as a moon in the sky."""
    _, pieces = cv2.connectedComponents((mask > 0).astype(np.uint8))
    shares = np.bincount(pieces.ravel(), body.ravel()) / np.bincount(pieces.ravel())
    return np.where((shares >= OF_BODY)[pieces], mask, 0).astype(np.float32)


def _runs_out(plain: np.ndarray, cut: np.ndarray | None) -> bool:
    """Whether a mask (h, w) reaches the picture's border where another one of the same does not."""
    if cut is None:
        return False
    more = (plain >= INSIDE) & (cut < INSIDE)
    more[1:-1, 1:-1] = False
    return bool(more.any())


def _is_apart(mask: np.ndarray) -> bool:
    """Whether hardly anything of a mask (h, w) lies at the picture's border."""
    edge = max(1, round(RING * max(mask.shape)))
    inner = mask[edge:-edge, edge:-edge] >= INSIDE
    ring = mask.size - inner.size
    return bool((mask >= INSIDE).sum() - inner.sum() <= AT_BORDER * ring)


class _Figure(NamedTuple):
    """Of a picture of one figure."""

    mask: np.ndarray | None  # (h, w) in [0, 1]
    joints: np.ndarray | None = None  # (18, 3), if they are sure
    joints_by: str = "none"
    others: int = 0  # figures beside it


def _figure(
    eyes: Sequence[Eye], image: np.ndarray, mask: np.ndarray | None, may_be_several: bool
) -> _Figure:
    """The figure within a mask, or on plain ground, or on paper: there the tallest thing of which
    the joints are sure. Of several beside each other, where there may be some, the largest."""
    told = outline(image) if mask is None else mask
    if told is not None:
        told, others = largest_of(told) if may_be_several else (told, 0)
        return _of_outline(eyes, image, told, told)._replace(others=others)
    for drawn in figures_on_paper(image):
        found = _of_outline(eyes, image, drawn.outline, drawn.lines)
        if found.joints is not None:
            return found
    return _Figure(None)


def _of_outline(
    eyes: Sequence[Eye], image: np.ndarray, mask: np.ndarray, shape: np.ndarray
) -> _Figure:
    """The figure within a mask (h, w), whose limbs are told apart in another one."""
    scale = min(1.0, FIGURE_SIDE / max(mask.shape))
    size = tuple(max(1, round(side * scale)) for side in mask.shape[::-1])
    ratio = [mask.shape[1] / size[0], mask.shape[0] / size[1], 1]
    small, inside = (
        cv2.resize(part, size, interpolation=cv2.INTER_AREA)
        for part in (image, mask.astype(np.float32))
    )
    seen, is_body = None, False
    if (inside >= INSIDE).any():
        look = look_at_figure(eyes, small, inside)
        seen, is_body = look.joints * ratio, look.is_body
        if seen[:, 2].mean() >= KNOWN:
            return _Figure(mask, seen, "eye")
    joints = joints_of_outline(shape)
    if joints is not None and joints[:, 2].all():
        return _Figure(mask, joints, "outline")
    if seen is None or not is_body:
        return _Figure(mask)
    if joints is not None and _agree(joints, seen, max(mask.shape)):
        seen = np.where(joints[:, 2:] > 0, joints, seen)
    return _Figure(mask, seen, "eye")


def _agree(joints: np.ndarray, seen: np.ndarray, side: int) -> bool:
    """Whether two (18, 3) mean the same head, in a picture of so many pixels."""
    apart = np.linalg.norm(joints[:, :2] - seen[:, :2], axis=1)
    return bool(apart[[NOSE, NECK]].max() <= SAME_HEAD * side)


def is_sure_of(eyes: Sequence[Eye], pictures: Iterable[tuple[np.ndarray, Tensor]]) -> bool:
    """Whether one of the eyes knows the body in most of some pictures, each with its panel as
    look_at_picture has them."""
    sure = [look_by_surest(eyes, *picture).confidence for picture in pictures]
    return float(np.median(sure)) >= CONFIDENT
