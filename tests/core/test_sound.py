"""Sound of every codec, rate and number of channels under new pictures, and as samples."""

from __future__ import annotations

import subprocess
import sys
from itertools import pairwise

import av
import numpy as np
import pytest

from dreamactor_core.media import probe, read_frames, read_sound, write_video

from .field_clips import heard, with_sound


def rewritten(path, ending=".mp4"):
    out = path.with_name(f"out{ending}")
    info = probe(path)
    frames = (frame.image for frame in read_frames(path))
    write_video(out, frames, info.times, duration=info.duration, audio_from=path)
    return out


MANY = [
    ("pcm.mov", "pcm_s16le", "7.1"),
    ("wide.mov", "pcm_s16le", "FL+FR+FC+DL+DR"),  # a layout made for this file
    ("sixteen.mov", "pcm_s24le", "16 channels"),
    ("ring.mkv", "pcm_s16le", "octagonal"),
    ("aac.mp4", "aac", "7.1"),
    ("flac.mkv", "flac", "6.1"),
    ("opus.mkv", "libopus", "5.1"),
    ("room.mkv", "wavpack", "hexadecagonal"),  # a plane for each channel, and more than 8
    ("many.mkv", "wavpack", "11 channels"),
]


SCRIPT = """
import sys
from dreamactor_core.media import *
for path in sys.argv[1:]:
    sound = read_sound(path)
    frames = (frame.image for frame in read_frames(path))
    write_video(path + ".out.mp4", frames, probe(path).times, audio_from=path)
    print(path, sound.samples.shape, abs(sound.samples).max(), flush=True)
"""


def test_any_number_of_channels_is_heard_as_two(tmp_path):
    paths = [str(with_sound(tmp_path / name, codec, layout)) for name, codec, layout in MANY]
    # In a process of its own, for what goes wrong here ends the process.
    result = subprocess.run(
        [sys.executable, "-c", SCRIPT, *paths], capture_output=True, text=True, check=False
    )
    lines = result.stdout.splitlines()
    assert (result.returncode, len(lines)) == (0, len(MANY)), result.stdout + result.stderr
    for path, line in zip(paths, lines, strict=True):
        assert line.startswith(f"{path} (2, 48000) ")
        assert 0.3 < float(line.split()[-1]) < 0.7, line  # each channel has 0.5: none clips
        assert len(heard(f"{path}.out.mp4")) == 1 and probe(f"{path}.out.mp4").num_frames == 8


@pytest.mark.parametrize(
    ("name", "codec", "rate", "result"),
    [
        ("a.mkv", "libmp3lame", 11_025, "aac"),  # MP4 takes MP3 from 16 kHz
        ("b.mkv", "libmp3lame", 8_000, "aac"),
        ("c.mkv", "libmp3lame", 44_100, "mp3float"),
        ("d.avi", "adpcm_ms", 11_025, "aac"),
        ("e.mkv", "mp2", 48_000, "aac"),
        ("f.ts", "aac", 48_000, "aac"),  # framed otherwise there
        ("g.mkv", "flac", 96_000, "flac"),
        ("h.mkv", "pcm_s16le", 192_000, "aac"),
        ("i.mov", "alac", 44_100, "alac"),
    ],
)
def test_sound_is_copied_where_mp4_can_hold_it_and_else_made_aac(
    tmp_path, name, codec, rate, result
):
    out = rewritten(with_sound(tmp_path / name, codec, "mono", rate))
    assert [found[0] for found in heard(out)] == [result]
    sound = read_sound(out)
    assert 0.4 < np.abs(sound.samples).max() < 0.65
    assert sound.samples.shape[1] / sound.rate == pytest.approx(1, abs=0.06)


@pytest.mark.parametrize(("ending", "codec"), [(".webm", "opus"), (".mov", "aac")])
def test_formats_with_alpha_have_sound_too(tmp_path, ending, codec):
    out = rewritten(with_sound(tmp_path / "a.avi", "pcm_s16le", "stereo", 22_050), ending)
    assert [(found[0], found[2]) for found in heard(out)] == [(codec, 2)]
    assert 0.4 < np.abs(read_sound(out).samples).max() < 0.65


def unknown_codec(path, tracks: int):
    """The sample description of the first `tracks` sound tracks changed to one nobody knows."""
    data = path.read_bytes()
    assert data.count(b"mp4a") >= tracks
    path.write_bytes(data.replace(b"mp4a", b"zzzz", tracks).replace(b"esds", b"zzzz", tracks))
    return path


def test_sound_of_an_unknown_codec_is_silence_and_one_line(tmp_path, caplog):
    path = unknown_codec(with_sound(tmp_path / "a.mp4", "aac"), 1)
    with av.open(str(path)) as container:
        assert container.streams.audio[0].codec_context is None  # the case is what it says
    assert not probe(path).has_audio and read_sound(path) is None
    for _ in range(2):
        out = rewritten(path)
        assert heard(out) == []
        out.unlink()
    assert caplog.text.count("unknown codec") == 1


def test_the_next_known_track_is_taken(tmp_path):
    path = tmp_path / "two.mp4"
    source = with_sound(tmp_path / "one.mp4", "aac")
    with av.open(str(source)) as one, av.open(str(path), "w") as out:
        film = one.streams.video[0]
        sound = one.streams.audio[0]
        film_out = out.add_stream_from_template(film)
        twice = [out.add_stream_from_template(sound) for _ in range(2)]
        for packet in one.demux(film, sound):
            if packet.dts is None:
                continue
            if packet.stream is film:
                packet.stream = film_out
                out.mux(packet)
                continue
            for track in twice:
                copy = av.Packet(bytes(packet))
                copy.pts, copy.dts, copy.time_base = packet.pts, packet.dts, packet.time_base
                copy.stream = track
                out.mux(copy)
    assert len(heard(path)) == 2
    unknown_codec(path, 1)
    assert probe(path).has_audio
    assert np.abs(read_sound(path).samples).max() > 0.4
    assert [found[0] for found in heard(rewritten(path))] == ["aac"]


def test_what_the_first_packet_alone_tells_is_not_missed(tmp_path):
    """AAC of a layout that is told once; that packet lies before the pictures."""
    path = with_sound(tmp_path / "wide.ts", "aac", "7.1(wide)")
    assert [found[0] for found in heard(rewritten(path))] == ["aac"]


def test_sound_behind_an_edit_list_stays_in_step(tmp_path):
    source = with_sound(tmp_path / "a.mp4", "aac")
    out = tmp_path / "part.mp4"
    part = probe(source).cut(0.5)
    frames = (frame.image for frame in read_frames(source, 0.5))
    write_video(out, frames, part.times, duration=part.duration, audio_from=source, audio_start=0.5)
    with av.open(str(out)) as container:
        times = [packet.pts for packet in container.demux(audio=0) if packet.size]
    assert all(a < b for a, b in pairwise(times))
    assert read_sound(out).samples.shape[1] == pytest.approx(24_000, abs=1500)
