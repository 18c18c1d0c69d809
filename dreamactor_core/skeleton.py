"""The body that everything here speaks of: OpenPose's 18 joints, and the parts that hang on them.

Joints are numbered as OpenPose's COCO model numbers them. A part is what moves as one: torso, head,
two parts of each limb, and feet. Parts are numbered as in a label map: 0 is the scene. Of pairs the
right one, as the body itself has it, comes first.
"""

from __future__ import annotations

JOINTS = 18
NOSE, NECK = 0, 1
SHOULDER, ELBOW, WRIST = (2, 5), (3, 6), (4, 7)  # (right, left)
HIP, KNEE, ANKLE = (8, 11), (9, 12), (10, 13)
EYE, EAR = (14, 15), (16, 17)
FACE_JOINTS = (NOSE, *EYE, *EAR)

SCENE, TORSO, HEAD = 0, 1, 2
UPPER_ARM, FOREARM = (3, 4), (5, 6)  # of a bird the first is the whole wing
THIGH, SHIN, FOOT = (7, 8), (9, 10), (11, 12)
PARTS = 12  # of one body, without the scene

# The joints (start, end) of the parts of limbs, in the order of the parts.
LIMB_JOINTS = {
    part[side]: (start[side], end[side])
    for part, start, end in (
        (UPPER_ARM, SHOULDER, ELBOW),
        (FOREARM, ELBOW, WRIST),
        (THIGH, HIP, KNEE),
        (SHIN, KNEE, ANKLE),
    )
    for side in (0, 1)
}


def _mirrored(count: int, pairs: tuple[tuple[int, int], ...]) -> tuple[int, ...]:
    """Of each of so many, the one on the other side; itself where it stands in no pair."""
    other = dict(pairs) | {left: right for right, left in pairs}
    return tuple(other.get(one, one) for one in range(count))


MIRRORED_JOINT = _mirrored(JOINTS, (SHOULDER, ELBOW, WRIST, HIP, KNEE, ANKLE, EYE, EAR))
MIRRORED_PART = _mirrored(1 + PARTS, (UPPER_ARM, FOREARM, THIGH, SHIN, FOOT))

# Joints of a body that stands and is seen from the front, (x, y) from its neck in lengths of its
# trunk; its right is our left. The same stands in js/shared/joints_body.js.
STANDING = (
    *((0, -0.35), (0, 0)),
    *((-0.35, 0.05), (-0.45, 0.6), (-0.5, 1.1), (0.35, 0.05), (0.45, 0.6), (0.5, 1.1)),
    *((-0.2, 1), (-0.22, 1.8), (-0.22, 2.6), (0.2, 1), (0.22, 1.8), (0.22, 2.6)),
    *((-0.07, -0.42), (0.07, -0.42), (-0.15, -0.4), (0.15, -0.4)),
)
