"""What the network makes of fixed pairs it is not trained on: a picture and a figure to follow."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import torch
from torch import Tensor

from ..animate import animate_pass
from ..backbones import Backbone
from ..media import to_frames
from ..puppets.triplet import triplet
from ..puppets.world import LEAD_IN
from ..sampling import SampleSettings


class ValidationPair(NamedTuple):
    reference: Tensor  # (1, h, w, 3) in [0, 1]
    driving: Tensor  # (t, h, w, 3) what the right panel holds
    truth: Tensor  # (t, h, w, 3)
    prompt: str


def validation_pairs(
    seeds: range, size: int, num_frames: int, *, skeleton: bool
) -> list[ValidationPair]:
    """Triplets of the test split as pairs; the right panel is RGB or the driver's skeleton."""
    pairs = []
    for seed in seeds:
        clips = triplet(seed, "test", num_frames, size)
        driving = clips.driver.skeleton() if skeleton else clips.driver.frames[LEAD_IN:]
        pairs.append(
            ValidationPair(
                to_frames(clips.truth.frames[:1]),
                to_frames(driving),
                to_frames(clips.truth.frames[LEAD_IN:]),
                clips.truth.caption,
            )
        )
    return pairs


def validate(
    backbone: Backbone, pairs: list[ValidationPair], settings: SampleSettings, picture: Path
) -> float:
    """Animate every pair; write rows of reference, driver, result, truth; return relative error.

    Relative error: mean absolute error to the truth over that of the still reference.
    """
    error = still = 0.0
    rows = []
    for pair in pairs:
        made = animate_pass(backbone, pair.reference, pair.driving, pair.prompt, settings)
        error += (made - pair.truth).abs().mean().item()
        still += (pair.reference - pair.truth).abs().mean().item()
        at = [1, 6, 11, len(made) - 1]
        rows.append(
            torch.cat([pair.reference[0], *pair.driving[at], *made[at], *pair.truth[at]], dim=1)
        )
    pixels = (torch.cat(rows) * 255).round().byte().numpy()
    cv2.imwrite(str(picture), np.ascontiguousarray(pixels[..., ::-1]))
    return error / still
