"""DreamActor-M2 as others host it: what is sent, what is answered, what it costs.

    volcengine   jimeng_dreamactor_m20_gen_video at visual.volcengineapi.com, signed (V4)
    fal          fal-ai/bytedance/dreamactor/v2 at queue.fal.run, with a key

Neither takes a prompt, a seed or a size. The first second of what is made is cut off, as is usual.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, NamedTuple, Protocol
from urllib.parse import quote, urlencode, urlsplit

from ...errors import InputError, UnavailableError
from .calls import Call, answer_of, check_web_address

DONE_STATUS, WAITING, GONE = "done", "waiting", "gone"  # of a task
REQUEST_KEY = "jimeng_dreamactor_m20_gen_video"
FAL_MODEL = "fal-ai/bytedance/dreamactor/v2"
FAL_ADDRESS, VOLCENGINE_ADDRESS = "https://queue.fal.run", "https://visual.volcengineapi.com"
FAL_DOLLARS = 0.05  # a second; https://fal.ai/models/fal-ai/bytedance/dreamactor/v2/llms.txt
MODERATED = (50411, 50412, 50413, 50511, 50512, 50513, 50514)  # Volcengine's codes
TOO_MANY = (50429, 50430)


class HostedTask(NamedTuple):
    """What a service says of a task."""

    state: str  # DONE_STATUS, WAITING, GONE
    video: str = ""  # its address, when it is done


class HostedInput(NamedTuple):
    """What a service is given: addresses that it can read, or data: ones."""

    picture: bytes  # a JPEG
    video: str


class HostedService(Protocol):
    """Every method raises InputError, UnavailableError where no other case would do better."""

    @property
    def name(self) -> str: ...
    @property
    def takes_data(self) -> bool:
        """Whether a video may be sent itself, instead of its address."""

    def price(self, seconds: float) -> str:
        """Of so many seconds of video, in words."""

    def submit(self, given: HostedInput) -> str:
        """What the task is called there. It has to be paid from now on."""

    def look(self, task: str) -> HostedTask: ...


@dataclass(frozen=True)
class Volcengine:
    access_key: str = field(repr=False)
    secret_key: str = field(repr=False)
    address: str
    timeout: float = 60.0  # seconds for an answer
    region: str = "cn-north-1"
    name = "volcengine"
    takes_data = False

    def price(self, seconds: float) -> str:
        return f"{seconds:.1f} s of video, whose price Volcengine tells in its console alone"

    def submit(self, given: HostedInput) -> str:
        import base64

        body = {
            "req_key": REQUEST_KEY,
            "binary_data_base64": [base64.b64encode(given.picture).decode()],
            "video_url": given.video,
            "cut_result_first_second_switch": True,
        }
        data = self._ask("CVSync2AsyncSubmitTask", body)
        return _text(data, "task_id", self.name)

    def look(self, task: str) -> HostedTask:
        data = self._ask("CVSync2AsyncGetResult", {"req_key": REQUEST_KEY, "task_id": task})
        status = data.get("status")
        if status == "done":
            return HostedTask(DONE_STATUS, _text(data, "video_url", self.name))
        return HostedTask(GONE if status in ("not_found", "expired") else WAITING)

    def _ask(self, action: str, body: Mapping[str, Any]) -> dict[str, Any]:
        query = {"Action": action, "Version": "2022-08-31"}
        raw = json.dumps(body).encode()
        host = urlsplit(self.address).netloc
        now = datetime.now(timezone.utc).strftime("%Y%m%dT%H%M%SZ")
        headers = signed_headers(self, host, query, raw, now)
        url = f"{self.address.rstrip('/')}/?{urlencode(query)}"
        secrets = (self.access_key, self.secret_key)
        call = Call(self.name, url, raw, headers, secrets)
        answer = answer_of(call, self.timeout)
        code = answer.get("code")
        said = call.hidden(str(answer.get("message") or answer)[:300])
        if code in MODERATED:
            got = f"a refusal by its moderation ({code}: {said})"
            raise InputError(self.name, got=got, need="other media", fix="Leave the case out.")
        if code in TOO_MANY:
            got = f"too many requests ({code})"
            raise UnavailableError(self.name, got=got, need="fewer at once", fix="Try later.")
        data = answer.get("data")
        if code != 10000 or not isinstance(data, dict):
            fix = "Look at its page for what the code means."
            got = f"code {code} ({said})"
            raise InputError(self.name, got=got, need="code 10000", fix=fix)
        return data


@dataclass(frozen=True)
class Fal:
    key: str = field(repr=False)
    address: str
    timeout: float = 60.0
    name = "fal"
    takes_data = True

    def price(self, seconds: float) -> str:
        dollars = f"{FAL_DOLLARS * seconds:.2f} US dollars ({FAL_DOLLARS} a second)"
        return f"{seconds:.1f} s of video for {dollars}"

    def submit(self, given: HostedInput) -> str:
        import base64

        picture = "data:image/jpeg;base64," + base64.b64encode(given.picture).decode()
        body = {"image_url": picture, "video_url": given.video, "trim_first_second": True}
        data = self._ask(FAL_MODEL, body)
        return _text(data, "request_id", self.name)

    def look(self, task: str) -> HostedTask:
        # Of a request only the first two parts of the model's name are told.
        place = f"{'/'.join(FAL_MODEL.split('/')[:2])}/requests/{quote(task, safe='')}"
        status = self._ask(f"{place}/status")
        if status.get("http_status") == 404:
            return HostedTask(GONE)
        if status.get("status") != "COMPLETED":
            return HostedTask(WAITING)
        made = self._ask(place)
        video = made.get("video")
        if not isinstance(video, dict):
            said = str(made.get("detail") or made)[:200]
            fix = "Leave the case out, or look at the task on its page."
            raise InputError(self.name, got=f"no video ({said})", need="one", fix=fix)
        return HostedTask(DONE_STATUS, _text(video, "url", self.name))

    def _ask(self, place: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        raw = None if body is None else json.dumps(body).encode()
        headers = {"Authorization": f"Key {self.key}", "Content-Type": "application/json"}
        url = f"{self.address.rstrip('/')}/{place}"
        return answer_of(Call(self.name, url, raw, headers, (self.key,)), self.timeout)


def signed_headers(
    who: Volcengine, host: str, query: Mapping[str, str], body: bytes, now: str
) -> dict[str, str]:
    """Headers of a POST to / as V4 signatures have them; now: as 20260101T120000Z, UTC."""
    headers = {
        "content-type": "application/json",
        "host": host,
        "x-content-sha256": hashlib.sha256(body).hexdigest(),
        "x-date": now,
    }
    names = ";".join(headers)
    canonical = "\n".join(
        [
            "POST",
            "/",
            canonical_query(query),
            *(f"{name}:{value}" for name, value in headers.items()),
            "",
            names,
            headers["x-content-sha256"],
        ]
    )
    scope = (now[:8], who.region, "cv", "request")
    key = signing_key(who.secret_key.encode(), scope)
    signature = sign("HMAC-SHA256", canonical, now, scope, key)
    credential = f"{who.access_key}/{'/'.join(scope)}"
    authorization = (
        f"HMAC-SHA256 Credential={credential}, SignedHeaders={names}, Signature={signature}"
    )
    return {**headers, "authorization": authorization}


def canonical_query(query: Mapping[str, str]) -> str:
    """Names in order, both sides percent-encoded as RFC 3986 has it."""
    pairs = (f"{quote(n, safe='-_.~')}={quote(v, safe='-_.~')}" for n, v in sorted(query.items()))
    return "&".join(pairs)


def signing_key(secret: bytes, scope: tuple[str, ...]) -> bytes:
    """scope: date, region, service and the last word, one after the other into the key."""
    key = secret
    for part in scope:
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    return key


def sign(algorithm: str, canonical: str, now: str, scope: tuple[str, ...], key: bytes) -> str:
    digest = hashlib.sha256(canonical.encode()).hexdigest()
    text = "\n".join([algorithm, now, "/".join(scope), digest])
    return hmac.new(key, text.encode(), hashlib.sha256).hexdigest()


HOSTED_SERVICES = {  # what each needs: its name in a settings file, and the variable
    "volcengine": {"access_key": "VOLC_ACCESSKEY", "secret_key": "VOLC_SECRETKEY"},
    "fal": {"key": "FAL_KEY"},
}


def settings_path() -> Path:
    """Of the settings file: {"fal": {"key": "..."}, "volcengine": {"access_key": ...}}."""
    home = os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
    return Path(home) / "dreamactor-m2" / "hosted.json"


def open_service(
    name: str, address: str = "", timeout: float = 60.0, settings: Path | None = None
) -> HostedService:
    """With its key out of the environment, or else out of the settings file.

    Raises InputError for another name, a broken file, and without a key.
    """
    if name not in HOSTED_SERVICES:
        need = " or ".join(HOSTED_SERVICES)
        raise InputError("service", got=repr(name), need=need, fix="Choose one of them.")
    kept = _settings(settings or settings_path()).get(name, {})
    keys: dict[str, Any] = {}
    for key, variable in HOSTED_SERVICES[name].items():
        value = os.environ.get(variable, "").strip() or str(kept.get(key) or "").strip()
        if not value or not (value.isascii() and value.isprintable()):
            raise InputError(
                f"key of {name}",
                got="other characters than printable ASCII" if value else "none",
                need=f"one in the variable {variable}, or {key!r} in {settings or settings_path()}",
                fix=f"Take it from the pages of {name}.",
            )
        keys[key] = value
    own = VOLCENGINE_ADDRESS if name == "volcengine" else FAL_ADDRESS
    keys |= {"address": check_web_address("--address", address or own), "timeout": timeout}
    return Volcengine(**keys) if name == "volcengine" else Fal(**keys)


def _settings(path: Path) -> dict[str, Any]:
    if not path.exists():
        return {}
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        return {name: dict(keys) for name, keys in dict(data).items()}
    except (OSError, ValueError, TypeError, RecursionError):
        need = '{"fal": {"key": "..."}}'
        fix = "Correct it, or use variables."  # never its contents: they are keys
        raise InputError(str(path), got="a file that cannot be read", need=need, fix=fix) from None


def _text(data: Mapping[str, Any], name: str, service: str) -> str:
    value = data.get(name)
    if not isinstance(value, str) or not value:
        fix = "Look at the task on its page; the service may have changed."
        raise InputError(service, got=f"no {name}", need="one", fix=fix)
    return value
