"""A captioner behind an OpenAI-compatible endpoint: Ollama, vLLM, LM Studio, or a hosted one.

The key is given by the caller (who takes it from the environment or from settings); it goes into
the Authorization header and nowhere else: no message, no log, no file, no other host.
"""

from __future__ import annotations

import base64
import io
import json
import logging
import math
import queue
import threading
import time
import urllib.request
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from http.client import HTTPException
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit

import numpy as np
from PIL import Image

from ..errors import InputError, Options, UnavailableError
from .captioner import BY_HAND

logger = logging.getLogger(__name__)

TRIES = 3  # of a request that the server is too busy for
LONGEST_WAIT = 30.0  # seconds between two tries, whatever the server asks for
LARGEST_ANSWER = 4 << 20  # bytes
GRACE = 1.0  # seconds after the time-out until nobody waits for an answer any longer
BUSY = (429, 502, 503, 504)
LOOPBACK = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True)
class EndpointCaptioner:
    """url: up to /v1, as in http://localhost:11434/v1; model: its name there."""

    url: str
    model: str
    key: str | None = field(default=None, repr=False)
    timeout: float = 120.0  # seconds for the whole answer
    key_place: str = "the settings"  # where whoever asks keeps the key, in words

    def __post_init__(self):
        try:
            parts = urlsplit(self.url)
        except ValueError:  # a bracket without its other half
            parts = urlsplit("")
        if parts.scheme not in ("http", "https") or not parts.hostname:
            need, fix = "an address such as http://localhost:11434/v1", "Check the spelling."
            raise InputError("endpoint", got=repr(self.url), need=need, fix=fix)
        if parts.username or parts.password:
            need, fix = "an address without a name and password in it", "Use a key instead."
            raise InputError("endpoint", got="a password in the address", need=need, fix=fix)
        if not self.model:
            need, fix = "the name of a model there", "Name it with {option}."
            raise InputError(
                "endpoint model", got="nothing", need=need, fix=fix, option="endpoint_model"
            )
        if not 0 < self.timeout < 86_400:
            need = "more than 0 seconds, less than a day"
            raise InputError("time-out", got=self.timeout, need=need, fix="Use 120.")
        if self.key and not (self.key.isascii() and self.key.isprintable()):
            # Not left to http.client, whose error would show the key.
            need, fix = "printable ASCII alone", "Copy the key again, without line ends."
            raise InputError("key of the endpoint", got="other characters", need=need, fix=fix)
        if self.key and parts.scheme == "http" and parts.hostname not in LOOPBACK:
            logger.warning("The key goes to %s unencrypted; use https there.", parts.hostname)

    @property
    def name(self) -> str:
        return f"{self.model} at {urlsplit(self.url).netloc}"

    def ask(self, prompt: str, images: Sequence[np.ndarray], max_words: int) -> str:
        pictures = [{"type": "image_url", "image_url": {"url": _data_url(i)}} for i in images]
        content = [*pictures, {"type": "text", "text": prompt}]
        body = {
            "model": self.model,
            "messages": [{"role": "user", "content": content}],
            "max_tokens": 4 * max_words + 512,  # room for those that think aloud first
            "temperature": 0,
        }
        return self._answer(self._post(json.dumps(body).encode()))

    def _post(self, body: bytes) -> bytes:
        """The server's answer within the time-out, whatever the server does meanwhile.

        Reading a socket has a time-out for each byte alone, and headers that drip, or a hundred
        times "100 Continue", are read inside of the library: so the whole exchange runs beside.
        """
        answers: queue.Queue[bytes | Exception] = queue.Queue()

        def work() -> None:
            try:
                answers.put(self._exchange(body))
            except Exception as error:
                answers.put(error)

        threading.Thread(target=work, daemon=True).start()
        try:
            answer = answers.get(timeout=self.timeout + GRACE)
        except queue.Empty:
            raise self._unreachable(TimeoutError("the answer drips")) from None
        if isinstance(answer, Exception):
            raise answer
        return answer

    def _exchange(self, body: bytes) -> bytes:
        """The server's answer; waits and tries again while it is too busy."""
        deadline = time.monotonic() + self.timeout
        for attempt in range(1, TRIES + 1):
            try:
                return self._send(body, deadline)
            except HTTPError as error:
                asked = error.headers.get("Retry-After") if error.headers else None
                wait = seconds_to_wait(asked, attempt)
                late = time.monotonic() + wait > deadline
                if error.code not in BUSY or attempt == TRIES or late:
                    raise self._told(error, attempt) from None
                time.sleep(wait)
            except (URLError, HTTPException, OSError, ValueError) as error:
                if isinstance(error, InputError):
                    raise
                raise self._unreachable(error) from error
        raise AssertionError("the last attempt returns or raises")

    def _send(self, body: bytes, deadline: float) -> bytes:
        headers = {"Content-Type": "application/json"}
        if self.key:
            headers["Authorization"] = f"Bearer {self.key}"
        address = self.url.rstrip("/") + "/chat/completions"
        request = urllib.request.Request(address, data=body, headers=headers)  # http(s) only
        handlers: list = [NoRedirect()]
        if urlsplit(self.url).hostname in LOOPBACK:
            handlers.append(urllib.request.ProxyHandler({}))
        opener = urllib.request.build_opener(*handlers)
        left = max(deadline - time.monotonic(), 0.01)
        with opener.open(request, timeout=left) as response:
            answer = bytearray()
            while chunk := response.read1(1 << 16):
                answer += chunk
                if time.monotonic() > deadline:
                    raise TimeoutError("the answer drips")
                if len(answer) > LARGEST_ANSWER:
                    raise self._failed("an answer without end", "an answer of some words")
            return bytes(answer)

    def _answer(self, raw: bytes) -> str:
        try:
            choice = json.loads(raw)["choices"][0]
            message = choice["message"]
            text = message.get("content") or ""
            if isinstance(text, list):
                text = "".join(part.get("text", "") for part in text)
            if not isinstance(text, str):
                raise TypeError(f"content is {type(text).__name__}")
            refused = message.get("refusal") or choice.get("finish_reason") == "content_filter"
        except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
            start = self._hidden(printable(raw[:80].decode(errors="replace")))
            got, need = f"an answer that is not understood ({start!r})", "a chat completion"
            raise self._failed(got, need) from error
        if refused:
            raise self._failed("a refusal", "an answer in words")
        text = printable(text.rpartition("</think>")[2], "\n").strip()
        if not text:
            raise self._failed("an empty answer", "an answer in words")
        return text

    def _told(self, error: HTTPError, attempts: int) -> InputError:
        """What the server's status means."""
        raw = b""
        with error, suppress(OSError, HTTPException):
            raw = error.read(2000)
        said = " ".join(self._hidden(printable(raw.decode(errors="replace"))).split())[:160]
        if error.code in (401, 403):
            fix = f"Put a valid key into {self.key_place}."
            return self._failed(f"no access ({error.code})", "a valid key", fix, UnavailableError)
        if error.code == 404:
            fix = "Check the address (it ends in /v1) and {option}."
            got, need = f"'not found' (404: {said})", "an address and a model that exist"
            return self._failed(got, need, fix, UnavailableError, "endpoint_model")
        if error.code in BUSY:
            got = f"'too busy' ({error.code}) {attempts} times"
            return self._failed(
                got, "a server with time", f"Try later. {BY_HAND}", UnavailableError
            )
        return self._failed(f"status {error.code} ({said})", "a chat completion")

    def _unreachable(self, error: Exception) -> InputError:
        reason = getattr(error, "reason", error)
        if isinstance(reason, TimeoutError):
            got, need = f"no answer within {self.timeout:g} s", "an answer in time"
            fix = f"Raise {{option}}. {BY_HAND}"
            return self._failed(got, need, fix, UnavailableError, "timeout")
        why = self._hidden(printable(str(reason)))[:160]
        got, need = f"no connection ({why})", "a server that runs"
        fix = f"Start it, or check the address. {BY_HAND}"
        return self._failed(got, need, fix, UnavailableError)

    def _failed(
        self,
        got: str,
        need: str,
        fix: str = BY_HAND,
        kind: type[InputError] = InputError,
        option: Options = (),
    ) -> InputError:
        return kind(f"captioner {self.name}", got=got, need=need, fix=fix, option=option)

    def _hidden(self, text: str) -> str:
        return text.replace(self.key, "***") if self.key else text


class NoRedirect(urllib.request.HTTPRedirectHandler):
    """Following one would carry the key, and the pictures, to another host."""

    def redirect_request(self, *args, **options) -> None:
        return None


def seconds_to_wait(asked: str | None, attempt: int) -> float:
    """Seconds until the next try: what the server asks for, or twice as long each time."""
    try:
        wait = math.nan if asked is None else float(asked)
    except ValueError:  # a date
        wait = math.nan
    wait = 2.0**attempt if math.isnan(wait) else wait
    return min(max(wait, 0.0), LONGEST_WAIT)


def printable(text: str, kept: str = "") -> str:
    """Without what a terminal obeys, and what no file can hold: controls, lone surrogates.

    kept: control characters that stay; others become spaces.
    """
    shown = (char if char in kept or char.isprintable() else " " for char in text)
    return "".join(shown)


def _data_url(image: np.ndarray) -> str:
    file = io.BytesIO()
    Image.fromarray(image).save(file, format="JPEG", quality=90)
    return "data:image/jpeg;base64," + base64.b64encode(file.getvalue()).decode()
