"""What a reference shows, told by its user instead of found by the eye: joints and outline.

    joints --> the missing ones made --> seeds of the twelve parts |
                                                                   +--> which part each pixel shows:
    mask ----------------------------------------------------------+    the nearest seed within it

Within the mask a hand that touches the hip is an arm's length away from it. A seed is a bone as
thick as its limb is where that is thinnest; arms lie in front, so an arm before a belly is still
an arm where its joints say so.
"""

from __future__ import annotations

import cv2
import numpy as np
import torch
from scipy.ndimage import distance_transform_edt
from scipy.sparse import coo_array
from scipy.sparse.csgraph import dijkstra
from torch import Tensor
from torch.nn.functional import interpolate

from ..pose.guides import Guides
from ..skeleton import (
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
    NOSE,
    PARTS,
    SHIN,
    SHOULDER,
    STANDING,
    THIGH,
    TORSO,
    UPPER_ARM,
    WRIST,
)
from .eye import BodyEstimate

SEEN = 0.3  # confidence from which a joint is where it is said to be
INSIDE = 0.5  # share of a mask from which a pixel is the body's
FINEST = 256  # pixels of the longer side on which parts are told apart; outlines are finer
THICKEST = 0.3  # of a bone: half of the limb about it at most
LIMB_BEGIN, LIMB_END = 0.15, 0.92  # shares of a limb's bone between which its seed lies
NARROW = 0.8  # of its width: the seed of the torso
SKULL = 0.6  # of the way from the neck to the middle of the face: half of the head's seed
TOLD, MADE = 1.0, 6.0  # pixels: how uncertain a joint is that was told, and one that was made
CERTAIN = 20.0  # a logit
MIN_SHARE = 1e-6  # share, whose logarithm is taken
HINGE = 0.4  # of the way to the next joint: reach of what two parts take along both
SOFT = 6  # a way through a pixel is longer by its cover to the power of minus that
BEYOND = 0.12  # of the shin: so far behind the ankle the foot begins

HANGS_ON = {joint: NECK for joint in (*SHOULDER, *HIP, NOSE)}
HANGS_ON |= {end: start for start, end in LIMB_JOINTS.values()}
HANGS_ON |= {joint: NOSE for joint in FACE_JOINTS if joint != NOSE}
# Two parts, the joint they turn about, and another one, for the size.
HINGES = [(HEAD, TORSO, NECK, NOSE)]
for _side in (0, 1):
    HINGES += [
        (UPPER_ARM[_side], TORSO, SHOULDER[_side], ELBOW[_side]),
        (FOREARM[_side], UPPER_ARM[_side], ELBOW[_side], WRIST[_side]),
        (THIGH[_side], TORSO, HIP[_side], KNEE[_side]),
        (SHIN[_side], THIGH[_side], KNEE[_side], ANKLE[_side]),
        (FOOT[_side], SHIN[_side], ANKLE[_side], KNEE[_side]),
    ]
TRUNK = (NECK, *SHOULDER, *HIP, NOSE)


def guided(found: BodyEstimate, guides: Guides, times: int) -> BodyEstimate:
    """What the eye found in one picture, n = 1, with what is told in its place.

    The eye saw the picture `times` smaller than the guides are; labels come out as large as these.
    """
    joints = guides.joints
    if guides.box is not None:
        picture = found.joints.new_zeros(1, 1, guides.height, guides.width)
        top, left, height, width = guides.box
        picture[..., top : top + height, left : left + width] = 1
        found = found._replace(picture=picture)
    if joints is not None:
        bodies = np.stack([with_all_joints(body) for body in joints[:2]])
        bodies = bodies[np.argsort(bodies[:, [*HIP, NECK], 0].mean(axis=1))]
        both = torch.from_numpy(bodies[[0, -1]]).to(found.joints)
        told = both[..., 2] >= SEEN
        found = found._replace(
            joints=both[None, ..., :2] / times,
            uncertainty=torch.where(told, TOLD, MADE).to(found.uncertainty)[None],
            two_bodies=torch.full_like(found.two_bodies, CERTAIN if len(bodies) > 1 else -CERTAIN),
        )
    if guides.mask is None:
        return found
    if joints is None:
        count = 1 + int(found.two_bodies > 0)
        places = (found.joints[0, :count] * times).cpu().double().numpy()
        bodies = np.concatenate([places, np.ones((*places.shape[:2], 1))], axis=2)
    shares = part_labels(bodies, guides.mask)
    overlap = torch.from_numpy(overlaps(bodies, shares)).to(found.joints)[None]
    shares = torch.from_numpy(shares).to(found.joints)
    if joints is None and found.labels is not None:
        shares = _as_the_eye_sees(shares, found.labels[0], times)
    return found._replace(labels=shares.clamp(min=MIN_SHARE).log()[None], overlap=overlap)


def _as_the_eye_sees(shares: Tensor, labels: Tensor, times: int) -> Tensor:
    """Shares (13, h, w) of the parts, and the eye's logits of a picture so much smaller: within the
    outline of the first the parts of the second, as far as it sees a body there."""
    seen = interpolate(labels[None], scale_factor=times, mode="bilinear")[0].softmax(dim=0)
    body = 1 - shares[:1]
    return torch.cat([shares[:1], body * seen[1:] + seen[:1] * shares[1:]])


def with_all_joints(joints: np.ndarray) -> np.ndarray:
    """(18, 3) -> (18, 3): a joint that is not seen lies where it would on a standing body, turned
    and sized as the seen ones tell, about the joint that it hangs on; its confidence stays.

    At least two joints must be seen.
    """
    seen = joints[:, 2] >= SEEN
    trunk = [joint for joint in TRUNK if seen[joint]]
    known = trunk if len(trunk) > 1 else np.flatnonzero(seen).tolist()
    here = joints[known, 0] + 1j * joints[known, 1]
    fits = []
    front = np.array(STANDING)
    for standing in (front, front * [-1, 1]):  # or seen from behind
        there = standing[known, 0] + 1j * standing[known, 1]
        from_middle = there - there.mean()
        turn = (from_middle.conj() * (here - here.mean())).sum() / (abs(from_middle) ** 2).sum()
        error = (abs(here - here.mean() - turn * from_middle) ** 2).sum()
        whole = (standing[:, 0] + 1j * standing[:, 1] - there.mean()) * turn + here.mean()
        fits.append((error, np.stack([whole.real, whole.imag], axis=1)))
    _, model = min(fits, key=lambda fit: fit[0])
    made = joints.copy()
    if not seen[NECK]:
        made[NECK, :2] = model[NECK]
    for joint, parent in HANGS_ON.items():
        if not seen[joint]:
            made[joint, :2] = made[parent, :2] + model[joint] - model[parent]
    return made


def part_labels(joints: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Which part each pixel shows: (m, 18, 3) and (h, w) in [0, 1] -> shares (13, h, w), float32.

    Row 0 is the scene, the others are the parts of skeleton.py, of all bodies; they sum to 1.
    Joints are x, y in pixels and confidence. Raises ValueError for a mask without an inside.
    """
    height, width = mask.shape
    scale = min(1.0, FINEST / max(height, width))
    small = tuple(max(1, round(side * scale)) for side in (height, width))
    cover = cv2.resize(mask.astype(np.float32), small[::-1], interpolation=cv2.INTER_AREA)
    inside = cover >= INSIDE
    if not inside.any():
        raise ValueError("an empty mask")
    seeds = np.zeros(small, np.uint8)
    for body in joints:
        _plant(seeds, body * [scale, scale, 1], inside)
    parts = _grown(seeds, np.where(inside, cover, 0))
    labels = np.zeros((1 + PARTS, height, width), np.float32)
    for part in range(1, 1 + PARTS):
        here = (parts == part).astype(np.float32)
        labels[part] = cv2.resize(here, (width, height), interpolation=cv2.INTER_LINEAR)
    labels *= mask / labels.sum(axis=0)
    labels[0] = 1 - labels[1:].sum(axis=0)
    return labels


def _plant(seeds: np.ndarray, joints: np.ndarray, inside: np.ndarray) -> None:
    """Draw the parts of one body, as far as its joints (18, 3) are seen: what lies in front
    last."""
    seen, xy = joints[:, 2] >= SEEN, joints[:, :2]
    depth = cv2.distanceTransform(inside.astype(np.uint8), cv2.DIST_L2, 5)
    thick = {part: _radius(depth, xy[start], xy[end]) for part, (start, end) in LIMB_JOINTS.items()}
    canvas = np.zeros_like(seeds)
    corners = [joint for joint in (SHOULDER[0], SHOULDER[1], HIP[1], HIP[0]) if seen[joint]]
    if len(corners) > 2:
        middle = xy[corners].mean(axis=0)
        shape = np.concatenate([middle + NARROW * (xy[corners] - middle), xy[NECK][None]])
        cv2.fillConvexPoly(canvas, cv2.convexHull(_fixed(shape)), TORSO, shift=BITS)
    elif len(corners) > 1 and seen[NECK]:
        _bar(canvas, xy[NECK], xy[corners].mean(axis=0), 1, TORSO)
    face = [joint for joint in FACE_JOINTS if seen[joint]]
    if face:
        middle = xy[face].mean(axis=0)
        reach = SKULL * np.linalg.norm(xy[NECK] - middle) if seen[NECK] else 1.0
        _bar(canvas, middle, middle, min(reach, _at(depth, middle)), HEAD)
    for pair in (THIGH, SHIN, UPPER_ARM, FOREARM):
        shown = [part for part in pair if seen[list(LIMB_JOINTS[part])].all()]
        radius = min((thick[part] for part in shown), default=0.0)
        for part in shown:
            start, bone = xy[LIMB_JOINTS[part][0]], np.diff(xy[list(LIMB_JOINTS[part])], axis=0)[0]
            _bar(canvas, start + LIMB_BEGIN * bone, start + LIMB_END * bone, radius, part)
            if part in SHIN:
                toe = start + (1 + BEYOND) * bone
                _bar(canvas, toe, toe, 0.5 * radius, FOOT[SHIN.index(part)])
    seeds[(canvas > 0) & inside] = canvas[(canvas > 0) & inside]


def overlaps(joints: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Pixels about a joint that both parts take along that turn about it: joints (m, 18, 3) and
    their part_labels -> shares (12, h, w), float32."""
    depth = cv2.distanceTransform((labels[0] < INSIDE).astype(np.uint8), cv2.DIST_L2, 5)
    taken = np.zeros((PARTS, *depth.shape), np.float32)
    for body in joints:
        for part, other, joint, end in HINGES:
            if min(body[[joint, end], 2]) >= SEEN:
                place = body[joint, :2]
                length = float(np.linalg.norm(body[end, :2] - place))
                disk = np.zeros(depth.shape, np.uint8)
                _bar(disk, place, place, min(1.2 * _at(depth, place), HINGE * length), 1)
                both = disk * (labels[part] + labels[other])
                for one in (part, other):
                    taken[one - 1] = np.maximum(taken[one - 1], both)
    return taken


BITS = 4  # of a coordinate behind the point, for cv2


def _fixed(points: np.ndarray) -> np.ndarray:
    """In pixels from the left top edge -> as cv2 draws, from the middle of the first pixel."""
    return np.rint((np.clip(points, -4096, 4096) - 0.5) * (1 << BITS)).astype(np.int32)


def _bar(canvas: np.ndarray, start: np.ndarray, end: np.ndarray, radius: float, value: int) -> None:
    thickness = max(1, round(2 * radius))
    points = [tuple(point.tolist()) for point in _fixed(np.stack([start, end]))]
    if radius > 1 and points[0] == points[1]:
        cv2.circle(canvas, points[0], round(radius * (1 << BITS)), value, cv2.FILLED, shift=BITS)
    else:
        cv2.line(canvas, *points, value, thickness, shift=BITS)


def _radius(depth: np.ndarray, start: np.ndarray, end: np.ndarray) -> float:
    """Half of a limb's thickness: how deep its bone lies within the mask where it lies least."""
    places = start + np.linspace(LIMB_BEGIN, LIMB_END, 9)[:, None] * (end - start)
    inside = [deep for deep in (_at(depth, place) for place in places) if deep > 0]
    least = float(np.quantile(inside, 0.2)) if inside else 1.0
    return min(least, THICKEST * float(np.linalg.norm(end - start)))


def _at(depth: np.ndarray, place: np.ndarray) -> float:
    x, y = np.floor(place).astype(int)
    inside = 0 <= y < depth.shape[0] and 0 <= x < depth.shape[1]
    return float(depth[y, x]) if inside else 0.0


def _grown(seeds: np.ndarray, cover: np.ndarray) -> np.ndarray:
    """Parts (h, w): that of the nearest seed along the surface, cover (h, w) in [0, 1]; where none
    can be reached, and outside, that of the nearest pixel. Where a hand and a hip touch by
    their soft outlines alone, there is hardly a way."""
    sources = np.flatnonzero(seeds)
    if not len(sources):
        return np.full(seeds.shape, TORSO, np.uint8)
    _, _, nearest = dijkstra(
        ways_within(cover),
        directed=False,
        indices=sources,
        return_predecessors=True,
        min_only=True,
    )
    parts = np.where(nearest >= 0, seeds.ravel()[nearest.clip(0)], 0).reshape(seeds.shape)
    rows, columns = distance_transform_edt(parts == 0, return_distances=False, return_indices=True)
    return parts[rows, columns]


def ways_within(cover: np.ndarray) -> coo_array:
    """Lengths of the ways between covered pixels that touch each other, as a sparse matrix: longer
    where they are covered in part."""
    inside = cover > 0
    hard = np.ones(cover.shape)
    hard[inside] = cover[inside].astype(float) ** -SOFT
    height, width = inside.shape
    number = np.arange(height * width, dtype=np.int32).reshape(
        height, width
    )  # as scipy 1.11 has it
    ways = []
    for down, right, length in ((0, 1, 1.0), (1, 0, 1.0), (1, 1, 2**0.5), (1, -1, 2**0.5)):
        here = (slice(0, height - down), slice(max(0, -right), width - max(0, right)))
        there = (slice(down, height), slice(max(0, right), width - max(0, -right)))
        both = inside[here] & inside[there]
        longer = (hard[here][both] + hard[there][both]) / 2
        ways.append((number[here][both], number[there][both], length * longer))
    one, other, lengths = (np.concatenate(each) for each in zip(*ways, strict=True))
    return coo_array((lengths, (one, other)), shape=(height * width,) * 2).tocsr()
