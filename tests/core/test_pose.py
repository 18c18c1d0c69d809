"""Keypoint files, pose pictures and pose augmentation, on one hand-made stick figure."""

import json
from dataclasses import fields, replace

import numpy as np
import pytest

from dreamactor_core.errors import InputError
from dreamactor_core.pose.draw import draw_pose, fit_box, overlay_pose
from dreamactor_core.pose.keypoints import (
    Pose,
    check_length,
    dump_keypoints,
    load_keypoints,
    parse_keypoints,
    retime_pose,
    save_keypoints,
)
from dreamactor_core.pose.retarget import match_proportions, place_in_panel
from dreamactor_core.pose.vary import BoneFactors, random_bone_factors, scale_bones, vary_pose

STICK = [  # OpenPose's 18 joints, arms stretched out, feet straight below the hips
    (0.50, 0.15), (0.50, 0.25),
    (0.40, 0.25), (0.30, 0.25), (0.20, 0.25),
    (0.60, 0.25), (0.70, 0.25), (0.80, 0.25),
    (0.45, 0.50), (0.45, 0.70), (0.45, 0.90),
    (0.55, 0.50), (0.55, 0.70), (0.55, 0.90),
    (0.48, 0.12), (0.52, 0.12), (0.46, 0.14), (0.54, 0.14),
]  # fmt: skip
ARMS = {"right": [2, 3, 4], "left": [5, 6, 7]}


def stick(frames=1, offsets=((0.0, 0.0),), aspect=1.0) -> Pose:
    """One stick figure for each offset, with hands of 21 and a face of 70 points, and feet."""
    body = np.array([(*joint, 1.0) for joint in STICK])
    hands = np.stack([np.tile(body[wrist], (21, 1)) for wrist in (7, 4)])
    hands[..., 0] += np.linspace(0, 0.03, 21) * [[1], [-1]]
    face = np.tile(body[0], (70, 1))
    face[:, 1] -= np.linspace(0, 0.05, 70)
    feet = np.repeat(body[[13, 10]], 3, axis=0)
    feet[:, 1] += [0.02, 0.03, 0.04] * 2

    def crowd(part):
        people = np.stack([part + np.array([x, y, 0]) for x, y in offsets])
        return np.repeat(people[None], frames, axis=0)

    return Pose(crowd(body), crowd(hands), crowd(face), crowd(feet), aspect)


def without(pose: Pose, joint: int) -> Pose:
    body = pose.body.copy()
    body[:, :, joint] = 0
    return Pose(body, pose.hands, pose.face, pose.feet, pose.aspect)


def body_only(pose: Pose) -> Pose:
    return Pose(pose.body, 0 * pose.hands, 0 * pose.face, 0 * pose.feet, pose.aspect)


def frame(people, width=200, height=100):
    return {"people": people, "canvas_width": width, "canvas_height": height}


def person(count=18, x=50.0, y=25.0, **parts):
    return {"pose_keypoints_2d": [x, y, 1.0] * count, **parts}


# Keypoint files


def test_pixels_become_shares_of_the_canvas():
    pose = parse_keypoints([frame([person(x=50, y=25)])])
    assert pose.body.shape == (1, 1, 18, 3) and pose.aspect == 2
    assert (pose.body[0, 0] == [0.25, 0.25, 1]).all()
    assert not pose.hands.any() and not pose.face.any() and not pose.feet.any()


def test_shares_stay_shares():
    assert (parse_keypoints([frame([person(x=0.5, y=0.75)])]).body[0, 0] == [0.5, 0.75, 1]).all()


def test_a_file_comes_back_to_a_ten_thousandth_of_a_pixel(tmp_path):
    rng = np.random.default_rng(0)
    pose = stick(3, ((0, 0), (0.1, 0.05)), aspect=1920 / 1080).map(
        lambda points: points + rng.uniform(0, 0.01, points.shape)
    )
    pose.body[1, 0] = pose.hands[1, 0] = pose.face[1, 0] = pose.feet[1, 0] = 0
    save_keypoints(tmp_path / "pose.json", pose, 1920, 1080)
    again = load_keypoints(tmp_path / "pose.json")
    error = np.abs(again.points() - pose.points()) * [1920, 1080, 1]
    assert error.max() < 1e-4 and again.aspect == pose.aspect


def test_depth_goes_into_a_file_and_back_and_stays_with_its_person():
    pose = stick(3, offsets=((-0.2, 0), (0.2, 0)))
    depth = np.random.default_rng(0).normal(size=(3, 2, 18))
    frames = json.loads(json.dumps(dump_keypoints(replace(pose, depth=depth), 640, 480)))
    assert frames[0]["people"][0]["pose_depth"][4] == depth[0, 0, 4] * 480
    frames[1]["people"].reverse()  # a tool that does not keep the order
    assert np.allclose(parse_keypoints(frames).depth, depth)
    del frames[2]["people"][1]["pose_depth"]
    assert parse_keypoints(frames).depth is None
    assert "pose_depth" not in dump_keypoints(pose, 640, 480)[0]["people"][0]
    for bad in ([1.0] * 17, ["deep"] * 18, [float("nan")] * 18, 3):
        frames[2]["people"][1]["pose_depth"] = bad
        with pytest.raises(InputError, match="pose_depth of frame 2, person 1"):
            parse_keypoints(frames)


def test_an_absent_person_keeps_the_others_in_their_place():
    pose = stick(2, ((0, 0), (0.1, 0)))
    pose.body[1, 0] = pose.hands[1, 0] = pose.face[1, 0] = pose.feet[1, 0] = 0
    assert [len(entry["people"]) for entry in dump_keypoints(pose, 100, 100)] == [2, 2]
    pose.body[1, 0], pose.body[1, 1] = pose.body[1, 1], 0  # now the second one is away
    pose.hands[1, 1] = pose.face[1, 1] = pose.feet[1, 1] = 0
    assert [len(entry["people"]) for entry in dump_keypoints(pose, 100, 100)] == [2, 1]


def test_the_number_of_people_may_change():
    pose = parse_keypoints([frame([person()]), frame([person(), person()]), frame([])])
    assert (pose.body[..., 0, 2] == [[1, 0], [1, 1], [0, 0]]).all()


def test_body_25_loses_its_middle_hip_and_gives_its_feet():
    flat = [value for joint in range(25) for value in (10 + joint, 50, 1)]
    pose = parse_keypoints([frame([{"pose_keypoints_2d": flat}])])
    joints = np.rint(pose.body[0, 0, :, 0] * 200 - 10).astype(int).tolist()
    assert joints == [0, 1, 2, 3, 4, 5, 6, 7, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18]
    assert np.allclose(pose.feet[0, 0, :, 0] * 200 - 10, [19, 20, 21, 22, 23, 24])


def test_hands_face_and_feet_are_read():
    parts = {
        "hand_left_keypoints_2d": [20, 10, 1] * 21,
        "hand_right_keypoints_2d": [40, 10, 1] * 21,
        "face_keypoints_2d": [60, 10, 1] * 68,
        "foot_keypoints_2d": [80, 10, 1] * 6,
    }
    pose = parse_keypoints([frame([person(**parts)])])
    assert np.allclose(pose.hands[0, 0, :, :, 0], [[0.1] * 21, [0.2] * 21])
    assert np.allclose(pose.face[0, 0, :68, 0], 0.3) and not pose.face[0, 0, 68:].any()
    assert np.allclose(pose.feet[0, 0, :, 0], 0.4)


@pytest.mark.parametrize("bad", [(float("nan"), 5, 1), (5, float("inf"), 1), (50, 50, 0)])
def test_a_joint_without_a_place_is_missing(bad):
    one = person()
    one["pose_keypoints_2d"][:3] = bad
    pose = parse_keypoints([frame([one])])
    assert (pose.body[0, 0, 0] == 0).all() and (pose.body[0, 0, 1:, 2] == 1).all()


def test_one_frame_and_a_frames_entry_are_accepted():
    alone, listed = parse_keypoints(frame([person()])), parse_keypoints([frame([person()])])
    wrapped = parse_keypoints({"frames": [frame([person()])]})
    assert (alone.body == listed.body).all() and (wrapped.body == listed.body).all()


@pytest.mark.parametrize(
    "data, words",
    [
        ([], "an empty list"),
        ("text", "got str"),
        ([{"dancers": []}], "frame 0"),
        ([frame([person()]), frame([person(17)])], "frame 1, person 0: got 51 values"),
        ([frame([person(hand_left_keypoints_2d=[1, 2])])], "hand_left_keypoints_2d"),
        ([frame([{"pose_keypoints_2d": ["a"] * 54}])], "54 or 75 numbers"),
        ([{"people": [person()]}], "canvas_width"),
        ([frame([person()]), frame([person()], width=300)], "(200, 100), as in frame 0"),
    ],
)
def test_other_forms_are_refused_in_words(data, words):
    with pytest.raises(InputError) as refusal:
        parse_keypoints(data)
    assert words in str(refusal.value)


def test_files_that_cannot_be_read_are_refused(tmp_path):
    with pytest.raises(InputError, match="Check the path"):
        load_keypoints(tmp_path / "absent.json")
    (tmp_path / "text.json").write_text("not json")
    with pytest.raises(InputError, match="not JSON"):
        load_keypoints(tmp_path / "text.json")


def test_retiming_holds_the_latest_pose():
    pose = stick(4)
    pose.body[:, 0, 0, 0] = [0, 1, 2, 3]
    held = retime_pose(pose, np.array([0, 0.1, 0.25, 0.5]), fps=10, num_frames=7)
    assert held.body[:, 0, 0, 0].tolist() == [0, 1, 1, 2, 2, 3, 3]
    rounded = retime_pose(pose, np.array([0, 0.1000005, 0.25, 0.5]), fps=10, num_frames=2)
    assert rounded.body[:, 0, 0, 0].tolist() == [0, 1]


def test_keypoints_of_another_length_are_refused():
    check_length(stick(5), 5)
    with pytest.raises(InputError, match="got 5 frames, need 6"):
        check_length(stick(5), 6)


# Pictures


def test_left_and_right_limbs_differ_in_colour():
    drawn = draw_pose(body_only(stick()), 128, 128)[0]
    for left, right in (((0.65, 0.25), (0.35, 0.25)), ((0.55, 0.6), (0.45, 0.6))):
        colors = [drawn[int(y * 128), int(x * 128)].astype(int) for x, y in (left, right)]
        assert min(color.max() for color in colors) > 150
        assert np.abs(colors[0] - colors[1]).max() > 60


def test_a_line_is_three_pixels_wide_at_128_and_twelve_at_512():
    for size, wide in ((128, 3), (512, 12)):
        drawn = draw_pose(body_only(stick()), size, size)[0]
        column = drawn[:, int(0.35 * size)].max(axis=1) / 191  # across the right upper arm
        assert abs(column.sum() - wide) < 0.6


def test_an_uncertain_joint_takes_its_limbs_with_it():
    pose = body_only(stick())
    pose.body[0, 0, 3, 2] = 0.2  # right elbow: upper arm and forearm go
    drawn = draw_pose(pose, 128, 128)[0]
    assert not drawn[:, int(0.23 * 128) : int(0.37 * 128)].any()
    assert drawn[:, int(0.63 * 128) : int(0.77 * 128)].any()
    assert draw_pose(pose, 128, 128, threshold=0.1)[0][:, int(0.35 * 128)].any()


def test_nobody_is_a_black_picture():
    assert not draw_pose(parse_keypoints([frame([]), frame([])]), 32, 48).any()
    assert not draw_pose(stick().map(lambda points: points * 0), 32, 48, threshold=0).any()


def test_hands_feet_and_face_are_drawn():
    whole, bare = draw_pose(stick(), 256, 256)[0], draw_pose(body_only(stick()), 256, 256)[0]
    assert (whole[int(0.105 * 256), 128] == 255).all()  # a face point above the eyes is white
    for y, x in ((0.25, 0.825), (0.25, 0.175), (0.93, 0.55), (0.93, 0.45), (0.105, 0.5)):
        spot = slice(int(y * 256) - 1, int(y * 256) + 2), slice(int(x * 256) - 1, int(x * 256) + 2)
        assert whole[spot].max() > bare[spot].max()


def test_joints_far_outside_do_not_disturb_the_picture():
    drawn = draw_pose(body_only(stick()), 64, 64)
    far = body_only(stick(1, ((0, 0), (1e6, -1e6))))
    assert (draw_pose(far, 64, 64) == drawn).all()


# The box


def test_the_box_of_the_clip_fills_the_canvas():
    pose = body_only(stick(2))
    pose.body[1, ..., 0] += 0.1  # the walk to the right widens the one box
    boxed = fit_box(pose)
    # x from 0.2 to 0.9, y from 0.12 to 0.9
    assert np.allclose(boxed.body[0, 0, 4], [0, 0.13 / 0.78, 1])
    assert np.allclose(boxed.body[1, 0, 7], [1, 0.13 / 0.78, 1])
    assert np.allclose(boxed.body[0, 0, 1, :2], [0.3 / 0.7, 0.13 / 0.78])
    framed = fit_box(pose, margin=0.1)
    assert np.allclose(framed.body[..., :2], 0.1 + 0.8 * boxed.body[..., :2])


def test_two_people_keep_their_space():
    pose = body_only(stick(1, ((-0.1, 0), (0.1, 0.1))))
    boxed = fit_box(pose)
    assert np.allclose(boxed.body[0, 1, :, :2] - boxed.body[0, 0, :, :2], [0.2 / 0.8, 0.1 / 0.88])


def test_uncertain_joints_do_not_widen_the_box_and_missing_ones_stay_missing():
    pose = body_only(stick())
    expected = fit_box(without(pose, 10)).body
    pose.body[0, 0, 10] = (5, 5, 0.1)
    boxed = fit_box(pose).body
    others = [joint for joint in range(18) if joint != 10]
    assert np.allclose(boxed[:, :, others], expected[:, :, others])
    assert (expected[0, 0, 10] == 0).all()


def test_a_tiny_pose_is_enlarged_twenty_times_at_most():
    pose = body_only(stick()).map(lambda points: points * [0.01, 0.01, 1])
    boxed = fit_box(pose).body[0, 0, :, :2]
    assert np.allclose(np.ptp(boxed, axis=0), np.array([0.6, 0.78]) * 0.01 / 0.05)
    assert np.allclose((boxed.max(axis=0) + boxed.min(axis=0)) / 2, 0.5)


# Bone lengths


def test_longer_forearms_move_wrists_and_hands_alone():
    pose = stick()
    scaled = scale_bones(pose, BoneFactors(forearms=2))
    moved = scaled.body[0, 0, :, :2] - pose.body[0, 0, :, :2]
    assert np.allclose(moved[4], [-0.1, 0]) and np.allclose(moved[7], [0.1, 0])
    assert np.allclose(np.delete(moved, [4, 7], axis=0), 0)
    assert np.allclose(scaled.hands[0, 0, 0] - pose.hands[0, 0, 0], [0.1, 0, 0])
    assert np.allclose(scaled.hands[0, 0, 1] - pose.hands[0, 0, 1], [-0.1, 0, 0])
    assert np.allclose(scaled.face, pose.face) and np.allclose(scaled.feet, pose.feet)


@pytest.mark.parametrize(
    "group, moved",
    [
        ("head_neck", {0: (0, -0.1), 14: (-0.02, -0.13), 17: (0.04, -0.11)}),
        ("shoulders", {2: (-0.1, 0), 3: (-0.1, 0), 4: (-0.1, 0), 5: (0.1, 0), 7: (0.1, 0)}),
        ("upper_arms", {2: (0, 0), 3: (-0.1, 0), 4: (-0.1, 0), 6: (0.1, 0), 7: (0.1, 0)}),
        ("torso", {8: (0, 0.25), 9: (0, 0.25), 10: (0, 0.25), 13: (0, 0.25), 4: (0, 0)}),
        ("hips", {8: (-0.05, 0), 10: (-0.05, 0), 11: (0.05, 0), 13: (0.05, 0)}),
        ("thighs", {8: (0, 0), 9: (0, 0.2), 10: (0, 0.2), 12: (0, 0.2), 13: (0, 0.2)}),
        ("shins", {9: (0, 0), 10: (0, 0.2), 13: (0, 0.2)}),
        ("hands", dict.fromkeys(range(18), (0, 0))),
        ("feet", dict.fromkeys(range(18), (0, 0))),
    ],
)
def test_doubling_a_group_moves_what_hangs_on_it(group, moved):
    pose = stick()
    scaled = scale_bones(pose, BoneFactors(**{group: 2}))
    difference = scaled.body[0, 0, :, :2] - pose.body[0, 0, :, :2]
    for joint, expected in moved.items():
        assert np.allclose(difference[joint], expected), joint
    assert np.allclose(difference[1], 0)  # the neck is the root


def test_hands_and_feet_grow_about_wrist_and_ankle():
    pose = stick()
    scaled = scale_bones(pose, BoneFactors(hands=2, feet=3))
    assert np.allclose(scaled.hands[0, 0, 0, :, 0], 0.8 + 2 * np.linspace(0, 0.03, 21))
    assert np.allclose(scaled.hands[0, 0, 1, :, 0], 0.2 - 2 * np.linspace(0, 0.03, 21))
    assert np.allclose(scaled.feet[0, 0, :, 1], 0.9 + 3 * np.array([0.02, 0.03, 0.04] * 2))


def test_factors_of_one_change_nothing():
    pose = stick(2, ((0, 0), (0.1, 0)))
    assert np.abs(scale_bones(pose, BoneFactors()).points() - pose.points()).max() < 1e-6


def test_missing_joints_stay_missing_and_bridge_to_the_next_above():
    pose = without(stick(), 3)  # right elbow: the wrist is measured from the shoulder
    scaled = scale_bones(pose, BoneFactors(forearms=2, shoulders=2))
    assert (scaled.body[0, 0, 3] == 0).all()
    assert np.allclose(scaled.body[0, 0, 4], [0.4 - 0.1 - 2 * 0.2, 0.25, 1])
    rootless = without(stick(), 1)
    kept = scale_bones(rootless, BoneFactors(shoulders=2, torso=2, head_neck=2)).body[0, 0]
    assert np.allclose(kept[[0, 2, 5]], rootless.body[0, 0, [0, 2, 5]])


def test_motion_keeps_its_pattern():
    """A factor is the same in every frame: a forearm that turns keeps angle and new length."""
    pose, angles = body_only(stick(8)), np.linspace(0, np.pi, 8)
    pose.body[:, 0, 7, 0] = 0.7 + 0.1 * np.cos(angles)
    pose.body[:, 0, 7, 1] = 0.25 + 0.1 * np.sin(angles)
    scaled = scale_bones(pose, BoneFactors(forearms=1.2, upper_arms=0.8)).body[:, 0]
    bone = scaled[:, 7, :2] - scaled[:, 6, :2]
    assert np.allclose(np.linalg.norm(bone, axis=1), 0.12)
    assert np.allclose(np.arctan2(bone[:, 1], bone[:, 0]), angles)


def test_random_factors_lie_between_08_and_12_and_differ_by_group():
    rng = np.random.default_rng(0)
    drawn = np.array(
        [
            [getattr(factors, field.name) for field in fields(factors)]
            for factors in (random_bone_factors(rng) for _ in range(400))
        ]
    )
    assert drawn.min() >= 0.8 and drawn.max() <= 1.2
    assert np.allclose(drawn.mean(axis=0), 1, atol=0.03)
    assert np.ptp(drawn, axis=1).min() > 0.05
    wide = random_bone_factors(rng, (0.5, 0.7))
    assert all(0.5 <= getattr(wide, field.name) <= 0.7 for field in fields(wide))


def test_vary_scales_a_share_of_the_clips_and_boxes_all():
    rng, pose = np.random.default_rng(1), stick()
    boxed = fit_box(pose)
    results = [vary_pose(pose, rng) for _ in range(300)]
    changed = [not np.allclose(result.points(), boxed.points()) for result in results]
    assert 0.22 < np.mean(changed) < 0.38
    for result in results:
        assert np.allclose(result.points()[..., :2].min(axis=(0, 1, 2)), 0)
        assert np.allclose(result.points()[..., :2].max(axis=(0, 1, 2)), 1)
    wide = vary_pose(pose, np.random.default_rng(7), probability=1, spread=(0.5, 2))
    rng = np.random.default_rng(7)
    rng.random()  # for whether
    meant = fit_box(scale_bones(pose, random_bone_factors(rng, (0.5, 2))))
    assert np.allclose(wide.points(), meant.points())
    same = vary_pose(pose, np.random.default_rng(7), probability=1)
    assert np.allclose(same.points(), vary_pose(pose, np.random.default_rng(7), 1).points())


def test_a_dumped_file_is_plain_json():
    assert json.loads(json.dumps(dump_keypoints(stick(), 64, 64)))[0]["canvas_width"] == 64


# Other people's files


@pytest.mark.parametrize(
    "data, name",
    [
        ({"images": [], "annotations": [], "categories": []}, "COCO annotations"),
        ([{"image_id": "1.jpg", "keypoints": [1, 2, 3], "score": 1}], "COCO or AlphaPose"),
        ({"meta_info": {}, "instance_info": []}, "MMPose"),
        ([{"frame_id": 0, "instances": []}], "MMPose"),
        ([{"landmarks": [{"x": 0, "y": 0}]}], "MediaPipe"),
        ([{"version": "ap10k", "animals": [], "canvas_width": 9, "canvas_height": 9}], "AP-10K"),
        ({"nodes": [], "links": []}, "a ComfyUI workflow"),
        ({"version": 1.3, "people": []}, "OpenPose's own file of one frame"),
    ],
)
def test_another_format_is_called_by_its_name(data, name, tmp_path):
    path = tmp_path / "other.json"
    path.write_text(json.dumps(data))
    with pytest.raises(InputError) as caught:
        load_keypoints(path)
    assert name in str(caught.value) and "POSE_KEYPOINT" in str(caught.value)


def test_a_clip_without_anyone_comes_back_empty(tmp_path):
    empty = Pose(*(np.zeros((3, 0, *rest, 3)) for rest in ((18,), (2, 21), (70,), (6,))), 1.5)
    save_keypoints(tmp_path / "nobody.json", empty, 150, 100)
    again = load_keypoints(tmp_path / "nobody.json")
    assert again.body.shape == (3, 0, 18, 3) and again.aspect == 1.5
    assert not draw_pose(fit_box(again), 20, 30).any()


# Retargeting


def lengths(pose: Pose, *bones) -> list[float]:
    xy = pose.body[0, 0, :, :2] * [pose.aspect, 1]
    return [float(np.linalg.norm(xy[a] - xy[b])) for a, b in bones]


def test_bones_take_the_references_proportions():
    reference = scale_bones(stick(), BoneFactors(thighs=0.6, shins=0.6, upper_arms=1.5))
    reference = reference.map(lambda p: np.concatenate([p[..., :2] / 2, p[..., 2:]], axis=-1))
    driver = stick(2, aspect=1.0)
    changed = match_proportions(driver, reference)
    for bone in [(8, 9), (9, 10), (2, 3), (1, 0), (3, 4)]:
        torso = lengths(changed, (1, 8))[0]
        wanted = lengths(reference, bone)[0] / lengths(reference, (1, 8))[0]
        assert np.isclose(lengths(changed, bone)[0] / torso, wanted), bone
    assert np.allclose(changed.body[:, :, 1], driver.body[:, :, 1])  # the neck is the root


def test_the_shape_of_the_canvases_does_not_enter():
    wide = stick().map(lambda p: p * [0.5, 1, 1])  # the same figure on a canvas twice as wide
    wide = Pose(wide.body, wide.hands, wide.face, wide.feet, 2.0)
    driver = stick(2)
    assert np.allclose(match_proportions(driver, wide).points(), driver.points())


def test_an_outstretched_arm_counts_not_one_that_points_at_the_camera():
    driver = stick(10)
    driver.body[:7, 0, 4] = driver.body[:7, 0, 3]  # the right forearm is foreshortened at times
    changed = match_proportions(driver, stick())
    assert np.allclose(changed.points(), driver.points())


def test_what_the_driver_does_not_show_stays_undrawn():
    half = stick(2)
    for missing in (9, 10, 12, 13):
        half = without(half, missing)
    changed = match_proportions(half, scale_bones(stick(), BoneFactors(thighs=0.5)))
    assert not changed.body[:, :, [9, 10, 12, 13]].any()
    assert np.allclose(changed.body[:, :, [2, 3, 4]], half.body[:, :, [2, 3, 4]])


def test_a_reference_without_anyone_or_without_a_torso_changes_nothing():
    nobody = Pose(*(np.zeros((1, 0, *rest, 3)) for rest in ((18,), (2, 21), (70,), (6,))), 1.0)
    head_only = stick()
    head_only.body[:, :, 1:14] = 0
    for reference in (nobody, head_only):
        assert np.allclose(match_proportions(stick(2), reference).points(), stick(2).points())


def test_each_person_takes_after_its_own():
    child = scale_bones(stick(), BoneFactors(thighs=0.5, shins=0.5))
    two = [
        np.concatenate([a, b], axis=1) for a, b in zip(*map(parts, (child, stick())), strict=True)
    ]
    changed = match_proportions(stick(1, ((0, 0), (0.1, 0))), Pose(*two, 1.0))
    legs = [changed.body[0, p, 9, 1] - changed.body[0, p, 8, 1] for p in (0, 1)]
    assert np.allclose(legs, [0.1, 0.2])


def parts(pose: Pose) -> tuple:
    return pose.body, pose.hands, pose.face, pose.feet


def test_the_drivers_place_is_kept_with_bars():
    pose = stick(aspect=2.0)
    placed = place_in_panel(pose, 1.0)  # a wide canvas in a square: half its height
    assert placed.aspect == 1.0
    assert np.allclose(placed.body[..., 0], pose.body[..., 0])
    assert np.allclose(placed.body[..., 1], 0.25 + pose.body[..., 1] / 2)
    tall = place_in_panel(stick(aspect=0.5), 1.0)
    assert np.allclose(tall.body[..., 0], 0.25 + pose.body[..., 0] / 2)
    assert not place_in_panel(without(pose, 4), 1.0).body[:, :, 4].any()


def test_overlay_shows_skeleton_and_number_over_the_darkened_frame():
    frames = [np.full((100, 100, 3), 200, np.uint8)] * 2
    shown = list(overlay_pose(stick(2, ((0, 0), (0.15, 0))), frames))
    assert len(shown) == 2 and shown[0].shape == (100, 100, 3)
    drawn = draw_pose(stick(2, ((0, 0), (0.15, 0))), 100, 100)[0]
    lines = drawn.any(axis=-1)
    number = (shown[0] > 140).all(axis=-1) & ~lines
    assert (shown[0][~lines & ~number] == 100).mean() > 0.95 and number.any()
    assert (frames[0] == 200).all()
