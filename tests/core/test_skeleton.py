"""The one numbering of joints and parts."""

import numpy as np

from dreamactor_core.mini.warp import ARM_ROWS, FOOT_ROWS, HEAD_ROW, MIRRORED_ROWS, TORSO_ROW
from dreamactor_core.pose.skeletons import to_points
from dreamactor_core.skeleton import (
    FOOT,
    HEAD,
    JOINTS,
    LIMB_JOINTS,
    MIRRORED_JOINT,
    MIRRORED_PART,
    NECK,
    PARTS,
    SCENE,
    SHIN,
    TORSO,
    UPPER_ARM,
)


def test_joints_and_parts_are_each_others_mirror_image():
    assert MIRRORED_JOINT == (0, 1, 5, 6, 7, 2, 3, 4, 11, 12, 13, 8, 9, 10, 15, 14, 17, 16)
    assert MIRRORED_PART == (0, 1, 2, 4, 3, 6, 5, 8, 7, 10, 9, 12, 11)
    for mirror, count in ((MIRRORED_JOINT, JOINTS), (MIRRORED_PART, 1 + PARTS)):
        assert len(mirror) == count and [mirror[mirror[one]] for one in range(count)] == [
            *range(count)
        ]


def test_limbs_hang_on_joints_in_the_order_of_their_parts():
    assert list(LIMB_JOINTS) == list(range(UPPER_ARM[0], SHIN[1] + 1))
    assert list(LIMB_JOINTS.values()) == [
        (2, 3), (5, 6), (3, 4), (6, 7), (8, 9), (11, 12), (9, 10), (12, 13),
    ]  # fmt: skip
    for part, (start, end) in LIMB_JOINTS.items():
        mirrored = LIMB_JOINTS[MIRRORED_PART[part]]
        assert mirrored == (MIRRORED_JOINT[start], MIRRORED_JOINT[end])


def test_arrays_of_pieces_leave_the_scene_out():
    assert SCENE == 0 and (TORSO_ROW, HEAD_ROW) == (TORSO - 1, HEAD - 1)
    assert ARM_ROWS == (2, 3) and tuple(part - 1 for part in FOOT) == FOOT_ROWS
    assert MIRRORED_ROWS == (0, 1, 3, 2, 5, 4, 7, 6, 9, 8, 11, 10)


def test_puppets_and_poses_read_the_same_numbers():
    joints = np.zeros((1, 17, 3))
    joints[:, 5], joints[:, 6] = (2, 4, 1), (4, 8, 0.5)  # shoulders of COCO, left and right
    assert to_points(joints, "coco")[0, NECK].tolist() == [3, 6, 0.5]
