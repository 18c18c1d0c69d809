"""Pairs from footage: who performs whose motion, in step, judged, resumed, roles swapped."""

import json
import multiprocessing
import os
import signal
import sys
from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch

from dreamactor_core.__main__ import main
from dreamactor_core.backbones.placement import Placement
from dreamactor_core.bench.aw.damage import PuppetTruth
from dreamactor_core.bench.aw.meters.seen import Watched
from dreamactor_core.bench.aw.scores import JUDGED
from dreamactor_core.bootstrap import limbs
from dreamactor_core.bootstrap.cast import cast_clips, find_pictures, read_source_clips
from dreamactor_core.bootstrap.footage import BootstrapPlan, bootstrap
from dreamactor_core.bootstrap.learned import chance_of_good, pair_figures
from dreamactor_core.bootstrap.limbs import motion_missed
from dreamactor_core.bootstrap.mllm import rate
from dreamactor_core.bootstrap.pair import MakePair, most_frames
from dreamactor_core.caption.captioner import CachedCaptioner
from dreamactor_core.errors import InputError
from dreamactor_core.geometry import Geometry
from dreamactor_core.lora.adapters import LoraInfo, LoraSpec, add_lora, save_lora
from dreamactor_core.media import probe, write_image, write_video
from dreamactor_core.pose.keypoints import pose_of_points, save_keypoints
from dreamactor_core.pose.skeletons import POINTS
from dreamactor_core.sampling import SampleSettings
from dreamactor_core.train.clips import read_clip, read_rows
from dreamactor_core.weight_files.files import Files

from .clips_on_disk import HEIGHT, WIDTH, pose_at, write_clip
from .films import hashes, scene
from .full_size import open_base

BASE, SIDE = "wan-2.2-ti2v", 32
LEAD = 25  # frames of the lead-in at 24 a second


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """Two humans and a cartoon, drawn."""
    folder = tmp_path_factory.mktemp("pictures")
    for kind, seeds in (("humans", (11, 12)), ("cartoons", (13,))):
        (folder / kind).mkdir()
        for seed in seeds:
            write_image(folder / kind / f"p{seed}.png", scene(seed, 1, 64, 64)[0])
    (folder / "humans" / "p11.txt").write_text("A red square.")
    return folder


@pytest.fixture(scope="module")
def footage(tmp_path_factory):
    """A list of two clips of 1.6 s at 30 fps, and one of 0.8 s."""
    folder = tmp_path_factory.mktemp("clips")
    rows = []
    for seed, seconds in enumerate((1.6, 1.6, 0.8)):
        middle = write_clip(folder / f"c{seed}.mp4", seed, seconds)
        save_keypoints(folder / f"c{seed}.json", pose_at(middle), WIDTH, HEIGHT)
        rows.append(
            {"target": f"c{seed}.mp4", "pose": f"c{seed}.json", "caption": f"square {seed}"}
        )
    rows[0]["motion"] = "The subject waves."
    (folder / "clips.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows) + "{\n")
    return folder / "clips.jsonl"


@pytest.fixture(scope="module")
def lora(base, tmp_path_factory):
    backbone, path = open_base(base(BASE)), tmp_path_factory.mktemp("lora") / "pose.safetensors"
    add_lora(backbone, LoraSpec(2, 2), "pose")
    info = LoraInfo("pose-based", backbone.blank, 1.0, 24.0, backbone.name, 2, 2.0)
    save_lora(backbone, "pose", path, info)
    return path


@pytest.fixture(scope="module")
def plan_for(base, lora, footage, pictures):
    def plan(out, **changes):
        work = MakePair(
            out, str(base(BASE)), (lora,), Files(), Placement(dtype=torch.float32),
            SampleSettings(num_inference_steps=1), size=SIDE,
        )  # fmt: skip
        return BootstrapPlan(footage, pictures, work, **{"count": 2, "threshold": 1.0, **changes})

    return plan


@pytest.fixture(scope="module")
def made(plan_for, tmp_path_factory):
    out = tmp_path_factory.mktemp("made")
    return out, bootstrap(plan_for(out))


def rows_of(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_every_kind_performs_every_clip_and_what_is_added_changes_few_draws(footage, pictures):
    clips, found = read_source_clips(footage), find_pictures(pictures)
    assert len(clips) == 3 and {k: len(v) for k, v in found.items()} == {"humans": 2, "cartoons": 1}
    castings = cast_clips(clips, found, 2, 0)
    assert len({each.name for each in castings}) == 6
    for clip in clips:
        assert {each.kind for each in castings if each.clip == clip} == set(found)
    assert cast_clips(clips[:1], found, 2, 0) == castings[:2]  # whoever else is in the list
    assert len(cast_clips(clips[:1], found, 9, 0)) == 3  # each picture once
    assert cast_clips(clips, found, 1, 5) != cast_clips(clips, found, 1, 0)


def test_the_made_video_is_the_driver_and_in_step_with_the_real_target(made, footage):
    out, done = made
    rows = rows_of(done.pairs)
    assert done.kept == len(rows) == 4
    for row in rows:
        target, driving = probe(out / row["target"]), probe(out / row["driving"])
        assert row["lead_in"] == LEAD
        # 38 frames of 1.6 s at 24 a second, of which the first 25 are the lead-in
        assert driving.num_frames == round((1.6 - LEAD / 24) * 24) == 13 and driving.fps == 24
        assert target.num_frames == 48 and row["caption"].startswith("square")
        assert set(row["verdict"]) == {"identity", "motion", "stability"}
    prompts = {row["performed_by"]["kind"] for row in rows}
    assert prompts == {"humans", "cartoons"}


def test_training_reads_the_list(made, base):
    _, done = made
    rows, wrong = read_rows(done.pairs, "end-to-end")
    assert len(rows) == 4 and not wrong
    clip = read_clip(rows[0], open_base(base(BASE)).geometry, SIDE, 9, "end-to-end")
    assert clip.target.shape == clip.driving.shape and clip.target.shape[0] == 38
    assert not clip.driving[:LEAD].any() and clip.driving[LEAD].any()


def test_a_short_clip_is_left_out_with_its_reason(made):
    out, done = made
    left = {row["pair"]: row["reason"] for row in rows_of(out / "left-out.jsonl")}
    assert len(left) == 2 and all(name.startswith("c2-") for name in left)
    assert set(left.values()) == {"too short: 0.80 s, its first 1.04 are the lead-in"}
    assert done.left_out == {"too short": 2}


def test_nothing_is_made_twice_and_a_threshold_only_lists_anew(made, plan_for):
    out, done = made
    before = {path: path.stat().st_mtime_ns for path in (out / "pairs").iterdir()}
    heard = []
    with pytest.raises(InputError, match=r"got none that is kept \(judged: identity"):
        bootstrap(plan_for(out, threshold=5.0), on_stage=lambda *told: heard.append(told))
    assert not heard and len(before) == 4
    name = rows_of(out / "left-out.jsonl")[0]["pair"]
    (out / "dropped-001.json").write_text(json.dumps({"dropped": [name]}))
    assert bootstrap(plan_for(out)).left_out == {"too short": 2, "dropped by hand": 1}
    (out / "dropped-001.json").unlink()
    again = bootstrap(plan_for(out))
    assert again == done
    assert before == {path: path.stat().st_mtime_ns for path in (out / "pairs").iterdir()}


def test_the_sheet_shows_source_and_made(made):
    _, done = made
    text = done.sheets[0].read_text()
    assert text.count('type="checkbox"') == 4 and text.count("data:image/jpeg") == 8
    assert "The subject waves." in text


def test_a_model_rates_on_the_four_scales_of_the_bench(tmp_path):
    """Questions, pictures and what becomes of a bad answer: tests/core/test_aw_judge.py."""

    class Rater:
        name = "rater"

        def __init__(self, *answers):
            self.answers, self.images = list(answers), []

        def ask(self, prompt, images, max_words):
            self.images.append(len(images))
            return self.answers.pop(0)

    video = tmp_path / "made.mp4"
    write_video(video, np.zeros((9, 32, 32, 3), np.uint8), 8)
    rater = Rater("A: 5, sharp", "A: 4", "A: 5, steady", "A: 3, other hat")
    rest = video, probe(video), np.zeros((32, 32, 3), np.uint8)
    scores = rate(CachedCaptioner(rater, tmp_path / "one"), *rest)
    assert scores == dict(zip(JUDGED, (5, 4, 5, 3), strict=True))
    assert rater.images == [3, 1, 1, 4]  # pictures, strips, and beside the character
    with pytest.raises(InputError, match="judge rater, imaging_quality: got twice an answer"):
        rate(CachedCaptioner(Rater("very good", "good"), tmp_path / "two"), *rest)


def test_the_learned_filter_decides_where_it_is_wanted(made, plan_for):
    out, _ = made
    rows = [json.loads(line) for line in (out / "pairs.jsonl").read_text().splitlines()]
    assert rows and all(0 <= row["chance_of_good"] <= 1 for row in rows)
    assert not any(row["chance_of_good"] > 0.5 for row in rows)  # an untrained base's
    with pytest.raises(InputError, match="learned: a chance of"):
        bootstrap(plan_for(out, learned=True))
    bootstrap(plan_for(out))


class Told:
    """A reader of bodies that is told what to find."""

    def __init__(self, pose):
        self.pose = pose

    def of_clip(self, frames, times):
        return self.pose


def waving(degrees):
    """A pose of (t,) frames, one arm of which hangs at so many degrees."""
    body = np.zeros((len(degrees), 1, POINTS, 3))
    body[:, 0, 2] = 0.5, 0.5, 1  # right shoulder and elbow
    turn = np.radians(degrees)
    body[:, 0, 3] = np.stack([0.5 + 0.2 * np.cos(turn), 0.5 + 0.2 * np.sin(turn), turn**0], -1)
    body[:, 0, 1] = 0.4, 0.5, 1  # neck and hips, so that the trunk is known
    body[:, 0, 8], body[:, 0, 11] = (0.35, 0.8, 1), (0.45, 0.8, 1)
    return pose_of_points(body, 1.0)


def test_limbs_that_follow_with_another_bent_miss_nothing_and_a_still_picture_all():
    turns = np.array([0, 20, 0, -20] * 3)
    driver, times = waving(turns), np.arange(12) / 8
    video = Watched([np.zeros((8, 8, 3), np.uint8)] * 12, times)

    def missed(pose, told=driver):
        return motion_missed(told, times, video, Told(pose))

    assert missed(waving(turns + 15)) == pytest.approx(0)
    assert missed(waving(turns * 0)) == pytest.approx(1)
    assert missed(waving(-turns)) == pytest.approx(2)
    assert missed(waving(turns // 2)) == pytest.approx(0.5)
    gone = driver.map(
        lambda x: np.where(np.arange(12).reshape(-1, *[1] * (x.ndim - 1)) < 2, np.nan, x)
    )
    assert missed(waving(turns), gone) == pytest.approx(0)
    assert missed(None) is None and missed(waving(turns), waving(turns * 0)) is None
    assert missed(waving(turns), driver.map(lambda x: x[:, :0])) is None  # nobody
    assert missed(gone.map(lambda x: x * np.nan)) is None


def test_limbs_are_looked_for_when_asked_and_nothing_is_made_anew(made, plan_for, monkeypatch):
    """The clip's first frame comes a lead-in, 1.042 s, before the video's."""
    out, done = made
    before = {path: path.stat().st_mtime_ns for path in (out / "pairs").iterdir()}
    monkeypatch.setattr(limbs, "motion_missed", lambda told, times, video, reader: -times[0] / 2)
    heard = []
    assert bootstrap(plan_for(out, limbs=1), None, lambda *told: heard.append(told[0])) == done
    assert heard == ["limbs"] * 4
    assert [row["motion_missed"] for row in rows_of(done.pairs)] == [0.521] * 4
    with pytest.raises(InputError, match="limbs: 0\\.52 of the keypoints' motion"):
        bootstrap(plan_for(out, limbs=0.5))
    with pytest.raises(InputError, match="limbs: got 25, need a share"):
        plan_for(out, limbs=25)
    assert bootstrap(plan_for(out)) == done and "motion_missed" not in rows_of(done.pairs)[0]
    assert before == {path: path.stat().st_mtime_ns for path in (out / "pairs").iterdir()}


def test_damage_lowers_the_chance_of_a_video():
    puppets = PuppetTruth(101, 25, 64)
    driving, picture = puppets.driving / 255, puppets.reference / 255
    chances = [
        chance_of_good(pair_figures(driving, puppets.damaged(shares).frames / 255, picture, 8.0))
        for shares in ({}, {"flicker": 1.0}, {"driver pasted in": 1.0}, {"blur": 1.0})
    ]
    assert chances[0] > 0.5 > max(chances[1:])


def test_the_frames_of_passes():
    geometry = Geometry(16, 8, 16, 4, 16.0, 81, (64, 64))
    assert [most_frames(geometry, 17, n) for n in (1, 2, 3)] == [64, 136, 208]


def test_lists_folders_and_plans_that_cannot_be_are_refused(plan_for, tmp_path, footage):
    (tmp_path / "a.jsonl").write_text('{"target": "a.mp4", "caption": ""}\n[]\n')
    with pytest.raises(InputError, match='no line with "target" and "pose"'):
        read_source_clips(tmp_path / "a.jsonl")
    with pytest.raises(InputError, match="no pictures in it"):
        find_pictures(footage.parent)
    with pytest.raises(InputError, match="count: got 0"):
        plan_for(tmp_path, count=0)
    plan = plan_for(tmp_path)
    with pytest.raises(InputError, match="got nobody to ask"):
        replace(plan, work=replace(plan.work, rated=True))
    with pytest.raises(InputError, match="need a LoRA"):
        bootstrap(replace(plan, work=replace(plan.work, loras=(tmp_path / "none",))))


def test_the_command_makes_pairs(footage, pictures, base, lora, tmp_path, capsys):
    arguments = ["bootstrap", "--base", str(base(BASE)), "--lora", str(lora), "--threads", "1"]
    arguments += ["--clips", str(footage), "--pictures", str(pictures), "--out", str(tmp_path)]
    arguments += ["--steps", "1", "--size", str(SIDE), "--threshold", "1", "--dtype", "fp32"]
    assert main([*arguments, "--device", "cpu"]) == 0
    assert "kept 2 of 3; mean identity" in capsys.readouterr().out
    assert main([*arguments, "--device", "cpu", "--rated"]) == 2
    assert "nobody to ask" in capsys.readouterr().err


def test_puppets_are_footage_for_a_base_of_another_rate(base, lora, tmp_path, capsys):
    arguments = ["bootstrap", "--base", str(base(BASE)), "--lora", str(lora), "--threads", "1"]
    arguments += ["--seeds", "3:4", "--out", str(tmp_path), "--steps", "1", "--size", str(SIDE)]
    assert main([*arguments, "--threshold", "1", "--dtype", "fp32", "--device", "cpu"]) == 0
    assert "kept 1 of 1" in capsys.readouterr().out
    (row,) = rows_of(tmp_path / "pairs.jsonl")
    target, driving = probe(tmp_path / row["target"]), probe(tmp_path / row["driving"])
    assert (target.fps, driving.fps, row["lead_in"]) == (8, 24, LEAD)
    assert target.duration >= 121 / 24 and driving.num_frames == 121 - LEAD  # a whole pass
    text = (tmp_path / "sheet-001.html").read_text()
    assert ". The subject is " in text  # the picture's looks, and the clip's motion


@pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL and fork are of POSIX")
def test_kills_change_nothing(made, plan_for, tmp_path):
    context = multiprocessing.get_context("fork")
    cv2.setNumThreads(0)  # whose pool does not live through a fork
    for count in (1, 2):
        child = context.Process(target=_bootstrap_and_die, args=(plan_for(tmp_path),))
        child.start()
        child.join()
        assert child.exitcode == -signal.SIGKILL
        assert len(list((tmp_path / "pairs").glob("[!.]*.mp4"))) == count
    bootstrap(plan_for(tmp_path))
    ours, whole = hashes(tmp_path), hashes(made[0])
    # The lists name their clips relative to where they lie.
    assert {k: v for k, v in ours.items() if "/" in k} == {
        k: v for k, v in whole.items() if "/" in k
    }


def _bootstrap_and_die(plan):
    bootstrap(plan, on_stage=lambda *told: os.kill(os.getpid(), signal.SIGKILL))
