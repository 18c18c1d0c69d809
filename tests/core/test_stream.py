"""A video that takes frames one by one: whole or absent, and failures reach who hands them over."""

import threading

import numpy as np
import pytest

from dreamactor_core.errors import InputError
from dreamactor_core.media import probe, video_stream, write_video


def frames(count: int) -> list[np.ndarray]:
    return [np.full((16, 16, 3), 20 * k, np.uint8) for k in range(count)]


def encoders() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith("encoding")]


def test_the_file_is_that_of_frames_that_are_asked_for(tmp_path):
    times = [0, 0.1, 0.25, 0.3]
    write_video(tmp_path / "asked.mp4", frames(4), times, duration=0.5)
    with video_stream(tmp_path / "given.mp4", times, duration=0.5) as write:
        for frame in frames(4):
            write(frame)
    assert (tmp_path / "given.mp4").read_bytes() == (tmp_path / "asked.mp4").read_bytes()
    assert probe(tmp_path / "given.mp4").num_frames == 4 and not encoders()


@pytest.mark.parametrize("count", [0, 1, 3])
def test_whatever_the_caller_raises_leaves_no_file(tmp_path, count):
    with (
        pytest.raises(KeyboardInterrupt),
        video_stream(tmp_path / "out.mp4", [0, 0.1, 0.2]) as write,
    ):
        for frame in frames(count):
            write(frame)
        raise KeyboardInterrupt
    assert not [*tmp_path.iterdir()] and not encoders()


def test_an_encoder_that_fails_is_heard_of_and_does_not_block(tmp_path):
    with (
        pytest.raises(InputError, match="frame 1 of the video"),
        video_stream(tmp_path / "out.mp4", 8) as write,
    ):
        for side in (16, 18, 18, 18, 18):
            write(np.zeros((side, side, 3), np.uint8))
    with (
        pytest.raises(InputError, match="number of frames: got 1"),
        video_stream(tmp_path / "out.mp4", [0, 0.1]) as write,
    ):
        write(frames(1)[0])
    assert not [*tmp_path.iterdir()] and not encoders()
