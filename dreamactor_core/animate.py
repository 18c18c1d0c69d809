"""The whole method (paper section 3, inference of section 5.1): make a character do a motion.

    composite [reference | driving] -> latents -> [noise | latents | mask] -> network -> left panel

One pass is as long as the backbone was trained for; animate() chains passes for any length. Frames
are float32 in [0, 1], (t, h, w, 3), already at the backbone's frame rate and panel size.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from functools import partial
from itertools import count, islice
from typing import NamedTuple

import torch
from torch import Tensor

from .backbones import Backbone, Context, paint_blank
from .composite import (
    Composite,
    build_composite,
    crop_target,
    crop_target_latents,
    cut_lead,
    finish_frames,
    lead_in_frames,
)
from .errors import InputError
from .sampling import SampleSettings, Step, flow_sigmas, sample, with_guidance

OVERLAP = 8  # generated frames that the next chunk is told: two latent groups


class Encoded(NamedTuple):
    """A composite as the network reads it."""

    composite: Composite
    context: Context


def animate_pass(
    backbone: Backbone,
    reference: Tensor,
    driving: Tensor,
    prompt: str,
    settings: SampleSettings,
    *,
    lead_in_seconds: float = 1.0,
    prefix: Tensor | None = None,
    prefix_driving: Tensor | None = None,
    scene: Tensor | None = None,
    keep: Tensor | None = None,
    keep_lead_in: bool = False,
    on_step: Callable[[Step], None] | None = None,
) -> Tensor:
    """Make reference (1, h, w, 3) perform driving (t, h, w, 3), t within one pass.

    prefix, prefix_driving, scene and keep are those of build_composite; pixels that keep marks
    come back untouched. Returns (t, h, w, 3), with the lead-in in front if keep_lead_in.
    Raises InputError when sizes or lengths do not fit the backbone.
    """
    geometry = backbone.geometry
    composite = build_composite(
        reference,
        driving,
        lead_in=lead_in_frames(geometry.fps, lead_in_seconds, geometry.temporal_stride),
        prefix=prefix,
        prefix_driving=prefix_driving,
        scene=scene,
        keep=keep,
        temporal_stride=geometry.temporal_stride,
    )
    encoded = encode_composite(backbone, composite)
    latents = sample_latents(backbone, encoded, prompt, settings, on_step)
    return decode_target(backbone, latents, composite, keep_lead_in).to(driving)


@torch.inference_mode()
def encode_composite(backbone: Backbone, composite: Composite) -> Encoded:
    """Raises InputError when the composite does not fit one pass of the backbone."""
    _check_fits(backbone, composite)
    return Encoded(composite, _context(backbone, composite))


@torch.inference_mode()
def sample_latents(
    backbone: Backbone,
    encoded: Encoded,
    prompt: str,
    settings: SampleSettings,
    on_step: Callable[[Step], None] | None = None,
) -> Tensor:
    """Complete the composite: latents (1, c, t', h', 2w'), the answer in their left half."""
    composite, context = encoded
    reference = crop_target(composite.frames[:1])
    sigmas = flow_sigmas(settings.num_inference_steps, settings.shift)
    velocity = partial(backbone.velocity, context=context)
    if backbone.step_distilled:  # its network is told where each step ends
        velocity = partial(velocity, sigmas=sigmas)
    text = backbone.encode_text([prompt], reference)
    no_text = no_driving = None
    if settings.guidance_scale != 1:
        negative = backbone.encode_text([settings.negative_prompt], reference)
        no_text = partial(velocity, text=negative)
    if settings.driving_guidance_scale != 1:
        undriven = _context(backbone, without_driving(composite))
        no_driving = partial(velocity, context=undriven, text=text)
    guided = with_guidance(
        partial(velocity, text=text),
        no_text,
        no_driving,
        text_scale=settings.guidance_scale,
        driving_scale=settings.driving_guidance_scale,
    )
    # Drawn on the CPU, so that a seed means the same noise on every device.
    generator = torch.Generator().manual_seed(settings.seed)
    noise = torch.randn(context.latents.shape, generator=generator).to(context.latents.device)
    return sample(guided, noise, sigmas, settings.sampler, on_step)


@torch.inference_mode()
def decode_target(
    backbone: Backbone, latents: Tensor, composite: Composite, keep_lead_in: bool = False
) -> Tensor:
    """Latents (1, c, t', h', 2w') -> the finished frames (t, h, w, 3), one for each driving frame.

    Scene pixels that had to stay are put back untouched; keep_lead_in leaves the lead in front.
    """
    frames = backbone.decode_video(crop_target_latents(latents))
    return finish_frames(frames, composite, keep_lead_in)


def beside_driving(frames: Tensor, composite: Composite, keep_lead_in: bool = False) -> Tensor:
    """decode_target's frames (t, h, w, 3) beside their driving panels: (t, h, 2w, 3)."""
    driving = composite.frames[:, :, composite.frames.shape[2] // 2 :]
    return torch.cat([frames, cut_lead(driving, composite, keep_lead_in).to(frames)], dim=2)


@torch.inference_mode()
def preview_strip(backbone: Backbone, latents: Tensor, count: int = 3) -> Tensor:
    """The panel being drawn at even times, from latents (1, c, t', h', 2w') -> (h, n * w, 3).

    For a look while sampling: latents between the ones shown are skipped, so motion is rough.
    """
    latents = crop_target_latents(latents)
    times = torch.linspace(0, latents.shape[2] - 1, count + 1).round().long().unique()
    frames = backbone.decode_video(latents[:, :, times.to(latents.device)])
    shown = frames[:: backbone.geometry.temporal_stride][1:]  # without the reference
    return shown.transpose(0, 1).flatten(1, 2)


def animate(
    backbone: Backbone,
    reference: Tensor,
    driving_frames: Iterable[Tensor] | Tensor,
    prompt: str,
    settings: SampleSettings,
    *,
    lead_in_seconds: float = 1.0,
    keep_lead_in: bool = False,
    on_step: Callable[[Step], None] | None = None,
    on_frames: Callable[[int], None] | None = None,
) -> Iterator[Tensor]:
    """Make reference (1, h, w, 3) perform driving frames (h, w, 3), as many as there are.

    Yields finished frames (n, h, w, 3), one chunk at a time, one frame for each driving frame; only
    a chunk's driving frames are held. Every chunk starts with the reference; from the second on
    the last generated frames stand in the place of the lead-in, so the motion goes on. Chunk k is
    sampled with settings.seed + k. on_frames hears the number of driving frames done so far.
    """
    driving_frames, done = iter(driving_frames), 0
    prefix = prefix_driving = None
    lead = lead_in_frames(backbone.geometry.fps, lead_in_seconds, backbone.geometry.temporal_stride)
    for index in count():
        capacity = _capacity(backbone, lead if prefix is None else 1 + prefix.shape[0])
        chunk = list(islice(driving_frames, capacity))
        if not chunk:
            break
        driving = torch.stack(chunk)
        frames = animate_pass(
            backbone,
            reference,
            driving,
            prompt,
            replace(settings, seed=(settings.seed + index) % 2**64),
            lead_in_seconds=lead_in_seconds,
            prefix=prefix,
            prefix_driving=prefix_driving,
            keep_lead_in=keep_lead_in and index == 0,
            on_step=on_step,
        ).clone()  # an ordinary tensor again, and the lead's memory is free
        done += len(chunk)
        if on_frames is not None:
            on_frames(done)
        yield frames
        prefix, prefix_driving = frames[-OVERLAP:], driving[-OVERLAP:]
    if done == 0:
        raise InputError(
            "driving video", got="0 frames", need="at least 1", fix="Give a longer clip."
        )


def count_passes(backbone: Backbone, num_frames: int, lead_in_seconds: float = 1.0) -> int:
    """How many passes animate() makes of num_frames driving frames."""
    geometry = backbone.geometry
    lead = lead_in_frames(geometry.fps, lead_in_seconds, geometry.temporal_stride)
    later = num_frames - _capacity(backbone, lead)
    return 1 if later <= 0 else 1 + math.ceil(later / _capacity(backbone, 1 + OVERLAP))


def _capacity(backbone: Backbone, lead: int) -> int:
    """New frames that fit into one pass behind the lead."""
    geometry = backbone.geometry
    if geometry.num_frames - lead < geometry.temporal_stride:
        raise InputError(
            "lead-in",
            got=f"{lead} frames",
            need=f"at most {geometry.num_frames - geometry.temporal_stride}, so that frames of the "
            f"driving video fit into the {geometry.num_frames} of a pass",
            fix="Shorten lead_in_seconds.",
        )
    return geometry.num_frames - lead


def _check_fits(backbone: Backbone, composite: Composite) -> None:
    frames, height, double_width, _ = composite.frames.shape
    backbone.geometry.check_panel(height, double_width // 2)
    if frames > backbone.geometry.num_frames:
        raise InputError(
            "frames of one pass",
            got=f"{composite.length} driving frames behind a lead of {composite.lead}",
            need=f"at most {backbone.geometry.num_frames - composite.lead}",
            fix="animate() goes on in chunks.",
        )


def composite_latents(backbone: Backbone, composite: Composite) -> Tensor:
    """What backbone.context is given, here and in training: the composite's pixels, blanked where
    they are unknown, encoded as one picture -> (1, c, t', h', 2w').
    """
    return backbone.encode_video(paint_blank(composite.frames, composite.known, backbone.blank))


def _context(backbone: Backbone, composite: Composite) -> Context:
    return backbone.context(composite_latents(backbone, composite), composite.known)


def without_driving(composite: Composite) -> Composite:
    """Driving taken away: the right panel is black in every frame, and known to be."""
    frames = composite.frames.clone()
    frames[:, :, frames.shape[2] // 2 :] = 0
    return composite._replace(frames=frames)
