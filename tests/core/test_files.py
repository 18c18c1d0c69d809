"""Files that are whole or absent, whoever else writes there and whatever ends the process."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from PIL import Image

from dreamactor_core.errors import InputError
from dreamactor_core.media import check_writable, probe, replacing, together, write_video
from dreamactor_core.media.replace import make_folder, sweep

from .field_clips import encoded, grey_frames, names

POSIX = pytest.mark.skipif(os.name == "nt", reason="signals, links and locks of POSIX")


def test_a_name_that_another_job_took_in_the_meantime_is_not_overwritten(tmp_path):
    path = tmp_path / "out.txt"
    with (
        pytest.raises(InputError, match=r"another job wrote.*kept as out-2\.txt"),
        replacing(path) as part,
    ):
        part.write_text("mine")
        path.write_text("theirs")
    assert path.read_text() == "theirs" and (tmp_path / "out-2.txt").read_text() == "mine"
    assert names(tmp_path) == ["out-2.txt", "out.txt"]
    with replacing(path, overwrite=True) as part:
        part.write_text("new")
    assert path.read_text() == "new"


@POSIX
def test_a_link_is_written_through(tmp_path):
    (tmp_path / "disk").mkdir()
    real, link = tmp_path / "disk" / "real.txt", tmp_path / "link.txt"
    real.write_text("old")
    link.symlink_to(real)
    with pytest.raises(InputError, match="exists already"), replacing(link):
        pass
    with replacing(link, overwrite=True) as part:
        assert part.parent == real.parent  # beside the file itself: a rename works there
        part.write_text("new")
    assert link.is_symlink() and real.read_text() == "new"
    real.unlink()
    with replacing(link) as part:  # to nothing yet
        part.write_text("first")
    assert link.is_symlink() and real.read_text() == "first"
    assert names(tmp_path / "disk") == ["real.txt"]


def test_names_of_255_bytes_are_names(tmp_path):
    path = tmp_path / ("é" * 125 + ".mp4")  # 254 bytes
    check_writable(path)
    write_video(path, grey_frames(2), 8)
    assert probe(path).num_frames == 2
    with (
        pytest.raises(InputError, match="kept as"),
        replacing(tmp_path / ("x" * 251 + ".txt")) as part,
    ):
        part.write_text("mine")
        (tmp_path / ("x" * 251 + ".txt")).write_text("theirs")
    with pytest.raises(InputError, match="while writing"), replacing(tmp_path / ("x" * 300)):
        pass


WRITER = """
import sys, time
from pathlib import Path
from dreamactor_core.media import replacing
with replacing(Path(sys.argv[1])) as part:
    part.write_text("half")
    print(part.name, flush=True)
    time.sleep(60)
"""


@POSIX
def test_what_a_killed_job_left_is_swept_by_the_next_and_a_living_one_is_not(tmp_path):
    jobs = [
        subprocess.Popen(
            [sys.executable, "-c", WRITER, str(tmp_path / name)], stdout=subprocess.PIPE
        )
        for name in ("killed.txt", "living.txt")
    ]
    try:
        killed, living = (job.stdout.readline().decode().strip() for job in jobs)
        assert names(tmp_path) == sorted([killed, living])
        jobs[0].kill()
        jobs[0].wait()
        old = tmp_path / ".older-0123abcd.part.mp4"  # of an earlier version, which held no lock
        old.write_text("half")
        (tmp_path / ".mine.part.txt").write_text("no part of ours")
        with replacing(tmp_path / "next.txt") as part:
            part.write_text("whole")
            with replacing(tmp_path / "another.txt") as other:  # does not sweep what is open here
                other.write_text("whole")
        assert names(tmp_path) == sorted([".mine.part.txt", living, "another.txt", "next.txt"])
    finally:
        for job in jobs:
            job.kill()
            job.wait()


def test_a_part_that_is_swept_before_it_is_locked_is_made_again(tmp_path, monkeypatch):
    """Another process may sweep the folder at that very moment."""
    touch, swept = Path.touch, []

    def touch_and_lose(path):
        touch(path)
        if not swept:
            swept.append(path)
            sweep(tmp_path)
            assert not path.exists()

    monkeypatch.setattr(Path, "touch", touch_and_lose)
    with replacing(tmp_path / "a.txt") as part:
        part.write_text("whole")
    assert swept and (tmp_path / "a.txt").read_text() == "whole"


def test_files_that_belong_together_appear_together(tmp_path):
    video, report = tmp_path / "a.mp4", tmp_path / "a.json"
    with together([video, report]) as (part, text):
        write_video(part, grey_frames(2), 8, overwrite=True)
        text.write_text("{}")
        assert not video.exists() and not report.exists()
    assert names(tmp_path) == ["a.json", "a.mp4"] and probe(video).num_frames == 2
    video.unlink()
    report.unlink()
    with pytest.raises(KeyboardInterrupt), together([video, report]) as (part, text):
        write_video(part, grey_frames(2), 8, overwrite=True)
        raise KeyboardInterrupt
    assert names(tmp_path) == []
    with pytest.raises(InputError, match="another job"), together([video, report]) as (part, text):
        part.write_text("video")
        text.write_text("{}")
        report.write_text("theirs")
    assert "a.mp4" not in names(tmp_path) and report.read_text() == "theirs"
    with (
        pytest.raises(InputError, match="no folder"),
        together([video, tmp_path / "no" / "a.json"]),
    ):
        pass


ANIMATE = [sys.executable, "-m", "dreamactor_core", "animate"]


@POSIX
@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGTERM] if os.name != "nt" else [])
def test_a_closed_terminal_leaves_nothing_behind(tmp_path, number):
    clip = encoded(tmp_path / "d.mkv", grey_frames(160, 64, 64))
    Image.new("RGB", (64, 64)).save(tmp_path / "r.png")
    (tmp_path / "out").mkdir()
    files = [
        "--reference",
        tmp_path / "r.png",
        "--driving",
        clip,
        "--output",
        tmp_path / "out/o.mp4",
    ]
    report = ["--json", tmp_path / "out/o.json"]
    job = subprocess.Popen([*ANIMATE, *map(str, files + report)], stderr=subprocess.PIPE)
    try:
        end = time.monotonic() + 120
        while not names(tmp_path / "out") and job.poll() is None and time.monotonic() < end:
            time.sleep(0.05)
        assert names(tmp_path / "out")  # it has begun to write
        job.send_signal(number)
        assert job.wait(60) == 130, job.stderr.read()
        assert names(tmp_path / "out") == []
    finally:
        job.kill()
        job.wait()


CUT_SHORT = """
import sys
from dreamactor_core.media import check_writable, replacing, together
from dreamactor_core.media.replace import Path

touch = Path.touch

def touch_and_stop(path):
    touch(path)
    raise KeyboardInterrupt

kept, Path.unlink = Path.unlink, lambda *a, **b: stop()

def stop():
    Path.unlink = kept
    raise KeyboardInterrupt

path = Path(sys.argv[2])
if sys.argv[1] == "claim":
    Path.unlink, Path.touch = kept, touch_and_stop
    with replacing(path):
        pass
elif sys.argv[1] == "trial":
    check_writable(path)
else:
    with together([path]):
        raise ValueError
"""


@pytest.mark.parametrize("where", ["claim", "trial", "clean-up"])
def test_a_stop_between_two_lines_of_the_clean_up_leaves_nothing(tmp_path, where):
    script = [sys.executable, "-c", CUT_SHORT, where, str(tmp_path / "a.txt")]
    result = subprocess.run(script, capture_output=True, check=False, cwd=Path(__file__).parents[2])
    assert result.stderr.rstrip().endswith(b"KeyboardInterrupt")
    assert names(tmp_path) == []


@POSIX
@pytest.mark.slow
@pytest.mark.parametrize("end", ["| true", ">&-"])
def test_a_closed_standard_output_is_no_error(tmp_path, end):
    clip = encoded(tmp_path / "d.mkv", grey_frames(4, 64, 64))
    Image.new("RGB", (64, 64)).save(tmp_path / "r.png")
    command = f"{' '.join(ANIMATE)} --reference {tmp_path}/r.png --driving {clip} "
    command += f"--output {tmp_path}/o.mp4 {end}"
    result = subprocess.run(["bash", "-c", f"set -o pipefail; {command}"], capture_output=True,
                            check=False, cwd=Path(__file__).parents[2])  # fmt: skip
    assert result.returncode == 0, result.stderr
    assert b"Traceback" not in result.stderr and b"Exception" not in result.stderr
    assert probe(tmp_path / "o.mp4").num_frames == 4


@POSIX
def test_a_reader_who_goes_away_is_no_error():
    command = f"{sys.executable} -m dreamactor_core --help | head -c 1"
    result = subprocess.run(["bash", "-c", f"set -o pipefail; {command}"], capture_output=True,
                            check=False, cwd=Path(__file__).parents[2])  # fmt: skip
    assert result.stderr == b""


def test_a_folder_below_a_file_is_refused_in_words(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=r"got a file at .*file, need a folder"):
        make_folder(tmp_path / "file" / "below")


@POSIX
def test_a_pipe_is_refused_and_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "a.mp4")
    for path in (tmp_path / "a.mp4", "/dev/zero"):
        with pytest.raises(InputError, match="got a pipe or a device, which is read once at most"):
            probe(path)
    with pytest.raises(InputError, match="got a pipe or a device, need a file name"):
        check_writable(tmp_path / "a.mp4", overwrite=True)
    with pytest.raises(InputError, match=r"'a\\x00b': got embedded null byte"):
        probe("a\0b")


def test_a_name_gives_no_commands_to_the_terminal():
    error = InputError("a\x1b[31m\x07\x9b.png", got="é\n", need="b", fix="c")
    assert str(error) == "a\\x1b[31m\\x07\\x9b.png: got é\n, need b. c"
