"""The command `joints` and its page: served to this machine alone, until the joints are saved."""

import json
import threading
from contextlib import suppress
from http.client import HTTPConnection
from pathlib import Path

import cv2
import numpy as np
import pytest

from dreamactor_core import __main__ as command_line
from dreamactor_core.cli import joints as command
from dreamactor_core.pose import joints, joints_page
from dreamactor_core.pose.guides import read_guides

BODY = [[0.5, 0.25], [0.5, 0.5], *[None] * 16]
VALUE = json.dumps({"version": 1, "bodies": [BODY], "strokes": [[1, 0.1, 0.1, 0.1]]})
RUBBED_OUT = json.dumps({"version": 1, "bodies": None, "strokes": [[0, 1, 0.5, 0.5]]})


@pytest.fixture(autouse=True)
def nobody_is_found(monkeypatch):
    """Whether or not BlazePose is on this machine."""
    monkeypatch.setattr(joints, "find_person", lambda picture, mask=None: None)


@pytest.fixture
def picture(tmp_path) -> Path:
    image = np.full((100, 60, 3), 230, np.uint8)
    image[10:90, 20:40] = 40
    cv2.imwrite(str(tmp_path / "bar.png"), image)
    return tmp_path / "bar.png"


class Page:
    """What a browser would ask of the address that the command has printed."""

    def __init__(self, address: str):
        self.host, self.token = address.removeprefix("http://").split("/")[:2]

    def ask(self, path: str, text: str | None = None, **headers: str) -> tuple[int, bytes]:
        """path: below the token, or from the root with a leading slash."""
        connection = HTTPConnection(self.host, timeout=30)
        path = path if path.startswith("/") else f"/{self.token}/{path}"
        method, body = ("GET", None) if text is None else ("POST", text.encode())
        connection.request(method, path, body, headers)
        answer = connection.getresponse()
        status, said = answer.status, answer.read()
        connection.close()
        return status, said


@pytest.fixture
def run(monkeypatch):
    """run(arguments, visit): the command; visit(page) plays the artist, who saves VALUE at last."""

    def run(arguments: list, visit) -> int:
        def artist(page: Page) -> None:
            try:
                visit(page)
            except BaseException as error:
                errors.append(error)
            finally:
                with suppress(OSError):  # saved already, and gone
                    page.ask("save", VALUE)

        def browse(address: str) -> bool:
            threads.append(threading.Thread(target=artist, args=(Page(address),)))
            threads[0].start()
            return True

        errors, threads = [], []
        monkeypatch.setattr(command.webbrowser, "open", browse)
        status = command_line.main(["joints", *map(str, arguments)])
        for thread in threads:
            thread.join()
        assert not errors, errors
        return status

    return run


def test_what_is_saved_is_what_animate_reads(run, picture, capsys):
    def visit(page):
        said.append(page.ask("save", VALUE))

    said = []
    output, mask = picture.with_name("bar.json"), picture.with_name("mask.png")
    assert run([picture, "--output", output, "--mask", mask], visit) == 0
    assert said == [(200, b"saved")]
    guides = read_guides(output, mask, 100, 60)
    assert guides.joints[0, :2].tolist() == [[30, 25, 1], [30, 50, 1]]
    assert guides.mask[50, 30] == 1 and guides.mask[50, 5] == 0 and guides.mask[10, 6] == 1
    assert f"saved: {output}, {mask}" in capsys.readouterr().out


def test_the_page_holds_all_that_it_asks_for(run, picture):
    def visit(page):
        found.update({path: page.ask(path) for path in paths})
        found["mask"] = page.ask("mask", VALUE)

    found = {}
    paths = ["", "start", "picture", "scripts/app.js"]
    paths += [f"{joints_page.SCRIPTS}{path.name}" for path in joints_page.scripts()]
    run([picture, "--output", picture.with_name("bar.json")], visit)
    assert {status for status, _ in found.values()} == {200}
    start = json.loads(found["start"][1])
    assert start["notes"] == ["standing"] and len(start["bodies"][0]) == 18
    image = cv2.imdecode(np.frombuffer(found["picture"][1], np.uint8), cv2.IMREAD_COLOR)
    assert np.array_equal(image, cv2.imread(str(picture)))
    mask = cv2.imdecode(np.frombuffer(found["mask"][1], np.uint8), cv2.IMREAD_GRAYSCALE)
    assert mask[50, 30] == 255 and mask[50, 5] == 0
    assert f'"./{joints_page.SCRIPTS}joints_page.js"' in found[""][1].decode()


def test_nobody_else_is_answered(run, picture):
    def visit(page):
        port = page.host.split(":")[1]
        for path, headers in (
            ("/", {}),
            ("/start", {}),
            (f"/{page.token[::-1]}/start", {}),
            ("start", {"Host": f"evil.example:{port}"}),  # its name leads here
            ("start", {"Origin": "http://evil.example"}),
            ("start", {"Origin": "null"}),
        ):
            said.append((path, page.ask(path, **headers)[0]))
        said.append(("save", page.ask("save", VALUE, Origin="http://evil.example")[0]))
        said.append(("/save", page.ask("/save", VALUE)[0]))
        elsewhere.append(output.exists())
        others.append(page.ask("start", Host=f"localhost:{port}")[0])
        others.append(page.ask("../../etc/passwd")[0])
        too_long = {"Content-Length": str(joints_page.LONGEST_VALUE + 1)}
        others.append(page.ask("save", "", **too_long)[0])
        others.append(page.ask("save", VALUE, Origin=f"http://{page.host}")[0])

    said, others, elsewhere = [], [], []
    output = picture.with_name("bar.json")
    assert run([picture, "--output", output], visit) == 0
    assert {status for _, status in said} == {403}, said
    assert others == [200, 404, 413, 200] and elsewhere == [False] and output.exists()


def test_what_cannot_be_used_is_told_on_the_page_which_stays(run, picture):
    def visit(page):
        said.extend([page.ask("save", RUBBED_OUT), page.ask("save", "x"), page.ask("save", VALUE)])

    said = []
    run([picture, "--output", picture.with_name("bar.json")], visit)
    assert [status for status, _ in said] == [400, 400, 200]
    assert b"all black" in said[0][1] and b"not written" in said[1][1]


def test_it_starts_from_keypoints(run, picture):
    def visit(page):
        started.append(json.loads(page.ask("start")[1])["bodies"])

    started = []
    first, second = picture.with_name("first.json"), picture.with_name("second.json")
    run([picture, "--output", first], visit)
    run([picture, "--output", second, "--keypoints", first], visit)
    assert started[1] == [BODY]


def test_ctrl_c_ends_it_and_writes_nothing(run, picture, monkeypatch, capsys):
    def interrupted(address: str, no_browser: bool) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(command, "_open", interrupted)
    output = picture.with_name("bar.json")
    assert command_line.main(["joints", str(picture), "--output", str(output)]) == 130
    assert not output.exists()


def test_without_a_browser_the_address_is_printed(run, picture, monkeypatch, capsys):
    monkeypatch.setattr(command.webbrowser, "open", lambda address: pytest.fail("opened"))
    command._open("http://127.0.0.1:1/x/", no_browser=True)
    assert "open in a browser: http://127.0.0.1:1/x/" in capsys.readouterr().out
    monkeypatch.setattr(command.webbrowser, "open", lambda address: False)  # there is none
    command._open("http://127.0.0.1:1/x/", no_browser=False)
    assert "open in a browser: " in capsys.readouterr().out


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"picture": "no.png"}, "no such file"),
        ({"--output": "bar.txt"}, "Call it bar.json"),
        ({"--mask": "mask.jpg"}, "Call it mask.png"),
        ({"--mask": "bar.png"}, "exists already"),
        ({"--output": "nowhere/bar.json"}, "no folder"),
        ({"--keypoints": "bar.png"}, "keypoint"),
    ],
)
def test_a_wrong_path_is_told_before_a_page_opens(picture, monkeypatch, capsys, changes, word):
    monkeypatch.setattr(command.webbrowser, "open", lambda address: pytest.fail("opened"))
    options = {"picture": "bar.png", "--output": "bar.json"} | changes
    arguments = [str(picture.parent / options.pop("picture"))]
    for name, value in options.items():
        arguments += [name, str(picture.parent / value)]
    assert command_line.main(["joints", *arguments]) == 2
    assert word in capsys.readouterr().err
    assert not picture.with_name("bar.json").exists()
