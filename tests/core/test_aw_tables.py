"""Tables of AW Bench: the paper's arithmetic, intervals, and what is said where things miss."""

from __future__ import annotations

import json
from math import isnan, sqrt

import pytest

from dreamactor_core.__main__ import main
from dreamactor_core.bench.aw.gather import gather
from dreamactor_core.bench.aw.intervals import (
    Observation,
    bootstrap_mean,
    ordinal_alpha,
    wilson,
)
from dreamactor_core.bench.aw.published import PUBLISHED_FIGURE_5, PUBLISHED_TABLE_1
from dreamactor_core.bench.aw.scores import (
    JUDGE_FILE,
    JUDGED,
    METERS_FILE,
    RATED,
    RATINGS_FILE,
    ScoreLine,
    append,
    score_path,
)
from dreamactor_core.bench.aw.tables import all_tables, seen_from, shares_of, spread_of

from .aw_results import make_results

RATERS, SAMPLES = 12, 100  # the paper's
GSB_COUNTS = {  # the smallest numbers of judgements that give every figure that was published
    "Kling 2.6": (46, 67, 32),
    "Kling-O1": (71, 62, 9),
    "Wan2.2-Animate": (87, 38, 15),
    "DreamActor-M1": (89, 34, 12),
}


def scores_with_mean(mean: float) -> list[int]:
    """SAMPLES whole numbers, 1 to 5."""
    least, more = divmod(round(mean * SAMPLES), SAMPLES)
    return [least + (k < more) for k in range(SAMPLES)]


def ratings_with(system: str, wanted: dict[str, tuple[float, float]]) -> list[ScoreLine]:
    """Of RATERS: half of them are as far above the mean as the others are below it."""
    lines = []
    for rater in range(RATERS):
        columns = {}
        for name, (mean, deviation) in wanted.items():
            off = round(deviation / sqrt(RATERS / (RATERS - 1)), 2)
            columns[name] = scores_with_mean(mean + (off if rater % 2 else -off))
        for k in range(SAMPLES):
            scores = {name: column[k] for name, column in columns.items()}
            lines.append(ScoreLine(system, f"case-{k}", scores, rater=f"rater {rater}"))
    return lines


@pytest.mark.parametrize("system", PUBLISHED_TABLE_1)
def test_invented_ratings_give_a_row_of_the_papers_table_1(system):
    published = PUBLISHED_TABLE_1[system]
    for mean in published.judged:
        observations = [Observation(s, k) for k, s in enumerate(scores_with_mean(mean))]
        assert round(bootstrap_mean(observations).value, 2) == mean
    lines = ratings_with(system, dict(zip(RATED, published.rated, strict=True)))
    for name, wanted in zip(RATED, published.rated, strict=True):
        spread = spread_of(lines, name)
        assert (round(spread.mean.value, 2), round(spread.deviation, 2)) == wanted
        assert spread.mean.low < wanted.mean < spread.mean.high


@pytest.mark.parametrize("product", PUBLISHED_FIGURE_5)
def test_invented_comparisons_give_a_bar_of_the_papers_figure_5(product):
    counts = zip(("good", "same", "bad"), GSB_COUNTS[product], strict=True)
    choices = [choice for choice, count in counts for _ in range(count)]
    lines = [
        ScoreLine("ours", f"case-{k}", other=product, choice=choice, rater="somebody")
        for k, choice in enumerate(choices)
    ]
    shares = shares_of(lines)
    told = [round(share.value, 2) for share in (shares.good, shares.same, shares.bad)]
    assert (*told, round(100 * shares.difference.value, 2)) == PUBLISHED_FIGURE_5[product]
    other_way = shares_of([seen_from(line, product) for line in lines])
    assert other_way.difference.value == -shares.difference.value
    assert other_way.good == shares.bad


def test_intervals_are_wilsons_and_the_same_for_the_same_seed():
    newcombe = {(81, 263): (0.2553, 0.3662), (0, 20): (0, 0.1611)}  # 1998, table I
    for (part, whole), interval in newcombe.items():
        assert wilson(part, whole) == pytest.approx((part / whole, *interval), abs=5e-5)
    some = [Observation(k % 5, k) for k in range(50)]
    assert bootstrap_mean(some, 1) == bootstrap_mean(some, 1) != bootstrap_mean(some, 2)
    assert [isnan(number) for number in bootstrap_mean(some[:1])] == [False, True, True]
    mean, low, high = bootstrap_mean(some)
    error = sqrt(2 / 50)  # of the mean, the variance of 0..4 being 2
    assert (mean - low) / error == pytest.approx(1.96, rel=0.06)
    assert (high - mean) / error == pytest.approx(1.96, rel=0.06)


def test_raters_widen_an_interval_that_cases_alone_would_make_narrow():
    """Three raters who each have a mind of their own, and cases that do not matter."""
    lines = [Observation(rater, case, rater) for case in range(100) for rater in (1, 3, 5)]
    assert bootstrap_mean(lines)[1:] == (1, 5)
    blind = [line._replace(rater=None) for line in lines]
    assert bootstrap_mean(blind)[1:] == (3, 3)


def test_agreement_is_krippendorffs():
    """His own example of four observers, twelve units and five ranks."""
    observers = (
        (1, 2, 3, 3, 2, 1, 4, 1, 2, None, None, None),
        (1, 2, 3, 3, 2, 2, 4, 1, 2, 5, None, 3),
        (None, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, None),
        (1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, None),
    )
    ratings = [(k, value) for row in observers for k, value in enumerate(row) if value]
    assert ordinal_alpha(ratings) == pytest.approx(0.815, abs=5e-4)
    assert ordinal_alpha([(k, k) for k in (1, 2) for _ in range(2)]) == 1
    assert ordinal_alpha([(1, 3), (2, 4)]) is None  # nobody twice
    assert ordinal_alpha([(1, 3), (1, 3)]) is None  # nothing to tell apart


def test_tables_say_n_of_n_and_show_the_papers_numbers_apart(tmp_path, caplog):
    made = make_results(
        tmp_path, ("wan2.2-animate", "mine"), number=3, missing=[("mine", "case-002")]
    )
    lines = [
        ScoreLine(system, case, dict.fromkeys(JUDGED, score), judge="a judge", prompt_version="v1")
        for system, score in (("mine", 4), ("wan2.2-animate", 2))
        for case in made.cases
        if (system, case) != ("mine", "case-002")
    ]
    lines += [ScoreLine("gone", "case-000", {"imaging_quality": 5}, judge="a judge")]
    lines += [ScoreLine("mine", "case-000", {"imaging_quality": 5}, "0" * 64, judge="old")]
    append(score_path(made.results, JUDGE_FILE), lines)
    append(
        score_path(made.results, METERS_FILE), [ScoreLine("mine", "case-000", {"identity": 0.5})]
    )
    assert main(["aw", "table", str(made.set), str(made.results), "--out", f"{tmp_path}/t.md"]) == 0
    text = (tmp_path / "t.md").read_text()
    rows = [line.strip("| ").split(" | ") for line in text.splitlines()]
    assert ["mine", "2 of 3", *["4.00 [4.00, 4.00]"] * 4, *["-"] * 4] in rows
    theirs = ["4.05", "4.06", "4.17", "3.92"]
    assert ["wan2.2-animate", "3 of 3", *["2.00 [2.00, 2.00]"] * 4, *theirs] in rows
    assert ["MTVCrafter", *["-"] * 5, "3.71", "3.81", "4.02", "3.53"] in rows
    assert ["mine", "1 of 3", "0.500"] in rows
    assert "(old)" not in text and "not comparable with ours" in text
    assert "no system gone, lines left out: 1" in caplog.text
    assert "videos of mine have been made anew since, lines left out: 1" in caplog.text
    common = all_tables(gather(made.set, made.results).common())[0]
    assert common.rows[0][:2] == ("mine", "2 of 2") and common.rows[1][1] == "2 of 2"


def test_table_2_is_of_systems_that_say_which_row_they_are(tmp_path):
    made = make_results(tmp_path, ("temp-ic", "b"), number=1)
    told = json.loads((made.results / "b/system.json").read_text())
    told["settings"] = {"ablation": "without pose augmentation"}
    (made.results / "b/system.json").write_text(json.dumps(told))
    scores = dict(zip(RATED, (5, 4, 3), strict=True))
    append(
        score_path(made.results, RATINGS_FILE),
        [ScoreLine("b", "case-000", scores, rater=rater) for rater in "xy"],
    )
    table = all_tables(gather(made.set, made.results))[1]
    cells = [f"{score:.2f} ± 0.00" for score in (5, 4, 3)]  # of one case: no interval
    assert table.rows[0] == ("Temp-IC", "temp-ic", "0 of 1", "-", "-", "-", "4.12", "3.98", "4.06")
    assert table.rows[1][:6] == ("w/o pose augmentation", "b", "1 of 1", *cells)


def test_two_systems_of_one_name_are_refused_and_a_page_of_tables_is_html(tmp_path, capsys):
    made = make_results(tmp_path, ("a", "b"), number=1)
    page = tmp_path / "t.html"
    assert main(["aw", "table", str(made.set), str(made.results), "--out", str(page)]) == 0
    assert "<td>1 of 1</td>" in page.read_text() and "http" not in page.read_text()
    (made.results / "b/system.json").write_bytes((made.results / "a/system.json").read_bytes())
    again = ["aw", "table", str(made.set), str(made.results), "--out", str(page), "--overwrite"]
    assert main(again) == 2
    assert "two named a (a and b)" in capsys.readouterr().err
