"""A body on four legs that performs what another one does.

Its trunk lies along the view as often as across it, so that a picture shows all of its length, or
hardly any. So the driver's bones are taken over as his picture shows them, and made as many times
longer as the figure's trunk, or its legs, are than his; how long a trunk is altogether is told by
how far apart its shoulders are.
"""

from __future__ import annotations

import numpy as np

from ... import skeleton
from .moment import likeness

BREADTH = 0.35  # of a trunk's length: from shoulder to shoulder; of dogs, deer, cattle alike
REACHED = (
    0.9  # quantile over time of how high a trunk is above its feet, when the legs are straight
)
GROUNDED = 0.5  # how much the ground says of where it is, beside the place that it sets out from
ON_ARMS = 0.6  # of the way from the hips down to the ankles: so far down hands reach that are feet
LEAPS = 0.1  # of a trunk's length: with all feet so high it sets out in the air
STRETCHED = -0.5  # cosine of trunk and legs: whose legs go on so is somebody lying, not on four
FOUR_LEGS = (
    skeleton.NECK,
    *skeleton.HIP,
    *skeleton.SHOULDER,
    *skeleton.KNEE,
    *skeleton.ANKLE,
    *skeleton.ELBOW,
    *skeleton.WRIST,
)


def rotated(vectors: np.ndarray, angle: np.ndarray | float) -> np.ndarray:
    """Vectors (..., 2) turned by angles (...)."""
    cos, sin = np.cos(angle), np.sin(angle)
    x, y = vectors[..., 0], vectors[..., 1]
    return np.stack([cos * x - sin * y, sin * x + cos * y], axis=-1)


def is_on_four(joints: np.ndarray, shown: np.ndarray) -> bool:
    """Whether joints (n, 18, 2) are of a body whose trunk lies, on the whole, above its limbs; or
    which comes towards the camera, and stands on its arms, too."""
    if not shown[list(FOUR_LEGS)].all():
        return False
    trunk = np.abs(_spine(joints).mean(axis=0))
    heights = joints[..., 1].mean(axis=0)
    hip, neck, elbow, knee, wrist, ankle = (
        heights[np.atleast_1d(joint)].mean()
        for joint in (
            skeleton.HIP,
            skeleton.NECK,
            skeleton.ELBOW,
            skeleton.KNEE,
            skeleton.WRIST,
            skeleton.ANKLE,
        )
    )
    if trunk[0] > trunk[1]:
        return bool((knee + elbow) / 2 > (2 * hip + neck) / 3)
    return bool(ankle > hip and wrist - hip >= ON_ARMS * (ankle - hip) and elbow > neck)


def keep_trunk_whole(parts: np.ndarray, joints: np.ndarray) -> None:
    """What of parts (h, w) lies above the joint from which a leg hangs is none of that leg's."""
    rows = np.arange(len(parts))[:, None] + 0.5
    for start, limb in (
        (skeleton.SHOULDER, (skeleton.UPPER_ARM, skeleton.FOREARM)),
        (skeleton.HIP, (skeleton.THIGH, skeleton.SHIN)),
    ):
        for side in (0, 1):
            own = np.isin(parts, [part[side] for part in limb])
            parts[own & (rows < joints[start[side], 1])] = skeleton.TORSO


def posed_on_four(reference: np.ndarray, joints: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A figure (18, 2) as it does what joints (n, 18, 2) do: its joints (n, 18, 2), the middle of
    its trunk where the picture has it, and how far it goes from there (n, 2)."""
    own = reference[None]
    high, seen = _heights(own)[0].sum(), np.quantile(_heights(joints), REACHED, axis=0).sum()
    length, of_driver = _length(own)[0], np.median(_length(joints))
    bones, bones_seen = _legs(own)[0] / 2, np.median(_legs(joints)) / 2
    along = length / max(of_driver, 1e-6)
    legs = (high + length + bones) / max(seen + of_driver + bones_seen, 1e-6)
    centre = _middle(joints)
    trunk = [skeleton.NECK, *skeleton.HIP, *skeleton.SHOULDER]
    made = np.zeros(joints.shape)
    made[:, trunk] = along * (joints[:, trunk] - centre[:, None])
    for start, end in skeleton.LIMB_JOINTS.values():
        made[:, end] = made[:, start] + legs * (joints[:, end] - joints[:, start])
    face = list(skeleton.FACE_JOINTS)
    nod = rotated(
        legs * (joints[:, face] - joints[:, skeleton.NECK, None]), _carried(own[0], joints, made)
    )
    made[:, face] = made[:, skeleton.NECK, None] + nod
    scale = (along + legs) / 2
    here = _middle(own)[0]
    way = scale * (centre - centre.mean(axis=0))
    feet = _soles(joints)
    lifted = scale * (feet.max(axis=0) - feet).mean(axis=1)
    grounded = _soles(own)[0].mean() - lifted - _soles(made).mean(axis=1)
    set_out = scale * (centre[:, 1] - centre[0, 1])
    leaps = (feet.max(axis=0) - feet[0]).min() > LEAPS * of_driver
    share = 1.0 if leaps else GROUNDED
    way[:, 1] = share * (grounded - here[1]) + (1 - share) * set_out
    return made + here, way


def _carried(own: np.ndarray, joints: np.ndarray, made: np.ndarray) -> float:
    """Radians by which a head of joints (18, 2) is held another way than the driver's (n, 18, 2) at
    the moment that the picture shows, where the figure is made as he is (n, 18, 2)."""
    likely, trust = likeness(own, made, float(np.ptp(own, axis=0).max()))
    x, y = (likely[:, None] * _muzzle(joints)).sum(axis=0)
    own_x, own_y = _muzzle(own[None])[0]
    apart = np.arctan2(own_y, own_x) - np.arctan2(y, x)
    return trust * float((apart + np.pi) % (2 * np.pi) - np.pi)


def _muzzle(joints: np.ndarray) -> np.ndarray:
    """(n, 2) from the neck to the middle of the face."""
    return joints[:, skeleton.FACE_JOINTS].mean(axis=1) - joints[:, skeleton.NECK]


def _spine(joints: np.ndarray) -> np.ndarray:
    """(n, 2) from the middle of the hips to the neck."""
    return joints[:, skeleton.NECK] - joints[:, skeleton.HIP].mean(axis=1)


def lies(joints: np.ndarray) -> bool:
    """Whether the trunk of joints (18, 2) is longer along x than along y."""
    x, y = np.abs(_spine(joints[None])[0])
    return bool(x > y)


def lies_stretched(joints: np.ndarray) -> bool:
    """Whether somebody of joints (18, 2) lies whose legs go on as his trunk does; those of one on
    four do not."""
    trunk = _spine(joints[None])[0]
    legs = joints[list(skeleton.ANKLE)].mean(axis=0) - joints[list(skeleton.HIP)].mean(axis=0)
    along = trunk @ legs / max(float(np.linalg.norm(trunk) * np.linalg.norm(legs)), 1e-6)
    return lies(joints) and bool(along < STRETCHED)


def _middle(joints: np.ndarray) -> np.ndarray:
    """(n, 2) about which trunks turn, nearer to the hips: of joints (n, 18, 2)."""
    return joints[:, [skeleton.NECK, *skeleton.HIP]].mean(axis=1)


def _soles(joints: np.ndarray) -> np.ndarray:
    """(n, 2) y of the lower forefoot and of the lower hind foot."""
    return np.stack(
        [joints[:, pair, 1].max(axis=1) for pair in (skeleton.WRIST, skeleton.ANKLE)], axis=1
    )


def _heights(joints: np.ndarray) -> np.ndarray:
    """(n, 2) how high the trunk's ends are above those feet."""
    ends = np.stack([joints[:, skeleton.NECK, 1], joints[:, skeleton.HIP, 1].mean(axis=1)], axis=1)
    return _soles(joints) - ends


def _length(joints: np.ndarray) -> np.ndarray:
    """(n,) of the trunk, however it is turned about the upright."""
    apart = joints[:, skeleton.SHOULDER[0], 0] - joints[:, skeleton.SHOULDER[1], 0]
    return np.hypot(_spine(joints)[:, 0], apart / BREADTH)


def _legs(joints: np.ndarray) -> np.ndarray:
    """(n,) lengths of all their bones together."""
    bones = [joints[:, end] - joints[:, start] for start, end in skeleton.LIMB_JOINTS.values()]
    return np.linalg.norm(np.stack(bones), axis=2).sum(axis=0)
