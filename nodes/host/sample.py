"""From noise to latents to frames, on the model where ComfyUI wants it."""

from __future__ import annotations

from comfy.model_management import intermediate_device
from torch import Tensor

from ...dreamactor_core.animate import Encoded, beside_driving, build_flow, decode_target
from ...dreamactor_core.errors import InputError
from ...dreamactor_core.models.in_context import told
from ...dreamactor_core.sampling import SampleSettings
from ...dreamactor_core.sampling import sample as integrate
from .context import ContextValue, check_base, moved, pixels_of
from .load import ALL, CODEC, Model, device_of, ready, tries
from .progress import sampling_progress

COMPOSITE = "dreamactor_composite"  # in a LATENT: what it was drawn for


def sample_latent(model: Model, value: ContextValue, prompt: str, settings: SampleSettings) -> dict:
    """LATENT (1, c, t', h', 2w') that remembers its composite.

    Raises InputError for a context of another model, and when the result is not finite.
    """
    check_base("context", value.base, model)
    composite, context = value.encoded

    for attempt in tries():
        with attempt:
            animator = ready(model, ALL, pixels_of(composite))
            encoded = Encoded(composite, moved(context, device_of(model)))
            backbone = told(animator.backbone, lambda: value.guides)
            flow = build_flow(backbone, encoded, prompt, settings)
            latents = integrate(*flow, settings.sampler, sampling_progress(animator))
    latents = latents.to(intermediate_device())
    if not latents.isfinite().all():
        raise InputError(
            "sampled latents",
            got="NaN or infinity",
            need="finite numbers",
            fix="Choose precision bf16 or fp32 in Load Model, and guidance nearer to 1.",
        )
    return {"samples": latents, COMPOSITE: composite}


def decode_latent(model: Model, latent: dict, whole: bool, keep_lead_in: bool) -> Tensor:
    """Frames (t, h, w, 3), 2w if whole. Raises InputError for a LATENT of another kind or model."""
    composite = latent.get(COMPOSITE)
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

    for attempt in tries():
        with attempt:
            backbone = ready(model, CODEC, pixels_of(composite)).backbone
            there = latents.to(device_of(model))
            drawn = decode_target(backbone, there, composite, keep_lead_in).cpu()
    return beside_driving(drawn, composite, keep_lead_in) if whole else drawn
