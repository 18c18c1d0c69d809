"""Figures told by their outlines: on paper, and which joints arms and legs that stick out have."""

import cv2
import numpy as np
import pytest

from dreamactor_core.mini.silhouette import joints_of_outline
from dreamactor_core.pose.paper import figures_on_paper
from dreamactor_core.skeleton import ANKLE, ELBOW, HIP, KNEE, NECK, NOSE, SHOULDER, WRIST

# x, y of a figure of 200 x 300 pixels
HAND, BENT, ROOT, CROTCH, FOOT = (30, 60), (40, 110), (100, 100), (100, 170), (60, 280)


def mirrored(point: tuple[int, int]) -> tuple[int, int]:
    return 200 - point[0], point[1]


def lines(canvas: np.ndarray, colour, thick: int) -> np.ndarray:
    """A stick figure, arms raised, its arms bent."""
    for arm, leg in ((HAND, FOOT), (mirrored(HAND), mirrored(FOOT))):
        elbow = BENT if arm is HAND else mirrored(BENT)
        cv2.line(canvas, arm, elbow, colour, thick)
        cv2.line(canvas, elbow, ROOT, colour, thick)
        cv2.line(canvas, CROTCH, leg, colour, thick)
    cv2.line(canvas, (100, 60), CROTCH, colour, thick)
    cv2.circle(canvas, (100, 40), 22, colour, thick)
    return canvas


def stick_figure() -> np.ndarray:
    filled = lines(np.zeros((300, 200), np.uint8), 1, 7)
    return cv2.circle(filled, (100, 40), 22, 1, -1).astype(np.float32)


def paper() -> np.ndarray:
    """A sheet on a dark table, lit from the left, with a stick figure and a box drawn on it."""
    sheet = lines(np.full((300, 360, 3), 235, np.uint8), (40, 40, 60), 3)
    cv2.rectangle(sheet, (250, 180), (330, 260), (40, 40, 60), 3)
    light = np.linspace(1, 0.45, 360)[None, :, None]
    table = np.full((360, 360, 3), 60, np.uint8)
    table[:300] = sheet
    noise = np.random.default_rng(0).normal(0, 2, table.shape)
    return (table * light + noise).clip(0, 255).astype(np.uint8)


def check(joints: np.ndarray) -> None:
    """Whether they are those of the figure, within 14 pixels."""
    ends = {WRIST: HAND, ELBOW: BENT, SHOULDER: ROOT, HIP: CROTCH, ANKLE: FOOT}
    ends[KNEE] = (80, 225)
    for pair, place in ends.items():
        for joint, there in zip(pair, (place, mirrored(place)), strict=True):
            assert np.linalg.norm(joints[joint, :2] - there) < 14, joint
    assert np.linalg.norm(joints[NOSE, :2] - [100, 50]) < 12
    assert 60 < joints[NECK, 1] < 110 and (joints[:, 2] > 0.5).all()


def test_what_sticks_out_is_arms_and_legs():
    check(joints_of_outline(stick_figure()))


def test_the_size_of_a_picture_does_not_matter():
    large = cv2.resize(stick_figure(), None, fx=3, fy=3, interpolation=cv2.INTER_LINEAR)
    check(joints_of_outline(np.pad(large, 50)) / [3, 3, 1] - [50 / 3, 50 / 3, 0])


def block(*rectangles: tuple[int, int, int, int]) -> np.ndarray:
    mask = np.zeros((200, 200), np.float32)
    for left, top, right, bottom in rectangles:
        mask[top:bottom, left:right] = 1
    return mask


@pytest.mark.parametrize(
    "mask",
    [
        np.zeros((8, 8), np.float32),
        block((20, 20, 180, 180)),
        block((80, 20, 120, 120), (80, 120, 92, 190), (108, 120, 120, 190)),
        block((20, 60, 180, 110), (20, 110, 32, 160), (168, 110, 180, 160), (170, 20, 180, 60)),
    ],
    ids=["nothing", "a box has corners", "legs and no arms", "four legs"],
)
def test_what_has_no_two_arms_and_two_legs_has_no_joints(mask):
    assert joints_of_outline(mask) is None


def test_legs_under_a_skirt_are_not_made_up():
    figure = stick_figure()
    figure[165:] = 0
    cv2.fillPoly(figure, [np.array([[100, 150], [40, 280], [160, 280]])], 1)
    joints = joints_of_outline(figure)
    unknown = [*HIP, *KNEE, *ANKLE]
    assert np.flatnonzero(joints[:, 2] == 0).tolist() == sorted(unknown)
    assert np.linalg.norm(joints[WRIST[0], :2] - HAND) < 14


def test_a_figure_is_found_on_unevenly_lit_paper_with_its_margin():
    figure, *others = figures_on_paper(paper())
    check(joints_of_outline(figure.lines))
    assert figure.outline[40, 100] == 1, "inside of the head"
    assert figure.outline[170, 102 + 3] == 1 and figure.outline[200, 160] == 0
    assert len(others) == 1 and joints_of_outline(others[0].lines) is None


def test_what_is_no_paper_has_no_figures_on_it():
    noise = np.random.default_rng(0).integers(0, 255, (60, 80, 3)).astype(np.uint8)
    grown = cv2.resize(noise, (320, 240), interpolation=cv2.INTER_CUBIC)
    assert figures_on_paper(grown) == []
