"""Who is who over time, gaps and smoothing, with made-up boxes and joints."""

from typing import NamedTuple

import numpy as np
import pytest

from dreamactor_core.pose.keypoints import Pose, pose_of_points
from dreamactor_core.pose.smooth import MAX_GAP, fill_gaps, smooth
from dreamactor_core.pose.track import follow

FPS = 30


class Frame(NamedTuple):
    boxes: np.ndarray
    scores: np.ndarray
    kinds: np.ndarray


def frame(*subjects) -> Frame:
    """(left, top) or (left, top, kind) of boxes of 40 x 100."""
    boxes = np.array([(x, y, x + 40, y + 100) for x, y, *_ in subjects], float).reshape(-1, 4)
    kinds = np.array([rest[0] if rest else 0 for _, _, *rest in subjects], int)
    return Frame(boxes, np.full(len(subjects), 0.9), kinds)


def times(count: int, fps: float = FPS) -> list[float]:
    return [t / fps for t in range(count)]


def numbers(frames: list[Frame], fps: float = FPS) -> list[list[int]]:
    return [n.tolist() for n in follow(frames, times(len(frames), fps), 0.5)]


# Who is who


def test_two_who_cross_keep_their_numbers():
    frames = [frame((10 + 8 * t, 0), (210 - 8 * t, 30)) for t in range(25)]
    found = numbers(frames)
    assert all(set(n) == {0, 1} for n in found)
    assert all(n == found[0] for n in found)  # the order in the frames never changes here


def test_the_order_of_the_answer_does_not_matter():
    frames = [frame((10, 0), (300, 0)), frame((300, 0), (10, 0)), frame((10, 0), (300, 0))]
    found = numbers(frames)
    assert found[0] == found[2] == found[1][::-1]


def test_who_is_hidden_for_a_second_keeps_the_number():
    frames = [frame((50 + 2 * t, 0)) for t in range(10)] + [frame()] * 30
    frames += [frame((50 + 2 * t, 0)) for t in range(40, 50)]
    found = numbers(frames)
    assert found[0] == found[9] == found[-1] == [0]
    assert found[10:40] == [[]] * 30


def test_who_comes_back_after_three_seconds_is_new():
    found = numbers([frame((50, 0))] * 5 + [frame()] * 90 + [frame((50, 0))] * 5)
    assert found[0] == [0] and found[-1] == [1]


def test_a_box_of_one_frame_gets_no_number():
    found = numbers([frame((50, 0))] * 3 + [frame((50, 0), (400, 0))] + [frame((50, 0))] * 3)
    assert found[3] == [0, -1]


def test_who_enters_later_is_numbered_from_the_first_frame_seen():
    found = numbers([frame((50, 0))] * 4 + [frame((50, 0), (400, 0))] * 4)
    assert found[4] == [0, 1]


def test_a_rider_and_his_horse_are_two():
    frames = [frame((50 + 5 * t, 0, 0), (50 + 5 * t, 0, 1)) for t in range(8)]
    found = numbers(frames)
    assert found == [found[0]] * 8 and len(set(found[0])) == 2


def test_uneven_times_are_followed():
    uneven = [0, 0.05, 0.18, 0.25, 0.33, 0.5]
    frames = [frame((100 + 60 * t, 0)) for t in uneven]
    assert [n.tolist() for n in follow(frames, uneven, 0.5)] == [[0]] * 6


def test_a_still_picture_numbers_everyone():
    assert numbers([frame((0, 0), (100, 0), (200, 0))]) == [[0, 1, 2]]


def test_nobody_at_all():
    assert numbers([frame()] * 4) == [[]] * 4


def test_low_scores_are_not_followed():
    sure = frame((50, 0), (400, 0))
    unsure = Frame(sure.boxes, np.array([0.9, 0.4]), sure.kinds)
    assert numbers([unsure] * 4) == [[0, -1]] * 4


def test_two_who_turn_back_where_they_meet_are_told_from_two_who_pass():
    meet = [abs(t - 12) * 8 for t in range(25)]
    passing = [frame((200 - 8 * (12 - t), 0), (200 + 8 * (12 - t), 4)) for t in range(25)]
    assert numbers(passing) == [[0, 1]] * 25
    turning = [frame((200 - x, 0), (250 + x, 4)) for x in meet]
    assert numbers(turning) == [[0, 1]] * 25


# The same as a tracking library says (of the packages for tests; users do not install it)


class Scene(NamedTuple):
    frames: list[Frame]
    people: list[np.ndarray]  # who each box is, (n,) a frame


def dancers(seed: int, count: int, fps: float, rough: bool) -> Scene:
    """Five seconds of people who sway, hop and drift. rough: hidden, missed, boxes that tremble."""
    rng = np.random.default_rng(seed)
    t = np.arange(round(5 * fps)) / fps

    def wave(reach: tuple, rate: tuple) -> np.ndarray:
        size, speed, phase = (rng.uniform(*r, (count, 1)) for r in (reach, rate, (0, 6)))
        return size * np.sin(2 * np.pi * speed * t + phase)

    x = rng.uniform(100, 900, (count, 1)) + wave((20, 250), (0.1, 0.6))
    x += rng.uniform(-60, 60, (count, 1)) * t
    y = rng.uniform(200, 400, (count, 1)) + wave((0, 40), (0.3, 1))
    half_width = rng.uniform(30, 70, (count, 1)) + wave((0, 12), (0.2, 1))
    half_height = rng.uniform(100, 175, (count, 1)) + 0 * t
    boxes = np.stack([x - half_width, y - half_height, x + half_width, y + half_height], axis=-1)
    hidden = rng.uniform(0, 8, (count, 1))
    absent = (t > hidden) & (t < hidden + 1) | (rng.random(x.shape) < 0.1)
    there = ~(absent & rough)
    frames, people = [], []
    for k in range(len(t)):
        who = rng.permutation(np.flatnonzero(there[:, k]))
        seen = boxes[who, k] + rough * rng.normal(0, 5, (len(who), 4))
        frames.append(Frame(seen, rng.uniform(0.55, 1, len(who)), np.zeros(len(who), int)))
        people.append(who)
    return Scene(frames, people)


def followed_by_trackers(scene: Scene, fps: float) -> list[np.ndarray]:
    reason = "the package `trackers` is not installed, so our tracker was NOT compared with it"
    trackers = pytest.importorskip("trackers", reason=reason)
    supervision = pytest.importorskip("supervision", reason=reason)
    tracker = trackers.OCSORTTracker(
        lost_track_buffer=60,
        frame_rate=fps,
        minimum_consecutive_frames=1,
        minimum_iou_threshold=0.2,
        high_conf_det_threshold=0.5,
    )
    answers = []
    for frame, time in zip(scene.frames, times(len(scene.frames), fps), strict=True):
        index = {"index": np.arange(len(frame.boxes))}
        given = supervision.Detections(xyxy=frame.boxes, confidence=frame.scores, data=index)
        answer = tracker.update(given, timestamp=time)
        here = np.full(len(frame.boxes), -1)
        if len(answer):
            here[answer.data["index"]] = answer.tracker_id
        answers.append(here)
    return answers


def switches(given: list[np.ndarray], people: list[np.ndarray]) -> int:
    """How often a person's number changes."""
    last: dict[int, int] = {}
    count = 0
    for here, who in zip(given, people, strict=True):
        for number, person in zip(here.tolist(), who.tolist(), strict=True):
            if number >= 0:
                count += last.get(person, number) != number
                last[person] = number
    return count


@pytest.mark.parametrize("count", [1, 2, 3])
def test_clean_boxes_are_numbered_as_trackers_numbers_them(count):
    for seed in range(5):
        scene = dancers(seed, count, 30, rough=False)
        ours = np.concatenate(follow(scene.frames, times(len(scene.frames)), 0.5))
        theirs = np.concatenate(followed_by_trackers(scene, 30))
        both = (ours >= 0) & (theirs >= 0)  # it leaves out a subject's first frame
        assert both.sum() >= 0.95 * len(ours)
        pairs = set(zip(ours[both].tolist(), theirs[both].tolist(), strict=True))
        assert len(pairs) == len(set(ours[both])) == len(set(theirs[both]))


def test_rough_boxes_are_followed_no_worse_than_by_trackers():
    ours = theirs = 0
    for seed in range(12):
        fps = (12, 24, 30, 60)[seed % 4]
        scene = dancers(seed, 4, fps, rough=True)
        ours += switches(follow(scene.frames, times(len(scene.frames), fps), 0.5), scene.people)
        theirs += switches(followed_by_trackers(scene, fps), scene.people)
    assert ours <= theirs


# Gaps and smoothing


def pose_of(x: np.ndarray, confidence: np.ndarray | float = 1, aspect: float = 1.0) -> Pose:
    """One person whose joint 0 moves along x (t,); joints 1 and 2 rest at (0.5, 0), (0.5, 1)."""
    points = np.zeros((len(x), 1, 136, 3))
    points[:, 0, 0, 0], points[:, 0, 0, 1], points[:, 0, 0, 2] = x, 0.5, confidence
    points[:, 0, 1] = 0.5, 0, 1
    points[:, 0, 2] = 0.5, 1, 1
    return pose_of_points(points, aspect)


def joint(pose: Pose) -> np.ndarray:
    return pose.body[:, 0, 0]


def test_points_and_back():
    points = np.random.default_rng(0).random((2, 3, 136, 3))
    assert (pose_of_points(points, 1.5).points() == points).all()


def test_a_short_gap_lies_on_the_line_between():
    confidence = np.array([0.9, 0, 0.1, 0, 0.6, 0.8])
    filled = joint(fill_gaps(pose_of(np.array([0.1, 0, 7, 0, 0.5, 0.6]), confidence), times(6)))
    assert np.allclose(filled[:, 0], [0.1, 0.2, 0.3, 0.4, 0.5, 0.6])
    assert np.allclose(filled[:, 2], [0.9, 0.6, 0.6, 0.6, 0.6, 0.8])


def test_uneven_times_count_in_a_gap():
    filled = fill_gaps(pose_of(np.array([0.0, 0, 1]), np.array([1.0, 0, 1])), [0, 0.05, 0.2])
    assert np.allclose(joint(filled)[1], [0.25, 0.5, 1])


@pytest.mark.parametrize("gap, filled", [(MAX_GAP, True), (MAX_GAP + 0.02, False)])
def test_a_long_gap_stays_empty(gap, filled):
    pose = fill_gaps(pose_of(np.array([0.2, 0, 0.4]), np.array([1.0, 0, 1])), [0, gap / 2, gap])
    assert (joint(pose)[1, 2] > 0) == filled


def test_nothing_is_made_up_before_the_first_or_after_the_last():
    confidence = np.array([0, 0, 1, 1, 0, 0.0])
    pose = pose_of(np.array([0, 0, 0.3, 0.4, 0, 0]), confidence)
    assert (joint(fill_gaps(pose, times(6)))[:, 2] == confidence).all()


def test_a_resting_joint_is_held_still():
    rng = np.random.default_rng(0)
    noisy = 0.5 + 0.004 * rng.standard_normal(90)
    even = joint(smooth(pose_of(noisy), times(90)))[:, 0]
    assert np.abs(np.diff(even)).mean() < 0.35 * np.abs(np.diff(noisy)).mean()
    assert abs(even.mean() - 0.5) < 0.001


def test_fast_motion_keeps_its_reach_and_its_time():
    t = np.array(times(90))
    wave = 0.5 + 0.25 * np.sin(2 * np.pi * 2 * t)  # two waves a second, half a body wide
    even = joint(smooth(pose_of(wave), t))[:, 0]
    assert np.ptp(even) > 0.95 * np.ptp(wave)
    shifts = [np.corrcoef(even[5:-5], wave[5 + k : 85 + k])[0, 1] for k in (-1, 0, 1)]
    assert int(np.argmax(shifts)) == 1  # no delay


def test_a_steady_walk_is_not_delayed():
    walk = 0.01 * np.arange(60)
    even = joint(smooth(pose_of(walk), times(60)))[:, 0]
    assert np.abs(even - walk)[10:-10].max() < 1e-3


def test_a_sudden_start_is_followed_within_two_frames():
    step = np.where(np.arange(60) < 30, 0.3, 0.7)
    even = joint(smooth(pose_of(step), times(60)))[:, 0]
    assert abs(even[27] - 0.3) < 0.04 and abs(even[32] - 0.7) < 0.04


def test_the_filter_begins_anew_after_a_gap_and_leaves_confidence():
    confidence = np.r_[np.ones(10), np.zeros(20), np.full(10, 0.4)]
    pose = pose_of(np.r_[np.full(10, 0.1), np.zeros(20), np.full(10, 0.9)], confidence)
    even = joint(smooth(pose, times(40)))
    assert np.allclose(even[:10, 0], 0.1) and np.allclose(even[30:, 0], 0.9)
    assert (even[:, 2] == confidence).all()


def test_smoothing_is_the_same_for_large_and_small_people():
    rng = np.random.default_rng(1)
    noisy = 0.5 + 0.01 * rng.standard_normal(40)
    large = pose_of(noisy)
    small = large.map(lambda p: np.concatenate([p[..., :2] / 4, p[..., 2:]], axis=-1))
    one, other = (joint(smooth(p, times(40)))[:, 0] for p in (large, small))
    assert np.allclose(one / 4, other, atol=1e-9)


def test_smoothing_is_the_same_on_a_wide_canvas():
    rng = np.random.default_rng(1)
    noisy = 0.5 + 0.01 * rng.standard_normal(40)
    square, wide = pose_of(noisy), pose_of(noisy / 2, aspect=2.0)
    one, other = (joint(smooth(p, times(40)))[:, 0] for p in (square, wide))
    assert np.allclose(one / 2, other, atol=1e-9)
