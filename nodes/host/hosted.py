"""Hosted DreamActor-M2: the core's client with ComfyUI's pictures, folders and Cancel.

What was sent is remembered below ComfyUI's system user folder by what it holds, so that a run that
was stopped goes on, and the same inputs give the same file without being paid again.
"""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path
from typing import NamedTuple

import comfy.model_management as manager
from comfy_api.latest import InputImpl
from torch import Tensor

from ...dreamactor_core.bench.aw.calls import check_web_address
from ...dreamactor_core.bench.aw.hosted import HostedInput, open_service
from ...dreamactor_core.bench.aw.hosted_videos import (
    DRIVER_ENDINGS,
    check_driver,
    hosted_video,
    picture_for,
)
from ...dreamactor_core.errors import InputError
from ...dreamactor_core.media import (
    Footage,
    check_frames,
    probe,
    read_frames,
    write_image,
    write_video,
)
from .video import driving_of, lasting, naming, temp_file


class Asked(NamedTuple):
    service: str
    agree: bool
    video_url: str  # "": the video is sent itself
    patience: float  # seconds


def hosted(
    reference: Tensor, driving: object, fps: float, asked: Asked
) -> tuple[InputImpl.VideoFromFile, str]:
    """The video, and its price in words. Raises InputError for a price nobody agrees to."""
    check_frames("reference", reference)
    picture = temp_file(".png")
    write_image(picture.path, reference[0])
    shown = picture_for(picture.path)
    driver = _driver(driving, fps)
    with naming(driver, "driving"):
        seconds = check_driver(driver).duration
    service = open_service(asked.service)
    price = service.price(seconds)
    name = hashlib.sha256(b"\0".join([service.name.encode(), shown, driver.read_bytes()]))
    folder = lasting("hosted")
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / f"{name.hexdigest()[:32]}.mp4"
    if target.exists():
        return InputImpl.VideoFromFile(str(target)), f"{price}, paid before"
    note = target.with_suffix(".json")
    if not (asked.agree or note.exists()):
        got, need = f"no agreement to {price}", "the switch 'agree' on"
        fix = "Switch it on if you want to pay that; nothing has been sent."
        raise InputError("price", got=got, need=need, fix=fix)

    def give() -> HostedInput:
        if asked.video_url:
            return HostedInput(shown, check_web_address("video_url", asked.video_url))
        if not service.takes_data:
            need = "an address on the web, for this service reads no other"
            fix = "Put the driving video there and name it."
            raise InputError("video_url", got="nothing", need=need, fix=fix)
        raw = base64.b64encode(driver.read_bytes()).decode()
        return HostedInput(shown, f"data:{DRIVER_ENDINGS[driver.suffix.lower()]};base64,{raw}")

    cancelled = manager.throw_exception_if_processing_interrupted
    hosted_video(service, give, note, target, asked.patience, cancelled)
    return InputImpl.VideoFromFile(str(target)), price


def _driver(driving: object, fps: float) -> Path:
    """A file of a kind that services take."""
    clip = driving_of(driving, fps, "driving").clip
    if not isinstance(clip, Footage) and clip.suffix.lower() in DRIVER_ENDINGS:
        return clip
    file = temp_file(".mp4")
    with naming(clip, "driving"):
        info = probe(clip)
        frames = (frame.image for frame in read_frames(clip))
        write_video(file.path, frames, info.times, duration=info.duration)
    return file.path
