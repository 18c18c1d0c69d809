"""A server that answers as Volcengine's and fal's pages say theirs do, for tests."""

from __future__ import annotations

import hashlib
import hmac
import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

ACCESS, SECRET, KEY = "AKtest", "c2VjcmV0", "fal-secret"


class Hosted:
    """In a with statement. answers: what submit and look say first, as (status, headers, body)."""

    def __init__(self, video: Path, answers: list | None = None):
        self.video, self.answers = video.read_bytes(), answers or []
        self.heard: list[str] = []  # "submit", "look", "result", "video 0-", one after the other
        self.bodies: list[dict] = []
        self.looks_until_done = 2
        self.cut_after: int | None = None  # bytes after which the first download breaks off

    def __enter__(self) -> Hosted:
        owner = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                owner.answer(self, self.rfile.read(int(self.headers["Content-Length"])))

            def do_GET(self):
                owner.answer(self, b"")

            def log_message(self, *args):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.address = f"http://127.0.0.1:{self.server.server_address[1]}"
        return self

    def __exit__(self, *error) -> None:
        self.server.shutdown()
        self.server.server_close()

    def answer(self, request, body: bytes) -> None:
        path = urlsplit(request.path)
        if path.path == "/video.mp4":
            self._send_video(request)
            return
        query = dict(parse_qsl(path.query))
        if "Action" in query:
            known = self._signed(request, body, path.query)
            step = "submit" if query["Action"].endswith("SubmitTask") else "look"
            assert query["Version"] == "2022-08-31"
        else:
            known = request.headers["Authorization"] == f"Key {KEY}"
            end = path.path.rpartition("/")[2]
            step = "submit" if end == "v2" else "look" if end == "status" else "result"
        self.heard.append(step)
        if body:
            self.bodies.append(json.loads(body))
        if not known:
            self._send(request, 401, {}, {"message": "bad key " + request.headers["Authorization"]})
        elif self.answers:
            self._send(request, *self.answers.pop(0))
        else:
            self._send(request, 200, {}, self._said(step, "Action" in query))

    def _said(self, step: str, volcengine: bool) -> dict:
        done = self.heard.count("look") >= self.looks_until_done
        address = f"{self.address}/video.mp4"
        if not volcengine:
            status = {"status": "COMPLETED" if done else "IN_PROGRESS"}
            said = {"submit": {"request_id": "t-1"}, "look": status}
            return said.get(step, {"video": {"url": address}})
        data = {"task_id": "t-1"} if step == "submit" else {"status": "generating"}
        if step == "look" and done:
            data = {"status": "done", "video_url": address}
        return {"code": 10000, "message": "Success", "data": data}

    def _signed(self, request, body: bytes, query: str) -> bool:
        """The documented computation, written once more from the request as it came."""
        told = re.fullmatch(
            r"HMAC-SHA256 Credential=(\S+?)/(\d{8}/cn-north-1/cv/request), "
            r"SignedHeaders=(\S+), Signature=([0-9a-f]{64})",
            request.headers["Authorization"],
        )
        if told is None or told[1] != ACCESS:
            return False
        lines = "".join(f"{name}:{request.headers[name].strip()}\n" for name in told[3].split(";"))
        payload = hashlib.sha256(body).hexdigest()
        ordered = "&".join(sorted(query.split("&")))
        canonical = f"POST\n/\n{ordered}\n{lines}\n{told[3]}\n{payload}"
        text = "HMAC-SHA256\n{}\n{}\n{}".format(
            request.headers["X-Date"], told[2], hashlib.sha256(canonical.encode()).hexdigest()
        )
        key = SECRET.encode()
        for part in [*told[2].split("/"), text]:
            key = hmac.new(key, part.encode(), "sha256").digest()
        return key.hex() == told[4] and request.headers["X-Content-Sha256"] == payload

    def _send(self, request, status: int, headers: dict, body: dict | bytes) -> None:
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        request.send_response(status)
        for name, value in {"Content-Length": str(len(raw)), **headers}.items():
            request.send_header(name, value)
        request.end_headers()
        request.wfile.write(raw)

    def _send_video(self, request) -> None:
        asked = request.headers.get("Range", "bytes=0-")
        self.heard.append(f"video {asked.removeprefix('bytes=')}")
        assert "Authorization" not in request.headers  # the key goes to nobody else
        start = int(asked.removeprefix("bytes=").rstrip("-"))
        raw = self.video[start:]
        request.send_response(206 if "Range" in request.headers else 200)
        request.send_header("Content-Length", str(len(raw)))
        request.end_headers()
        cut, self.cut_after = self.cut_after, None
        request.wfile.write(raw[:cut])
        request.close_connection = True
