"""Drawn footage: what a folder of raw material holds, small."""

from __future__ import annotations

import hashlib
from pathlib import Path

import cv2
import numpy as np

from dreamactor_core.media import Frame, write_video

HEIGHT, WIDTH, FPS = 48, 64, 12


def scene(seed: int, count: int, height: int = HEIGHT, width: int = WIDTH) -> np.ndarray:
    """(count, height, width, 3) uint8: a square wanders over a ground of its own."""
    rng = np.random.default_rng(seed)
    ground = rng.integers(0, 256, (6, 8, 3), dtype=np.uint8)
    ground = cv2.resize(ground, (width, height), interpolation=cv2.INTER_NEAREST)
    frames = np.repeat(ground[None], count, axis=0)
    colour = rng.integers(0, 256, 3)
    phase = rng.uniform(0, 6, 2)
    for t, frame in enumerate(frames):
        x = width * (0.5 + 0.3 * np.sin(0.3 * t + phase[0]))
        y = height * (0.5 + 0.25 * np.cos(0.4 * t + phase[1]))
        half = height // 6
        frame[int(y) - half : int(y) + half, int(x) - half : int(x) + half] = colour
    return frames


def frames_of(images: np.ndarray, fps: float = FPS) -> list[Frame]:
    return [Frame(k / fps, image) for k, image in enumerate(images)]


def write_footage(folder: Path) -> Path:
    """Seven files: a film of two shots, a long shot, and what nobody wants."""
    folder.mkdir(parents=True)
    first, second = scene(1, 24), scene(2, 30)
    film = np.concatenate([first, second])
    blurred = np.stack([cv2.GaussianBlur(frame, (0, 0), 9) for frame in scene(4, 24)])
    larger = np.stack([cv2.resize(frame, (80, 60)) for frame in first])
    for name, frames in (
        ("a film.mp4", film),
        ("b/long.mp4", scene(3, 72)),
        ("b/again.mp4", larger),
        ("still.mp4", scene(5, 24)[:1].repeat(24, axis=0)),
        ("short.mp4", scene(6, 6)),
        ("blurred.mp4", blurred),
    ):
        (folder / name).parent.mkdir(exist_ok=True)
        write_video(folder / name, frames, FPS)
    (folder / "broken.mp4").write_bytes(b"no film" * 100)
    (folder / "notes.txt").write_text("no film either")
    return folder


def hashes(folder: Path) -> dict[str, str]:
    """Of every file that a job hands over, by its path; the store itself is not compared."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.name.startswith("items.sqlite")
    }
