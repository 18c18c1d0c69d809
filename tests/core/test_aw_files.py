"""AW Bench's files: cases, systems, scores; what cannot be is named with its line."""

import json
import logging
from dataclasses import replace

import pytest

from dreamactor_core.__main__ import main
from dreamactor_core.bench.aw.cases import read_cases, write_cases
from dreamactor_core.bench.aw.scores import ScoreLine, append, read_scores
from dreamactor_core.bench.aw.systems import System, read_systems, settle_system, video_of
from dreamactor_core.errors import InputError

from .aw_sets import case_row, write_rows


def test_a_set_is_read_as_it_was_written(tmp_path):
    rows = [
        case_row(tmp_path, 1, prompt="a red bear dances", driver__address="https://x.org/d.mp4"),
        case_row(tmp_path, 2, driver__kind="animal", driver__region=None, truth="media/t.mp4"),
    ]
    path = write_rows(tmp_path, *rows)
    cases = read_cases(path)
    assert (cases.name, len(cases.cases), cases.folder) == ("tiny", 2, tmp_path)
    assert cases.cases[0].driver.activity == "dance" and cases.cases[0].reference.kind == "cartoon"
    assert cases.cases[1].truth == "media/t.mp4" and cases.cases[1].prompt == ""
    again = write_cases(tmp_path, cases.name, cases.about, cases.cases)
    assert [json.loads(line) for line in again.read_text().splitlines()][1:] == rows
    assert read_cases(tmp_path) == cases
    (tmp_path / "media/d1.mp4").unlink()
    assert cases.lacking(cases.cases[0]) == [cases.cases[0].driver]


@pytest.mark.parametrize(
    "changed, said",
    [
        ({"driver__file": "../x.mp4"}, "line 2: file: got '../x.mp4', need a path inside"),
        ({"driver__file": "C:\\x.mp4"}, "need a path inside"),
        ({"driver__file": "a\\..\\..\\x"}, "need a path inside"),
        ({"truth": "/etc/passwd"}, "line 2: truth: got '/etc/passwd', need a path inside"),
        ({"driver__kind": "robot"}, "line 2: kind: got 'robot', need human or animal"),
        ({"driver__kind": "animal"}, "line 2: region: got 'full', need null"),
        ({"reference__subjects": True}, "line 2: subjects: got True, need a whole number from 1"),
        ({"reference__sha256": "ab"}, "line 2: sha256: got 'ab', need 64 hexadecimal digits"),
        ({"id": "a/b"}, "line 2: id: got 'a/b', need letters"),
        ({"scenarios": "half2full"}, "line 2: scenarios: got 'half2full', need a list of names"),
        ({"driver": 3}, "line 2: driver: got 3, need an object"),
        ({"relation": "all"}, "line 2: relation: got 'all', need one-to-one or one-to-many or"),
    ],
)  # fmt: skip
def test_a_line_that_cannot_be_is_refused_by_its_number(tmp_path, changed, said):
    path = write_rows(tmp_path, case_row(tmp_path, **changed))
    with pytest.raises(InputError) as error:
        read_cases(path)
    assert said in str(error.value)


def test_what_is_no_set_is_refused(tmp_path):
    row = case_row(tmp_path)
    for lines, said in (
        ((row, {**row, "id": "C-1"}), "line 3: got the id C-1 again"),
        ((row, '{"id": '), "line 3: got broken JSON"),
        ((row, "[1]"), "line 3: got no object"),
        ((), "got no case"),
    ):
        with pytest.raises(InputError, match=said):
            read_cases(write_rows(tmp_path, *lines))
    (tmp_path / "cases.jsonl").write_text('{"format": "aw-bench-cases", "version": 2}\n')
    with pytest.raises(InputError, match="line 1: got format 'aw-bench-cases', version 2"):
        read_cases(tmp_path)
    outside = tmp_path / "set" / "media"
    outside.parent.mkdir()
    outside.symlink_to(tmp_path / "media", target_is_directory=True)
    with pytest.raises(InputError, match="need a path inside"):
        read_cases(write_rows(outside.parent, row))


def test_systems_are_found_by_name_and_two_of_one_name_refused(tmp_path):
    case = read_cases(write_rows(tmp_path, case_row(tmp_path))).cases[0]
    results = tmp_path / "results"
    with pytest.raises(InputError, match="got no such folder, need at least one system"):
        read_systems(results)
    mine = System("mini", results / "mini", "run", "mini", {"variant": "end-to-end"})
    assert settle_system(results, mine) == mine == settle_system(results, mine)
    assert video_of(mine, case) is None
    (mine.folder / "c-1.webm").write_bytes(b"video")
    assert video_of(mine, case) == mine.folder / "c-1.webm"
    with pytest.raises(InputError, match="got one of that name that was made otherwise"):
        settle_system(results, replace(mine, settings={}))
    with pytest.raises(InputError, match="not the word scores"):
        settle_system(results, System("scores", results / "scores", "run"))
    other = settle_system(results, System("kling-2.6", results / "kling-2.6", "import"))
    assert read_systems(results) == [other, mine]
    text = (other.folder / "system.json").read_text().replace('"kling-2.6"', '"Mini"')
    (other.folder / "system.json").write_text(text)
    with pytest.raises(InputError, match=r"got two named (mini|Mini) \((mini|kling-2.6) and"):
        read_systems(results)
    (other.folder / "system.json").write_text("{}")
    with pytest.raises(InputError, match="got format None, version None, name None"):
        read_systems(results)


def test_scores_are_added_and_the_last_of_a_key_counts(tmp_path):
    path = tmp_path / "scores" / "judge.jsonl"
    assert read_scores(path) == []
    one = ScoreLine("mini", "c-1", {"imaging_quality": 4}, "ab", judge="j", reasons={"a": "b"})
    two = ScoreLine("mini", "c-2", {"identity": 0.5}, notes=("shorter than the case",))
    pair = ScoreLine("mini", "c-1", rater="r", other="kling", choice="good")
    append(path, [one, two])
    append(path, [pair, replace(one, scores={"imaging_quality": 2})])
    assert read_scores(path) == [two, pair, replace(one, scores={"imaging_quality": 2})]


def test_broken_scores_are_named_and_skipped_and_a_cut_line_makes_room(tmp_path, caplog):
    path = tmp_path / "judge.jsonl"
    good = ScoreLine("mini", "c-1", {"imaging_quality": 4})
    append(path, [good])
    broken = [
        '{"system": "mini", "case": "c-2", "scores": {"imaging_quality": 7}}',
        '{"system": "mini", "scores": {"imaging_quality": 3}}',
        '{"system": "mini", "case": "c-2", "scores": {"imaging_quality": "4"}}',
        '{"system": "mini", "case": "c-2", "scores": [1]}',
        '{"system": "mini", "case": "c-2", "other": "kling"}',
        "prose",
        '{"system": "mini", "case": "c-9", "sco',  # as a kill leaves it
    ]
    with path.open("a") as file:
        file.write("\n".join(broken))
    with caplog.at_level(logging.WARNING):
        assert read_scores(path) == [good]
    assert len(caplog.messages) == 7
    assert "imaging_quality is 7, not 1 to 5" in caplog.messages[0]
    append(path, [replace(good, case="c-3")])
    assert [line.case for line in read_scores(path)] == ["c-1", "c-3"]
    assert "c-9" not in path.read_text()


def test_a_set_is_looked_over_on_the_command_line(tmp_path, capsys):
    write_rows(tmp_path, case_row(tmp_path), case_row(tmp_path, 2, reference__sha256="0" * 64))
    (tmp_path / "media/d1.mp4").unlink()
    assert main(["aw", "check", str(tmp_path)]) == 1
    told = capsys.readouterr().out
    assert "tiny: 2 cases. for tests\ndrivers: 2 (2 human)\nreferences: 2 (2 cartoon)" in told
    assert "media/d1.mp4: missing; it is at drawn by a test" in told
    assert "media/r2.png: not the file that the set means" in told
    assert main(["aw", "check", str(tmp_path / "nowhere")]) == 2
    with pytest.raises(SystemExit):
        main(["aw", "dance"])
    assert "invalid choice: 'dance'" in capsys.readouterr().err
