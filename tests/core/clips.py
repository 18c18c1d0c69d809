"""Clips for the tests: grey frames of known levels, files as other programs write them."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from dreamactor_core.media import read_frames, write_image, write_video
from dreamactor_core.pose.keypoints import save_keypoints

from .poses import pose_of


def grey(level: int, height: int = 32, width: int = 32) -> np.ndarray:
    return np.full((height, width, 3), level, np.uint8)


def levels(count: int) -> list[int]:
    """Neighbours differ by 11 or more, so that none is taken for another."""
    return [20 + 11 * (7 * k % 20) for k in range(count)]


def means(path) -> list[float]:
    return [float(frame.image.mean()) for frame in read_frames(path)]


def encode(path, codec, images, *, rate=25, pix_fmt="yuv420p", pts=None, sound=None, **stream):
    """A clip as other programs write it; pts in ticks of 1/rate, sound names a codec."""
    with av.open(str(path), "w") as out:
        track = out.add_stream(codec, rate=rate, options=stream.pop("options", {}))
        audio = out.add_stream(sound, rate=48000) if sound else None
        for name, value in stream.items():
            setattr(track, name, value)
        for k, image in enumerate(images):
            if k == 0:
                track.height, track.width, track.pix_fmt = *image.shape[:2], pix_fmt
            frame = av.VideoFrame.from_ndarray(image, "rgb24").reformat(format=pix_fmt)
            frame.pts, frame.time_base = pts[k] if pts else k, Fraction(1, rate)
            out.mux(track.encode(frame))
        out.mux(track.encode(None))
        if audio:
            out.mux(audio.encode(beep()))
            out.mux(audio.encode(None))
    return path


def beep() -> av.AudioFrame:
    """One second at 48 kHz: silence, but for a tone from 0.50 s to 0.60 s."""
    wave = np.zeros((1, 48000), np.int16)
    wave[0, 24000:28800] = 20000 * np.sin(np.arange(4800) / 10)
    frame = av.AudioFrame.from_ndarray(wave, format="s16", layout="mono")
    frame.sample_rate, frame.pts, frame.time_base = 48000, 0, Fraction(1, 48000)
    return frame


def tone(path) -> tuple[str, float, float]:
    """Codec of a clip's sound, and the seconds between which it can be heard."""
    with av.open(str(path)) as container:
        track = container.streams.audio[0]
        heard = []
        for frame in container.decode(track):
            loud = np.abs(frame.to_ndarray().astype(np.float32)).max(0)
            loud = loud / (32768 if frame.format.name.startswith("s16") else 1)
            heard += [frame.time + i / frame.sample_rate for i in np.flatnonzero(loud > 0.2)]
        return track.codec_context.codec.canonical_name, heard[0], heard[-1]


def write_inputs(folder: Path, frames: int) -> Path:
    """picture.png, clip.mp4 of so many frames at 8 fps, and its pose.json; returns the folder."""
    write_image(folder / "picture.png", grey(100))
    write_video(folder / "clip.mp4", map(grey, levels(frames)), 8)
    save_keypoints(folder / "pose.json", pose_of(frames), 32, 32)
    return folder
