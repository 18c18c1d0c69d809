"""A set out of somebody's folder: guessed, corrected by hand, balanced, paired."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from dreamactor_core.__main__ import main
from dreamactor_core.bench.aw import tags as tagging
from dreamactor_core.bench.aw.build import BuildPlan, build_set
from dreamactor_core.bench.aw.cases import read_cases
from dreamactor_core.bench.aw.tags import Tags, read_tags, write_tags
from dreamactor_core.errors import InputError
from dreamactor_core.media import write_image, write_loop, write_video

SCENE = np.random.default_rng(5).integers(0, 255, (60, 200, 3)).astype(np.uint8)
SCENE = SCENE.repeat(4, 0).repeat(4, 1)  # (240, 800): squares that a camera can pass by


@pytest.fixture
def folder(tmp_path) -> Path:
    """A clip whose camera stands, one whose camera pans, a loop, a picture, and a text."""
    place = tmp_path / "own"
    (place / "more").mkdir(parents=True)
    write_video(place / "still.mp4", [SCENE[:, :240]] * 6, 8)
    write_video(place / "more/pan.mp4", [SCENE[:, 8 * t : 8 * t + 240] for t in range(6)], 8)
    write_loop(place / "loop.webp", [SCENE[:64, 4 * t : 4 * t + 64] for t in range(3)], 8)
    write_image(place / "bear.png", SCENE[:80, :60])
    (place / "notes.txt").write_text("no media")
    return place


def table(path: Path) -> dict[str, dict[str, str]]:
    with path.open(newline="") as file:
        return {row["file"]: row for row in csv.DictReader(file)}


def test_tags_are_guessed_then_corrected_and_the_set_is_made(folder, tmp_path, capsys):
    argv = ["aw", "build", str(folder), "--out", str(tmp_path / "set"), "--license", "CC0-1.0"]
    assert main(argv) == 0
    told = capsys.readouterr().out
    assert "left out: notes.txt: " in told and "question marks), then run the same" in told
    path = tmp_path / "set/tags.csv"
    rows = table(path)
    assert {name: (row["role"], row["camera"]) for name, row in rows.items()} == {
        "bear.png": ("reference", ""),
        "loop.webp": ("driver", "tracked"),
        "more/pan.mp4": ("driver", "tracked"),
        "still.mp4": ("driver", "static"),
    }
    assert all(row["license"] == "CC0-1.0" and row["source"] == "?" for row in rows.values())
    assert main(argv) == 2  # nothing of what was typed is guessed again
    assert f"{path}, line 2: kind: got ?, need human, animal or " in capsys.readouterr().err
    for name, row in rows.items():
        row |= {"kind": "human", "subjects": "1", "source": "mine", "shows": "full"}
        row |= {"activity": "dancing"} if row["role"] == "driver" else {}
        row["role"] = "skip" if name == "loop.webp" else row["role"]
    rows["bear.png"] |= {"kind": "cartoon", "shows": "upper"}
    rows["still.mp4"]["also"] = "object-interaction"
    write_tags(path, [Tags(**row) for row in rows.values()])
    assert main(argv) == 0
    told = capsys.readouterr().out
    assert "2 drivers, the paper has 100" in told and "2 human-cartoon pairs, the paper" in told
    cases = read_cases(tmp_path / "set").cases
    assert {case.driver.activity for case in cases} == {"dancing"} and len(cases) == 2
    still = next(case for case in cases if case.driver.camera == "static")
    assert still.scenarios == ("human2nonhuman", "full2half", "object-interaction")
    assert main(["aw", "check", str(tmp_path / "set")]) == 0


@pytest.mark.parametrize(
    "changed, said",
    [
        ({"role": "extra"}, "line 2: role: got 'extra', need driver or reference or skip"),
        ({"kind": "robot"}, "line 2: kind: got 'robot', need human or animal or animated"),
        ({"subjects": "two"}, "line 2: subjects: got 'two', need a whole number from 1"),
        ({"kind": "animal", "age": "young"}, "line 2: shows and age: got young, need nothing"),
        ({"activity": ""}, "line 2: activity: got nothing, need a word or two"),
        ({"file": "../x.mp4"}, "file: got '../x.mp4', need a path inside"),
    ],
)
def test_a_wrong_tag_is_told_by_its_line(folder, tmp_path, changed, said):
    good = Tags("still.mp4", "driver", "human", "", "", "dancing", "static", "1", "", "CC0", "me")
    write_tags(tmp_path / "tags.csv", [good._replace(**changed)])
    with pytest.raises(InputError) as error:
        read_tags(tmp_path / "tags.csv")
        build_set(BuildPlan(folder, tmp_path))
    assert said in str(error.value)


def test_of_too_many_as_many_of_each_kind_are_taken(folder, tmp_path):
    rows = []
    for k, kind in enumerate(["human"] * 5 + ["animal", "animated"]):
        write_video(folder / f"d{k}.mp4", [SCENE[:64, 9 * k : 9 * k + 64]] * 2, 8)
        more = ("", "", "walking", "static", "1", "", "CC0", "me")
        rows.append(Tags(f"d{k}.mp4", "driver", kind, *more))
    rows.append(Tags("bear.png", "reference", "animal", "", "", "", "", "1", "", "CC0", "me"))
    write_tags(tmp_path / "tags.csv", rows)
    built = build_set(BuildPlan(folder, tmp_path, drivers=3))
    assert sorted(case.driver.kind for case in built.cases) == ["animal", "animated", "human"]
    assert built.cases == build_set(BuildPlan(folder, tmp_path, drivers=3)).cases


def test_a_captioner_is_believed_as_far_as_it_uses_the_words():
    row = Tags("d.mp4", "driver", activity="?", camera="static")
    said = 'Sure: {"kind": "cartoon", "age": "young", "activity": "waving"}'
    assert tagging._asked(row, said)[2:6] == ("animated", "", "", "waving")
    for answer in ("prose", '{"kind": 3, "age": [], "activity": 7}', '{"kind": '):
        assert tagging._asked(row, answer) == row
