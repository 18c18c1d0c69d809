"""The whole method (paper section 3, inference of section 5.1): make a character do a motion.

    composite [reference | driving] -> latents -> [noise | latents | mask] -> network -> left panel

One pass is as long as the backbone was trained for; animate() chains passes for any length. Frames
are float32 in [0, 1], (t, h, w, 3), already at the backbone's frame rate and panel size.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Iterator
from dataclasses import replace
from functools import partial
from itertools import count, islice
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor

from .backbones import Backbone, Context, paint_blank
from .backbones.tokens import ONE_WAY, PANELS, ConditionMemory
from .composite import (
    NOTHING,
    ONE_SECOND,
    Composite,
    Known,
    LeadIn,
    build_composite,
    crop_driving,
    crop_target,
    crop_target_latents,
    cut_lead,
    finish_frames,
)
from .errors import InputError
from .geometry import EVERY_FRAME, OVERLAP, Geometry
from .sampling import SampleSettings, Step, Velocity, flow_sigmas, sample, with_guidance

NEXT_PASS = "Make it in several passes, as animate() does."


class Encoded(NamedTuple):
    """A composite as the network reads it."""

    composite: Composite
    context: Context


class Flow(NamedTuple):
    """What a sampler integrates: sampling.sample(*flow, ...) completes the composite."""

    velocity: Velocity  # guidance included
    noise: Tensor  # (1, c, t', h', 2w')
    sigmas: Tensor  # (n + 1,), from 1 to 0


class KeptPasses(Protocol):
    """Passes of one video that were made before it was stopped."""

    def find(self, index: int) -> Tensor | None:
        """Frames (n, h, w, 3) of a pass, the last OVERLAP of them bit for bit."""

    def keep(self, index: int, frames: Tensor) -> None: ...


class _NoneKept(NamedTuple):
    def find(self, index: int) -> None: ...
    def keep(self, index: int, frames: Tensor) -> None: ...


NONE_KEPT: KeptPasses = _NoneKept()


class Passes(NamedTuple):
    """How a video is made of passes."""

    known: Known = NOTHING  # beside the first
    wanted: Container[int] = EVERY_FRAME  # numbers of the frames that somebody will see
    kept: KeptPasses = NONE_KEPT


IN_FULL = Passes()


def animate(
    backbone: Backbone,
    reference: Tensor,
    driving_frames: Iterable[Tensor] | Tensor,
    prompt: str,
    settings: SampleSettings,
    *,
    lead_in: LeadIn = ONE_SECOND,
    passes: Passes = IN_FULL,
    on_step: Callable[[Step], None] | None = None,
) -> Iterator[Tensor]:
    """Make reference (1, h, w, 3) perform driving frames (h, w, 3), as many as there are.

    Yields finished frames (n, h, w, 3), one pass at a time, one frame for each driving frame; only
    a pass's driving frames are held. Every pass starts with the reference; from the second on the
    last generated frames stand in the place of the lead-in, so the motion goes on. Pass k is
    sampled with settings.seed + k. With lead_in.keep the lead-in comes first. A pass of which
    nobody wants a frame is not made, and its frames are the last one before it; one that was kept
    is taken as it is. Raises InputError when sizes or lengths do not fit the backbone.
    """
    known, wanted, kept = passes
    geometry, driving_frames, made = backbone.geometry, iter(driving_frames), 0
    for index in count():
        lead = _lead(geometry, lead_in, known)
        chunk = list(islice(driving_frames, geometry.capacity(lead)))
        if not chunk:
            break
        if known.prefix is not None and made and _unseen(made, len(chunk), wanted):
            made += len(chunk)
            yield known.prefix[-1:].expand(len(chunk), -1, -1, -1)
            continue
        driving = torch.stack(chunk)
        frames = kept.find(index)
        if frames is None:
            composite = build_composite(
                reference,
                driving,
                lead_in=lead,
                known=known,
                temporal_stride=geometry.temporal_stride,
            )
            seeded = replace(settings, seed=(settings.seed + index) % 2**64)
            with torch.inference_mode():
                encoded = encode_composite(backbone, composite)
                flow: Flow = build_flow(backbone, encoded, prompt, seeded)
                latents = sample(*flow, sampler=seeded.sampler, on_step=on_step)
            frames = decode_target(backbone, latents, composite, lead_in.keep and index == 0)
            frames = frames.to(driving).clone()  # an ordinary tensor again; the lead is freed
            kept.keep(index, frames)
        made += len(frames)
        yield frames
        known = Known(frames[-OVERLAP:], driving[-OVERLAP:])
    if index == 0:
        raise InputError(
            "driving video", got="0 frames", need="at least 1", fix="Give a longer clip."
        )


def _unseen(first: int, count: int, wanted: Container[int]) -> bool:
    return not any(number in wanted for number in range(first, first + count))


def animate_pass(
    backbone: Backbone,
    reference: Tensor,
    driving: Tensor,
    prompt: str,
    settings: SampleSettings,
    *,
    lead_in: LeadIn = ONE_SECOND,
    known: Known = NOTHING,
    on_step: Callable[[Step], None] | None = None,
) -> Tensor:
    """As animate(), driving (t, h, w, 3) within one pass: returns (t, h, w, 3).

    Pixels that known.keep marks come back untouched.
    """
    lead = _lead(backbone.geometry, lead_in, known)
    backbone.geometry.check_pass(len(driving), lead, NEXT_PASS)
    frames = animate(
        backbone,
        reference,
        driving,
        prompt,
        settings,
        lead_in=lead_in,
        passes=Passes(known),
        on_step=on_step,
    )
    return next(frames)


@torch.inference_mode()
def encode_composite(backbone: Backbone, composite: Composite) -> Encoded:
    """Raises InputError when the composite does not fit one pass of the backbone."""
    backbone.geometry.check_panel(*crop_target(composite.frames).shape[1:3])
    backbone.geometry.check_pass(composite.length, composite.lead, NEXT_PASS)
    return Encoded(composite, _context(backbone, composite))


@torch.inference_mode()
def build_flow(backbone: Backbone, encoded: Encoded, prompt: str, settings: SampleSettings) -> Flow:
    """The way from noise to latents (1, c, t', h', 2w'), the answer in their left half.

    What settings leave open is the backbone's own.
    """
    composite, context = encoded
    reference = crop_target(composite.frames[:1])
    schedule = settings.schedule(backbone.defaults, *reference.shape[1:3])
    sigmas = flow_sigmas(schedule.num_inference_steps, schedule.shift)
    velocity: Any = partial(backbone.velocity, context=context)
    if backbone.step_distilled:  # its network is told where each step ends
        velocity = partial(velocity, sigmas=sigmas)
    text = backbone.encode_text([prompt], reference)
    no_text = no_driving = None
    if schedule.guidance_scale != 1:
        negative = backbone.encode_text([settings.negative_prompt], reference)
        no_text = _branch(backbone, partial(velocity, text=negative))
    if settings.driving_guidance_scale != 1:
        undriven = _context(backbone, without_driving(composite))
        no_driving = _branch(backbone, partial(velocity, context=undriven, text=text))
    guided = with_guidance(
        _branch(backbone, partial(velocity, text=text)),
        no_text,
        no_driving,
        text_scale=schedule.guidance_scale,
        driving_scale=settings.driving_guidance_scale,
    )
    # Drawn on the CPU, so that a seed means the same noise on every device.
    generator = torch.Generator().manual_seed(settings.seed)
    noise = torch.randn(context.latents.shape, generator=generator).to(context.latents.device)
    return Flow(guided, noise, sigmas)


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
    driving = crop_driving(composite.frames)
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


def _lead(geometry: Geometry, lead_in: LeadIn, known: Known) -> int:
    """Frames in front of the first new driving frame."""
    if known.prefix is not None:
        return 1 + len(known.prefix)
    return geometry.lead_frames(lead_in.seconds)


def composite_latents(backbone: Backbone, composite: Composite) -> Tensor:
    """What backbone.context is given, here and in training: the composite's pixels, blanked where
    they are unknown, encoded -> (1, c, t', h', 2w').
    """
    frames = paint_blank(composite.frames, composite.known, backbone.blank)
    return encode_panels(backbone, frames)


def encode_panels(backbone: Backbone, frames: Tensor) -> Tensor:
    """(t, h, 2w, 3) in [0, 1] -> latents (1, c, t', h', 2w'): as one picture, or each panel by
    itself where they are no neighbours to the network.
    """
    if backbone.layout == PANELS:
        return backbone.encode_video(frames)
    panels = crop_target(frames), crop_driving(frames)
    return torch.cat([backbone.encode_video(panel) for panel in panels], dim=-1)


def _branch(backbone: Backbone, velocity: Callable[..., Tensor]) -> Velocity:
    """A branch of guidance, its conditions computed once if the layout lets it."""
    if backbone.layout == ONE_WAY:
        return partial(velocity, memory=ConditionMemory())
    return velocity


def _context(backbone: Backbone, composite: Composite) -> Context:
    return backbone.context(composite_latents(backbone, composite), composite.known)


def without_driving(composite: Composite) -> Composite:
    """Driving taken away: the right panel is black in every frame, and known to be."""
    frames = composite.frames.clone()
    crop_driving(frames).zero_()
    return composite._replace(frames=frames)
