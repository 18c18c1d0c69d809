"""The judge of AW Bench, against a server whose faults are known."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest

from dreamactor_core import __main__ as cli
from dreamactor_core.bench.aw.cases import read_cases, sha256_of
from dreamactor_core.bench.aw.judge.answers import UnreadableError, read_ratings
from dreamactor_core.bench.aw.judge.ask import ask_once, deal_systems, rotations
from dreamactor_core.bench.aw.judge.calibrate import correlations, read_labels, spearman
from dreamactor_core.bench.aw.judge.pictures import look_of, still_pictures, strip_pictures
from dreamactor_core.bench.aw.judge.questions import load_judge_prompts
from dreamactor_core.bench.aw.judge.work import JudgeWork, judge_results
from dreamactor_core.bench.aw.scores import JUDGE_FILE, JUDGED, ScoreLine, read_scores, score_path
from dreamactor_core.bench.aw.systems import System, read_systems, settle_system
from dreamactor_core.caption.captioner import CachedCaptioner
from dreamactor_core.caption.choice import CaptionerChoice
from dreamactor_core.caption.endpoint import EndpointCaptioner
from dreamactor_core.errors import InputError
from dreamactor_core.media import probe, write_image, write_video

from .aw_sets import case_row, write_rows
from .biased_judge import GREY, biased

FPS = 8
TRUE = {"calm": 2, "grand": 4, "plain": 3}  # points that the judge sees in a system's videos


def flat(score, count=9, side=32):
    return np.full((count, side, side, 3), GREY * score, np.uint8)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A set of two cases, and three systems: the first is long, the last large; one lacks one."""
    folder = tmp_path_factory.mktemp("aw")
    (folder / "set" / "media").mkdir(parents=True)
    for number in (1, 2):
        write_video(folder / f"set/media/d{number}.mp4", flat(1), FPS)
        write_image(folder / f"set/media/r{number}.png", flat(3)[0])
    rows = [case_row(folder / "set", number) for number in (1, 2)]
    write_rows(folder / "set", *rows)
    results = folder / "results"
    for name, score in TRUE.items():
        system = settle_system(results, System(name, results / name, "import"))
        frames = flat(score, 33 if name == "calm" else 9, 64 if name == "plain" else 32)
        write_video(system.folder / "c-1.mp4", frames, FPS)
        if name != "plain":
            write_video(system.folder / "c-2.mp4", frames, FPS)
    return folder


@pytest.fixture
def run(made, tmp_path):
    """Judges the videos, whose results lie in a folder of the test's own."""
    results = tmp_path / "results"
    shutil.copytree(made / "results", results)
    cases = read_cases(made / "set")

    def judge(server, **options):
        choice = CaptionerChoice(server.url, "fake")
        work = JudgeWork(made / "set", results, choice)
        return judge_results(cases, read_systems(results), work, choice.called, **options)

    judge.results, judge.set = results, made / "set"
    return judge


def means(done, dimension="imaging_quality", case="c-1"):
    return {e.system: e.scores[dimension] for e in done.lines if e.case == case}


def test_a_judge_without_faults_is_told_as_it_is(run):
    with biased() as server:
        done = run(server)
    assert done.failed == [] and done.videos == {"calm": 2, "grand": 2, "plain": 1}
    for dimension in JUDGED:
        assert means(done, dimension) == TRUE
    assert means(done, case="c-2") == {"calm": 2, "grand": 4}
    # 4 dimensions of 3 rotations and of 2.
    assert len(server.requests) == 4 * (3 + 2)
    line = next(e for e in done.lines if e.system == "calm")
    assert line.reasons == dict.fromkeys(JUDGED, "seen") and line.prompt_version.startswith("v1+")
    assert line.video_sha256 == sha256_of(run.results / "calm" / "c-1.mp4")
    assert read_scores(score_path(run.results, JUDGE_FILE)) == done.lines
    text = server.requests[0][2]["messages"][0]["content"][-1]["text"]
    assert "named A, B and C" in text and not any(name in text for name in TRUE)
    assert server.requests[0][2]["temperature"] == 0


@pytest.mark.parametrize("faults", [{"first": 1}, {"length": 0.3}, {"size": 1}])
def test_a_judges_faults_meet_all_systems_alike(run, faults):
    """Not so without the protocol: benchmarks/aw_judge.py."""
    with biased(**faults) as server:
        scores = means(run(server))
    assert scores["grand"] - scores["plain"] <= 1 + 1e-9 and scores["grand"] > scores["plain"]
    if "first" in faults:
        assert scores == {name: pytest.approx(score + 1 / 3) for name, score in TRUE.items()}
    assert scores["plain"] > scores["calm"]


def test_a_second_run_asks_nothing(run):
    with biased() as server:
        before = run(server)
        asked = len(server.requests)
        lines = score_path(run.results, JUDGE_FILE).read_bytes()
        assert run(server).lines == before.lines and len(server.requests) == asked
        assert score_path(run.results, JUDGE_FILE).read_bytes() == lines
        (run.results / "scores" / "judge" / "items.sqlite").unlink()
        run(server)
        assert len(server.requests) == asked  # answers are remembered, too


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ("They are all lovely.", "it has no number for A and B and C"),
        ("A: 7, fine\nB: 3, so\nC: 3, so", "it gives A 7, which is not 1 to 5"),
        ("A: 3, fine\nB: 0, so\nC: 3, so", "it gives B 0, which is not 1 to 5"),
        ("\x00\ufffd{]", "it has no number for A and B and C"),
        ("A: 3, fine\nA: 4, fine\nB: 2\nC: 2", "it gives A two numbers"),
    ],
)
def test_an_unusable_answer_is_asked_for_again_more_strictly(tmp_path, answer, said):
    prompts, videos = load_judge_prompts(), [[flat(k)[0]] * 2 for k in TRUE.values()]
    with biased() as server:
        server.script = [answer]
        captioner = CachedCaptioner(EndpointCaptioner(server.url, "fake"), tmp_path)
        got = ask_once(captioner, prompts, "imaging_quality", videos, None)
        again = server.requests[1][2]["messages"][0]["content"][-1]["text"]
    assert [each.score for each in read_ratings(got, "ABC").values()] == [*TRUE.values()]
    assert f"Your last answer cannot be used: {said}." in again
    assert "A: <1, 2, 3, 4 or 5>, <reason>\nB:" in again


def test_a_judge_that_never_answers_well_costs_that_question_alone(run):
    with biased() as server:
        server.script = ["Lovely.", "Lovely!"]
        done = run(server)
        assert len(done.failed) == 1 and "twice an answer that cannot be used" in done.failed[0]
        line = next(e for e in done.lines if e.system == "grand" and e.case == "c-1")
        assert set(line.scores) == set(JUDGED[1:]) and JUDGED[0] in line.notes[0]
        asked = len(server.requests)
        again = run(server)  # what failed is asked again, and nothing else
        assert again.failed == [] and means(again) == TRUE
        assert len(server.requests) == asked + 3


def test_an_empty_answer_and_a_refused_key_are_one_sentence(run):
    with biased() as server:
        server.script = [""]
        said = run(server).failed[0]
        assert "judge fake at " in said and "got an empty answer, need an answer in words" in said
        assert said.endswith("Ask another judge, or none: aw meter needs no judge.")
        server.script = [(401, {}, {"error": "no"})] * 40
        (run.results / "calm" / "c-1.mp4").rename(run.results / "calm" / "other.mp4")
        with pytest.raises(InputError, match=r"3 items in a row.*no access \(401\)") as stop:
            run(server)
        assert "every item needs. judge fake at " in str(stop.value)


def test_orders_are_drawn_by_case_and_balanced():
    names = list("uvwxyz")
    assert (
        deal_systems(names, 0, "a")
        == deal_systems(names[::-1], 0, "a")
        != deal_systems(names, 0, "b")
    )
    assert [len(group) for group in deal_systems(names, 0, "a")] == [3, 3]
    assert sorted(n for group in deal_systems(names, 0, "a") for n in group) == names
    places = np.array([[order.index(name) for name in "abc"] for order in rotations("abc")])
    assert (np.sort(places, axis=0) == np.arange(3)[:, None]).all()


def test_every_video_is_shown_by_as_many_pictures_of_one_size(run, tmp_path):
    look = look_of(flat(3)[0], probe(run.set / "media/d1.mp4"))
    assert (look.height, look.width, look.stills, look.strips) == (32, 32, 3, 1)
    for name in TRUE:
        path = run.results / name / "c-1.mp4"
        stills, strips = still_pictures(path, look), strip_pictures(path, look)
        assert [image.shape for image in stills] == [(32, 32, 3)] * 3
        assert [image.shape for image in strips] == [(16, 8 * 16, 3)]


def test_answers_are_read_in_the_forms_that_judges_write():
    said = "**A**: 4, because it is sharp.\nVideo B: 3/5 - soft\n- C\uff1a5"
    ratings = read_ratings(said, "ABC")
    assert [each.score for each in ratings.values()] == [4, 3, 5]
    assert [each.reason for each in ratings.values()] == ["it is sharp", "soft", ""]
    with pytest.raises(UnreadableError, match="rates a video B, which was not shown"):
        read_ratings("A: 3\nB: 3", "A")


def test_stability_tells_what_a_place_is_worth(run, capsys):
    with biased(first=1) as server:
        options = [str(run.set), str(run.results), "--endpoint", server.url]
        options += ["--endpoint-model", "fake", "--stability", "2"]
        assert cli.main(["aw", "judge", *options]) == 0
    found = json.loads((run.results / "scores/judge/stability.json").read_text())
    assert [each["dimension"] for each in found] == list(JUDGED)
    assert {key: found[0][key] for key in ("asked", "same", "apart", "swapped", "first")} == {
        "asked": 2, "same": 0, "apart": 1, "swapped": 2, "first": 1,
    }  # fmt: skip
    assert "imaging_quality" in capsys.readouterr().out


def test_labels_of_people_are_compared_by_rank(tmp_path, capsys):
    rows = [
        {
            "videos": {"x": f"any/x/c-{k}.mp4", "y": f"any/y/c-{k}.mp4"},
            "human_anno": {"x": [k + 1, k + 1], "y": 5 - k},
        }
        for k in (1, 2, 3)
    ]
    (tmp_path / "imaging_quality.json").write_text(json.dumps(rows))
    (tmp_path / "motion_effects.json").write_text(json.dumps(rows[:1]))
    (tmp_path / "aesthetic_quality.json").write_text("[]")
    labels = read_labels(tmp_path)
    assert labels["imaging_quality"]["x", "c-2"] == 3 and labels["motion_smoothness"]
    lines = [
        ScoreLine(
            s, f"c-{k}", {"imaging_quality": (k + 1 if s == "x" else 5 - k) / 2 + 1}, judge="j"
        )
        for s in "xy"
        for k in (1, 2, 3)
    ]
    blurred = [
        replace(e, scores={"sharpness": 1 - e.scores["imaging_quality"] / 9}, judge="")
        for e in lines
    ]
    judged, measured = correlations(labels, lines, blurred)[::-1]
    assert (judged.by, judged.videos, judged.theirs) == ("j", 6, 0.733)
    assert judged.rho == pytest.approx(1) and measured.rho == pytest.approx(-1)
    assert spearman([1, 2, 3, 4], [1, 1, 2, 2]) == pytest.approx(0.894, abs=1e-3)
    assert np.isnan(spearman([1, 1], [1, 2]))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "no JSON"),
        ("{}", "got another JSON, need a list"),
        (
            '[{"human_anno": {"x": [9]}, "videos": {"x": "c.mp4"}}]',
            r"entry 1: got \[9\] of x, need",
        ),
        ('[{"human_anno": {"x": "9"}, "videos": {}}]', "entry 1: got no video of x"),
        ('[{"videos": {}}]', 'entry 1: got no "human_anno" by system'),
        ("[3]", 'entry 1: got no "videos" by system'),
    ],
)
def test_broken_labels_are_one_sentence(tmp_path, text, said):
    path = tmp_path / "imaging_quality.json"
    path.write_text(text)
    with pytest.raises(InputError, match=said):
        read_labels(path)


def test_the_command_asks_whom_to_ask(run, capsys):
    assert cli.main(["aw", "judge", str(run.set), str(run.results)]) == 2
    assert "judge: got nobody to ask" in capsys.readouterr().err
    rest = [str(run.set), str(run.results), "--endpoint-model", "fake", "--endpoint"]
    assert cli.main(["aw", "judge", *rest, "localhost"]) == 2
    assert capsys.readouterr().err.startswith("endpoint: got 'localhost', need an address")
    assert cli.main(["aw", "judge", *rest[:2], "--mllm", str(run.set / "none")]) == 2
    assert str(run.set / "none") in capsys.readouterr().err
    mine = run.results / "mine"
    assert cli.main(["aw", "judge", *rest[:2], "--copy-prompts", str(mine)]) == 0
    assert load_judge_prompts(mine).digest == load_judge_prompts().digest
