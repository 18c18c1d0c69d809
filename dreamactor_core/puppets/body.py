"""Where a puppet's joints are: one forward kinematics for every body plan.

World units are panel heights, x to the right, y down, origin at the top left corner of a square
panel. Joints and parts are numbered as in skeleton.py, so that joints are the pose of the clip as
well.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..skeleton import (
    ANKLE,
    EAR,
    ELBOW,
    EYE,
    FOOT,
    FOREARM,
    HEAD,
    HIP,
    KNEE,
    NECK,
    NOSE,
    PARTS,
    SHIN,
    SHOULDER,
    THIGH,
    TORSO,
    UPPER_ARM,
    WRIST,
)
from .identity import Identity
from .motion import Motion


@dataclass(frozen=True)
class Body:
    joints: np.ndarray  # (t, 18, 2)
    pelvis: np.ndarray  # (t, 2)
    head: np.ndarray  # (t, 2) centre
    up: np.ndarray  # (t, 2) unit vector of the torso
    head_up: np.ndarray  # (t, 2) unit vector of the head


def solve(who: Identity, motion: Motion) -> Body:
    """Joints of `who` in every frame of the motion, standing on its ground line."""
    return _quadruped(who, motion) if who.plan.on_four else _upright(who, motion)


def places(who: Identity, body: Body) -> np.ndarray:
    """Where the parts of a body are, (t, PARTS, 2, 3): of part coordinates (u, v, 1) the world's.

    The last column is a joint, the first two are the part's axes, so what is drawn on a part has
    the same part coordinates in every frame.
    """
    j = body.joints
    found = np.zeros((len(j), PARTS + 1, 2, 3))

    def put(part: int, origin: np.ndarray, along: np.ndarray, across: np.ndarray | None = None):
        found[:, part] = np.stack([along, _across(along) if across is None else across, origin], -1)

    if who.plan.on_four:
        put(TORSO, body.pelvis, j[:, NECK] - body.up * 0.05 * who.height - body.pelvis)
    else:
        put(TORSO, body.pelvis, body.up)
    put(HEAD, body.head, body.head_up)
    level = np.broadcast_to([1.0, 0.0], (len(j), 2))
    for side in (0, 1):
        shoulder, elbow, wrist = (j[:, joint[side]] for joint in (SHOULDER, ELBOW, WRIST))
        hip, knee, ankle = (j[:, joint[side]] for joint in (HIP, KNEE, ANKLE))
        if who.plan.arms == "wings":
            put(UPPER_ARM[side], shoulder, *wing_axes(shoulder, wrist))
        else:
            put(UPPER_ARM[side], shoulder, elbow - shoulder)
        put(FOREARM[side], elbow, wrist - elbow)
        put(THIGH[side], hip, knee - hip)
        put(SHIN[side], knee, ankle - knee)
        put(FOOT[side], ankle, level)
    return found[:, TORSO:]


def wing_axes(shoulder: np.ndarray, wrist: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(..., 2) along a bird's wing, and across it to the side that points down."""
    along = wrist - shoulder
    across = _across(along)
    return along, np.where(across[..., 1:] > 0, across, -across)


def _vector(angle: np.ndarray) -> np.ndarray:
    """Angle from straight up, clockwise in the picture -> unit vectors (..., 2)."""
    return np.stack([np.sin(angle), -np.cos(angle)], axis=-1)


def _across(up: np.ndarray) -> np.ndarray:
    """The unit vector a quarter turn clockwise of up: to the right of the picture."""
    return np.stack([-up[..., 1], up[..., 0]], axis=-1)


def _upright(who: Identity, motion: Motion) -> Body:
    joints = np.zeros((len(motion), 18, 2))
    up, scale = _vector(motion.lean), who.height
    right = _across(up)
    segment = who.leg / 2 * scale

    legs = np.zeros((len(motion), 2, 2, 2))  # side, (knee, ankle), seen from the hip
    for side in (0, 1):
        hip, knee = motion.legs[:, side, 0], motion.legs[:, side, 1]
        legs[:, side, 0] = -segment * _vector(-hip)
        legs[:, side, 1] = legs[:, side, 0] - segment * _vector(-(hip + knee))
    # The lower foot stands on the ground; a jump lifts it.
    reach = legs[:, :, 1, 1].max(axis=1)
    pelvis = np.stack(
        [who.base_x + motion.root[:, 0] * scale, who.ground - reach - motion.root[:, 1] * scale],
        axis=-1,
    )
    neck = pelvis + up * who.torso_length * scale
    joints[:, NECK] = neck
    for side, sign in ((0, -1), (1, 1)):
        joints[:, HIP[side]] = pelvis + right * sign * who.hip * 0.7 * scale
        joints[:, KNEE[side]] = joints[:, HIP[side]] + legs[:, side, 0]
        joints[:, ANKLE[side]] = joints[:, HIP[side]] + legs[:, side, 1]
        shoulder = neck - up * 0.04 * scale + right * sign * who.shoulder * scale
        joints[:, SHOULDER[side]] = shoulder
        upper, fore = motion.arms[:, side, 0], motion.arms[:, side].sum(axis=-1)
        # An arm hangs along the torso; its angle opens outwards.
        joints[:, ELBOW[side]] = shoulder - _turn(up, -sign * upper) * who.arm * 0.5 * scale
        joints[:, WRIST[side]] = (
            joints[:, ELBOW[side]] - _turn(up, -sign * fore) * who.arm * 0.5 * scale
        )
    head_up = _turn(up, motion.head)
    radius = who.head_size * scale
    head = (
        neck + head_up * radius * 0.95
        if who.plan.head != "in torso"
        else neck - up * 0.45 * who.torso_length * scale
    )
    put_face(joints, head, head_up, radius, motion.turn)
    return Body(joints, pelvis, head, up, head_up)


def _quadruped(who: Identity, motion: Motion) -> Body:
    """Seen from the side: arms are the forelegs, legs the hind legs, leaning pitches the spine."""
    joints = np.zeros((len(motion), 18, 2))
    scale, f = who.height, who.facing
    pitch = 0.55 * motion.lean + 0.12 * np.clip(motion.arms[..., 0].mean(axis=1) - 0.6, 0, 2)
    spine = np.stack([f * np.cos(pitch), -np.sin(pitch)], axis=-1)
    up = f * np.stack([spine[:, 1], -spine[:, 0]], axis=-1)
    length, segment = (who.torso_length + 0.25) * scale, who.leg / 2 * scale

    reach = np.zeros((len(motion), 2, 2, 2))
    for side in (0, 1):
        hip, knee = 0.8 * motion.legs[:, side, 0], 0.6 * motion.legs[:, side, 1]
        reach[:, side, 0] = -segment * _vector(-hip)
        reach[:, side, 1] = reach[:, side, 0] - segment * _vector(-(hip + knee))
    pelvis = np.stack(
        [
            who.base_x - f * length / 2 + motion.root[:, 0] * scale,
            who.ground - reach[:, :, 1, 1].max(axis=1) - motion.root[:, 1] * scale,
        ],
        axis=-1,
    )
    front = pelvis + spine * length
    joints[:, NECK] = front + up * 0.05 * scale
    for side, sign in ((0, -1), (1, 1)):
        apart = spine * sign * 0.035 * scale
        joints[:, HIP[side]] = pelvis + apart
        joints[:, KNEE[side]] = joints[:, HIP[side]] + reach[:, side, 0]
        joints[:, ANKLE[side]] = joints[:, HIP[side]] + reach[:, side, 1]
        upper = 0.6 * (motion.arms[:, side, 0] - 0.5)
        fore = upper - 0.5 * motion.arms[:, side, 1]
        joints[:, SHOULDER[side]] = front + apart
        joints[:, ELBOW[side]] = joints[:, SHOULDER[side]] - segment * _vector(-f * upper)
        joints[:, WRIST[side]] = joints[:, ELBOW[side]] - segment * _vector(-f * fore)
    head_up = _turn(up, motion.head + f * 0.15)
    radius = who.head_size * scale
    head = front + spine * radius * 0.7 + up * radius * 1.5
    put_face(joints, head, head_up, radius, 0.6 * f + 0.3 * motion.turn)
    return Body(joints, pelvis, head, up, head_up)


def _turn(vectors: np.ndarray, angle: np.ndarray) -> np.ndarray:
    """Turn (t, 2) vectors clockwise in the picture by (t,) radians."""
    c, s = np.cos(angle), np.sin(angle)
    x, y = vectors[..., 0], vectors[..., 1]
    return np.stack([c * x - s * y, s * x + c * y], axis=-1)


def put_face(
    joints: np.ndarray, head: np.ndarray, up: np.ndarray, radius: float, turn: np.ndarray
) -> None:
    """Nose, eyes and ears of joints (t, 18, 2), in place: head (t, 2) is the middle, up (t, 2) a
    unit vector, turn (t,) from -1 to 1 how far it looks to its up's right."""
    right = _across(up)
    ahead = right * (turn * 0.45 * radius)[:, None]
    joints[:, NOSE] = head + ahead - up * 0.1 * radius
    for side, sign in ((0, -1), (1, 1)):
        joints[:, EYE[side]] = head + ahead + right * sign * 0.38 * radius + up * 0.18 * radius
        joints[:, EAR[side]] = head + right * sign * 0.95 * radius - ahead * 0.4
