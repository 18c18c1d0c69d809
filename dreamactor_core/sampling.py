"""From noise to latents, and the loss that trains it. Training and sampling share one convention:

    latents(sigma) = (1 - sigma) * data + sigma * noise
    velocity = d(latents)/d(sigma) = noise - data

sigma 0 is data, sigma 1 is noise. Latents are (b, c, t', h', w').
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from diffusers import (
    FlowMatchEulerDiscreteScheduler,
    FlowMatchHeunDiscreteScheduler,
    UniPCMultistepScheduler,
)
from torch import Tensor

from .errors import InputError
from .options import SAMPLERS, Defaults

Velocity = Callable[[Tensor, Tensor], Tensor]  # (latents, sigma) -> d(latents)/d(sigma)


class Cancelled(Exception):  # noqa: N818 - a wish, not an error
    """Raise it from on_step to stop sampling at once."""


@dataclass(frozen=True)
class Step:
    """One call of the network, as on_step hears of it."""

    index: int  # from 0
    total: int  # calls of the network: n, or 2n - 1 for heun
    sigma: float
    latents: Tensor  # (b, c, t', h', w'), what the network was given
    denoised: Tensor  # the same shape: the clean latents it sees in them, for previews


class SampleSchedule(NamedTuple):
    """What a model's defaults settle."""

    num_inference_steps: int
    guidance_scale: float
    shift: float


MOST_STEPS = 10_000  # as in ComfyUI's samplers; of each a noise level is kept


@dataclass(frozen=True)
class SampleSettings:
    """How to sample. None: the model's own. Guidance is off at 1. Chunk k's seed is seed + k."""

    num_inference_steps: int | None = None
    guidance_scale: float | None = None
    driving_guidance_scale: float = 1.0
    shift: float | None = None
    sampler: str = "euler"
    seed: int = 0
    negative_prompt: str = ""  # what guidance_scale leads away from

    def __post_init__(self):
        steps = self.num_inference_steps
        if steps is not None and not 1 <= steps <= MOST_STEPS:
            raise InputError(
                "num_inference_steps",
                got=steps,
                need="at least 1" if steps < 1 else f"at most {MOST_STEPS}",
                fix="The small model is content with 1, large ones want 20 to 50.",
            )
        for name in ("guidance_scale", "driving_guidance_scale"):
            value = getattr(self, name)
            if value is not None and not math.isfinite(value):
                raise InputError(name, got=value, need="a finite number", fix="1 turns it off.")
        if self.shift is not None and not (self.shift > 0 and math.isfinite(self.shift)):
            raise InputError(
                "shift", got=self.shift, need="a finite number above 0", fix="1 means no shift."
            )
        if self.sampler not in SAMPLERS:
            raise InputError(
                "sampler",
                got=repr(self.sampler),
                need=f"one of {', '.join(SAMPLERS)}",
                fix="Use euler.",
            )
        if not 0 <= self.seed < 2**64:
            raise InputError("seed", got=self.seed, need="0 to 2**64 - 1", fix="Use 0.")

    def schedule(self, defaults: Defaults, height: int, width: int) -> SampleSchedule:
        """What was asked for, and for a panel of height x width pixels the model's own where
        nothing was.
        """
        steps, guidance, shift = self.num_inference_steps, self.guidance_scale, self.shift
        return SampleSchedule(
            defaults.num_inference_steps if steps is None else steps,
            defaults.guidance_scale if guidance is None else guidance,
            defaults.shift_for(height, width) if shift is None else shift,
        )


def flow_sigmas(num_inference_steps: int, shift: float = 1.0) -> Tensor:
    """Noise levels (num_inference_steps + 1,) from 1 to 0; shift > 1 stays longer in the noise."""
    even = torch.linspace(1, 0, num_inference_steps + 1, dtype=torch.float64).float()
    return shift * even / (1 + (shift - 1) * even)


def with_guidance(
    full: Velocity,
    no_text: Velocity | None = None,
    no_driving: Velocity | None = None,
    *,
    text_scale: float = 1.0,
    driving_scale: float = 1.0,
) -> Velocity:
    """Classifier-free guidance away from the empty prompt and from the black driving panel.

    Each scale other than 1 costs one more call of the network; its velocity may be None at 1.
    """
    if text_scale == driving_scale == 1:
        return full

    def guided(latents: Tensor, sigma: Tensor) -> Tensor:
        towards = velocity = full(latents, sigma)
        for scale, without in ((text_scale, no_text), (driving_scale, no_driving)):
            if scale != 1:
                assert without is not None, scale
                velocity = velocity + (scale - 1) * (towards - without(latents, sigma))
        return velocity

    return guided


def sample(
    velocity: Velocity,
    latents: Tensor,
    sigmas: Tensor,
    sampler: str = "euler",
    on_step: Callable[[Step], None] | None = None,
) -> Tensor:
    """Integrate latents (b, c, t', h', w') along sigmas, which fall to 0. Returns clean latents."""
    scheduler = _scheduler(sampler, sigmas)
    scheduler.set_begin_index(0)  # else it looks the first step up by a rounded timestep
    for index, (timestep, sigma) in enumerate(
        zip(scheduler.timesteps, scheduler.sigmas, strict=False)
    ):
        flow = velocity(latents, sigma)
        given, latents = latents, scheduler.step(flow, timestep, latents, return_dict=False)[0]
        if on_step is not None:
            denoised = given - sigma.to(given) * flow
            on_step(Step(index, len(scheduler.timesteps), sigma.item(), given, denoised))
    return latents


def flow_loss(
    velocity: Velocity,
    target: Tensor,
    noise: Tensor,
    sigma: Tensor,
    weight: Tensor,
    *,
    sigma_weight: Tensor | None = None,
    distance: Callable[[Tensor], Tensor] | None = None,
) -> Tensor:
    """Error of the velocity where the model must draw: its mean square, or a distance.

    target, noise: (b, c, t', h', w'); sigma: (b,); weight broadcasts to target: 1 on the unknown
    cells of the left panel, 0 elsewhere. sigma_weight: (b,), what each sample's square counts.
    distance: errors of clean latents (..., c) -> (...); then the mean over unknown cells.
    """
    level = _per_sample(sigma)
    noisy = target.lerp(noise, level)
    error = velocity(noisy, sigma) - (noise - target)
    if distance is not None:
        # Not a choice of cells: an accelerator would have to say first how many there are.
        unknown = (weight[:, :1].expand_as(error[:, :1]).squeeze(1) > 0).to(error)
        cells = distance((error * level).movedim(1, -1))  # clean = noisy - sigma * velocity
        return (cells * unknown).sum() / unknown.sum().clamp(min=1)
    error = error.square()
    if sigma_weight is not None:
        error = error * _per_sample(sigma_weight)
    weight = weight.expand_as(error)
    # A batch whose every cell is known has no loss, and no gradient either.
    return (error * weight).sum() / weight.sum().clamp(min=1)


def _per_sample(values: Tensor) -> Tensor:
    return values.view(-1, 1, 1, 1, 1)


def _scheduler(sampler: str, sigmas: Tensor) -> Any:
    """A diffusers scheduler that steps along exactly these sigmas; its own shift stays at 1."""
    assert sigmas[-1] == 0 and (sigmas[1:] < sigmas[:-1]).all(), sigmas
    levels = sigmas[:-1].cpu()
    scheduler: Any
    if sampler == "euler":
        scheduler = FlowMatchEulerDiscreteScheduler(shift=1.0)
        scheduler.set_timesteps(sigmas=levels.numpy())
    elif sampler == "unipc":
        scheduler = UniPCMultistepScheduler(
            prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=1.0
        )
        scheduler.set_timesteps(sigmas=levels.numpy())
    else:
        assert sampler == "heun", sampler
        scheduler = FlowMatchHeunDiscreteScheduler(shift=1.0)
        scheduler.set_timesteps(len(levels))  # it takes no sigmas: put ours in its own layout
        visits = torch.cat([levels[:1], levels[1:].repeat_interleave(2)])
        scheduler.timesteps = visits * scheduler.config.num_train_timesteps
        scheduler.sigmas = torch.cat([visits, sigmas[-1:].cpu()])
    return scheduler
