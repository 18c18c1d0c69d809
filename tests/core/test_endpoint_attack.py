"""A caption server that drips, floods, or answers what nobody expects; folders that bring code."""

from __future__ import annotations

import json
import socket
import threading
import time

import pytest

from dreamactor_core.caption.endpoint import EndpointCaptioner, printable
from dreamactor_core.caption.local import load_captioner
from dreamactor_core.errors import InputError
from dreamactor_core.pose.models import load_pose_models

from .test_caption import GOOD, captioner_at, failure, server  # noqa: F401 - a fixture


@pytest.fixture
def raw():
    """A server that says with each connection what the test gives it: pieces and pauses."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        stop = threading.Event()

        def serve(pieces):
            def work():
                connection, _ = listener.accept()
                with connection:
                    connection.recv(1 << 16)
                    for piece in pieces:
                        if stop.is_set():
                            return
                        try:
                            connection.sendall(piece)
                        except OSError:
                            return
                        time.sleep(0.02)

            threading.Thread(target=work, daemon=True).start()
            return f"http://127.0.0.1:{listener.getsockname()[1]}/v1"

        yield serve
        stop.set()


def ask(url, timeout=1.0):
    return EndpointCaptioner(url, "m", None, timeout).ask("What?", [], 50)


def endless(first: bytes, again: bytes):
    yield first
    while True:
        yield again


@pytest.mark.parametrize(
    ("first", "again"),
    [
        (b"HTTP/1.1 200 OK\r\n", b"X"),  # a header without end, byte by byte
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 99999\r\n\r\n", b" "),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\n \r\n"),
    ],
    ids=["headers", "continue", "body", "chunks"],
)
def test_an_answer_that_drips_ends_at_the_time_out(raw, first, again):
    began = time.monotonic()
    with pytest.raises(InputError, match=r"no answer within 1 s|no connection"):
        ask(raw(endless(first, again)))
    assert time.monotonic() - began < 4


@pytest.mark.parametrize(
    "content", [7, {"a": 1}, True, [1, 2], [{"text": 7}], 1.5, [["a"]], [{"text": None}]]
)
def test_content_of_another_type_is_refused(server, content):  # noqa: F811
    answer = {"choices": [{"message": {"content": content}}]}
    assert "an answer that is not understood" in failure(server, (200, {}, answer))


@pytest.mark.parametrize(
    "body",
    [b"[" * 200_000, b'{"choices":' * 50_000, b"9" * 100_000, b"\xff\xfe", b"[]", b"null",
     b'{"choices": 7}', b'{"choices": [null]}', b'{"choices": [{"message": []}]}'],
)  # fmt: skip
def test_json_that_is_deep_or_of_another_form_is_refused(server, body):  # noqa: F811
    assert "an answer that is not understood" in failure(server, (200, {}, body))


@pytest.mark.parametrize(
    "asked", ["nan", "inf", "-5", "1e999", "soon", "Wed, 21 Oct 2026 07:28:00"]
)
def test_a_wait_that_is_no_number_is_a_wait_of_ours(server, asked):  # noqa: F811
    began = time.monotonic()
    busy = (429, {"Retry-After": asked}, {})
    text = failure(server, busy, busy, busy, timeout=1.5)
    assert "'too busy'" in text and time.monotonic() - began < 3


def test_captions_hold_nothing_that_a_terminal_obeys(server):  # noqa: F811
    content = "\x1b[2J\x1b]0;mine\x07A fox\u202e bows.\nIt \ud800 waves.\x00"
    server.script[:] = [
        (200, {}, json.dumps({"choices": [{"message": {"content": content}}]}).encode())
    ]
    text = captioner_at(server).ask("What?", [], 50)
    assert text.encode("utf-8").decode().isprintable() is False  # the line end alone
    assert text.replace("\n", "").isprintable() and "\x1b" not in text and "A fox" in text
    error = failure(server, (500, {}, b"\x1b[31mred\x07"))
    assert error.isprintable()
    assert printable("a\tb\nc", "\n") == "a b\nc"


def test_a_time_out_is_a_number_of_seconds_in_a_day():
    for timeout in (0, -1, float("nan"), float("inf"), 1e9):
        with pytest.raises(InputError, match="time-out"):
            EndpointCaptioner("http://localhost/v1", "m", None, timeout)


def test_a_good_answer_is_still_one(server):  # noqa: F811
    server.script[:] = [(200, {}, GOOD)]
    assert captioner_at(server).ask("What?", [], 50)


def test_a_folders_own_code_is_never_run(tmp_path, monkeypatch):
    ran = tmp_path / "ran"
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "evil.py").write_text(
        f"open({str(ran)!r}, 'w')\n"
        "from transformers import PretrainedConfig\nclass Config(PretrainedConfig):\n"
        "    model_type = 'evil'\n"
    )
    names = ("AutoConfig", "AutoModelForImageTextToText", "AutoModelForObjectDetection")
    told = {"model_type": "evil", "auto_map": dict.fromkeys(names, "evil.Config")}
    (folder / "config.json").write_text(json.dumps(told))
    monkeypatch.setattr("builtins.input", lambda *_: "y")
    with pytest.raises(InputError, match="code of its own, which is never run"):
        load_captioner(folder, device="cpu")
    with pytest.raises(InputError, match="code of its own, which is never run"):
        load_pose_models(folder, folder, device="cpu")
    assert not ran.exists()
