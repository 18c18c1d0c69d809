"""Videos of cases by a hosted service: submitted once, looked at until they are done, fetched.

Beside the videos, in tasks/CASE.json, stands what became of each: "submitting" before a request
goes out, then the task's name. So nothing that was paid for is asked for again: after a kill the
task is looked at, and where a kill came between the two, a person decides.
"""

from __future__ import annotations

import base64
import io
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote

import cv2
from PIL import Image

from ...errors import InputError
from ...items import Item
from ...items.work import Data
from ...media import VideoInfo, probe, read_image, to_uint8
from ...media.replace import replacing
from .calls import Call, LostAnswerError, check_web_address, download
from .cases import AwCase
from .hosted import DONE_STATUS, GONE, HostedInput, HostedService, open_service
from .make import data_of

TASKS_FOLDER = "tasks"
DRIVER_ENDINGS = {".mp4": "video/mp4", ".mov": "video/quicktime", ".webm": "video/webm"}
DRIVER_SECONDS, DRIVER_SIDES = 30.0, ((200, 200), (2048, 1440))  # least and most, larger side first
PICTURE_SIDES, PICTURE_BYTES = (480, 1920, 1080), 4_700_000  # least; most of both sides
DATA_BYTES = 20 << 20  # of a driver that is sent itself
PAUSE = 5.0  # seconds between two looks


@dataclass(frozen=True)
class HostedVideo:
    """One video of one case; data: as data_of gives it."""

    cases: Path
    out: Path  # the folder of the system
    service: str  # of HOSTED_SERVICES; its key is read where it is used
    address: str = ""
    settings: Path | None = None
    media_address: str = ""  # below which the set's files can be read by anybody
    patience: float = 1800.0  # seconds for one video

    def open(self) -> Callable[[Data], Data]:
        service = open_service(self.service, self.address, settings=self.settings)
        (self.out / TASKS_FOLDER).mkdir(parents=True, exist_ok=True)
        return lambda data: self._make(service, data)

    def note_of(self, case_id: str) -> Path:
        """What became of a case's task; there from before it is asked for."""
        return self.out / TASKS_FOLDER / f"{case_id}.json"

    def _make(self, service: HostedService, data: Data) -> Data:
        note, target = self.note_of(data["id"]), self.out / f"{data['id']}.mp4"
        give = partial(self._given, service, data)
        return {"task": hosted_video(service, give, note, target, self.patience), "notes": []}

    def _given(self, service: HostedService, data: Data) -> HostedInput:
        driver = self.cases / data["driver"]
        check_driver(driver)
        picture = picture_for(self.cases / data["reference"])
        if self.media_address:
            place = f"{self.media_address.rstrip('/')}/{quote(data['driver'])}"
            return HostedInput(picture, check_web_address("--media-address", place))
        if data["driver_from"].startswith("https://") and data["driver"].startswith("fetched/"):
            return HostedInput(picture, data["driver_from"])
        if service.takes_data and driver.stat().st_size <= DATA_BYTES:
            kind = DRIVER_ENDINGS[driver.suffix.lower()]
            raw = base64.b64encode(driver.read_bytes()).decode()
            return HostedInput(picture, f"data:{kind};base64,{raw}")
        raise InputError(
            f"driver {data['driver']}",
            got="no address that the service can read",
            need="one on the web",
            fix="Put the set on a web server and name it with {option}.",
            option="media_address",
        )


def hosted_video(
    service: HostedService,
    give: Callable[[], HostedInput],
    note: Path,
    target: Path,
    patience: float,
    on_wait: Callable[[], None] = lambda: None,
) -> str:
    """Make one video, or go on with it where an earlier call was stopped. Returns its task's name.

    give: what the service is given, asked only when nothing was sent yet. note: a file that
    remembers the task. on_wait is called between two looks; what it raises ends the wait, and the
    next call goes on. Raises what the service raises, and InputError when it takes too long.
    """
    task = _task_of(service, give, note)
    video = _wait(service, task, note, time.monotonic() + patience, on_wait)
    part = note.with_suffix(".part")
    download(Call(f"video of {service.name}", check_web_address("video", video)), part, 60.0)
    probe(part)
    part.replace(target)
    return task


def _task_of(service: HostedService, give: Callable[[], HostedInput], note: Path) -> str:
    """Of an earlier call, or submitted now."""
    if note.exists():
        if task := _noted(note):
            return task
        raise InputError(
            f"task of {note.stem}",
            got="a request that went out and no answer that came back",
            need="to know whether it must be paid",
            fix=f"Look at the tasks on the pages of {service.name}; delete {note} to ask anew.",
        )
    given = give()
    write_note(note, {"task": None, "service": service.name, "state": "submitting"})
    try:
        task = service.submit(given)
    except LostAnswerError:
        raise
    except InputError:
        note.unlink(missing_ok=True)  # it was refused: nothing is to be paid
        raise
    write_note(note, {"task": task, "service": service.name, "state": "submitted"})
    return task


def _noted(note: Path) -> str:
    """The task that a note remembers, or ""."""
    try:
        return str(dict(json.loads(note.read_text(encoding="utf-8")))["task"] or "")
    except (ValueError, KeyError, TypeError):
        return ""


def _wait(
    service: HostedService, task: str, note: Path, end: float, on_wait: Callable[[], None]
) -> str:
    """The address of the video. end: on the clock of time.monotonic."""
    while True:
        seen = service.look(task)
        if seen.state == DONE_STATUS:
            return seen.video
        if seen.state == GONE:
            note.unlink(missing_ok=True)
            fix = "Run the same again: it asks, and pays, anew."
            got = "a task that it knows no longer"
            raise InputError(service.name, got=got, need="one of the last hours", fix=fix)
        if time.monotonic() + PAUSE > end:
            fix = "Run the same again: it goes on waiting, and pays nothing more."
            raise InputError(service.name, got="no video in time", need="one", fix=fix)
        on_wait()
        time.sleep(PAUSE)


def hosted_items(cases: list[AwCase], service: str) -> list[Item]:
    return [Item(case.id, data_of(case) | {"with": {"service": service}}) for case in cases]


def write_note(path: Path, told: dict[str, Any]) -> None:
    with replacing(path, overwrite=True) as part:
        part.write_text(json.dumps(told), encoding="utf-8")


def check_driver(path: Path) -> VideoInfo:
    """Raises InputError for a driver that no service takes."""
    clip = probe(path)
    larger, smaller = max(clip.width, clip.height), min(clip.width, clip.height)
    (_, least), (most, most_smaller) = DRIVER_SIDES
    reason = ""
    if path.suffix.lower() not in DRIVER_ENDINGS:
        reason = f"the ending {path.suffix!r}"
    elif clip.duration > DRIVER_SECONDS:
        reason = f"{clip.duration:.1f} s"
    elif smaller < least or larger > most or smaller > most_smaller:
        reason = f"{clip.width} x {clip.height}"
    if reason:
        need = "MP4, MOV or WebM of 30 s at the most, 200 x 200 to 2048 x 1440 pixels"
        raise InputError(f"driver {path.name}", got=reason, need=need, fix="Convert it first.")
    return clip


def picture_for(path: Path) -> bytes:
    """A reference as a JPEG in the limits that services have."""
    pixels = to_uint8(read_image(path)[0])
    height, width = pixels.shape[:2]
    least, larger, smaller = PICTURE_SIDES
    sides = min(height, width), max(height, width)
    scale = min(max(1.0, least / sides[0]), larger / sides[1], smaller / sides[0])
    if scale != 1.0:
        size = (round(width * scale), round(height * scale))
        method = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
        pixels = cv2.resize(pixels, size, interpolation=method)
    for quality in (95, 85, 70):
        file = io.BytesIO()
        Image.fromarray(pixels).save(file, format="JPEG", quality=quality)
        if file.tell() <= PICTURE_BYTES:
            break
    return file.getvalue()
