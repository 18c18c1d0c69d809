"""Bootstrapped pairs: what the judge keeps, and that the roles are swapped and still in step."""

import json

import numpy as np
import pytest
import torch

from dreamactor_core.bootstrap.judge import judge
from dreamactor_core.bootstrap.make import PAIRS_FILE, BootstrapPair, puppet_pairs, write_pair
from dreamactor_core.cli.bootstrap import main
from dreamactor_core.errors import InputError
from dreamactor_core.footage.listing import write_lines
from dreamactor_core.lora.adapters import LoraInfo, LoraSpec, add_lora, save_lora
from dreamactor_core.media import read_frames
from dreamactor_core.puppets.triplet import triplet
from dreamactor_core.puppets.world import LEAD_IN
from dreamactor_core.sampling import SampleSettings
from dreamactor_core.train.cache import paired_samples, read_cache, write_cache

from .tiny import GEOMETRY, tiny_backbone

LENGTH = GEOMETRY.num_frames - LEAD_IN


@pytest.fixture(scope="module")
def clip():
    """A puppet that moves, in [0, 1]."""
    clips = [triplet(seed, "train", 25, 48).truth for seed in range(6)]
    moving = [np.abs(np.diff(c.frames[LEAD_IN:].astype(float), axis=0)).mean() for c in clips]
    return clips[int(np.argmax(moving))].frames.astype(np.float32) / 255


def test_the_clip_itself_is_judged_best(clip):
    verdict = judge(clip[LEAD_IN:], clip[LEAD_IN:], clip[0])
    assert verdict.motion == pytest.approx(5, abs=1e-3)
    assert verdict.identity > 4.5
    assert verdict.kept()


def test_a_frozen_video_is_dropped_for_its_motion(clip):
    verdict = judge(clip[LEAD_IN:], clip[:1].repeat(LENGTH, axis=0), clip[0])
    assert verdict.motion == 1 and not verdict.kept()
    assert verdict.identity == pytest.approx(5, abs=1e-3) and verdict.stability == 5


def test_two_videos_that_both_stand_still_agree(clip):
    still = clip[:1].repeat(LENGTH, axis=0)
    assert judge(still, still, clip[0]).motion == 5


def test_flicker_is_dropped_for_its_stability(clip):
    flicker = clip[LEAD_IN:].copy()
    flicker[::2] *= 0.5
    verdict = judge(clip[LEAD_IN:], flicker, clip[0])
    assert verdict.stability < judge(clip[LEAD_IN:], clip[LEAD_IN:], clip[0]).stability - 1
    assert not verdict.kept()


def test_light_and_dark_in_turn_is_the_least_stable():
    video = np.zeros((8, 32, 32, 3), np.float32)
    video[::2] = 1
    assert judge(video, video, video[0]).stability == 1


def test_other_colours_are_another_identity(clip):
    own = judge(clip[LEAD_IN:], clip[LEAD_IN:], clip[0]).identity
    other = judge(clip[LEAD_IN:], 1 - clip[LEAD_IN:], clip[0]).identity
    assert other < own - 1 and other < 2.5


@pytest.fixture(scope="module")
def pairs():
    return list(puppet_pairs(tiny_backbone(), range(40, 42), SampleSettings(1)))


def test_the_target_is_the_real_clip_and_the_driving_starts_behind_the_lead_in(pairs):
    for pair, seed in zip(pairs, (40, 41), strict=True):
        source = triplet(seed, "train", GEOMETRY.num_frames, 32).driver
        assert pair.seed == seed
        assert np.array_equal(pair.target, source.frames)
        assert np.array_equal(pair.pose.body, source.pose.body)
        assert pair.caption == source.caption
        assert pair.driving.shape == (LENGTH, 32, 32, 3)
        assert pair.driving.min() >= 0 and pair.driving.max() <= 1
        assert all(1 <= score <= 5 for score in pair.verdict)


@pytest.fixture
def written(tmp_path, pairs):
    """Two pairs on disk whose driving is a clip we know."""
    rows = []
    for pair in pairs:
        driving = triplet(pair.seed, "train", GEOMETRY.num_frames, 32).truth.frames[LEAD_IN:]
        rows.append(write_pair(pair._replace(driving=driving.astype(np.float32) / 255), tmp_path))
    write_lines(tmp_path / PAIRS_FILE, rows)
    return tmp_path


def test_a_pair_comes_back_in_step_and_with_its_skeleton(written, pairs):
    samples = list(paired_samples(written / PAIRS_FILE, GEOMETRY))
    assert len(samples) == 2
    for sample, pair in zip(samples, pairs, strict=True):
        driving = triplet(pair.seed, "train", GEOMETRY.num_frames, 32).truth.frames[LEAD_IN:]
        assert sample.target.shape == sample.driving.shape == sample.skeleton.shape
        assert sample.target.shape == (25, 32, 32, 3) and sample.target.dtype == np.uint8
        # H.264 at 32 pixels, where backgrounds like photographs are all edges.
        assert np.abs(sample.target.astype(int) - pair.target).mean() < 10
        assert (sample.driving[:LEAD_IN] == 0).all()
        assert np.abs(sample.driving[LEAD_IN:].astype(int) - driving).mean() < 10
        assert sample.caption == pair.caption
        lit = sample.skeleton.max(axis=-1) > 60
        assert lit.any(axis=(1, 2)).all()
        # The skeleton's box is the whole panel; its motion is the target's.
        assert lit.any(axis=0).any(axis=1)[[2, -3]].all()
        assert (np.diff(sample.skeleton.astype(int), axis=0) != 0).any()


def test_videos_have_the_lengths_that_the_pair_says(written):
    row = json.loads((written / PAIRS_FILE).read_text().splitlines()[0])
    assert row["lead_in"] == LEAD_IN
    assert set(row["verdict"]) == {"identity", "motion", "stability"}
    counts = [len(list(read_frames(written / row[key]))) for key in ("target", "driving")]
    assert counts == [25, 25 - LEAD_IN]


def test_pairs_can_be_cached(written):
    backbone, folder = tiny_backbone(), written / "cache"
    assert (
        write_cache(backbone, paired_samples(written / PAIRS_FILE, GEOMETRY), folder, "pairs") == 2
    )
    cache = read_cache(backbone, folder)
    assert len(cache) == 2 and cache.rows["driving"].shape[1] == 7


def test_a_pair_without_keypoints_has_a_black_skeleton(written):
    row = json.loads((written / PAIRS_FILE).read_text().splitlines()[0])
    del row["pose"]
    (written / PAIRS_FILE).write_text(json.dumps(row) + "\n")
    (sample,) = paired_samples(written / PAIRS_FILE, GEOMETRY)
    assert (sample.skeleton == 0).all()


@pytest.mark.parametrize(
    "line",
    [
        "{",
        "[]",
        '{"target": "a.mp4"}',
        '{"target": "a.mp4", "driving": "b.mp4", "caption": 3}',
        '{"target": "a.mp4", "driving": "b.mp4", "caption": "x", "lead_in": 25}',
        '{"target": "a.mp4", "driving": "b.mp4", "caption": "x", "lead_in": "9"}',
    ],
)
def test_a_line_of_another_form_is_named(written, line):
    good = (written / PAIRS_FILE).read_text()
    (written / PAIRS_FILE).write_text(good + line + "\n")
    with pytest.raises(InputError, match=r"line 3 of .*pairs\.jsonl"):
        next(paired_samples(written / PAIRS_FILE, GEOMETRY))


def test_missing_files_and_short_clips_are_refused_in_words(written, tmp_path):
    with pytest.raises(InputError, match="no such file"):
        next(paired_samples(tmp_path / "none.jsonl", GEOMETRY))
    row = json.loads((written / PAIRS_FILE).read_text().splitlines()[0])
    for change, message in (
        ({"target": "none.mp4"}, "no such file"),
        ({"lead_in": 0}, "got 16 frames at 8 fps, need at least 25"),
    ):
        (written / PAIRS_FILE).write_text(json.dumps(row | change) + "\n")
        with pytest.raises(InputError, match=message):
            next(paired_samples(written / PAIRS_FILE, GEOMETRY))


def test_the_command_refuses_an_end_to_end_lora(tmp_path):
    backbone = tiny_backbone()
    add_lora(backbone, LoraSpec(2, 2), "rgb")
    info = LoraInfo("end-to-end", "zero", 1.0, 8.0, "tiny", 2, 2.0)
    save_lora(backbone, "rgb", tmp_path / "rgb.safetensors", info)
    arguments = ["--base", "tiny", "--lora", str(tmp_path / "rgb.safetensors")]
    arguments += ["--out", str(tmp_path / "out"), "--threads", "1"]
    with pytest.raises(InputError, match="need pose-based"):
        main([*arguments, "--seeds", "0:1"])
    for seeds in ("5", "5:5", "a:b"):
        with pytest.raises(SystemExit):
            main([*arguments, "--seeds", seeds])


def test_a_pair_is_plain_data(pairs):
    assert isinstance(pairs[0], BootstrapPair) and isinstance(pairs[0].driving, np.ndarray)
    assert not torch.is_inference_mode_enabled()
