"""Calls to a hosted service, and downloads: limits of time and size, waits, no word of a key."""

from __future__ import annotations

import json
import time
import urllib.request
from collections.abc import Collection, Mapping
from http.client import HTTPException
from pathlib import Path
from typing import Any, NamedTuple
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit

from ...caption.endpoint import (
    BUSY,
    LARGEST_ANSWER,
    LOOPBACK,
    TRIES,
    NoRedirect,
    printable,
    seconds_to_wait,
)
from ...errors import InputError, UnavailableError

LARGEST_VIDEO = 1 << 30  # bytes
SLOW = (URLError, HTTPException, OSError, ValueError)  # what a broken connection raises


class Call(NamedTuple):
    """One request. secrets: what no message may show."""

    what: str  # the service, in messages
    url: str
    body: bytes | None = None  # None: a GET
    headers: Mapping[str, str] = {}
    secrets: Collection[str] = ()

    def hidden(self, text: str) -> str:
        shown = printable(text)
        for secret in filter(None, self.secrets):
            shown = shown.replace(secret, "***")
        return " ".join(shown.split())[:200]


class LostAnswerError(UnavailableError):
    """The request went out, and no answer came: nobody knows whether it was heard."""


def answer_of(call: Call, timeout: float) -> dict[str, Any]:
    """The JSON object that a service answers, errors of the service with a JSON object included.

    Waits and asks again while it is too busy, as long as it asks for. Raises UnavailableError when
    it cannot be reached, or has no time, and for a key that it does not take; LostAnswerError when
    it broke off; InputError for an answer that is none.
    """
    deadline = time.monotonic() + timeout
    for attempt in range(1, TRIES + 1):
        try:
            return _object(call, _read(call, deadline))
        except HTTPError as error:
            asked = error.headers.get("Retry-After") if error.headers else None
            wait = seconds_to_wait(asked, attempt)
            if error.code in BUSY and attempt < TRIES and time.monotonic() + wait < deadline:
                error.close()
                time.sleep(wait)
                continue
            return _told(call, error, attempt)
        except SLOW as error:
            if isinstance(error, InputError):
                raise
            raise _lost(call, error, timeout) from error
    raise AssertionError("the last attempt returns or raises")


def download(call: Call, part: Path, timeout: float, most: int = LARGEST_VIDEO) -> None:
    """Fetch a file into `part`, which goes on from where an earlier call was stopped.

    Raises UnavailableError when the server cannot be reached, InputError for what is too large.
    """
    there = part.stat().st_size if part.exists() else 0
    headers = {"Range": f"bytes={there}-"} if there else {}
    request = urllib.request.Request(call.url, headers=headers)
    try:
        with _opener(call.url).open(request, timeout=timeout) as response:
            resumed = response.status == 206
            with part.open("ab" if resumed else "wb") as file:
                while chunk := response.read1(1 << 16):
                    if file.tell() + len(chunk) > most:
                        fix = "Look at the address by hand."
                        got, need = "a file without end", f"at most {most >> 20} MiB"
                        raise InputError(call.what, got=got, need=need, fix=fix)
                    file.write(chunk)
            if response.length:
                raise HTTPException(f"{response.length} bytes are still to come")
    except HTTPError as error:
        error.close()
        if error.code == 416 and there:  # nothing is left to fetch
            return
        got, fix = f"status {error.code}", "Run the same command again."
        raise InputError(call.what, got=got, need="the file", fix=fix) from None
    except SLOW as error:
        if isinstance(error, InputError):
            raise
        raise _lost(call, error, timeout) from error


def check_web_address(what: str, url: str) -> str:
    """The same address. Raises InputError for one that is not of the web, or has a password."""
    try:
        parts = urlsplit(url)
    except ValueError:
        parts = urlsplit("")
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.password:
        need = "an address such as https://example.org, without a password in it"
        raise InputError(what, got=repr(url[:100]), need=need, fix="Check the spelling.")
    return url


def _opener(url: str, *handlers: Any) -> urllib.request.OpenerDirector:
    local = urlsplit(url).hostname in LOOPBACK
    no_proxy = [urllib.request.ProxyHandler({})] if local else []
    return urllib.request.build_opener(*handlers, *no_proxy)


def _read(call: Call, deadline: float) -> bytes:
    """No redirect is followed: it would carry the key to another host."""
    request = urllib.request.Request(call.url, data=call.body, headers=dict(call.headers))
    left = max(deadline - time.monotonic(), 0.01)
    with _opener(call.url, NoRedirect()).open(request, timeout=left) as response:
        answer = bytearray()
        while chunk := response.read1(1 << 16):
            answer += chunk
            if time.monotonic() > deadline:
                raise TimeoutError("the answer drips")
            if len(answer) > LARGEST_ANSWER:
                fix = "Check the address."
                got, need = "an answer without end", "some words"
                raise InputError(call.what, got=got, need=need, fix=fix)
        return bytes(answer)


def _object(call: Call, raw: bytes) -> dict[str, Any]:
    try:
        data = json.loads(raw)
    except (ValueError, RecursionError):
        data = None
    if not isinstance(data, dict):
        got = f"an answer that is not understood ({call.hidden(raw[:80].decode(errors='replace'))})"
        raise InputError(call.what, got=got, need="a JSON object", fix="Check the address.")
    return data


def _told(call: Call, error: HTTPError, attempts: int) -> dict[str, Any]:
    """The service's own words where it has some; raises what its status means else."""
    raw = b""
    try:
        with error:
            raw = error.read(1 << 16)
        data = json.loads(raw)
    except (*SLOW, RecursionError):
        data = None
    said = call.hidden(raw[:300].decode(errors="replace"))
    if error.code in (401, 403):
        fix = "Put a valid key into the variable, or the settings file (docs/aw-bench.md)."
        got = f"no access ({error.code}: {said})"
        raise UnavailableError(call.what, got=got, need="a valid key", fix=fix)
    if error.code in BUSY:
        got = f"'too busy' ({error.code}) {attempts} times"
        raise UnavailableError(call.what, got=got, need="a service with time", fix="Try later.")
    if isinstance(data, dict) and data:
        return {"http_status": error.code, **data}
    fix = "Look at its page for what that means."
    raise InputError(call.what, got=f"status {error.code} ({said})", need="an answer", fix=fix)


def _lost(call: Call, error: Exception, timeout: float) -> UnavailableError:
    reason = getattr(error, "reason", error)
    if isinstance(reason, ConnectionRefusedError) or "getaddrinfo" in repr(reason):
        got = f"no connection ({call.hidden(str(reason))})"
        fix = "Check the address and the network."
        return UnavailableError(call.what, got=got, need="a server that runs", fix=fix)
    late = isinstance(reason, TimeoutError)
    got = (
        f"no answer within {timeout:g} s" if late else f"a broken line ({call.hidden(str(reason))})"
    )
    return LostAnswerError(call.what, got=got, need="an answer", fix="Run the same command again.")
