"""What is said of packages that are too old, with installed ones made up on the path."""

import os
import re
import subprocess
import sys
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import pytest

from dreamactor_core import versions
from dreamactor_core.errors import InputError
from dreamactor_core.versions import OLDEST, check_versions, log_old_versions, require

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def install(tmp_path, monkeypatch):
    """install("diffusers", "0.30.0") makes this version the one that Python finds."""
    monkeypatch.syspath_prepend(tmp_path)

    def put(name: str, version: str) -> Path:
        folder = tmp_path / f"{name.replace('-', '_')}-{version}.dist-info"
        folder.mkdir()
        text = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
        (folder / "METADATA").write_text(text)
        return tmp_path

    return put


def test_what_is_installed_here_is_new_enough():
    check_versions()


def test_each_package_that_is_too_old_is_named_with_what_is_needed(install):
    install("diffusers", "0.36.0")
    install("peft", "0.9")
    with pytest.raises(InputError) as refused:
        check_versions()
    assert str(refused.value) == (
        "installed packages: got peft 0.9, diffusers 0.36.0, need peft 0.17, diffusers 0.37 or "
        'later. Upgrade: pip install "peft>=0.17" "diffusers>=0.37"'
    )


@pytest.mark.parametrize(
    "found", ["4.57.1", "4.57.1.post2", "4.100", "5.0.0rc1", "5.23.0.dev0+cpu", "4.58"]
)
def test_the_bound_itself_and_later_ones_pass(install, found):
    install("transformers", found)
    check_versions()


@pytest.mark.parametrize("found", ["4.57.0", "4.9.9", "4.57", "3.99"])
def test_versions_are_compared_as_numbers(install, found):
    install("transformers", found)
    with pytest.raises(InputError, match=f"got transformers {re.escape(found)}, need"):
        check_versions()


def test_no_bound_forces_numpy_or_transformers_up_by_a_major_version():
    assert OLDEST["numpy"].startswith("1.26") and OLDEST["transformers"].startswith("4.")


def test_the_bounds_are_the_declared_ones():
    lines = (ROOT / "requirements.txt").read_text().splitlines()
    assert lines == [f"{name}>={oldest}" for name, oldest in OLDEST.items()]


def test_one_purpose_may_need_more(install):
    require("diffusers", "0.37", "Wan-Animate-2")
    install("diffusers", "0.38.1")
    with pytest.raises(InputError) as refused:
        require("diffusers", "0.40", "Wan-Animate-2")
    assert str(refused.value) == (
        "Wan-Animate-2: got diffusers 0.38.1, need diffusers 0.40 or later. "
        'Upgrade: pip install "diffusers>=0.40"'
    )


def test_the_log_says_it_in_one_line(install, caplog):
    log_old_versions()
    assert caplog.messages == []
    install("av", "12.3.0")
    log_old_versions()
    assert caplog.messages == [
        "DreamActor-M2: installed packages: got av 12.3.0, need av 16.0 or later. "
        'Upgrade: pip install "av>=16.0"'
    ]


def test_the_command_line_ends_with_2_and_one_sentence(install):
    path = install("av", "12.3.0")
    ended = subprocess.run(
        [sys.executable, "-m", "dreamactor_core", "animate", "--reference", "no.png"],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(path)},
        capture_output=True,
        text=True,
    )
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr.startswith("installed packages: got av 12.3.0, need av 16.0 or later.")
    assert ended.stderr.count("\n") == 1


def test_opencv_counts_under_any_of_its_names(monkeypatch):
    """Artists often have the one without windows, or the one with everything."""

    def installed(name: str) -> str:
        if name == "opencv-python-headless":
            return "4.9.0"
        raise PackageNotFoundError(name)

    monkeypatch.setattr(versions, "version", installed)
    with pytest.raises(InputError) as refused:
        check_versions()
    assert str(refused.value) == (
        "installed packages: got opencv-python 4.9.0, need opencv-python 4.10 or later. "
        'Upgrade: pip install "opencv-python-headless>=4.10"'
    )
