"""Raw footage to clips: where films are cut, what is left out and why, and that it goes on."""

import base64
import json
import multiprocessing
import os
import pickle
import re
import signal
import sys
import threading
import time
from dataclasses import replace

import cv2
import numpy as np
import pytest

from dreamactor_core.__main__ import main
from dreamactor_core.caption.choice import CaptionerChoice
from dreamactor_core.caption.prompts import load_prompts
from dreamactor_core.errors import InputError
from dreamactor_core.footage.filters import Limits, Seen, reason_against_subjects, seen_in
from dreamactor_core.footage.pieces import find_pieces
from dreamactor_core.footage.prepare import PreparePlan, prepare
from dreamactor_core.footage.shots import find_shots
from dreamactor_core.footage.signals import read_signals
from dreamactor_core.footage.works import FindPieces, FindPoses, WriteCaption, WriteClip
from dreamactor_core.items import ItemStore
from dreamactor_core.media import probe, read_frames
from dreamactor_core.pose.networks import NetworkChoice
from dreamactor_core.pose.subjects import DetectSettings

from .clips_on_disk import pose_at
from .films import FPS, frames_of, hashes, scene, write_footage
from .tiny_caption import Server

SMALL = Limits(min_seconds=1.5, min_side=40, min_subjects=0)
PLAN = PreparePlan(SMALL, longest=2.5)


@pytest.fixture(scope="module")
def footage(tmp_path_factory):
    return write_footage(tmp_path_factory.mktemp("raw") / "footage")


@pytest.fixture(scope="module")
def prepared(footage, tmp_path_factory):
    """A job that was done in one go, and what it handed over."""
    out = tmp_path_factory.mktemp("prepared")
    return out, prepare(footage, out, PLAN)


def shots_of(images, fps=FPS):
    return find_shots(read_signals(frames_of(images, fps), fps))


def test_a_hard_cut_is_found_to_the_frame_and_motion_is_none():
    assert shots_of(np.concatenate([scene(1, 20), scene(2, 15)])) == [(0, 20), (20, 35)]
    assert shots_of(scene(1, 40)) == [(0, 40)]


def test_a_flash_and_a_change_of_light_are_no_cuts():
    flash = scene(1, 30)
    flash[12] = 255 - flash[12]
    assert shots_of(flash) == [(0, 30)]
    darker = scene(1, 30)
    darker[15:] = darker[15:] // 3
    assert shots_of(darker) == [(0, 30)]


def test_frames_of_a_dissolve_belong_to_neither_shot():
    first, second = scene(1, 40).astype(float), scene(2, 40).astype(float)
    share = np.clip((np.arange(40) - 16) / 9, 0, 1)[:, None, None, None]  # 0.75 s
    mixed = ((1 - share) * first + share * second).round().astype(np.uint8)
    (a, b), (c, d) = shots_of(mixed)
    assert a == 0 and 12 <= b <= 17 and 24 <= c <= 29 and d == 40


def test_a_long_shot_is_cut_evenly(footage):
    path = footage / "b" / "long.mp4"
    signals = read_signals(read_frames(path), FPS)
    pieces = find_pieces(probe(path), signals, 2.5)
    assert [(p.start, p.frames, p.seconds) for p in pieces] == [(0, 24, 2), (2, 24, 2), (4, 24, 2)]
    assert {(p.width, p.height, p.fps) for p in pieces} == {(64, 48, 12)}


def test_the_list_holds_what_is_good_and_says_why_the_rest_is_not(prepared, footage):
    out, done = prepared
    rows = [json.loads(line) for line in done.clips.read_text().splitlines()]
    assert [(row["cut_from"]["file"], row["cut_from"]["start"]) for row in rows] == [
        ("a film.mp4", 0), ("a film.mp4", 2), ("b/long.mp4", 0), ("b/long.mp4", 2),
        ("b/long.mp4", 4),
    ]  # fmt: skip
    left = [json.loads(line) for line in (out / "left-out.jsonl").read_text().splitlines()]
    reasons = {one["file"]: one["reason"] for one in left}
    assert reasons["b/again.mp4"].startswith("the same as a_film-")
    assert reasons["still.mp4"] == "still: 0.00 levels of motion, at least 3"
    assert reasons["short.mp4"] == "too short: 0.50 s, at least 1.5"
    assert reasons["blurred.mp4"].startswith("blurred: sharpness")
    assert "no media file, or a damaged one" in reasons["broken.mp4"]
    assert len(left) == 5 and done.number == 5
    for row, frames in zip(rows, (24, 30, 24, 24, 24), strict=True):
        assert probe(out / row["target"]).num_frames == frames
        assert row["caption"] == "" and "pose" not in row
    cut = next(iter(read_frames(out / rows[1]["target"]))).image.astype(int)
    assert np.abs(cut - scene(2, 1)[0]).mean() < 12  # the first frame of the second shot


def test_the_sheet_shows_every_clip_and_needs_no_other_file(prepared):
    _, done = prepared
    (sheet,) = done.sheets
    text = sheet.read_text()
    names = re.findall(r'<input type="checkbox" name="([^"]+)">', text)
    assert len(names) == 5 and not re.search(r'(src|href)="(?!data:)', text)
    first = re.search(r'src="data:image/jpeg;base64,([^"]+)"', text)[1]
    strip = cv2.imdecode(np.frombuffer(base64.b64decode(first), np.uint8), cv2.IMREAD_COLOR)
    assert strip.shape == (120, 6 * 160, 3)


def test_what_is_dropped_in_the_sheet_or_deleted_stays_away(footage, prepared, tmp_path):
    done = prepare(footage, tmp_path, PLAN)
    first, second = (json.loads(line)["target"] for line in done.clips.read_text().splitlines()[:2])
    (tmp_path / "dropped-001.json").write_text(json.dumps({"dropped": [first[6:-4]]}))
    (tmp_path / second).unlink()
    again = prepare(footage, tmp_path, PLAN)
    assert again.number == 3 and first not in again.clips.read_text()
    assert again.left_out["dropped by hand"] == again.left_out["deleted by hand"] == 1
    assert f'name="{first[6:-4]}" checked' in again.sheets[0].read_text()
    (tmp_path / "dropped-001.json").write_text("[1]")
    with pytest.raises(InputError, match=r"dropped-001\.json: got TypeError"):
        prepare(footage, tmp_path, PLAN)


def test_a_limit_that_changes_measures_nothing_again(footage, tmp_path):
    prepare(footage, tmp_path, PLAN)
    stages = []
    narrow = replace(PLAN, limits=replace(SMALL, min_seconds=2.2, min_difference=0))
    done = prepare(footage, tmp_path, narrow, on_stage=lambda stage, *_: stages.append(stage))
    assert stages == ["pieces"]  # the broken file, which is tried again
    assert done.number == 1 and done.left_out["too short"] == 8


def test_works_reach_other_processes(tmp_path):
    """They are pickled; what workers do with them is tested in test_items.py."""
    poses = FindPoses(tmp_path, NetworkChoice("detector"))
    choice = CaptionerChoice("http://localhost:1/v1", "tiny")
    caption = WriteCaption(tmp_path, choice, load_prompts())
    for work in (FindPieces(tmp_path), WriteClip(tmp_path, tmp_path), poses, caption):
        assert pickle.loads(pickle.dumps(work)) == work


TEXTS = (
    "The subject waves both hands.",
    "A gray bird with colourful feathers.\nBody parts: wings, legs, beak, tail",
    "A gray bird with colourful feathers is waving both its wings.",
)


def test_captions_are_written_by_whom_the_plan_names(footage, tmp_path):
    def answer(text):
        return 200, {}, {"choices": [{"message": {"content": text}}]}

    server = Server()
    with server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        # The third question is the same for all, and its answer is remembered.
        server.script = [answer(text) for text in (*TEXTS, *4 * TEXTS[:2])]
        choice = CaptionerChoice(server.url, "tiny")
        done = prepare(footage, tmp_path, replace(PLAN, captioner=choice))
        again = prepare(footage, tmp_path, replace(PLAN, captioner=choice))
        server.shutdown()
    rows = [json.loads(line) for line in again.clips.read_text().splitlines()]
    assert {row["caption"] for row in rows} == {TEXTS[2]}
    assert {row["motion"] for row in rows} == {TEXTS[0]}
    assert done.number == 5 and not server.script  # each question once
    assert TEXTS[2] in done.sheets[0].read_text()


def test_subjects_are_counted_and_small_or_absent_ones_are_reasons():
    middle = np.full((10, 2), 24.0)
    pose = pose_at(middle)
    gone = pose.map(
        lambda points: points * np.r_[np.ones(6), np.zeros(4)][(...,) + (None,) * (points.ndim - 1)]
    )
    assert seen_in(pose) == Seen(1, pytest.approx(0.08 * 0.17), 1.0)
    assert seen_in(gone).presence == 0.6
    limits = Limits(min_share=0.01)
    assert reason_against_subjects(seen_in(pose), limits) == ""
    assert reason_against_subjects(seen_in(gone), limits).startswith("subject away: in 60%")
    assert reason_against_subjects(seen_in(pose), Limits()).startswith("subject too small: 1.4%")
    assert reason_against_subjects(Seen(0, 0, 0), limits) == "too few subjects: 0, at least 1"
    assert reason_against_subjects(Seen(6, 1, 1), limits) == "too many subjects: 6, at most 4"
    assert reason_against_subjects(Seen(0, 0, 0), replace(limits, min_subjects=0)) == ""


def test_poses_are_found_where_a_detector_is_named(footage, tmp_path):
    from .tiny_pose import save_detector, save_estimator

    poses = FindPoses(
        tmp_path,
        NetworkChoice(save_detector(tmp_path / "detector"), save_estimator(tmp_path / "estimator")),
        device="cpu",
        settings=DetectSettings(threshold=0.01, max_subjects=2),
    )
    only = replace(PLAN, limits=replace(SMALL, min_seconds=2.2), poses=poses)
    done = prepare(footage, tmp_path / "out", only)
    (row,) = (json.loads(line) for line in done.clips.read_text().splitlines())
    frames = json.loads((tmp_path / "out" / row["pose"]).read_text())
    assert len(frames) == 30 and frames[0]["canvas_width"] == 64


def test_a_folder_without_a_usable_clip_says_why(tmp_path):
    folder = tmp_path / "raw"
    folder.mkdir()
    with pytest.raises(InputError, match="no videos in it"):
        prepare(folder, tmp_path / "out", PLAN)
    (folder / "broken.mp4").write_bytes(b"no film" * 100)
    with pytest.raises(InputError, match=r"got no usable clip \(broken.mp4: .*left-out.jsonl"):
        prepare(folder, tmp_path / "out", PLAN)
    for wrong in ({"longest": 1.0}, {"largest": 4}):
        with pytest.raises(InputError, match="Raise it"):
            replace(PLAN, **wrong)
    with pytest.raises(InputError, match="min_subjects: got 3, need at most max_subjects, 2"):
        Limits(min_subjects=3, max_subjects=2)
    with pytest.raises(InputError, match="min_motion: got nan"):
        Limits(min_motion=float("nan"))


def test_the_command_says_what_it_did(footage, tmp_path, capsys):
    arguments = ["prepare", str(footage), "--out", str(tmp_path), "--detector", "none"]
    limits = ["--min-seconds", "1.5", "--min-side", "40", "--longest", "2.5"]
    assert main([*arguments, *limits]) == 0
    said = capsys.readouterr().out
    assert f"{tmp_path / 'clips.jsonl'}: 5 clips; look through" in said
    assert "left out: 1 still" in said
    assert main([*arguments, "--workers", "2", "--ray", "auto"]) == 2
    assert "--workers: got --ray as well" in capsys.readouterr().err
    assert main(["prepare", str(tmp_path / "none"), "--out", str(tmp_path)]) == 2


@pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL and fork are of POSIX")
def test_kills_cost_one_item_each_and_change_nothing(footage, prepared, tmp_path):
    """A process is killed in its second new item, twice; then it is let through."""
    context = multiprocessing.get_context("fork")
    cv2.setNumThreads(0)  # whose pool does not live through a fork
    settled = []
    for _ in range(2):
        child = context.Process(target=_prepare_and_die, args=(footage, tmp_path))
        child.start()
        child.join()
        assert child.exitcode == -signal.SIGKILL
        with ItemStore(tmp_path) as store:
            settled.append(sum(len(store.records(stage)) for stage in ("pieces", "clips")))
    assert settled[0] >= 2 and settled[1] >= settled[0] + 2  # none of them was lost
    prepare(footage, tmp_path, PLAN)
    assert hashes(tmp_path) == hashes(prepared[0])


def _prepare_and_die(footage, out):
    done = []

    def die(stage, outcome, number, total):
        done.append(outcome)
        if len(done) == 2:
            delay, pid = 0.02, os.getpid()
            if os.fork() == 0:  # strikes while the next item is being done
                time.sleep(delay)
                os.kill(pid, signal.SIGKILL)
                os._exit(0)

    prepare(footage, out, PLAN, on_stage=die)
