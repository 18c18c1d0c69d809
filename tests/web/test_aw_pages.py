"""The pages of AW Bench in a real browser, from files: judged by keyboard, looked through."""

from __future__ import annotations

import json

import pytest

from dreamactor_core.bench.aw.gather import gather
from dreamactor_core.bench.aw.raters import RaterPlan, write_rater_page
from dreamactor_core.bench.aw.ratings import read_key, tally
from dreamactor_core.bench.aw.scores import JUDGE_FILE, RATED, ScoreLine, append, score_path
from dreamactor_core.bench.aw.site import write_site

from ..core.aw_results import make_results
from .conftest import act

SYSTEMS = ("first-system", "second-system")


def test_a_hundred_judgements_by_keyboard_and_a_reload_loses_none(own_browser, shots, tmp_path):
    made = make_results(tmp_path, SYSTEMS, number=100)
    page = tmp_path / "rate.html"
    written = write_rater_page(gather(made.set, made.results), RaterPlan(pair=SYSTEMS), page)
    keys = ["123"[k % 3] for k in range(100)]
    task = {"page": page.as_uri(), "keys": keys, "reloadAfter": 43, "looks": True}
    seen = act(own_browser, "rate.mjs", {**task, "shots": str(shots)})
    assert (seen["complaints"], seen["requests"]) == ([], [])
    assert seen["help"] and seen["played"]
    told = [seen[when] for when in ("before", "middle", "reloaded", "after")]
    assert told == ["0 of 100", "43 of 100", "43 of 100", "100 of 100"]
    (tmp_path / "ratings.json").write_text(json.dumps(seen["file"]))
    counted = tally([tmp_path / "ratings.json"], read_key(written.key))
    assert counted.skipped == [] and counted.raters == {"Ada": 100}
    assert counted.sides == {"left": 34, "same": 33, "right": 33}
    answers = {answer["item"]: answer for answer in seen["file"]["answers"]}
    for item, key in zip(seen["order"], keys, strict=True):
        choice = ("left", "same", "right")[int(key) - 1]
        answer = answers[item["id"]]
        assert (answer["left"], answer["choice"]) == (item["videos"][0], choice)
    lefts = [read_key(written.key).systems[i["id"]][i["videos"][0]] for i in seen["order"]]
    assert 30 <= lefts.count(SYSTEMS[0]) <= 70  # of 100 sides, drawn
    assert seen["changed"]["choice"] == "right"


def test_single_videos_are_scored_in_three_dimensions(own_browser, shots, tmp_path):
    made = make_results(tmp_path, SYSTEMS, number=1)
    page = tmp_path / "rate.html"
    written = write_rater_page(gather(made.set, made.results), RaterPlan(), page)
    task = {"page": page.as_uri(), "keys": [*"512", "0"], "reloadAfter": 2, "looks": True}
    seen = act(own_browser, "rate.mjs", {**task, "shots": str(shots / "single")})
    assert seen["complaints"] == [] and seen["reloaded"] == "0 of 2"
    (tmp_path / "ratings.json").write_text(json.dumps(seen["file"]))
    counted = tally([tmp_path / "ratings.json"], read_key(written.key))
    assert counted.unseen == 1
    assert [line.scores for line in counted.lines] == [dict(zip(RATED, (5, 1, 2), strict=True))]


def test_results_are_looked_through_side_by_side_in_step(own_browser, shots, tmp_path):
    made = make_results(tmp_path, SYSTEMS, number=4, missing=[(SYSTEMS[1], "case-001")])
    said = [
        ScoreLine(name, case, {"imaging_quality": 4}, reasons={"imaging_quality": f"as {case}"})
        for name in SYSTEMS
        for case in made.cases
    ]
    append(score_path(made.results, JUDGE_FILE), said)
    site = write_site(gather(made.set, made.results), tmp_path / "site")
    task = {"page": site.page.as_uri(), "filter": ["Scenario", "complex-motion"]}
    seen = act(own_browser, "site.mjs", {**task, "shots": str(shots)})
    assert (seen["complaints"], seen["requests"]) == ([], [])
    assert seen["figures"] == ["Picture", "Motion", *SYSTEMS] and seen["missing"] == 0
    for times in (seen["stepped"], seen["paused"]):
        assert len(times) == 3 and max(times) - min(times) < 0.001
    assert seen["stepped"][0] == pytest.approx(2 / 12, abs=1e-4) and seen["played"]
    assert "as case-000" in seen["reason"] and seen["reason"] == seen["reloaded"]
    assert seen["address"].startswith("#case-000/first-system/")
    assert seen["all"] == [f"#{case}" for case in made.cases]
    assert seen["filtered"] == ["#case-001", "#case-003"] and seen["current"] == "case-001"
    assert seen["fewer"] == ["Picture", "Motion", SYSTEMS[1]]
    assert seen["tables"] == ["Table 1, by a judge (unnamed)"]
