"""The eye's confidence, and what it learns from beside the worlds as they are drawn."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from dreamactor_core.mini.eye import (
    CONFIDENT,
    TOLD_BY,
    BodyEstimate,
    Eye,
    telling,
)
from dreamactor_core.mini.folder import save_backbone
from dreamactor_core.models.loading import load_backbone
from dreamactor_core.puppets.restyle import draw_in_styles, picture_of_nothing
from dreamactor_core.puppets.triplet import triplet
from dreamactor_core.skeleton import ELBOW, HIP, KNEE, NECK, NOSE, PARTS, SHOULDER, THIGH, TORSO
from dreamactor_core.train.fit import Schedule
from dreamactor_core.train.mini.eye import HEATMAP_WEIGHT, eye_loss, train_eye
from dreamactor_core.train.mini.glances import (
    BROAD_DIET,
    UNKNOWN,
    Glances,
    clip_at,
    leaning,
    through_code,
)
from dreamactor_core.train.mini.people import Media, TaughtPerson, lesson, read_media

from .test_train import digest
from .test_truth import tiny_mini


def estimate(joints, uncertainty, two_bodies, labels=None):
    """Of one picture of 16 pixels; joints and uncertainties of its two bodies."""
    places = torch.tensor(joints).view(1, 2, 1, 1).expand(1, 2, 18, 2)
    unsure = torch.tensor(uncertainty).view(1, 2, 1).expand(1, 2, 18)
    return BodyEstimate(
        torch.zeros(1, 4, 2, 2), places, unsure, torch.zeros(1, 2, 18, 4),
        torch.tensor([two_bodies]), labels,
    )  # fmt: skip


def test_what_tells_a_body_is_counted_over_the_bodies_that_there_are():
    labels = torch.zeros(1, 1 + PARTS, 16, 16)
    labels[:, 0] = 50.0
    labels[..., :8] = labels[..., :8].roll(TORSO, 1)  # the left half is torso
    one = estimate([4.0, 12.0], [1.1, 7.0], -1.0, labels)
    area = math.log(0.5 + 1e-3)
    expected = torch.tensor([[math.log(1.6 / 16), 1.0, area]])
    torch.testing.assert_close(telling(one), expected)
    both = estimate([4.0, 12.0], [1.1, 7.0], 1.0, labels)
    unsure = (math.log(1.6 / 16) + math.log(7.5 / 16)) / 2
    torch.testing.assert_close(telling(both), torch.tensor([[unsure, 0.5, area]]))


@pytest.mark.parametrize("told_by", [TOLD_BY, (-2.0, 0.5, 0.25, -5.0)])
def test_confidence_is_logistic_in_what_tells(told_by):
    seen = estimate([4.0, 9.0], [1.0, 2.0], 1.0, torch.zeros(1, 1 + PARTS, 16, 16))
    terms = [*telling(seen)[0].tolist(), 1.0]
    logit = sum(w * x for w, x in zip(told_by, terms, strict=True))
    said = Eye(told_by).confidence(seen).item()
    assert said == pytest.approx(1 / (1 + math.exp(-logit)), rel=1e-5)


@pytest.mark.parametrize("broad", [False, True])
def test_the_shipped_eyes_are_confident_of_puppets_and_not_of_nothing(broad):
    backbone = load_backbone("mini")
    eye = backbone.broad_eye if broad else backbone.transformer.eye
    assert (eye is backbone.transformer.eye) != broad
    side = backbone.transformer.config.target_size
    rng = np.random.default_rng(0)
    clips = [triplet(seed, "test", 10, side, transition=False).truth for seed in range(3)]
    puppets = np.stack([clip.frames[0] for clip in clips])
    scenes = np.stack([clip.scene[0] for clip in clips])
    noise = rng.integers(0, 256, (1, side, side, 3)).astype(np.uint8)
    with torch.no_grad():
        seen = eye.averaged(through_code(backbone, np.concatenate([puppets, scenes, noise])))
    said = eye.confidence(seen)
    assert (said[:3] >= CONFIDENT).all() and (said[3:] < CONFIDENT).all()


def test_a_heatmap_of_nothing_is_to_be_flat():
    labels, joints = torch.zeros(1, 16, 16, dtype=torch.int64), torch.full((1, 2, 18, 2), math.nan)
    shown = torch.zeros(1, 1 + PARTS, 16, 16)
    shown[:, 0] = 50

    def loss(heat):
        seen = estimate([4.0, 4.0], [1.0, 1.0], -50.0, shown)
        return eye_loss(seen._replace(heatmap=heat), joints, labels).item()

    assert loss(torch.full((1, 2, 18, 4), 3.0)) == pytest.approx(0, abs=1e-6)
    sure = torch.tensor([40.0, 0, 0, 0]).expand(1, 2, 18, 4)
    assert loss(sure) == pytest.approx((30 - math.log(4)) * HEATMAP_WEIGHT, rel=1e-5)


# Other styles


def test_a_restyled_clip_shows_the_same_bodies_in_other_colours():
    clip = clip_at(triplet(3, "train", 12, 64, transition=False).truth, [0, 10, 11])
    made = draw_in_styles(np.random.default_rng(1), clip, [])
    assert made.shape == clip.frames.shape and made.dtype == np.uint8
    np.testing.assert_array_equal(made, draw_in_styles(np.random.default_rng(1), clip, []))
    assert all(np.abs(a.astype(int) - b).mean() > 3 for a, b in zip(made, clip.frames, strict=True))


def test_nothing_is_cut_from_pictures_too_small_to_hold_a_body_whole():
    red = np.zeros((100, 100, 3), np.uint8)
    red[..., 0] = 255
    rng, body = np.random.default_rng(0), np.zeros((32, 32, 3), np.uint8)
    made = [picture_of_nothing(rng, 32, [red], body) for _ in range(12)]
    assert {(each.shape, each.dtype) for each in made} == {((32, 32, 3), np.dtype(np.uint8))}
    assert len({each.tobytes() for each in made}) > 8


def test_the_broad_diet_is_bodies_in_other_styles_and_nothing():
    backbone = tiny_mini()
    config = replace(BROAD_DIET, frames=2, compile=False)
    pictures, joints, labels = Glances(backbone, config)[1]
    assert len(pictures) == len(joints) == len(labels) == 4 + 4
    known = joints.isfinite().flatten(1).all(dim=1)
    assert known.tolist() == [True] * 4 + [False] * 4
    assert (labels[:4] > 0).flatten(1).any(dim=1).all() and (labels[4:] == 0).all()


def test_a_body_that_leans_is_turned_with_its_truth_and_its_scene_is_not():
    clip = clip_at(triplet(3, "train", 25, 64).truth, [0, 12])
    made = leaning(clip, 90)
    for own, turned in ((clip.mask, made.mask), (clip.parts, made.parts)):
        np.testing.assert_array_equal(np.rot90(own, axes=(1, 2)), turned)
    x, y, sure = np.moveaxis(clip.pose.body, -1, 0)
    np.testing.assert_allclose(made.pose.body, np.stack([y, 1 - x, sure], axis=-1), atol=1e-6)
    bare = (made.mask == 0) & (clip.mask == 0)
    np.testing.assert_array_equal(made.frames[bare], clip.scene[bare])
    whole = (made.mask == 255)[..., None]
    body = np.rot90(clip.frames, axes=(1, 2)).astype(int)
    assert np.abs(np.where(whole, made.frames - body, 0)).max() <= 1


def test_the_broad_eye_learns_apart_from_the_networks(tmp_path):
    """It begins as that one, is kept in the model's folder, and goes on from there."""
    backbone = tiny_mini()
    own, before = backbone.transformer.eye, digest(backbone.transformer.eye)
    config = replace(BROAD_DIET, schedule=Schedule(2, 1e-3, warm_up=1), restyled_bodies=0)
    config = replace(config, frames=1, compile=False)
    train_eye(backbone, config, tmp_path / "run")
    broad = backbone.broad_eye
    assert digest(own) == before != digest(broad)
    save_backbone(backbone, tmp_path / "model", torch.float32)
    again = load_backbone(tmp_path / "model")
    assert digest(again.broad_eye) == digest(broad) and digest(again.transformer.eye) == before
    train_eye(again, config, tmp_path / "more")
    assert digest(again.transformer.eye) == before and digest(again.broad_eye) != digest(broad)
    again.broad_eye = again.transformer.eye
    save_backbone(again, tmp_path / "model", torch.float32)
    assert load_backbone(tmp_path / "model").broad_eye.config.told_by == TOLD_BY


# People


def standing_person():
    joints = np.zeros((18, 3))
    places = {NOSE: (50, 20), NECK: (50, 30), SHOULDER[0]: (42, 32), SHOULDER[1]: (58, 32)}
    places |= {HIP[0]: (45, 60), HIP[1]: (55, 60), ELBOW[0]: (38, 45), KNEE[0]: (45, 78)}
    for joint, place in places.items():
        joints[joint] = *place, 0.9
    mask = np.zeros((100, 100), np.float32)
    mask[10:95, 35:65] = 1
    picture = np.full((100, 100, 3), 200, np.uint8)
    others = np.zeros((100, 100), bool)
    others[:, 90:] = True
    return TaughtPerson(picture, joints, mask, others)


def test_a_lesson_says_what_the_teacher_is_sure_of_and_leaves_the_rest_open():
    person, mirrored = standing_person(), set()
    for seed in range(6):
        picture, joints, labels = lesson(np.random.default_rng(seed), person, 64)
        known = np.isfinite(joints).all(axis=1)
        mirrored.add(bool(known[ELBOW[1]]))  # the right one is known, the left one is not
        assert known.sum() == 8 and picture.shape == (64, 64, 3)
        x, y = np.floor(joints[HIP[0]]).astype(int)
        assert labels[y, x] in (TORSO, *THIGH)
        assert joints[NOSE, 1] < joints[NECK, 1] < joints[HIP[0], 1]
        assert joints[SHOULDER[0], 0] < joints[SHOULDER[1], 0]  # from the front, mirrored or not
        assert (labels == 0).any() and (labels == UNKNOWN).any()
    assert mirrored == {True, False}


def test_media_are_read_by_their_split_and_what_cannot_be_read_is_left_out(tmp_path, monkeypatch):
    import cv2

    from dreamactor_core.errors import InputError
    from dreamactor_core.train.mini import people

    monkeypatch.setattr(people, "load_blazepose", lambda: None)
    monkeypatch.setattr(people, "_people_in", lambda frame, networks: [])
    names = {split: [] for split in ("train", "test")}
    for k in range(6):
        path = tmp_path / f"source{k}_a.png"
        cv2.imwrite(str(path), np.full((8, 8 + k, 3), k, np.uint8))
        names[people._split_of(path)].append(8 + k)
    (tmp_path / "source9.png").write_bytes(b"no picture")
    for split, widths in names.items():
        if widths:
            media = read_media(tmp_path, split)
            assert isinstance(media, Media) and not media.people
            assert sorted(p.shape[1] for p in media.pictures) == widths
    with pytest.raises(InputError, match="folder of media"):
        read_media(tmp_path / "empty", "train")
