"""Who reads reference and driver, and what is moved when nobody knows their limbs."""

import json
from copy import copy
from itertools import repeat
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch

from dreamactor_core.__main__ import main
from dreamactor_core.errors import InputError
from dreamactor_core.jobs import reading
from dreamactor_core.jobs.inputs import open_inputs
from dreamactor_core.jobs.job import Job
from dreamactor_core.jobs.reading import Choices, read_bodies
from dreamactor_core.media import Footage, fit, to_frames, write_image, write_video
from dreamactor_core.mini import recognise, second_look, sight
from dreamactor_core.mini.eye import Eye
from dreamactor_core.mini.recognise import recognise_reference
from dreamactor_core.mini.second_look import look_at_figure, look_closer
from dreamactor_core.models import find
from dreamactor_core.pose.clips import SAMPLED, Samples, are_people, as_sample
from dreamactor_core.pose.footage import read_people
from dreamactor_core.pose.grabcut import figure_like
from dreamactor_core.pose.guides import Guides
from dreamactor_core.pose.rigid import RigidMotion, motion_of_body, motion_of_region, paint_rigid
from dreamactor_core.pose.subjects import Cutout, Subjects
from dreamactor_core.puppets.example import example
from dreamactor_core.skeleton import ANKLE, HIP, KNEE, MIRRORED_JOINT

from .test_guides import FIGURE, drawing, pose_of


@pytest.fixture(scope="module")
def animator():
    return find("mini").open()


@pytest.fixture(scope="module")
def puppets():
    return example(2)


@pytest.fixture(autouse=True)
def without_blazepose(monkeypatch, tmp_path):
    monkeypatch.setenv("DREAMACTOR_MODELS", str(tmp_path))


def eyes_of(animator):
    return animator.backbone.eyes


def eye_of(animator):
    return animator.backbone.broad_eye


def square_goes_right(count: int = 8) -> list[np.ndarray]:
    """A white square of 12 pixels that goes 4 pixels a frame, on grey."""
    frames = np.full((count, 64, 64, 3), 100, np.uint8)
    for k in range(count):
        frames[k, 30:42, 8 + 4 * k : 20 + 4 * k] = 255
    return list(frames)


def ring(side: int = 128) -> torch.Tensor:
    """A ring on paper: no body."""
    return to_frames(cv2.resize(drawing(), (side, side), interpolation=cv2.INTER_AREA)[None])


# The reference


def test_a_body_of_its_own_world_the_eye_knows_alone(animator, puppets):
    picture = puppets.reference[0]
    found = animator.eye.recognise(picture, picture, None, True)
    assert found == (None, "eye", "eye", 1)


@pytest.mark.parametrize("sure", [True, False])
def test_the_surest_eye_is_believed_and_the_networks_of_its_own_puppets(animator, puppets, sure):
    """The broad one has learned nothing here, and is sure of all or of nothing."""
    backbone = copy(animator.backbone)
    backbone.broad_eye = Eye((0, 0, 0, 20 if sure else -20)).requires_grad_(False)
    puppet = puppets.reference[0]
    assert backbone.recognise(puppet, puppet, None, True) == (None, "eye", "eye", 1)
    small = torch.nn.functional.pad(puppet.movedim(-1, 0), (200,) * 4, value=0.5).movedim(0, -1)
    seen, expected = (
        each.recognise(small, fit(small, 256, 256), None, True).guides.joints[0, :, :2]
        for each in (backbone, animator.eye)
    )
    watched, known = (each.watch([small])[0, 0, :, :2] for each in (backbone, animator.eye))
    for one, other in ((seen, expected), (watched, known)):
        assert (np.linalg.norm(one - other, axis=-1).mean() > 40) == sure
    assert backbone.is_sure_of([small]) and animator.eye.is_sure_of([small])


def test_the_eye_looks_at_the_size_that_it_learned_from(animator, puppets):
    """Twice as large a picture is looked at half as large, and told in its own pixels."""
    small = torch.nn.functional.avg_pool2d(puppets.reference.movedim(-1, 1), 2).movedim(1, -1)
    assert small.shape[1] == animator.backbone.transformer.config.target_size
    seen, larger = (
        sight.look_at_picture(eye_of(animator), *animator.backbone._shown(each[0])).joints()
        for each in (small, puppets.reference)
    )
    assert np.array_equal(larger[..., :2], 2 * seen[..., :2])
    assert np.array_equal(larger[..., 2], seen[..., 2])


def test_a_body_of_another_world_is_cut_out_as_the_eye_sees_it(animator, puppets, monkeypatch):
    """Joints in the picture's own pixels, and the outline of what has the colours of the body."""
    monkeypatch.setattr(sight, "SURE", 1.1)
    picture, bar = puppets.reference[0], torch.full((256, 64, 3), 0.5)
    wide = torch.cat([bar, picture, bar], dim=1)
    found = animator.eye.recognise(wide, fit(wide, 256, 256), None, True)
    assert (found.joints_by, found.bodies) == ("eye", 1)
    assert found.outline_by in ("eye", "ground")
    seen = animator.eye.seen(puppets.reference, None)
    away = np.linalg.norm(found.guides.joints[..., :2] - [64, 0] - seen.joints[..., :2], axis=-1)
    assert away.mean() < 6  # two pixels of those that the eye sees
    own, other = (mask > 0.5 for mask in (found.guides.mask[:, 64:-64], seen.mask))
    assert (own & other).sum() > 0.8 * (own | other).sum()


def small_on(ground: np.ndarray, puppets, side: int = 112) -> torch.Tensor:
    """The puppet's picture, of so many pixels, in the middle of a ground (256, 256, 3) uint8."""
    puppet = (puppets.reference[0] * 255).byte().numpy()
    edge = (256 - side) // 2
    picture = ground.copy()
    picture[edge:-edge, edge:-edge] = cv2.resize(puppet, (side, side), interpolation=cv2.INTER_AREA)
    return to_frames(picture[None])[0]


def hills() -> np.ndarray:
    """A ground (256, 256, 3) uint8 from which nothing can be cut out."""
    few = np.random.default_rng(3).integers(0, 255, (5, 5, 3), dtype=np.uint8)
    return cv2.resize(few, (256, 256), interpolation=cv2.INTER_CUBIC)


def test_a_body_too_small_for_the_eye_is_known_from_nearer(animator, puppets, monkeypatch):
    """As a reference and as a driver; its joints in the picture's own pixels."""
    whole = animator.eye.seen(puppets.reference, None).joints[0, :, :2]
    picture = small_on(hills(), puppets)
    found = animator.eye.recognise(picture, picture, None, True)
    assert found.joints_by == "eye"
    away = found.guides.joints[0, :, :2] - (whole * 112 / 256 + 72)
    assert np.linalg.norm(away, axis=1).mean() < 2
    assert animator.eye.is_sure_of([picture] * 3)
    empty = to_frames(hills()[None])[0]
    assert animator.eye.recognise(empty, empty, None, True).joints_by == "none"
    assert not animator.eye.is_sure_of([empty] * 3)
    monkeypatch.setattr(sight, "NEARER_LOOKS", 0)
    assert not animator.eye.is_sure_of([picture] * 3)


@pytest.mark.parametrize("quarters", [1, 2, 3])
def test_a_body_that_lies_is_known_in_the_picture_turned(animator, puppets, quarters):
    """In a picture that is wider than high; its joints and outline in the picture as it is."""
    whole = animator.eye.seen(puppets.reference, None)
    wide = torch.nn.functional.pad(puppets.reference[0].movedim(-1, 0), (32, 96), mode="replicate")
    shown = wide.movedim(0, -1).rot90(-quarters)
    found = animator.eye.recognise(shown, fit(shown, 256, 256), None, True)
    assert (found.joints_by, found.bodies) == ("eye", 1)
    assert found.guides.joints.shape == (1, 18, 3)
    there = sight.turned_back(found.guides.joints[..., :2], 4 - quarters, *wide.shape[1:])
    away = np.linalg.norm(there - [32, 0] - whole.joints[..., :2], axis=-1)
    assert away.mean() < 8
    assert found.guides.mask.shape == tuple(shown.shape[:2])
    back = np.rot90(found.guides.mask, quarters)[:, 32:-96]
    own, other = back > 0.5, whole.mask > 0.5
    assert (own & other).sum() > 0.7 * (own | other).sum()


@pytest.mark.parametrize("on_four, quarters", [(False, 1), (True, 0)])
def test_an_animal_on_its_back_is_not_turned(animator, puppets, monkeypatch, on_four, quarters):
    """It would be moved as if it stood in the air."""
    monkeypatch.setattr(sight, "is_on_four", lambda *_: on_four)
    shown = animator.backbone._shown(puppets.reference[0].rot90(-1))
    assert sight.look_any_way(eye_of(animator), *shown)[1] == quarters


@pytest.mark.parametrize("quarters", [0, 1, 2, 3])
def test_places_of_a_turned_picture_are_found_again(quarters):
    picture = np.zeros((5, 7))
    picture[1, 4] = 1
    ((row, column),) = np.argwhere(sight.turned_picture(picture, quarters))
    place = np.array([column, row]) + 0.5
    assert np.array_equal(sight.turned_back(place, quarters, 5, 7), [4.5, 1.5])


def test_beside_what_is_seen_from_nearer_stands_what_was_seen_before():
    """The upper right quarter of a picture was looked at again."""

    def seen(body: list[list[float]]) -> SimpleNamespace:
        sure = 50.0 * torch.tensor(body)
        return SimpleNamespace(labels=torch.stack([-sure, sure])[None])

    far = sight.Sight(None, seen([[1, -1], [1, -1]]), 0.0, np.zeros(2), np.full(2, 4.0))
    nearer = seen([[1] * 4] * 2 + [[-1] * 4] * 2)
    near = sight.Sight(None, nearer, 0.0, np.array([4, 0]), np.ones(2), around=far)
    body = near.body(8, 8)
    assert (body[:, :2] == 1).all()  # as from far
    assert (body[:2, 4:] == 1).all() and (body[2:4, 4:] == 0).all()  # as from nearer
    assert (body[5:, 6:] == 0).all()


def test_a_figure_is_told_apart_by_its_colours():
    """From a first idea that is coarse, and smaller."""
    picture = np.full((64, 64, 3), (40, 90, 200), np.uint8)
    picture[20:50, 24:40] = (220, 60, 30)
    idea = np.zeros((16, 16), np.float32)
    idea[6:12, 7:9] = 1
    mask = figure_like(picture, idea)
    assert mask.shape == (64, 64)
    assert np.array_equal(mask == 1, picture[..., 0] == 220)
    assert figure_like(picture, np.zeros((16, 16), np.float32)) is None


def test_a_horizon_is_no_part_of_a_figure_before_it():
    inside = np.zeros((20, 20), np.float32)
    inside[4:16, 8:12] = 1
    horizon = inside.copy()
    horizon[10] = 1
    assert recognise._runs_out(horizon, inside) and not recognise._runs_out(inside, inside)
    inside[16:, 8:12] = 1  # cut off by the border, by both
    assert not recognise._runs_out(inside, inside)
    moon = inside.copy()
    moon[1:3, 1:3] = 1
    assert np.array_equal(recognise._pieces_of(moon, 0.9 * inside), inside)


def test_a_figure_that_fills_its_picture_is_found_when_it_is_cut_out(animator, puppets):
    """Cropped to its outline the puppet is larger than any that was learned from."""
    picture = (puppets.reference[0] * 255).byte().numpy()
    body = animator.eye.seen(puppets.reference, None)
    mask = body.mask
    rows, columns = (np.flatnonzero((mask > 0.5).any(axis=axis)) for axis in (1, 0))
    crop = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    found = look_at_figure(eyes_of(animator), np.ascontiguousarray(picture[crop]), mask[crop])
    assert found.is_body
    away = found.joints[:, :2] + [columns[0], rows[0]] - body.joints[0, :, :2]
    seen = found.joints[:, 2] > 0.5
    assert seen.sum() > 12 and np.linalg.norm(away[seen], axis=1).mean() < 0.04 * len(rows)


def test_looked_at_from_near_a_mirrored_body_has_its_joints_mirrored(animator, puppets):
    """As it is the mean of looks at both: one look alone has its own mind of right and left."""
    picture = (puppets.reference[0] * 255).byte().numpy()
    body = animator.eye.seen(puppets.reference, None)
    eye, sides = eye_of(animator), list(MIRRORED_JOINT)
    joints = look_closer(eye, picture, body.mask, body.joints[0])
    flipped, mask = (np.ascontiguousarray(each[:, ::-1]) for each in (picture, body.mask))
    other = body.joints[0, sides] * [-1, 1, 1] + [picture.shape[1], 0, 0]
    found = look_closer(eye, flipped, mask, other)
    mirrored = joints[sides] * [-1, 1] + [picture.shape[1], 0]
    assert np.linalg.norm(found - mirrored, axis=1).max() < 1  # pixel
    assert np.linalg.norm(joints - body.joints[0, :, :2], axis=1).mean() < 4


def test_a_small_body_in_a_driver_is_found_better_from_nearer(animator, puppets):
    """Half as large as those that were learned from, in the middle of plain ground."""
    whole = animator.eye.seen(puppets.reference, None).joints[0, :, :2]
    small = torch.nn.functional.avg_pool2d(puppets.reference.movedim(-1, 1), 2).movedim(1, -1)
    frame = torch.full((256, 256, 3), 0.5)
    frame[64:192, 64:192] = small[0]
    panel = torch.nn.functional.avg_pool2d(2 * frame.movedim(-1, 0)[None] - 1, 2)
    once = 2 * eye_of(animator).averaged(panel).joints.detach().numpy()
    (closely,) = animator.eye.watch([frame])
    far, near = (
        np.linalg.norm(found - (whole / 2 + 64), axis=1).mean()
        for found in (once[0, 0], closely[0, :, :2])
    )
    assert near < 0.75 * far
    assert np.array_equal(closely[1, :, :2], closely[0, :, :2])  # one body, twice


def test_limbs_seen_on_the_wrong_side_are_changed_back():
    seen = FIGURE[:, :2].copy()
    legs = [*HIP, *KNEE, *ANKLE]
    seen[legs] = seen[np.array(MIRRORED_JOINT)[legs]] + 1
    told = second_look._with_sides_of(FIGURE[:, :2], seen)
    assert np.abs(told - FIGURE[:, :2]).max() == 1


def test_a_figure_of_which_one_bone_is_seen_has_no_limbs_to_move():
    trunk = FIGURE * [1, 1, 0]
    trunk[[0, 1, 2, 5, 8, 11], 2] = 1
    for ends, has in (((9,), False), ((9, 12), True)):
        joints = trunk.copy()
        joints[list(ends), 2] = 1
        assert second_look._has_limbs(joints) == has


def test_what_is_no_body_has_an_outline_and_no_joints(animator):
    picture = ring()[0]
    found = recognise_reference(eyes_of(animator), picture, picture, None, True)
    assert (found.joints_by, found.outline_by) == ("none", "ground") and not found.has_limbs
    assert found.guides.joints is None and found.guides.mask[64, 64] == 1


def test_of_several_figures_beside_each_other_the_largest_is_animated_and_it_is_said(animator):
    paper = np.full((128, 256, 3), 235, np.uint8)
    for x, radius in ((50, 25), (130, 40), (215, 30)):
        cv2.circle(paper, (x, 64), radius, (30, 30, 160), -1)
    picture = to_frames(paper[None])[0]
    found = recognise_reference(eyes_of(animator), picture, picture, None, True)
    assert (found.guides.others, found.bodies) == (2, 1)
    assert [found.guides.mask[64, x] for x in (50, 130, 215)] == [0, 1, 0]
    (note,) = reading._notes_of_reference(found)
    assert note == (
        "3 figures in the reference: the largest is animated; for another one give "
        "--reference-mask."
    )
    told = Guides(128, 256, None, (paper[..., 0] < 200).astype(np.float32))
    whole = recognise_reference(eyes_of(animator), picture, picture, told, False)
    assert whole.guides.mask is told.mask and whole.guides.others == 0


def test_what_is_told_stays_and_the_ground_tells_the_rest(animator):
    told = Guides(128, 128, FIGURE[None] * [1.28, 1.28, 1])
    found = recognise_reference(eyes_of(animator), ring()[0], ring()[0], told, True)
    assert (found.joints_by, found.outline_by, found.bodies) == ("given", "ground", 1)
    assert found.guides.joints is told.joints and found.guides.mask[64, 64] == 1
    alpha = Guides(128, 128, None, found.guides.mask)
    assert (
        recognise_reference(eyes_of(animator), ring()[0], ring()[0], alpha, True).outline_by
        == "alpha"
    )
    assert (
        recognise_reference(eyes_of(animator), ring()[0], ring()[0], alpha, False).outline_by
        == "given"
    )


# The driver, by BlazePose


class Told:
    """Stands in for BlazePose's networks: who is where in which frame, as (joints, ...) a frame.
    Pictures carry the number of their frame in their red channel; mirrored ones do so, too."""

    sees = "people"

    def __init__(self, frames, beside: float = 0.0):
        self.frames, self.beside = frames, beside

    def start(self, settings):
        return self.find

    def find(self, images):
        found = []
        for image in images:
            is_mirrored = image[0, 0, 1] != 0
            people = self.frames[int(image[0, -1 if is_mirrored else 0, 0])]
            points = np.zeros((len(people), 136, 3))
            for k, joints in enumerate(people):
                points[k, :18] = joints
                if is_mirrored:
                    points[k, :18] = joints[list(MIRRORED_JOINT)] * [-1, 1, 1]
                    points[k, :18] += [100 + self.beside, 0, 0]
            boxes = [
                np.r_[one[:, :2].min(axis=0), one[:, :2].max(axis=0)] for one in points[:, :18]
            ]
            mask = Cutout(np.full((4, 4), 255, np.uint8), np.array([[100.0, 0, 0], [0, 100, 0]]))
            count = len(people)
            found.append(
                Subjects(
                    np.array(boxes).reshape(-1, 4),
                    np.ones(count),
                    np.zeros(count),
                    points,
                    (mask,) * count,
                    points[:, :18, 0],  # whatever
                )
            )
        return found


NOBODY = Subjects(np.zeros((0, 4)), np.zeros(0), np.zeros(0), np.zeros((0, 136, 3)))
SMALL = FIGURE * [0.4, 0.4, 1]  # in the left top corner
LARGE = FIGURE * [0.6, 0.6, 1] + [40, 30, 0]


def followed(*frames, bodies: int = 1, person: int | None = None, beside: float = 0.0):
    pictures = np.zeros((len(frames), 100, 100, 3), np.uint8)
    pictures[..., 0] = np.arange(len(frames))[:, None, None]
    pictures[:, :, 50:, 1] = 1  # left of a mirrored one
    inputs = open_inputs(torch.rand(1, 32, 32, 3), Footage(to_frames(pictures), 10.0))
    return read_people(inputs.frames, inputs.clip, Told(frames, beside), bodies, person)


def hips(people) -> list[float]:
    """Where the followed ones are, x of the first in pixels, frame by frame."""
    return (people.pose.body[:, 0, [8, 11], 0].mean(axis=1) * 100).round().tolist()


def test_the_largest_and_longest_of_several_people_is_followed():
    both = (SMALL, LARGE)
    people = followed(both, both, both, (SMALL,), (SMALL,), both)
    assert (people.found, people.followed, people.missing) == (2, (1,), 2)
    assert hips(people) == [70] * 6 and people.surely


def test_another_one_is_chosen_by_number():
    both = (SMALL, LARGE)
    assert hips(followed(*[both] * 4, person=2)) == [20] * 4
    with pytest.raises(InputError, match="got 3, need 1 to 2, the people in it"):
        followed(*[both] * 4, person=3)


def test_a_second_body_is_followed_where_two_are_wanted():
    both = (SMALL, LARGE)
    assert followed(*[both] * 4, bodies=2).pose.body.shape[1] == 2
    assert followed(*[(LARGE,)] * 4, bodies=2).pose.body.shape[1] == 1


def test_who_leaves_is_held_and_who_comes_then_is_followed_on():
    people = followed((LARGE,), (LARGE,), (LARGE,), (), (SMALL,), (SMALL,), ())
    assert (people.found, people.followed, people.missing) == (2, (1, 2), 2)
    assert hips(people) == [70, 70, 70, 70, 20, 20, 20]
    nose = people.pose.body[:, 0, 0, 0]
    assert np.allclose(people.pose.depth[:, 0, 0], nose)  # theirs, of everyone at his time


def test_joints_outside_of_the_frame_are_not_seen():
    half = FIGURE * [1.5, 1.5, 1] - [25, 0, 0]
    body = followed(*[(half,)] * 4).pose.body[0, 0]
    assert (body[[9, 10, 12, 13], 2] == 0).all() and (body[[0, 1, 8, 11], 2] == 1).all()


def test_a_clip_without_people_or_of_drawings_is_none():
    assert followed((), (), (), ()) is None
    assert followed(*[(LARGE,)] * 4, beside=20.0) is None
    likely = followed(*[(LARGE,)] * 4, beside=2.0)
    assert likely is not None and not likely.surely


def test_who_is_another_in_the_mirror_of_most_frames_is_no_person():
    """A person need not be the same in all: one of five frames tells it."""
    frames = [(LARGE,)] * 10
    pictures = np.zeros((10, 100, 100, 3), np.uint8)
    pictures[..., 0] = np.arange(10)[:, None, None]
    pictures[:, :, 50:, 1] = 1  # left of a mirrored one
    assert are_people(Told(frames), list(pictures))
    lone = Told(frames)
    lone.find, seen = lambda images: [NOBODY] * len(images), lone.find
    assert not are_people(lone, list(pictures))
    for alike in (1, 2):  # of ten in whose mirror image somebody is
        lone.find = lambda images, alike=alike: [
            NOBODY if image[0, 0, 1] and image[0, -1, 0] >= alike else seen([image])[0]
            for image in images
        ]
        assert are_people(lone, list(pictures)) == (alike == 2)


def test_of_the_frames_that_show_somebody_some_are_kept_spread_over_the_clip():
    samples = Samples(Told([(LARGE,) if k % 2 else () for k in range(100)]))
    find = samples.start(None)
    for k in range(100):
        find([np.full((10, 10, 3), (k, 0, 0), np.uint8)])
    kept = [int(image[0, 0, 0]) for image in samples.kept()]
    assert len(kept) == SAMPLED and all(k % 2 for k in kept)
    assert kept[0] == 1 and kept[-1] >= 80 and np.diff(kept).max() <= 20
    frame = np.arange(48, dtype=np.uint8).reshape(4, 4, 3)
    assert np.array_equal(as_sample(frame / np.float32(255)), frame)  # as clips in memory give them


# What moves as a whole


def test_a_body_goes_grows_and_leans():
    times = np.arange(5.0)
    way = np.stack([FIGURE + 4 * k * np.array([1, 0, 0]) for k in range(5)])
    motion = motion_of_body(way, times)
    tall = (58 - 28) / 0.3
    assert (
        np.allclose(motion.way[:, 0], (4 * times - 8) / tall) and abs(motion.way[:, 1]).max() < 1e-9
    )
    assert np.allclose(motion.growth, 1) and np.allclose(motion.lean, 0)
    larger = motion_of_body(np.stack([FIGURE, FIGURE, FIGURE * [1.5, 1.5, 1]]), times[:3])
    assert np.allclose(larger.growth, [1, 1, 1.25])  # it seems a fifth larger by bending alone
    bent = motion_of_body(np.stack([FIGURE, FIGURE, FIGURE * [1, 0.85, 1]]), times[:3])
    assert (bent.growth == 1).all()
    lying = FIGURE[:, [1, 0, 2]] * [-1, 1, 1]  # a quarter turn to the right
    assert motion_of_body(np.stack([FIGURE, FIGURE, lying]), times[:3]).lean[2] == pytest.approx(
        0.6
    )
    assert motion_of_body(way * [1, 1, 0], times) is None


def test_the_largest_region_that_moves_is_followed():
    times = np.arange(8) / 1.0
    motion = motion_of_region(square_goes_right(), times)
    assert np.allclose(np.diff(motion.way[:, 0]), 4 / 14, atol=0.06)
    assert np.allclose(motion.way[:, 1], 0, atol=0.02) and (motion.growth == 1).all()
    still = motion_of_region([np.zeros((9, 9, 3), np.uint8)] * 8, times)
    assert not still.way.any() and (still.growth == 1).all()
    two = np.stack([*square_goes_right()])
    two = np.maximum(two, np.roll(two[::-1], -20, axis=1))  # another one that goes back
    assert abs(motion_of_region(list(two), times).way).max() < 0.05


def moved(x: float, y: float = 0.0, growth: float = 1.0) -> RigidMotion:
    return RigidMotion(np.zeros(1), np.array([[x, y]]), np.array([growth]), np.zeros(1))


def painted(picture, mask, motion) -> np.ndarray:
    """Over the same picture without its figure: all 90."""
    canvas = np.full((*picture.shape[:2], 4), 255, np.uint8)
    canvas[..., :3] = 90
    (frame,) = paint_rigid(picture, mask, motion, repeat(canvas))
    assert (frame[..., 3] == 255).all()
    return frame[..., :3]


def test_a_frame_that_is_not_wanted_is_the_one_before():
    picture = np.random.default_rng(0).integers(0, 255, (20, 20, 3), np.uint8)
    still = np.ones(4)
    motion = RigidMotion(np.arange(4), np.outer(np.arange(4), [0.02, 0]), still, 0 * still)
    canvas = repeat(np.zeros((20, 20, 4), np.uint8))
    every = list(paint_rigid(picture, None, motion, canvas))
    some = list(paint_rigid(picture, None, motion, canvas, {1, 3}))
    wanted = [every[k] for k in (0, 1, 1, 3)]  # the first always
    assert all(map(np.array_equal, some, wanted)) and not np.array_equal(every[1], every[2])


def test_a_figure_moves_whole_over_ground_that_stays():
    picture = np.full((100, 100, 3), 90, np.uint8)
    picture[40:60, 30:40] = [200, 10, 60]
    mask = np.zeros((100, 100), np.float32)
    mask[40:60, 30:40] = 1
    frame = painted(picture, mask, moved(1.0))
    assert (frame[40:60, 50:60] == [200, 10, 60]).all()  # 20 pixels, as it is tall
    frame[40:60, 50:60] = 90
    assert (frame == 90).all()
    larger = painted(picture, mask, moved(0, 0, 1.5))
    assert (larger[31:59, 29:41] == [200, 10, 60]).all() and (larger[62:] == 90).all()
    out = painted(picture, mask, moved(0, -1.9, 1.5))  # no larger than there is room above it
    assert np.array_equal(out, painted(picture, mask, moved(0, -1.9, 3 - 1.9 + 0.12)))


def test_a_figure_stays_in_the_picture():
    picture, mask = np.zeros((100, 100, 3), np.uint8), np.zeros((100, 100), np.float32)
    mask[40:60, 30:50] = 1
    frame = painted(picture, mask, moved(9.0))
    assert np.flatnonzero((frame[50] != 90).any(axis=-1)).min() == pytest.approx(82, abs=1)


def test_a_figure_leans_like_a_reed_on_feet_that_stand_as_far_as_there_is_room():
    picture = np.full((100, 100, 3), 90, np.uint8)
    picture[20:80, 45:55] = [200, 10, 60]
    mask = (picture[..., 0] == 200).astype(np.float32)
    still = RigidMotion(np.zeros(1), np.zeros((1, 2)), np.ones(1), np.full(1, 0.2))
    inside = painted(picture, mask, still)[..., 0] > 150
    middles = [np.flatnonzero(row).mean() for row in inside[20:80]]
    assert abs(middles[-1] - 49.5) < 0.6 and (np.diff(middles) <= 0).all()
    assert middles[0] - 49.5 == pytest.approx(0.75 * 60 * np.tan(0.2), abs=0.6)
    far = painted(picture, mask, still._replace(lean=np.full(1, 1.2)))[..., 0] > 150
    assert far[20:80, :99].any(axis=1).all()


def test_a_picture_without_a_figure_moves_a_little_and_shows_no_border():
    picture = np.full((50, 80, 3), 70, np.uint8)
    picture[20, 40] = 255
    frame = painted(picture, None, moved(3.0))
    assert frame.min() >= 70 and np.unravel_index(frame.argmax(), frame.shape)[1] == 45
    picture[:, 2:4] = 255  # a caption beside the border is not mirrored in it
    shown = painted(picture, None, moved(3.0))[..., 0].max(axis=0) > 200
    assert np.flatnonzero(shown).tolist() == [7, 8, 45]  # moved by 4.8 pixels


# The whole road


@pytest.fixture
def job(tmp_path, puppets):
    def job(reference, driving, **options) -> Job:
        return Job(reference, Footage(driving, 8.0), tmp_path / "out.mp4", **options)

    return job


def read(job: Job, animator, **choices):
    inputs = open_inputs(job.reference, job.driving, job.keypoints)
    return read_bodies(job, inputs, animator, Choices(**choices))


def test_puppets_are_read_by_the_eye_and_nothing_is_said(job, animator, puppets, caplog):
    one = job(puppets.reference, puppets.driving)
    got, inputs = read(one, animator, follow_people=True)
    by = inputs.reading.by
    assert got is one and inputs.guides is None and inputs.reading.rigid is None
    assert (by.reference_joints, by.driver, by.motion, by.notes) == ("eye", "eye", "limbs", ())
    assert not caplog.records


def test_a_driver_without_a_body_moves_the_reference_as_a_whole(job, animator, puppets, caplog):
    clip = to_frames(np.stack(square_goes_right()))
    _, inputs = read(job(puppets.reference, clip), animator, follow_people=True)
    assert inputs.reading.by.driver == "moving region" and inputs.reading.by.motion == "rigid"
    assert (np.diff(inputs.reading.rigid.way[1:-1, 0]) > 0).all()
    assert "fetch it once with --download (36 MB)" in caplog.text
    assert "No body recognised in the driving video: choose a clip" in caplog.text
    with pytest.raises(InputError, match="driving video: got no body"):
        read(job(puppets.reference, clip, strict=True), animator)


def test_a_driver_in_whom_no_person_is_found_is_not_decoded_again_for_the_eye(
    monkeypatch, job, animator, puppets
):
    one = job(puppets.reference, puppets.driving)
    inputs, begun = open_inputs(one.reference, one.driving), []
    counted = inputs._replace(frames=lambda: begun.append(1) or inputs.frames())
    for people, times in ((None, 1), (Told([()]), 2)):
        monkeypatch.setattr(reading, "networks_here", lambda people=people: people)
        monkeypatch.setattr(Told, "find", lambda _, images: [NOBODY] * len(images))
        _, found = read_bodies(one, counted, animator, Choices(follow_people=True))
        assert found.reading.by.driver == "eye" and len(begun) == times


def test_a_person_who_is_followed_makes_the_job_pose_based(monkeypatch, job, animator, puppets):
    standing = pose_of(FIGURE[None]).map(lambda points: np.repeat(points, 16, axis=0))
    people = SimpleNamespace(pose=standing, found=3, followed=(1,), missing=2, surely=False)
    monkeypatch.setattr(reading, "networks_here", lambda: "there")
    monkeypatch.setattr(reading, "read_people", lambda *_: people)
    clip = torch.rand(16, 64, 64, 3, generator=torch.Generator().manual_seed(0))
    got, inputs = read(job(puppets.reference, clip), animator, follow_people=True)
    assert (got.variant, got.keypoints) == ("pose-based", standing) and inputs.pose is standing
    by = inputs.reading.by
    assert (by.driver, by.motion, len(by.notes)) == ("blazepose", "limbs", 2)
    assert "choose another one with --driving-person, 1 to 3." in by.notes[0]
    assert by.notes[1].startswith("Nobody is seen in 2 of 16 frames")
    (note,) = reading._notes_of_people(people, inputs, 2)  # who chose needs no advice
    assert note.startswith("nobody is seen")
    # A puppet that may be a person is what the eye says; and nobody is followed unasked.
    got, inputs = read(job(puppets.reference, puppets.driving), animator, follow_people=True)
    assert got.variant == "end-to-end" and inputs.reading.by.driver == "eye"
    assert read(job(puppets.reference, clip), animator)[1].pose is None


def test_a_small_figure_on_plain_ground_is_followed_once_it_is_cut_out(job, animator, puppets):
    body = animator.eye.seen(puppets.reference, None)
    inside = torch.from_numpy(body.mask > 0.5)[..., None]
    cut = torch.where(inside, puppets.reference[0], 0.9)
    figure = torch.nn.functional.avg_pool2d(cut.movedim(-1, 0), 2).movedim(0, -1)
    clip = torch.full((2, 480, 480, 3), 0.9)
    for k in range(2):
        clip[k, 300:428, 40 + 160 * k : 168 + 160 * k] = figure
    got, inputs = read(job(puppets.reference, clip), animator, follow_people=True)
    by = inputs.reading.by
    assert (got.variant, by.driver, by.motion) == ("pose-based", "eye", "limbs")
    joints = inputs.pose.body[:, 0] * [480, 480, 1]
    where = body.joints[0, :, :2] / 2 + [[[40, 300]], [[200, 300]]]
    away = np.linalg.norm(joints[..., :2] - where, axis=-1)[joints[..., 2] > 0]
    assert len(away) > 30 and away.mean() < 6
    large = animator.eye.figures([(cut * 255).byte().numpy()])
    assert not large.any()  # the eye sees it as it is


def test_keypoints_that_show_nobody_leave_the_driver_to_the_eye(job, animator, puppets):
    nobody = pose_of(FIGURE[None] * [1, 1, 0]).map(lambda points: np.repeat(points, 16, axis=0))
    one = job(puppets.reference, puppets.driving, variant="pose-based", keypoints=nobody)
    got, inputs = read(one, animator, look_instead=True)
    assert (got.variant, got.keypoints, inputs.pose) == ("end-to-end", None, None)
    assert inputs.reading.by.driver == "eye"
    assert inputs.reading.by.notes == (
        "The keypoints show nobody: the driving video itself is looked at.",
    )
    assert read(one, animator)[0] is one  # with a LoRA of its own


def test_the_command_says_what_it_did_with_a_picture_of_nothing(tmp_path, caplog):
    write_image(tmp_path / "ring.png", ring()[0])
    write_video(tmp_path / "clip.mp4", square_goes_right(), 8)
    argv = ["animate", "--reference", tmp_path / "ring.png", "--driving", tmp_path / "clip.mp4"]
    argv = [*map(str, [*argv, "--output", tmp_path / "out.mp4", "--json", tmp_path / "r.json"])]
    assert main(argv) == 0
    read_by = json.loads((tmp_path / "r.json").read_text())["read"]
    assert read_by["reference_outline"] == "ground" and read_by["motion"] == "rigid"
    assert read_by["notes"][0].startswith("No body recognised in the reference: place its joints")
    assert read_by["notes"][0] in caplog.text
