"""What the tools of the joints do to a body, computed by the browser's own code in Node.js."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from dreamactor_core.pose.guides import MOST_BODIES
from dreamactor_core.pose.joints import standing
from dreamactor_core.skeleton import JOINTS, MIRRORED_JOINT

HERE = Path(__file__).parent
SCRIPT = HERE.parents[1] / "js" / "shared" / "joints_body.js"
NECK, ELBOW, WRIST, SHOULDER = 1, 3, 4, 2  # of the right arm


@pytest.fixture(scope="module")
def js():
    """js(name, *arguments) -> what that function returns, or the constant of the name."""
    node = shutil.which("node")
    if node is None:
        pytest.skip("no node on the PATH: the browser's code is not tried")

    def call(name: str, *given):
        task = json.dumps([str(SCRIPT), [[name, given]]])
        command = [node, str(HERE / "body.mjs"), task]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        return json.loads(done.stdout)[0]

    return call


@pytest.fixture(scope="module")
def body(js) -> list:
    return js("standing", 1)


def test_both_languages_know_the_same_figure_joints_and_bodies(js):
    for height, width in ((100, 100), (300, 100), (100, 300)):
        assert np.allclose(js("standing", width / height), standing(height, width)[:, :2])
    mask = np.zeros((100, 50))
    mask[20:90, 10:30] = 1
    assert np.allclose(js("standing", 0.5, [0.2, 0.2, 0.4, 0.7]), standing(100, 50, mask)[:, :2])
    names = js("NAMES")
    assert len(names) == JOINTS and js("MOST_BODIES") == MOST_BODIES
    other = [re.sub("Right|Left", lambda m: {"R": "Left", "L": "Right"}[m[0][0]], n) for n in names]
    assert [names.index(name) for name in other] == [*MIRRORED_JOINT]


def test_a_joint_moves_alone_and_stays_in_the_picture(js, body):
    after = js("moved", body, WRIST, [1.5, -1])
    assert after == [*body[:WRIST], [1, 0], *body[WRIST + 1 :]]
    assert js("moved", body, WRIST, None)[WRIST] is None


def test_what_hangs_on_a_joint_is_carried_along(js, body):
    after = np.array(js("carried", body, ELBOW, [body[ELBOW][0] - 0.1, body[ELBOW][1]]))
    way = after - np.array(body)
    assert np.allclose(way[[ELBOW, WRIST]], [-0.1, 0])
    assert not way[[k for k in range(18) if k not in (ELBOW, WRIST)]].any()
    whole = np.array(js("carried", body, NECK, [body[NECK][0] + 0.05, body[NECK][1]]))
    assert np.allclose(whole - np.array(body), [0.05, 0])


def test_a_turned_limb_keeps_its_lengths_in_pixels(js, body):
    aspect = 2.0
    after = np.array(
        js("turned", body, ELBOW, [body[SHOULDER][0] - 0.2, body[SHOULDER][1]], aspect)
    )
    before, pixels = np.array(body), np.array([aspect, 1])
    assert after[ELBOW, 1] == pytest.approx(before[SHOULDER, 1])  # towards where it was pulled

    def bones(joints):
        at = joints * pixels
        return [np.linalg.norm(at[a] - at[b]) for a, b in ((SHOULDER, ELBOW), (ELBOW, WRIST))]

    assert np.allclose(bones(after), bones(before))
    assert np.array_equal(after[5:], before[5:])


def test_a_limb_is_straightened_with_its_bones_as_long(js):
    body = [None] * 18
    body[2:5] = [[0.5, 0.2], [0.4, 0.2], [0.5, 0.5]]
    lengths = 0.1, np.hypot(0.1, 0.3)
    after = js("straightened", body, ELBOW, 1)
    assert np.allclose(after[2:5], [[0.5, 0.2], [0.5, 0.3], [0.5, 0.3 + lengths[1]]])
    body[ELBOW] = None
    assert np.allclose(
        js("straightened", body, WRIST, 1)[2:5], [[0.5, 0.2], [0.5, 0.35], [0.5, 0.5]]
    )
    assert js("straightened", body, 0, 1) == body  # the nose is in no limb


def test_a_side_is_mirrored_at_the_line_from_neck_to_hips(js, body):
    bent = js("moved", body, WRIST, [0.2, 0.2])
    after = js("mirrored", bent, WRIST, 1)
    assert np.allclose(after[7], [0.8, 0.2]) and after[WRIST] == bent[WRIST]
    back = js("mirrored", bent, 7, 1)  # the other way: the left side counts
    assert np.allclose(back[WRIST], [1 - body[7][0], body[7][1]])
    gone = js("mirrored", js("moved", body, WRIST, None), WRIST, 1)
    assert gone[7] is None
    tilted = [None] * 18
    tilted[1], tilted[8], tilted[11], tilted[2] = [0.2, 0.5], [0.8, 0.4], [0.8, 0.6], [0.3, 0.2]
    assert np.allclose(js("mirrored", tilted, 2, 1)[5], [0.3, 0.8])  # lies on its side


def test_right_and_left_are_swapped(js, body):
    assert js("swapped", body) == [body[k] for k in MIRRORED_JOINT]


def test_a_joint_that_is_not_there_is_guessed_from_its_neighbour(js, body):
    lost = js("moved", body, WRIST, None)
    assert np.allclose(js("guessed", lost, WRIST, 1), body[WRIST])
    assert np.allclose(js("guessed", [None] * 18, WRIST, 1), body[WRIST])
