"""A real ComfyUI server with this pack in custom_nodes, as a client sees it: HTTP and websocket.

Standard library only (and psutil, which peft brings), so that the tests' Python and ComfyUI's may
be two different ones.
"""

from __future__ import annotations

import base64
import json
import os
import socket
import struct
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple
from urllib.error import HTTPError, URLError
from urllib.parse import urlencode
from urllib.request import Request, urlopen

import psutil

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = ("custom_nodes", "input", "output", "temp", "models", "user")
PACK = "ComfyUI-DreamActor-M2"
STARTED_IN, DONE_IN = 900, 900  # seconds; a first start on a busy machine is slow
# One thread each, for the order of sums changes with their number, and with it the last bit.
ALIKE = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1", "FAL_KEY": "no-key"}
OVER = {"execution_success", "execution_error", "execution_interrupted"}


class Outcome(NamedTuple):
    """What the websocket told of one prompt."""

    kind: str  # execution_success, execution_error or execution_interrupted
    last: dict  # data of that message
    ran: list[str]  # ids of the nodes that were executed, in order
    cached: set[str]  # ids of the nodes whose earlier result was taken
    outputs: dict[str, dict]  # node id: what it shows in the browser


class RefusedError(Exception):
    """The server did not take the prompt. Carries its answer, as JSON gives it."""


class Server:
    """One client of a running server."""

    def __init__(self, url: str, process: subprocess.Popen, base: Path, log: Path):
        self.url, self.process, self.base, self.log = url, process, base, log
        self.client_id = uuid.uuid4().hex
        host, port = url.removeprefix("http://").split(":")
        self.messages = _messages(host, int(port), f"/ws?clientId={self.client_id}")
        next(self.messages)  # connected: the server's first message is its status

    def get(self, path: str, **query: str) -> bytes:
        with urlopen(f"{self.url}{path}?{urlencode(query)}") as answer:
            return answer.read()

    def post(self, path: str, data: dict) -> dict | None:
        request = Request(
            self.url + path, json.dumps(data).encode(), {"Content-Type": "application/json"}
        )
        try:
            with urlopen(request) as answer:
                body = answer.read()
        except HTTPError as error:
            raise RefusedError(json.loads(error.read())) from None
        return json.loads(body) if body else None

    def queue(self, prompt: dict) -> str:
        """Returns the id of the prompt. Raises RefusedError when it, or a part, is not tried."""
        answer = self.post("/prompt", {"prompt": prompt, "client_id": self.client_id})
        if answer["node_errors"]:
            raise RefusedError(answer)
        return answer["prompt_id"]

    def wait(
        self, prompt_id: str, on_message: Callable[[str, dict], None] | None = None
    ) -> Outcome:
        """Listen until the prompt is over; on_message hears everything said about it."""
        ran: list[str] = []
        cached: set[str] = set()
        outputs: dict[str, dict] = {}
        for kind, data in self.messages:
            if data.get("prompt_id") != prompt_id:
                continue
            if on_message is not None:
                on_message(kind, data)
            if kind == "executing" and data["node"] is not None:
                ran.append(data["node"])
            elif kind == "execution_cached":
                cached |= set(data["nodes"])
            elif kind == "executed" and data["output"]:
                outputs[data["node"]] = data["output"]
            elif kind in OVER:
                return Outcome(kind, data, ran, cached, outputs)
        raise AssertionError(f"the server closed the connection:\n{self.log_tail()}")

    def run(self, prompt: dict) -> Outcome:
        return self.wait(self.queue(prompt))

    def fetch(self, shown: dict, folder: Path) -> Path:
        """Download a file that a node shows, {filename, subfolder, type}, as a browser would."""
        path = folder / shown["filename"]
        query = {key: shown[key] for key in ("filename", "subfolder", "type")}
        path.write_bytes(self.get("/view", **query))
        return path

    def rss(self) -> int:
        """Bytes of memory that the server holds."""
        return psutil.Process(self.process.pid).memory_info().rss

    def log_tail(self, characters: int = 4000) -> str:
        return self.log.read_text(encoding="utf-8", errors="replace")[-characters:]


@contextmanager
def running_server(comfyui: Path, python: str, base: Path, pack: Path = ROOT) -> Iterator[Server]:
    """Start ComfyUI on a free port with a base directory in which this is the only pack."""
    for name in FOLDERS:
        (base / name).mkdir(parents=True, exist_ok=True)
    link = base / "custom_nodes" / PACK
    if not link.is_symlink():  # a second start
        link.symlink_to(pack, target_is_directory=True)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    log = base / "server.log"
    command = [python, "main.py", "--cpu", "--disable-api-nodes", "--port", str(port)]
    command += ["--base-directory", str(base), "--database-url", f"sqlite:///{base}/comfyui.db"]
    if frontend := os.environ.get("COMFYUI_FRONTEND"):
        command += ["--front-end-root", frontend]
    with log.open("w") as out:
        process = subprocess.Popen(
            command,
            cwd=comfyui,
            stdout=out,
            stderr=subprocess.STDOUT,
            env=ALIKE,
        )
    try:
        url = f"http://127.0.0.1:{port}"
        _wait_until_up(url, process, log)
        yield Server(url, process, base, log)
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def comfyui_from_environment() -> tuple[Path, str] | None:
    """(folder, Python) of the ComfyUI that COMFYUI_DIR and COMFYUI_PYTHON name, or None."""
    folder = os.environ.get("COMFYUI_DIR")
    return (Path(folder), os.environ.get("COMFYUI_PYTHON", sys.executable)) if folder else None


def _wait_until_up(url: str, process: subprocess.Popen, log: Path) -> None:
    end = time.monotonic() + STARTED_IN
    while time.monotonic() < end:
        if process.poll() is not None:
            raise AssertionError(f"ComfyUI ended with {process.returncode}:\n{log.read_text()}")
        try:
            urlopen(f"{url}/system_stats", timeout=5).close()
            return
        except (URLError, OSError):
            time.sleep(1)
    raise AssertionError(f"ComfyUI did not start in {STARTED_IN} s:\n{log.read_text()}")


def _messages(host: str, port: int, path: str) -> Iterator[tuple[str, dict]]:
    """The text messages of a websocket, (type, data) each; binary ones (previews) are left out."""
    connection = socket.create_connection((host, port), timeout=DONE_IN)
    key = base64.b64encode(os.urandom(16)).decode()
    connection.sendall(
        f"GET {path} HTTP/1.1\r\nHost: {host}:{port}\r\nUpgrade: websocket\r\n"
        f"Connection: Upgrade\r\nSec-WebSocket-Key: {key}\r\n"
        "Sec-WebSocket-Version: 13\r\n\r\n".encode()
    )
    with connection, connection.makefile("rb") as stream:
        while stream.readline().strip():
            pass  # the head of the answer
        while head := stream.read(2):
            opcode, length = head[0] & 0x0F, head[1] & 0x7F
            if length >= 126:
                form = ">H" if length == 126 else ">Q"
                (length,) = struct.unpack(form, stream.read(struct.calcsize(form)))
            payload = stream.read(length)
            if opcode == 8:  # close
                return
            if opcode == 1:  # text; the server sends every message in one piece
                message = json.loads(payload)
                yield message["type"], message.get("data") or {}
