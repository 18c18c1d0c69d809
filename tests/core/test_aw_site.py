"""The page of results of AW Bench, as it is written."""

from __future__ import annotations

import json
import re

import pytest

from dreamactor_core.__main__ import main
from dreamactor_core.bench.aw.scores import (
    JUDGE_FILE,
    RATINGS_FILE,
    ScoreLine,
    append,
    score_path,
)

from .aw_results import make_results


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Three cases of two systems; one video is missing, another is broken."""
    folder = tmp_path_factory.mktemp("site")
    made = make_results(folder, ("a", "b"), missing=[("b", "case-002")])
    (made.results / "b/case-001.mp4").write_bytes(b"no video")
    reasons = {"imaging_quality": "sharp </script><b>"}
    said = ScoreLine("a", "case-000", {"imaging_quality": 4}, reasons=reasons, judge="x")
    append(score_path(made.results, JUDGE_FILE), [said])
    ratings = [
        ScoreLine("a", "case-000", rater="Ada", other="b", choice="good"),
        ScoreLine("b", "case-000", rater="Bob", other="a", choice="good"),
        ScoreLine("a", "case-000", {"imaging_quality": 5}, rater="Ada"),
        ScoreLine("a", "case-000", {"imaging_quality": 2}, rater="Bob"),
    ]
    append(score_path(made.results, RATINGS_FILE), ratings)
    return made


def test_a_page_has_every_case_with_what_is_there_and_what_was_said(made, tmp_path, capsys):
    site = tmp_path / "site"
    command = ["aw", "page", str(made.set), str(made.results), "--out", str(site)]
    assert main(command) == 0
    out, err = capsys.readouterr()
    assert "3 cases, 4 videos" in out and "left out" in err and "case-001.mp4" in err
    text = (site / "index.html").read_text(encoding="utf-8")
    assert "http" not in text and "{{" not in text and "</script><b>" not in text
    assert "Ada" not in text and "Bob" not in text  # raters are not named
    data = json.loads(re.search(r'id="data">(.*?)</script>', text)[1])
    first, second, third = data["cases"]
    assert [*first["videos"]] == ["a", "b"] and [*second["videos"]] == [*third["videos"]] == ["a"]
    for one in data["cases"]:
        for src in (one["reference"], one["driver"], *one["videos"].values()):
            assert (site / src).is_file()
    judge, people = first["said"]
    assert judge["by"] == "judge x" and judge["reasons"]["imaging_quality"].startswith("sharp")
    assert people["scores"] == {"imaging_quality": 3.5} and people["notes"] == ["mean of 2 raters"]
    assert first["compared"] == ["a beside b, by people: good 1, same 0, bad 1"]
    assert "3.50 ± 2.12" in text and "DreamActor-M2 end-to-end" in text

    before = {path: path.stat().st_mtime_ns for path in (site / "media").iterdir()}
    (site / "media/0123.mp4").write_bytes(b"of an earlier page")
    assert main(command) == 0  # what is there is not made again, what is no longer used goes
    assert {path: path.stat().st_mtime_ns for path in (site / "media").iterdir()} == before


def test_a_folder_with_other_files_is_no_place_for_a_page(made, tmp_path, capsys):
    (tmp_path / "thesis.txt").write_text("mine")
    assert main(["aw", "page", str(made.set), str(made.results), "--out", str(tmp_path)]) == 2
    assert "a folder with other files" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]
