"""What the widgets in the browser show: files of the temp folder, and how they belong together."""

from __future__ import annotations

from pathlib import Path

from torch import Tensor

from ...dreamactor_core.media import (
    Footage,
    VideoInfo,
    fit,
    probe,
    read_frames,
    retime,
    write_image,
    write_video,
)
from .video import TempFile, driving_of, temp_file


def player(reference: Tensor, driving: object, result: object, fps: float) -> dict:
    """Any three for the player node: both clips at the result's size, rate and length."""
    shown = driving_of(result, fps, "result").clip
    info = probe(shown)
    rate = float(info.fps)
    videos = []
    for clip in (driving_of(driving, fps, "driving frames").clip, shown):
        file = temp_file(".mp4")
        images = retime(read_frames(clip), rate, info.duration)
        sized = (fit(image, info.height, info.width) for image in images)
        write_video(file.path, sized, info.fps)
        videos.append(file)
    return player_of(reference, *videos, probe(videos[1].path))


def driver_beside(clip: Path | Footage, result: VideoInfo) -> TempFile:
    """The driving video with the result's size and its very frames and times."""
    file = temp_file(".mp4")
    images = (fit(frame.image, result.height, result.width) for frame in read_frames(clip))
    write_video(file.path, images, result.times, duration=result.duration)
    return file


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
