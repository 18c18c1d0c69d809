"""Frames of a figure whose joints have moved: layers turned and moved, hinges bent, back to front.

Canvases are (h, w, 4) uint8: colours times coverage, and coverage.
"""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np

from ...skeleton import ANKLE, FACE_JOINTS, FOOT, HEAD, HIP, LIMB_JOINTS, NECK, THIGH, TORSO
from .figure import Figure, Hinge, Layer, bisector, directions
from .order import USUAL_ORDER, Drawn
from .skirt import bone_of

NO_BONE = 1e-3  # pixels: a shorter one points nowhere
RIM = 0.06  # of a hinge's radius: there it fades


class Goal(NamedTuple):
    """A figure in one frame."""

    joints: np.ndarray  # (18, 2)
    feet: np.ndarray  # (2,) radians that the feet are turned, right and left
    size: float = 1.0  # of the figure, against the picture's
    order: tuple[Drawn, ...] = USUAL_ORDER  # what is drawn, the hindmost first


Maps = dict[int, np.ndarray]  # (2, 3) of each part


def set_out(figure: Figure, first: Goal, count: int) -> list[Goal]:
    """From the picture to the first frame of a motion, count frames, gently."""
    share = np.linspace(0, 1, count, endpoint=False)
    ways = share * share * (3 - 2 * share)
    return [
        Goal(
            figure.joints + way * (first.joints - figure.joints),
            way * first.feet,
            1 + way * (first.size - 1),
            first.order,
        )
        for way in ways.tolist()
    ]


def draw_figure(canvas: np.ndarray, figure: Figure, goal: Goal) -> None:
    """Draw over a canvas, in place; what the figure lacks is left out."""
    maps = part_maps(figure, goal)
    for item in sorted(goal.order, key=lambda item: _part_of(item) not in figure.hidden):
        if isinstance(item, tuple):
            hinge = figure.hinges.get(item)
            if hinge is not None:
                _draw_hinge(canvas, figure, hinge, goal, maps)
        elif item in figure.layers:
            _draw_layer(canvas, figure.layers[item], maps[item])


def _part_of(item: Drawn) -> int:
    """The part itself, or the outer one of a hinge."""
    return item[1] if isinstance(item, tuple) else item


def part_maps(figure: Figure, goal: Goal) -> Maps:
    """(2, 3) of each part: from the picture's points (x, y, 1) to the frame's."""
    maps, size, joints, cut = {}, goal.size, figure.joints, figure.cut
    hips, goal_hips = (each[list(HIP)].mean(axis=0) for each in (joints, goal.joints))
    maps[TORSO] = bone_map((hips, joints[NECK]), (goal_hips, goal.joints[NECK]), size)
    nod = _angle_of_face(goal.joints) - _angle_of_face(joints)
    maps[HEAD] = turn_map(joints[NECK], goal.joints[NECK], nod, size)
    for part, ends in LIMB_JOINTS.items():
        maps[part] = bone_map(cut[list(ends)], goal.joints[list(ends)], size)
    if figure.skirt:
        maps[THIGH[0]] = bone_map(bone_of(joints), bone_of(goal.joints), size)
    for part, ankle, angle in zip(FOOT, ANKLE, goal.feet, strict=True):
        maps[part] = turn_map(cut[ankle], goal.joints[ankle], float(angle), size)
    return maps


def _angle_of_face(joints: np.ndarray) -> float:
    x, y = joints[list(FACE_JOINTS)].mean(axis=0) - joints[NECK]
    return float(np.arctan2(y, x))


def box_of(figure: Figure, goal: Goal) -> tuple[np.ndarray, np.ndarray]:
    """The left top and the right bottom corner (2,) of all that is drawn of a figure."""
    maps = part_maps(figure, goal)
    corners = [
        _corners(layer) @ maps[part][:, :2].T + maps[part][:, 2]
        for part, layer in figure.layers.items()
    ]
    points = np.concatenate(corners)
    return points.min(axis=0), points.max(axis=0)


def _corners(layer: Layer) -> np.ndarray:
    """(4, 2) of a layer in the picture."""
    height, width = layer.pixels.shape[:2]
    return np.array([[0, 0], [width, 0], [0, height], [width, height]]) + np.array(
        layer.corner, float
    )


def turn_map(origin: np.ndarray, place: np.ndarray, angle: float, size: float) -> np.ndarray:
    """(2, 3): turned by an angle about origin, which comes to place, and `size` times as large."""
    cos, sin = size * np.cos(angle), size * np.sin(angle)
    turn = np.array([[cos, -sin], [sin, cos]])
    return np.column_stack([turn, place - turn @ origin])


Bone = np.ndarray | tuple[np.ndarray, np.ndarray]  # its two ends, (2,) each


def bone_map(bone: Bone, goal: Bone, size: float) -> np.ndarray:
    """(2, 3): a bone comes to lie where its goal is, drawn out or pressed together along itself;
    across it is `size` times as large."""
    own, wanted = bone[1] - bone[0], goal[1] - goal[0]
    length, far = (float(np.linalg.norm(each)) for each in (own, wanted))
    if min(length, far) < NO_BONE:
        return turn_map(bone[0], goal[0], 0.0, size)
    before, now = (np.array([[x, -y], [y, x]]) for x, y in (own / length, wanted / far))
    linear = now @ np.diag([far / length, size]) @ before.T
    return np.column_stack([linear, goal[0] - linear @ bone[0]])


def _draw_layer(canvas: np.ndarray, layer: Layer, place: np.ndarray) -> None:
    corner = np.array(layer.corner, float)
    moved = _corners(layer) @ place[:, :2].T + place[:, 2]
    low, high = _bounds(canvas, moved.min(axis=0) - 1, moved.max(axis=0) + 1)
    if (high <= low).any():
        return
    # cv2 counts from the middle of the first pixel.
    shift = place[:, :2] @ (corner + 0.5) + place[:, 2] - 0.5 - low
    matrix = np.column_stack([place[:, :2], shift])
    size = tuple((high - low).tolist())
    warped = cv2.warpAffine(layer.pixels, matrix, size, flags=cv2.INTER_CUBIC)
    _over(canvas, warped, low)


def _draw_hinge(canvas: np.ndarray, figure: Figure, hinge: Hinge, goal: Goal, maps: Maps) -> None:
    """What is about the joint is turned about it, all the less the nearer it is to the inner part.

    With u and v the unit vectors of both bones from the joint on, n that of v - u, and b the angle
    between the turns of the two parts, a point at d from the joint is turned by

        first + b smoothstep(1/2 + (n . d - beyond) / 2 z)       z = bent + |d| |sin(b / 2)|

    so that on the outer side, where the parts gape, all is bent, as far out as the gap is wide.
    """
    joining = hinge.joining
    joint, place = figure.cut[joining.joint], goal.joints[joining.joint]
    radius = hinge.radius * goal.size
    low, high = _bounds(canvas, place - radius - 1, place + radius + 1)
    if (high <= low).any():
        return
    x, y = (np.arange(a, b) + 0.5 - at for a, b, at in zip(low, high, place, strict=True))
    off = np.stack(np.meshgrid(x, y), axis=-1).astype(np.float32) / np.float32(goal.size)
    far = cv2.magnitude(off[..., 0], off[..., 1])
    first, second = (_turn_of(maps[part]) for part in (joining.inner, joining.outer))
    bend = (second - first + np.pi) % (2 * np.pi) - np.pi
    across = off @ bisector(*directions(joining, goal.joints)).astype(np.float32) - hinge.beyond
    share = across / (2 * (hinge.bent + far * abs(np.sin(bend / 2)))) + 0.5
    inside = (far < hinge.radius) & (share > 0) & (share < 1)
    share = share.clip(0, 1)
    angle = -(first + share * share * (3 - 2 * share) * bend)
    cos, sin = np.cos(angle), np.sin(angle)
    middle = joint - hinge.layer.corner - 0.5
    pixels = cv2.remap(
        hinge.layer.pixels,
        (cos * off[..., 0] - sin * off[..., 1] + middle[0]).astype(np.float32),
        (sin * off[..., 0] + cos * off[..., 1] + middle[1]).astype(np.float32),
        cv2.INTER_CUBIC,
        borderMode=cv2.BORDER_CONSTANT,
    )
    soft = ((hinge.radius - far) / max(1.0, RIM * hinge.radius)).clip(0, 1) * inside
    _over(canvas, np.rint(pixels * soft[..., None]).astype(np.uint8), low)


def _turn_of(place: np.ndarray) -> float:
    """How far a part is turned, as the axis that is not drawn out says it."""
    linear = place[:, :2]
    u, _, v = np.linalg.svd(linear)
    turn = u @ v
    return float(np.arctan2(turn[1, 0], turn[0, 0]))


def _bounds(canvas: np.ndarray, low: np.ndarray, high: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    size = np.array(canvas.shape[1::-1])
    return np.floor(low).astype(int).clip(0, size), np.ceil(high).astype(int).clip(0, size)


def _over(canvas: np.ndarray, pixels: np.ndarray, low: np.ndarray) -> None:
    """Pixels, as a canvas's, over the canvas from its point low on."""
    height, width = pixels.shape[:2]
    here = canvas[low[1] : low[1] + height, low[0] : low[0] + width]
    cover = cv2.merge([pixels[..., 3]] * 4)
    pixels = cv2.min(pixels, cover)  # cubic interpolation goes beyond
    here[:] = cv2.add(pixels, cv2.multiply(here, 255 - cover, scale=1 / 255))
