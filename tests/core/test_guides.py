"""Guides: what is told of a reference, from files to the pieces that the small model cuts out."""

import json

import cv2
import numpy as np
import pytest
import torch

from dreamactor_core.errors import InputError
from dreamactor_core.jobs.inputs import fit_inputs, open_inputs
from dreamactor_core.media import Box, write_video
from dreamactor_core.mini.cutout import cut_out
from dreamactor_core.mini.eye import BodyEstimate
from dreamactor_core.mini.guides import guided, overlaps, part_labels, with_all_joints
from dreamactor_core.mini.recognise import recognise_reference
from dreamactor_core.models import find
from dreamactor_core.pose import reference
from dreamactor_core.pose.blazepose_files import FILES
from dreamactor_core.pose.ground import outline
from dreamactor_core.pose.guides import Guides, read_guides
from dreamactor_core.pose.keypoints import Pose, pose_of_points, save_keypoints
from dreamactor_core.pose.reach import within_reach
from dreamactor_core.pose.retarget import place_in_panel, stand_as
from dreamactor_core.pose.subjects import Cutout, Subjects
from dreamactor_core.skeleton import (
    FOOT,
    FOREARM,
    HEAD,
    MIRRORED_JOINT,
    SCENE,
    SHIN,
    THIGH,
    TORSO,
    UPPER_ARM,
)

# A figure of bars, 100 x 100: head on top, arms stretched out level, legs straight down.
FIGURE = np.ones((18, 3))
FIGURE[:, :2] = [
    *((50, 15), (50, 28)),  # nose, neck
    *((42, 31), (27, 31), (12, 31), (58, 31), (73, 31), (88, 31)),  # right arm, on the left; left
    *((45, 58), (45, 74), (45, 90), (55, 58), (55, 74), (55, 90)),  # legs
    *((47, 13), (53, 13), (44, 14), (56, 14)),
]

SIDEWAYS = np.array([4, 0, 0])


def figure() -> np.ndarray:
    mask = np.zeros((100, 100), np.float32)
    mask[5:24, 42:58] = 1  # head
    mask[24:28, 48:52] = 1  # neck
    mask[27:60, 40:60] = 1  # trunk
    mask[28:34, 8:92] = 1  # arms
    mask[58:96, 42:49] = mask[58:96, 51:58] = 1  # legs, apart
    return mask


# Reading


def pose_of(body: np.ndarray, size: tuple[int, int] = (100, 100)) -> Pose:
    """(p, 18, 3) in pixels of (height, width) -> one frame."""
    points = np.zeros((1, len(body), 136, 3))
    points[0, :, :18] = body / [size[1], size[0], 1]
    return pose_of_points(points, size[1] / size[0])


def test_nothing_told_is_nothing():
    assert read_guides(None, None, 10, 10) is None


def test_guides_are_brought_to_the_pictures_size(tmp_path):
    save_keypoints(tmp_path / "one.json", pose_of(FIGURE[None]), 100, 100)
    mask = torch.from_numpy(figure())[None]
    guides = read_guides(tmp_path / "one.json", mask, 200, 200)
    assert np.allclose(guides.joints, FIGURE[None] * [2, 2, 1])
    assert guides.mask.shape == (200, 200) and guides.mask[62, 20] == 1
    panel = guides.in_panel(Box(10, 20, 50, 50), 70, 90)
    assert np.allclose(panel.joints, FIGURE[None] * [0.5, 0.5, 1] + [20, 10, 0])
    assert panel.mask.shape == (70, 90) and panel.mask[10 + 15, 20 + 5] == 1
    assert panel.mask[:10].max() == 0 and panel.mask[:, 70:].max() == 0


@pytest.mark.parametrize(
    ("body", "frames", "told"),
    [
        (FIGURE[None], 2, "got 2 frames, need 1"),
        (FIGURE[None][:0], 1, "got 0 bodies"),
        (np.stack([FIGURE] * 3), 1, "got 3 bodies"),
        (FIGURE[None] + [200, 0, 0], 1, "got 0 bodies"),  # outside of the picture
        (FIGURE[None] * [1, 1, 0.1], 1, "got 0 bodies"),  # not sure of any
    ],
)
def test_keypoints_that_tell_nothing_of_the_picture_are_refused(body, frames, told):
    pose = pose_of(body).map(lambda points: np.repeat(points, frames, axis=0))
    with pytest.raises(InputError, match=told):
        read_guides(pose, None, 100, 100)


def test_guides_of_another_picture_are_refused():
    with pytest.raises(InputError, match=r"2.00 times as wide as high, need 1.00"):
        read_guides(pose_of(FIGURE[None] * [2, 1, 1], (100, 200)), None, 100, 100)
    with pytest.raises(InputError, match=r"reference mask: .* 0.50 times as wide"):
        read_guides(None, torch.eye(100)[None, :, :50], 100, 100)


@pytest.mark.parametrize(
    ("mask", "told"),
    [
        (torch.zeros(1, 9, 9), "all black"),
        (torch.ones(1, 9, 9), "all white"),
        (torch.full((1, 9, 9), float("nan")), "finite"),
        (torch.zeros(2, 9, 9), "1 mask"),
    ],
)
def test_masks_that_tell_nothing_are_refused(mask, told):
    with pytest.raises(InputError, match=told):
        read_guides(None, mask, 9, 9)


# Joints


def test_joints_that_nobody_placed_lie_where_a_body_has_them():
    told = FIGURE.copy()
    told[[4, 9, 10, 12, 13, 16], 2] = 0
    made = with_all_joints(told)
    seen = told[:, 2] > 0
    assert np.array_equal(made[seen], told[seen]) and np.array_equal(made[:, 2], told[:, 2])
    assert made[4, 1] > made[3, 1] and abs(made[4, 0] - 27) < 10  # a wrist hangs from its elbow
    assert 58 < made[9, 1] < made[10, 1] and abs(made[10, 0] - 45) < 10
    turned = told[:, [1, 0, 2]] * [-1, 1, 1] + [100, 0, 0]  # the same lying, head to the right
    lying = with_all_joints(turned)
    assert np.allclose(lying[:, :2], made[:, [1, 0]] * [-1, 1] + [100, 0])


# Parts


def test_each_pixel_is_the_part_of_the_nearest_bone():
    labels = part_labels(FIGURE[None], figure())
    assert labels.shape == (13, 100, 100) and labels.dtype == np.float32
    assert np.allclose(labels.sum(axis=0), 1) and labels.min() >= 0
    parts = labels.argmax(axis=0)
    places = {
        (31, 10): FOREARM[0],
        (31, 20): FOREARM[0],
        (31, 34): UPPER_ARM[0],
        (31, 66): UPPER_ARM[1],
        (31, 90): FOREARM[1],
        (45, 50): TORSO,
        (8, 50): HEAD,
        (65, 45): THIGH[0],
        (82, 45): SHIN[0],
        (82, 55): SHIN[1],
        (95, 45): FOOT[0],
        (70, 50): SCENE,  # between the legs
        (31, 3): SCENE,
    }
    assert {place: parts[place] for place in places} == places


def test_an_arm_before_the_belly_is_an_arm():
    joints = FIGURE.copy()
    joints[2:5, :2] = (42, 31), (30, 45), (50, 50)  # the right hand on the belly
    mask = figure()
    mask[28:34, :40] = 0
    cv = np.zeros_like(mask)
    cv[31:48, 28:44] = 1  # the elbow sticks out
    parts = part_labels(joints[None], np.maximum(mask, cv)).argmax(axis=0)
    assert parts[49, 44] == FOREARM[0] and parts[55, 50] == TORSO and parts[36, 52] == TORSO


def with_arm_down(wrist: tuple[int, int], below: int) -> tuple[np.ndarray, np.ndarray]:
    """Joints and mask of the figure, its right arm bent down to the hip and a hand that ends at row
    `below`."""
    joints, mask = FIGURE.copy(), figure()
    joints[2:5, :2] = (42, 31), (30, 44), wrist
    mask[28:34, :40] = 0
    mask[30:46, 27:33] = mask[42:below, 30:38] = 1
    mask[28:34, 30:41] = 1
    return joints, mask


def test_a_hand_at_the_hip_is_not_the_hip():
    """Along the surface it is an arm's length away, in the picture two pixels."""
    joints, mask = with_arm_down((36, 56), 57)
    parts = part_labels(joints[None], mask).argmax(axis=0)
    assert parts[54, 36] == FOREARM[0] and parts[50, 41] == TORSO


def test_there_is_hardly_a_way_through_a_soft_outline():
    """A claw below the hand touches a leg by pixels that are covered in part."""
    joints, mask = with_arm_down((34, 56), 76)
    mask[64:70, 38:42] = 0.55
    parts = part_labels(joints[None], mask).argmax(axis=0)
    assert (parts[64:76, 31:37] == FOREARM[0]).all() and parts[66, 43] == THIGH[0]


def test_what_hangs_on_nothing_is_the_nearest_parts():
    mask = figure()
    mask[2:4, 46:54] = 1  # a halo
    parts = part_labels(FIGURE[None], mask).argmax(axis=0)
    assert (parts[2:4, 46:54] == HEAD).all()


def test_two_parts_take_along_what_lies_about_their_joint():
    labels = part_labels(FIGURE[None], figure())
    taken = overlaps(FIGURE[None], labels)
    assert taken.shape == (12, 100, 100)
    elbow = taken[[UPPER_ARM[0] - 1, FOREARM[0] - 1], 31, 26:29]
    assert elbow.min() == 1 and taken[:, 31, 35].max() == 0
    assert taken[:, 26, 27].max() == 0  # above the arm is no arm


def test_an_outline_is_as_fine_as_the_mask():
    mask = np.kron(figure(), np.ones((12, 12), np.float32))
    mask[:, 601:603] = 0.25
    labels = part_labels(FIGURE[None] * [12, 12, 1], mask)
    assert np.allclose(labels[0], 1 - mask, atol=1e-6)


# In the place of the eye


def estimate(two: float = -9.0) -> BodyEstimate:
    """What an eye that knows nothing says of a picture of 48 x 48."""
    return BodyEstimate(
        torch.zeros(1, 4, 6, 6),
        torch.full((1, 2, 18, 2), 24.0),
        torch.full((1, 2, 18), 30.0),
        torch.zeros(1, 2, 18, 36),
        torch.tensor([two]),
        torch.zeros(1, 13, 48, 48),
    )


def test_joints_told_stand_in_for_those_found():
    other = FIGURE - np.array([40, 0, 0])
    told = guided(estimate(), Guides(96, 96, np.stack([FIGURE, other])), times=2)
    assert torch.allclose(told.joints[0, :, 0, 0], torch.tensor([5.0, 25.0]))  # left first
    assert told.two_bodies.item() > 0 and told.uncertainty.max() == 1
    alone = guided(estimate(9.0), Guides(96, 96, FIGURE[None]), times=2)
    assert torch.equal(alone.joints[0, 0], alone.joints[0, 1]) and alone.two_bodies.item() < 0
    assert torch.equal(alone.labels, estimate().labels)  # no mask: the eye's


def test_a_mask_told_is_the_outline_of_all_parts():
    mask = np.zeros((96, 96), np.float32)
    mask[20:70, 30:60] = 1
    for joints in (None, FIGURE[None] * [0.96, 0.96, 1]):
        told = guided(estimate(), Guides(96, 96, joints, mask), times=2)
        scene = told.labels.softmax(dim=1)[0, 0]
        assert told.labels.shape == (1, 13, 96, 96)
        assert np.allclose(scene.numpy(), 1 - mask, atol=1e-4)


# A person in the picture


class TwoLooks:
    """Sees the figure in a picture, and in the mirrored one somebody so many pixels beside it."""

    def __init__(self, beside: float):
        self.beside = beside
        self.looks = 0

    def start(self, settings):
        return self.find

    def find(self, images):
        self.looks += 1
        points = np.zeros((1, 136, 3))
        points[0, :18] = FIGURE
        if self.looks == 2:
            points[0, :18] = FIGURE[list(MIRRORED_JOINT)] * [-1, 1, 1] + [100 + self.beside, 0, 0]
        values = np.full((4, 4), 255, np.uint8)
        mask = Cutout(values, np.array([[50.0, 0, 25], [0, 50, 25]]))
        return [Subjects(np.array([[0, 0, 100, 100.0]]), np.ones(1), np.zeros(1), points, (mask,))]


@pytest.fixture
def seen(monkeypatch, tmp_path):
    """find_person, with networks that see what they are told."""

    def seen(beside: float, mask=None):
        monkeypatch.setattr(reference, "_usual_networks", lambda home: TwoLooks(beside))
        return reference.find_person(torch.zeros(100, 100, 3), mask)

    monkeypatch.setenv("DREAMACTOR_MODELS", str(tmp_path))
    (tmp_path / "blazepose").mkdir()
    for name in FILES:
        (tmp_path / "blazepose" / name).touch()
    return seen


def test_a_person_who_is_found_guides_by_joints_and_mask(seen):
    guides = seen(0.0)
    assert np.allclose(guides.joints, FIGURE[None]) and (guides.height, guides.width) == (100, 100)
    assert guides.mask[34:56, 38:62].min() == 1 and guides.mask[:17].max() == 0
    assert np.array_equal(seen(0.0, figure()).mask, figure())  # an outline that is known stays


def test_what_is_far_from_all_bones_or_hangs_on_none_is_not_the_persons():
    mask = figure()
    mask[80:90, 20:26] = 1  # a speck
    mask[34:64, 12:16] = 1  # a flag that hangs on the right arm
    mask[10:20, 58:62] = 1  # hair
    kept = within_reach(mask, FIGURE[None])
    assert kept[12:16, 58:60].min() == 1 and (kept * figure()).sum() > 0.97 * figure().sum()
    assert kept[80:90, 20:26].max() == 0 and kept[45:64, 12:16].max() == 0
    assert np.array_equal(within_reach(0 * mask, FIGURE[None]), 0 * mask)


def test_who_is_another_in_the_mirrored_picture_is_nobody(seen):
    assert seen(0.5) is not None and seen(1.5) is None


def test_nobody_looks_where_blazepose_is_not(monkeypatch, tmp_path):
    monkeypatch.setenv("DREAMACTOR_MODELS", str(tmp_path))
    assert reference.find_person(torch.zeros(8, 8, 3)) is None


# A plain ground


def drawing(*, lit: float = 0.0) -> np.ndarray:
    """A ring drawn on grey paper that is lit from the left, with a dot of dirt."""
    x = np.linspace(1 + lit, 1 - lit, 200)[None, :, None]
    paper = np.broadcast_to(150 * x, (160, 200, 3)).astype(np.uint8).copy()
    cv2.circle(paper, (100, 80), 50, (40, 30, 120), 4)
    cv2.circle(paper, (20, 20), 2, (0, 0, 0), -1)
    return paper


@pytest.mark.parametrize("lit", [0.0, 0.2])
def test_what_is_drawn_on_plain_ground_is_outlined_with_its_inside(lit):
    mask = outline(drawing(lit=lit))
    assert mask.shape == (160, 200) and mask[80, 100] == mask[80, 52] == 1
    assert mask[20, 20] == 0 and abs(mask.mean() - np.pi * 52**2 / (160 * 200)) < 0.01


def test_lines_with_a_gap_still_enclose():
    paper = drawing()
    paper[80:82, 140:160] = 150
    assert outline(paper)[80, 100] == 1


def test_a_ground_that_is_not_plain_is_left_to_others():
    noise = np.random.default_rng(0).integers(0, 255, (16, 20, 3), np.uint8)
    assert outline(np.repeat(np.repeat(noise, 10, 0), 10, 1)) is None
    assert outline(np.full((50, 50, 3), 200, np.uint8)) is None  # nothing is drawn on it


# The driver, in the reference's bones


def test_a_driver_begins_where_the_reference_stands_with_its_bones():
    driver = np.stack([FIGURE, FIGURE + SIDEWAYS])[:, None] * [2, 2, 1] + [100, 50, 0]
    driver = driver * [1 / 400, 1 / 300, 1]  # a canvas of 400 x 300
    points = np.zeros((2, 1, 136, 3))
    points[:, :, :18] = driver
    model = FIGURE.copy()
    model[9:11, 1], model[12:14, 1] = (66, 74), (66, 74)  # half as long legs
    stood = stand_as(pose_of_points(points, 400 / 300), pose_of(model[None], (100, 200)))
    assert stood.aspect == 2
    pixels = stood.body * [200, 100, 1]
    assert np.allclose(pixels[0, 0], model, atol=1e-6)
    assert np.allclose(pixels[1, 0], model + SIDEWAYS, atol=1e-6)  # as far as it is large


def test_a_driver_without_a_size_is_placed_as_the_camera_saw_him():
    face = FIGURE * np.array([[1, 1, joint in (0, 14, 15)] for joint in range(18)])
    pose = pose_of(face[None])
    stood = stand_as(pose, pose_of(FIGURE[None], (100, 200)))
    assert np.array_equal(stood.points(), place_in_panel(pose, 2).points())
    nobody = stand_as(pose, pose_of(FIGURE[None][:0], (100, 200)))
    assert np.array_equal(nobody.points(), place_in_panel(pose, 2).points())


def test_behind_a_body_the_bars_of_the_panel_do_not_show():
    picture = torch.full((1, 3, 96, 96), -1.0)
    picture[..., 24:72] = 0.5
    mask = np.zeros((96, 96), np.float32)
    mask[30:60, 24:60] = 1  # at the picture's edge
    guides = Guides(96, 96, FIGURE[None] * [0.4, 0.4, 1] + [30, 26, 0], mask, Box(0, 24, 96, 48))
    cut = cut_out(picture, guided(estimate(), guides, times=2))
    assert torch.allclose(cut.background[..., 24:72], torch.tensor(0.5), atol=1e-3)


# The whole road


@pytest.fixture
def clip(tmp_path):
    path = tmp_path / "clip.mp4"
    write_video(path, [np.full((64, 64, 3), 40 * k, np.uint8) for k in range(5)], [0, 1, 2, 3, 4])
    return path


def test_alpha_is_the_mask_when_nothing_else_is_given(tmp_path, clip):
    from PIL import Image

    pixels = np.full((40, 40, 4), 200, np.uint8)
    pixels[..., 3] = 0
    pixels[10:30, 5:15, 3] = 255
    path = tmp_path / "sprite.png"
    Image.fromarray(pixels).save(path)
    guides = open_inputs(path, clip).guides
    assert guides.joints is None and np.array_equal(guides.mask == 1, pixels[..., 3] == 255)
    given = open_inputs(path, clip, reference_mask=torch.eye(40)[None]).guides
    assert np.array_equal(given.mask, np.eye(40))
    pixels[..., 3] = 250  # tells nothing
    Image.fromarray(pixels).save(path)
    assert open_inputs(path, clip).guides is None


def test_joints_alone_are_completed_by_the_outline(seen):
    """On plain ground by that; else by the person who is found, if one is."""
    eyes = find("mini").open().backbone.eyes
    plain = torch.full((100, 100, 3), 0.8)
    plain[30:60, 40:70] = 0.1
    noise = torch.rand(100, 100, 3, generator=torch.Generator().manual_seed(0))
    given = Guides(100, 100, FIGURE[None])
    found = recognise_reference(eyes, plain, plain[:96, :96], given, True)
    assert abs(found.guides.mask.mean() - 0.09) < 0.01
    assert seen(0.0) is not None
    found = recognise_reference(eyes, noise, noise[:96, :96], given, True)
    assert found.guides.mask[34:56, 38:62].min() == 1 and len(found.guides.joints) == 1
    assert found.outline_by == "blazepose"


def test_the_small_model_is_told_and_forgets(clip):
    picture = torch.rand(1, 128, 128, 3, generator=torch.Generator().manual_seed(0))
    animator = find("mini").open()
    mask = torch.zeros(1, 128, 128)
    mask[:, 30:100, 40:90] = 1
    inputs = open_inputs(picture, clip, reference_mask=mask)
    fitted = fit_inputs(inputs, None, animator)
    assert fitted.guides.mask.shape == fitted.reference.shape[1:3]
    backbone = animator.backbone.told(fitted.guides)
    assert backbone.transformer is animator.backbone.transformer
    assert animator.backbone.guides is None and backbone.guides is fitted.guides


def test_keypoints_are_read_as_a_file(tmp_path, clip):
    path = tmp_path / "joints.json"
    path.write_text(json.dumps({"people": [], "canvas_width": 8, "canvas_height": 8}))
    with pytest.raises(InputError, match="reference keypoints: got 0 bodies"):
        open_inputs(torch.zeros(1, 8, 8, 3), clip, reference_keypoints=path)
