"""The eye's confidence, and what it learns from beside the worlds as they are drawn."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from dreamactor_core.mini.eye import (
    CONFIDENT,
    TELLING,
    TELLING_OF_JOINTS,
    BodyEstimate,
    confidence,
    telling,
)
from dreamactor_core.models.loading import load_backbone
from dreamactor_core.puppets.restyle import draw_in_styles, picture_of_nothing
from dreamactor_core.puppets.triplet import triplet
from dreamactor_core.skeleton import ELBOW, HIP, KNEE, NECK, NOSE, PARTS, SHOULDER, THIGH, TORSO
from dreamactor_core.train.fit import Schedule
from dreamactor_core.train.mini.eye import HEATMAP_WEIGHT, eye_loss, train_eye
from dreamactor_core.train.mini.glances import (
    BROAD_DIET,
    UNKNOWN,
    EyeConfig,
    Glances,
    clip_at,
    leaning,
    through_code,
)
from dreamactor_core.train.mini.people import Media, TaughtPerson, lesson, read_media

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
    torch.testing.assert_close(telling(one._replace(labels=None)), expected[:, :1])


def test_confidence_is_logistic_in_what_tells_with_labels_and_without():
    labels = torch.zeros(1, 1 + PARTS, 16, 16)
    for seen in (estimate([4.0, 9.0], [1.0, 2.0], 1.0, one) for one in (labels, None)):
        weights = TELLING_OF_JOINTS if seen.labels is None else TELLING
        terms = [*telling(seen)[0].tolist(), 1.0]
        logit = sum(w * x for w, x in zip(weights, terms, strict=True))
        assert confidence(seen).item() == pytest.approx(1 / (1 + math.exp(-logit)), rel=1e-5)


def test_the_shipped_eye_is_confident_of_puppets_and_not_of_nothing():
    backbone = load_backbone("mini")
    side = backbone.transformer.config.target_size
    rng, eye = np.random.default_rng(0), backbone.transformer.eye
    clips = [triplet(seed, "test", 10, side, transition=False).truth for seed in range(3)]
    puppets = np.stack([clip.frames[0] for clip in clips])
    scenes = np.stack([clip.scene[0] for clip in clips])
    noise = rng.integers(0, 256, (1, side, side, 3)).astype(np.uint8)
    with torch.no_grad():
        seen = eye.averaged(through_code(backbone, np.concatenate([puppets, scenes, noise])))
    for said in (confidence(seen), confidence(seen._replace(labels=None))):
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


def test_the_broad_diet_adds_as_many_pictures_and_their_truth():
    backbone = tiny_mini()
    config = replace(BROAD_DIET, triplets=1, frames=2, compile=False)
    pictures, joints, labels = Glances(backbone, config)[1]
    assert config.of_worlds == 6 and len(pictures) == len(joints) == len(labels) == 6 + 4 + 3
    known = joints.isfinite().flatten(1).all(dim=1)
    assert known.tolist() == [True] * 10 + [False] * 3
    assert (labels[6:10] > 0).flatten(1).any(dim=1).all() and (labels[10:] == 0).all()


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


def test_features_that_are_kept_move_less(tmp_path):
    moved = []
    for weight in (0.0, 30.0):
        backbone = tiny_mini()
        config = EyeConfig(Schedule(8, 1e-3, warm_up=1), triplets=1, frames=1, compile=False)
        pictures = Glances(backbone, config)[1][0]
        eye = backbone.transformer.eye

        def features(eye=eye, pictures=pictures):
            with torch.no_grad():
                return eye(pictures, labels=False).features

        before = features()
        train_eye(backbone, replace(config, keep_weight=weight), tmp_path / str(weight))
        moved.append((features() - before).square().mean().item())
    assert moved[1] < 0.6 * moved[0], moved


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
