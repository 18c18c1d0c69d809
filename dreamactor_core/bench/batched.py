"""Animate cases of the bench many at a time: a GPU and a small model are fast only that way.

Inputs, noise and figures are the bench's own (puppets.py, animate.py); only the network sees a
batch where animate_pass would show it one case after the other.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import torch
from torch import Tensor

from ..backbones import Backbone, Context, Text, paint_blank
from ..composite import Composite, build_composite, crop_target_latents, finish_frames
from ..sampling import SampleSettings, flow_sigmas, sample, with_guidance
from .cases import Case
from .metrics import Share, foreground, identity_error, iou, relative_error
from .puppets import score

VelocityOf = Callable[..., Tensor]  # called as Backbone.velocity


@torch.no_grad()
def animate_cases(
    backbone: Backbone,
    cases: list[Case],
    variant: str,
    prompts: list[str] | None = None,
    settings: SampleSettings | None = None,
    network: VelocityOf | None = None,
) -> list[np.ndarray]:
    """What a model makes of each case, (t, h, w, 3) in [0, 1].

    variant: "pose-based" (driven by the skeleton) or "end-to-end" (by the driver's pixels). prompts
    and network: in place of the cases' own and of the backbone's velocity.
    """
    settings = settings or SampleSettings()
    composites = [_composite(backbone, case, variant) for case in cases]
    contexts = [_context_of(backbone, composite) for composite in composites]
    context = Context(*(torch.cat(parts) for parts in zip(*contexts, strict=True)))
    velocity = partial(network or backbone.velocity, context=context)
    said = [case.prompt for case in cases] if prompts is None else prompts
    schedule = settings.schedule(backbone.defaults, *cases[0].reference.shape[1:3])
    guided = with_guidance(
        partial(velocity, text=backbone.encode_text(said, None)),
        partial(velocity, text=backbone.encode_text([settings.negative_prompt] * len(cases), None)),
        text_scale=schedule.guidance_scale,
    )
    generator = torch.Generator().manual_seed(settings.seed)
    noise = torch.randn(context.latents[:1].shape, generator=generator)
    noise = noise.to(context.latents).expand_as(context.latents).contiguous()
    sigmas = flow_sigmas(schedule.num_inference_steps, schedule.shift)
    latents = crop_target_latents(sample(guided, noise, sigmas))
    return [
        finish_frames(backbone.decode_video(one[None]).cpu(), composite).numpy()
        for one, composite in zip(latents, composites, strict=True)
    ]


def _composite(backbone: Backbone, case: Case, variant: str) -> Composite:
    driving = case.skeleton if variant == "pose-based" else case.driving
    return build_composite(case.reference, driving, lead_in=backbone.geometry.lead_frames())


def _context_of(backbone: Backbone, composite: Composite) -> Context:
    device = backbone.transformer.device
    frames = paint_blank(composite.frames, composite.known, backbone.blank)
    return backbone.context(backbone.encode_video(frames.to(device)), composite.known.to(device))


def still_answer(latents: Tensor, sigma: Tensor, context: Context, text: Text) -> Tensor:
    """The velocity of a network that answers nothing: the reference stands still."""
    return (latents - context.latents[:, :, :1]) / sigma.clamp(min=0.02)


@torch.no_grad()
def through_autoencoder(backbone: Backbone, cases: list[Case]) -> list[np.ndarray]:
    """The truth of each case, encoded and decoded: the row vae-floor."""
    clips = (torch.cat([case.reference, torch.from_numpy(case.truth)]) for case in cases)
    made = (backbone.decode_video(backbone.encode_video(clip)) for clip in clips)
    return [frames[1:].cpu().numpy() for frames in made]


def score_all(
    made: Sequence[np.ndarray], cases: Sequence[Case], quick: bool = False
) -> dict[str, float]:
    """Means of the bench's figures over cases; quick leaves out what is slow to measure."""
    measure = _quick_score if quick else _whole_score
    return _means([measure(frames, case) for frames, case in zip(made, cases, strict=True)])


def _whole_score(frames: np.ndarray, case: Case) -> dict[str, float | Share]:
    scored = score(frames, case, 0.0)
    del scored["seconds"]
    return scored


def _quick_score(frames: np.ndarray, case: Case) -> dict[str, float | Share]:
    return {
        "relative_error": relative_error(frames, case.truth, case.reference.numpy()),
        "silhouette_iou": iou(foreground(frames, case.scene), case.mask),
        "identity_error": identity_error(frames, case.truth, case.mask),
    }


def _means(scored: list[dict[str, float | Share]]) -> dict[str, float]:
    """Of shares the sum of parts over that of wholes."""
    figures = {}
    for name in scored[0]:
        values = [each[name] for each in scored]
        shares = [value for value in values if isinstance(value, Share)]
        if shares:
            whole = sum(share.whole for share in shares)
            figures[name] = sum(share.part for share in shares) / whole if whole else 0.0
        else:
            plain = [value for value in values if not isinstance(value, Share)]
            figures[name] = float(np.nanmean(plain))
    return {name: round(value, 4) for name, value in figures.items()}
