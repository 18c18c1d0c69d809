"""Clips in memory, and sound as samples."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
import torch

from dreamactor_core.errors import InputError
from dreamactor_core.media import (
    Footage,
    Sound,
    probe,
    read_frames,
    read_sound,
    write_sound,
    write_video,
)

from .clips import encode, grey, tone


def ramp(count: int) -> torch.Tensor:
    """(count, 4, 6, 3): frame k has the level k / 100 everywhere."""
    return torch.arange(count).view(-1, 1, 1, 1).expand(-1, 4, 6, 3) / 100


def test_a_clip_in_memory_answers_as_a_file_does(tmp_path):
    rate = Fraction(30000, 1001)
    write_video(tmp_path / "clip.mp4", [grey(0)] * 12, rate)
    file, memory = probe(tmp_path / "clip.mp4"), probe(Footage(torch.zeros(12, 32, 32, 3), rate))
    assert memory.times == pytest.approx(file.times, abs=1e-4)
    assert memory.duration == pytest.approx(file.duration, abs=1e-4)
    for name in ("width", "height", "num_frames", "fps", "variable_rate", "has_audio"):
        assert getattr(memory, name) == getattr(file, name), name


def test_a_part_of_it_begins_at_the_frame_on_screen():
    clip = Footage(ramp(20), 10.0)
    part = list(read_frames(clip, 0.55, 0.3))
    assert [round(float(frame.image[0, 0, 0]) * 100) for frame in part] == [5, 6, 7, 8]
    assert [frame.time for frame in part] == pytest.approx([0, 0.05, 0.15, 0.25])
    assert [frame.time for frame in part] == list(probe(clip).cut(0.55, 0.3).times)
    with pytest.raises(InputError, match="part of driving frames"):
        read_frames(clip, 2.5)


@pytest.mark.parametrize(
    ("frames", "fps", "message"),
    [
        (ramp(0), 8, r"at least 1 picture"),
        (torch.zeros(2, 4, 6, 4), 8, r"\(2, 4, 6, 4\), need .* take the alpha channel off first"),
        (torch.zeros(4, 6, 3), 8, r"\(4, 6, 3\)"),
        (ramp(3) / 0, 8, "NaN or infinity in picture 0"),
        (ramp(3), 0, "rate of the driving frames: got 0"),
        (ramp(3), float("nan"), "rate of the driving frames: got nan"),
    ],
)
def test_frames_that_cannot_be_shown_are_refused(frames, fps, message):
    with pytest.raises(InputError, match=message):
        Footage(frames, fps)


def test_sound_begins_with_the_picture_and_lasts_as_long(tmp_path):
    images = [grey(k) for k in range(30)]
    encode(tmp_path / "clip.mp4", "libx264", images, rate=30, sound="aac")  # tone at 0.5 to 0.6 s
    for start, duration, count, first in ((0.0, None, 48000, 0.5), (0.3, 0.5, 24000, 0.2)):
        sound = read_sound(tmp_path / "clip.mp4", start, duration)
        assert (sound.rate, sound.samples.shape[1]) == (48000, count)
        loud = np.flatnonzero(np.abs(sound.samples[0]) > 0.2) / 48000
        assert (loud[0], loud[-1]) == pytest.approx((first, first + 0.1), abs=0.03)
    write_video(tmp_path / "silent.mp4", images, 30)
    assert read_sound(tmp_path / "silent.mp4") is None


def test_silence_stands_where_a_clip_has_no_sound(tmp_path):
    images = [grey(k) for k in range(60)]
    encode(tmp_path / "clip.mp4", "libx264", images, rate=30, sound="aac")  # one second of two
    sound = read_sound(tmp_path / "clip.mp4")
    assert sound.samples.shape[1] == 96000 and np.abs(sound.samples[:, 50000:]).max() == 0


def test_samples_written_are_heard_under_the_frames(tmp_path):
    samples = np.zeros((2, 16000), np.float32)
    samples[:, 4000:8000] = 0.5 * np.sin(np.arange(4000) / 5)
    write_sound(tmp_path / "sound.wav", Sound(samples, 16000))
    write_video(tmp_path / "clip.mp4", [grey(0)] * 8, 8, audio_from=tmp_path / "sound.wav")
    _, first, last = tone(tmp_path / "clip.mp4")
    assert (first, last) == pytest.approx((0.25, 0.5), abs=0.03)
    with pytest.raises(InputError, match="audio: got NaN"):
        write_sound(tmp_path / "sound.wav", Sound(samples * np.nan, 16000))
