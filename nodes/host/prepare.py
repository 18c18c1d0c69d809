"""Reference and driving video at one size and rate, and the pose as pictures."""

from __future__ import annotations

import torch
from torch import Tensor

from ...dreamactor_core.jobs.inputs import Sized, fit_inputs, open_inputs
from ...dreamactor_core.media import to_frames
from ...dreamactor_core.pose.draw import draw_pose, fit_box
from ...dreamactor_core.pose.keypoints import parse_keypoints
from .progress import reading_progress
from .video import audio_of, driving_of, naming


def fit_media(
    model: Sized,
    reference: Tensor,
    driving: object,
    fps: float,
    size: int,
    start: float,
    length: float,
) -> tuple[Tensor, Tensor, float, dict | None]:
    """Reference (1, h, w, 3), driving (t, h, w, 3), their rate, AUDIO or None."""
    source = driving_of(driving, fps, "driving frames")
    with naming(source.clip, "driving"):
        inputs = open_inputs(reference.cpu(), source.clip, start=start, duration=length or None)
        fitted = fit_inputs(reading_progress(inputs), size or None, model)
        frames = torch.stack([*fitted.driving()])
        audio = audio_of(source, start, inputs.clip.duration)
    return fitted.reference, frames, model.geometry.fps, audio


def draw_skeleton(keypoints: list[dict], width: int, height: int, fit: str) -> Tensor:
    """OpenPose frames -> pictures (t, height, width, 3)."""
    pose = parse_keypoints(keypoints)
    return to_frames(draw_pose(fit_box(pose) if fit == "box" else pose, height, width))
