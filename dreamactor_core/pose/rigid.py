"""A reference that is moved as a whole, where nobody knows its limbs: nothing is torn off.

What moves is the figure, if its outline is known, over the ground behind it; else the picture. It
goes, grows and leans as the driver's trunk does, or goes as the largest region of the driver that
moves, if that is about all that moves; a figure leans as a reed does, on feet that stand.
"""

from __future__ import annotations

import math
from collections.abc import Container, Iterable, Iterator
from typing import NamedTuple

import cv2
import numpy as np

from ..geometry import EVERY_FRAME
from ..media import smaller
from ..skeleton import HIP, NECK, SHOULDER
from .draw import MIN_CONFIDENCE
from .guides import CLEAR

RIGID_SMOOTHED = 0.15  # seconds: standard deviation of the average over time
GROWTH = (0.7, 1.4)  # of its usual size: least and most
BENDING = 1.2  # times its usual size: so much longer or shorter a trunk seems by bending alone
LEAN = 0.6  # radians, at most
BEND_UP = 0.5  # of its height: so far up a figure that leans is bent
MAY_LEAVE = 0.12  # of its width and height: so much of a figure may leave the picture
BORDER_SEEN = 0.13  # of its longer side: so much of what is beyond its borders may be seen
SWAY = 0.06  # of its longer side: so far a whole picture moves at most
TRUNK_SHARE = 0.3  # of a body's height: from the hips to the neck
SHOULDER_SHARE = 0.22  # of a body's height: from shoulder to shoulder
REGION_SIDE = 96  # pixels of the longer side at which a moving region is sought
MOVING = 0.08  # of full brightness: what differs so far from the usual picture moves
LEAST_REGION = 0.002  # of the picture


class RigidMotion(NamedTuple):
    """How something goes as a whole, against where and how it is on the whole."""

    times: np.ndarray  # (n,) seconds, rising
    way: np.ndarray  # (n, 2) x to the right, y down, in its own heights
    growth: np.ndarray  # (n,) factor
    lean: np.ndarray  # (n,) radians, clockwise

    def behind(self, count: int) -> RigidMotion:
        """The same behind so many frames of rest."""
        rest = np.zeros((count, 2))
        times = np.concatenate([np.zeros(count), self.times])
        growth = np.concatenate([np.ones(count), self.growth])
        lean = np.concatenate([np.zeros(count), self.lean])
        return RigidMotion(times, np.concatenate([rest, self.way]), growth, lean)

    def at(self, times: np.ndarray) -> RigidMotion:
        """At other times, straight between its own."""
        columns = [*self.way.T, self.growth, self.lean]
        x, y, growth, lean = (np.interp(times, self.times, column) for column in columns)
        return RigidMotion(np.asarray(times), np.stack([x, y], axis=1), growth, lean)


def motion_of_body(body: np.ndarray, times: np.ndarray) -> RigidMotion | None:
    """Of somebody's joints (n, 18, 3): x, y in one unit along both axes, confidence. None for who
    shows neither trunk nor shoulders."""
    seen = body[..., 2] >= MIN_CONFIDENCE
    xy = body[..., :2]
    hips, neck = xy[:, HIP].mean(axis=1), xy[:, NECK]
    trunk = seen[:, [NECK, *HIP]].all(axis=1)
    if trunk.sum() >= 2:
        up, place, share, here = neck - hips, hips, TRUNK_SHARE, trunk
    else:
        here = seen[:, list(SHOULDER)].all(axis=1)
        if here.sum() < 2:
            return None
        across = xy[:, SHOULDER[1]] - xy[:, SHOULDER[0]]
        up = np.stack([across[:, 1], -across[:, 0]], axis=1)
        place, share = xy[:, SHOULDER].mean(axis=1), SHOULDER_SHARE
    size = np.linalg.norm(up, axis=1) / share
    lean = np.unwrap(np.arctan2(up[here, 0], -up[here, 1]))
    lean = lean - np.median(lean)
    return _motion(np.asarray(times)[here], place[here], size[here], lean)


def motion_of_region(frames: Iterable[np.ndarray], times: np.ndarray) -> RigidMotion:
    """Of the largest region that moves in frames (h, w, 3) uint8: where it is. It never grows, for
    what moves of somebody becomes more and less; and goes the less, the more moves beside it, for
    it leaps from one part to another then. One in which nothing moves stands still."""
    clip = np.stack([smaller(frame, REGION_SIDE) for frame in frames]).astype(np.float32) / 255
    usual = np.median(clip[:: max(1, len(clip) // 64)], axis=0)
    places, sizes, shares, here = [], [], [], []
    for number, frame in enumerate(clip):
        moving = cv2.GaussianBlur(np.abs(frame - usual).max(axis=-1), (0, 0), 1.5) > MOVING
        _, _, stats, centres = cv2.connectedComponentsWithStats(moving.astype(np.uint8))
        areas = stats[1:, cv2.CC_STAT_AREA]
        if len(areas) and areas.max() >= LEAST_REGION * moving.size:
            largest = 1 + int(areas.argmax())
            places.append(centres[largest])
            sizes.append(float(np.sqrt(stats[largest, cv2.CC_STAT_AREA])))
            shares.append(float(areas.max() / areas.sum()))
            here.append(number)
    times = np.asarray(times)
    if len(here) < 2:
        still = np.zeros(len(times))
        return RigidMotion(times, np.zeros((len(times), 2)), still + 1, still)
    moved = _motion(times[here], np.stack(places), np.array(sizes), np.zeros(len(here)))
    alone = max(0.0, 2 * float(np.median(shares)) - 1)
    return moved._replace(way=alone * moved.way, growth=np.ones(len(here)))


def _motion(
    times: np.ndarray, places: np.ndarray, sizes: np.ndarray, lean: np.ndarray
) -> RigidMotion:
    """Of places (n, 2) and sizes (n,) in the same unit, at times: smoothed."""
    usual = max(float(np.median(sizes)), 1e-6)
    apart = (times[:, None] - times[None]) / RIGID_SMOOTHED
    weight = np.exp(-(apart**2) / 2)
    weight /= weight.sum(axis=1, keepdims=True)
    way = (weight @ places - places.mean(axis=0)) / usual
    size = weight @ (sizes / usual)
    growth = np.where(size > 1, (size / BENDING).clip(1), (size * BENDING).clip(max=1))
    growth = growth.clip(*GROWTH)
    return RigidMotion(times, way, growth, (weight @ lean).clip(-LEAN, LEAN))


def paint_rigid(
    picture: np.ndarray,
    mask: np.ndarray | None,
    motion: RigidMotion,
    canvases: Iterable[np.ndarray],
    wanted: Container[int] = EVERY_FRAME,
) -> Iterator[np.ndarray]:
    """A frame (h, w, 4) uint8, colours times coverage and coverage, for each time of the motion;
    in the place of one that is not wanted the last before it.

    picture (h, w, 3) uint8; mask (h, w) in [0, 1]: the figure, which moves over the canvases
    (h, w, 4) and stays in the picture. Without one all of the picture moves, a little; what comes
    in from beyond its borders is their colours, blurred; the canvases are not seen.
    """
    height, width = picture.shape[:2]
    if mask is None:
        about, tall = np.array([width / 2, height / 2]), float(max(height, width))
        motion = _within(motion, SWAY)
        share = np.ones((height, width), np.float32)
    else:
        rows, columns = np.nonzero(mask >= CLEAR)
        low = np.array([columns.min(), rows.min()])
        high = np.array([columns.max() + 1, rows.max() + 1])
        tall, about = float(high[1] - low[1]), np.array([(low[0] + high[0]) / 2, high[1]])
        room = _room(motion.way, low, high, tall, np.array([width, height]))
        motion = motion._replace(way=room)
        motion = motion._replace(lean=_room_to_lean(motion, low, high, tall, width))
        most = (about[1] / tall + motion.way[:, 1] + MAY_LEAVE).clip(1)
        motion = motion._replace(growth=np.minimum(motion.growth, most))
        share = np.clip(mask, 0, 1).astype(np.float32)
    cutout = np.dstack([picture * share[..., None], 255 * share]).astype(np.float32)
    beyond = _extended(cutout, math.ceil(BORDER_SEEN * tall)) if mask is None else cutout
    last: np.ndarray | None = None
    for k, canvas in zip(range(len(motion.times)), canvases, strict=False):
        if last is not None and k not in wanted:
            yield last
            continue
        if mask is None:
            place = _placed(about, motion, k, tall)
            place[:, 2] -= place[:, :2] @ np.full(2, (len(beyond) - height) / 2)
            moved = cv2.warpAffine(beyond, place, (width, height), borderMode=cv2.BORDER_REPLICATE)
        else:
            where = _bent(about, motion, k, tall, (height, width))
            moved = cv2.remap(cutout, *where, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)
        over = moved + (1 - moved[..., 3:] / 255) * canvas
        last = np.rint(over).clip(0, 255).astype(np.uint8)
        yield last


def _extended(picture: np.ndarray, pad: int) -> np.ndarray:
    """A picture (h, w, c) float32 with `pad` pixels around it: of the nearest colour of its border,
    softer the further away, so that nothing that is written there is to be read again."""
    height, width = picture.shape[:2]
    kind = cv2.BORDER_REPLICATE
    around = cv2.copyMakeBorder(picture, pad, pad, pad, pad, kind)
    soft = cv2.GaussianBlur(around, (0, 0), pad / 3, borderType=kind)
    y, x = np.ogrid[-pad : height + pad, -pad : width + pad]
    outside = [np.maximum(-at, at - side + 1).clip(0) for at, side in ((y, height), (x, width))]
    share = (np.maximum(*outside) / max(1, pad / 4)).clip(max=1).astype(np.float32)[..., None]
    return share * soft + (1 - share) * around


def _placed(about: np.ndarray, motion: RigidMotion, k: int, tall: float) -> np.ndarray:
    """cv2's matrix (2, 3) of frame k: turned and grown about a point (2,), then moved."""
    turn = cv2.getRotationMatrix2D(
        tuple(about.tolist()), -np.degrees(motion.lean[k]), float(motion.growth[k])
    )
    turn[:, 2] += tall * motion.way[k]
    return turn


def _room_to_lean(
    motion: RigidMotion, low: np.ndarray, high: np.ndarray, tall: float, width: int
) -> np.ndarray:
    """(n,) leans of a motion, none so far that more of a figure than may would leave the picture at
    its sides."""
    lost = MAY_LEAVE * (high - low)[0]
    on_left = (low[0] + lost) / tall + motion.way[:, 0]
    on_right = (width - high[0] + lost) / tall - motion.way[:, 0]
    at_top = 1 - BEND_UP / 2
    least, most = (np.arctan(room.clip(0) / at_top) for room in (on_left, on_right))
    return motion.lean.clip(-least, most)


def _bent(
    about: np.ndarray, motion: RigidMotion, k: int, tall: float, size: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray]:
    """Where (x, y), each (h, w) float32, a figure of frame k shows what is to be drawn: grown about
    a point (2,) and moved, and bent aside above it, all the more the higher, from BEND_UP on
    straight."""
    y, x = np.ogrid[: size[0], : size[1]]
    origin, growth = about - 0.5 + tall * motion.way[k], float(motion.growth[k])
    up = (origin[1] - y) / growth
    high = (up / tall).clip(0)
    bend = np.where(high < BEND_UP, high**2 / (2 * BEND_UP), high - BEND_UP / 2)
    aside = tall * np.tan(motion.lean[k]) * bend
    from_x = (x - origin[0]) / growth - aside + about[0] - 0.5
    from_y = about[1] - 0.5 - np.broadcast_to(up, from_x.shape)
    return from_x.astype(np.float32), from_y.astype(np.float32)


def _within(motion: RigidMotion, most: float) -> RigidMotion:
    """The same motion, so much smaller that it goes no further than `most`, nor grows or leans."""
    far = float(np.abs(motion.way).max(initial=0))
    less = min(1.0, most / max(far, 1e-9))
    growth = 1 + (motion.growth - 1).clip(-most, most)
    return motion._replace(way=motion.way * less, growth=growth, lean=motion.lean.clip(-most, most))


def _room(
    way: np.ndarray, low: np.ndarray, high: np.ndarray, tall: float, size: np.ndarray
) -> np.ndarray:
    """Ways (n, 2) along x and y, each made so much smaller that most of the figure stays seen."""
    lost = MAY_LEAVE * (high - low)
    before = (low + lost) / tall  # how far it may go to the left, and up
    behind = (size - high + lost) / tall
    least = np.minimum(before / np.maximum(-way.min(axis=0), 1e-9), 1)
    most = np.minimum(behind / np.maximum(way.max(axis=0), 1e-9), 1)
    return way * np.minimum(least, most)
