"""Hosted DreamActor-M2: signed as documented, agreed to, paid once, resumed; no word of a key."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from dreamactor_core.__main__ import main
from dreamactor_core.bench.aw import calls, hosted_videos
from dreamactor_core.bench.aw.cases import read_cases, sha256_of
from dreamactor_core.bench.aw.fetch import fetch_lacking
from dreamactor_core.bench.aw.hosted import sign, signing_key
from dreamactor_core.errors import InputError
from dreamactor_core.media import read_image, write_image, write_video

from .aw_sets import case_row, write_rows
from .clips import grey
from .hosted_server import ACCESS, KEY, SECRET, Hosted

SECONDS = 5 / 8


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    """A set of two cases of five frames, and made.mp4, what the server gives."""
    folder = tmp_path_factory.mktemp("hosted")
    (folder / "media").mkdir()
    write_video(folder / "made.mp4", [grey(90, 64, 64)] * 5, 8)
    for k in (1, 2):
        write_image(folder / f"media/r{k}.png", np.full((60, 90, 3), 99, np.uint8))
        write_video(folder / f"media/d{k}.mp4", [grey(50 * k, 200, 240)] * 5, 8)
    write_rows(folder, *(case_row(folder, k) for k in (1, 2)))
    return folder


@pytest.fixture(autouse=True)
def keys(monkeypatch, tmp_path):
    for name, value in (
        ("FAL_KEY", KEY),
        ("VOLC_ACCESSKEY", ACCESS),
        ("VOLC_SECRETKEY", SECRET),
        ("XDG_CONFIG_HOME", str(tmp_path)),
    ):
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(hosted_videos, "PAUSE", 0.01)
    monkeypatch.setattr(calls, "seconds_to_wait", lambda asked, attempt: float(asked or 0) / 1000)


def hosted(made: Path, out: Path, server: Hosted, service: str = "fal", *more: object) -> int:
    argv = ["aw", "hosted", made, "--service", service, "--out", out, "--address", server.address]
    return main([*map(str, argv), *map(str, more)])


def test_a_signature_is_that_of_the_published_example():
    """AWS's own example of version 4, which Volcengine's differs from in three words alone."""
    secret = b"AWS4wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
    scope = ("20150830", "us-east-1", "iam", "aws4_request")
    key = signing_key(secret, scope)
    assert key.hex() == "c4afb1cc5771d871763a393e44b703571b55cc28424d1a5e86da6ed3c154a4b9"
    canonical = "\n".join(
        [
            "GET",
            "/",
            "Action=ListUsers&Version=2010-05-08",
            "content-type:application/x-www-form-urlencoded; charset=utf-8",
            "host:iam.amazonaws.com",
            "x-amz-date:20150830T123600Z",
            "",
            "content-type;host;x-amz-date",
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        ]
    )
    signature = sign("AWS4-HMAC-SHA256", canonical, "20150830T123600Z", scope, key)
    assert signature == "5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7"


@pytest.mark.parametrize("service", ["fal", "volcengine"])
def test_videos_are_asked_for_once_and_fetched(made, tmp_path, capsys, service):
    with Hosted(made / "made.mp4") as server:
        more = ["--yes", "--media-address", "https://x.org/set"] if service == "volcengine" else []
        assert hosted(made, tmp_path / "r", server, service, *(more or ["--yes"])) == 0
        told = capsys.readouterr()
        system = tmp_path / f"r/dreamactor-m2-{service}"
        for k in (1, 2):
            assert (system / f"c-{k}.mp4").read_bytes() == server.video
        assert server.heard.count("submit") == 2 and "result" not in server.heard[:2]
        body = server.bodies[0]
        if service == "fal":
            assert (
                "fal is to make 2 videos: 1.2 s of video for 0.06 US dollars (0.05 a second)."
                in told.err
            )
            assert body["video_url"].startswith("data:video/mp4;base64,AAAA")
            assert body["image_url"].startswith("data:image/jpeg;base64,")
        else:
            assert "s of video, whose price Volcengine tells in its console alone" in told.err
            assert body["req_key"] == "jimeng_dreamactor_m20_gen_video"
            assert body["video_url"] == "https://x.org/set/media/d1.mp4"
            assert body["cut_result_first_second_switch"] is True
        before = len(server.heard)
        assert hosted(made, tmp_path / "r", server, service) == 0  # nothing is left to agree to
        assert len(server.heard) == before
    text = "".join(p.read_text() for p in system.rglob("*.json")) + told.out + told.err
    assert not any(secret in text for secret in (KEY, SECRET, ACCESS))


def test_nothing_is_sent_before_somebody_agrees(made, tmp_path, capsys):
    with Hosted(made / "made.mp4") as server:
        assert hosted(made, tmp_path / "r", server) == 2
    assert "price: got no agreement, need one, before it is paid" in capsys.readouterr().err
    assert not server.heard and not (tmp_path / "r").exists()


def test_a_busy_service_is_waited_for_and_a_broken_download_goes_on(made, tmp_path, capsys):
    busy = (429, {"Retry-After": "1"}, {"detail": "later"})
    with Hosted(made / "made.mp4", [busy, busy]) as server:
        server.cut_after = 100
        assert hosted(made, tmp_path, server, "fal", "--yes", "--cases", 1) == 1
        assert not list(tmp_path.glob("*/*.mp4"))
        assert "got a broken line (" in capsys.readouterr().out
        assert hosted(made, tmp_path, server, "fal", "--cases", 1) == 0
    assert server.heard[:3] == ["submit"] * 3 and "submit" not in server.heard[3:]
    assert [step for step in server.heard if step.startswith("video")] == ["video 0-", "video 100-"]
    assert (tmp_path / "dreamactor-m2-fal/c-1.mp4").read_bytes() == server.video


@pytest.mark.parametrize(
    "service, answer, said",
    [
        ("fal", (403, {}, {"detail": f"no such key {KEY}"}), "no access (403"),
        ("fal", (200, {}, b"<html>"), "an answer that is not understood (<html>)"),
        ("fal", (200, {}, {"id": 3}), "fal: got no request_id, need one"),
        ("fal", (422, {}, {"detail": "image too small"}), "got no request_id"),
        ("volcengine", (200, {}, {"code": 50411, "message": "risk"}), "a refusal by its moder"),
        ("volcengine", (400, {}, {"code": 50215, "message": "bad input"}), "code 50215 (bad inp"),
    ],
)
def test_what_a_service_says_is_told_in_a_sentence(made, tmp_path, capsys, service, answer, said):
    with Hosted(made / "made.mp4", [answer]) as server:
        more = ["--yes", "--cases", 1, "--media-address", "https://x.org"]
        assert hosted(made, tmp_path, server, service, *more) == 1
    told = capsys.readouterr()
    assert said in told.out and "0 of 1 videos" in told.out
    assert KEY not in told.out + told.err and "Traceback" not in told.err
    assert not list(tmp_path.glob("*/tasks/*.json"))  # it may be asked for again


def test_what_may_have_been_paid_is_never_asked_for_again(made, tmp_path, capsys):
    note = tmp_path / "dreamactor-m2-fal/tasks/c-1.json"
    with Hosted(made / "made.mp4") as server:
        note.parent.mkdir(parents=True)
        note.write_text('{"task": null}')  # as a kill leaves it between the two
        assert hosted(made, tmp_path, server, "fal", "--cases", 1) == 1
        assert "a request that went out and no answer" in capsys.readouterr().out
        assert server.heard == []
        note.write_text('{"task": "t-1"}')
        assert hosted(made, tmp_path, server, "fal", "--cases", 1) == 0
        assert "submit" not in server.heard and "1 of 1 videos" in capsys.readouterr().out


def test_keys_come_from_the_settings_file_too(made, tmp_path, capsys, monkeypatch):
    monkeypatch.delenv("FAL_KEY")
    with Hosted(made / "made.mp4") as server:
        assert hosted(made, tmp_path / "r", server, "fal", "--yes") == 2
        assert "got none, need one in the variable FAL_KEY, or 'key' in" in capsys.readouterr().err
        settings = tmp_path / "keys.json"
        settings.write_text(json.dumps({"fal": {"key": KEY}}))
        argv = ["--yes", "--cases", 1, "--settings", settings]
        assert hosted(made, tmp_path / "r", server, "fal", *argv) == 0
        settings.write_text(f'{{"fal": {KEY}')
        assert hosted(made, tmp_path / "r", server, "fal", *argv) == 2
    assert KEY not in capsys.readouterr().err


def test_pictures_are_brought_into_the_limits(tmp_path):
    write_image(tmp_path / "small.png", np.full((60, 90, 3), 99, np.uint8))
    write_image(tmp_path / "large.png", np.full((1500, 3000, 3), 99, np.uint8))
    for name, size in (("small", (480, 720)), ("large", (960, 1920))):
        (tmp_path / "got.jpg").write_bytes(hosted_videos.picture_for(tmp_path / f"{name}.png"))
        assert read_image(tmp_path / "got.jpg").shape[1:3] == size
    write_video(tmp_path / "d.mp4", [grey(50, 100, 240)] * 2, 8)
    with pytest.raises(InputError, match="got 240 x 100, need MP4, MOV or WebM of 30 s"):
        hosted_videos.check_driver(tmp_path / "d.mp4")


def test_missing_media_are_fetched_and_others_not_kept(made, tmp_path):
    with Hosted(made / "made.mp4") as server:
        rows = [case_row(made, 1), case_row(made, 2)]
        for row, file in zip(rows, ("fetched/a.mp4", "fetched/b.mp4"), strict=True):
            row["driver"] |= {"file": file, "address": f"{server.address}/video.mp4"}
        rows[0]["driver"]["sha256"] = sha256_of(made / "made.mp4")
        told = fetch_lacking(read_cases(write_rows(tmp_path, *rows)))
    assert told["fetched/a.mp4"] == "" and "another file than the" in told["fetched/b.mp4"]
    assert told["media/r1.png"] == "media/r1.png: got no address, need one to fetch it from. " + (
        "Its source is drawn by a test."
    )
    assert [path.name for path in (tmp_path / "fetched").iterdir()] == ["a.mp4"]
