"""The sound tracks of a container, made safe to decode."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np

from .container import say_once

STANDARD = 8  # channels: up to here FFmpeg knows a usual layout of as many


def sound_track(container: av.container.InputContainer) -> av.AudioStream | None:
    """The first track that can be decoded; None without any."""
    return next((track for track in container.streams.audio if _decodable(track)), None)


def missing_sound(path: Path, container: av.container.InputContainer) -> None:
    """Say once that a file has sound, but none that can be heard here."""
    if container.streams.audio:
        say_once(path, "its sound is of an unknown codec and is left out")


def sound_frames(
    container: av.container.InputContainer,
    track: av.AudioStream,
    layout: str | None = None,
    rate: int | None = None,
) -> Iterator[av.AudioFrame]:
    """Packed float frames of the track, those that say when they are heard.

    layout: of the channels, "mono", "stereo", "5.1"; None keeps one or two, and mixes more to two.
    Raises av.FFmpegError where the track is damaged.
    """
    steps: list[av.AudioResampler] = []
    settled = None
    for frame in container.decode(track):
        if frame.layout.nb_channels > STANDARD and _nameless(frame.layout.name):
            frame = _first_two(frame)
        shape = (frame.format.name, frame.layout.name, frame.sample_rate)
        if shape != settled:  # the first frame, or a track that changes on the way
            target = layout or ("mono" if frame.layout.nb_channels == 1 else "stereo")
            # Only in whole numbers does FFmpeg turn a mix down so that it does not clip.
            mixes = frame.layout.nb_channels > av.AudioLayout(target).nb_channels
            steps = [av.AudioResampler("s16", target)] if mixes else []
            steps.append(av.AudioResampler("flt", target, rate or track.codec_context.sample_rate))
            settled = shape
        parts = [frame]
        for step in steps:
            parts = [later for part in parts for later in step.resample(part)]
        yield from (part for part in parts if part.pts is not None)


def _nameless(layout: str) -> bool:
    """Whether nobody says where its channels are heard."""
    return "channels" in layout or "ambisonic" in layout


def _first_two(frame: av.AudioFrame) -> av.AudioFrame:
    """As bytes, plane by plane: of more than eight planes PyAV's arrays read behind the last."""
    size, channels = frame.format.bytes, frame.layout.nb_channels
    planes = [np.frombuffer(plane, np.uint8) for plane in frame.planes[:2]]
    if frame.format.is_planar:
        values = np.stack([plane[: frame.samples * size].reshape(-1, size) for plane in planes], 1)
    else:
        packed = planes[0][: frame.samples * channels * size]
        values = packed.reshape(-1, channels, size)[:, :2]
    two = av.AudioFrame(frame.format.packed.name, "stereo", frame.samples)
    two.planes[0].update(values.tobytes())
    two.sample_rate, two.pts, two.time_base = frame.sample_rate, frame.pts, frame.time_base
    return two


def _decodable(track: av.AudioStream) -> bool:
    context = track.codec_context
    return context is not None and context.sample_rate > 0 and _settle_layout(context) > 0


def _settle_layout(context: av.AudioCodecContext) -> int:
    """Replace a layout made for one file by the usual one of as many channels; their number.

    PyAV (17 and 18 at least) frees the memory of such a layout once for the stream and once for
    each frame, which ends the process. This is the one time that it is read; then it is gone.
    """
    layout = context.layout
    name, channels = layout.name, layout.nb_channels
    if channels and not context.is_open and _nameless(name):
        context.layout = f"{channels}c" if channels <= STANDARD else f"{channels} channels"
    return channels
