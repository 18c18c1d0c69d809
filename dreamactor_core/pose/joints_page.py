"""The joints of a picture as a page in the browser of this machine, until they are saved.

Served to this machine alone, below a path that nobody can guess, so that no other page and no other
user can read the picture or save in the artist's place:

    /TOKEN/                 the page
    /TOKEN/extensions/...   the scripts of the node's widget, as ComfyUI serves them
    /TOKEN/scripts/app.js   what these ask of ComfyUI: the language
    /TOKEN/start            bodies and notes, JSON; /TOKEN/picture a PNG
    /TOKEN/mask             takes the value of the widget, gives what its strokes lie over, PNG
    /TOKEN/save             takes the value; the answer is why it cannot be used
"""

from __future__ import annotations

import json
import secrets
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.metadata import PackageNotFoundError, files
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from ..errors import InputError
from .joints import Start, as_value, mask_of, read_edits

THIS_MACHINE = "127.0.0.1"
SCRIPTS = "extensions/dreamactor/shared/"  # as deep below the page as in ComfyUI
LONGEST_VALUE = 4 << 20  # bytes
PACKAGE = "dreamactor-m2"
SCRIPT, HTML, PNG, TEXT = (
    *("text/javascript; charset=utf-8", "text/html; charset=utf-8", "image/png"),
    "text/plain; charset=utf-8",
)
APP = """const language = navigator.language.slice(0, 2);
export const app = { extensionManager: { setting: { get: () => language } } };
"""
PAGE = """<!doctype html>
<meta charset="utf-8">
<title>DreamActor Joints</title>
<style>
  html, body { height: 100%; margin: 0; background: #1e1e22; color: #ddd; }
  body { display: flex; flex-direction: column; font: 14px/1.4 system-ui, sans-serif; }
  header { display: flex; justify-content: flex-end; align-items: center; gap: 14px;
    padding: 8px 12px; }
  header button { font: inherit; padding: 5px 22px; border: 0; border-radius: 8px;
    color: #fff; background: #0b6fd0; cursor: pointer; }
  header button:disabled { opacity: .5; cursor: default; }
  .dreamactor { flex: 1 1 0; min-height: 0; padding: 0 12px 12px; }
</style>
<body><script type="module">
  import { openPage } from "./extensions/dreamactor/shared/joints_page.js";
  openPage();
</script>
"""


class Answer(NamedTuple):
    kind: str  # content type
    body: bytes


class JointsServer(ThreadingHTTPServer):
    """answers: by the path below the token. mask, save: called with the widget's value."""

    daemon_threads = True

    def __init__(
        self,
        answers: dict[str, Answer],
        mask: Callable[[str], np.ndarray],
        save: Callable[[str], None],
    ):
        super().__init__((THIS_MACHINE, 0), _Handler)
        self.answers, self.mask, self.save = answers, mask, save
        self.token = secrets.token_urlsafe(24)
        self.saved = threading.Event()

    @property
    def address(self) -> str:
        return f"http://{THIS_MACHINE}:{self.server_port}/{self.token}/"


def serve_joints(
    image: np.ndarray, start: Start, save: Callable[[str], None], opened: Callable[[str], None]
) -> None:
    """Serve the page of a picture (h, w, 3) uint8 until its joints are saved.

    save: called with the value of the widget; an InputError of it is told on the page, which stays.
    opened: called with the address. Ctrl-C ends it, as everything.
    """

    def mask(text: str) -> np.ndarray:
        return mask_of(image, start, read_edits(text))

    with JointsServer(_answers(image, start), mask, save) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            opened(server.address)
            while not server.saved.wait(0.2):  # Windows hears no Ctrl-C in a wait without an end
                pass
        finally:
            server.shutdown()


def _answers(image: np.ndarray, start: Start) -> dict[str, Answer]:
    told = json.dumps({"bodies": as_value(start.bodies), "notes": start.notes})
    answers = {
        "": Answer(HTML, PAGE.encode()),
        "scripts/app.js": Answer(SCRIPT, APP.encode()),
        "start": Answer("application/json", told.encode()),
        "picture": Answer(PNG, _png(image[..., ::-1])),
    }
    for path in scripts():
        answers[SCRIPTS + path.name] = Answer(SCRIPT, path.read_bytes())
    return answers


def _png(pixels: np.ndarray) -> bytes:
    written, encoded = cv2.imencode(".png", pixels)
    assert written
    return encoded.tobytes()


def scripts() -> list[Path]:
    """Of the widget: in the pack's folder, or where pip has put them. Raises InputError."""
    found = sorted((Path(__file__).parents[2] / "js" / "shared").glob("*.js"))
    if not found:
        try:
            listed = files(PACKAGE) or []
        except PackageNotFoundError:
            listed = []
        found = [Path(str(one.locate())) for one in listed if one.match("js/shared/*.js")]
    if not found:
        raise InputError(
            "page of the joints",
            got="an installation without its scripts",
            need="the folder js of the pack",
            fix="Run the command in a clone of the pack.",
        )
    return found


class _Handler(BaseHTTPRequestHandler):
    server: JointsServer

    def do_GET(self) -> None:
        path = self._allowed()
        if path is None:
            return
        answer = self.server.answers.get(path)
        if answer is None:
            self._say(404, "no such file")
        else:
            self._send(200, answer)

    def do_POST(self) -> None:
        path = self._allowed()
        if path is None:
            return
        length = self.headers.get("Content-Length", "")
        if path not in ("mask", "save") or not length.isdecimal():
            return self._say(404, "no such place")
        if int(length) > LONGEST_VALUE:
            return self._say(413, "the value is too long")
        try:
            text = self.rfile.read(int(length)).decode()
            if path == "mask":
                mask = (self.server.mask(text) * 255).round().astype(np.uint8)
                return self._send(200, Answer(PNG, _png(mask)))
            self.server.save(text)
        except (InputError, UnicodeDecodeError) as error:
            return self._say(400, str(error))
        self._say(200, "saved")
        self.server.saved.set()

    def _allowed(self) -> str | None:
        """The path below the token. A name in Host that is not this machine's was put there by a
        page of somebody else's that has its own name point here.
        """
        hosts = {f"{name}:{self.server.server_port}" for name in (THIS_MACHINE, "localhost")}
        origin = self.headers.get("Origin")
        _, token, *below = (*self.path.split("/", 2), "")[:3]
        known = self.headers.get("Host") in hosts and secrets.compare_digest(
            token.encode(), self.server.token.encode()
        )
        if not known or (origin is not None and origin.removeprefix("http://") not in hosts):
            self._say(403, "the address is that which the command has printed")
            return None
        return below[0]

    def _say(self, status: int, text: str) -> None:
        self._send(status, Answer(TEXT, text.encode()))

    def _send(self, status: int, answer: Answer) -> None:
        self.send_response(status)
        for name, value in (
            ("Content-Type", answer.kind),
            ("Content-Length", str(len(answer.body))),
            ("Cache-Control", "no-store"),
            ("Referrer-Policy", "no-referrer"),
            ("X-Content-Type-Options", "nosniff"),
            ("X-Frame-Options", "DENY"),
        ):
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(answer.body)

    def log_message(self, *_: object) -> None:
        """Nothing: the terminal is the artist's."""
