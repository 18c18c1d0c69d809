"""What the bench reports: figures that can be worked out by hand."""

import json
import math

import pytest

from dreamactor_core.bench.metrics import Share
from dreamactor_core.bench.report import Result, Scored, join, sheet_times


def scored(seed: int, made: float, still: float, psnr: float, *groups: str) -> Scored:
    rows = {"foundation": Share(made, still), "still-reference": Share(still, still)}
    figures = {row: {"relative_error": share, "psnr": psnr} for row, share in rows.items()}
    return Scored(seed, groups, figures)


def test_a_group_whose_shares_have_no_whole_has_none():
    cases = [Scored(7, (), {"still-reference": {"leak": Share(0.0, 0.0)}})]
    assert Result("true", None, cases).table()["variants"] == {"still-reference": {"leak": 0.0}}


def test_a_short_pass_is_shown_from_end_to_end():
    assert sheet_times(16) == (1, 6, 11, 15)
    assert sheet_times(8) == (0, 2, 5, 7)


@pytest.fixture
def result() -> Result:
    """Relative errors: seed 7 (1 + 3) / (2 + 2) = 1, seed 8 1 / 2, seed 9 3 / 4."""
    seven = [scored(7, 1, 2, 0.0), scored(7, 3, 2, 1.0, "cross-species")]
    eight = [scored(8, 1, 2, 0.5, "cross-species"), scored(8, 9, 1, 0.9, "glb-bodies")]
    nine = [scored(9, 3, 4, 0.2)]
    return join([Result("true", None, cases) for cases in (seven, eight, nine)])


def test_error_bars_are_over_the_figures_of_each_seed(result):
    table = json.loads(json.dumps(result.table()))
    assert (table["seed"], table["seeds"], table["cases"]) == (7, [7, 8, 9], 4)
    made, spread = table["variants"]["foundation"], table["deviations"]["foundation"]
    assert made == pytest.approx({"relative_error": (1 + 0.5 + 0.75) / 3, "psnr": 0.4})
    assert spread["relative_error"] == pytest.approx(0.25)  # sqrt((0.25^2 + 0.25^2 + 0) / 2)
    assert spread["psnr"] == pytest.approx(math.sqrt(0.03))  # sqrt((0.1^2 + 0.1^2 + 0.2^2) / 2)
    assert table["variants"]["still-reference"]["relative_error"] == 1
    assert table["deviations"]["still-reference"]["relative_error"] == 0


def test_groups_have_the_same_figures_and_empty_ones_are_left_out(result):
    groups = result.table()["groups"]
    assert groups.keys() == {"cross-species", "glb-bodies"}
    crossed, bodies = groups["cross-species"], groups["glb-bodies"]
    assert crossed["cases"] == 2
    assert crossed["variants"]["foundation"]["relative_error"] == (1.5 + 0.5) / 2
    assert crossed["deviations"]["foundation"]["relative_error"] == pytest.approx(math.sqrt(0.5))
    assert bodies["variants"]["foundation"] == {"relative_error": 9, "psnr": 0.9}
    assert "deviations" not in bodies  # one seed alone has such cases


def test_the_lines_are_the_table(result):
    lines = result.lines()
    assert lines[0] == "all, cases: 4"
    assert lines[1].split() == ["relative_error", "psnr"]
    assert lines[2].split() == ["foundation", "0.750", "±", "0.250", "0.400", "±", "0.173"]
    assert lines[5] == "cross-species, cases: 2"
    names, figures = lines[-3:-1]
    assert names.split() == ["relative_error", "psnr"]
    assert figures.split() == ["foundation", "9.000", "0.900"]
    for name, figure in (("relative_error", "9.000"), ("psnr", "0.900")):  # one below the other
        assert names.index(name) + len(name) == figures.index(figure) + len(figure)
