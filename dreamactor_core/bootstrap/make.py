"""Make pairs and swap their roles.

    V_src (real video) -> its pose -> pose-based model on another picture I_o -> V_o (synthetic)
    training pair: driving = V_o, reference = V_src[0], target = V_src

so that the loss never sees a synthetic pixel as its target (paper section 3.4).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from ..animate import animate_pass
from ..backbones import Backbone
from ..backbones.placement import Placement
from ..items.work import Data
from ..lora.adapters import load_lora
from ..media import to_frames, write_video
from ..models.loading import load_backbone
from ..pose.keypoints import Pose, save_keypoints
from ..puppets.triplet import triplet
from ..puppets.world import FPS, LEAD_IN
from ..sampling import SampleSettings
from ..weight_files.files import Files
from .judge import Verdict, judge

PAIRS_FILE = "pairs.jsonl"  # one line a kept pair; `train cache --pairs` reads it


class BootstrapPair(NamedTuple):
    """driving was made from the target's pose and starts LEAD_IN frames behind the target."""

    seed: int
    target: np.ndarray  # (t, h, w, 3) uint8 real
    driving: np.ndarray  # (t - LEAD_IN, h, w, 3) in [0, 1], synthetic
    pose: Pose  # of the target
    caption: str  # of the target
    verdict: Verdict


def puppet_pairs(
    backbone: Backbone, seeds: range, settings: SampleSettings
) -> Iterator[BootstrapPair]:
    """One pair a seed of the puppet world's training split, judged but not yet filtered.

    The backbone carries the pose-based LoRA. Of the triplet only the source clip and the other
    identity's reference picture are used: its ground truth is not looked at.
    """
    return (puppet_pair(backbone, seed, settings) for seed in seeds)


def puppet_pair(backbone: Backbone, seed: int, settings: SampleSettings) -> BootstrapPair:
    size, num_frames = backbone.geometry.panel[0], backbone.geometry.num_frames
    clips = triplet(seed, "train", num_frames, size)
    source, picture = clips.driver, to_frames(clips.truth.frames[:1])
    skeleton = to_frames(source.skeleton())
    # animate_pass cuts the lead-in off: in the pair it would put the two a second apart.
    made = animate_pass(backbone, picture, skeleton, clips.truth.caption, settings).numpy()
    verdict = judge(to_frames(source.frames[LEAD_IN:]).numpy(), made, picture[0].numpy())
    return BootstrapPair(seed, source.frames, made, source.pose, source.caption, verdict)


def write_pair(pair: BootstrapPair, folder: Path) -> dict:
    """Save a pair as two videos and a keypoint file, to look at and to train on.

    Returns its line of the list of pairs.
    """
    name = f"{pair.seed:07d}"
    files = {
        "target": f"{name}_target.mp4",
        "driving": f"{name}_driving.mp4",
        "pose": f"{name}_pose.json",
    }
    told = {"caption": pair.caption, "lead_in": LEAD_IN, "verdict": pair.verdict._asdict()}
    write_video(folder / files["target"], pair.target, FPS, overwrite=True, crf=12)
    write_video(
        folder / files["driving"], torch.from_numpy(pair.driving), FPS, overwrite=True, crf=12
    )
    size = pair.target.shape[1]
    save_keypoints(folder / files["pose"], pair.pose, size, size)
    return files | told


@dataclass(frozen=True)
class PairMaker:
    """What makes pairs, and where they go."""

    out: Path
    base: str
    loras: tuple[Path, ...]
    files: Files
    placement: Placement
    settings: SampleSettings


@dataclass(frozen=True)
class MakePuppetPair(PairMaker):
    """data: seed, and what the model is. Its result is the pair's line, kept or not."""

    def open(self) -> Callable[[Data], Data]:
        backbone = load_backbone(self.base, self.placement, self.files)
        for path in self.loras:
            load_lora(backbone, path)

        def make(data: Data) -> Data:
            return write_pair(puppet_pair(backbone, data["seed"], self.settings), self.out)

        return make
