"""Skeletal animation: figures cut out, joints that move, frames pixel by pixel."""

from dataclasses import replace
from itertools import pairwise

import cv2
import numpy as np
import pytest
import torch

from dreamactor_core.errors import InputError
from dreamactor_core.jobs.background import Background, background_of
from dreamactor_core.jobs.job import Job
from dreamactor_core.jobs.painter import cutout_panel, cutout_rate, with_painter
from dreamactor_core.jobs.run import animate_file, read_inputs
from dreamactor_core.media import (
    probe,
    read_frames,
    read_image,
    read_mask,
    write_image,
    write_video,
)
from dreamactor_core.mini.skeletal.draw import Goal, draw_figure, set_out
from dreamactor_core.mini.skeletal.feet import bent_leg, planted, stand
from dreamactor_core.mini.skeletal.figure import Figure, cut_figures, sharpened
from dreamactor_core.mini.skeletal.ground import clean_ground
from dreamactor_core.mini.skeletal.motion import driver_at, main_bodies, perform
from dreamactor_core.mini.skeletal.order import USUAL_ORDER, ordered, orders_of
from dreamactor_core.mini.skeletal.repeats import fill_repeats
from dreamactor_core.mini.skeletal.skirt import Skirt
from dreamactor_core.models import find, skeletal
from dreamactor_core.pose.keypoints import Pose
from dreamactor_core.skeleton import (
    ANKLE,
    ELBOW,
    FOREARM,
    HIP,
    KNEE,
    NECK,
    SHIN,
    SHOULDER,
    TORSO,
    UPPER_ARM,
    WRIST,
)

from .test_guides import FIGURE, figure, pose_of

STANDS = np.zeros(2)
RED, PAPER = (200, 30, 40), (240, 235, 220)


def drawing() -> np.ndarray:
    """The figure of test_guides in red on paper that is lit from one side."""
    lit = np.linspace(0, 10, 100)[None, :, None]
    mask = figure()[..., None]
    return np.rint(mask * RED + (1 - mask) * (np.array(PAPER) - lit)).astype(np.uint8)


def cut():
    picture = drawing()
    ground = clean_ground(picture, figure())
    (one,) = cut_figures(picture, ground, FIGURE[None], figure())
    return picture, ground, one


def drawn(one, joints: np.ndarray, size: float = 1.0) -> np.ndarray:
    canvas = np.zeros((100, 100, 4), np.uint8)
    draw_figure(canvas, one, Goal(joints, STANDS, size))
    return canvas


def turned_about(joints: np.ndarray, joint: int, moved: tuple[int, ...], degrees: float):
    """Some joints turned about another one."""
    angle = np.radians(degrees)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    made = joints.copy()
    made[list(moved)] = (joints[list(moved)] - joints[joint]) @ turn.T + joints[joint]
    return made


@pytest.mark.parametrize("touches", [False, True])
def test_what_hangs_on_the_hand_alone_goes_with_it(touches):
    """A sword that hangs down from it; not what lies along the trunk as well, as a cloak."""
    mask = figure()
    mask[31:62, 9:13] = 1
    if touches:
        mask[40:58, 9:41] = 1
    (one,) = cut_figures(drawing(), clean_ground(drawing(), mask), FIGURE[None], mask)
    shown = np.zeros((100, 100), bool)
    layer = one.layers[FOREARM[0]]
    height, width = layer.pixels.shape[:2]
    x, y = layer.corner
    shown[y : y + height, x : x + width] = layer.pixels[..., 3] > 0
    assert shown[48:60, 10:12].any() != touches and shown[48:60, 10:12].all() != touches


@pytest.mark.parametrize(("hem", "skirt"), [(80, Skirt.KNEES), (94, Skirt.ANKLES)])
def test_a_skirt_stays_in_one_piece_when_a_leg_is_raised(hem, skirt):
    mask = figure()
    cv2.fillConvexPoly(mask, np.array([[40, 57], [59, 57], [66, hem], [33, hem]]), 1)
    picture = np.full((100, 100, 3), 90, np.uint8)
    (one,) = cut_figures(picture, picture, FIGURE[None], mask)
    assert one.skirt == skirt
    joints = turned_about(one.joints, HIP[1], (KNEE[1], ANKLE[1]), -50)
    cover = (drawn(one, joints)[..., 3] > 128).astype(np.uint8)
    pieces, _ = cv2.connectedComponents(cover)
    assert pieces == 2 and abs(int(cover.sum()) - mask.sum()) < 0.1 * mask.sum()
    holes, _ = cv2.connectedComponents(1 - cover)
    assert holes == 2  # the ground, and none within
    (bare,) = cut_figures(picture, picture, FIGURE[None], figure())
    assert bare.skirt == Skirt.NONE


# Ground


def test_the_ground_is_the_picture_bit_for_bit_where_no_figure_is():
    picture, ground, _ = cut()
    near = cv2.dilate(figure(), np.ones((7, 7))) > 0
    assert np.array_equal(ground[~near], picture[~near])
    assert np.abs(ground[near].astype(int) - [235, 230, 215]).max() <= 8  # nothing of it is red


def test_a_ground_with_structure_goes_on_behind_the_figure():
    """Stripes of 8 pixels, dark and bright: a blur would be 50 off everywhere."""
    stripes = np.where(np.arange(100) // 8 % 2, 190, 90).astype(np.uint8)
    wall = np.repeat(np.broadcast_to(stripes, (100, 100))[..., None], 3, axis=2)
    mask = np.zeros((100, 100), np.float32)
    mask[30:80, 40:65] = 1
    picture = np.where(mask[..., None] > 0, 255, wall).astype(np.uint8)
    made = clean_ground(picture, mask)
    assert np.abs(made.astype(int) - wall)[30:80, 40:65].mean() < 15
    assert np.array_equal(made, clean_ground(picture, mask))


def checks() -> np.ndarray:
    """(100, 100, 3): squares of 16 pixels in two greens that differ by less than structure does."""
    odd = np.add.outer(np.arange(100) // 16, np.arange(100) // 16) % 2
    return np.where(odd[..., None], (92, 148, 84), (98, 160, 108)).astype(np.uint8)


def horizon() -> np.ndarray:
    """(100, 100, 3): a sky that is paler below, and a field."""
    sky = np.linspace(120, 220, 60)[:, None, None] * np.array([0.6, 0.8, 1.0])
    field = np.broadcast_to((90, 140, 60), (40, 1, 3))
    return np.rint(np.repeat(np.concatenate([sky, field]), 100, axis=1)).astype(np.uint8)


@pytest.mark.parametrize("ground_of", [checks, horizon])
def test_a_ground_that_repeats_itself_goes_on_exactly(ground_of):
    mask = np.zeros((100, 100), np.float32)
    mask[30:80, 40:65] = 1
    picture = np.where(mask[..., None] > 0, 255, ground_of()).astype(np.uint8)
    assert np.array_equal(clean_ground(picture, mask), ground_of())


def test_a_ground_of_noise_is_not_taken_for_one_that_repeats_itself():
    noise = np.random.default_rng(0).integers(0, 256, (60, 80, 3)).astype(np.uint8)
    hidden = np.zeros((60, 80), bool)
    hidden[20:40, 30:50] = True
    made, left = fill_repeats(noise, hidden)
    assert np.array_equal(made, noise) and np.array_equal(left, hidden)


def test_a_hill_is_not_continued_in_steps():
    """Along a slope nothing repeats itself: each column is the one before, a little lower."""
    rows, columns = np.mgrid[:100, :100]
    hill = rows > 30 + 20 * np.sin(columns / 30)
    picture = np.where(hill[..., None], (90, 200, 120), (230, 90, 170)).astype(np.uint8)
    hidden = np.zeros((100, 100), bool)
    hidden[10:95, 45:70] = True
    made, left = fill_repeats(picture, hidden)
    wrong = (made != picture).any(axis=2) & ~left
    assert wrong.sum() < 0.02 * hidden.sum()


def test_a_figure_that_is_all_of_the_picture_leaves_its_ground_as_it_was():
    picture = drawing()
    assert np.array_equal(clean_ground(picture, np.ones((100, 100), np.float32)), picture)


# Cutting and drawing


def test_a_figure_in_its_own_pose_is_the_picture():
    picture, ground, one = cut()
    canvas = np.dstack([ground, np.full((100, 100), 255, np.uint8)])
    draw_figure(canvas, one, Goal(FIGURE[:, :2], STANDS))
    inside = figure() > 0
    assert np.abs(canvas[inside][:, :3].astype(int) - picture[inside]).max() <= 1
    assert np.array_equal(canvas[~inside][:, :3], ground[~inside])


def test_a_forearm_turned_by_ninety_degrees_covers_these_pixels():
    _, _, one = cut()
    canvas = drawn(one, turned_about(FIGURE[:, :2], ELBOW[0], (WRIST[0],), 90))
    solid = np.zeros((100, 100), bool)
    solid[13:26, 25:29] = True  # up from the elbow at (27, 31), as far as the arm was long
    assert (canvas[solid][:, 3] == 255).all()
    assert (canvas[26:37, 8:22, 3] == 0).all()  # where it was
    assert np.abs(canvas[solid][:, :3].astype(int) - RED).max() <= 1


@pytest.mark.parametrize("degrees", [-120, -60, 60, 120])
@pytest.mark.parametrize(
    ("joint", "moved"), [(ELBOW[0], (WRIST[0],)), (KNEE[1], (ANKLE[1],)), (ELBOW[1], (WRIST[1],))]
)
def test_a_limb_bent_by_120_degrees_has_no_hole(joint, moved, degrees):
    _, _, one = cut()
    joints = turned_about(FIGURE[:, :2], joint, moved, degrees)
    canvas = drawn(one, joints)
    ends = [FIGURE[joint - 1, :2], joints[joint], joints[moved[0]]]
    bones = np.zeros((100, 100), np.uint8)
    for start, end in pairwise(ends):
        a, b = (np.rint(point - 0.5).astype(int).tolist() for point in (start, end))
        cv2.line(bones, a, b, 1, 1)
    y, x = np.mgrid[:100, :100] + 0.5
    about = (x - joints[joint, 0]) ** 2 + (y - joints[joint, 1]) ** 2 <= 2.5**2
    assert (canvas[(bones > 0) | about][:, 3] == 255).all()


def test_a_smaller_figure_is_as_much_smaller_on_all_sides():
    _, _, one = cut()
    half = (FIGURE[:, :2] - 50) * 0.5 + 50
    canvas = drawn(one, half, 0.5)
    rows, columns = (np.flatnonzero(canvas[..., 3].max(axis=axis) > 127) for axis in (1, 0))
    assert (rows[0], rows[-1]) == (27, 72) and (columns[0], columns[-1]) == (29, 70)


def test_a_blurred_outline_is_made_sharp_and_a_sharp_one_stays():
    blurred = cv2.GaussianBlur(figure(), (0, 0), 3)
    partly = (sharpened(blurred) > 0.02) & (sharpened(blurred) < 0.98)
    assert partly.sum() < 0.35 * ((blurred > 0.02) & (blurred < 0.98)).sum()
    assert np.array_equal(sharpened(figure()), figure())


def test_each_of_two_figures_has_its_own_pixels():
    picture, mask = np.hstack([drawing()] * 2), np.hstack([figure()] * 2)
    bodies = np.stack([FIGURE + np.array([100, 0, 0]), FIGURE])
    left, right = cut_figures(picture, picture, bodies, mask)
    assert left.joints[NECK, 0] == 50 and right.joints[NECK, 0] == 150
    assert left.box[1][0] <= 100 <= right.box[0][0]


def test_an_arm_takes_no_more_of_a_broad_trunk_than_goes_on_along_its_bone():
    mask = figure()
    mask[27:60, 36:64] = 1
    picture = np.where(mask[..., None] > 0, RED, PAPER).astype(np.uint8)
    (broad,) = cut_figures(picture, picture, FIGURE[None], mask)
    assert covers(broad, UPPER_ARM[0], 31, 34) and not covers(broad, UPPER_ARM[0], 41, 38)
    assert covers(broad, TORSO, 41, 38)


def covers(figure: Figure, part: int, y: int, x: int) -> bool:
    layer = figure.layers[part]
    row, column = y - layer.corner[1], x - layer.corner[0]
    inside = 0 <= row < layer.pixels.shape[0] and 0 <= column < layer.pixels.shape[1]
    return bool(inside and layer.pixels[row, column, 3] > 0)


# Motion


def moving(change, count: int = 10) -> np.ndarray:
    """(t, 18, 3): change(joints, share of the time) in each of count frames."""
    frames = np.repeat(FIGURE[None], count, axis=0)
    for k, frame in enumerate(frames):
        frame[:, :2] = change(FIGURE[:, :2], k / (count - 1))
    return frames


def act(body: np.ndarray, rate: float = 10.0) -> list[Goal]:
    _, _, one = cut()
    times = np.arange(len(body)) / rate
    return perform(one, driver_at(body, times, times), (100, 100))


def test_a_driver_who_stands_as_the_figure_leaves_it_as_it_is():
    for goal in act(moving(lambda joints, _: joints)):
        assert np.allclose(goal.joints, FIGURE[:, :2], atol=0.01) and goal.size == 1


def test_a_driver_of_another_size_at_another_place_moves_the_same():
    body = moving(lambda joints, share: turned_about(joints, 3, (4,), 90 * share))
    goals, others = act(body), act(body * [3, 3, 1] + [70, 20, 0])
    for goal, other in zip(goals, others, strict=True):
        assert np.allclose(goal.joints, other.joints, atol=0.01)
    assert np.allclose(goals[-1].joints[WRIST[0]], [27, 16], atol=0.6)


def test_joints_that_the_driver_never_shows_do_not_pull():
    body = moving(lambda joints, share: turned_about(joints, 3, (4,), 90 * share))
    body[:, [9, 10, 12, 13], 2] = 0
    body[:, [9, 10, 12, 13], :2] = 0
    last = act(body)[-1].joints
    assert np.allclose(last[[9, 10, 12, 13]], FIGURE[[9, 10, 12, 13], :2], atol=0.5)


def test_a_half_body_stays_where_the_border_cuts_it_off():
    """Its legs are made up below the picture: a driver's jump, fall or step is none of theirs."""
    body = moving(lambda joints, share: joints + np.array([0, 40 * np.sin(6 * share)]))
    body[:, list(ANKLE), 2] = 0  # where his feet are nobody knows
    down, sizes, height = sinking(body)
    assert down.min() == pytest.approx(0, abs=0.01)  # never up, for below it nothing is known
    assert 0 < down.max() <= 0.12 * height + 0.01 and sizes == {1.0}


def test_a_half_body_does_not_sink_as_a_driver_comes_nearer_but_as_he_crouches():
    """He grows, and his feet go down in his picture."""
    nearer = moving(lambda joints, share: joints * (1 + share))
    assert np.abs(sinking(nearer)[0]).max() < 0.01
    knees_out = np.zeros((18, 2))
    knees_out[list(KNEE)] = [[-14, -2], [14, -2]]
    upper = [joint for joint in range(18) if joint not in (*KNEE, *ANKLE)]
    knees_out[upper] = [0, 10]
    down, _, height = sinking(moving(lambda joints, share: joints + share * knees_out))
    assert 4 < down[-1] <= 0.12 * height + 0.01 and (np.diff(down) > -0.01).all()


def sinking(body: np.ndarray) -> tuple[np.ndarray, set[float], int]:
    """How far down a figure goes that is cut off above its hips, how large it is then, and how high
    its picture is."""
    picture, ground, _ = cut()
    hips = int(FIGURE[list(HIP), 1].min()) - 6
    (half,) = cut_figures(picture[:hips], ground[:hips], FIGURE[None], figure()[:hips])
    times = np.arange(len(body)) / 10
    goals = perform(half, driver_at(body, times, times), (hips, 100))
    down = np.array([goal.joints[NECK, 1] - FIGURE[NECK, 1] for goal in goals])
    return down, {goal.size for goal in goals}, hips


def test_a_bust_that_leans_does_not_show_where_the_border_cuts_it_off():
    mask = figure()[:52]  # above the hips
    mask[34:, 20:85] = 1  # a broad coat
    picture = np.full((52, 100, 3), 90, np.uint8)
    (half,) = cut_figures(picture, picture, FIGURE[None], mask)
    body = moving(lambda joints, share: turned_about(joints, HIP[0], tuple(range(8)), 15 * share))
    times = np.arange(len(body)) / 10
    last = perform(half, driver_at(body, times, times), (52, 100))[-1].joints
    canvas = np.zeros((52, 100, 4), np.uint8)
    draw_figure(canvas, half, Goal(last, STANDS))
    assert np.linalg.norm(last[NECK] - FIGURE[NECK, :2]) > 3
    assert canvas[-1, 30:80, 3].min() == 255


def test_a_driver_seen_from_behind_moves_the_limb_on_the_same_side_of_the_picture():
    mirrored = [0, 1, 5, 6, 7, 2, 3, 4, 11, 12, 13, 8, 9, 10, 15, 14, 17, 16]
    body = moving(lambda joints, share: turned_about(joints, 3, (4,), 90 * share))
    seen, behind = act(body)[-1].joints, act(body[:, mirrored])[-1].joints
    assert np.allclose(seen[WRIST[0]], behind[WRIST[0]], atol=0.6)


def test_a_figure_on_its_head_stands_up_with_the_driver():
    """Not with its trunk upside down and its limbs the right way round; arms on their own sides."""
    head_down = FIGURE * [-1, -1, 1] + [100, 100, 0]
    mask = np.ascontiguousarray(figure()[::-1, ::-1])
    picture = np.full((100, 100, 3), 90, np.uint8)
    (one,) = cut_figures(picture, picture, head_down[None], mask)
    body = moving(lambda joints, share: turned_about(joints, 3, (4,), 90 * share))
    times = np.arange(len(body)) / 10
    goals = perform(one, driver_at(body, times, times), (100, 100))
    own = np.array([goal.joints for goal in goals])
    assert np.allclose(own - own[:, [NECK]], body[..., :2] - body[:, [NECK], :2], atol=1)
    assert own[:, list(ANKLE), 1].max() == pytest.approx(head_down[:, 1].max(), abs=5)


def test_who_lies_as_the_driver_does_holds_the_head_as_the_picture_shows_it():
    """The line of a driver's ears is level with his shoulders, not with the ground."""
    lying = FIGURE[:, [1, 0, 2]] * [1, -1, 1] + [0, 100, 0]
    mask = np.rot90(figure())
    picture = np.full((100, 100, 3), 90, np.uint8)
    (one,) = cut_figures(picture, picture, lying[None], np.ascontiguousarray(mask))
    times = np.arange(5) / 10
    for goal in perform(one, driver_at(np.stack([lying] * 5), times, times), (100, 100)):
        assert np.allclose(goal.joints, lying[:, :2], atol=0.01)


def test_who_lay_across_all_of_a_low_picture_is_made_smaller_to_stand_in_it():
    """A hand at its upper border is no sign that the picture cuts off a head."""
    mask = np.rot90(figure())
    top = int(np.flatnonzero(mask.any(axis=1))[0])
    lying = FIGURE[:, [1, 0, 2]] * [1, -1, 1] + [0, 100 - top, 0]
    mask = np.ascontiguousarray(mask[top:])
    picture = np.full((*mask.shape, 3), 90, np.uint8)
    (one,) = cut_figures(picture, picture, lying[None], mask)
    body = moving(lambda joints, share: turned_about(joints, 3, (4,), 90 * share))
    times = np.arange(len(body)) / 10
    for goal in perform(one, driver_at(body, times, times), mask.shape):
        assert goal.size < 0.95 and goal.joints[:, 1].min() > 0


def test_who_gets_up_stands_where_the_hips_lay_not_where_the_feet_came_towards_the_camera():
    lying = FIGURE[:, [1, 0, 2]] * [1, -1, 1] + [0, 170, 0]
    lying[[*KNEE, *ANKLE], 1] += [8, 8, 16, 16]
    mask = np.zeros((200, 100), np.float32)
    mask[70:170] = np.rot90(figure())
    picture = np.full((200, 100, 3), 90, np.uint8)
    (one,) = cut_figures(picture, picture, lying[None], mask)
    times = np.arange(5) / 10
    goals = perform(one, driver_at(np.stack([FIGURE] * 5), times, times), (200, 100))
    assert goals[0].joints[list(ANKLE), 1].max() == pytest.approx(lying[list(HIP), 1].mean(), abs=3)


def test_hips_of_short_legs_rise_and_sink_as_the_drivers():
    """A runner's, whose feet are never still; how his legs bend counts less."""
    body, times = np.stack([FIGURE] * 21), np.arange(21) / 10
    above = [joint for joint in range(18) if joint not in (*KNEE, *ANKLE)]
    body[:, above, 1] += (4 * np.sin(7 * times))[:, None]
    body[..., 0] += (30 * times)[:, None]
    _, _, one = cut()
    short = one.joints.copy()
    for side in (0, 1):
        short[ANKLE[side]] = (short[KNEE[side]] + short[ANKLE[side]]) / 2
    goals = perform(one._replace(joints=short), driver_at(body, times, times), (100, 100))
    high = np.array([goal.joints[list(HIP), 1].mean() for goal in goals])
    driven = body[:, HIP, 1].mean(axis=1)
    slope = np.polyfit(driven, high, 1)
    assert slope[0] > 0.7 and np.abs(high - np.polyval(slope, driven)).max() < 0.3


def test_between_two_frames_of_the_driver_joints_are_half_way():
    body = moving(lambda joints, share: joints + np.array([share, 0]), count=2)
    driver = driver_at(body, np.array([0.0, 1.0]), np.array([0.0, 0.25, 1.0]))
    assert np.allclose(driver.joints[:, NECK, 0], [50, 50.25, 51])
    body[1, NECK, 2] = 0  # a gap at the end is the last that was seen
    assert driver_at(body, np.array([0.0, 1.0]), np.array([1.0])).joints[0, NECK, 0] == 50


def test_the_largest_who_are_seen_longest_are_followed():
    people = np.zeros((4, 3, 18, 3))
    people[:, 0] = FIGURE * [0.3, 0.3, 1]
    people[:, 2] = FIGURE + np.array([200, 0, 0])
    people[:2, 1] = FIGURE
    assert main_bodies(people, 1) == [2] and main_bodies(people, 2) == [1, 2]
    assert main_bodies(people * [1, 1, 0], 1) == []


def test_it_sets_out_from_the_picture():
    _, _, one = cut()
    goals = set_out(one, Goal(one.joints + 8.0, np.ones(2), 0.5), 5)
    assert len(goals) == 5 and np.array_equal(goals[0].joints, one.joints)
    assert np.allclose(goals[2].joints, one.joints + 8 * 0.352) and goals[0].size == 1


# Feet


def test_a_foot_stands_where_the_drivers_stands():
    count = 30
    body = np.repeat(FIGURE[None], count, axis=0)
    sway = 6 * np.sin(np.linspace(0, 2 * np.pi, count))[:, None]
    upper = [joint for joint in range(18) if joint not in (9, 10, 12, 13)]
    body[:, upper, 0] += sway  # the hips sway, the feet stand
    body[:, [9, 12], 0] += sway / 2
    times = np.arange(count) / 30
    driver = driver_at(body, times, times)
    assert planted(driver.joints, driver.shown, times).all()
    _, _, one = cut()
    slides = np.ptp([goal.joints[list(ANKLE)] for goal in perform(one, driver, (100, 100))], axis=0)
    assert slides.max() < 0.01


def test_a_foot_that_goes_does_not_stand():
    count = 30
    body = np.repeat(FIGURE[None], count, axis=0)
    body[:, ANKLE[0], 0] -= np.linspace(0, 40, count)
    stands = planted(body[..., :2], np.ones(18, bool), np.arange(count) / 30)
    assert not stands[:, 0].any() and stands[:, 1].all()


def test_a_leg_bends_at_its_knee_and_keeps_its_length():
    leg = np.array([[[0.0, 0], [1, 10], [0, 20]]])
    knee, ankle = bent_leg(leg, np.array([[0.0, -4]]))[0]
    assert np.allclose(ankle, [0, 16]) and knee[0] > 1
    for bone, own in ((knee, leg[0, 1]), (ankle - knee, leg[0, 2] - leg[0, 1])):
        assert np.isclose(np.linalg.norm(bone), np.linalg.norm(own))
    _, far = bent_leg(leg, np.array([[0.0, 90]]))[0]
    assert np.isclose(far[1], 2 * np.hypot(1, 10), atol=1e-3)  # stretched, and no longer


def test_nobody_stands_in_a_clip_without_feet():
    joints, shown = np.zeros((9, 18, 2)), np.ones(18, bool)
    shown[list(ANKLE)] = False
    stands = planted(joints, shown, np.arange(9) / 9)
    assert not stands.any()
    assert np.array_equal(stand(joints, stands, np.arange(9) / 9), joints)


# What is in front


def orders(sure: np.ndarray) -> list:
    """Of a driver who stands, ten frames in a second; sure (10, 18)."""
    joints = np.repeat(FIGURE[None, :, :2], 10, axis=0)
    return orders_of(joints, np.ones(18, bool), sure, np.arange(10) / 10)


def test_an_arm_that_is_not_seen_while_the_shoulders_are_is_behind_the_trunk():
    sure = np.ones((10, 18))
    assert orders(sure) == [USUAL_ORDER] * 10
    assert USUAL_ORDER.index(TORSO) < USUAL_ORDER.index(FOREARM[0])
    sure[:, [ELBOW[0], WRIST[0]]] = 0.1
    (order, *_) = orders(sure)
    assert order.index(FOREARM[0]) < order.index(TORSO) < order.index(FOREARM[1])
    sure[:, list(SHOULDER)] = 0.2  # nothing is seen of him
    assert orders(sure) == [USUAL_ORDER] * 10


def test_the_leg_that_is_seen_is_in_front_and_stays_there():
    sure = np.ones((10, 18))
    sure[:4, [KNEE[1], ANKLE[1]]] = 0.4
    early, *_, late = orders(sure)
    assert early.index(SHIN[1]) < early.index(SHIN[0])
    assert late == early  # both are seen alike then: no reason to change
    sure[7:, [KNEE[0], ANKLE[0]]] = 0.4
    assert orders(sure)[-1] == USUAL_ORDER


def test_depth_tells_which_arm_is_behind_the_trunk_and_which_limb_in_front():
    """The right wrist goes from half a trunk behind it to half a trunk before it."""
    joints = np.repeat(FIGURE[None, :, :2], 10, axis=0)
    shown, sure, times = np.ones(18, bool), np.ones((10, 18)), np.arange(10) / 10
    trunk = np.linalg.norm(FIGURE[NECK, :2] - FIGURE[list(HIP), :2].mean(axis=0))
    depth = np.zeros((10, 18))
    depth[:, [ELBOW[0], WRIST[0]]] = trunk * np.linspace(1, -1, 10)[:, None]
    depth[:, [KNEE[1], ANKLE[1]]] = trunk
    told = orders_of(joints, shown, sure, times, depth)
    behind = [order.index(FOREARM[0]) < order.index(TORSO) for order in told]
    assert behind == [True] * 4 + [False] * 6
    assert told[9].index(FOREARM[0]) > told[9].index(FOREARM[1])  # and before the other arm
    assert all(order.index(SHIN[0]) > order.index(SHIN[1]) for order in told)
    assert orders_of(joints, shown, sure, times, 0 * depth) == [USUAL_ORDER] * 10


def test_what_is_drawn_last_hides_what_was_drawn_before():
    _, _, one = cut()
    joints = FIGURE[:, :2].copy()
    joints[[ELBOW[0], WRIST[0]]] = [[50, 40], [50, 52]]  # before the trunk
    blue = one.layers[FOREARM[0]].pixels.copy()
    blue[..., :3] = blue[..., 3:] * np.array([0, 0, 1], np.uint8)
    layers = one.layers | {FOREARM[0]: one.layers[FOREARM[0]]._replace(pixels=blue)}
    one = one._replace(layers=layers, hinges={})
    for hidden in (False, True):
        canvas = np.zeros((100, 100, 4), np.uint8)
        draw_figure(canvas, one, Goal(joints, STANDS, 1.0, ordered((hidden, False), 1)))
        assert (canvas[50, 50, 2] == 255) == (not hidden)


# Who draws, over what, and how often


@pytest.mark.parametrize(
    ("fps", "rate"),
    [(8, 24), (10, 30), (12, 24), (15, 30), (24, 24), (25, 25), (30, 30), (50, 25), (60, 30)],
)
def test_frames_come_as_often_as_the_drivers_or_so_many_times_more(fps, rate):
    assert cutout_rate(fps) == pytest.approx(rate)
    assert cutout_rate(30_000 / 1001) == 30_000 / 1001 and 24 <= cutout_rate(17.3) <= 30


def test_a_picture_is_drawn_as_fine_as_it_is_up_to_1024():
    assert cutout_panel(301, 401) == (300, 400)
    assert cutout_panel(4000, 3000) == (1024, 768) and cutout_panel(64, 32) == (256, 128)


def test_backgrounds(tmp_path):
    ground = np.full((4, 6, 3), 7, np.uint8)
    scene = tmp_path / "scene.mp4"
    write_video(scene, [np.full((8, 8, 3), level, np.uint8) for level in (0, 250)], 10)
    write_image(tmp_path / "still.png", np.full((9, 4, 3), 90, np.uint8))

    def first(told) -> np.ndarray:
        return next(background_of(told).frames(ground, 10))

    assert np.array_equal(first("reference")[..., :3], ground)
    assert not first("transparent").any()
    assert first("#0102ff").reshape(-1, 4)[0].tolist() == [1, 2, 255, 255]
    assert np.array_equal(first(str(tmp_path / "still.png")), [[[90, 90, 90, 255]] * 6] * 4)
    frames = background_of(str(scene)).frames(ground, 10)
    levels = [int(next(frames)[0, 0, 0]) for _ in range(4)]
    assert levels[0] < 10 and levels[1] > 240 and levels[2:] == levels[:2]  # it begins again
    for wrong in ("#12", "paper", ""):
        with pytest.raises(InputError, match="reference, transparent, a colour such as #00B140"):
            background_of(wrong)
    assert background_of("reference") == Background()


# The whole road


@pytest.fixture(scope="module")
def animator():
    return find("mini").open()


@pytest.fixture
def job(tmp_path):
    """A drawing, and a driver at 24 frames a second who lifts a forearm."""
    write_image(tmp_path / "drawing.png", drawing())
    body = moving(lambda joints, share: turned_about(joints, 3, (4,), 90 * share), 12)
    clip = tmp_path / "clip.mp4"
    write_video(clip, [np.zeros((64, 64, 3), np.uint8)] * 12, 24)
    pose = pose_of(FIGURE[None]).map(lambda points: np.repeat(points, 12, axis=0))
    pose.body[:, 0] = body / [100, 100, 1]
    return Job(
        tmp_path / "drawing.png",
        clip,
        tmp_path / "out.mp4",
        "pose-based",
        keypoints=pose,
        reference_keypoints=pose_of(FIGURE[None]),
        reference_mask=torch.from_numpy(figure())[None],
    )


def test_a_told_reference_is_cut_out_at_its_own_size_and_the_drivers_rate(animator, job):
    report = animate_file(animator, replace(job, size=100))
    assert report.painter == "cutout" and report.panel == (100, 100) and report.frames == 12
    frames = [frame.image for frame in read_frames(job.output)]
    assert all(not np.array_equal(a, b) for a, b in pairwise(frames))
    assert np.abs(frames[0].astype(int) - drawing()).mean() < 4
    assert frames[-1][14, 26, 0] > 150 > frames[-1][14, 26, 1]  # the forearm points up
    assert frames[-1][31, 14, 1] > 200  # and is gone from where it was


def test_the_network_draws_where_it_is_asked_for(animator, job):
    assert with_painter(animator, read_inputs(job), replace(job, painter="network"))[0] is animator


def test_without_joints_the_eye_finds_them_if_the_ground_is_another(animator, job):
    untold = replace(job, reference_keypoints=None, reference_mask=None, background="#00ff00")
    drawer, inputs = with_painter(animator, read_inputs(untold), untold)
    assert drawer.painter == "cutout" and inputs.guides.joints.shape[1:] == (18, 3)
    assert inputs.guides.mask.shape == (100, 100)
    plain = replace(untold, background="reference")
    assert with_painter(animator, read_inputs(plain), plain)[0] is animator


@pytest.mark.parametrize("ending", [".webm", ".mov"])
def test_a_transparent_ground_is_transparent_in_the_file(animator, job, ending):
    out = job.output.with_suffix(ending)
    animate_file(animator, replace(job, output=out, background="transparent", size=100))
    alpha = np.stack([frame.mask for frame in read_frames(out)])
    assert alpha[:, 2, 2].max() <= 2 and alpha[:, 45, 50].min() >= 253
    assert alpha[0, 31, 14] >= 250 and alpha[-1, 31, 14] <= 5


def test_frames_without_an_ending_are_pngs_with_alpha(animator, job, tmp_path):
    out = tmp_path / "frames"
    animate_file(animator, replace(job, output=out, background="transparent", size=100))
    files = sorted(out.iterdir())
    assert [file.name for file in files] == [f"{k:05d}.png" for k in range(12)]
    assert read_mask(files[0])[0, 2, 2] == 0 and read_mask(files[0])[0, 45, 50] == 1
    assert np.allclose(read_image(files[0])[0, 45, 50] * 255, RED, atol=1)


def test_side_by_side_and_a_lead_in(animator, job):
    out = job.output.with_suffix(".webm")
    both = replace(job, output=out, background="transparent", size=100, side_by_side=True)
    animate_file(animator, replace(both, keep_lead_in=True))
    info = probe(out)
    assert (info.width, info.num_frames) == (300, 25 + 12)


def test_only_frames_that_are_shown_are_drawn(animator, job, tmp_path, monkeypatch):
    """Of a driver at 10 frames a second every third of those at 30."""
    write_video(job.driving, [np.zeros((64, 64, 3), np.uint8)] * 12, 10, overwrite=True)
    count, made = [], {}

    def counted(*args):
        count.append(args)
        return draw_figure(*args)

    monkeypatch.setattr(skeletal, "draw_figure", counted)
    for rate, number in (("driver", 12), ("native", 36)):
        count.clear()
        made[rate] = tmp_path / rate
        animate_file(animator, replace(job, output=made[rate], rate=rate, size=100))
        assert len(count) == number
    for k in range(12):
        one, other = made["driver"] / f"{k:05d}.png", made["native"] / f"{3 * k:05d}.png"
        assert one.read_bytes() == other.read_bytes()


def test_the_same_job_gives_the_same_bytes(animator, job, tmp_path):
    files = [tmp_path / "a.mp4", tmp_path / "b.mp4"]
    for file in files:
        animate_file(animator, replace(job, output=file))
    assert files[0].read_bytes() == files[1].read_bytes()


def test_transparent_mp4_is_refused_in_one_sentence(job):
    with pytest.raises(InputError, match=r"transparent background in MP4.*Call it out.webm"):
        replace(job, background="transparent")
    with pytest.raises(InputError, match=r"need '.mp4', '.webm', '.mov', or none for a folder"):
        replace(job, output=job.output.with_suffix(".avi"))


def test_what_cannot_cut_out_has_no_other_ground(animator, job):
    for asked in ({"background": "#000000", "painter": "network"}, {"painter": "cutout"}):
        wrong = replace(job, **asked)
        blind = animator if asked["painter"] == "network" else _Blind()
        with pytest.raises(InputError, match="Leave it away"):
            with_painter(blind, read_inputs(wrong), wrong)


class _Blind:
    name, painter, eye = "large", "network", None


def test_a_driver_nobody_is_seen_in_leaves_the_figure_standing(animator, job):
    nobody: Pose = job.keypoints.map(lambda points: 0 * points)
    animate_file(animator, replace(job, keypoints=nobody, size=100))
    frames = [frame.image.astype(int) for frame in read_frames(job.output)]
    assert np.abs(frames[0] - frames[-1]).max() < 12


def test_without_keypoints_the_eye_watches_the_driver(animator, job):
    eyed = replace(job, variant="end-to-end", keypoints=None)
    assert animate_file(animator, eyed).painter == "cutout"
