"""BlazePose: frames found, frames a second of one core, memory, and whether runtimes agree.

    python benchmarks/blazepose.py CLIP ...          the networks are fetched once (36 MB)

Each clip is read at its own size and at heights of 480, 720 and 1080 pixels. Seconds are those of
the processor, decoding left out, so other programs on the machine hardly count.
"""

from __future__ import annotations

import argparse
import resource
import sys
import time
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from dreamactor_core.media import read_frames
from dreamactor_core.pose.blazepose import load_blazepose
from dreamactor_core.pose.detect import Detection, detect_pose
from dreamactor_core.pose.subjects import DetectSettings
from dreamactor_core.pose.tflite import RUNTIMES, has_litert

HEIGHTS = (480, 720, 1080)


def scaled(images: list[np.ndarray], height: int) -> list[np.ndarray]:
    width = round(images[0].shape[1] * height / images[0].shape[0])
    return [cv2.resize(each, (width, height), interpolation=cv2.INTER_AREA) for each in images]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("clips", type=Path, nargs="+", metavar="CLIP")
    parser.add_argument("--frames", type=int, default=60)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    settings = DetectSettings(masks=True)
    runtimes = [name for name in RUNTIMES if name == "torch" or has_litert()]
    networks = {name: load_blazepose(download=True, runtime=name) for name in runtimes}
    print("| clip | runtime | size | found | subjects | frames a second | peak memory, MiB |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for clip in arguments.clips:
        frames = list(islice(read_frames(clip), arguments.frames))
        times = [frame.time for frame in frames]
        own = [frame.image for frame in frames]
        results: dict[str, Detection] = {}
        for name in runtimes:
            for images in (own, *(scaled(own, height) for height in HEIGHTS)):
                began = time.process_time()
                result = detect_pose(images, times, networks[name], settings)
                speed = len(images) / (time.process_time() - began)
                found = int(result.pose.body[..., 2].any(axis=(1, 2)).sum())
                height, width = images[0].shape[:2]
                memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
                print(
                    f"| {clip.name} | {name} | {width}x{height} | {found}/{len(images)} | "
                    f"{result.pose.body.shape[1]} | {speed:.1f} | {memory:.0f} |",
                    flush=True,
                )
                if images is own:
                    results[name] = result
        if len(results) > 1:
            one, other = (results[name].pose for name in runtimes)
            if one.body.shape == other.body.shape:
                size = [own[0].shape[1], own[0].shape[0]]
                apart = np.abs((one.points() - other.points())[..., :2] * size)
                print(f"\n{clip.name}: joints differ by at most {apart.max():.4f} pixels\n")


if __name__ == "__main__":
    main()
