"""What a LoRA makes of another's motion, which is what it is for: nobody knows the truth there.

    reference = frame 0 of a clip, driver = the motion of the next clip of the list --> made

For every clip a video, reference | driver | made, and a line in cross.csv with figures that need no
truth. There is no prompt, for the caption of either clip tells of the wrong half.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from ..animate import animate_pass
from ..backbones import Backbone
from ..errors import InputError
from ..media import fit_frames, write_video
from ..pose.draw import draw_pose, fit_box
from .check import CheckTask, write_table
from .clips import Row, TrainingClip, read_clip

CROSS_SCORES = "cross.csv"
# (made, reference, driver), each (t, h, w, 3) in [0, 1], the reference of one frame -> figures
Compare = Callable[[np.ndarray, np.ndarray, np.ndarray], dict[str, float]]


class CrossScore(NamedTuple):
    reference: str  # names of the clips
    driver: str
    figures: dict[str, float]

    def __str__(self) -> str:
        figures = ", ".join(f"{name} {value:.3f}" for name, value in self.figures.items())
        return f"{self.reference} driven by {self.driver}: {figures}"


def cross_clips(
    backbone: Backbone, rows: list[Row], task: CheckTask, compare: Compare
) -> Iterator[CrossScore]:
    """Each usable clip driven by the next, the last by the first; nothing of fewer than two."""
    clips = []
    for row in rows:
        try:
            clips.append(read_clip(row, backbone.geometry, task.size, task.frames, task.variant))
        except InputError:  # check_clips has said so
            continue
    lines: list[dict] = []
    for clip, other in zip(clips, clips[1:] + clips[:1], strict=True):
        if clip is other:
            return
        score = _cross(backbone, clip, other, task, compare)
        lines.append({"reference": score.reference, "driver": score.driver} | score.figures)
        write_table(task.out / CROSS_SCORES, lines)
        yield score


def _cross(
    backbone: Backbone, clip: TrainingClip, other: TrainingClip, task: CheckTask, compare: Compare
) -> CrossScore:
    height, width = clip.target.shape[1:3]
    driven = slice(backbone.geometry.lead_frames(), task.frames)
    reference = _floats(clip.target[:1])
    driver = fit_frames(other.target[driven].numpy(), height, width)
    motion = driver
    if other.pose is not None:
        pose = fit_box(other.pose.map(lambda points: points[driven]))
        motion = _floats(torch.from_numpy(draw_pose(pose, height, width)))
    made = animate_pass(backbone, reference, motion, "", task.settings).cpu()
    names = clip.row.name, other.row.name
    beside = torch.cat([reference.expand_as(made), motion, made], dim=2)
    path = task.out / f"{names[0]}-driven-by-{names[1]}.mp4"
    write_video(path, beside, backbone.geometry.fps, overwrite=True)
    return CrossScore(*names, compare(made.numpy(), reference.numpy(), driver.numpy()))


def _floats(frames: Tensor) -> Tensor:
    return frames.float() / 255
