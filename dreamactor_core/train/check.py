"""What a LoRA makes of clips whose truth is known: each animated by its own motion, and compared.

    reference = frame 0, driver = the clip's pose (or its driver) --> made  <--compared--> the clip

For every clip a video, reference | driver | made | truth, and a line in scores.csv with the figures
of what was made and, to hold them against, of the reference standing still.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from ..animate import animate_pass
from ..backbones import Backbone
from ..errors import InputError
from ..geometry import Geometry
from ..media import write_video
from ..media.replace import make_folder, replacing
from ..pose.draw import draw_pose, fit_box
from ..sampling import SampleSettings
from .clips import Row, TrainingClip, read_clip
from .examples import Draws, Pair, draw_example, usable_frames

SCORES = "scores.csv"
Measure = Callable[[np.ndarray, np.ndarray], float]  # (frames, truth), (t, h, w, 3) in [0, 1]


class Score(NamedTuple):
    """Of one clip: each figure, the mean over driven frames."""

    clip: str
    made: dict[str, float]
    still: dict[str, float]  # of the reference in place of every frame

    def __str__(self) -> str:
        figures = (
            f"{k} {self.made[k]:.3f} (still reference {self.still[k]:.3f})" for k in self.made
        )
        return f"{self.clip}: {', '.join(figures)}"

    def row(self) -> dict[str, str | float]:
        still = {f"{name} of the still reference": value for name, value in self.still.items()}
        return {"clip": self.clip} | self.made | still


@dataclass(frozen=True)
class CheckTask:
    """How clips are animated, what is measured and where the results go."""

    variant: str
    size: int  # panels of about size x size pixels
    frames: int  # of a window, lead-in included: 4k + 1
    settings: SampleSettings
    figures: Mapping[str, Measure]
    out: Path


def check_clips(backbone: Backbone, rows: list[Row], task: CheckTask) -> Iterator[Score]:
    """One clip after the other; files of earlier runs are replaced. A clip that cannot be used is
    left out; raises InputError when none can, with what is wrong with the last.
    """
    backbone.geometry.latent_frames(task.frames)
    make_folder(task.out)
    scores, wrong = [], None
    for row in rows:
        try:
            clip = read_clip(row, backbone.geometry, task.size, task.frames, task.variant)
        except InputError as error:
            wrong = error
            continue
        scores.append(_check_clip(backbone, clip, task))
        write_table(task.out / SCORES, [score.row() for score in scores])
        yield scores[-1]
    if not scores and wrong is not None:
        raise wrong


def write_table(path: Path, rows: list[dict]) -> None:
    """Dictionaries of the same names as CSV with a head line."""
    with replacing(path, overwrite=True) as part, part.open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0].keys())
        writer.writeheader()
        writer.writerows(rows)


def _check_clip(backbone: Backbone, clip: TrainingClip, task: CheckTask) -> Score:
    reference, driving, truth = _window(_plain(clip), task.frames, backbone.geometry)
    made = animate_pass(backbone, reference, driving, clip.row.caption, task.settings).cpu()
    still = reference.expand_as(truth)
    beside = torch.cat([still, driving, made, truth], dim=2)
    path = task.out / f"{clip.row.name}.mp4"
    write_video(path, beside, backbone.geometry.fps, overwrite=True)
    figures = (
        {name: figure(part.numpy(), truth.numpy()) for name, figure in task.figures.items()}
        for part in (made, still)
    )
    return Score(clip.row.name, *figures)


def _plain(clip: TrainingClip) -> Pair:
    """As inference has it: the pose in its box, or the driver as it is."""
    if clip.pose is None:
        return Pair(clip.target, clip.driving, clip.row.caption, clip.row.lead_in)
    drawn = torch.from_numpy(draw_pose(fit_box(clip.pose), *clip.target.shape[1:3]))
    return Pair(clip.target, drawn, clip.row.caption)


def _window(pair: Pair, frames: int, geometry: Geometry) -> tuple[Tensor, Tensor, Tensor]:
    """Reference (1, h, w, 3), and driver and truth of the driven frames of the first window."""
    end = frames + len(pair.target) - usable_frames(pair, geometry)
    first = pair._replace(target=pair.target[:end], driving=pair.driving[:end])
    rng = np.random.default_rng(0)  # nothing is left to chance
    composite, answer, _ = draw_example(first, frames, Draws(0, 0, 0), geometry, rng)
    width = answer.shape[2] // 2
    return (
        answer[:1, :, :width],
        answer[composite.lead :, :, width:],
        answer[composite.lead :, :, :width],
    )
