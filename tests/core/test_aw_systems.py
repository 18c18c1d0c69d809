"""AW Bench: the videos of systems, made or brought; resumed; odd ones noted, bad ones told."""

from __future__ import annotations

import os
import shutil
import signal
from pathlib import Path

import numpy as np
import pytest

from dreamactor_core.__main__ import main
from dreamactor_core.bench.aw.bring import BringVideo, find_by_list, find_by_scheme
from dreamactor_core.bench.aw.cases import CaseSet, read_cases
from dreamactor_core.bench.aw.job import choose_cases
from dreamactor_core.bench.aw.make import MakeVideo, variant_of
from dreamactor_core.bench.aw.systems import read_systems
from dreamactor_core.errors import InputError
from dreamactor_core.media import probe, read_frames, write_image, write_video
from dreamactor_core.models import find
from dreamactor_core.sampling import SampleSettings

from .aw_sets import case_row, write_rows
from .clips import grey

FRAMES, SIDE = 5, 32


@pytest.fixture(scope="module")
def cases(tmp_path_factory) -> CaseSet:
    """Four cases of real media: five frames of grey, pictures twice as wide as they are high."""
    folder = tmp_path_factory.mktemp("set")
    (folder / "media").mkdir()
    for k in range(1, 5):
        write_image(folder / f"media/r{k}.png", np.full((SIDE, 2 * SIDE, 3), 20 * k, np.uint8))
        frames = (grey(100 + 10 * t, SIDE, SIDE) for t in range(FRAMES))
        write_video(folder / f"media/d{k}.mp4", frames, 8)
    return read_cases(write_rows(folder, *(case_row(folder, k) for k in range(1, 5))))


def run(*argv: object) -> int:
    return main(["aw", *map(str, argv)])


def means(path: Path) -> list[float]:
    return [round(float(frame.image.mean())) for frame in read_frames(path)]


def test_the_naive_systems_stand_still_and_copy_the_driver(cases, tmp_path, capsys):
    for model in ("still-reference", "driver"):
        assert run("run", cases.folder, "--model", model, "--out", tmp_path, "--cases", 2) == 0
    assert "still-reference: 2 of 2 videos" in capsys.readouterr().out
    assert sorted(path.name for path in (tmp_path / "driver").glob("*.mp4")) == [
        "c-1.mp4", "c-3.mp4"
    ]  # fmt: skip
    assert means(tmp_path / "still-reference/c-3.mp4") == pytest.approx([60] * FRAMES, abs=2)
    driver = tmp_path / "driver/c-3.mp4"
    # Half of the picture is bars: the driver is square.
    assert means(driver) == pytest.approx([50 + 5 * t for t in range(FRAMES)], abs=2)
    clip = probe(driver)
    assert (clip.width, clip.height, clip.times) == (2 * SIDE, SIDE, probe(
        cases.path_of("media/d3.mp4")).times)  # fmt: skip
    assert [system.made_by for system in read_systems(tmp_path)] == ["run", "run"]


def test_a_case_that_cannot_be_made_is_told_and_the_next_is_made(cases, tmp_path, capsys):
    rows = [case_row(cases.folder, k) for k in (1, 2, 3)]
    rows[0]["driver"] |= {"file": "media/gone.mp4", "address": "https://x.org/d"}
    rows[1]["reference"] |= {"sha256": "0" * 64}
    write_rows(tmp_path, *rows)
    shutil.copytree(cases.folder / "media", tmp_path / "media")
    assert run("run", tmp_path, "--model", "driver", "--out", tmp_path / "r") == 1
    told = capsys.readouterr().out
    assert "the driver that the set means (https://x.org/d). Fetch what is missing" in told
    assert "another file than the set means" in told and "driver: 1 of 3 videos" in told


def test_a_model_of_two_variants_is_asked_for_one(cases, tmp_path, capsys):
    settings = SampleSettings()
    assert variant_of(find("mini"), None, settings) == "end-to-end"
    assert variant_of(find("mini"), "pose-based", settings) == "pose-based"
    assert run("run", cases.folder, "--model", "nobody", "--out", tmp_path) == 2
    told = capsys.readouterr().err
    assert "got 'nobody', need one of" in told and "; or still-reference or driver." in told


@pytest.mark.parametrize("scheme", ["{driver}_{reference}.mov", "x/{case}.mp4"])
def test_videos_are_found_by_a_scheme(cases, tmp_path, scheme):
    (tmp_path / "x").mkdir()
    for name in ("d1_r1.mp4", "d3_r3.gif", "x/c-1.mp4", "x/c-3.gif"):
        (tmp_path / name).write_bytes(b"v")
    found = find_by_scheme(cases.cases, tmp_path, scheme)
    assert sorted(found) == ["c-1", "c-3"]
    assert found["c-3"].endswith(".gif")


@pytest.mark.parametrize(
    "scheme, said",
    [
        ("clip.mp4", r"need a name with \{case\}"),
        ("{who}.mp4", r"need a name with \{case\}"),
        ("../{case}.mp4", "need a path inside"),
        ("a{driver}{reference}", ""),
    ],
)
def test_a_scheme_that_tells_nothing_is_refused(cases, tmp_path, scheme, said):
    if said:
        with pytest.raises(InputError, match=said):
            find_by_scheme(cases.cases, tmp_path, scheme)
    else:
        assert find_by_scheme(cases.cases, tmp_path, scheme) == {}
    same = [cases.cases[0], *cases.cases[:1]]
    with pytest.raises(InputError, match="for both c-1 and c-1"):
        find_by_scheme(same, tmp_path, "{driver}.mp4")


def test_a_list_that_leads_out_of_the_folder_is_refused(cases, tmp_path):
    path = tmp_path / "list.csv"
    for text, said in (
        ("case,file\nc-1,../x.mp4\n", "line 2: got '../x.mp4', need a path inside"),
        ("case,file\nc-1,/etc/passwd\n", "need a path inside"),
        ("case,file\nc-9,x.mp4\n", "got the case 'c-9', need one of the set"),
        ("case,file\nc-1,a.mp4\nc-1,b.mp4\n", "line 3: got c-1 again"),
        ("id,file\nc-1,a.mp4\n", "got the columns id, file, need CSV with the columns"),
    ):
        path.write_text(text)
        with pytest.raises(InputError, match=said):
            find_by_list(cases.cases, tmp_path, path)
    (tmp_path / "list.json").write_text('{"c-2": "a.mp4"}')
    assert find_by_list(cases.cases, tmp_path, tmp_path / "list.json") == {"c-2": "a.mp4"}


def test_another_length_rate_or_shape_is_noted_and_taken(cases, tmp_path, capsys):
    videos, out = tmp_path / "videos", tmp_path / "results"
    videos.mkdir()
    write_video(videos / "c-1.mp4", [grey(9, SIDE, 2 * SIDE)] * FRAMES, 8)
    write_video(videos / "c-2.mp4", [grey(9, SIDE, SIDE)] * 20, 16)
    (videos / "c-3.mp4").write_text("no video")
    done = run("import", cases.folder, videos, "--system", "kling-2.6", "--out", out)
    told = capsys.readouterr().out
    assert done == 1 and "kling-2.6: 2 of 4 videos" in told
    assert "c-1: " not in told
    assert "c-2: lasts 1.25 s, its driver 0.62 s" in told
    assert "c-2: has 16 fps, its driver 8" in told
    assert "c-2: is 32 x 32, its reference 64 x 32" in told
    assert "c-3: failed: " in told and "damaged one" in told
    assert "c-4: missing: no file of its name" in told
    write_video(videos / "c-2.mov", [grey(9, SIDE, 2 * SIDE)] * FRAMES, 8)  # a better one
    (videos / "c-2.mp4").unlink()
    (videos / "c-3.mp4").unlink()
    assert run("import", cases.folder, videos, "--system", "kling-2.6", "--out", out) == 0
    assert sorted(path.name for path in out.glob("*/c-*")) == ["c-1.mp4", "c-2.mov"]
    assert run("import", cases.folder, tmp_path, "--system", "other", "--out", out) == 2


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
@pytest.mark.parametrize("work", [BringVideo, MakeVideo])
def test_a_kill_loses_nothing_and_makes_nothing_twice(cases, tmp_path, monkeypatch, capsys, work):
    """Killed when a video is written and not yet recorded."""
    log = tmp_path / "log"
    name, argv = "_naive", ["run", cases.folder, "--model", "driver"]
    if work is BringVideo:
        name, argv = "_bring", ["import", cases.folder, cases.folder / "media"]
        argv += ["--system", "driver", "--scheme", "{driver}.mp4"]
    argv += ["--out", tmp_path / "results"]
    plain = getattr(work, name)

    def logged(self, data):
        made = plain(self, data)
        with log.open("a") as file:
            file.write(data["id"] + "\n")
        if data["id"] == "c-3" and len(log.read_text().split()) == 3:
            os.kill(os.getpid(), signal.SIGKILL)
        return made

    monkeypatch.setattr(work, name, logged)
    child = os.fork()
    if child == 0:
        os._exit(run(*argv))
    assert os.WTERMSIG(os.waitpid(child, 0)[1]) == signal.SIGKILL
    assert run(*argv) == 0
    assert "driver: 4 of 4 videos" in capsys.readouterr().out
    assert log.read_text().split() == ["c-1", "c-2", "c-3", "c-3", "c-4"]
    left = sorted(path.name for path in (tmp_path / "results/driver").iterdir())
    assert left == [*(f"c-{k}.mp4" for k in range(1, 5)), "items.sqlite", "system.json"]
    (tmp_path / "results/driver/c-2.mp4").unlink()
    assert run(*argv) == 0
    assert log.read_text().split()[5:] == ["c-2"]


def test_a_few_cases_are_spread_over_the_set(cases):
    assert [case.id for case in choose_cases(cases, 2)] == ["c-1", "c-3"]
    assert choose_cases(cases, 9) == choose_cases(cases, None) == list(cases.cases)
