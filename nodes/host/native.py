"""The native path: the composite as ComfyUI's own conditioning, for its loaders and samplers.

    HunyuanVideo-1.5    network reads  [ noise 32 | composite 32 | mask 1 ]   blank: zero latents
    Wan I2V, Fun-InP    network reads  [ noise 16 | mask 4 | composite 16 ]   blank: encoded grey
    Wan TI2V-5B         known cells lie in the LATENT, at timestep 0 in each token

ComfyUI's masks say 0 = known, so concat_mask and noise_mask are 1 - known. Latents are as ComfyUI's
VAE gives them; its models scale them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import comfy.sd
import node_helpers
import torch
from comfy.model_patcher import ModelPatcher
from comfy.patcher_extension import WrappersMP
from torch import Tensor

from ...dreamactor_core.backbones import hunyuan15, paint_blank, wan
from ...dreamactor_core.composite import (
    Composite,
    Known,
    crop_target,
    crop_target_latents,
    finish_frames,
)
from ...dreamactor_core.errors import InputError
from ...dreamactor_core.geometry import Geometry
from ...dreamactor_core.options import LEAD_IN_SECONDS, Defaults
from ...dreamactor_core.weight_files.family import Family, Found
from ...dreamactor_core.weight_files.keys import KeyNames
from .context import build_checked, checked_pair

NATIVE_IN_LATENT = (
    "dreamactor_native"  # in a LATENT: what it was made for; on a MODEL: our check of it
)
LORA_ON_MODEL = "dreamactor_lora"  # on a MODEL: the LoraInfo of the last one
BACKBONES = (
    (hunyuan15.FAMILY, hunyuan15.HunyuanVideo15Backbone),
    (wan.FAMILY, wan.WanBackbone),
)

Conditioning = list[Any]


@dataclass(frozen=True)
class Native:
    """What a MODEL is."""

    name: str
    geometry: Geometry
    lead_in_seconds: float  # as its LoRA was trained
    blank: str  # "zero" or "grey"
    by_token: bool  # TI2V: no mask channel
    image_width: int | None  # of the CLIP vision tokens that the network reads
    key_names: KeyNames
    defaults: Defaults
    family: Family
    found: Found


def native_of(model: ModelPatcher) -> Native:
    """By the shapes of its weights. Raises InputError for a model that cannot animate."""
    network, lora = model.model.diffusion_model, model.get_attachment(LORA_ON_MODEL)
    shapes = {
        name: torch.empty(tuple(weight.shape), device="meta")
        for name, weight in network.named_parameters()
    }
    for family, backbone in BACKBONES:
        if family.owns(shapes):
            found = family.describe(family.convert(shapes))
            config = found.config
            return Native(
                name=found.name,
                geometry=found.geometry,
                lead_in_seconds=LEAD_IN_SECONDS if lora is None else lora.lead_in_seconds,
                blank=backbone.blank,
                by_token=config["in_channels"] == config["out_channels"],
                image_width=config.get("image_dim", config.get("image_embed_dim")),
                key_names=backbone.key_names,
                defaults=found.defaults,
                family=family,
                found=found,
            )
    raise InputError(
        "model",
        got=type(model.model).__name__,
        need=" or ".join(family.title for family, _ in BACKBONES),
        fix="Load the diffusion model of one of these.",
    )


def compose_native(
    model: ModelPatcher,
    reference: Tensor,
    driving: Tensor,
    lead_in: float,
    known: Known,
) -> Composite:
    """As the stages do it, for a MODEL. lead_in: seconds; below 0 that of its LoRA.

    Raises InputError when they do not fit together, or not the model.
    """
    native = native_of(model)
    if lead_in < 0:
        lead_in = native.lead_in_seconds
    composite = build_checked(*checked_pair(reference, driving), native.geometry, lead_in, known)
    _check_length(model, native, composite)
    native.geometry.check_panel(*crop_target(composite.frames).shape[1:3])
    return composite


def condition(
    model: ModelPatcher,
    vae: comfy.sd.VAE,
    positive: Conditioning,
    negative: Conditioning,
    composite: Composite,
    clip_vision_output: Any,
) -> tuple[ModelPatcher, Conditioning, Conditioning, dict]:
    """MODEL, positive, negative and LATENT (1, c, t', h', 2w'), ready to sample.

    Raises InputError for what the host would crop, ignore or fail on without a word.
    """
    native = native_of(model)
    _check_vae(vae, native)
    _check_clip_vision(clip_vision_output, native)
    latents = vae.encode(paint_blank(composite.frames, composite.known, native.blank))
    known = native.family.pack_known(native.found, composite.known, *latents.shape[-2:])
    known = known.to(latents)
    latent = {"samples": torch.zeros_like(latents), NATIVE_IN_LATENT: _without_pixels(composite)}
    values = {} if clip_vision_output is None else {"clip_vision_output": clip_vision_output}
    if native.by_token:
        latent |= {"samples": latents, "noise_mask": 1 - known}
    else:
        given = latents * known if native.blank == "zero" else latents
        values |= {"concat_latent_image": given, "concat_mask": 1 - known}
    told = (node_helpers.conditioning_set_values(one, values) for one in (positive, negative))
    return _patched(model, native, tuple(latents.shape[2:])), *told, latent


def crop_native(
    latent: dict, images: Tensor | None, keep_lead_in: bool
) -> tuple[dict, Tensor | None]:
    """The left half of a LATENT, and of its decoded frames exactly those of the driving frames.

    A LATENT or IMAGE that is cropped already stays as wide as it is. Scene pixels that had to stay
    are put back. Raises InputError for anything else than what DreamActor Conditioning
    began.
    """
    composite, samples = latent.get(NATIVE_IN_LATENT), latent["samples"]
    if composite is None:
        raise InputError(
            "latent",
            got=f"one of shape {tuple(samples.shape)} that knows no composite",
            need="the LATENT of DreamActor Conditioning, sampled",
            fix="Wire the sampler between the two, with no other latent node in the way.",
        )
    height, width = composite.frames.shape[1:3]
    if samples.shape[-1] * height == samples.shape[-2] * width:
        halves = {
            name: crop_target_latents(latent[name]).contiguous()
            for name in ("samples", "noise_mask")
            if name in latent
        }
        latent = latent | halves
    if images is None:
        return latent, None
    length = len(composite.frames)
    if images.shape[:2] != (length, height) or images.shape[2] not in (width, width // 2):
        raise InputError(
            "images",
            got=f"{len(images)} frames of {tuple(images.shape[1:3])} (height, width)",
            need=f"{length} of {(height, width)}, or {(height, width // 2)} if cropped before",
            fix="Decode this very LATENT, and wire all of its frames in.",
        )
    frames = crop_target(images) if images.shape[2] == width else images
    return latent, finish_frames(frames, composite, keep_lead_in)


def _without_pixels(composite: Composite) -> Composite:
    """Sizes alone, unless pixels must be put back at the end: frames of gigabytes need not stay."""
    if crop_target(composite.known[composite.lead :]).any():
        return composite
    frames, known = (part.new_zeros(1).expand(part.shape) for part in composite[:2])
    return composite._replace(frames=frames, known=known)


def _patched(model: ModelPatcher, native: Native, size: tuple[int, ...]) -> ModelPatcher:
    """A clone that refuses another LATENT, and that knows the timestep of each token of TI2V."""
    patched = model.clone()
    patched.remove_wrappers_with_key(WrappersMP.OUTER_SAMPLE, NATIVE_IN_LATENT)
    check = _check_of_sampling(size, native.by_token)
    patched.add_wrapper_with_key(WrappersMP.OUTER_SAMPLE, NATIVE_IN_LATENT, check)
    if native.by_token:
        patched.add_object_patch("process_timestep", timestep_by_token)
    return patched


def timestep_by_token(
    timestep: Tensor, x: Tensor, denoise_mask: Tensor | None = None, **_: Any
) -> Tensor:
    """(b,) and mask (b, c, t', h', w') -> (b, tokens), 0 where known.

    The host's own takes the mean over a whole frame: half a timestep for a known half.
    """
    if denoise_mask is None:
        return timestep
    return wan.token_timesteps(timestep, denoise_mask)


def _check_of_sampling(size: tuple[int, ...], by_token: bool) -> Callable[..., Tensor]:
    """A wrapper of sampling: the host would crop the condition to any other size in silence."""

    def check(executor, noise, latent_image, sampler, sigmas, denoise_mask=None, *rest, **named):
        missing = by_token and denoise_mask is None
        if missing or tuple(noise.shape[2:]) != size:
            raise InputError(
                "latent_image of the sampler",
                got=f"{tuple(noise.shape[2:])} cells{' without a noise mask' if missing else ''}",
                need=f"the LATENT of DreamActor Conditioning, {size} cells",
                fix="Wire it into the sampler as it is, and its MODEL with it.",
            )
        return executor(noise, latent_image, sampler, sigmas, denoise_mask, *rest, **named)

    return check


def _check_vae(vae: comfy.sd.VAE, native: Native) -> None:
    geometry = native.geometry
    need = (geometry.latent_channels, geometry.spatial_stride, geometry.temporal_stride)
    got = (
        vae.latent_channels,
        vae.spacial_compression_encode(),
        vae.temporal_compression_decode(),
    )
    if got != need:
        raise InputError(
            "VAE",
            got=f"{got} (channels, pixels a cell, frames a cell)",
            need=f"{need} for {native.name}",
            fix="Load the VAE that belongs to the model; A14B takes that of Wan 2.1.",
        )


def _check_clip_vision(output: Any, native: Native) -> None:
    if output is None or native.image_width is None:
        return
    wan_reads, hunyuan_reads = output.penultimate_hidden_states, output.last_hidden_state
    tokens = wan_reads if native.blank == "grey" else hunyuan_reads
    if tokens.shape[-1] != native.image_width:
        raise InputError(
            "clip_vision_output",
            got=f"tokens of width {tokens.shape[-1]}",
            need=f"{native.image_width}, as {native.name} reads them",
            fix="Load sigclip_vision_patch14_384 for HunyuanVideo-1.5, clip_vision_h for Wan 2.1.",
        )


def _check_length(model: ModelPatcher, native: Native, composite: Composite) -> None:
    """A pass, or context windows of any number of passes that keep the reference slot."""
    windows = model.model_options.get("context_handler")
    if windows is None:
        fix = "Set length to {seconds} in DreamActor Native Fit, or put a Context Windows node "
        fix += "with retain_first_frame before this one."
        native.geometry.check_pass(composite.length, composite.lead, fix)
    retained = windows is None or 0 in windows.cond_retain_index_list
    if native.by_token and windows is not None:  # its reference lies in the latent, too
        retained = retained and 0 in getattr(windows, "latent_retain_index_list", ())
    if not retained:
        lists = "cond_retain_index_list" + (" and latent_retain_index_list" * native.by_token)
        raise InputError(
            "context windows of the model",
            got="windows without the reference",
            need=f"0 in {lists}",
            fix="Turn on retain_first_frame, or write 0 there in Context Windows (Manual); "
            "a ComfyUI that offers neither is too old for this.",
        )
