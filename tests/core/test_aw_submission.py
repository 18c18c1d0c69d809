"""Submissions to AW Bench: packed, looked over, taken over, and refused."""

from __future__ import annotations

import json
import zipfile
from shutil import copytree

import pytest

from dreamactor_core.__main__ import main
from dreamactor_core.bench.aw.submission import check_submission
from dreamactor_core.bench.aw.systems import read_systems

from .aw_results import make_results


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("submission")
    (folder / "made.txt").write_text("By hand, frame for frame.")
    return make_results(folder, ("mine",), missing=[("mine", "case-002")])


@pytest.fixture(scope="module")
def packed(made):
    """A folder of the submission's files."""
    out = made.results.parent / "packed"
    assert pack(made, out) == 0
    return out


def pack(made, out, *more) -> int:
    statement = str(made.results.parent / "made.txt")
    start = ["aw", "submit", "pack", str(made.set), str(made.results / "mine"), "--out", str(out)]
    return main([*start, "--license", "CC-BY-4.0", "--statement", statement, *more])


def check(made, path, *more) -> int:
    return main(["aw", "submit", "check", str(made.set), str(path), *more])


def test_a_zip_is_packed_checked_and_taken_over(made, tmp_path, capsys):
    path = tmp_path / "mine.zip"
    assert pack(made, path) == 0
    assert "mine, videos of 2 of 3 cases" in capsys.readouterr().out
    with zipfile.ZipFile(path) as archive:
        videos = {"case-000.mp4", "case-001.mp4"}
        assert {*archive.namelist()} == {"submission.json", "system.json", *videos}
    assert check(made, path, "--into", str(tmp_path / "others")) == 0
    assert "no video of 1 cases: case-002" in capsys.readouterr().out
    (system,) = read_systems(tmp_path / "others")
    for name in videos:
        ours = (made.results / "mine" / name).read_bytes()
        assert (system.folder / name).read_bytes() == ours
    assert check(made, path, "--into", str(tmp_path / "others")) == 2
    assert "a system mine already" in capsys.readouterr().err


def change_told(folder, **changed):
    path = folder / "submission.json"
    told = json.loads(path.read_text())
    path.write_text(json.dumps(told | changed))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda f: (f / "case-000.mp4").write_bytes(b"x"), "case-000: case-000.mp4 is not the"),
        (lambda f: (f / "case-001.mp4").unlink(), "case-001: case-001.mp4 is not there"),
        (lambda f: (f / "virus.exe").write_bytes(b"x"), "does not name: virus.exe"),
        (lambda f: (f / "system.json").unlink(), "no system.json"),
        (lambda f: (f / "submission.json").write_text("{"), "broken JSON"),
        (lambda f: change_told(f, license=" "), "no license: say under which"),
        (lambda f: change_told(f, statement=None), "no statement: say how they were made"),
        (lambda f: change_told(f, set={"name": "x"}), "for another set than this 'small': 'x'"),
        (lambda f: change_told(f, system="other"), "system is 'other', and 'mine' in system.json"),
        (lambda f: change_told(f, videos={}), "no video of any case"),
        (lambda f: change_told(f, videos={"nobody": {}}), "nobody: the set has no such case"),
        (
            lambda f: change_told(f, videos={"case-000": {"file": "../case-000.mp4"}}),
            "its file is called '../case-000.mp4', not case-000.mp4",
        ),
        (lambda f: change_told(f, videos=[1]), "with set and videos"),
    ],
)
def test_what_is_wrong_with_a_submission_is_said(change, said, made, packed, tmp_path):
    copytree(packed, tmp_path / "changed")
    change(tmp_path / "changed")
    assert any(
        said in problem for problem in check_submission(made.set, tmp_path / "changed").problems
    )


def test_a_zip_cannot_write_elsewhere_and_a_file_that_is_none_is_refused(made, tmp_path, capsys):
    path = tmp_path / "evil.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("../evil.txt", "x")
        archive.writestr("a.mp4", "x")
        archive.writestr("A.mp4", "x")
    assert check(made, path) == 1
    out, err = capsys.readouterr()
    assert "'../evil.txt' lies in another folder" in err and "'A.mp4' is there twice" in err
    assert "not accepted, 2 problems" in out and not (tmp_path / "evil.txt").exists()
    path.write_bytes(b"no ZIP")
    assert check(made, path) == 2
    assert "no ZIP that can be read" in capsys.readouterr().err


def test_nothing_is_packed_that_would_be_refused(made, tmp_path, capsys):
    copytree(made.results / "mine", tmp_path / "results/mine")
    (tmp_path / "results/mine/case-000.mp4").write_bytes(b"no video")
    command = ["aw", "submit", "pack", str(made.set), str(tmp_path / "results/mine")]
    command += ["--out", str(tmp_path / "x.zip"), "--license", "CC0-1.0"]
    assert main([*command, "--statement", str(made.results.parent / "made.txt")]) == 2
    assert "case-000" in capsys.readouterr().err and not (tmp_path / "x.zip").exists()
