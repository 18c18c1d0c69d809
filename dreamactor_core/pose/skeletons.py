"""From the joints an estimator finds to those of Pose: 136 points, in the order of Pose.points.

    COCO 17 (people)     nose, eyes, ears, then shoulders down to ankles; left before right
    whole-body 133       COCO 17, six of the feet, 68 of the face, 21 of each hand
    AP-10K 17 (animals)  eyes, nose, neck, root of the tail, then four legs of three joints
    BlazePose 33         nose, corners and middles of the eyes, ears, corners of the mouth, then
                         shoulders down to wrists, three knuckles of each hand, hips down to toes

OpenPose has a neck where the others have none: it is put between the shoulders, as sure as the less
sure of them. Of BlazePose's face the nine points that OpenPose has too are taken, of its hands the
wrist, a joint of the thumb and the first ones of index and little finger. An animal is drawn as a
person on all fours: forelegs as arms, hind legs as legs, paws as wrists and ankles; it has no ears
in AP-10K, and the root of its tail has no place in the drawing.
"""

from __future__ import annotations

import numpy as np

from ..skeleton import JOINTS, NECK, SHOULDER

POINTS = 136
COCO = {0: 0, 2: 6, 3: 8, 4: 10, 5: 5, 6: 7, 7: 9, 8: 12, 9: 14, 10: 16, 11: 11, 12: 13, 13: 15}
COCO |= {14: 2, 15: 1, 16: 4, 17: 3}  # ours: theirs; the neck (1) is made
HANDS, FACE, FEET = 18, 60, 130  # where these begin in Pose.points, behind the joints
WHOLE_BODY = COCO | {FEET + k: 17 + k for k in range(6)}
WHOLE_BODY |= {FACE + k: 23 + k for k in range(68)}  # the pupils, 68 and 69, are left empty
WHOLE_BODY |= {HANDS + k: 91 + k for k in range(42)}
AP10K = {0: 2, 1: 3, 2: 8, 3: 9, 4: 10, 5: 5, 6: 6, 7: 7, 8: 14, 9: 15, 10: 16, 11: 11, 12: 12}
AP10K |= {13: 13, 14: 1, 15: 0}

BLAZEPOSE_33 = {0: 0, 2: 12, 3: 14, 4: 16, 5: 11, 6: 13, 7: 15, 8: 24, 9: 26, 10: 28, 11: 23}
BLAZEPOSE_33 |= {12: 25, 13: 27, 14: 5, 15: 2, 16: 8, 17: 7}
BLAZEPOSE_33 |= {HANDS: 15, HANDS + 3: 21, HANDS + 5: 19, HANDS + 17: 17}  # left, then right
BLAZEPOSE_33 |= {HANDS + 21: 16, HANDS + 24: 22, HANDS + 26: 20, HANDS + 38: 18}
BLAZEPOSE_33 |= {FACE + 30: 0, FACE + 36: 6, FACE + 39: 4, FACE + 42: 1, FACE + 45: 3}  # nose, eyes
BLAZEPOSE_33 |= {FACE + 48: 10, FACE + 54: 9, FACE + 68: 5, FACE + 69: 2}  # mouth, pupils
BLAZEPOSE_33 |= {FEET: 31, FEET + 2: 29, FEET + 3: 32, FEET + 5: 30}  # toe and heel, no small toe

MAPPINGS = {"coco": COCO, "wholebody": WHOLE_BODY, "ap10k": AP10K, "blazepose": BLAZEPOSE_33}
COUNTS = {"coco": 17, "wholebody": 133, "ap10k": 17, "blazepose": 33}


def to_points(joints: np.ndarray, skeleton: str) -> np.ndarray:
    """(n, k, 3) in an estimator's order -> (n, 136, 3); joints nobody looked for stay 0."""
    mapping = MAPPINGS[skeleton]
    points = np.zeros((len(joints), POINTS, 3), dtype=joints.dtype)
    points[:, list(mapping)] = joints[:, list(mapping.values())]
    if NECK not in mapping:
        shoulders = points[:, SHOULDER]
        points[:, NECK, :2] = shoulders[..., :2].mean(axis=1)
        points[:, NECK, 2] = shoulders[..., 2].min(axis=1)
    return points * (points[..., 2:] > 0)


def depth_of_body(depth: np.ndarray) -> np.ndarray:
    """(33,) of BlazePose's joints -> (18,)."""
    body = np.zeros(JOINTS)
    for joint in range(JOINTS):
        if joint != NECK:
            body[joint] = depth[BLAZEPOSE_33[joint]]
    body[NECK] = body[list(SHOULDER)].mean()
    return body
