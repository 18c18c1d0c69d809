"""`bench own`: every picture with every clip, and figures that need no truth."""

import json

import cv2
import numpy as np
import pytest
from PIL import Image

from dreamactor_core import __main__ as cli
from dreamactor_core.bench.own import OwnPair, found_again, kept, pairs_of
from dreamactor_core.errors import InputError
from dreamactor_core.media import write_image, write_video
from dreamactor_core.pose.vary import BoneFactors, scale_bones
from dreamactor_core.puppets.triplet import triplet
from dreamactor_core.puppets.world import FPS, LEAD_IN

from .test_bench_command import model  # noqa: F401 # a fixture

ORIENTATION = 274  # in EXIF


@pytest.fixture(scope="module")
def clip():
    return triplet(0, "test", LEAD_IN + 4, 32).driver


@pytest.fixture(scope="module")
def folder(tmp_path_factory, clip):
    """Three pictures, one of a camera, a clip, and what is neither."""
    folder = tmp_path_factory.mktemp("own")
    write_image(folder / "one.png", clip.frames[0])
    write_image(folder / "two.png", clip.scene[0])
    write_video(folder / "moves.mp4", clip.frames[LEAD_IN:], FPS)
    (folder / "notes.txt").write_text("mine")
    turned = Image.Exif()
    turned[ORIENTATION] = 6
    Image.fromarray(clip.frames[1]).save(folder / "zoe.jpg", exif=turned)
    return folder


def test_every_picture_goes_with_every_clip(folder, tmp_path):
    driver = folder / "moves.mp4"
    pictures = [folder / name for name in ("one.png", "two.png", "zoe.jpg")]
    assert pairs_of(folder) == [OwnPair(picture, driver) for picture in pictures]
    with pytest.raises(InputError, match="got 0 pictures and 0 clips, need at least one of each"):
        pairs_of(tmp_path)


def test_joints_are_found_again_on_other_bones_and_in_another_place(clip):
    pose = clip.pose.map(lambda points: points[LEAD_IN:])
    assert found_again(pose, pose) == 1
    moved = scale_bones(pose, BoneFactors(upper_arms=0.7, thighs=1.3))
    moved = moved.map(lambda points: points * [1, 1, 1] + (points[..., 2:] > 0) * [0.07, 0.02, 0])
    assert found_again(pose, moved) > 0.97
    still = pose.map(lambda points: np.repeat(points[:1], len(points), axis=0))
    assert found_again(pose, still) < 0.9
    nobody = pose.map(lambda points: points[:, :0])
    assert found_again(nobody, pose) is None and found_again(pose, nobody) == 0


def test_what_is_torn_off_is_not_kept():
    picture = np.full((64, 64, 3), 255, np.uint8)
    mask = np.zeros((64, 64), np.float32)
    mask[8:40, 8:40] = 1
    picture[8:40, 8:40] = (200, 30, 30)
    moved = np.roll(picture, 12, axis=1)
    torn = moved.copy()
    torn[24:40] = 255
    assert kept(picture, mask, picture) == pytest.approx(1, abs=1e-6)
    assert kept(picture, mask, moved) == pytest.approx(1, abs=1e-6)
    assert kept(picture, mask, torn) == pytest.approx(0.5, abs=0.01)
    assert kept(picture, mask, np.full_like(picture, 255)) == pytest.approx(0, abs=0.01)


def test_the_command_writes_figures_a_sheet_and_the_videos(model, folder, tmp_path, capsys):  # noqa: F811
    options = ["--folder", str(folder), "--videos", str(tmp_path / "made"), "--duration", "0.4"]
    (folder / "two.json").write_text("[]")  # joints of nobody
    path = tmp_path / "own.json"
    assert cli.main(["bench", "own", *options, "--json", str(path), *model]) == 0
    table = json.loads(path.read_text())
    one, two, _ = table["pairs"]
    assert (one["reference"], one["driver"], one["error"]) == ("one.png", "moves.mp4", "")
    assert one["figures"].keys() == {"pck", "kept", "leak", "seconds"}
    assert table["means"]["seconds"] > 0 and one["figures"]["seconds"] > 0
    assert "keypoints: got an empty list" in two["error"]
    assert sorted(p.name for p in (tmp_path / "made").iterdir()) == [
        "one__moves.mp4",
        "zoe__moves.mp4",
    ]
    sheet = cv2.imread(str(tmp_path / "own.png"))
    assert sheet.shape == (3 * (18 + 160), 9 * 160, 3)
    out = capsys.readouterr().out.splitlines()
    assert out[0].split() == ["pck", "kept", "leak", "seconds"] and out[-1].startswith("mean")


def test_a_folder_is_asked_for_in_one_sentence(model, tmp_path, capsys):  # noqa: F811
    assert cli.main(["bench", "own", "--json", str(tmp_path / "own.json"), *model]) == 2
    assert "--folder: got None, need a folder" in capsys.readouterr().err
