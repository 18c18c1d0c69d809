"""What the widgets in the browser show: files of the temp folder, and how they belong together."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import Tensor

from ...dreamactor_core.jobs.inputs import Inputs
from ...dreamactor_core.media import (
    Frame,
    VideoInfo,
    fit,
    probe,
    read_frames,
    retime,
    sound_of,
    video_stream,
    write_image,
    write_video,
)
from .video import TempFile, audible, driving_of, naming, temp_file


def player(reference: Tensor, driving: object, result: object, fps: float) -> dict:
    """Any three for the player node: both clips at the result's size, rate and length, each with
    the sound that it has."""
    shown = audible(driving_of(result, fps, "result"))
    with naming(shown, "result"):
        info = probe(shown)
    rate = float(info.fps)
    videos = []
    for clip in (audible(driving_of(driving, fps, "driving frames")), shown):
        file = temp_file(".mp4")
        images = retime(read_frames(clip), rate, info.duration)
        sized = (fit(image, info.height, info.width) for image in images)
        with naming(clip, "result" if clip is shown else "driving"):
            write_video(file.path, sized, info.fps, audio_from=sound_of(clip))
        videos.append(file)
    before, after = videos
    return player_of(reference, before, after, probe(after.path))


@contextmanager
def driver_beside(inputs: Inputs, height: int, width: int) -> Iterator[tuple[Inputs, TempFile]]:
    """The same inputs, whose frames go into a file of that size as they are read for the model: so
    nothing is decoded twice. The file is whole behind the block.
    """
    file, clip, left, begun = temp_file(".mp4"), inputs.clip, inputs.frames(), False

    with video_stream(file.path, clip.times, duration=clip.duration) as write:

        def frames() -> Iterator[Frame]:
            nonlocal begun
            if begun:  # a model that reads them twice
                yield from inputs.frames()
                return
            begun = True
            for frame in left:
                write(fit(frame.image, height, width))
                yield frame

        yield inputs._replace(frames=frames), file
        for frame in left:  # those behind the last that the model needed
            write(fit(frame.image, height, width))


def player_of(reference: Tensor, driving: TempFile, result: TempFile, info: VideoInfo) -> dict:
    picture = temp_file(".png")
    write_image(picture.path, reference[0])
    shown = {
        "reference": picture.view,
        "driving": driving.view,
        "result": result.view,
        "fps": float(info.fps),
        "frames": info.num_frames,
    }
    return {"dreamactor_player": [shown]}
