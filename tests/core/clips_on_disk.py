"""Drawn clips as files: a list of them as `train cache` reads it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch

from dreamactor_core.media import write_video
from dreamactor_core.pose.keypoints import Pose, save_keypoints

HEIGHT, WIDTH, FPS, SECONDS = 48, 64, 30, 2.3
WINDOW = 33  # frames: a second of lead-in, and at 16 or 24 fps some of motion
WINDOWS = {"shortest": WINDOW, "longest": WINDOW, "variants": 1}


def write_clip(path: Path, seed: int, seconds: float = SECONDS) -> np.ndarray:
    """A square that wanders over smooth noise; returns its middle (t, 2), in pixels."""
    rng = np.random.default_rng(seed)
    count = round(FPS * seconds)
    time = np.linspace(0, 2 * np.pi, count)
    phase = rng.uniform(0, 6, 2)
    middle = np.stack([32 + 14 * np.sin(time + phase[0]), 24 + 9 * np.cos(2 * time + phase[1])], 1)
    ground = torch.rand(1, 3, 5, 5, generator=torch.Generator().manual_seed(seed)) / 2
    ground = torch.nn.functional.interpolate(ground, (HEIGHT, WIDTH), mode="bilinear")[0]
    frames = ground.movedim(0, -1).repeat(count, 1, 1, 1)
    colour = torch.from_numpy(rng.uniform(0.5, 1, 3)).float()
    for frame, (x, y) in zip(frames, middle.round().astype(int), strict=True):
        frame[y - 6 : y + 6, x - 5 : x + 5] = colour
    write_video(path, frames, FPS, overwrite=True)
    return middle


def pose_at(middle: np.ndarray) -> Pose:
    """A stick figure around each middle (t, 2) in pixels."""
    share = middle / [WIDTH, HEIGHT]
    body = np.zeros((len(middle), 1, 18, 3))
    offsets = np.array([[0, -0.12], [0, -0.06], [-0.05, -0.06], [-0.07, 0], [-0.08, 0.05]])
    body[:, 0, :5, :2], body[:, 0, :5, 2] = share[:, None] + offsets, 1
    count = len(middle)
    return Pose(
        body,
        np.zeros((count, 1, 2, 21, 3)),
        np.zeros((count, 1, 70, 3)),
        np.zeros((count, 1, 6, 3)),
        WIDTH / HEIGHT,
    )


def write_clips(
    folder: Path, count: int, lines: list[str] | None = None, seconds: float = SECONDS
) -> Path:
    """`count` clips with poses and drivers, and other lines before them."""
    rows = list(lines or [])
    for seed in range(count):
        middle = write_clip(folder / f"clip{seed}.mp4", seed, seconds)
        write_clip(folder / f"driver{seed}.mp4", 100 + seed, seconds)
        save_keypoints(folder / f"clip{seed}.json", pose_at(middle), WIDTH, HEIGHT)
        row = {
            "target": f"clip{seed}.mp4", "driving": f"driver{seed}.mp4",
            "pose": f"clip{seed}.json", "caption": f"square {seed} wanders",
        }  # fmt: skip
        rows.append(json.dumps(row))
    path = folder / "clips.jsonl"
    path.write_text("\n".join(rows) + "\n")
    return path
