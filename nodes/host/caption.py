"""Caption: the core's text step with ComfyUI's pictures, folders and Cancel.

The key of an endpoint comes from the environment or from ComfyUI's settings, together with the
address that it belongs to. The address in the node may come from somebody else's workflow: it is
given the key only if it is that very one, or one of this machine.
"""

from __future__ import annotations

import json
import os
import queue
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

import comfy.model_management as manager
import folder_paths
import numpy as np
import torch
from torch import Tensor

from ...dreamactor_core.caption.captioner import CachedCaptioner, Captioner
from ...dreamactor_core.caption.describe import BUDGET, Caption, Typed, describe
from ...dreamactor_core.caption.endpoint import LOOPBACK, EndpointCaptioner
from ...dreamactor_core.caption.sample import MotionSample, picture_scale, sample_by_motion, shrink
from ...dreamactor_core.errors import InputError
from ...dreamactor_core.media import Frame, check_frames, read_frames, to_uint8
from .progress import watched
from .text_encoder import TextEncoder
from .video import driving_of, lasting, naming

KEY_VARIABLE, URL_VARIABLE = "DREAMACTOR_API_KEY", "DREAMACTOR_API_URL"
KEY_SETTING, URL_SETTING = "DreamActor-M2.ApiKey", "DreamActor-M2.ApiUrl"  # as in js
HOSTS_VARIABLE, HOSTS_SETTING = "DREAMACTOR_CAPTION_HOSTS", "DreamActor-M2.CaptionHosts"
KEY_PLACE = "ComfyUI's settings (DreamActor-M2), together with this address, to which alone it "
KEY_PLACE += f"goes; or into the environment variables {KEY_VARIABLE} and {URL_VARIABLE}"
OLLAMA = "http://localhost:11434/v1"
CAPTIONER_ROOM = 12 * 2**30  # bytes: the usual captioner in half precision, with its pictures
CANCEL_SECONDS = 0.2  # seconds between two looks at Cancel


class Local(NamedTuple):
    """A model on this machine."""

    source: Path | str
    quantize: str
    download: bool


class Endpoint(NamedTuple):
    """An OpenAI-compatible server; url empty: the one of the account."""

    url: str
    model: str
    timeout: float  # seconds


@dataclass(frozen=True)
class Account:
    url: str  # the only address, beside this machine's own, that gets the key
    key: str | None = field(default=None, repr=False)


def caption(
    who: Local | Endpoint | TextEncoder,
    typed: Typed,
    reference: Tensor | None,
    driving: object,
    fps: float,
) -> tuple[Caption, dict]:
    """The three texts, and what the node shows of them. What was typed is never asked for.

    Raises InputError when nobody answers, or a picture is missing that must be asked about.
    """
    captioner: Captioner
    if isinstance(who, Local):
        captioner = LocalOnDemand(who)
    else:
        captioner = who if isinstance(who, TextEncoder) else _endpoint(who)
    folder = lasting("captions")
    try:
        made = describe(
            CachedCaptioner(captioner, folder),
            lambda: _reference_picture(reference),
            lambda: _motion(driving, fps),
            typed=typed,
        )
    finally:
        if isinstance(captioner, LocalOnDemand):
            captioner.close()
    shown = {"motion": made.motion, "appearance": made.appearance, "fused": made.text}
    shown |= {"notes": list(made.notes), "captioner": made.captioner}
    return made, {"text": (made.text,), "dreamactor_caption": [shown]}


class LocalOnDemand:
    """Opens the model with the first question that is new: remembered answers need none."""

    def __init__(self, local: Local):
        self.local = local
        self.model: Captioner | None = None
        source = local.source.name if isinstance(local.source, Path) else local.source
        self.name = source if local.quantize == "none" else f"{source}, {local.quantize}"

    def ask(self, prompt: str, images: Sequence[np.ndarray], max_words: int) -> str:
        manager.throw_exception_if_processing_interrupted()
        self.model = self.model or self._open()
        return self.model.ask(prompt, images, max_words)

    def close(self) -> None:
        """Out of the way of the video model, which needs the room."""
        if self.model is not None:
            self.model = None
            manager.soft_empty_cache()

    def _open(self) -> Captioner:
        # Here, because an endpoint needs none of transformers' models.
        from ...dreamactor_core.caption.local import load_captioner

        device = manager.get_torch_device()
        manager.free_memory(CAPTIONER_ROOM, device)
        source, quantize, download = self.local
        with torch.inference_mode(False):  # quantised weights cannot be made in ComfyUI's mode
            return load_captioner(
                source, quantization=quantize, download=download, device=str(device)
            )


class Stoppable:
    """A captioner that answers over the network: Cancel does not wait for its time-out."""

    def __init__(self, captioner: Captioner, url: str):
        self.captioner, self.name, self.url = captioner, captioner.name, url

    def ask(self, prompt: str, images: Sequence[np.ndarray], max_words: int) -> str:
        _check_host(self.url)
        answers: queue.Queue[str | Exception] = queue.Queue()

        def work() -> None:
            try:
                answers.put(self.captioner.ask(prompt, images, max_words))
            except Exception as error:
                answers.put(error)

        threading.Thread(target=work, daemon=True).start()
        while True:
            manager.throw_exception_if_processing_interrupted()
            try:
                answer = answers.get(timeout=CANCEL_SECONDS)
            except queue.Empty:
                continue
            if isinstance(answer, Exception):
                raise answer
            return answer


def _endpoint(wanted: Endpoint) -> Stoppable:
    account = _account()
    url = wanted.url.strip() or account.url or OLLAMA
    try:
        _origin(url)
    except ValueError as error:  # a bracket without its partner, a port that is no number
        need, fix = f"an address such as {OLLAMA}", "Check the spelling."
        raise InputError("endpoint", got=repr(url), need=need, fix=fix) from error
    key = account.key if _may_have_key(url, account.url) else None
    captioner = EndpointCaptioner(url, wanted.model.strip(), key, wanted.timeout, KEY_PLACE)
    return Stoppable(captioner, url)


def _check_host(url: str) -> None:
    """Pictures go to this machine, to the account's address, and to hosts that this machine's
    settings name. A workflow may name any other: it must be allowed once, outside of the graph.
    """
    host = urlsplit(url).hostname
    named = os.environ.get(HOSTS_VARIABLE) or _setting(HOSTS_SETTING)
    own = urlsplit(_account().url).hostname
    if host in (*LOOPBACK, own, *named.replace(",", " ").lower().split()):
        return
    raise InputError(
        "endpoint",
        got=f"{host}, to which the pictures would be sent",
        need="this machine, the address of the settings, or a host that you have allowed",
        fix=f"If you trust it, add it to {HOSTS_VARIABLE} where ComfyUI is started, or to "
        f'"{HOSTS_SETTING}" in its settings.',
    )


def _setting(name: str) -> str:
    path = Path(folder_paths.get_user_directory()) / "default" / "comfy.settings.json"
    try:
        return str(json.loads(path.read_text(encoding="utf-8")).get(name) or "")
    except (OSError, ValueError, AttributeError, RecursionError):
        return ""


def _account() -> Account:
    """Key and address, both out of the environment, or else both out of ComfyUI's settings."""
    if KEY_VARIABLE in os.environ:
        url, key = os.environ.get(URL_VARIABLE), os.environ[KEY_VARIABLE]
    else:
        url, key = _setting(URL_SETTING), _setting(KEY_SETTING)
    return Account(str(url or "").strip(), str(key or "").strip() or None)


def _may_have_key(url: str, own: str) -> bool:
    """Nobody else's address; without one of their own, people's keys are for this machine."""
    if own:
        return _origin(url) == _origin(own)
    return urlsplit(url).hostname in LOOPBACK


def _origin(url: str) -> tuple[str, str | None, int | None]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname, parts.port or {"http": 80, "https": 443}.get(parts.scheme)


def _reference_picture(reference: Tensor | None) -> np.ndarray:
    if reference is None:
        raise _missing("reference", "a picture of the character", "appearance")
    check_frames("reference", reference)
    image = to_uint8(reference[0])
    return shrink(image, picture_scale(*image.shape[:2], BUDGET))


def _motion(driving: object, fps: float) -> MotionSample:
    if driving is None:
        raise _missing("driving", "the driving video", "motion")
    clip = driving_of(driving, fps, "driving frames").clip

    def frames() -> Iterator[Frame]:
        for frame in watched(read_frames(clip)):
            yield frame._replace(image=to_uint8(frame.image))

    with naming(clip, "driving"):
        return sample_by_motion(frames, BUDGET)


def _missing(name: str, what: str, text: str) -> InputError:
    need = f"{what}, to ask the captioner about, or the {text} typed by hand"
    return InputError(name, got="nothing", need=need, fix=f"Wire it in, or write the {text}.")
