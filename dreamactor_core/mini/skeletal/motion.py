"""From the driver's joints to the figure's, at any times.

Limbs keep the figure's lengths and take the driver's directions; one that points at the camera is
shorter. The trunk leans as the driver's does. The figure goes where the driver goes, as far as its
size says, and its lower foot stands where the picture has it, lifted as far as the driver has left
the ground; the picture is that moment of the motion which is like it (moment.py). A joint that the
driver never shows stays as the picture has it.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ...skeleton import (
    ANKLE,
    EAR,
    EYE,
    FACE_JOINTS,
    HIP,
    KNEE,
    LIMB_JOINTS,
    MIRRORED_JOINT,
    NECK,
    SHOULDER,
)
from ..guides import SEEN
from .draw import Goal, box_of
from .feet import planted, stand
from .figure import Figure
from .moment import from_moment
from .on_four import is_on_four, lies, lies_stretched, posed_on_four, rotated
from .order import orders_of
from .times import averaged, highest

SHOWN = 0.1  # share of the frames in which a joint must be seen to be followed
FULL_LENGTH = 0.9  # quantile of a bone's length over time that is its own
LEAST_LENGTH = {"trunk": 0.6, "limb": 0.6}  # of its length: a bone is drawn no shorter
LENIENT = 1.1  # a bone is only shorter once it is so much shorter
STEADY = 0.5  # seconds on either side over which the driver's size is averaged
GROUND = 1.0  # seconds on either side within which the driver's lowest foot is on the ground
MOST_NOD = 0.8  # radians that a head is turned against the trunk
SELDOM = 0.02  # share of the frames in which a figure may reach beyond the picture
LOOKED_AT = 60  # frames of a clip, about: how far the figure reaches in it
LEAST_STRIDE = 0.1  # of the picture's width: it goes that far, whatever its own width
LEAST_SIZE = 0.6  # to which it is made smaller
BEYOND_BORDER = 0.05  # of the picture: a joint so far beyond its border is none that it shows
MOST_SINKING = 0.12  # of the picture's height: so far goes down what its border cuts off
FRONTAL = 0.3  # of a trunk: shoulders nearer to each other do not tell front from behind
CARDINAL = np.pi / 2


class Driver(NamedTuple):
    """Somebody's joints over time."""

    joints: np.ndarray  # (n, 18, 2) in any unit that is the same along both axes, no gaps
    shown: np.ndarray  # (18,) bool: those that are ever seen
    sure: np.ndarray  # (n, 18) how sure it is that they are where they are, in [0, 1]
    times: np.ndarray  # (n,) seconds
    depth: np.ndarray | None = None  # (n, 18) away from the camera, in the unit of the joints


def driver_at(
    body: np.ndarray, times: np.ndarray, wanted: np.ndarray, depth: np.ndarray | None = None
) -> Driver | None:
    """Joints (t, 18, 3) of x, y, confidence at times (t,), and their depth (t, 18) -> at wanted
    (n,), straight between those that are seen; None for somebody who is never seen."""
    seen = body[..., 2] >= SEEN
    shown = seen.mean(axis=0) >= SHOWN
    if shown.sum() < 2:
        return None
    joints = np.zeros((len(wanted), body.shape[1], 2))
    sure = np.stack([np.interp(wanted, times, each) for each in body[..., 2].T], axis=1)
    for joint in np.flatnonzero(shown):
        here = seen[:, joint]
        for axis in (0, 1):
            joints[:, joint, axis] = np.interp(wanted, times[here], body[here, joint, axis])
    if depth is None:
        return Driver(joints, shown, sure, wanted)
    there = body[..., 2].any(axis=1)
    deep = [np.interp(wanted, times[there], each) for each in depth[there].T]
    return Driver(joints, shown, sure, wanted, np.stack(deep, axis=1))


def perform(figure: Figure, driver: Driver, panel: tuple[int, int]) -> list[Goal]:
    """A figure in each of the driver's frames, in a picture of panel (height, width)."""
    reference = figure.joints
    inside = _inside(reference, panel)
    whole = driver = _as_seen(reference, driver)
    driver = driver._replace(shown=driver.shown & inside)
    both = driver.shown & figure.seen
    scale = _scale(reference, driver)
    on_four = all(is_on_four(body, both) for body in (reference[None], driver.joints))
    if on_four:
        posed, place = posed_on_four(reference, driver.joints)
    else:
        posed = _posed(reference, driver)
        place = _place(reference, driver, posed, scale)
    place = place + from_moment(reference, figure.box, posed + place[:, None], panel)
    place[:, 0] *= _stride(figure, posed, place[:, 0], panel[1])
    if not (inside[list(ANKLE)].any() or lies(reference)):
        bends = _bends(whole)
        place[:, 1] = _sinking(place[:, 1] if bends is None else scale * bends, panel[0])
    joints = posed + place[:, None]
    if not on_four:  # who takes the driver's very steps does not slide
        joints = stand(joints, planted(driver.joints, driver.shown, driver.times), driver.times)
    turns = _foot_turns(reference, joints, driver)
    joints, size = _in_view(figure, joints, panel)
    orders = orders_of(driver.joints, driver.shown, driver.sure, driver.times, driver.depth)
    frames = zip(joints, turns, orders, strict=True)
    return [Goal(places, feet, size, order) for places, feet, order in frames]


def _inside(reference: np.ndarray, panel: tuple[int, int]) -> np.ndarray:
    """(18,) bool: joints that the picture shows, not those made up below a half body."""
    share = reference / np.array([panel[1], panel[0]])
    return ((share >= -BEYOND_BORDER) & (share <= 1 + BEYOND_BORDER)).all(axis=1)


def _bends(driver: Driver) -> np.ndarray | None:
    """(n,) how much lower the hips are than where somebody stands, however near he comes meanwhile,
    in the unit of his joints; None where his hips or feet are not seen."""
    hips, ankles = ([joint for joint in pair if driver.shown[joint]] for pair in (HIP, ANKLE))
    if not (hips and ankles):
        return None
    size = _bones(driver).sum(axis=1).clip(1e-6)
    high = driver.joints[:, ankles, 1].max(axis=1) - driver.joints[:, hips, 1].mean(axis=1)
    return (np.quantile(high / size, FULL_LENGTH) - high / size) * size.mean()


def _sinking(way: np.ndarray, height: int) -> np.ndarray:
    """A way along y (n,) of a figure that the picture's lower border cuts off: never up, or the cut
    would be seen."""
    way = way - way.min()
    return way * min(1.0, MOST_SINKING * height / max(float(way.max()), 1e-6))


def _as_seen(reference: np.ndarray, driver: Driver) -> Driver:
    """Sides changed for a driver who is seen from behind where the figure is seen from the front;
    mirrored where both are on four legs and face apart."""
    joints, shown, sure, times, depth = driver
    if shown[list(SHOULDER)].all():
        across, own = np.median(_breadth(joints, shown)), _breadth(reference[None], shown)[0]
        if across * own < 0 and min(abs(across), abs(own)) > FRONTAL:
            sides = list(MIRRORED_JOINT)
            joints, shown, sure = joints[:, sides], shown[sides], sure[:, sides]
            depth = None if depth is None else depth[:, sides]
    trunk, own = _trunk(joints, shown), _trunk(reference[None], np.ones(18, bool))
    if trunk is not None and own is not None:
        trunk, own = trunk.mean(axis=0), own[0]
        if abs(trunk[0]) > abs(trunk[1]) and abs(own[0]) > abs(own[1]) and trunk[0] * own[0] < 0:
            joints = joints * [-1, 1]
    return Driver(joints, shown, sure, times, depth)


def _breadth(joints: np.ndarray, shown: np.ndarray) -> np.ndarray:
    """(n,) from the right shoulder to the left one along x, or against it of a body on its head,
    in lengths of the trunk; of what is shown of nobody's trunk in breadths of the shoulders."""
    across = joints[:, SHOULDER[1]] - joints[:, SHOULDER[0]]
    trunk = _trunk(joints, shown)
    if trunk is None:
        return across[:, 0] / np.linalg.norm(across, axis=1).clip(1e-6)
    along = np.where(_points_down(trunk), -across[:, 0], across[:, 0])
    return along / np.linalg.norm(trunk, axis=1).clip(1e-6)


def _points_down(trunk: np.ndarray) -> np.ndarray:
    """(...) bool, of trunks (..., 2): those of bodies that are on their heads."""
    return trunk[..., 1] > np.abs(trunk[..., 0])


def _trunk(joints: np.ndarray, shown: np.ndarray) -> np.ndarray | None:
    """(n, 2) from the middle of the hips to the neck."""
    if not shown[[*HIP, NECK]].all():
        return None
    return joints[:, NECK] - joints[:, HIP].mean(axis=1)


def _posed(reference: np.ndarray, driver: Driver) -> np.ndarray:
    """(n, 18, 2), the middle of the hips where the picture has it."""
    count = len(driver.joints)
    pelvis = reference[list(HIP)].mean(axis=0)
    lean, upright, press = np.zeros(count), np.zeros(count), np.ones(count)
    trunk, own = _trunk(driver.joints, driver.shown), reference[NECK] - pelvis
    if trunk is not None:
        lean, upright = _lean(trunk, reference), _wrapped(_angle(trunk) + CARDINAL)
        press = _shortening(driver, np.linalg.norm(trunk, axis=1), LEAST_LENGTH["trunk"])
    made = np.repeat(reference[None].astype(float), count, axis=0)
    way = own / max(np.linalg.norm(own), 1e-6)
    off = reference - pelvis
    off = off + (press[:, None] - 1)[..., None] * (off @ way)[:, None] * way
    made = pelvis + rotated(off, lean[:, None])
    nod = lean + _nod(driver, upright)
    face = list(FACE_JOINTS)
    made[:, face] = made[:, NECK, None] + rotated(reference[face] - reference[NECK], nod[:, None])
    for start, end in LIMB_JOINTS.values():
        bone = reference[end] - reference[start]
        moved = rotated(bone, _turn(made, reference, start, lean))
        if driver.shown[[start, end]].all():
            own = driver.joints[:, end] - driver.joints[:, start]
            length = np.linalg.norm(own, axis=1)
            short = _shortening(driver, length, LEAST_LENGTH["limb"])[:, None]
            moved = own / length.clip(1e-6)[:, None] * np.linalg.norm(bone) * short
        made[:, end] = made[:, start] + moved
    return made


def _turn(made: np.ndarray, reference: np.ndarray, start: int, lean: np.ndarray) -> np.ndarray:
    """How far the bone is turned that ends where another one starts; a trunk by its lean."""
    for root, joint in LIMB_JOINTS.values():
        if joint == start:
            return _angle(made[:, joint] - made[:, root]) - _angle(
                reference[joint] - reference[root]
            )
    return lean


def _lean(trunk: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """How far the trunk (n, 2) leans, in radians: from upright if the figure's own does not lie.
    If it does, from that of up, down, left and right that it is nearest to on average; but where
    the driver lies too, or where the figure is one that has lain down, or stands on its head, from
    its own."""
    base, pelvis = -CARDINAL, reference[list(HIP)].mean(axis=0)
    own = reference[NECK] - pelvis
    if _points_down(own):
        base = float(_angle(own))
    elif lies(reference):
        base = CARDINAL * round(float(_angle(trunk.mean(axis=0))) / CARDINAL)
        if base % np.pi == 0 or lies_stretched(reference):
            base = float(_angle(own))
    return _wrapped(_angle(trunk) - base)


def _nod(driver: Driver, lean: np.ndarray) -> np.ndarray:
    """(n,) radians that the head is turned against a trunk that leans (n,) from upright: by the
    line of the ears, or the eyes, as far as it is seen from the front, and by the way from neck to
    face."""
    total, weights = np.zeros(len(lean)), np.full(len(lean), 1e-6)
    joints, shown = driver.joints, driver.shown
    size = _bones(driver).sum(axis=1).clip(1e-6)
    for right, left in (EAR, EYE):
        if shown[[right, left]].all():
            line = joints[:, left] - joints[:, right]
            turn = _wrapped(_angle(line) - np.pi * (np.median(line[:, 0]) < 0) - lean)
            weight = (np.linalg.norm(line, axis=1) / size * 20) ** 2
            total, weights = total + weight * turn, weights + weight
            break
    face = [joint for joint in (*EAR, *EYE) if shown[joint]]
    if face and shown[NECK]:
        turn = _wrapped(_angle(joints[:, face].mean(axis=1) - joints[:, NECK]) + CARDINAL - lean)
        turn = turn - np.median(turn)  # a face that looks aside is no head that lies aside
        total, weights = total + 0.5 * turn, weights + 0.5
    return (total / weights).clip(-MOST_NOD, MOST_NOD)


def _bones(driver: Driver) -> np.ndarray:
    """(n, k) lengths of the trunk and the limbs that are seen."""
    lengths = [
        np.linalg.norm(driver.joints[:, end] - driver.joints[:, start], axis=1)
        for start, end in LIMB_JOINTS.values()
        if driver.shown[[start, end]].all()
    ]
    trunk = _trunk(driver.joints, driver.shown)
    if trunk is not None:
        lengths.append(np.linalg.norm(trunk, axis=1))
    if driver.shown[list(SHOULDER)].all():
        lengths.append(np.linalg.norm(np.diff(driver.joints[:, SHOULDER], axis=1)[:, 0], axis=1))
    return np.stack(lengths, axis=1) if lengths else np.ones((len(driver.joints), 1))


def _shortening(driver: Driver, length: np.ndarray, least: float) -> np.ndarray:
    """(n,) in [least, 1]: a bone's length against its own, whatever the driver's distance."""
    size = averaged(_bones(driver).sum(axis=1), driver.times, STEADY).clip(1e-6)
    share = length / size
    return (LENIENT * share / max(np.quantile(share, FULL_LENGTH), 1e-6)).clip(least, 1)


def _scale(reference: np.ndarray, driver: Driver) -> float:
    """How many times larger the figure is than the driver, by the bones that he shows."""
    still = driver._replace(joints=reference[None], times=driver.times[:1])
    own = np.quantile(_bones(driver), FULL_LENGTH, axis=0).sum()
    return float(_bones(still).sum() / max(own, 1e-6))


def _place(reference: np.ndarray, driver: Driver, posed: np.ndarray, scale: float) -> np.ndarray:
    """(n, 2): how far the figure is moved in each frame."""
    root = [joint for joint in HIP if driver.shown[joint]] or [
        joint for joint in (NECK, *SHOULDER) if driver.shown[joint]
    ]
    if not root:
        return np.zeros((len(posed), 2))
    path = scale * driver.joints[:, root].mean(axis=1)
    place = path - path.mean(axis=0)
    if lies(reference) and not driver.shown[[*KNEE, *ANKLE]].any():  # as a fish: its head leads
        place = place + (reference[NECK] - posed[:, NECK]).mean(axis=0)
    ankles = [ankle for ankle in ANKLE if driver.shown[ankle]]
    if ankles:
        lowest = driver.joints[:, ankles, 1].max(axis=1)
        ground = averaged(highest(lowest, driver.times, GROUND), driver.times, GROUND)
        lifted = scale * (ground - lowest).clip(0)
        feet = _standing_at(reference, driver, posed) - lifted - posed[:, ANKLE, 1].max(axis=1)
        place[:, 1] = feet
        if driver.shown[list(HIP)].any():
            # On average its feet stand there; its hips rise and sink as the driver's, however
            # unlike his its legs are.
            high = path[:, 1] - scale * ground
            place[:, 1] = feet.mean() + high - high.mean()
    return place


def _standing_at(reference: np.ndarray, driver: Driver, posed: np.ndarray) -> float:
    """y of the lower foot once it stands: where it is, or where the lowest joint of one on its head
    is. One who lay and gets up does so where his hips lay, as a leg may have lain towards the
    camera; nearer to it if the picture is too low for that."""
    hips, foot = reference[list(HIP)].mean(axis=0), float(reference[list(ANKLE), 1].max())
    if _points_down(reference[NECK] - hips):
        return float(reference[:, 1].max())
    rises = driver.shown[[NECK, *HIP]].all() and not lies(driver.joints.mean(axis=0))
    if not (rises and lies_stretched(reference)):
        return foot
    return min(foot, max(float(hips[1]), float(np.ptp(posed[..., 1], axis=1).max())))


def _stride(figure: Figure, posed: np.ndarray, path: np.ndarray, width: int) -> float:
    """In (0, 1]: what a way along x (n,) is multiplied by, so that the figure does not walk out of
    the picture."""
    low, high = figure.box
    margin = (high - low)[0] - np.ptp(figure.joints[:, 0])
    room = width - float(np.median(np.ptp(posed[..., 0], axis=1))) - margin
    return min(1.0, max(room, LEAST_STRIDE * width) / max(float(np.ptp(path)), 1e-6))


def _in_view(
    figure: Figure, joints: np.ndarray, panel: tuple[int, int]
) -> tuple[np.ndarray, float]:
    """Joints (n, 18, 2), moved aside and, about where the figure stands, made smaller, so that it
    stays in the picture with all that it shows there; and how large it is."""
    own, (low, high) = figure.joints, figure.box
    some = joints[:: max(1, len(joints) // LOOKED_AT)]
    boxes = np.array([box_of(figure, Goal(each, np.zeros(2))) for each in some])
    left, top = np.quantile(boxes[:, 0], SELDOM, axis=0)
    right = np.quantile(boxes[:, 1, 0], 1 - SELDOM)
    height, width = panel
    foot = np.array([own[list(HIP), 0].mean(), own[list(ANKLE), 1].max()])
    if lies(own) and not figure.seen[list(ANKLE)].any():  # a fish has none
        foot[1] = min(high[1], height)
    room = foot[1] - min(max(low[1], 0.0), 0.02 * height)
    size = min(1.0, room / max(foot[1] - top, 1.0), width / max(right - left, 1.0))
    # What reaches over the upper border may be cut off there; not if that is a side of one who lay.
    whole = low[1] > 1 or (lies(own) and not lies(joints.mean(axis=0)))
    size = max(size, LEAST_SIZE) if whole and foot[1] <= (1 + BEYOND_BORDER) * height else 1.0
    joints = foot + size * (joints - foot)
    left, right = (foot[0] + size * (each - foot[0]) for each in (left, right))
    aside = 0.0
    if right - left <= width + 1:
        aside = max(0.0, -left) - max(0.0, right - width)
    return joints + np.array([aside, 0]), size


def _foot_turns(reference: np.ndarray, joints: np.ndarray, driver: Driver) -> np.ndarray:
    """(n, 2) radians: a foot is level on the ground, and turns with its shin as it leaves it."""
    turns = []
    ground = reference[list(ANKLE), 1].max()
    for knee, ankle in zip(KNEE, ANKLE, strict=True):
        own = reference[ankle] - reference[knee]
        shin = _wrapped(_angle(joints[:, ankle] - joints[:, knee]) - _angle(own))
        up = (ground - joints[:, ankle, 1]) / max(np.linalg.norm(own), 1e-6)
        up = up - max(0.0, (ground - reference[ankle, 1]) / max(np.linalg.norm(own), 1e-6))
        turns.append(shin * (2 * up).clip(0, 1))
    return np.stack(turns, axis=1)


def _angle(vectors: np.ndarray) -> np.ndarray:
    return np.arctan2(vectors[..., 1], vectors[..., 0])


def _wrapped(angle: np.ndarray) -> np.ndarray:
    return (angle + np.pi) % (2 * np.pi) - np.pi


def main_bodies(joints: np.ndarray, count: int) -> list[int]:
    """Which of p bodies (t, p, 18, 3) are followed, at most count: who are seen longest and
    largest, from the left to the right."""
    seen = joints[..., 2:] >= SEEN
    low = np.where(seen, joints[..., :2], np.inf).min(axis=2)
    high = np.where(seen, joints[..., :2], -np.inf).max(axis=2)
    sizes = np.where(np.isfinite(high), high - low, 0).max(axis=-1).sum(axis=0)
    largest = [int(k) for k in np.argsort(-sizes, kind="stable")[:count] if sizes[k] > 0]
    place = {k: float(np.median(joints[:, k, :, 0][seen[:, k, :, 0]])) for k in largest}
    return sorted(largest, key=place.__getitem__)
