"""The sound of a clip as samples, and samples as a file. Samples are float32 in [-1, 1]."""

from __future__ import annotations

import wave
from contextlib import suppress
from fractions import Fraction
from os import PathLike
from typing import NamedTuple

import av
import numpy as np

from ..errors import InputError
from .container import open_media
from .replace import replacing
from .scan import scan
from .tracks import sound_frames, sound_track


class Sound(NamedTuple):
    samples: np.ndarray  # (channels, n)
    rate: int  # samples a second


def read_sound(
    path: str | PathLike, start: float = 0.0, duration: float | None = None
) -> Sound | None:
    """What is heard during [start, start + duration) of a video file: a Sound, or None.

    One or two channels; more are mixed to two. The samples begin with the picture at `start` and
    last as long as the pictures do; silence stands where the file has no sound. A damaged track
    ends early.
    """
    whole = scan(path)
    if not whole.info.has_audio:
        return None
    seconds = whole.info.cut(start, duration).duration
    begin = whole.origin + Fraction(start)
    with open_media(whole.info.path) as container:
        track = sound_track(container)
        assert track is not None, "scan has heard it"
        rate, samples = track.codec_context.sample_rate, None
        with suppress(av.FFmpegError):
            for frame in sound_frames(container, track):
                channels = frame.layout.nb_channels
                if samples is None:
                    samples = np.zeros((channels, round(seconds * rate)), np.float32)
                at = round((frame.pts * frame.time_base - begin) * rate)
                if at >= samples.shape[1]:
                    break
                heard = frame.to_ndarray().reshape(-1, channels).T[:, max(0, -at) :]
                room = samples[:, max(0, at) :][:, : heard.shape[1]]
                room[:] = heard[: len(room), : room.shape[1]]
    return None if samples is None else Sound(samples, rate)


def write_sound(path: str | PathLike, sound: Sound) -> None:
    """Save as WAV of 16 bits; an older file is replaced. Raises InputError for NaN."""
    if not np.isfinite(sound.samples).all():
        raise InputError(
            "audio", got="NaN or infinity", need="samples from -1 to 1", fix="Load it again."
        )
    values = (sound.samples.clip(-1, 1) * 32767).round().astype("<i2")
    with replacing(path, overwrite=True) as part, wave.open(str(part), "wb") as out:
        out.setnchannels(len(values))
        out.setsampwidth(2)
        out.setframerate(sound.rate)
        out.writeframes(values.T.tobytes())
