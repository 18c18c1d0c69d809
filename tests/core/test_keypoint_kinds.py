"""Keypoint files as detectors, editors and people write them."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from dreamactor_core.errors import InputError
from dreamactor_core.jobs.inputs import open_inputs
from dreamactor_core.pose.draw import draw_pose
from dreamactor_core.pose.keypoints import load_keypoints, parse_keypoints, read_keypoints
from dreamactor_core.pose.wan_animate import face_boxes

from .field_clips import encoded, grey_frames

WIDTH, HEIGHT = 200, 100


def frame(*people, width=WIDTH, height=HEIGHT):
    return {"people": list(people), "canvas_width": width, "canvas_height": height}


def flat(points):
    return [value for point in points for value in point]


def person(x=50.0, y=25.0, confidence=1.0, scale=(1, 1), **parts):
    """Joints in a column of 17 pixels; scale divides them to other units."""
    joints = [[(x + k % 3) / scale[0], (y + k) / scale[1], confidence] for k in range(18)]
    return {"pose_keypoints_2d": flat(joints), **parts}


def hand(x, y, scale=(1, 1)):
    return flat([(x + k) / scale[0], (y + k) / scale[1], 1] for k in range(21))


CLIP = [frame(person(x=50 + 2 * t)) for t in range(3)]


@pytest.mark.parametrize(
    "encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-8"]
)
def test_any_encoding_is_read(tmp_path, encoding):
    path = tmp_path / "pose.json"
    path.write_bytes(json.dumps(CLIP).encode(encoding))
    assert np.array_equal(load_keypoints(path).body, parse_keypoints(CLIP).body)
    assert read_keypoints(path) == CLIP


def test_a_frame_on_each_line_and_words_of_an_older_windows(tmp_path):
    lines = "\r\n".join(json.dumps({**one, "by": "Müller"}, ensure_ascii=False) for one in CLIP)
    (tmp_path / "pose.json").write_bytes(lines.encode("cp1252"))
    pose = load_keypoints(tmp_path / "pose.json")
    assert np.array_equal(pose.body, parse_keypoints(CLIP).body)


def test_a_folder_of_openpose_is_one_clip_in_the_order_of_its_names(tmp_path):
    for t in (0, 1, 2, 10, 9):
        one = {"version": 1.3, "people": [{"person_id": [-1], **person(x=50 + 2 * t)}]}
        (tmp_path / f"walk_{t}_keypoints.json").write_text(json.dumps(one))
    (tmp_path / "notes.txt").write_text("not a pose")
    (tmp_path / "._walk_0_keypoints.json").write_bytes(b"\0\5\x16\7")  # as macOS does
    (tmp_path / "walk_1_keypoints.json").rename(tmp_path / "walk_1_keypoints.JSON")
    pose = load_keypoints(tmp_path, (WIDTH, HEIGHT))
    assert (pose.body[:, 0, 0, 0] * WIDTH).round().tolist() == [50, 52, 54, 68, 70]
    assert pose.aspect == 2
    with pytest.raises(InputError, match="without the size of the canvas"):
        load_keypoints(tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=r"keypoint folder empty: got no \.json files"):
        load_keypoints(tmp_path / "empty", (WIDTH, HEIGHT))


def test_the_canvas_of_a_folder_is_the_clips(tmp_path):
    clip = encoded(tmp_path / "walk.mkv", grey_frames(3, 100, 200))
    folder = tmp_path / "poses"
    folder.mkdir()
    for t in range(3):
        one = {"version": 1.3, "people": [person()]}
        (folder / f"{t}.json").write_text(json.dumps(one))
    Image.new("RGB", (32, 32)).save(tmp_path / "a.png")
    pose = open_inputs(tmp_path / "a.png", clip, folder).pose
    assert pose.aspect == 2 and pose.body[0, 0, 0].tolist() == [0.25, 0.25, 1]


@pytest.mark.parametrize(
    "mark",
    [(-1, -1, 1), (0, 0, 1), (-999, -999, 0.9), (None, None, None), (50, 50, 0), (50, 50, None),
     (float("nan"), 5, 1), (5, 5, -1), (1e300, 5, 1), ("NaN", "NaN", 1), ("", "", ""),
     ("null", "null", 1), (65_535, 65_535, 1)],
)  # fmt: skip
def test_absent_joints_however_marked_are_absent(mark):
    one = person()
    one["pose_keypoints_2d"][9:12] = mark
    body = parse_keypoints([frame(one)]).body[0, 0]
    assert body[3].tolist() == [0, 0, 0]
    others = np.delete(body, 3, axis=0)
    assert np.allclose(others, np.delete(parse_keypoints([frame(person())]).body[0, 0], 3, axis=0))


def test_joints_may_be_lists_of_three():
    nested = person()
    joints = nested["pose_keypoints_2d"]
    nested["pose_keypoints_2d"] = [joints[k : k + 3] for k in range(0, 54, 3)]
    want, got = (parse_keypoints([frame(one)]).body for one in (person(), nested))
    assert np.array_equal(want, got)
    nested["pose_keypoints_2d"][3] = None
    want[0, 0, 3] = 0
    assert np.array_equal(want, parse_keypoints([frame(nested)]).body)


def test_a_joint_that_has_left_the_picture_is_not_absent():
    one = person()
    one["pose_keypoints_2d"][9:12] = (-20, -5, 0.8)
    assert parse_keypoints([frame(one)]).body[0, 0, 3].tolist() == [-0.1, -0.05, 0.8]


def test_no_joint_that_is_sure_enough_gives_one_warning(caplog):
    clip = [frame(person(confidence=0.2))] * 4
    pose = parse_keypoints(clip)
    assert not draw_pose(pose, 32, 64).any()
    assert len(caplog.records) == 1
    assert (
        "no joint is as sure as 0.3, which is the least that is drawn; the most is 0.2"
        in caplog.text
    )
    caplog.clear()
    parse_keypoints([*clip, frame(person(confidence=0.3))])
    assert caplog.text == ""


@pytest.mark.parametrize(
    ("clip", "words"),
    [
        ([None, frame(), frame({})], "nobody in any of the 3 frames has a joint"),
        ([frame(person(confidence=0))] * 2, "nobody in any of the 2 frames has a joint"),
        ([frame(person(x=1000))] * 2, "100 % of the joints lie outside of the canvas of 200 x 100"),
    ],
)
def test_where_nothing_will_be_seen_one_line_says_so(caplog, clip, words):
    parse_keypoints([{"canvas_width": WIDTH, "canvas_height": HEIGHT}, *clip][-len(clip) :], (9, 9))
    assert len(caplog.records) == 1 and words in caplog.text


@pytest.mark.parametrize(("scale", "got"), [(80, 0.8), (204, 0.8), (2, 2), (8, 8)])
def test_confidences_in_percent_and_bytes_are_brought_to_shares(caplog, scale, got):
    pose = parse_keypoints([frame(person(confidence=scale))])
    assert pose.body[..., 2].max() == pytest.approx(got)  # networks give some above 1
    assert len(caplog.records) == (scale > 20)


SHARES = (WIDTH, HEIGHT)


def test_each_part_may_be_in_units_of_its_own():
    pixels = person(hand_left_keypoints_2d=hand(60, 40), face_keypoints_2d=hand(50, 20)[:3] * 70)
    mixed = person(scale=SHARES, hand_left_keypoints_2d=hand(60, 40),
                   face_keypoints_2d=hand(50, 20, SHARES)[:3] * 70)  # fmt: skip
    want, got = parse_keypoints([frame(pixels)] * 2), parse_keypoints([frame(mixed)] * 2)
    assert np.allclose(want.points(), got.points())
    two = parse_keypoints([frame(person(), person(x=120, scale=SHARES))])
    assert np.allclose(two.body[0, :, 0, 0], [0.25, 0.6])


def test_each_frame_may_be_in_units_of_its_own():
    pixels = [frame(person(x=50 + t)) for t in range(4)]
    mixed = [*pixels[:2], *(frame(person(x=50 + t, scale=SHARES)) for t in (2, 3))]
    assert np.allclose(parse_keypoints(pixels).body, parse_keypoints(mixed).body)
    assert np.allclose(parse_keypoints(pixels).body, parse_keypoints(mixed[::-1]).body[::-1])


def test_shares_with_a_joint_far_outside_are_shares_still():
    one = person(scale=SHARES)
    one["pose_keypoints_2d"][0] = 2.5
    body = parse_keypoints([frame(one)]).body[0, 0]
    assert body[0, 0] == 2.5 and np.allclose(body[1:3, 1], [0.26, 0.27])


@pytest.mark.parametrize("nobody", [None, {"people": None}, {"people": [None]}, {"people": []},
                                    {"people": [{}]}, {"canvas_width": 200, "canvas_height": 100},
                                    {"people": {}}, {"people": False}, {"people": [[]]}, [],
                                    {"people": [{"pose_keypoints_2d": None}]}])  # fmt: skip
def test_a_frame_without_people_is_an_empty_frame(nobody):
    if nobody:
        nobody = {"canvas_width": WIDTH, "canvas_height": HEIGHT} | nobody
    pose = parse_keypoints([CLIP[0], nobody, CLIP[2]])
    assert pose.body.shape == (3, 1, 18, 3)
    assert pose.body[:, 0, 0, 2].tolist() == [1, 0, 1]


def face(x, y=20):
    points = [[x + k % 10, y + k // 10, 1] for k in range(70)]
    return {"face_keypoints_2d": flat(points)}


def test_people_whose_order_changes_keep_their_faces():
    left = [person(x=30 + t, **face(30 + t)) for t in range(6)]
    right = [person(x=150 - t, **face(150 - t)) for t in range(6)]
    steady = [frame(one, two) for one, two in zip(left, right, strict=True)]
    swapped = [frame(*(pair if t % 2 == 0 else pair[::-1]))
               for t, pair in enumerate(zip(left, right, strict=True))]  # fmt: skip
    want, got = parse_keypoints(steady), parse_keypoints(swapped)
    assert np.array_equal(want.points(), got.points())
    assert np.abs(np.diff(face_boxes(got)[:, 0])).max() < 0.01
    away = [frame(*pair) if t < 2 or t > 3 else frame(pair[1])  # the first one leaves, and returns
            for t, pair in enumerate(zip(left, right, strict=True))]  # fmt: skip
    pose = parse_keypoints(away)
    assert np.allclose(pose.body[:, 1, 0, 0] * WIDTH, [150, 149, 148, 147, 146, 145])
    assert pose.body[:, 0, 0, 2].tolist() == [1, 1, 0, 0, 1, 1]


def test_somebody_new_at_the_head_of_the_list_moves_nobody():
    one, two, new = person(x=30), person(x=90), person(x=150)
    pose = parse_keypoints([frame(one, two)] * 2 + [frame(new, one, two)] * 2)
    assert (pose.body[:, :, 0, 0] * WIDTH).round().tolist() == [[30, 90, 0]] * 2 + [
        [30, 90, 150]
    ] * 2


def test_a_trackers_order_is_left_alone():
    """One who leaves is an empty place; a fast one, and two who cross, stay who they are."""
    cross = [frame(person(x=40 + 8 * t), person(x=100 - 8 * t)) for t in range(8)]
    xs = parse_keypoints(cross).body[:, :, 0, 0] * WIDTH
    assert np.allclose(xs[:, 0], 40 + 8 * np.arange(8)) and np.allclose(
        xs[:, 1], 100 - 8 * np.arange(8)
    )
    leap = [frame({}, person(x=50)), frame({}, person(x=110)), frame(person(x=20), person(x=170))]
    xs = parse_keypoints(leap).body[:, :, 0, 0] * WIDTH
    assert xs.round().tolist() == [[0, 50], [0, 110], [20, 170]]


# ---------------------------------------------------------------- what is too much


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ([frame(*[person()] * 101)], "frame 0: got 101 people, need at most 100"),
        ([frame(person(), width=10**400)], "two numbers above 0"),
        ([frame(person(), width=True)], "two numbers above 0"),
        ([frame(person(), width=float("nan"))], "two numbers above 0"),
        ([frame({"pose_keypoints_2d": [10**400] * 54})], "54 or 75 numbers"),
        (
            [frame({"pose_keypoints_2d": {"a": 1}})],
            "of frame 0, person 0: got dict",
        ),
        ([frame({"pose_keypoints_2d": [[1] * 54]})], "got 1 values"),
        ([frame(7)], "without a list of people"),
    ],
)
def test_numbers_and_crowds_that_cannot_be_are_refused(data, words):
    with pytest.raises(InputError, match=words):
        parse_keypoints(data)


def test_empty_people_by_the_thousand_cost_nothing():
    pose = parse_keypoints([frame(person(), *[{}] * 100_000)] * 3)
    assert pose.body.shape == (3, 1, 18, 3)


def test_text_nested_without_end_is_refused(tmp_path):
    for text in ("[" * 200_000, '{"people":' * 100_000):
        (tmp_path / "deep.json").write_text(text)
        with pytest.raises(InputError, match=r"keypoint file deep\.json"):
            load_keypoints(tmp_path / "deep.json")
    (tmp_path / "digits.json").write_text("9" * 100_000)
    with pytest.raises(InputError, match="keypoint"):
        load_keypoints(tmp_path / "digits.json")
    (tmp_path / "binary.json").write_bytes(bytes(range(256)) * 4)
    with pytest.raises(InputError, match="not JSON"):
        load_keypoints(tmp_path / "binary.json")


def test_what_comfyui_finds_by_itself_is_read():
    """The node SDPose Keypoint Extractor: 70 points of a face, feet, hands, low scores."""
    parts = {
        "foot_keypoints_2d": flat([(60 + k, 90, 0.9) for k in range(6)]),
        "face_keypoints_2d": flat([(50 + k % 9, 20 + k // 9, 0.8) for k in range(70)]),
        "hand_right_keypoints_2d": hand(20, 40),
        "hand_left_keypoints_2d": flat([(0.5, 0.5, 0.01)] * 21),
    }
    pose = parse_keypoints([frame(person(confidence=0.7, **parts)), frame()])
    pixels = pose.map(lambda points: points * [WIDTH, HEIGHT, 1])
    assert pixels.body.shape[:2] == (2, 1) and not pixels.body[1].any()
    assert pixels.body[0, 0, 3] == pytest.approx([50, 28, 0.7], abs=1e-4)
    assert pixels.feet[0, 0, 5] == pytest.approx([65, 90, 0.9], abs=1e-4)
    assert pixels.face[0, 0, 10] == pytest.approx([51, 21, 0.8], abs=1e-4)
