"""Bodies on four legs, and others that lie, cut out and moved."""

import numpy as np
import pytest

from dreamactor_core.mini.skeletal.draw import Goal, draw_figure
from dreamactor_core.mini.skeletal.figure import Figure, Layer, cut_figures
from dreamactor_core.mini.skeletal.motion import Driver, perform
from dreamactor_core.skeleton import (
    ANKLE,
    ELBOW,
    FACE_JOINTS,
    FOOT,
    HIP,
    KNEE,
    NECK,
    NOSE,
    SHIN,
    SHOULDER,
    STANDING,
    THIGH,
    TORSO,
    WRIST,
)

PANEL = (256, 256)


def dog(sine: float, step: float = 0.0, size: float = 1.0, at: tuple[float, float] = (128, 160)):
    """(18, 2): a dog that faces right, turned so that `sine` of its length is seen; its forelegs
    `step` pixels ahead."""
    joints = np.zeros((18, 2))
    breadth = 28 * (1 - sine**2) ** 0.5  # of a trunk of 80 pixels
    for side, sign in ((0, -0.5), (1, 0.5)):
        for x, pairs in ((160 / 3, (SHOULDER, ELBOW, WRIST)), (-80 / 3, (HIP, KNEE, ANKLE))):
            for down, pair in zip((0, 25, 50), pairs, strict=True):
                ahead = step * down / 50 if x > 0 else 0.0
                joints[pair[side]] = x * sine + sign * breadth + ahead, down
    joints[NECK] = joints[list(SHOULDER)].mean(axis=0)
    joints[list(FACE_JOINTS)] = joints[NECK] + [30, -30]
    return size * joints + at


def acted(reference: np.ndarray, *poses: np.ndarray, shown: np.ndarray | None = None) -> list[Goal]:
    """What a figure, drawn but for its pixels, does of a driver's poses."""
    pixels = np.zeros((40, 40, 4), np.uint8)
    layers = {TORSO: Layer(pixels, (108, 140))}
    seen = np.ones(18, bool) if shown is None else shown
    figure = Figure(reference, reference, seen, layers, {})
    times = np.arange(len(poses)) / 8
    driver = Driver(np.stack(poses), seen, np.ones((len(poses), 18)), times)
    return perform(figure, driver, PANEL)


def test_a_leg_that_another_one_hides_is_drawn_as_its_like():
    """Of a far hind leg a hoof shows: it does not float about, but ends a leg."""
    joints = np.zeros((18, 3))
    joints[:, 2] = 1
    joints[list(FACE_JOINTS), :2] = 84, 26
    joints[NECK, :2] = 70, 38
    for side, off in ((0, 0), (1, 5)):
        for chain, x in (((SHOULDER, ELBOW, WRIST), 62), ((HIP, KNEE, ANKLE), 22)):
            for pair, y in zip(chain, (44, 60, 82), strict=True):
                joints[pair[side], :2] = x + off * (y > 44), y
    mask = np.zeros((100, 100), np.float32)
    mask[34:54, 16:72] = mask[20:40, 68:92] = 1  # trunk, head
    mask[54:86, 58:64] = mask[54:86, 65:70] = 1  # two forelegs
    mask[54:86, 19:25] = mask[82:86, 25:30] = 1  # a hind leg, and beside it a hoof
    picture = np.full((100, 100, 3), 90, np.uint8)
    (one,) = cut_figures(picture, picture, joints[None], mask)
    assert one.hidden == {THIGH[1], SHIN[1], FOOT[1]}
    moved = joints[:, :2].copy()
    moved[[KNEE[1], ANKLE[1]], 0] += 9, 18
    canvas = np.zeros((100, 100, 4), np.uint8)
    draw_figure(canvas, one, Goal(moved, np.zeros(2)))
    along = moved[KNEE[1]] + np.linspace(0, 1, 20)[:, None] * (moved[ANKLE[1]] - moved[KNEE[1]])
    columns, rows = along.astype(int).T
    assert (canvas[rows, columns, 3] == 255).all()
    assert one.layers[SHIN[1]] is one.layers[SHIN[0]]


def test_an_animal_that_is_drawn_from_the_front_runs_past_as_the_driver_does():
    goals = acted(dog(0.5), dog(1.0, 0, 0.8), dog(1.0, 20, 0.8))
    for goal, truth in zip(goals, (dog(1.0), dog(1.0, 20)), strict=True):
        assert np.abs(goal.joints - truth).max() < 1  # pixel


def test_an_animal_leaps_off_the_ground_that_it_stands_on():
    low, high = dog(1.0), dog(1.0, at=(128, 130))
    middles = [goal.joints[NECK, 1] for goal in acted(dog(1.0), low, high, low)]
    assert middles == pytest.approx([160, 130, 160])
    first_in_the_air = [goal.joints[NECK, 1] for goal in acted(dog(1.0), high, low)]
    assert first_in_the_air == pytest.approx([130, 160])


def test_a_back_stays_one_piece_above_the_legs():
    joints = dog(1.0)
    mask = np.zeros(PANEL, np.float32)
    mask[130:180, 84:172] = 1  # the joints of its legs lie in the middle of its trunk
    mask[175:215, 84:94] = mask[175:215, 160:170] = 1
    picture = np.full((*PANEL, 3), 128, np.uint8)
    body = np.column_stack([joints, np.ones(18)])
    (figure,) = cut_figures(picture, picture, body[None], mask)
    back = figure.layers[TORSO]
    left, top = back.corner
    row = back.pixels[135 - top, :, 3]
    assert (left, row[: 160 - left].min()) == (84, 255)


@pytest.mark.parametrize("turn", [0.0, 0.6])
def test_a_fish_leads_with_its_head_and_lies_as_the_driver_does(turn):
    shown = np.zeros(18, bool)
    shown[[NECK, *HIP]] = True
    fish = np.tile([90.0, 120.0], (18, 1))
    fish[NECK] = 170, 120 + 80 * np.tan(turn)
    level = np.tile([60.0, 100.0], (18, 1))
    level[NECK] = 140, 100
    goal = acted(fish, level, level, shown=shown)[0]
    length = np.linalg.norm(fish[NECK] - fish[HIP[0]])
    assert goal.joints[NECK] == pytest.approx(fish[NECK])
    assert goal.joints[HIP[0]] == pytest.approx(fish[NECK] - [length, 0])


def test_a_fish_becomes_no_smaller_than_its_way_needs():
    """Its feet are made up, here just below the picture's upper border: it does not stand there."""
    shown = np.zeros(18, bool)
    shown[[NECK, *HIP]] = True
    fish = np.tile([110.0, 24.0], (18, 1))
    fish[NECK], fish[list(ANKLE)] = (146, 24), (100, 9)
    pixels = np.zeros((40, 40, 4), np.uint8)
    figure = Figure(fish, fish, shown, {TORSO: Layer(pixels, (108, 4))}, {})
    path = np.stack([fish - np.array([0, up]) for up in (0, 20, 0)])
    goals = perform(figure, Driver(path, shown, np.ones((3, 18)), np.arange(3) / 8), PANEL)
    tops = [goal.joints[NECK, 1] - 20 * goal.size for goal in goals]
    assert goals[0].size > 0.65 and min(tops) > 0


def test_somebody_who_has_lain_down_gets_up_with_a_driver_who_stands():
    up = 40 * np.array(STANDING) + [128, 80]
    flat = (up - up[NECK]) @ np.array([[0, 1], [-1, 0]]) + [180, 150]
    goal = acted(flat, up, up)[0]
    x, y = goal.joints[NECK] - goal.joints[list(HIP)].mean(axis=0)
    assert (abs(x), y) == (pytest.approx(0, abs=1e-6), pytest.approx(-40))
    assert goal.joints[NOSE, 1] < goal.joints[NECK, 1] < goal.joints[ANKLE[0], 1]


def test_an_animal_that_comes_towards_the_camera_runs_past_as_the_driver_does():
    goal = acted(dog(0.0), dog(1.0, 20))[0]
    assert np.abs(goal.joints - goal.joints[NECK] - (dog(1.0, 20) - dog(1.0)[NECK])).max() < 1


def test_shoulders_one_behind_the_other_change_no_legs():
    """Whose shoulders come first is chance when an animal is seen from the side."""
    reference, driver = dog(0.999), dog(0.999, 20)
    driver[list(SHOULDER)] = driver[list(SHOULDER)[::-1]]
    driver[WRIST[0]] += [12, 0]
    right, left = acted(reference, driver)[0].joints[list(WRIST), 0]
    assert right - left == pytest.approx(driver[WRIST[0], 0] - driver[WRIST[1], 0], abs=0.5)


@pytest.mark.parametrize("shown", [0, 2])
def test_the_picture_shows_the_moment_of_the_motion_that_is_like_it(shown):
    poses = [dog(1.0, step, at=(100 + step, 160)) for step in (0, 20, 40)]
    goals = acted(dog(1.0, (0, 20, 40)[shown]), *poses)
    assert goals[shown].joints[NECK, 0] == pytest.approx(dog(1.0)[NECK, 0], abs=2)


def test_a_posture_that_the_driver_never_has_tells_no_moment():
    poses = [dog(1.0, step, at=(100 + step, 160)) for step in (0, 20, 40)]
    goals = acted(dog(1.0, -120), *poses)
    assert np.mean([goal.joints[NECK, 0] for goal in goals]) == pytest.approx(181.3, abs=2)


def test_a_head_is_held_as_the_picture_has_it_at_the_moment_that_it_shows():
    low, high = dog(1.0, 40), dog(1.0)
    low[list(FACE_JOINTS)] += [0, 60]  # grazes
    reference = dog(1.0)
    reference[list(FACE_JOINTS)] += [-15, -15]
    grazing, _, standing = acted(reference, low, low, high)
    muzzles = [goal.joints[NOSE] - goal.joints[NECK] for goal in (grazing, standing)]
    angles = np.degrees(np.arctan2(*np.transpose(muzzles)[::-1]))
    own = np.degrees(np.arctan2(-45, 15))
    assert angles == pytest.approx([own + 90, own], abs=1)
