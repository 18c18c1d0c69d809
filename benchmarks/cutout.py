"""Seconds and memory of a reference that is cut out and moved: drawing and driver are made here.

    python benchmarks/cutout.py                          200 frames at 512; 10 s at 30 fps, 3 sizes
    python benchmarks/cutout.py --size 512 --frames 200  one of them

Each size runs in a process of its own, so that its peak memory is its own.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import cv2
import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

SIZES = ((512, 200), (256, 300), (512, 300), (1024, 300))  # pixels, frames
# A standing body in shares of its picture: nose, neck, arms, legs, eyes and ears.
BODY = (
    np.array(
        [
            *((50, 15), (50, 28), (42, 31), (27, 31), (12, 31), (58, 31), (73, 31), (88, 31)),
            *((45, 58), (45, 74), (45, 90), (55, 58), (55, 74), (55, 90)),
            *((47, 13), (53, 13), (44, 14), (56, 14)),
        ]
    )
    / 100
)
LIMBS = ((2, 4), (5, 7), (8, 10), (11, 13), (1, 8), (1, 11), (2, 5), (8, 11), (1, 0))


def drawing(size: int) -> tuple[np.ndarray, np.ndarray]:
    """(size, size, 3) uint8 and its mask (size, size) float32: a figure of thick bars on paper."""
    rng = np.random.default_rng(0)
    picture = (225 + rng.normal(0, 4, (size, size, 3))).clip(0, 255).astype(np.uint8)
    mask = np.zeros((size, size), np.uint8)
    for start, end in LIMBS:
        ends = [tuple((size * BODY[joint]).astype(int).tolist()) for joint in (start, end)]
        cv2.line(mask, *ends, 255, max(3, size // 14), cv2.LINE_AA)
    cv2.circle(mask, (size // 2, size * 14 // 100), size // 9, 255, -1, cv2.LINE_AA)
    share = mask[..., None] / 255
    picture = np.rint(picture * (1 - share) + share * [60, 90, 180]).astype(np.uint8)
    return picture, mask.astype(np.float32) / 255


def dance(count: int, fps: float) -> np.ndarray:
    """(count, 18, 3): arms and legs that swing about shoulders and hips."""
    body = np.repeat(np.pad(BODY, ((0, 0), (0, 1)), constant_values=1.0)[None], count, axis=0)
    angle = np.sin(2 * np.pi * np.arange(count) / fps)
    for joints, reach in (((2, 3, 4), 0.9), ((5, 6, 7), -1.1), ((8, 9, 10), 0.3)):
        turn = np.exp(1j * reach * angle)[:, None]
        from_root = (BODY[list(joints)] - BODY[joints[0]]) @ [1, 1j]
        moved = turn * from_root
        body[:, joints, 0] = BODY[joints[0], 0] + moved.real
        body[:, joints, 1] = BODY[joints[0], 1] + moved.imag
    return body


def measure(size: int, count: int, fps: float, folder: Path) -> str:
    from dreamactor_core.jobs.job import Job
    from dreamactor_core.jobs.run import animate_file
    from dreamactor_core.media import write_image, write_video
    from dreamactor_core.models import find
    from dreamactor_core.pose.keypoints import pose_of_points

    picture, mask = drawing(size)
    write_image(folder / "drawing.png", picture)
    clip = folder / "clip.mp4"
    write_video(clip, (np.zeros((720, 1280, 3), np.uint8) for _ in range(count)), fps)
    points = np.zeros((count, 1, 136, 3))
    points[:, 0, :18] = dance(count, fps)
    still = np.zeros((1, 1, 136, 3))
    still[0, 0, :18] = np.pad(BODY, ((0, 0), (0, 1)), constant_values=1.0)
    job = Job(
        folder / "drawing.png",
        clip,
        folder / "out.mp4",
        "pose-based",
        pose_of_points(points, 1.0),
        reference_keypoints=pose_of_points(still, 1.0),
        reference_mask=torch.from_numpy(mask)[None],
    )
    animator = find("mini").open()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    began, worked = time.perf_counter(), time.process_time()
    report = animate_file(animator, job)
    seconds, cpu = time.perf_counter() - began, time.process_time() - worked
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    height, width = report.panel
    return (
        f"{width}x{height}, {report.frames} frames at {fps:g}: {seconds:.1f} s "
        f"({cpu:.1f} s of CPU), peak {after:.0f} MB, {before:.0f} of them before it began"
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--size", type=int, help="pixels a side; without it all rows")
    parser.add_argument("--frames", type=int, default=200)
    parser.add_argument("--fps", type=float, default=30.0)
    args = parser.parse_args()
    if args.size is not None:
        with TemporaryDirectory() as folder:
            print(measure(args.size, args.frames, args.fps, Path(folder)), flush=True)
        return
    for size, frames in SIZES:
        options = ["--size", str(size), "--frames", str(frames)]
        subprocess.run([sys.executable, __file__, *options], check=True)


if __name__ == "__main__":
    main()
