"""Score mini-incontext on cases of the bench, many at a time.

Inputs, noise and figures are the bench's own (bench/puppets.py, animate.py); only the network sees
a batch where animate_pass would show it one case after the other.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor

from ...backbones import Context, paint_blank
from ...bench.cases import Case
from ...composite import (
    Composite,
    build_composite,
    crop_target_latents,
    finish_frames,
    lead_in_frames,
)
from ...mini.incontext import InContextBackbone
from ...sampling import flow_sigmas, sample, with_guidance


@dataclass(frozen=True)
class Settings:
    """How a batch is sampled; the defaults are the model's own."""

    steps: int = 4
    guidance: float = 1.0
    seed: int = 0
    shift: float = 3.0


@torch.no_grad()
def animate_cases(
    backbone: InContextBackbone,
    cases: list[Case],
    drive: str,
    prompts: list[str] | None = None,
    settings: Settings = Settings(),
    network: Callable | None = None,
) -> list[np.ndarray]:
    """What the model makes of each case, (t, h, w, 3) in [0, 1].

    drive: "pose-based" (the skeleton) or "end-to-end" (the driver's pixels). network: in place of
    the backbone's velocity.
    """
    device = backbone.transformer.device
    composites, contexts = [], []
    lead = lead_in_frames(backbone.geometry.fps)
    for case in cases:
        driving = case.skeleton if drive == "pose-based" else case.driving
        composite = build_composite(case.reference, driving, lead_in=lead)
        frames = paint_blank(composite.frames, composite.known, backbone.blank).to(device)
        composites.append(composite)
        contexts.append(backbone.context(backbone.encode_video(frames), composite.known.to(device)))
    context = Context(*(torch.cat(parts) for parts in zip(*contexts, strict=True)))
    velocity = partial(network or backbone.velocity, context=context)
    text = backbone.encode_text(prompts or [case.prompt for case in cases], None)
    silence = backbone.encode_text([""] * len(cases), None)
    guided = with_guidance(
        partial(velocity, text=text),
        partial(velocity, text=silence),
        text_scale=settings.guidance,
    )
    generator = torch.Generator().manual_seed(settings.seed)
    noise = torch.randn(context.latents[:1].shape, generator=generator).to(device)
    noise = noise.expand_as(context.latents).contiguous()
    latents = sample(guided, noise, flow_sigmas(settings.steps, settings.shift))
    return decode_cases(backbone, crop_target_latents(latents), composites)


def decode_cases(
    backbone: InContextBackbone, latents: Tensor, composites: list[Composite]
) -> list[np.ndarray]:
    """Left panels (n, c, t', h', w') -> finished frames of each composite."""
    videos = [
        part
        for some in latents.split(16)
        for part in backbone.vae.decode(some).sample.float().cpu()
    ]
    return [
        finish_frames((video.movedim(0, -1) / 2 + 0.5).clamp(0, 1), composite).numpy()
        for video, composite in zip(videos, composites, strict=True)
    ]


def still_answer(latents: Tensor, sigma: Tensor, context: Context, text: object = None) -> Tensor:
    """The velocity of a network that answers nothing: the reference stands still."""
    return (latents - context.latents[:, :, :1]) / sigma.clamp(min=0.02)


def floor_of(backbone: InContextBackbone, cases: list[Case]) -> list[np.ndarray]:
    """The truth through the codec."""
    device = backbone.transformer.device
    clips = torch.stack(
        [torch.cat([case.reference, torch.from_numpy(case.truth)]) for case in cases]
    )
    video = (2 * clips - 1).movedim(-1, 1).to(device)
    with torch.no_grad():
        decoded = [backbone.vae.decode(backbone.vae.encode(v).latent_dist.mode()).sample
                   for v in video.split(16)]  # fmt: skip
    video = (torch.cat(decoded).movedim(1, -1) / 2 + 0.5).clamp(0, 1)
    return list(video[:, 1:].cpu().numpy())
