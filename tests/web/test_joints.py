"""The joints in a real browser: placed in the node in both renderers, and on the local page.

Environment as for test_player.py.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from .conftest import act

ROOT = Path(__file__).parents[2]
SIZE = [360, 480]  # pixels of the picture
WRIST, LEFT_SHOULDER = 4, 5
CLOSE = 0.01  # share of the picture: the mouse moves by whole pixels


@pytest.fixture(scope="module")
def picture() -> Image.Image:
    """Plain grey: whoever stands there is not to be seen."""
    return Image.new("RGB", tuple(SIZE), (200, 200, 200))


@pytest.fixture(scope="module", params=[False, True], ids=["classic", "nodes 2.0"])
def visit(request, tools, server, shots, picture) -> dict:
    picture.save(server.base / "input" / "joints.png")
    task = {"url": server.url, "nodes2": request.param, "image": "joints.png", "size": SIZE}
    seen = act(tools.browser, "joints.mjs", {**task, "shots": str(shots)}, server)
    assert seen["run"].get("error") is None, seen["run"]
    return seen


@pytest.fixture
def page(own_browser, shots, picture, tmp_path) -> Path:
    """The folder in which the command has written what was placed on its page."""
    picture.save(tmp_path / "plain.png")
    names = ["plain.png", "--output", "plain.json", "--mask", "mask.png", "--no-browser"]
    command = subprocess.Popen(
        [sys.executable, "-m", "dreamactor_core", "joints", *names],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        address = re.search(r"http://\S+", command.stdout.readline())[0]
        task = {"local": address, "size": SIZE, "shots": str(shots)}
        assert act(own_browser, "joints.mjs", task)["complaints"] == []
        assert command.wait(60) == 0
    finally:
        command.kill()
    return tmp_path


def bodies(seen: dict) -> list:
    return json.loads(seen["text"])["bodies"]


def test_a_figure_stands_there_before_anything_has_run_and_no_text_is_shown(visit):
    assert visit["before"]["text"] == "" and visit["shownTexts"] == 0
    assert visit["standing"][WRIST].startswith("Right wrist: 34.5 %, 51.7 %")
    assert "a standing figure to start from" in visit["standing"][WRIST]


def test_a_dragged_joint_is_in_the_value_that_is_saved(visit):
    dragged = visit["dragged"]
    assert dragged["saved"] == [dragged["text"]]
    (body,) = bodies(dragged)
    assert body[WRIST] == pytest.approx([0.2, 0.2], abs=CLOSE)
    assert body[WRIST - 1] == pytest.approx([0.3609, 0.4014], abs=1e-4)  # nothing else moved
    assert dragged["said"].startswith("Right wrist: 20.")
    assert dragged["pos"] == visit["before"]["pos"]  # the node did not


def test_keys_undo_choose_move_and_delete_and_comfyui_hears_none_of_them(visit):
    keys = visit["keys"]
    assert keys["Control+z"]["text"] == ""
    assert keys["Control+Shift+Z"]["text"] == visit["dragged"]["text"]
    assert keys["PageDown"]["said"].startswith("Left shoulder: 60.8 %")
    before, after = (bodies(keys[name])[0] for name in ("PageDown", "ArrowRight"))
    assert 0 < after[LEFT_SHOULDER][0] - before[LEFT_SHOULDER][0] < CLOSE
    assert bodies(keys["Delete"])[0][LEFT_SHOULDER] is None
    assert all(seen["nodes"] == 5 for seen in keys.values())
    assert set(visit["heard"]) <= {"Control", "Shift"}


def test_bodies_are_added_mirrored_removed_and_all_of_it_undone(visit):
    added, mirrored, removed = (bodies(seen) for seen in visit["bodies"].values())
    (first,) = bodies(visit["painted"])
    assert added[0] == mirrored[0] == removed[0] == first and len(removed) == 1
    assert len(added) == len(mirrored) == 2 and None not in mirrored[1]
    assert visit["back"]["text"] == visit["painted"]["text"]


def test_the_wheel_zooms_the_picture_that_was_clicked_and_not_the_canvas(visit):
    assert not visit["canvasZoomed"]


def test_the_outputs_are_what_was_placed(visit, server, tmp_path):
    (frame,) = json.loads(visit["run"]["keypoints"])
    assert [frame["canvas_width"], frame["canvas_height"]] == SIZE
    points = np.reshape(frame["people"][0]["pose_keypoints_2d"], (18, 3))
    (body,) = bodies(visit["painted"])
    assert points[WRIST] == pytest.approx([body[WRIST][0] * 360, body[WRIST][1] * 480, 1])
    assert points[LEFT_SHOULDER].tolist() == [0, 0, 0]
    (stroke,) = json.loads(visit["painted"]["text"])["strokes"]
    assert stroke[0] == 1 and stroke[2:4] == pytest.approx([0.05, 0.85], abs=CLOSE)
    mask = np.asarray(Image.open(server.fetch(visit["run"]["mask"], tmp_path)).convert("L"))
    assert mask.shape == (480, 360)
    assert mask[432, 18] == 255 and mask[432, 60] == 0  # the stroke and beside it


def test_a_reload_keeps_it(visit):
    assert visit["reloaded"]["text"] == visit["painted"]["text"]
    assert bodies(visit["reloaded"])[0][0] == [0.5, 0.1812]
    assert visit["reloaded"]["said"].startswith("Nose: 50.0 %")


def test_the_page_does_not_complain_about_us(visit):
    assert visit["complaints"] == []


def test_the_local_page_places_joints_paints_and_writes_both_files(page):
    (frame,) = json.loads((page / "plain.json").read_text())
    points = np.reshape(frame["people"][0]["pose_keypoints_2d"], (18, 3))
    assert points[WRIST] == pytest.approx([0.2 * 360, 0.2 * 480, 1], abs=CLOSE * 480)
    mask = np.asarray(Image.open(page / "mask.png").convert("L"))
    assert mask.shape == (480, 360) and mask[432, 18] == 255 and mask[432, 60] == 0
