"""The joints of a figure by its outline alone: arms, legs and a head that stick out of a trunk.

    outline --> how deep each pixel lies in it --> paths along the middle of what sticks out
            --> two below, one on either side, perhaps one above --> joints

It knows nothing of bodies but that they stand upright with arms and legs spread from each other, so
it is right about stick figures and lamps with arms, and silent about whoever hides a limb. Tips are
accumulative geodesic extrema (Plagemann et al. 2010); limbs are paths of a tree from the middle.
"""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np
from scipy.sparse import csr_array
from scipy.sparse.csgraph import dijkstra

from ..skeleton import (
    ANKLE,
    EAR,
    ELBOW,
    EYE,
    FACE_JOINTS,
    HIP,
    KNEE,
    NECK,
    NOSE,
    SHOULDER,
    WRIST,
)
from .guides import INSIDE, ways_within

SHAPE_SIDE = 200  # pixels of the longer side of a figure, as it is looked at
MIDDLE_SAMPLES = 24
MOST_TIPS = 7
LEAST_TIP = 0.08  # of the figure's height: what sticks out less is no limb
LEAST_LIMB = 0.13  # of its height: an arm or a leg is so long
TAPERS = 0.35  # pixels a pixel: so fast a limb becomes thicker, at most
ALIKE = 0.5  # the shorter of two legs or arms against the longer, at least
EVEN_SHARE = 0.6  # of a limb, from its tip: there it has its usual thickness
FLARES = 1.6  # times its thickness: where a limb becomes so thick it ends
LEG_GOES_DOWN = 0.5  # of its length: so far down a leg goes at least
TOUCHING = 1.5  # pixels: paths so near to each other have met
LIMB_BENT = 0.1  # of a limb's length: what leaves the straight line so far has its joint there
HAND = 0.06  # of a limb's length: so far from its tip is the wrist, or the ankle
BESIDE = 0.1  # of the height: so far beside the middle of the shoulders both hands are at least
SHIFTED = 0.2  # of the height: one shoulder is at most so much higher
ABOVE_LEGS = 0.75  # of the height from its top: what ends further down is a leg or a skirt
SPREAD = 0.45  # of the height: hips are at most so far apart
SHORT_NECK = 0.12  # of the way from the shoulders to the top of the head
EYES, EARS = (0.25, 0.2), (0.55, 0.1)  # beside and above the face's middle, by half of the head
OFF_MIDDLE = 0.03  # of the height: hips and shoulders lie so far from the middle, at least
TOLD_BY_OUTLINE = 0.8  # confidence of these joints


class Branch(NamedTuple):
    """What sticks out of the middle of a figure: a path along its own middle."""

    path: np.ndarray  # (k, 2) x, y from its tip to where it meets what sticks out farther
    depth: np.ndarray  # (k,) pixels from there to the outline

    @property
    def way(self) -> np.ndarray:
        """(k,) how far each place lies from the tip."""
        steps = np.linalg.norm(np.diff(self.path, axis=0), axis=1)
        return np.concatenate([[0.0], steps.cumsum()])

    @property
    def length(self) -> float:
        return float(self.way[-1])

    def at(self, share: float) -> np.ndarray:
        """(2,) so much of its length from its tip."""
        return self.path[int(np.searchsorted(self.way, share * self.length))]

    def cut(self, count: int) -> Branch:
        return Branch(self.path[:count], self.depth[:count])


def joints_of_outline(mask: np.ndarray) -> np.ndarray | None:
    """(18, 3) x, y in pixels and confidence, of the figure that a mask (h, w) in [0, 1] shows; legs
    that do not stick out have no confidence. None where no two arms stick out of it."""
    rows, columns = np.nonzero(mask >= INSIDE)
    if not len(rows):
        return None
    low = np.array([columns.min(), rows.min()])
    high = np.array([columns.max(), rows.max()]) + 1
    scale = SHAPE_SIDE / float((high - low).max())
    size = np.maximum(1, np.rint((high - low) * scale)).astype(int)
    part = mask[low[1] : high[1], low[0] : high[0]].astype(np.float32)
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    inside = np.pad(cv2.resize(part, tuple(size.tolist()), interpolation=how) >= INSIDE, 2)
    joints = _joints(_largest_piece(inside))
    if not joints[:, 2].any():
        return None
    joints[:, :2] = (joints[:, :2] - 2) / scale + low
    return joints


def _largest_piece(inside: np.ndarray) -> np.ndarray:
    _, pieces, stats, _ = cv2.connectedComponentsWithStats(inside.astype(np.uint8))
    return pieces == 1 + stats[1:, cv2.CC_STAT_AREA].argmax()


def _joints(inside: np.ndarray) -> np.ndarray:
    """(18, 3)"""
    tall = float(np.ptp(np.nonzero(inside)[0]) + 1)
    branches = _sticking_out(inside, LEAST_TIP * tall)
    joints = np.zeros((18, 3))
    legs, arms, head = _chosen(branches, tall)
    chosen = [*legs, *arms, *head]
    legs = [_limb(leg, chosen) for leg in legs]
    arms = [_limb(arm, chosen) for arm in arms]
    legs = legs if _are_legs(legs, tall) else []
    arms = arms if _are_arms(arms, tall) else []
    if arms and legs:
        trunk = _middle(legs) - _middle(arms)
        if trunk[1] < max(LEAST_TIP * tall, abs(trunk[0])):
            return joints
    for limbs, names in ((arms, (SHOULDER, ELBOW, WRIST)), (legs, (HIP, KNEE, ANKLE))):
        if limbs:
            _place_limbs(joints, limbs, names, OFF_MIDDLE * tall)
    if arms and (head or legs):
        _place_head(joints, _middle(arms), _top(inside, head, _middle(arms), tall))
    else:
        joints[:] = 0  # two that stick out may be anything
    return joints


def _middle(limbs: list[Branch]) -> np.ndarray:
    """(2,) between where the two leave the trunk."""
    return np.mean([limb.path[-1] for limb in limbs], axis=0)


def _are_legs(limbs: list[Branch], tall: float) -> bool:
    """Whether two limbs are alike, close to each other and go down."""
    return (
        _are_alike(limbs, tall)
        and all((leg.path[0] - leg.path[-1])[1] >= LEG_GOES_DOWN * leg.length > 0 for leg in limbs)
        and abs(limbs[0].path[-1, 0] - limbs[1].path[-1, 0]) <= SPREAD * tall
    )


def _are_arms(limbs: list[Branch], tall: float) -> bool:
    """Whether two limbs are alike, leave the trunk equally high, and reach to either side of it."""
    if not _are_alike(limbs, tall):
        return False
    right, left = limbs
    middle = _middle(limbs)[0]
    return (
        middle - right.path[:, 0].min() >= BESIDE * tall
        and left.path[:, 0].max() - middle >= BESIDE * tall
        and abs(right.path[-1, 1] - left.path[-1, 1]) <= SHIFTED * tall
    )


def _are_alike(limbs: list[Branch], tall: float) -> bool:
    lengths = sorted(limb.length for limb in limbs)
    return len(lengths) == 2 and lengths[0] >= max(LEAST_LIMB * tall, ALIKE * lengths[1])


def _sticking_out(inside: np.ndarray, least: float) -> list[Branch]:
    """What sticks out of the middle, the farthest first, as far as `least` pixels."""
    depth = cv2.distanceTransform(inside.astype(np.uint8), cv2.DIST_L2, 5).ravel()
    ways = ways_within(inside)
    pixels = np.flatnonzero(inside)
    some = pixels[np.linspace(0, len(pixels) - 1, MIDDLE_SAMPLES).astype(int)]
    far = dijkstra(ways, directed=False, indices=some)[:, pixels]
    middle = int(pixels[far.mean(axis=0).argmin()])
    one, other = ways.nonzero()
    along = 1 / depth.clip(0.5) ** 2  # along the middle of a limb it is cheap
    costs = csr_array((ways.data * (along[one] + along[other]), (one, other)), ways.shape)
    _, before = dijkstra(costs, directed=False, indices=middle, return_predecessors=True)
    known: set[int] = {middle}
    branches: list[Branch] = []
    while len(branches) < MOST_TIPS:
        off = dijkstra(ways, directed=False, indices=sorted(known), min_only=True)
        tip = int(pixels[off[pixels].argmax()])
        path = [tip]
        while path[-1] not in known:
            path.append(int(before[path[-1]]))
        if off[tip] - depth[path[-1]] < least:
            break
        known.update(path)
        rows, columns = np.divmod(np.array(path), inside.shape[1])
        branches.append(Branch(np.column_stack([columns, rows]) + 0.5, depth[path]))
    return branches


def _chosen(branches: list[Branch], tall: float) -> tuple[list[Branch], list[Branch], list[Branch]]:
    """Legs and arms, right and left of a body seen from the front, or none, and what sticks out
    between the arms, if there is anything."""
    least = LEAST_LIMB * tall
    long = [one for one in branches if one.length >= least]
    even = [one for one in long if _is_even(_limb(one, long))]
    low = sorted(even, key=lambda branch: -branch.path[0, 1])
    legs = sorted(low[:2], key=lambda branch: branch.path[0, 0])
    if _are_legs([_limb(leg, long) for leg in legs], tall):
        low = low[2:]
    else:
        top = min((one.path[0, 1] for one in branches), default=0.0)
        low = [one for one in low if one.path[0, 1] - top < ABOVE_LEGS * tall]
        legs = []
    rest = [one for one in low if _limb(one, long).length >= least]
    rest.sort(key=lambda branch: branch.path[0, 0])
    if not 2 <= len(rest) <= 3:
        return legs, [], []
    return legs, [rest[0], rest[-1]], rest[1:-1]


def _is_even(limb: Branch) -> bool:
    """Whether it is about as thick all along, as the corner of a box is not."""
    return len(limb.path) > 2 and np.polyfit(limb.way, limb.depth, 1)[0] <= TAPERS


def _limb(branch: Branch, others: list[Branch]) -> Branch:
    """A branch from its tip to where it meets one of the others, or flares into the trunk."""
    end = len(branch.path) - 1
    for other in others:
        if other is not branch:
            apart = np.linalg.norm(branch.path[:, None] - other.path, axis=2).min(axis=1)
            if apart.min() <= TOUCHING:
                end = min(end, int((apart <= TOUCHING).argmax()))
    depth = branch.depth[: end + 1]
    usual = float(np.median(depth[: max(3, int(EVEN_SHARE * len(depth)))]))
    thin = np.flatnonzero(depth <= FLARES * usual + 1)  # a hand or a shoe may be thick, too
    return branch.cut(min(end, int(thin[-1])) + 1)


def _top(inside: np.ndarray, head: list[Branch], shoulders: np.ndarray, tall: float) -> np.ndarray:
    """(2,) the top of the head: of what sticks out there, or of what is above the shoulders."""
    if head and head[0].path[0, 1] < shoulders[1]:
        return head[0].path[0]
    near = OFF_MIDDLE * tall
    columns = inside[:, max(0, int(shoulders[0] - near)) : int(shoulders[0] + near) + 1]
    return np.array([shoulders[0], float(np.flatnonzero(columns.any(axis=1))[0])])


def _place_head(joints: np.ndarray, shoulders: np.ndarray, top: np.ndarray) -> None:
    """Neck and face into joints (18, 3), between the shoulders and the top of the head."""
    neck = shoulders + SHORT_NECK * (top - shoulders)
    face = (neck + top) / 2
    size = float(np.linalg.norm(face - neck))
    up = (face - neck) / max(size, 1e-6)
    joints[[NECK, NOSE], :2] = neck, face
    for pair, (beside, above) in ((EYE, EYES), (EAR, EARS)):
        across = size * beside * np.array([-up[1], up[0]])
        for joint, side in zip(pair, (-1, 1), strict=True):
            joints[joint, :2] = face + side * across + size * above * up
    joints[[NECK, *FACE_JOINTS], 2] = TOLD_BY_OUTLINE


def _place_limbs(
    joints: np.ndarray, limbs: list[Branch], names: tuple[tuple[int, int], ...], off: float
) -> None:
    """Two limbs into joints (18, 3); they leave the trunk at least `off` pixels from its middle."""
    middle = _middle(limbs)[0]
    for side, (way, limb) in enumerate(zip((-1, 1), limbs, strict=True)):
        root = limb.path[-1].copy()
        root[0] = middle + way * max(way * (root[0] - middle), off)
        for joint, place in zip(names, (root, _bend(limb), limb.at(HAND)), strict=True):
            joints[joint[side]] = *place, TOLD_BY_OUTLINE


def _bend(limb: Branch) -> np.ndarray:
    """(2,) elbow or knee: where a limb leaves its straight line most, if it does, else halfway."""
    start, end = limb.path[-1], limb.path[0]
    line = (end - start) / max(float(np.linalg.norm(end - start)), 1e-6)
    off = limb.path - start
    away = np.abs(off[:, 0] * line[1] - off[:, 1] * line[0])
    share = limb.way / max(limb.length, 1e-6)
    away = np.where((share > 0.35) & (share < 0.65), away, 0)
    return limb.path[int(away.argmax())] if away.max() > LIMB_BENT * limb.length else limb.at(0.5)
