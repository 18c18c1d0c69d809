"""Small clips of the kinds that cameras, editors and browsers write, made for one test each."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np

PATCHES = ((128, 128, 128), (255, 0, 0), (198, 134, 66), (255, 255, 255))


def grey_frames(count: int, height: int = 32, width: int = 48):
    """Frames that carry their number as a grey level: 10, 14, 18, ..."""
    for k in range(count):
        yield np.full((height, width, 3), 10 + 4 * (k % 60), np.uint8)


def number_of(image: np.ndarray) -> int:
    return round((float(image.mean()) - 10) / 4)


def chart() -> np.ndarray:
    """(64, 256, 3): four patches of 64 pixels, as PATCHES."""
    return np.repeat(np.array([PATCHES], np.uint8), 64, axis=1).repeat(64, axis=0)


def patches(image: np.ndarray) -> np.ndarray:
    """The four colours of a chart, (4, 3)."""
    return image[image.shape[0] // 2, 32::64].astype(int)


def to_light(values: np.ndarray) -> np.ndarray:
    """sRGB 0 to 255 -> linear light, 0 to 1."""
    signal = values / 255
    return np.where(signal <= 0.04045, signal / 12.92, ((signal + 0.055) / 1.055) ** 2.4)


BT709_TO_2020 = np.array(
    [[0.6274, 0.3293, 0.0433], [0.0691, 0.9195, 0.0114], [0.0164, 0.0880, 0.8956]]
)
BT709_TO_P3 = np.array(
    [[0.8225, 0.1774, 0.0000], [0.0332, 0.9669, 0.0000], [0.0171, 0.0724, 0.9108]]
)


def tagged(path: Path, signal: np.ndarray, tags: tuple[int, int, int], frames: int = 3) -> Path:
    """A clip of a signal (h, w, 3) in 0 to 1, 10 bit, tagged (primaries, transfer, matrix)."""
    primaries, transfer, matrix = tags
    kr, kb = (0.2627, 0.0593) if matrix == 9 else (0.2126, 0.0722)
    luma = signal @ [kr, 1 - kr - kb, kb]
    blue = (signal[..., 2] - luma) / (2 * (1 - kb))
    red = (signal[..., 0] - luma) / (2 * (1 - kr))
    planes = [64 + 876 * luma, 512 + 896 * blue, 512 + 896 * red]
    with av.open(str(path), "w") as out:
        track = out.add_stream("ffv1", rate=8)
        track.height, track.width, track.pix_fmt = *signal.shape[:2], "yuv444p10le"
        context = track.codec_context
        context.color_primaries, context.color_trc = primaries, transfer
        context.colorspace, context.color_range = matrix, 1
        for k in range(frames):
            frame = av.VideoFrame(signal.shape[1], signal.shape[0], "yuv444p10le")
            for plane, values in zip(frame.planes, planes, strict=True):
                rows = np.zeros((plane.height, plane.line_size // 2), np.uint16)
                rows[:, : plane.width] = values.round()
                plane.update(rows.tobytes())
            if hasattr(frame, "color_primaries"):  # an older PyAV has them of the stream alone
                frame.color_primaries, frame.color_trc = primaries, transfer
            frame.colorspace, frame.color_range = matrix, 1
            frame.pts, frame.time_base = k, Fraction(1, 8)
            out.mux(track.encode(frame))
        out.mux(track.encode(None))
    return path


def with_sound(
    path: Path, codec: str, layout: str = "mono", rate: int = 48_000, frames: int = 8
) -> Path:
    """One second at 8 frames a second, with a tone in every channel, each at half its height."""
    with av.open(str(path), "w") as out:
        film = out.add_stream("mpeg4" if path.suffix == ".avi" else "libx264", rate=8)
        film.height, film.width, film.pix_fmt = 32, 48, "yuv420p"
        track = out.add_stream(codec, rate=rate, layout=layout)
        for k, image in enumerate(grey_frames(frames)):
            frame = av.VideoFrame.from_ndarray(image, "rgb24").reformat(format="yuv420p")
            frame.pts, frame.time_base = k, Fraction(1, 8)
            out.mux(film.encode(frame))
        out.mux(film.encode(None))
        channels = track.codec_context.layout.nb_channels
        tone = 0.5 * np.sin(np.arange(rate) * 2 * np.pi * 440 / rate)
        packed = (np.repeat(tone[:, None], channels, axis=1) * 32_767).astype(np.int16)
        frame = av.AudioFrame.from_ndarray(packed.reshape(1, -1), "s16", layout)
        frame.sample_rate, frame.pts, frame.time_base = rate, 0, Fraction(1, rate)
        out.mux(track.encode(frame))
        out.mux(track.encode(None))
    return path


def heard(path: Path) -> list[tuple[str, int, int]]:
    """(codec, rate, channels) of each sound track."""
    with av.open(str(path)) as container:
        contexts = [track.codec_context for track in container.streams.audio]
        return [(c.name, c.sample_rate, c.layout.nb_channels) for c in contexts]


def encoded(path: Path, images, *, codec="libx264", rate=10, first=0, **stream) -> Path:
    """Images (h, w, 3) as a clip; first: the time of the first, in frames."""
    options = {"avoid_negative_ts": "disabled"} if path.suffix == ".mp4" else {}
    with av.open(str(path), "w", options=options) as out:
        add_film(out, images, codec, rate, first, **stream)
    return path


def add_film(out, images, codec="libx264", rate=10, first=0, **stream) -> av.VideoStream:
    """One more video track, written whole."""
    images = list(images)
    pix_fmt = stream.pop("pix_fmt", "yuv420p")
    track = out.add_stream(codec, rate=rate, options=stream.pop("options", {}))
    track.height, track.width = images[0].shape[:2]
    track.pix_fmt = pix_fmt
    track.metadata.update(stream.pop("metadata", {}))
    for name, value in stream.items():
        setattr(track, name, value)
    packets = []
    for k, image in enumerate(images):
        source = "rgba" if image.shape[2] == 4 else "rgb24"
        frame = av.VideoFrame.from_ndarray(image, source).reformat(format=pix_fmt)
        frame.pts, frame.time_base = first + k, Fraction(1, rate)
        packets += track.encode(frame)
    for packet in packets + track.encode(None):
        out.mux(packet)
    return track


def names(folder: Path | str) -> list[str]:
    """What lies in a folder, sorted."""
    return sorted(path.name for path in Path(folder).iterdir())
