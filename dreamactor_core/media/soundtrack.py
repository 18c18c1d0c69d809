"""The sound of a file put under new pictures: copied where the new file can hold it, else encoded.

Whether it can is tried on the first packets, before any picture is made: some containers refuse
what they cannot hold only when they are closed.
"""

from __future__ import annotations

import io
import logging
from collections.abc import Generator, Iterator
from contextlib import closing, suppress
from fractions import Fraction
from itertools import islice
from os import PathLike
from pathlib import Path
from typing import NamedTuple

import av
from av.codec.context import Flags

from ..errors import InputError
from .container import open_media
from .scan import scan
from .tracks import missing_sound, sound_frames, sound_track

logger = logging.getLogger(__name__)

AAC_RATES = {8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000, 88200, 96000}
TRIED = 8  # packets


class Sounds(NamedTuple):
    """What a container can hold."""

    format: str  # its name in FFmpeg
    kept: frozenset[str]  # codecs that are copied as they are
    encoder: str  # for all others
    rates: frozenset[int]  # that the encoder takes; 48,000 stands for others


MP4 = Sounds(
    "mp4",
    frozenset({"aac", "mp3", "ac3", "eac3", "alac", "flac", "opus"}),
    "aac",
    frozenset(AAC_RATES),
)
MOV = Sounds("mov", frozenset({"aac", "mp3", "ac3", "eac3", "alac"}), "aac", frozenset(AAC_RATES))
WEBM = Sounds("webm", frozenset({"opus", "vorbis"}), "libopus", frozenset({48_000}))


def add_sound(
    out: av.container.OutputContainer, sounds: Sounds, path: str | PathLike, start: float
) -> Iterator[av.Packet]:
    """Make a sound track; return its packets on the clock of the frames, ready to mux.

    start: seconds after the first frame of the file. A file whose sound cannot be heard gives no
    track, and a word in the log.
    """
    source = open_media(Path(path))
    try:
        heard = sound_track(source)
        if heard is None:
            missing_sound(Path(path), source)
            source.close()
            return iter(())
        begin = (heard.start_time or 0) * heard.time_base
        with suppress(InputError):  # no pictures: the sound counts from its own beginning
            begin = scan(path).origin
        begin += Fraction(start)
        far = start > 1
        if far:
            _seek(source, begin)
        if _can_copy(Path(path), sounds, begin, far):
            packets = _copied(source, heard, out.add_stream_from_template(heard), begin)
        else:
            packets = _encoded(source, heard, _encoder(out, sounds, heard), begin)
    except BaseException:
        source.close()
        raise
    return _until_damaged(source, packets, path)


def _seek(source: av.container.InputContainer, begin: Fraction) -> None:
    with suppress(av.FFmpegError):  # what lies before `begin` is dropped in any case
        source.seek(int((begin - 1) * av.time_base))


def _can_copy(path: Path, sounds: Sounds, begin: Fraction, far: bool) -> bool:
    """Whether a container takes the track as it is: tried in memory on the very first packets
    that would be copied, for what the file's first one tells may be missing in them."""
    with open_media(path) as source:
        heard = sound_track(source)
        assert heard is not None, "add_sound has heard it"
        if heard.codec_context.codec.canonical_name not in sounds.kept:
            return False
        if far:
            _seek(source, begin)
        try:
            with av.open(io.BytesIO(), "w", format=sounds.format) as trial:
                copy = trial.add_stream_from_template(heard)
                for packet in islice(_copied(source, heard, copy, begin), TRIED):
                    trial.mux(packet)
        except (av.FFmpegError, ValueError):
            return False
    return True


def _encoder(out, sounds: Sounds, heard: av.AudioStream) -> av.AudioStream:
    rate = heard.codec_context.sample_rate
    channels = heard.codec_context.layout.nb_channels
    layout = {1: "mono", 6: "5.1"}.get(channels, "stereo")
    rate = rate if rate in sounds.rates else 48_000
    track = out.add_stream(sounds.encoder, rate=rate, layout=layout)
    track.codec_context.flags |= Flags.bitexact
    return track


def _whole(source, heard) -> Iterator[av.Packet]:
    """The packets that are heard: an edit list may leave some out."""
    for packet in source.demux(heard):
        if packet.pts is not None and packet.size and not packet.is_discard:
            yield packet


def _copied(source, heard, track, begin: Fraction) -> Generator[av.Packet]:
    before = None
    for packet in _whole(source, heard):
        shift = round(begin / packet.time_base)
        if packet.pts + max(packet.duration or 0, 1) <= shift:
            continue
        packet.pts -= shift
        if before is not None and packet.pts <= before:
            continue  # a file cut together badly: the muxer takes rising times alone
        before = packet.dts = packet.pts  # sound is stored in the order heard
        packet.stream = track
        yield packet


def _encoded(source, heard, track, begin: Fraction) -> Generator[av.Packet]:
    rate, layout = track.codec_context.sample_rate, track.codec_context.layout.name
    following = None  # samples so far; WebM's times, rounded to 1 ms, would tear the sound
    for frame in sound_frames(source, heard, layout, rate):
        at = round((frame.pts * frame.time_base - begin) * rate)
        if at + frame.samples <= 0:
            continue
        if following is not None and at < following + rate / 20:
            at = following
        following = at + frame.samples
        frame.time_base, frame.pts = Fraction(1, rate), at
        yield from track.encode(frame)
    yield from track.encode(None)


def _until_damaged(source, packets: Generator[av.Packet], path) -> Iterator[av.Packet]:
    """Damaged sound ends early and is reported; it is no reason to lose the pictures."""
    with source, closing(packets):
        try:
            yield from packets
        except (av.FFmpegError, ValueError) as error:
            logger.warning("%s: the sound is damaged and ends early (%s)", path, error)
