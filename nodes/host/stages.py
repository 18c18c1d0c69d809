"""The stages of the method, one for each node, on the model where ComfyUI wants it."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from comfy.model_management import intermediate_device
from torch import Tensor

from ...dreamactor_core.animate import (
    Encoded,
    beside_driving,
    build_flow,
    decode_target,
    encode_composite,
)
from ...dreamactor_core.backbones import Context
from ...dreamactor_core.composite import Composite, Known, build_composite
from ...dreamactor_core.errors import InputError
from ...dreamactor_core.geometry import Geometry
from ...dreamactor_core.jobs.inputs import fit_inputs, open_inputs
from ...dreamactor_core.media import check_frames, to_frames
from ...dreamactor_core.models.in_context import told
from ...dreamactor_core.pose.draw import draw_pose, fit_box
from ...dreamactor_core.pose.guides import Guides, read_guides
from ...dreamactor_core.pose.keypoints import parse_keypoints
from ...dreamactor_core.sampling import SampleSettings
from ...dreamactor_core.sampling import sample as integrate
from .guides import NO_GUIDES, GuideInputs
from .progress import reading_progress, sampling_progress
from .video import audio_of, driving_of
from .weights import ALL, CODEC, Model, device_of, ready, with_room

KEY = "dreamactor_composite"  # in a LATENT: what it was drawn for


@dataclass(frozen=True, eq=False)
class CompositeValue:
    """What DREAMACTOR_COMPOSITE carries, and what it is built from."""

    composite: Composite
    reference: Tensor  # (1, h, w, 3)
    driving: Tensor  # (t, h, w, 3)
    geometry: Geometry
    base: str  # name of the model it was made for
    guides: Guides | None = None  # of the reference


@dataclass(frozen=True, eq=False)
class ContextValue:
    """What DREAMACTOR_CONTEXT carries."""

    encoded: Encoded
    base: str
    guides: Guides | None = None


def fit_media(
    model: Model,
    reference: Tensor,
    driving: object,
    fps: float,
    size: int,
    start: float,
    length: float,
) -> tuple[Tensor, Tensor, float, dict | None]:
    """Reference (1, h, w, 3), driving (t, h, w, 3), their rate, AUDIO or None."""
    source = driving_of(driving, fps, "driving frames")
    inputs = open_inputs(reference.cpu(), source.clip, start=start, duration=length or None)
    fitted = fit_inputs(reading_progress(inputs), size or None, model)
    frames = torch.stack([*fitted.driving()])
    audio = audio_of(source, start, inputs.clip.duration)
    return fitted.reference, frames, model.geometry.fps, audio


def draw_skeleton(keypoints: list[dict], width: int, height: int, fit: str) -> Tensor:
    """OpenPose frames -> pictures (t, height, width, 3)."""
    pose = parse_keypoints(keypoints)
    return to_frames(draw_pose(fit_box(pose) if fit == "box" else pose, height, width))


def check_staged(model: Model) -> None:
    """Raise InputError for a model that runs whole or not at all."""
    if model.animator.backbone is None:
        raise InputError(
            "model",
            got=model.name,
            need="one that reads a composite",
            fix="Wire it into DreamActor Animate, which runs it whole.",
        )


def compose(
    model: Model, reference: Tensor, driving: Tensor, given: GuideInputs = NO_GUIDES
) -> CompositeValue:
    """Raises InputError when the two do not fit together, or not into one pass of the model, and
    for guides that are not of the reference."""
    reference, driving = _images("reference", reference), _images("driving frames", driving)
    if len(reference) != 1 or len(driving) < 2:
        raise InputError(
            "reference and driving frames",
            got=f"{len(reference)} and {len(driving)}",
            need="1 picture and at least 2 frames, for one frame holds no motion",
            fix="Pick one picture of the batch as reference, and drive with a video.",
        )
    geometry = model.geometry
    composite = build_composite(
        reference,
        driving,
        lead_in=geometry.lead_frames(model.lead_in_seconds),
        temporal_stride=geometry.temporal_stride,
    )
    guides = read_guides(given.pose(), given.mask, *reference.shape[1:3])
    value = CompositeValue(composite, reference, driving, geometry, model.name, guides)
    return _in_one_pass(value)


def mask_motion(value: CompositeValue, lead_in: float, known: Known) -> CompositeValue:
    """The same reference and driving frames with another lead-in, prefix or scene.

    known.keep: MASK (t, h, w) or (1, h, w), 1 = stays. Raises InputError as build_composite does.
    """
    keep = known.keep
    if keep is not None:
        length = len(value.driving) if len(keep) == 1 else len(keep)
        keep = _images("keep", keep.clamp(0, 1)[..., None].expand(*keep.shape, 3))
        keep = keep[..., :1].expand(length, -1, -1, -1)
    names = ("prefix", "prefix_driving", "scene")
    images = {name: _images(name, getattr(known, name)) for name in names}
    geometry = value.geometry
    composite = build_composite(
        value.reference,
        value.driving,
        lead_in=geometry.lead_frames(lead_in),
        known=known._replace(keep=keep, **images),
        temporal_stride=geometry.temporal_stride,
    )
    return _in_one_pass(replace(value, composite=composite))


def encode(model: Model, value: CompositeValue) -> ContextValue:
    """Raises InputError for a composite that was made for another model."""
    _check_base("composite", value.base, model)

    def work() -> Encoded:
        backbone = ready(model, CODEC, _pixels(value.composite)).backbone
        return encode_composite(backbone, value.composite)

    composite, context = with_room(work)
    encoded = Encoded(composite, _moved(context, intermediate_device()))
    return ContextValue(encoded, model.name, value.guides)


def sample(model: Model, value: ContextValue, prompt: str, settings: SampleSettings) -> dict:
    """LATENT (1, c, t', h', 2w') that remembers its composite.

    Raises InputError for a context of another model, and when the result is not finite.
    """
    _check_base("context", value.base, model)
    composite, context = value.encoded

    def work() -> Tensor:
        animator = ready(model, ALL, _pixels(composite))
        encoded = Encoded(composite, _moved(context, device_of(model)))
        backbone = told(animator.backbone, lambda: value.guides)
        flow = build_flow(backbone, encoded, prompt, settings)
        return integrate(*flow, settings.sampler, sampling_progress(animator))

    latents = with_room(work).to(intermediate_device())
    if not latents.isfinite().all():
        raise InputError(
            "sampled latents",
            got="NaN or infinity",
            need="finite numbers",
            fix="Choose precision bf16 or fp32 in Load Model, and guidance nearer to 1.",
        )
    return {"samples": latents, KEY: composite}


def decode(model: Model, latent: dict, whole: bool, keep_lead_in: bool) -> Tensor:
    """Frames (t, h, w, 3), 2w if whole. Raises InputError for a LATENT of another kind or model."""
    composite = latent.get(KEY)
    latents = latent["samples"]
    if composite is None:
        raise InputError(
            "latent",
            got=f"one of shape {tuple(latents.shape)} that knows no composite",
            need="the LATENT of DreamActor Sampler",
            fix="Wire DreamActor Sampler straight into DreamActor Decode.",
        )
    geometry, (frames, height, width, _) = model.geometry, composite.frames.shape
    sides = (height // geometry.spatial_stride, width // geometry.spatial_stride)
    need = (1, geometry.latent_channels, geometry.latent_frames(frames), *sides)
    if tuple(latents.shape) != need:
        raise InputError(
            "latent",
            got=f"shape {tuple(latents.shape)}",
            need=f"{need}, for this model and this composite",
            fix="Give Decode the model that sampled, and the LATENT as it left the Sampler.",
        )

    def work() -> Tensor:
        backbone = ready(model, CODEC, _pixels(composite)).backbone
        there = latents.to(device_of(model))
        return decode_target(backbone, there, composite, keep_lead_in).cpu()

    drawn = with_room(work)
    return beside_driving(drawn, composite, keep_lead_in) if whole else drawn


def _images(what: str, frames: Tensor | None) -> Tensor | None:
    """The same frames on the CPU. Raises InputError for an empty or broken batch."""
    if frames is not None:
        check_frames(what, frames)
        frames = frames.cpu()
    return frames


def _in_one_pass(value: CompositeValue) -> CompositeValue:
    composite, geometry = value.composite, value.geometry
    fix = "Set length in Fit Media to {seconds}, shorten lead_in, or use DreamActor Animate, which "
    geometry.check_pass(composite.length, composite.lead, fix + "goes on piece by piece.")
    geometry.check_panel(*value.reference.shape[1:3])
    return value


def _check_base(what: str, base: str, model: Model) -> None:
    if base != model.name:
        raise InputError(
            what,
            got=f"one made for the model {base!r}",
            need=f"one made for {model.name!r}, the model that is wired in here",
            fix="Wire the same Load Model into every node of the chain.",
        )


def _moved(context: Context, device: object) -> Context:
    return Context(*(part.to(device) for part in context))


def _pixels(composite: Composite) -> int:
    return composite.frames[..., 0].numel()
