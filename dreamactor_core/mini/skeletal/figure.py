"""A figure taken apart: a layer of pixels for each part of the body, and hinges between them.

A hinge is what two parts have about the joint they turn about. It bends where they turn (draw.py),
so that an outline runs on around an elbow, and nothing gapes.
"""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import cv2
import numpy as np
from scipy.ndimage import distance_transform_edt

from ...skeleton import (
    ANKLE,
    ELBOW,
    FACE_JOINTS,
    FOOT,
    FOREARM,
    HEAD,
    HIP,
    KNEE,
    LIMB_JOINTS,
    NECK,
    SHIN,
    SHOULDER,
    THIGH,
    TORSO,
    UPPER_ARM,
    WRIST,
)
from ..guides import INSIDE, SEEN, part_labels, with_all_joints
from .ground import fill
from .hidden import LimbParts, hidden_limbs, leave_out
from .on_four import is_on_four, keep_trunk_whole
from .skirt import Skirt, join_legs, skirt_of

CROSS = np.array([[0, 1, 0], [1, 1, 1], [0, 1, 0]], np.uint8)
EDGE = 1.5  # pixels: an outline is this wide at most, or limbs would be ghosts of themselves
COMMON = 2  # pixels that a layer has of its neighbours, or lines of the ground would show between
ABOUT_JOINT = 0.9  # of the outer bone: so far about a joint a plane through it parts the two
BENT = 0.4  # of the shorter bone that meets in a hinge: so far along both it bends
LEAST_RADIUS = 3.0  # pixels
MOST_OF_IT = 0.98  # of the line along which two parts meet: what lies further off is chance
# Times half of its thickness, or of its length: so far a limb goes from its bone.
LIMB_REACH = 3.0, 0.6
HANGS_ON_IT = 1.0  # of a side of something: along so much it hangs on what it touches
SLEEVE = 2.2  # times half of its thickness: so far an arm goes from its bone into a broad trunk
GOES_ON = 0.2  # of the picture's longer side: so far a bust goes on beyond its borders
CUT_OFF = 0.03  # of a border that a figure covers which it cuts off
BEFORE_TRUNK = (*UPPER_ARM, *FOREARM)  # what may lie before trunk and legs in the picture


class Joining(NamedTuple):
    """Two parts of a body and the joint about which the outer one turns."""

    inner: int
    outer: int
    joint: int
    root: int  # the joint from which the inner part comes
    tip: int | tuple[int, int]  # the joint to which the outer part goes, or the middle of two

    def end(self, joints: np.ndarray) -> np.ndarray:
        """(2,) where the outer part goes to, of joints (18, 2)."""
        return joints[np.atleast_1d(self.tip)].mean(axis=0)


JOININGS = (
    Joining(TORSO, HEAD, NECK, HIP[0], FACE_JOINTS[0]),
    *(
        Joining(inner[side], outer[side], joint[side], root[side], tip[side])
        for side in (0, 1)
        for inner, outer, joint, root, tip in (
            ((TORSO, TORSO), UPPER_ARM, SHOULDER, (NECK, NECK), ELBOW),
            (UPPER_ARM, FOREARM, ELBOW, SHOULDER, WRIST),
            ((TORSO, TORSO), THIGH, HIP, (NECK, NECK), KNEE),
            (THIGH, SHIN, KNEE, HIP, ANKLE),
            (SHIN, FOOT, ANKLE, KNEE, ANKLE),
        )
    ),
)


class Layer(NamedTuple):
    pixels: np.ndarray  # (h, w, 4) uint8: colours times coverage, and coverage
    corner: tuple[int, int]  # (x, y) of its first pixel in the picture

    def moved(self, right: int) -> Layer:
        return self._replace(corner=(self.corner[0] + right, self.corner[1]))


class Hinge(NamedTuple):
    joining: Joining
    radius: float  # pixels from the joint to the end of the line along which the two parts meet
    beyond: float  # pixels that this line lies beyond the joint, towards the outer part
    bent: float  # pixels on either side of it: how far it bends, if it hardly does
    layer: Layer  # what both parts have about the joint


class Figure(NamedTuple):
    joints: np.ndarray  # (18, 2)
    cut: np.ndarray  # (18, 2) the same in its layers: those of a hidden limb are its like's
    seen: np.ndarray  # (18,) bool: told, not made
    layers: dict[int, Layer]  # by part; what the picture does not show is not there
    hinges: dict[tuple[int, int], Hinge]  # by the two parts
    skirt: Skirt = Skirt.NONE
    hidden: frozenset[int] = frozenset()  # parts that are drawn as their likes, behind all else

    @property
    def box(self) -> tuple[np.ndarray, np.ndarray]:
        """The left top and the right bottom corner (2,) of what it shows of itself."""
        corners = np.array([layer.corner for layer in self.layers.values()])
        sizes = np.array([layer.pixels.shape[1::-1] for layer in self.layers.values()])
        return corners.min(axis=0), (corners + sizes).max(axis=0)


def cut_figures(
    picture: np.ndarray, ground: np.ndarray, bodies: np.ndarray, mask: np.ndarray
) -> list[Figure]:
    """Everybody in a picture, from the left to the right.

    bodies (m, 18, 3): x, y in pixels and confidence of joints; mask (h, w) in [0, 1]
    ground: the picture without them; what shines through their outlines is taken off.
    """
    bodies = np.stack([with_all_joints(body) for body in bodies])
    bodies = bodies[np.argsort(bodies[..., 0].mean(axis=1))]
    alpha = sharpened(mask)
    share = alpha[..., None]
    own = (picture - (1 - share) * ground.astype(np.float32)) / share.clip(1 / 255)
    own = np.where(share > 0, own, picture).clip(0, 255)
    owner = _owners(bodies, alpha.shape)
    return [
        _cut_with_more(own, alpha * (owner == k), body)
        for k, body in enumerate(bodies)
        if (alpha * (owner == k) >= INSIDE).any()
    ]


def sharpened(mask: np.ndarray) -> np.ndarray:
    """A mask (h, w) in [0, 1] whose outline is blurred, with one that is EDGE wide at most."""
    inside = (mask >= INSIDE).astype(np.uint8)
    rim = int((inside - cv2.erode(inside, np.ones((3, 3), np.uint8))).sum())
    partly = int(((mask > 0.02) & (mask < 0.98)).sum())
    gain = max(1.0, partly / max(rim, 1) / EDGE)
    return ((mask - INSIDE) * gain + INSIDE).clip(0, 1).astype(np.float32)


def _owners(bodies: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Which body is nearest to each pixel, (h, w): by the lines of its bones."""
    nearest = []
    for body in bodies:
        lines = np.full(shape, 255, np.uint8)
        for start, end in (*LIMB_JOINTS.values(), (NECK, FACE_JOINTS[0]), (NECK, HIP[0])):
            ends = [tuple(np.rint(body[joint, :2]).astype(int).tolist()) for joint in (start, end)]
            cv2.line(lines, *ends, 0, 1)
        nearest.append(cv2.distanceTransform(lines, cv2.DIST_L2, 5))
    return np.argmin(nearest, axis=0)


def _cut_with_more(own: np.ndarray, alpha: np.ndarray, body: np.ndarray) -> Figure:
    """As _cut. A bust that the picture's borders cut off goes on a little beyond them, as it is at
    the border, or it would show where it ends as it moves."""
    if (body[list(HIP), 1] < len(alpha)).any() or is_on_four(body[None, :, :2], body[:, 2] >= SEEN):
        return _cut(own, alpha, body)
    left, right, below = (
        round(GOES_ON * max(alpha.shape)) * ((line >= INSIDE).mean() >= CUT_OFF)
        for line in (alpha[:, 0], alpha[:, -1], alpha[-1])
    )
    around = (0, below, left, right, cv2.BORDER_REPLICATE)
    wider, cover = (cv2.copyMakeBorder(each, *around) for each in (own, alpha))
    more = _cut(wider, cover, body + np.array([left, 0, 0]))
    layers = {part: layer.moved(-left) for part, layer in more.layers.items()}
    hinges = {
        parts: hinge._replace(layer=hinge.layer.moved(-left))
        for parts, hinge in more.hinges.items()
    }
    joints, cut = more.joints - [left, 0], more.cut - [left, 0]
    return more._replace(joints=joints, cut=cut, layers=layers, hinges=hinges)


def _cut(own: np.ndarray, alpha: np.ndarray, body: np.ndarray) -> Figure:
    """own (h, w, 3) float32: colours of the figure alone; alpha (h, w): where it is."""
    joints, seen = body[:, :2].copy(), body[:, 2] >= SEEN
    parts = part_labels(body[None], alpha)[1:].argmax(axis=0) + 1
    depth = cv2.distanceTransform((alpha >= INSIDE).astype(np.uint8), cv2.DIST_L2, 5)
    on_four = is_on_four(joints[None], seen)
    _limbs_alone(parts, depth, joints, tuple(LIMB_JOINTS) if on_four else BEFORE_TRUNK)
    skirt = Skirt.NONE if on_four else skirt_of(joints, alpha >= INSIDE)
    if on_four:
        keep_trunk_whole(parts, joints)
    if skirt:
        join_legs(parts, skirt, joints)
    parts[alpha <= 0] = 0
    for joining in JOININGS:
        is_cut = on_four and joining.joint in (*SHOULDER, *HIP)
        is_cut |= bool(skirt) and joining.joint in (*HIP, *KNEE)
        if seen[joining.joint] and joining.joint != NECK and not is_cut:
            _part_by_plane(parts, depth, joining, joints)
    hidden = hidden_limbs(parts, alpha >= INSIDE) if on_four else []
    for limb, _ in hidden:
        leave_out(parts, limb)
    layers = {}
    kernel = np.ones((2 * COMMON + 1,) * 2)
    for part in np.unique(parts[(alpha >= INSIDE) & (parts > 0)]).tolist():
        cover, colours = alpha * cv2.dilate((parts == part).astype(np.uint8), kernel), own
        if part == TORSO:
            cover, colours = _with_hidden(parts, alpha, own, joints)
        layers[part] = _layer(colours, cover)
    if skirt:
        joints[list(HIP)] = joints[list(HIP)].mean(axis=0)
    hinges = {}
    for joining in JOININGS:
        if skirt and joining.inner in THIGH:
            continue  # legs are behind the cloth
        if skirt and joining.outer == THIGH[0]:
            joining = joining._replace(tip=KNEE)
        if joining.inner in layers and joining.outer in layers:
            hinge = _hinge(parts, alpha, own, joining, joints)
            if hinge is not None:
                hinges[joining.inner, joining.outer] = hinge
    cut = joints.copy()
    for limb, like in hidden:
        cut[list(limb.joints)] = joints[list(like.joints)]
        _borrow(layers, hinges, limb, like)
    behind = frozenset(part for limb, _ in hidden for part in limb.parts)
    return Figure(joints, cut, seen, layers, hinges, skirt, behind)


def _borrow(
    layers: dict[int, Layer], hinges: dict[tuple[int, int], Hinge], limb: LimbParts, like: LimbParts
) -> None:
    """A hidden limb's layers and hinges, in place, from its like: not where it leaves the trunk,
    which hides that."""
    for part, other in zip(limb.parts, like.parts, strict=True):
        if other in layers:
            layers[part] = layers[other]
    own, others = list(pairwise(limb.parts)), list(pairwise(like.parts))
    for joining in JOININGS:
        if (joining.inner, joining.outer) in own:
            hinge = hinges.get(others[own.index((joining.inner, joining.outer))])
            if hinge is not None:
                hinges[joining.inner, joining.outer] = hinge._replace(joining=joining)


def _limbs_alone(
    parts: np.ndarray, depth: np.ndarray, joints: np.ndarray, limbs: tuple[int, ...]
) -> None:
    """What is far from a limb for its thickness and length, as a skirt that an arm hangs beside or
    a tail behind a leg, belongs to what else is nearest, that is none of these limbs, if it touches
    any such: claws, or a sword, hang on the hand alone. depth (h, w): pixels to the outline."""
    height, width = parts.shape
    strange = np.zeros(parts.shape, bool)
    for part in limbs:
        start, end = joints[list(LIMB_JOINTS[part])]
        along = start + np.linspace(0.1, 0.9, 9)[:, None] * (end - start)
        columns, rows = np.floor(along).astype(int).T
        thick = float(np.median(depth[rows.clip(0, height - 1), columns.clip(0, width - 1)]))
        bone = np.full(parts.shape, 255, np.uint8)
        ends = [tuple(np.rint(place).astype(int).tolist()) for place in (start, end)]
        cv2.line(bone, *ends, 0, 1)
        far = cv2.distanceTransform(bone, cv2.DIST_L2, 5)
        reach = max(LIMB_REACH[0] * thick, LIMB_REACH[1] * float(np.linalg.norm(end - start)))
        strange |= (parts == part) & (far > reach)
    inside = depth > 0
    others, strange = ~np.isin(parts, limbs) & inside, strange & inside
    count, pieces = cv2.connectedComponents(strange.astype(np.uint8), connectivity=4)
    touching = np.bincount(pieces[cv2.dilate(others.astype(np.uint8), CROSS) > 0], minlength=count)
    hangs = touching >= HANGS_ON_IT * np.sqrt(np.bincount(pieces.ravel(), minlength=count))
    strange &= hangs[pieces]
    if strange.any() and others.any():
        rows, columns = distance_transform_edt(~others, return_distances=False, return_indices=True)
        parts[strange] = parts[rows[strange], columns[strange]]
        rows, columns = distance_transform_edt(~inside, return_distances=False, return_indices=True)
        parts[:] = parts[rows, columns]  # soft outlines go along


def _hinge(
    parts: np.ndarray, alpha: np.ndarray, own: np.ndarray, joining: Joining, joints: np.ndarray
) -> Hinge | None:
    """None where the two parts do not touch each other."""
    joint = joints[joining.joint]
    met = _meeting(parts, joining, joint)
    if met is None:
        return None
    far = np.linalg.norm(met, axis=1)
    radius = max(LEAST_RADIUS, float(np.quantile(far, MOST_OF_IT)) + COMMON)
    along = met[far <= radius] @ bisector(*directions(joining, joints))
    y, x = np.ogrid[: parts.shape[0], : parts.shape[1]]
    near = (x + 0.5 - joint[0]) ** 2 + (y + 0.5 - joint[1]) ** 2 <= (radius + 2) ** 2
    either = np.isin(parts, (joining.inner, joining.outer)).astype(np.uint8)
    cover = alpha * near * cv2.dilate(either, np.ones((3, 3)))
    if not (cover > 0).any():
        return None
    bent = max(LEAST_RADIUS, BENT * _bone(joining, joints), 1.5 * float(along.std()))
    return Hinge(joining, radius, float(along.mean()), bent, _layer(own, cover))


def _bone(joining: Joining, joints: np.ndarray) -> float:
    """The length of the shorter of the two bones that meet, pixels."""
    joint = joints[joining.joint]
    ends = [joints[joining.root] if joining.outer in FOOT else joining.end(joints)]
    if joining.inner != TORSO:
        ends.append(joints[joining.root])
    return float(min(np.linalg.norm(end - joint) for end in ends))


def _meeting(parts: np.ndarray, joining: Joining, joint: np.ndarray) -> np.ndarray | None:
    """(k, 2) pixels from the joint on: the line along which the two parts meet, if they do."""
    inner = cv2.dilate((parts == joining.inner).astype(np.uint8), np.ones((3, 3)))
    rows, columns = np.nonzero((inner > 0) & (parts == joining.outer))
    if not len(rows):
        return None
    return np.stack([columns, rows], axis=1) + 0.5 - joint


def directions(joining: Joining, joints: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Unit vectors (2,) from the joint back along the inner part, and on along the outer one."""
    joint = joints[joining.joint]
    back = joints[joining.root] - joint
    on = joining.end(joints) - joint
    if joining.joint == NECK:
        back = joints[list(HIP)].mean(axis=0) - joint
        on = joints[list(FACE_JOINTS)].mean(axis=0) - joint
    elif joining.outer in FOOT:
        on = -back
    return _unit(back), _unit(on)


def _unit(vector: np.ndarray) -> np.ndarray:
    return vector / max(float(np.linalg.norm(vector)), 1e-6)


def bisector(back: np.ndarray, on: np.ndarray) -> np.ndarray:
    """The unit vector (2,) of the plane between two bones that leave a joint that way."""
    across = on - back
    if np.linalg.norm(across) < 1e-3:  # folded onto each other
        across = np.array([on[1], -on[0]])
    return _unit(across)


def _part_by_plane(
    parts: np.ndarray, depth: np.ndarray, joining: Joining, joints: np.ndarray
) -> None:
    """Near a joint, what belongs to either part belongs to that on its side of the joint; of a
    broad trunk an arm has no more than goes on along its bone."""
    height, width = parts.shape
    joint = joints[joining.joint]
    reach = max(LEAST_RADIUS, ABOUT_JOINT * _bone(joining, joints))
    left, top = np.floor(joint - reach).astype(int).clip(0, [width, height])
    right, bottom = np.ceil(joint + reach).astype(int).clip(0, [width, height])
    y, x = np.mgrid[top:bottom, left:right] + 0.5
    off = np.stack([x - joint[0], y - joint[1]], axis=-1)
    near = (off**2).sum(axis=-1) <= reach**2
    back, on = directions(joining, joints)
    beyond = off @ bisector(back, on) > 0
    if joining.outer in UPPER_ARM:
        along = joint + np.linspace(0.5, 0.9, 5)[:, None] * (joining.end(joints) - joint)
        columns, rows = np.floor(along).astype(int).T
        deep = depth[rows.clip(0, height - 1), columns.clip(0, width - 1)]
        beside = np.abs(off[..., 0] * on[1] - off[..., 1] * on[0])
        beyond &= beside <= max(SLEEVE * float(deep.max()), LEAST_RADIUS)
    here = parts[top:bottom, left:right]
    either = near & np.isin(here, (joining.inner, joining.outer))
    here[either] = np.where(beyond, joining.outer, joining.inner)[either]


def _with_hidden(
    parts: np.ndarray, alpha: np.ndarray, own: np.ndarray, joints: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Coverage and colours of the torso with what arms hide of it: within its corners, and
    wherever it shows on both sides nearby."""
    torso = (parts == TORSO) & (alpha >= INSIDE)
    corners = joints[[SHOULDER[0], SHOULDER[1], HIP[1], HIP[0]]]
    hull = np.zeros(parts.shape, np.uint8)
    cv2.fillConvexPoly(hull, cv2.convexHull(np.rint(corners).astype(np.int32)), 1)
    span = max(3, int(0.5 * np.linalg.norm(corners[0] - corners[1])))
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (span, span))
    padded = np.pad(torso.astype(np.uint8), span)
    closed = cv2.morphologyEx(padded, cv2.MORPH_CLOSE, kernel)[span:-span, span:-span]
    hidden = (alpha > 0) & np.isin(parts, BEFORE_TRUNK) & ((closed > 0) | (hull > 0))
    if not hidden.any() or not torso.any():
        return alpha * (parts == TORSO), own
    # An arm's outline is not the torso's colour.
    line = cv2.dilate(hidden.astype(np.uint8), np.ones((3, 3), np.uint8))
    colours = fill(own, torso & (line == 0))
    cover = np.where(hidden, 1.0, alpha * (parts == TORSO)).astype(np.float32)
    return cover, np.where(hidden[..., None], colours, own)


def _layer(colours: np.ndarray, cover: np.ndarray) -> Layer:
    """Cropped to where it covers anything."""
    rows, columns = (np.flatnonzero((cover > 0).any(axis=axis)) for axis in (1, 0))
    here = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    share = cover[here][..., None]
    pixels = np.concatenate([colours[here] * share, 255 * share], axis=2)
    return Layer(np.rint(pixels).astype(np.uint8), (int(columns[0]), int(rows[0])))
