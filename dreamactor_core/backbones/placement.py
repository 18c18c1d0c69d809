"""Where a backbone's weights lie, and how precise they are.

One Placement says it; diffusers' machinery does it. docs/placement.md: what works with what.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from diffusers import BitsAndBytesConfig, GGUFQuantizationConfig, TorchAoConfig
from diffusers.hooks import apply_group_offloading
from torch import nn

from ..errors import InputError
from ..options import OFFLOADS, STORAGES

VAE_DTYPE = torch.float32  # of autoencoders, whatever the networks compute in: half shows in skies


@dataclass(frozen=True)
class Placement:
    """How to hold a backbone. The defaults hold it whole, in bf16, and change no number."""

    device: str = "cpu"
    dtype: torch.dtype = torch.bfloat16  # what the networks compute in
    storage: str = ""  # of the transformer's weights: "", "fp8", "int8" (torchao), "nf4" (bnb)
    offload: str = ""  # weights wait in RAM: "", "block" or "leaf" by "leaf"
    vae_tiling: bool = False
    drop_padding: bool = False  # HunyuanVideo-1.5: no mask of tokens x tokens; rounds elsewhere

    def __post_init__(self):
        for name, value, accepted in (
            ("storage", self.storage, STORAGES),
            ("offload", self.offload, OFFLOADS),
        ):
            if value not in accepted:
                raise InputError(
                    name, got=repr(value), need=f"one of {accepted}", fix="'' is the default."
                )
        if self.storage == "nf4" and not self.device.startswith("cuda"):
            raise _clash("storage nf4", self.device, "device cuda", "Use int8.")
        if self.storage == "nf4" and self.offload:
            raise _clash("storage nf4", f"offload {self.offload!r}", "no offload", "Use int8.")


def plain_placement() -> Placement:
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


class Placed(Protocol):
    """What is placed, of a backbone or a whole pipeline."""

    @property
    def transformer(self) -> nn.Module: ...
    @property
    def transformer_2(self) -> nn.Module | None: ...
    @property
    def vae(self) -> Any: ...


def place(model: Placed, placement: Placement, encoders: Sequence[nn.Module]) -> None:
    """Put a loaded model where and how the placement says. Once, before LoRAs are added."""
    networks = [part for part in (model.transformer, model.transformer_2) if part is not None]
    if placement.vae_tiling:
        model.vae.enable_tiling()
    if placement.drop_padding and hasattr(model, "drop_padding"):
        model.drop_padding()
    for network in networks:
        store_as(network, placement)
    onload, cpu = torch.device(placement.device), torch.device("cpu")
    if not placement.offload:
        for module in (*networks, model.vae, *encoders):
            module.to(onload)
        return
    streams = onload.type == "cuda"
    for network in networks:
        network.enable_group_offload(
            onload,
            cpu,
            offload_type=f"{placement.offload}_level",
            num_blocks_per_group=1,
            use_stream=streams,
            record_stream=streams,
        )
    for module in (model.vae, *encoders):
        apply_group_offloading(module, onload, cpu, offload_type="leaf_level", use_stream=streams)


def store_as(network: nn.Module, placement: Placement) -> None:
    """Store the weights as fp8, if the placement says so."""
    if placement.storage == "fp8":
        network.enable_layerwise_casting(
            storage_dtype=torch.float8_e4m3fn, compute_dtype=placement.dtype
        )


def _need(package: str, what: str) -> None:
    if importlib.util.find_spec(package) is None:
        raise InputError(
            what, got=f"no package {package}", need="it", fix=f"pip install {package}."
        )


def _clash(what: str, got: str, need: str, fix: str) -> InputError:
    return InputError(f"placement, {what}", got=got, need=need, fix=fix)
