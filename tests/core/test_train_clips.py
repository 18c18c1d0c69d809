"""Lists of clips for training, and their pixels at a base's rate and size."""

import json

import numpy as np
import pytest
import torch

from dreamactor_core.backbones import hunyuan15, wan
from dreamactor_core.errors import InputError
from dreamactor_core.pose.keypoints import save_keypoints
from dreamactor_core.train.cache import paired_samples
from dreamactor_core.train.clips import (
    default_size,
    pair_of,
    read_clip,
    read_rows,
    rng_of,
    training_panel,
)

from .clips_on_disk import HEIGHT, WIDTH, pose_at, write_clip, write_clips
from .tiny import GEOMETRY


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    return write_clips(tmp_path_factory.mktemp("clips"), 2, seconds=5.2)


def read(clips, variant, geometry=wan.I2V_GEOMETRY, **changes):
    row = read_rows(clips, variant)[0][0]
    for name, value in changes.items():
        object.__setattr__(row, name, value)
    return read_clip(row, geometry, 64, 49, variant)


@pytest.mark.parametrize(("geometry", "count"), [(wan.I2V_GEOMETRY, 83), (hunyuan15.GEOMETRY, 125)])
def test_a_clip_comes_at_the_base_s_rate_and_the_nearest_panel(clips, geometry, count):
    clip = read(clips, "pose-based", geometry)
    assert clip.target.shape == (count, 48, 80, 3)  # 5.2 s; 4:3 of area 64 x 64, in sixteens
    assert clip.target.dtype == torch.uint8 and clip.driving is None
    assert len(clip.pose.body) == count
    # The square is where the keypoints say, bars of 8 pixels beside the picture.
    for k in (0, count // 2, count - 1):
        x, y = clip.pose.body[k, 0, 0, :2] * [WIDTH, HEIGHT] + [0, 0.12 * HEIGHT]
        middle = clip.target[k, round(y), round(x) + 8].float().mean()
        assert middle > clip.target[k].float().mean() + 40
    assert not clip.target[:, :, :7].any() and not clip.target[:, :, 73:].any()


def test_a_pose_is_varied_anew_in_each_variant_and_fills_the_panel(clips):
    clip = read(clips, "pose-based")
    drawn = [pair_of(clip, 0.5, rng_of(0, "a", k)).driving for k in range(8)]
    assert any(not torch.equal(drawn[0], other) for other in drawn[1:])  # 30 % of them
    again = pair_of(clip, 0.5, rng_of(0, "a", 3)).driving
    assert torch.equal(again, drawn[3])
    used = drawn[0].flatten(0, 0).amax(dim=(0, 3)).nonzero()
    assert used.min(0).values.tolist() <= [2, 2] and used.max(0).values.tolist() >= [45, 77]


def test_a_driver_that_begins_later_stands_beside_its_target(clips):
    plain, late = read(clips, "end-to-end"), read(clips, "end-to-end", lead_in=17)
    assert not late.driving[:17].any()
    assert torch.equal(late.driving[17:], plain.driving[: len(late.driving) - 17])
    assert len(late.driving) == len(late.target)
    pair = pair_of(late, 0.0, rng_of(0, "a", 0))
    assert pair.since == 17 and torch.equal(pair.driving, late.driving)
    varied = pair_of(late, 1.0, rng_of(0, "a", 0))
    assert not torch.equal(varied.driving, late.driving) and not varied.driving[:17].any()


def test_panels_are_of_few_shapes():
    shapes = {
        training_panel(height, width, 64, wan.I2V_GEOMETRY)
        for height in range(100, 1100, 50)
        for width in range(100, 1100, 50)
    }
    assert shapes == {(80, 48), (64, 64), (48, 80)}
    assert training_panel(1920, 1080, 640, hunyuan15.GEOMETRY) == (848, 480)
    assert default_size(hunyuan15.GEOMETRY) == 624 and default_size(wan.TI2V_GEOMETRY) == 672


def test_a_clip_that_is_too_short_is_refused(clips, tmp_path):
    write_clip(tmp_path / "short.mp4", 0, seconds=1)
    with pytest.raises(InputError, match=r"short\.mp4: got 16 frames at 16 fps, need at least 49"):
        read(clips, "pose-based", target=tmp_path / "short.mp4")


def test_a_list_is_read_past_its_bad_lines_but_not_if_most_are(tmp_path):
    good = {"target": "a.mp4", "caption": "", "pose": "a.json"}
    lines = [json.dumps(good), "", "[]", json.dumps(good), json.dumps(good | {"lead_in": -1})]
    path = tmp_path / "clips.jsonl"
    path.write_text("\n".join(lines))
    rows, wrong = read_rows(path, "pose-based")
    assert [row.name for row in rows] == ["000001-a", "000004-a"]
    assert rows[0].target == tmp_path / "a.mp4" and rows[0].pose == tmp_path / "a.json"
    assert [line.split(":")[0].split()[1] for line in wrong] == ["3", "5"]
    assert "lead_in is -1" in wrong[1]
    with pytest.raises(InputError, match="0 usable lines and 4 others"):
        read_rows(path, "end-to-end")  # no driver anywhere
    path.write_text("\n".join([*lines, "{", "{"]))
    with pytest.raises(InputError, match="2 usable lines and 4 others"):
        read_rows(path, "pose-based")


def test_the_pose_panel_lies_where_the_letterboxed_target_does(tmp_path):
    """A wide clip on a square panel: bars above and below, and no joint in them."""
    middle = write_clip(tmp_path / "clip.mp4", 0, 5.2)
    save_keypoints(tmp_path / "pose.json", pose_at(middle), WIDTH, HEIGHT)
    row = {"target": "clip.mp4", "driving": "clip.mp4", "pose": "pose.json", "caption": "x"}
    (tmp_path / "pairs.jsonl").write_text(json.dumps(row))
    (sample,) = paired_samples(tmp_path / "pairs.jsonl", GEOMETRY)
    assert not sample.target[:, :3].any() and sample.target[:, 5].any()
    # 64x48 on 32x32: y of a joint is half of it and 4. The nose is 6 pixels above the middle.
    nose = np.array([middle[0, 0], middle[0, 1] - 0.12 * HEIGHT]) / 2 + [0, 4]
    y, x = np.argwhere(sample.pose[0].max(-1) > 200).T
    assert np.hypot(x + 0.5 - nose[0], y + 0.5 - nose[1]).min() < 1.5
    assert y.min() > nose[1] - 2.5


def test_lists_of_other_trainers_and_csv_are_read_as_they_are(tmp_path):
    path = tmp_path / "pairs.csv"
    path.write_text('reference,source,target,prompt\np.png,d.mp4,t.mp4,"a, b"\np.png,,t.mp4,c\n')
    rows, wrong = read_rows(path, "end-to-end")
    assert [(row.target.name, row.driving.name, row.caption) for row in rows] == [
        ("t.mp4", "d.mp4", "a, b")
    ]
    assert wrong == [
        f"line 3 of {path}: no text under 'driving', which the end-to-end variant needs"
    ]
    path = tmp_path / "pairs.jsonl"
    row = {"media_path": "t.mp4", "reference_path": "d.mp4", "caption": "c", "target": "own.mp4"}
    path.write_text(json.dumps(row))
    assert read_rows(path, "end-to-end")[0][0].target.name == "own.mp4"  # our name first


@pytest.mark.parametrize("place", ["latents", ".precomputed/latents"])
def test_what_another_trainer_has_encoded_is_refused_with_the_reason(tmp_path, place):
    (tmp_path / place).mkdir(parents=True)
    with pytest.raises(InputError, match=r"got a folder of latents, need the videos.*media_path"):
        read_rows(tmp_path, "end-to-end")
