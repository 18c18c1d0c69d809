"""The puppet world: the same seed is the same world, and its truth is true."""

import hashlib
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from dreamactor_core.pose.keypoints import dump_keypoints, parse_keypoints
from dreamactor_core.puppets.background import draw_photograph, furnish
from dreamactor_core.puppets.body import solve
from dreamactor_core.puppets.body_plan import BODY_PLANS
from dreamactor_core.puppets.camera import OUTSIDE, UNSURE
from dreamactor_core.puppets.captions import describe_motion, describe_puppet
from dreamactor_core.puppets.clip import render
from dreamactor_core.puppets.colours import HUES
from dreamactor_core.puppets.identity import HEADGEAR, HELD, sample_identity
from dreamactor_core.puppets.motion import MOTION_FAMILIES, MotionKey, sample_key
from dreamactor_core.puppets.scene import sample_appearance, sample_performance
from dreamactor_core.puppets.triplet import triplet, triplet_poses
from dreamactor_core.puppets.world import LEAD_IN
from dreamactor_core.skeleton import ANKLE, ELBOW, HIP, KNEE, SHOULDER, WRIST

ROOT = Path(__file__).resolve().parents[2]
LIMBS = [*ELBOW, *WRIST, *KNEE, *ANKLE]
PARTS = {"bird": ("wing", "leg"), "quadruped": ("foreleg", "hind leg"), "beast": ("paw", "leg")}


def traits(who):
    return who.kind, who.head, who.headgear, who.torso, who.pattern, who.hue


def digest(clips) -> str:
    sha = hashlib.sha256()
    for clip in (clips.driver, clips.truth):
        for array in (clip.frames, clip.mask, clip.scene, clip.pose.body):
            sha.update(np.ascontiguousarray(array).tobytes())
        sha.update(clip.caption.encode())
    return sha.hexdigest()


def limb_directions(joints):
    """(t, 18, 2) -> unit vectors of the 8 limb segments (t, 8, 2), proportions taken out."""
    chains = [(SHOULDER, ELBOW), (ELBOW, WRIST), (HIP, KNEE), (KNEE, ANKLE)]
    bones = [joints[:, b[side]] - joints[:, a[side]] for a, b in chains for side in (0, 1)]
    bones = np.stack(bones, axis=1)
    return bones / np.linalg.norm(bones, axis=-1, keepdims=True)


def test_a_seed_is_the_same_world_in_every_process():
    code = (
        "from tests.core.test_puppets import digest, triplet\n"
        "print(digest(triplet(5, 'train', 13, 32)), digest(triplet(5, 'test', 13, 32)))"
    )
    other = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout.split()
    here = [digest(triplet(5, split, 13, 32)) for split in ("train", "test")]
    assert here == other
    assert here[0] != here[1]
    assert digest(triplet(6, "train", 13, 32)) != here[0]


@pytest.mark.parametrize(
    "split, seed, nose, knee, tint, caption",
    [
        (
            "train",
            7,
            (0.62644, 0.35786),
            (0.50233, 0.7926),
            (130.4, 124.8, 122.0),
            "a grey person with crown is flapping both arms",
        ),
        (
            "train",
            11,
            (0.30554, 0.46715),
            (0.71944, 0.79929),
            (175.3, 132.0, 115.0),
            "an orange quadruped is clapping the forelegs",
        ),
        (
            "test",
            7,
            (0.39521, 0.29946),
            (0.35552, 0.75243),
            (89.9, 130.0, 140.5),
            "a pink robot with mohawk is moving arms and legs freely",
        ),
        (
            "test",
            11,
            (0.56134, 0.33629),
            (0.53625, 0.82294),
            (104.2, 174.0, 190.1),
            "a purple bird with helmet is moving wings and legs freely",
        ),
    ],
)
def test_a_seed_is_the_world_it_always_was(split, seed, nose, knee, tint, caption):
    """Bench figures and trained weights refer to seeds: what they draw is for ever."""
    clip = triplet(seed, split, LEAD_IN + 1, 32).truth
    np.testing.assert_allclose(clip.pose.body[-1, 0, [0, KNEE[0]], :2], [nose, knee], atol=1e-4)
    np.testing.assert_allclose(clip.frames.mean(axis=(0, 1, 2)), tint, atol=0.5)
    assert clip.caption == caption


def test_no_trait_combination_is_in_both_splits():
    rng = np.random.default_rng(0)
    drawn = {
        split: [sample_identity(rng, split) for _ in range(800)] for split in ("train", "test")
    }
    seen = {split: {traits(who) for who in drawn[split]} for split in drawn}
    assert all(who.split == split for split in drawn for who in drawn[split])
    assert not seen["train"] & seen["test"]
    assert len(seen["test"]) > 600  # not a handful
    for split in seen:  # every single trait is seen in both
        assert {t[0] for t in seen[split]} == set(BODY_PLANS)
        assert {t[2] for t in seen[split]} == set(HEADGEAR)
        assert {t[5] for t in seen[split]} == set(HUES)


def test_no_motion_key_is_in_both_splits():
    rng = np.random.default_rng(0)
    seen = {split: {sample_key(rng, split) for _ in range(600)} for split in ("train", "test")}
    assert all(key.split == split for split in seen for key in seen[split])
    assert not seen["train"] & seen["test"]
    assert len(seen["test"]) >= 40
    assert len({key.family for key in seen["test"]}) >= 10
    assert {key.family for key in seen["train"]} == set(MOTION_FAMILIES)
    # Half of the families do not read the side: it must not be all that parts the splits.
    for key in seen["train"] | seen["test"]:
        assert replace(key, side=1 - key.side).split == key.split


@pytest.mark.parametrize("split", ["train", "test"])
def test_performance_and_appearance_are_of_the_split_asked_for(split):
    for seed in range(60):
        rng = np.random.default_rng(seed)
        play, look = sample_performance(rng, split, 10, 2), sample_appearance(rng, split, 16, 2)
        assert {key.split for key in play.keys} == {who.split for who in look.cast} == {split}


def test_driver_and_truth_perform_the_same_motion_with_other_bodies():
    pairs = 0
    for seed in range(40):
        clips = triplet(seed, "train", LEAD_IN + 4, 16)
        one, two = clips.driver.pose.body, clips.truth.pose.body
        assert np.abs(one[LEAD_IN:, ..., :2] - two[LEAD_IN:, ..., :2]).max() > 0.01
        nouns = [clip.caption.split(" is ")[0] for clip in (clips.driver, clips.truth)]
        if one.shape[1] > 1 or any(k in n for n in nouns for k in ("quadruped", "blob")):
            continue
        pairs += 1
        directions = []
        for body in (one[:, 0, :, :2], two[:, 0, :, :2]):
            directions.append(limb_directions(body))
        # The transition ends with the lead-in; from its last frame on both do the same.
        np.testing.assert_allclose(*(d[LEAD_IN - 1 :] for d in directions), atol=1e-9)
        assert np.abs(directions[0][0] - directions[1][0]).max() > 0.02  # own reference poses
    assert pairs > 20


def test_frame_0_is_a_reference_pose_and_not_the_motion():
    rng = np.random.default_rng(3)
    who = sample_identity(rng, "train", "human")
    for _ in range(20):
        play = sample_performance(rng, "train", 20)
        angles = limb_directions(solve(who, play.motions[0]).joints)
        steps = np.abs(angles[LEAD_IN:] - angles[0]).max(axis=(1, 2))
        assert steps.min() > 0.02
        assert (np.abs(np.diff(angles, axis=0)).max(axis=(1, 2)) > 1e-4)[:LEAD_IN].any()


def test_the_mask_is_where_the_puppet_hides_the_scene():
    for seed in range(8):
        clip = triplet(seed, "train", 11, 64).truth
        differs = np.abs(clip.frames.astype(int) - clip.scene).max(axis=-1)
        assert (differs[clip.mask == 0] <= 40).all()  # the lens may blur over the edge
        far = np.stack([~_grown(mask > 0, 3) for mask in clip.mask])
        assert (differs[far] == 0).all()
        inside = clip.mask == 255
        assert 0.02 < inside.mean() < 0.5
        assert (differs[inside] > 0).mean() > 0.9  # some parts have the colour of the scene


def _grown(mask, by):
    padded = np.pad(mask, by)
    height, width = mask.shape
    moved = [
        padded[y : y + height, x : x + width] for y in range(2 * by + 1) for x in range(2 * by + 1)
    ]
    return np.any(moved, axis=0)


@pytest.mark.parametrize("kind", BODY_PLANS)
def test_keypoints_lie_on_the_drawn_body(kind):
    size, seen = 128, 0
    for seed in range(6):
        rng = np.random.default_rng(seed)
        play = sample_performance(rng, "train", 12)
        clip = render(sample_appearance(rng, "train", size, kind=kind), play, size)
        for t in range(len(clip.mask)):
            body = _grown(clip.mask[t] > 127, 1)
            for x, y in np.floor(clip.pose.body[t, 0, LIMBS, :2] * size).astype(int):
                if 0 <= x < size and 0 <= y < size:
                    seen += 1
                    assert body[y, x], (seed, t, x, y)
    assert seen > 400


@pytest.mark.parametrize("kind", BODY_PLANS)
def test_a_caption_names_the_parts_the_body_has(kind):
    rng = np.random.default_rng(1)
    arm, leg = PARTS.get(kind, ("arm", "leg"))
    foreign = {"arm", "wing", "foreleg", "paw", "hind leg"} - {arm, leg}
    for family in set(MOTION_FAMILIES):
        for side in (0, 1):
            look = sample_appearance(rng, "train", 8, kind=kind)
            play = sample_performance(rng, "train", 2)
            key = MotionKey(family, side, 0, 0)
            text = render(look, type(play)(play.motions, play.camera, (key,)), 8).caption
            does = text.split(" is ")[1]
            assert not any(re.search(rf"\b{word}s?\b", does) for word in foreign), text
            if family in ("wave", "wave both", "flap", "clap", "punch", "star jump", "free"):
                assert arm in does
            if family in ("kick", "star jump", "free"):
                assert leg in does
            if family in ("wave", "kick"):
                assert ("right", "left")[side] in does


def test_a_caption_of_one_puppet_fits_into_the_text_encoder():
    longest = 0
    for kind in BODY_PLANS:
        for hue in HUES:
            for gear in HEADGEAR:
                who = sample_identity(np.random.default_rng(0), "train", kind)
                who = type(who)(**{**vars(who), "hue": hue, "headgear": gear})
                for family in set(MOTION_FAMILIES):
                    key = MotionKey(family, 1, 0, 0)
                    text = f"{describe_puppet(who)} is {describe_motion(key, who)}"
                    longest = max(longest, len(text.encode()))
    assert longest <= 95


def test_the_pose_survives_a_keypoint_file():
    poses = (triplet_poses(seed, "train", 5)[1] for seed in range(100))
    pose = next(pose for pose in poses if pose.body.shape[1] == 2)
    again = parse_keypoints(dump_keypoints(pose, 640, 640))
    for name in ("body", "hands", "face", "feet"):
        np.testing.assert_allclose(getattr(again, name), getattr(pose, name), atol=1e-12)
    assert again.aspect == 1.0


def test_other_sizes_show_the_same_scene():
    for seed in range(6):
        small, large = (triplet(seed, "train", 10, size).truth for size in (64, 256))
        np.testing.assert_array_equal(small.pose.body, large.pose.body)
        assert small.caption == large.caption
        shrunk = large.frames.reshape(10, 64, 4, 64, 4, 3).mean(axis=(2, 4))
        error = np.abs(shrunk - small.frames).mean()
        other = np.abs(shrunk - triplet(seed + 1, "train", 10, 64).truth.frames).mean()
        assert error < 6
        assert error < other / 4


# What the training split has beside


def one_human(size=64, **changes):
    rng = np.random.default_rng(4)
    look, play = (
        sample_appearance(rng, "train", size, kind="human"),
        sample_performance(rng, "train", 12),
    )
    look = replace(look, blur=0.0, gain=np.ones(3), **changes)
    return render(look, replace(play, camera=np.tile([0.0, 0.0, 1.0], (12, 1))), size)


def test_variety_is_of_the_training_split_and_on_request():
    assert digest(triplet(5, "test", 13, 32)) == digest(triplet(5, "test", 13, 32, varied=False))
    plain, varied = (
        [triplet(seed, "test", 25, 32, varied=varied) for seed in range(12)]
        for varied in (False, True)
    )
    changed = [digest(a) != digest(b) for a, b in zip(plain, varied, strict=True)]
    assert sum(changed) > 6
    train = triplet(5, "train", 13, 32)
    assert digest(train) == digest(triplet(5, "train", 13, 32, varied=True))


def test_training_has_half_bodies_some_that_leave_and_three_at_a_time():
    halves = leaving = 0
    subjects = set()
    for seed in range(150):
        for pose in triplet_poses(seed, "train", 25):
            subjects.add(pose.body.shape[1])
            seen = pose.body[..., 2] == 1
            halves += not seen[0, :, ANKLE].any() and seen[0, 0, 0]
            leaving += seen[0].any() and not seen[LEAD_IN:].all(axis=-1).any(axis=0).all()
    assert subjects == {1, 2, 3}
    assert halves > 15
    assert leaving > 5


def test_half_body_framing_shows_the_head_large_and_no_feet():
    whole, half = one_human(), one_human(crop=0.5)
    one, two = whole.pose.body[:, 0], half.pose.body[:, 0]
    assert (one[..., 2] == 1).all()
    assert (two[0, :2, 2] == 1).all() and (two[0, :2, 1] > 0).all()
    assert (two[0, ANKLE, 1] > 1 + OUTSIDE).all() and (two[0, ANKLE, 2] == UNSURE).all()
    zoom = np.linalg.norm(two[0, 16] - two[0, 17]) / np.linalg.norm(one[0, 16] - one[0, 17])
    assert 1.5 < zoom <= 2.6
    np.testing.assert_allclose(limb_directions(one[..., :2]), limb_directions(two[..., :2]))
    # The places of the parts go with the picture: the same share of the body, zoomed.
    ratio = np.linalg.norm(half.places[0, 1:, :, 0], axis=-1)
    ratio = ratio / np.linalg.norm(whole.places[0, 1:, :, 0], axis=-1)
    np.testing.assert_allclose(ratio, zoom)


def test_a_shadow_lies_in_the_scene_below_the_body():
    plain, dark = one_human(), one_human(shadow=0.5)
    darker = plain.scene[0].astype(int).sum(axis=-1) - dark.scene[0].astype(int).sum(axis=-1)
    assert (darker >= 0).all() and darker.max() > 60
    y, x = np.argwhere(darker > 30).T
    feet = plain.pose.body[0, 0, ANKLE, :2] * 64
    assert abs(y.mean() - feet[:, 1].max()) < 6 and abs(x.mean() - feet[:, 0].mean()) < 6
    np.testing.assert_array_equal(plain.mask, dark.mask)
    np.testing.assert_array_equal(plain.parts, dark.parts)


@pytest.mark.parametrize("held", HELD)
def test_what_is_held_goes_with_the_forearm(held):
    rng = np.random.default_rng(4)
    look, play = (
        sample_appearance(rng, "train", 96, kind="human"),
        sample_performance(rng, "train", 12),
    )
    who = replace(look.cast[0], facing=1, arm_behind=2)
    plain, full = (
        render(replace(look, cast=(replace(who, held=thing),)), play, 96)
        for thing in ("none", held)
    )
    wrist = plain.pose.body[:, 0, WRIST[1], :2] * 96
    for t in range(12):
        new = (plain.frames[t] != full.frames[t]).any(axis=-1)
        assert new.sum() > 8
        y, x = np.argwhere(new & (full.mask[t] > 200)).T
        assert np.hypot(x - wrist[t, 0], y - wrist[t, 1]).max() < 0.33 * 96
        assert (full.parts[t][new & (plain.mask[t] == 0) & (full.mask[t] > 250)] == 6).all()
    assert np.ptp(wrist, axis=0).max() > 3  # it did move


def test_a_photograph_varies_most_in_brightness_least_from_green_to_red():
    rng = np.random.default_rng(0)
    pictures = np.stack([draw_photograph(rng, 64) for _ in range(20)]).reshape(20, -1, 3) / 255
    axes = np.array([[1, 1, 1], [1, 1, -2], [1, -1, 0]]) / np.sqrt([[3], [6], [2]])
    brightness, yellow, red = (pictures @ axes.T).std(axis=1).mean(axis=0)
    assert brightness > 2 * yellow > 3 * red > 0


def test_a_background_is_the_same_at_any_size():
    def furnished(rng, size):
        return furnish(rng, np.full((size, size, 3), 128, np.uint8))

    for draw in (draw_photograph, furnished):
        for seed in range(4):
            small, large = (draw(np.random.default_rng(seed), size) for size in (64, 256))
            mean = large.reshape(64, 4, 64, 4, 3).mean(axis=(1, 3))
            assert np.corrcoef(mean.ravel(), small.ravel())[0, 1] > 0.85
