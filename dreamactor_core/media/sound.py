"""The sound of a clip as samples, and samples as a file. Samples are float32 in [-1, 1]."""

from __future__ import annotations

import wave
from collections.abc import Iterator
from fractions import Fraction
from os import PathLike
from typing import NamedTuple

import av
import numpy as np

from ..errors import InputError
from .read import open_media, scan
from .replace import replacing


class Sound(NamedTuple):
    samples: np.ndarray  # (channels, n)
    rate: int  # samples a second


def read_sound(
    path: str | PathLike, start: float = 0.0, duration: float | None = None
) -> Sound | None:
    """What is heard during [start, start + duration) of a video file: a Sound, or None.

    The samples begin with the picture at `start` and last as long as the pictures do; silence
    stands where the file has no sound. A damaged track ends early.
    """
    whole = scan(path)
    if not whole.info.has_audio:
        return None
    seconds = whole.info.cut(start, duration).duration
    begin = whole.origin + Fraction(start)
    with open_media(whole.info.path) as container:
        track = container.streams.audio[0]
        rate, samples = track.rate, None
        for frame in _decoded(container, track):
            if samples is None:
                samples = np.zeros((frame.layout.nb_channels, round(seconds * rate)), np.float32)
            at = round((frame.pts * frame.time_base - begin) * rate)
            if at >= samples.shape[1]:
                break
            heard = frame.to_ndarray()[:, max(0, -at) :]
            room = samples[:, max(0, at) :][:, : heard.shape[1]]
            room[:] = heard[:, : room.shape[1]]
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


def _decoded(container, track) -> Iterator[av.AudioFrame]:
    """Planar float frames of the track that say when they are heard."""
    resampler = av.AudioResampler(format="fltp")
    try:
        for frame in container.decode(track):
            yield from (part for part in resampler.resample(frame) if part.pts is not None)
    except av.FFmpegError:
        return
