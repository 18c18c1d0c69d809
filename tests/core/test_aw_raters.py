"""Raters of AW Bench: a page that tells nothing, and files of ratings counted."""

from __future__ import annotations

import base64
import json
import re

import pytest

from dreamactor_core.__main__ import main
from dreamactor_core.bench.aw.gather import gather
from dreamactor_core.bench.aw.raters import RaterPlan, plan_items, share_out, write_rater_page
from dreamactor_core.bench.aw.ratings import read_key, tally
from dreamactor_core.bench.aw.scores import RATED, RATINGS_FILE, read_scores, score_path
from dreamactor_core.errors import InputError
from dreamactor_core.media import probe
from dreamactor_core.media.browser import picture_for_browser, video_for_browser

from .aw_results import make_results

SYSTEMS = ("first-system", "second-system")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return make_results(tmp_path_factory.mktemp("raters"), SYSTEMS, number=4)


@pytest.fixture(scope="module")
def pairs(made, tmp_path_factory):
    page = tmp_path_factory.mktemp("pairs") / "rate.html"
    return write_rater_page(gather(made.set, made.results), RaterPlan(pair=SYSTEMS), page)


def data_of(page) -> dict:
    text = page.read_text(encoding="utf-8")
    return json.loads(re.search(r'id="data">(.*?)</script>', text)[1])


def ratings_of(key: dict, rater: str, answers: list, **changed) -> str:
    told = {"format": "aw-bench-ratings", "version": 1, "page": key["page"], "rater": rater}
    return json.dumps(told | {"answers": answers} | changed)


def test_a_page_for_raters_names_no_system_and_needs_no_other_file(pairs, made):
    text = pairs.page.read_text(encoding="utf-8")
    assert pairs.items == 4 and pairs.media is None and pairs.left_out == {}
    assert not any(name in text for name in (*SYSTEMS, *made.cases))
    assert "http" not in text and "{{" not in text
    data = data_of(pairs.page)
    key = json.loads(pairs.key.read_text())
    assert data["page"] == key["page"] and {item["id"] for item in data["items"]} == {*key["items"]}
    for item in data["items"]:
        assert sorted(key["items"][item["id"]]["videos"].values()) == [*SYSTEMS]
        for name in (*item["videos"], item["driver"]):
            embedded = re.search(f'id="m-{name}">([^<]*)<', text)[1]
            video = base64.b64decode(embedded)
            assert video[4:8] == b"ftyp" and b"x264" not in video and b"Lavf" not in video


def test_the_same_seed_gives_the_same_page_and_other_videos_another(made, pairs, tmp_path):
    gathered = gather(made.set, made.results)
    again = write_rater_page(gathered, RaterPlan(pair=SYSTEMS), tmp_path / "rate.html")
    assert again.page.read_bytes() == pairs.page.read_bytes()
    drawn = [plan_items(gathered, RaterPlan(samples=2, seed=seed)) for seed in (0, 0, 1)]
    assert drawn[0] == drawn[1] != drawn[2] and len(drawn[0]) == 2 * len(SYSTEMS)
    shared = share_out(RaterPlan(raters=("a", "b", "c"), raters_per=2), [*"123456"])
    assert sorted(map(len, shared.values())) == [4, 4, 4]
    assert sorted("".join("".join(items) for items in shared.values())) == sorted("123456" * 2)


def test_what_is_too_large_lies_beside_the_page_and_a_bad_video_is_left_out(tmp_path):
    made = make_results(tmp_path, SYSTEMS, number=2)
    (made.results / SYSTEMS[0] / "case-001.mp4").write_bytes(b"no video")
    page = tmp_path / "rate.html"
    out = write_rater_page(gather(made.set, made.results), RaterPlan(megabytes=0), page)
    assert out.items == 3 and [*out.left_out] == ["case-001"]
    data = data_of(page)
    for item in data["items"]:
        for name in (*item["videos"], item["driver"], item["reference"]):
            assert (tmp_path / data["media"][name]["src"]).is_file()
    assert len(data["dimensions"]) == 3
    ids = [item["id"] for item in data["items"]]
    assert ids == sorted(ids)  # not by systems
    (made.set / "media/driver.mp4").unlink()  # it may not be handed on
    with pytest.raises(InputError, match="Get it from made here and put it there"):
        write_rater_page(gather(made.set, made.results), RaterPlan(), tmp_path / "other.html")
    assert not (tmp_path / "other.html").exists()


def test_a_clip_for_browsers_keeps_its_pictures_and_times_and_nothing_else(tmp_path, made):
    source = made.results / SYSTEMS[0] / "case-000.mp4"
    video_for_browser(source, tmp_path / "copied.mp4")
    assert probe(tmp_path / "copied.mp4").times == probe(source).times
    assert b"x264" in source.read_bytes() and b"x264" not in (tmp_path / "copied.mp4").read_bytes()
    picture_for_browser(made.set / "media/reference.png", tmp_path / "r.webp")
    assert (tmp_path / "r.webp").read_bytes()[8:12] == b"WEBP"


def test_sides_are_turned_back_into_systems(pairs, tmp_path):
    key = json.loads(pairs.key.read_text())
    plays = [  # whose video stood on the left, what was chosen, what it says of the first
        (SYSTEMS[0], "left", "good"),
        (SYSTEMS[1], "left", "bad"),
        (SYSTEMS[0], "same", "same"),
        (SYSTEMS[1], "right", "good"),
    ]
    answers = []
    for (item, told), (system, choice, _) in zip(key["items"].items(), plays, strict=True):
        left = next(name for name, whose in told["videos"].items() if whose == system)
        answers.append({"item": item, "left": left, "choice": choice, "at": 1})
    path = tmp_path / "ratings.json"
    path.write_text(ratings_of(key, "Ada", answers))
    told = tally([path], read_key(pairs.key))
    by_case = {line.case: line.choice for line in told.lines}
    cases = [each["case"] for each in key["items"].values()]
    assert by_case == dict(zip(cases, (said for *_, said in plays), strict=True))
    assert {(line.system, line.other, line.rater) for line in told.lines} == {(*SYSTEMS, "Ada")}
    assert told.sides == {"left": 2, "same": 1, "right": 1} and told.raters == {"Ada": 4}


def test_ratings_are_counted_once_and_what_is_wrong_is_named(made, tmp_path, capsys):
    results = tmp_path / "results"
    results.mkdir()
    page = write_rater_page(gather(made.set, made.results), RaterPlan(), tmp_path / "rate.html")
    key = json.loads(page.key.read_text())
    items = [*key["items"]]
    fine = [{"item": item, "scores": dict.fromkeys(RATED, 4), "at": 5} for item in items]
    broken = [
        {"item": items[1], "scores": {"imaging_quality": 6}, "at": 9},
        {"item": items[2], "scores": {"charm": 3}, "at": 9},
        {"item": "nobody", "scores": {"imaging_quality": 3}, "at": 9},
        {"item": items[3], "unseen": True, "at": 9},
        {"item": items[0], "scores": {"imaging_quality": 1}, "at": 1},  # an older answer
        7,
    ]
    files = {
        "a.json": ratings_of(key, "Ada", fine),
        "b.json": ratings_of(key, "Ada", broken),
        "c.json": ratings_of(key, "Bob", fine, page="another"),
        "d.json": "{",
    }
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    command = ["aw", "tally", *(str(tmp_path / name) for name in files)]
    command += ["--key", str(page.key), "--out", str(results)]
    for added in (7, 0):  # the second time adds nothing
        assert main(command) == 0
        out, err = capsys.readouterr()
        assert f"judgements: 7, {added} of them new; raters: Ada 7" in out
        assert "could not be judged: 1" in out and "4.00 [4.00, 4.00]" in out
        for said in (
            "imaging_quality is 6, not 1 to 5",
            "'charm' is none of",
            "item nobody, which the page does not have",
            "an answer without its item (7)",
            "ratings of page 'another'",
            "d.json: got broken JSON",
        ):
            assert said in err
    lines = read_scores(score_path(results, RATINGS_FILE))
    assert len(lines) == 7 and all(line.scores == dict.fromkeys(RATED, 4) for line in lines)
    with pytest.raises(InputError, match="ratings of page 'another'"):
        tally([tmp_path / "c.json"], read_key(page.key))
    assert (
        main(
            [
                *command[:2],
                str(tmp_path / "a.json"),
                "--key",
                str(tmp_path / "a.json"),
                "--out",
                ".",
            ]
        )
        == 2
    )
    assert "Name the file PAGE.key.json" in capsys.readouterr().err


def test_a_plan_that_cannot_be_is_refused_in_a_sentence(made, tmp_path, capsys):
    start = ["aw", "raters", str(made.set), str(made.results), "--out", str(tmp_path / "r.html")]
    for options, said in (
        (["--pairs", "first-system", "nobody"], "need first-system or second-system"),
        (["--pairs", "first-system", "first-system"], "first-system twice"),
        (["--single", "--samples", "0"], "samples: got 0, need at least 1"),
        (["--single", "--raters", "a", "--raters-per", "2"], "2, and 1 raters are named"),
    ):
        assert main([*start, *options]) == 2
        assert said in capsys.readouterr().err
    assert not [*tmp_path.iterdir()]
