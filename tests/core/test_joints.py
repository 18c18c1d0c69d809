"""Joints and masks that are placed by hand: what the widget saves, and what comes of it."""

import json

import numpy as np
import pytest
import torch

from dreamactor_core.errors import InputError
from dreamactor_core.pose import joints
from dreamactor_core.pose.guides import Guides
from dreamactor_core.pose.joints import (
    Edits,
    as_value,
    cut_about,
    mask_of,
    painted,
    placed,
    read_edits,
    standing,
    start_of,
)

NOTHING = Edits(None, [])
BODY = [[0.5, 0.25], [0.5, 0.5], *[None] * 16]


def value(bodies=None, strokes=()) -> str:
    return json.dumps({"version": 1, "bodies": bodies, "strokes": list(strokes)})


def figure(height: int = 100, width: int = 60) -> np.ndarray:
    """A dark bar on light ground, from (20, 10) to (40, 90)."""
    image = np.full((height, width, 3), 230, np.uint8)
    image[10:90, 20:40] = 40
    return image


def pose_of(*bodies: list) -> object:
    placed_joints = np.zeros((len(bodies), 18, 3))
    for row, body in zip(placed_joints, bodies, strict=True):
        for k, (x, y) in enumerate(body):
            row[k] = x, y, 1
    return Guides(100, 100, placed_joints * [100, 100, 1]).pose()


@pytest.fixture(autouse=True)
def nobody_is_found(monkeypatch):
    """Whether or not BlazePose is on this machine."""
    monkeypatch.setattr(joints, "find_person", lambda picture, mask=None: None)


@pytest.mark.parametrize("text", ["", "  ", None, value()])
def test_nothing_placed_is_nothing(text):
    assert read_edits(text) == NOTHING


def test_bodies_and_strokes_are_read_as_they_were_saved():
    bodies, strokes = read_edits(value([BODY], [[0, 0.1, 0.2, 0.3, 0.4, 0.5]]))
    assert bodies.shape == (1, 18, 3) and bodies[0, :3].tolist() == [
        [0.5, 0.25, 1],
        [0.5, 0.5, 1],
        [0, 0, 0],
    ]
    assert as_value(bodies) == [BODY]
    (stroke,) = strokes
    assert (stroke.adds, stroke.radius) == (False, 0.1)
    assert stroke.points.tolist() == [[0.2, 0.3], [0.4, 0.5]]


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("{", "not written"),
        ("[1, 2]", "not written"),
        ('{"version": 2, "bodies": null, "strokes": []}', "not written"),
        (value([BODY[:17]]), "not written"),
        (value([[[0.5], *BODY[1:]]]), "not written"),
        (value(strokes=[[1, 0.1]]), "not written"),
        (value(strokes=[[1, 0.1, 0.5]]), "not written"),
        (value(strokes=[[1, -1, 0.5, 0.5]]), "not written"),
        (value([[[1.01, 0.5], *BODY[1:]]]), "one outside of the picture"),
        ('{"version": 1, "bodies": [[[NaN, 0' + "]" * 3 + ', "strokes": []}', "not written"),
        (value([[[float("nan"), 0.5], *BODY[1:]]]), "one outside of the picture"),
        (value([]), "0 bodies"),
        (value([BODY] * 3), "3 bodies"),
        ("[" * 100_000, "not written"),
        (value(strokes=[[1, 10**400, 0.5, 0.5]]), "not written"),
    ],
)
def test_another_text_is_told_in_a_sentence(text, word):
    with pytest.raises(InputError, match=word):
        read_edits(text)


def test_the_standing_figure_fills_the_box_of_the_mask():
    mask = np.zeros((100, 60), np.float32)
    mask[10:90, 20:40] = 1
    body = standing(100, 60, mask)
    assert np.allclose(body[1], [0.5, 0.1 + 0.8 * 0.7 / 3.45, 1])  # neck
    assert np.allclose(body[10], [(20 + 20 * 0.38 / 1.2) / 60, 0.1 + 0.8 * 3.3 / 3.45, 1])  # ankle
    middle = standing(100, 100)
    assert np.allclose(middle[1], body[1])
    assert np.allclose(middle[4, 0], 0.5 - 0.5 * 0.8 / 3.45)  # its right wrist, on our left
    assert np.allclose(standing(50, 400)[:, 1], middle[:, 1])  # as tall, whatever the width


def test_without_anything_a_figure_stands_in_the_outline_on_plain_ground():
    start = start_of(figure())
    assert start.notes == ["standing"]
    assert start.mask[50, 30] == 1 and start.mask[50, 5] == 0
    assert np.allclose(start.bodies[0], standing(100, 60, start.mask))


def test_it_starts_from_what_was_found_and_leaves_out_what_is_outside():
    found = pose_of([(0.5, 0.2), (0.5, 0.3), (1.2, 0.3)])
    start = start_of(np.zeros((50, 50, 3), np.uint8), found)
    assert as_value(start.bodies) == [[[0.5, 0.2], [0.5, 0.3], *[None] * 16]]
    assert start.notes == []


def test_without_keypoints_it_starts_from_a_person_who_is_found(monkeypatch):
    body = np.zeros((1, 18, 3))
    body[0, :2] = [[30, 25, 1], [30, 50, 1]]
    mask = np.zeros((100, 60), np.float32)
    mask[10:90, 20:40] = 1
    found = Guides(100, 60, body, mask)
    monkeypatch.setattr(joints, "find_person", lambda picture, mask=None: found)
    start = start_of(np.zeros((100, 60, 3), np.uint8))
    assert start.notes == ["person"] and as_value(start.bodies) == [BODY]
    assert np.array_equal(start.mask, mask)
    told = start_of(np.zeros((100, 100, 3), np.uint8), pose_of([(0.1, 0.1), (0.2, 0.2)]))
    assert told.notes == [] and as_value(told.bodies)[0][0] == [0.1, 0.1]


def test_of_many_bodies_the_two_largest_are_taken_and_of_none_a_figure_stands():
    small, large = [(0.1, 0.1), (0.1, 0.2)], [(0.5, 0.1), (0.5, 0.9)]
    middle = [(0.8, 0.2), (0.8, 0.7)]
    image = np.zeros((50, 50, 3), np.uint8)
    start = start_of(image, pose_of(small, middle, large))
    assert [body[0] for body in as_value(start.bodies)] == [[0.5, 0.1], [0.8, 0.2]]
    assert start.notes == ["many"]
    start = start_of(image, pose_of([(0.1, 0.1)]))
    assert len(start.bodies) == 1 and start.notes == ["nobody"]


def test_a_mask_of_one_kind_is_not_used_and_another_is():
    start = start_of(figure(), None, torch.ones(1, 64, 64))
    assert start.notes == ["uniform", "standing"] and start.mask[50, 30] == 1
    told = torch.zeros(1, 100, 60)
    told[:, :, :30] = 1
    start = start_of(figure(), None, told)
    assert start.mask[50, 5] == 1 and start.mask[50, 50] == 0


def test_keypoints_and_masks_of_another_picture_are_refused():
    with pytest.raises(InputError, match=r"1\.00 times as wide as high, need 0\.60"):
        start_of(figure(), pose_of([(0.5, 0.2), (0.5, 0.3)]))
    half = torch.zeros(1, 60, 100)
    half[:, :30] = 1
    with pytest.raises(InputError, match="mask: got those of a picture"):
        start_of(figure(), None, half)


def test_strokes_lie_over_the_mask_in_their_order():
    edits = read_edits(
        value(strokes=[[1, 0.1, 0.25, 0.5, 0.75, 0.5], [0, 0.05, 0.5, 0.5], [1, 0.02, 0.5, 0.1]])
    )
    mask = painted(np.zeros((100, 100), np.float32), edits.strokes)
    assert mask[50, 17] == 1 and mask[50, 83] == 1 and mask[42, 40] == 1  # round ends, its width
    assert mask[50, 12] == 0 and mask[50, 88] == 0 and mask[38, 40] == 0
    assert mask[50, 50] == 0 and mask[50, 57] == 1  # taken away again
    assert mask[10, 50] == 1
    assert mask.sum() == pytest.approx(100 * (20 * 0.5 * 100 + np.pi * 100) / 100, rel=0.1)


def test_a_stroke_is_as_wide_at_any_size():
    strokes = read_edits(value(strokes=[[1, 0.2, 0.5, 0.5]])).strokes
    for height, width in ((100, 100), (400, 400), (100, 300)):
        area = painted(np.zeros((height, width), np.float32), strokes).sum()
        assert area == pytest.approx(np.pi * (0.2 * min(height, width)) ** 2, rel=0.03)


def test_placed_joints_come_in_pixels_of_the_picture():
    start = start_of(figure())
    guides = placed(figure(), start, read_edits(value([BODY])))
    assert guides.joints[0, :2].tolist() == [[30, 25, 1], [30, 50, 1]]
    assert not guides.joints[0, 2:, 2].any() and np.array_equal(guides.mask, start.mask)


@pytest.mark.parametrize(
    ("bodies", "strokes", "word"),
    [
        ([[[0.5, 0.5], *[None] * 17]], [], "0 bodies with at least 2 joints"),
        (None, [[0, 1, 0.5, 0.5]], "all black"),
        (None, [[1, 1, 0.5, 0.5], [1, 1, 0.5, 0], [1, 1, 0.5, 1]], "all white"),
    ],
)
def test_what_cannot_be_used_is_told_in_a_sentence(bodies, strokes, word):
    start = start_of(figure())
    with pytest.raises(InputError, match=word):
        placed(figure(), start, read_edits(value(bodies, strokes)))


def test_where_no_ground_is_plain_the_mask_is_sought_about_the_joints():
    rng = np.random.default_rng(0)
    image = rng.integers(0, 90, (120, 120, 3), dtype=np.uint8)
    image[:, 60:] += 60  # the ground is not plain
    image[20:100, 40:56] = (200, 180, 40)
    body = np.zeros((1, 18, 3))
    body[0, [1, 8, 9, 10]] = [[0.4, 0.2, 1], [0.4, 0.45, 1], [0.4, 0.65, 1], [0.4, 0.8, 1]]
    mask = cut_about(image, body)
    truth = np.zeros((120, 120))
    truth[20:100, 40:56] = 1
    assert (mask * truth).sum() / np.maximum(mask, truth).sum() > 0.8
    assert np.array_equal(mask, cut_about(image, body))
    start = start_of(image)
    assert start.mask is None and np.array_equal(mask_of(image, start, Edits(body, [])), mask)
    assert not cut_about(image, np.zeros((1, 18, 3))).any()  # nobody is nowhere
