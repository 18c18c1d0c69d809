"""ComfyUI's VIDEO, IMAGE and AUDIO as the core's clips, and files of the temp folder."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple
from uuid import uuid4

import av
import folder_paths
import torch
from comfy_api.latest import InputImpl
from torch import Tensor

from ...dreamactor_core.errors import InputError
from ...dreamactor_core.media import Footage, Sound, read_sound, write_sound

SUBFOLDER = "dreamactor"


class TempFile(NamedTuple):
    path: Path
    view: dict[str, str]  # as ComfyUI's /view takes it


class Driving(NamedTuple):
    clip: Path | Footage
    audio: dict | None = None  # AUDIO of a clip in memory; a file has its own


def temp_file(suffix: str) -> TempFile:
    """A new name in ComfyUI's temp folder, which is emptied when ComfyUI starts."""
    folder = Path(folder_paths.get_temp_directory()) / SUBFOLDER
    folder.mkdir(parents=True, exist_ok=True)
    name = f"{uuid4().hex}{suffix}"
    return TempFile(folder / name, {"filename": name, "subfolder": SUBFOLDER, "type": "temp"})


def lasting(name: str) -> Path:
    """A folder of ours that outlives the start of ComfyUI, and that no browser can read."""
    return Path(folder_paths.get_system_user_directory("dreamactor")) / name


def driving_of(value: InputImpl.VideoFromFile | Tensor, fps: float, name: str) -> Driving:
    """A VIDEO, or IMAGE frames at fps. A whole file is only named: its frames are streamed."""
    if isinstance(value, Tensor):
        return Driving(Footage(value.cpu(), fps, name=name))
    if isinstance(value, InputImpl.VideoFromFile):
        source = value.get_stream_source()
        if isinstance(source, str) and _is_whole(value, source):
            return Driving(Path(source))
    try:
        parts = value.get_components()
    except (av.FFmpegError, ValueError) as error:
        raise InputError(
            name,
            got=f"a VIDEO that cannot be decoded ({error})",
            need="one with at least one picture",
            fix="Choose another part of it, or another file.",
        ) from error
    return Driving(Footage(parts.images.cpu(), float(parts.frame_rate), name=name), parts.audio)


@contextmanager
def naming(clip: Path | Footage, name: str) -> Iterator[None]:
    """An InputError about the clip's file names the node's input, and no path of the server."""
    try:
        yield
    except InputError as error:
        error.what = error.what.replace(str(clip), f"{name} ({Path(str(clip)).name})")
        raise


def audible(driving: Driving) -> Path | Footage:
    """The clip, with its AUDIO beside it as a file."""
    if driving.audio is None or isinstance(driving.clip, Path):  # a file has its own
        return driving.clip
    file = temp_file(".wav")
    samples = driving.audio["waveform"][0].float().cpu().numpy()
    write_sound(file.path, Sound(samples, int(driving.audio["sample_rate"])))
    return replace(driving.clip, sound=file.path)


def audio_of(driving: Driving, start: float, duration: float) -> dict | None:
    """AUDIO of the part that is used, None where nothing is heard."""
    if isinstance(driving.clip, Path):
        sound = read_sound(driving.clip, start, duration)
        if sound is None:
            return None
        return {"waveform": torch.from_numpy(sound.samples)[None], "sample_rate": sound.rate}
    if driving.audio is None:
        return None
    rate = driving.audio["sample_rate"]
    part = slice(round(start * rate), round((start + duration) * rate))
    waveform = driving.audio["waveform"][..., part]
    return {"waveform": waveform, "sample_rate": rate} if waveform.shape[-1] else None


def _is_whole(video: InputImpl.VideoFromFile, path: str) -> bool:
    # The window itself is told by newer hosts only.
    try:
        return video.get_duration() == InputImpl.VideoFromFile(path).get_duration()
    except (av.FFmpegError, ValueError):
        return True  # what is wrong with the file, the core says in a sentence
