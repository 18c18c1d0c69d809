"""Joints: what was placed in the browser as keypoints and mask that Animate takes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

BODY = [[0.5, 0.25], [0.5, 0.5], *[None] * 16]


def value(bodies=None, strokes=()) -> str:
    return json.dumps({"version": 1, "bodies": bodies, "strokes": list(strokes)})


@pytest.fixture
def picture() -> torch.Tensor:
    """A dark bar on light ground, (1, 100, 60, 3)."""
    image = torch.full((1, 100, 60, 3), 0.9)
    image[:, 10:90, 20:40] = 0.2
    return image


def seen(folders, view: dict) -> np.ndarray:
    assert view["type"] == "temp"
    with Image.open(Path(folders.temp) / view["subfolder"] / view["filename"]) as file:
        return np.asarray(file)


def test_what_was_placed_comes_out_on_the_canvas_of_the_picture(run, picture):
    keypoints, mask, preview = run("Joints", image=picture, joints=value([BODY])).args
    (frame,) = keypoints
    assert (frame["canvas_width"], frame["canvas_height"]) == (60, 100)
    (person,) = frame["people"]
    assert person["pose_keypoints_2d"] == [30, 25, 1, 30, 50, 1, *[0] * 48]
    assert mask.shape == (1, 100, 60) and mask[0, 50, 30] == 1 and mask[0, 50, 5] == 0
    assert preview.shape == (1, 100, 60, 3) and not torch.equal(preview, picture)


def test_the_widget_is_told_what_it_starts_from(run, picture, folders):
    made = run("Joints", image=picture, joints=value(None, [[1, 0.1, 0.1, 0.1]]))
    (shown,) = made.ui["dreamactor_joints"]
    assert shown["notes"] == ["standing"]
    (body,) = shown["bodies"]
    points = made.args[0][0]["people"][0]["pose_keypoints_2d"]
    assert np.allclose(np.array(body) * [60, 100], np.reshape(points, (18, 3))[:, :2], atol=0.01)
    assert np.abs(seen(folders, shown["picture"]) / 255 - picture[0].numpy()).max() < 0.01
    mask = seen(folders, shown["mask"])  # without the strokes
    assert mask[50, 30].tolist() == [255] * 3 and not mask[10, 6].any()
    assert made.args[1][0, 10, 6] == 1


def test_it_starts_from_the_keypoints_and_the_mask_that_are_wired(run, picture):
    keypoints = run("Joints", image=picture, joints=value([BODY])).args[0]
    mask = torch.zeros(1, 100, 60)
    mask[:, :50] = 1
    found = run("Joints", image=picture, joints="", keypoints=keypoints, mask=mask)
    assert found.args[0] == keypoints and torch.equal(found.args[1], mask)
    assert found.ui["dreamactor_joints"][0]["bodies"] == [BODY]


def test_where_no_ground_is_plain_the_mask_follows_the_joints(run):
    noise = torch.rand(1, 80, 80, 3, generator=torch.Generator().manual_seed(0))
    masks = []
    for x in (0.25, 0.75):
        bodies = [[[x, 0.2], [x, 0.3], *[None] * 6, [x, 0.5], [x, 0.8], *[None] * 8]]
        made = run("Joints", image=noise, joints=value(bodies))
        masks.append(made.args[1][0])
        assert "standing" in made.ui["dreamactor_joints"][0]["notes"]
    assert masks[0][40, 20] == 1 and masks[0][40, 60] == 0
    assert masks[1][40, 60] == 1 and masks[1][40, 20] == 0


def test_shares_hold_for_the_picture_at_another_size(run, picture):
    text = value([BODY], [[1, 0.2, 0.1, 0.1]])
    large = picture.repeat_interleave(4, dim=1).repeat_interleave(4, dim=2)
    keypoints, mask, _ = run("Joints", image=large, joints=text).args
    assert keypoints[0]["people"][0]["pose_keypoints_2d"][:3] == [120, 100, 1]
    small = run("Joints", image=picture, joints=text).args[1]
    assert mask.mean() == pytest.approx(float(small.mean()), abs=0.01)


def test_animate_reads_what_it_gives(core, run, picture):
    keypoints, mask, _ = run("Joints", image=picture, joints=value([BODY])).args
    pose = core("pose.keypoints").parse_keypoints(keypoints)
    guides = core("pose.guides").read_guides(pose, mask, 100, 60)
    assert guides.joints[0, :2].tolist() == [[30, 25, 1], [30, 50, 1]]


def test_wrong_input_is_told_in_a_sentence(run, refused, picture):
    keypoints = run("Joints", image=picture, joints=value([BODY])).args[0]
    outside = value([[[1.5, 0.5], *BODY[1:]]])
    rubbed_out = value([BODY], [[0, 1, 0.5, 0.5]])
    for words, given in (
        (["image", "2 pictures"], {"image": picture.repeat(2, 1, 1, 1), "joints": ""}),
        (["image", "batch of shape"], {"image": picture[:0], "joints": ""}),
        (["a text that the widget has not written"], {"joints": "x"}),
        (["outside of the picture"], {"joints": outside}),
        (["all black"], {"joints": rubbed_out}),
        (["2 frames", "1, the picture"], {"joints": "", "keypoints": keypoints * 2}),
        (["mask", "times as wide as high"], {"joints": "", "mask": torch.eye(64)[None]}),
    ):
        refused("Joints", *words, **{"image": picture} | given)
