"""Wan-Animate and Wan-Animate-2 by diffusers' own pipelines: open weights for the same job.

They are no backbones: no composite, no lead-in, no LoRA of ours, and schedulers of their own. A
WanAnimate takes the reference and the driver, already fitted to one panel at its rate, and gives
one frame for each driving frame. The pipelines make a clip of any length segment by segment, each
from the last frame of the one before; they hold the whole clip in memory.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from itertools import cycle, islice
from typing import Any

import torch
from diffusers import ClassifierFreeGuidance, DiffusionPipeline
from PIL import Image
from torch import Tensor, nn

from ..backbones import TRAIN_TIMESTEPS, to_picture
from ..lora.files import WantedLora
from ..sampling import SampleSettings, Step
from . import Shown, Task
from .in_context import modules_of
from .loras import takes_none
from .wan_animate_kinds import WanAnimateKind, check_task

SEGMENT_OVERLAP = 1  # frames of a segment that the next one is given


class WanAnimate:
    """One of the pipelines, loaded and placed: the protocol Animator."""

    transformer_2 = None
    backbone = None  # it runs whole or not at all
    lead_in_seconds = 0.0
    painter, eye = "network", None

    def __init__(self, kind: WanAnimateKind, pipeline: Any):
        """pipeline: diffusers' WanAnimatePipeline, or a modular one of the second generation."""
        self.kind, self.name, self.geometry = kind, kind.name, kind.geometry
        self.defaults = kind.defaults
        self.pipeline = pipeline
        self.transformer, self.vae = pipeline.transformer, pipeline.vae
        self.text_encoder, self.image_encoder = pipeline.text_encoder, pipeline.image_encoder

    @property
    def loras(self) -> dict[str, float]:
        return {}

    @property
    def modules(self) -> Mapping[str, nn.Module]:
        return modules_of(self)

    @property
    def face_size(self) -> int:
        """Pixels a side of the face that wan2.2-animate reads."""
        return self.transformer.config.motion_encoder_size

    def wearing(self, loras: Sequence[WantedLora]) -> WanAnimate:
        """Raises InputError for any."""
        if loras:
            raise takes_none(self.name)
        return self

    def check(self, task: Task) -> None:
        """Raise InputError for a lead-in, motion guidance, a shift or a sampler."""
        check_task(self.kind, task)

    def passes(self, num_frames: int) -> int:
        """Segments of a clip of num_frames."""
        longest = self.geometry.num_frames
        new = longest - SEGMENT_OVERLAP
        return math.ceil((max(num_frames, longest) - SEGMENT_OVERLAP) / new)

    def frames(
        self, shown: Shown, task: Task, on_step: Callable[[Step], None] | None = None
    ) -> Iterator[Tensor]:
        """All frames at once; nothing is done before they are asked for."""
        faces = None
        if self.kind.variant == "pose-based":
            driving, faces = shown.skeletons(), map(Image.fromarray, shown.faces(self.face_size))
        else:
            driving = shown.driving()
        yield self(shown.reference, driving, faces, task.prompt, task.settings, on_step)

    def preview(self, latents: Tensor) -> None:
        """Its steps bring no latents along."""

    def __call__(
        self,
        reference: Tensor,
        driving: Iterable[Tensor],
        faces: Iterable[Image.Image] | None,
        prompt: str,
        settings: SampleSettings,
        on_step: Callable[[Step], None] | None = None,
    ) -> Tensor:
        """Make reference (1, h, w, 3) perform driving frames (h, w, 3), all in [0, 1].

        driving: drawn skeletons where faces are given, one for each. on_step hears no latents.
        Returns (t, h, w, 3) in [0, 1], one frame for each driving frame.
        """
        frames = [to_picture(frame[None]) for frame in driving]
        schedule = settings.schedule(self.defaults, *reference.shape[1:3])
        picture = to_picture(reference)
        given = {
            "image": picture,
            "prompt": prompt,
            "negative_prompt": settings.negative_prompt,
            "num_inference_steps": schedule.num_inference_steps,
            "segment_frame_length": self.geometry.num_frames,
            "prev_segment_conditioning_frames": SEGMENT_OVERLAP,
            "generator": torch.Generator().manual_seed(settings.seed),
            "output_type": "np",
        }
        if faces is None:
            guider = _Guidance(schedule.guidance_scale)
            guider.on_step = on_step
            self.pipeline.update_components(guider=guider)
            video = self.pipeline(
                driving_video=self._whole(frames),
                height=picture.height + 1,  # it takes the root of the area and rounds down
                width=picture.width + 1,
                output="videos",
                **given,
            )
        else:
            video = self.pipeline(
                pose_video=self._whole(frames),
                face_video=self._whole([*faces]),
                height=picture.height,
                width=picture.width,
                guidance_scale=schedule.guidance_scale,
                callback_on_step_end=None if on_step is None else partial(_told, on_step),
                **given,
            ).frames
        return torch.from_numpy(video[0])[: len(frames)]

    def _whole(self, frames: list[Image.Image]) -> list[Image.Image]:
        """At least a segment of frames: to the end, back to the beginning, and so on.

        Wan-Animate-2 itself mirrors a short clip once, which is too few for less than half of one.
        """
        there_and_back = cycle([*frames, *frames[-2:0:-1]])
        return [*islice(there_and_back, max(len(frames), self.geometry.num_frames))]


class _Guidance(ClassifierFreeGuidance):
    """The pipeline's own guidance; the modular pipeline has no callback, so it tells of a step."""

    on_step: Callable[[Step], None] | None = None

    def forward(self, pred_cond: Tensor, pred_uncond: Tensor | None = None):
        guided = super().forward(pred_cond, pred_uncond)
        if self.on_step is not None:
            self.on_step(_step(self._step, self._num_inference_steps, self._timestep))
        return guided


def _told(
    on_step: Callable[[Step], None], pipeline: DiffusionPipeline, index: int, timestep, state: dict
) -> dict:
    on_step(_step(index, pipeline.num_timesteps, timestep))
    return state


def _step(index: int, total: int, timestep: Tensor) -> Step:
    nothing = torch.zeros(0)
    return Step(index, total, float(timestep) / TRAIN_TIMESTEPS, nothing, nothing)
