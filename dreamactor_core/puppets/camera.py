"""How a clip's camera sees: framing, pans and zoom, shadows on the ground, lens and film.

A view is (pan x, pan y, zoom): pans in panel heights from the panel's middle, zoom 1 for all of it.
"""

from __future__ import annotations

import cv2
import numpy as np

from ..pose.keypoints import Pose
from ..skeleton import ANKLE, HIP, SHOULDER
from .body import Body, places
from .scene import Appearance

View = tuple[float, float, float]

WHOLE_PANEL: View = (0.0, 0.0, 1.0)
CLOSEST = 2.6  # zoom of half-body framing at most
OUTSIDE = 0.1  # of the panel: a joint so far outside is none that a detector finds
UNSURE = 0.01  # its confidence


def views_of(appearance: Appearance, bodies: list[Body], camera: np.ndarray) -> np.ndarray:
    """(t, 3) views: the camera's (t, 3) upon the appearance's own framing."""
    if not appearance.crop:
        return camera
    who, body = appearance.cast[0], bodies[0]
    top = body.head[0, 1] - 1.4 * who.head_size * who.height
    zoom = min(0.92 / (appearance.crop * (who.ground - top)), CLOSEST)
    pan = np.array([body.pelvis[0, 0] - 0.5, top + 0.42 / zoom - 0.5])
    return np.concatenate([pan + camera[:, :2] / zoom, zoom * camera[:, 2:]], axis=1)


def through(backdrop: np.ndarray, view: View) -> np.ndarray:
    """The square backdrop as the view shows it; what lies beyond its border is mirrored."""
    if view == WHOLE_PANEL:
        return backdrop
    pan_x, pan_y, zoom = view
    size = len(backdrop)
    shift_x, shift_y = (size * (0.5 - (0.5 + pan) * zoom) for pan in (pan_x, pan_y))
    matrix = np.array([[zoom, 0, shift_x], [0, zoom, shift_y]])
    return cv2.warpAffine(
        backdrop, matrix, (size, size), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT
    )


def shaded(
    picture: np.ndarray, appearance: Appearance, bodies: list[Body], t: int, view: View
) -> np.ndarray:
    """The scene in frame t with the shadows of the bodies on the ground below them."""
    if not appearance.shadow:
        return picture
    size = len(picture)
    pan_x, pan_y, zoom = view
    dark = np.zeros((size, size), np.float32)
    for who, body in zip(appearance.cast, bodies, strict=True):
        x = body.joints[t, [*SHOULDER, *HIP, *ANKLE], 0]
        middle = np.array([(x.min() + x.max()) / 2 - pan_x, who.ground - pan_y])
        middle = size * ((middle - 0.5) * zoom + 0.5)
        wide = size * zoom * ((x.max() - x.min()) / 2 + 0.07 * who.height)
        axes = (max(1, round(wide)), max(1, round(0.22 * wide)))
        cv2.ellipse(dark, tuple(np.rint(middle).astype(int).tolist()), axes, 0, 0, 360, 1.0, -1)
    dark = cv2.GaussianBlur(dark, (0, 0), max(0.3, 0.02 * size * zoom))
    return np.rint(picture * (1 - appearance.shadow * dark[..., None])).astype(np.uint8)


def exposed(appearance: Appearance, picture: np.ndarray) -> np.ndarray:
    """The picture as the appearance's lens and film show it."""
    if appearance.blur:
        picture = cv2.GaussianBlur(picture, (0, 0), appearance.blur * len(picture) / 128)
    gain = appearance.gain
    return np.clip(picture * gain, 0, 255) if (gain != 1).any() else picture


def places_in(appearance: Appearance, bodies: list[Body], views: np.ndarray) -> np.ndarray:
    """The scene's place and those of every puppet's parts, (t, k, 2, 3), in shares of the panel."""
    world = [places(who, body) for who, body in zip(appearance.cast, bodies, strict=True)]
    still = np.broadcast_to(np.eye(2, 3), (len(views), 1, 2, 3))
    seen = np.concatenate([still, *world], axis=1) * views[:, None, None, None, 2]
    seen[..., 2] += 0.5 - (0.5 + views[:, None, :2]) * views[:, None, 2:]
    return seen


def in_picture(joints):
    """Joints (..., 2) in shares of the panel, NumPy's or torch's -> (...) bool: near enough to the
    picture to be found in it, see OUTSIDE."""
    return (abs(joints - 0.5) < 0.5 + OUTSIDE).all(-1)


def pose_in(bodies: list[Body], views: np.ndarray) -> Pose:
    """Joints of a square panel's puppets as a Pose, in shares of the canvas; hidden ones count as
    seen, those outside of the picture do not."""
    joints = np.stack([body.joints for body in bodies], axis=1)  # (t, p, 18, 2)
    pan, zoom = views[:, None, None, :2], views[:, None, None, 2:]
    seen = (joints - 0.5 - pan) * zoom + 0.5
    confidence = np.where(in_picture(seen), 1, UNSURE)[..., None]
    return body_pose(np.concatenate([seen, confidence], axis=-1))


def body_pose(joints: np.ndarray) -> Pose:
    """Joints (t, p, 18, 3) on a square canvas -> a Pose without hands, face and feet."""
    t, p = joints.shape[:2]
    hands, face, feet = (np.zeros((t, p, *shape, 3)) for shape in ((2, 21), (70,), (6,)))
    return Pose(body=joints, hands=hands, face=face, feet=feet, aspect=1.0)
