"""Frames a second of pose detection at 720p, and whether memory grows with the clip's length.

    python benchmarks/pose.py                                   random networks, published sizes
    python benchmarks/pose.py --detector FOLDER --pose-model FOLDER --device cuda

Without folders the detector is RT-DETR with ResNet-50 and the estimator ViTPose++ base, with random
weights: no downloads. Every box counts then, so that each frame has --subjects people in it.
"""

from __future__ import annotations

import argparse
import resource
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from transformers import (
    RTDetrConfig,
    RTDetrForObjectDetection,
    VitPoseBackboneConfig,
    VitPoseConfig,
    VitPoseForPoseEstimation,
)
from transformers.models.rt_detr.image_processing_pil_rt_detr import RTDetrImageProcessorPil
from transformers.models.vitpose.image_processing_pil_vitpose import VitPoseImageProcessorPil

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from dreamactor_core.media import read_frames, write_video
from dreamactor_core.pose.detect import DetectSettings, detect_pose
from dreamactor_core.pose.models import PoseModels, load_pose_models

HEIGHT, WIDTH, FPS = 720, 1280, 25


def random_models(folder: Path, device: str) -> PoseModels:
    torch.manual_seed(0)
    anyone = dict.fromkeys(range(80), "person")
    config = RTDetrConfig(id2label=anyone, label2id={"person": 0})
    RTDetrForObjectDetection(config).save_pretrained(folder / "detector")
    RTDetrImageProcessorPil().save_pretrained(folder / "detector")
    backbone = VitPoseBackboneConfig(num_experts=6, part_features=192, out_indices=[12])
    config = VitPoseConfig(backbone_config=backbone, use_simple_decoder=False, num_labels=17)
    VitPoseForPoseEstimation(config).save_pretrained(folder / "estimator")
    VitPoseImageProcessorPil().save_pretrained(folder / "estimator")
    return load_pose_models(folder / "detector", folder / "estimator", device=device)


def pictures(count: int) -> Iterator[np.ndarray]:
    """A bright block that walks to and fro."""
    for k in range(count):
        picture = np.full((HEIGHT, WIDTH, 3), 60, np.uint8)
        left = int((WIDTH - 200) * (0.5 + 0.5 * np.sin(k / 20)))
        picture[200:600, left : left + 200] = 220
        yield picture


def measure(
    models: PoseModels, clip: Path, count: int, settings: DetectSettings
) -> tuple[float, float]:
    """(frames a second, peak memory of the process in MiB)."""
    frames = (frame.image for frame in read_frames(clip, duration=count / FPS))
    began = time.perf_counter()
    detect_pose(frames, [k / FPS for k in range(count)], models, settings)
    seconds = time.perf_counter() - began
    return count / seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--detector", type=Path, help="folder (random weights)")
    parser.add_argument("--pose-model", type=Path, help="folder (random weights)")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--frames", type=int, default=300)
    parser.add_argument("--subjects", type=int, default=2, help="even; of the random detector")
    parser.add_argument("--threads", type=int, default=0, help="of the CPU (torch's own choice)")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads or torch.get_num_threads())
    settings = DetectSettings()
    with tempfile.TemporaryDirectory() as folder:
        if arguments.detector and arguments.pose_model:
            models = load_pose_models(
                arguments.detector, arguments.pose_model, device=arguments.device
            )
        else:
            models = random_models(Path(folder), arguments.device)
            settings = DetectSettings(threshold=1e-6, max_subjects=arguments.subjects // 2)
        clip = Path(folder) / "clip.mp4"
        write_video(clip, pictures(arguments.frames), FPS)
        print("| frames | frames a second | peak memory, MiB |")
        print("| --- | --- | --- |")
        for count in (arguments.frames // 4, arguments.frames // 2, arguments.frames):
            speed, memory = measure(models, clip, count, settings)
            print(f"| {count} | {speed:.2f} | {memory:.0f} |", flush=True)


if __name__ == "__main__":
    main()
