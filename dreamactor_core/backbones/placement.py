"""Where a backbone's weights lie, and how precise they are.

One Placement says it; diffusers' machinery does it. docs/placement.md: what works with what.
"""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from typing import Any

import torch
from diffusers import (
    BitsAndBytesConfig,
    FirstBlockCacheConfig,
    GGUFQuantizationConfig,
    MagCacheConfig,
    TaylorSeerCacheConfig,
    TorchAoConfig,
)
from diffusers.hooks import apply_group_offloading
from diffusers.models.attention_dispatch import AttentionBackendName
from torch import nn

from ..errors import InputError
from ..options import OFFLOADS, STORAGES
from . import Backbone
from .gaps import HAS_STEP_CACHES

CACHES = ("", "first-block", "mag", "taylorseer")
ATTENTIONS = tuple(name.value for name in AttentionBackendName)


@dataclass(frozen=True)
class Placement:
    """How to hold a backbone. The defaults hold it whole, in bf16, and change no number."""

    device: str = "cpu"
    dtype: torch.dtype = torch.bfloat16  # what the networks compute in
    vae_dtype: torch.dtype = torch.float32
    storage: str = ""  # of the transformer's weights: "", "fp8", "int8" (torchao), "nf4" (bnb)
    offload: str = ""  # weights wait in RAM: "", "block" or "leaf" by "leaf"
    blocks_per_group: int = 1  # blocks that "block" moves at once
    vae_tiling: bool = False
    vae_slicing: bool = False
    attention: str = "native"  # one of diffusers' attention backends
    drop_padding: bool = False  # HunyuanVideo-1.5: no mask of tokens x tokens; rounds elsewhere
    compile: bool = False
    cache: str = (
        ""  # skip what hardly changes between steps: "", "first-block", "mag", "taylorseer"
    )
    cache_threshold: float = 0.05  # of "first-block" and "mag": the larger, the faster and worse
    mag_ratios: tuple[float, ...] = ()  # of "mag": measured once for each checkpoint

    def __post_init__(self):
        for name, value, accepted in (
            ("storage", self.storage, STORAGES),
            ("offload", self.offload, OFFLOADS),
            ("cache", self.cache, CACHES),
            ("attention", self.attention, ATTENTIONS),
        ):
            if value not in accepted:
                raise InputError(
                    name, got=repr(value), need=f"one of {accepted}", fix="'' is the default."
                )
        if self.storage == "nf4" and not self.device.startswith("cuda"):
            raise _clash("storage nf4", self.device, "device cuda", "Use int8.")
        if self.storage == "nf4" and self.offload:
            raise _clash("storage nf4", f"offload {self.offload!r}", "no offload", "Use int8.")
        if self.compile and self.offload:
            raise _clash("compile", f"offload {self.offload!r}", "no offload", "Leave one out.")
        if self.compile and self.storage == "fp8":  # the casts cannot be compiled
            raise _clash("compile", "storage 'fp8'", "another storage", "Leave one out.")
        if self.compile and self.cache:
            raise _clash("compile", f"cache {self.cache!r}", "no cache", "Leave one out.")
        if self.cache == "mag" and not self.mag_ratios:
            raise _clash(
                "cache mag", "no mag_ratios", "those of the checkpoint", "Use first-block."
            )
        if self.blocks_per_group < 1:
            raise InputError(
                "blocks_per_group", got=self.blocks_per_group, need="at least 1", fix="Use 1."
            )


def whole() -> Placement:
    """On the CPU in float32, nothing saved: what training and small models want."""
    return Placement(dtype=torch.float32)


def quantization_of(placement: Placement, gguf: bool) -> Any | None:
    """diffusers' configuration for storing weights, or None. Raises InputError if it is missing."""
    if gguf:
        if placement.storage:
            raise _clash("GGUF file", f"storage {placement.storage!r}", "''", "GGUF is compact.")
        return GGUFQuantizationConfig(compute_dtype=placement.dtype)
    if placement.storage == "int8":
        _need("torchao", "storage int8")
        quantization = importlib.import_module("torchao.quantization")  # optional
        return TorchAoConfig(quantization.Int8WeightOnlyConfig())
    if placement.storage == "nf4":
        _need("bitsandbytes", "storage nf4")
        return BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type="nf4",
            bnb_4bit_compute_dtype=placement.dtype,
        )
    return None


def place(backbone: Backbone, placement: Placement, encoders: list[nn.Module]) -> None:
    """Put a loaded backbone where and how the placement says. Once, before LoRAs are added."""
    networks = [part for part in (backbone.transformer, backbone.transformer_2) if part is not None]
    if placement.vae_tiling:
        backbone.vae.enable_tiling()
    if placement.vae_slicing:
        backbone.vae.enable_slicing()
    if placement.drop_padding and hasattr(backbone, "drop_padding"):
        backbone.drop_padding()
    for network in networks:
        _settle(network, placement)
    onload, cpu = torch.device(placement.device), torch.device("cpu")
    if not placement.offload:
        for module in (*networks, backbone.vae, *encoders):
            module.to(onload)
        return
    streams = onload.type == "cuda"
    for network in networks:
        network.enable_group_offload(
            onload,
            cpu,
            offload_type=f"{placement.offload}_level",
            num_blocks_per_group=placement.blocks_per_group,
            use_stream=streams and placement.blocks_per_group == 1,
            record_stream=streams and placement.blocks_per_group == 1,
        )
    for module in (backbone.vae, *encoders):
        apply_group_offloading(module, onload, cpu, offload_type="leaf_level", use_stream=streams)


def shrink(network: nn.Module, placement: Placement) -> None:
    """Store the weights as fp8, if the placement says so."""
    if placement.storage == "fp8":
        network.enable_layerwise_casting(
            storage_dtype=torch.float8_e4m3fn, compute_dtype=placement.dtype
        )


def _settle(network: nn.Module, placement: Placement) -> None:
    try:
        if placement.attention != "native":
            network.set_attention_backend(placement.attention)
    except (RuntimeError, ValueError, ImportError) as error:
        raise InputError(
            "attention",
            got=f"{placement.attention!r}: {error}",
            need="a backend that this machine has",
            fix="Use 'native'.",
        ) from error
    shrink(network, placement)
    if placement.cache:
        if not HAS_STEP_CACHES:
            raise _clash("cache", "another diffusers", "diffusers 0.42", "Leave the cache out.")
        network.enable_cache(_cache_of(placement))
    if placement.compile:
        network.compile_repeated_blocks(fullgraph=True)


def _cache_of(placement: Placement) -> Any:
    if placement.cache == "first-block":
        return FirstBlockCacheConfig(threshold=placement.cache_threshold)
    if placement.cache == "mag":
        return MagCacheConfig(
            threshold=placement.cache_threshold,
            num_inference_steps=len(placement.mag_ratios),
            mag_ratios=torch.tensor(placement.mag_ratios),
        )
    return TaylorSeerCacheConfig(
        cache_identifiers=[r"(transformer_)?blocks\.\d+\.(attn\d?|ff|ff_context|ffn)"],
        taylor_factors_dtype=placement.dtype,
    )


def _need(package: str, what: str) -> None:
    if importlib.util.find_spec(package) is None:
        raise InputError(
            what, got=f"no package {package}", need="it", fix=f"pip install {package}."
        )


def _clash(what: str, got: str, need: str, fix: str) -> InputError:
    return InputError(f"placement, {what}", got=got, need=need, fix=fix)
