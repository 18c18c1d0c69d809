"""Where a backbone's weights lie, how precise they are, and whether it all fits.

One Placement says it; diffusers' machinery does it. docs/placement.md: what works with what.
"""

from __future__ import annotations

import importlib.util
import time
from dataclasses import dataclass, field, replace
from typing import Any

import psutil
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
from ..geometry import Geometry
from ..weight_files.checkpoint import Checkpoint, largest
from ..weight_files.family import Family
from . import Backbone
from .gaps import HAS_STEP_CACHES

GIB = 2**30
STORAGES = {"": None, "fp8": 1.0, "int8": 1.0, "nf4": 0.55}  # bytes a parameter; "" as dtype
OFFLOADS = ("", "block", "leaf")
CACHES = ("", "first-block", "mag", "taylorseer")
ATTENTIONS = tuple(name.value for name in AttentionBackendName)
BLOCKS = ("blocks", "double_blocks", "transformer_blocks")  # the lists of blocks, in any layout
BUFFERS = 8  # tensors as wide as the network that a block holds at once, beside its feed-forward
TIMED_WIDTH, TIMED_ROWS, MOMENT = 3072, 2**15, 0.02  # of the product that times a device; seconds
TILE = 256  # pixels a side: what diffusers' autoencoders cut a frame into


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
            ("storage", self.storage, tuple(STORAGES)),
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


@dataclass(frozen=True)
class Estimate:
    """What a pass will take. Bytes; rough, within about a third."""

    tokens: int  # of the composite, both panels; 0 when only the weights were asked for
    petaflops: float  # of one call of the network
    weights: int  # of all experts and encoders, as they are stored
    vram: int  # peak on the device
    ram: int  # beside it
    # Of one call of the network, if the device was timed; a step is one call for each branch of
    # guidance. Rough, within about a factor of two: see with_seconds.
    seconds: float | None = field(default=None, compare=False)

    def __str__(self) -> str:
        took = ""
        if self.seconds is not None:
            long = self.seconds >= 100
            took = f"{self.seconds / 60:.0f} min" if long else f"{self.seconds:.2g} s"
            took = f", about {took} a call and step (two or three times that with guidance)"
        return (
            f"{self.tokens} tokens, {self.petaflops:.2f} PFLOP a call{took}, weights "
            f"{self.weights / GIB:.1f} GiB, about {self.vram / GIB:.1f} GiB on the device and "
            f"{self.ram / GIB:.1f} GiB of RAM"
        )


def estimate(
    checkpoint: Checkpoint,
    placement: Placement,
    panel: tuple[int, int] | None = None,
    num_frames: int | None = None,
    experts: int = 1,
    encoder_bytes: int = 0,
) -> Estimate:
    """Of a pass over panels of (height, width); without a panel, of the weights alone.

    num_frames: of the pass, the longest if not said. encoder_bytes: weights of the text and image
    encoders, which share the device or wait in RAM.
    """
    header, config, geometry = checkpoint.header, checkpoint.found.config, checkpoint.found.geometry
    num_frames = num_frames or geometry.num_frames
    panel = panel or (0, 0)
    tokens = _tokens(geometry, panel, num_frames)
    width = config["num_attention_heads"] * config["attention_head_dim"]
    inner = config.get("ffn_dim", 4 * width)
    parameters = header.num_parameters()
    each = STORAGES[placement.storage] or placement.dtype.itemsize
    if header.path.suffix == ".gguf":
        each = header.path.stat().st_size / parameters
    weights = int(parameters * each * experts) + encoder_bytes
    active = tokens * (BUFFERS * width + inner) * placement.dtype.itemsize
    if checkpoint.family.masks_attention and not placement.drop_padding:
        active += 3 * tokens**2  # the mask and the two it is made of
    peak = max(active, _vae_bytes(checkpoint.family, placement, panel, num_frames))
    resident = weights
    if placement.offload:
        block = max(largest(header.tensors, f"{blocks}.0.") for blocks in BLOCKS)
        resident = int(2 * placement.blocks_per_group * block * each)
    on_cpu = placement.device == "cpu"
    return Estimate(
        tokens=tokens,
        petaflops=(2 * parameters * tokens + 4 * config["num_layers"] * tokens**2 * width) / 1e15,
        weights=weights,
        vram=0 if on_cpu else resident + peak,
        ram=weights + peak if on_cpu else (weights if placement.offload else 0),
    )


def with_seconds(estimated: Estimate, placement: Placement) -> Estimate:
    """The same with the seconds of a call of the network, from what the device does right now.

    Rough: the device is timed at a bare product of matrices in placement.dtype. Attention, norms
    and small shapes run slower than that, often by half; weights that are cast from a smaller
    storage or fetched from RAM come on top; a step cache or a compiled network is faster; and
    another program on the device counts only if it runs now.
    """
    speed = measure_speed(placement.device, placement.dtype)
    return replace(estimated, seconds=estimated.petaflops * 1e15 / speed)


def measure_speed(device: str, dtype: torch.dtype) -> float:
    """FLOP/s of a product of matrices as wide as the networks; a tenth of a second or so."""
    weight = torch.full((TIMED_WIDTH, TIMED_WIDTH), 0.5, device=device, dtype=dtype)
    rows, seconds = 2, 0.0
    while seconds < MOMENT and rows < TIMED_ROWS:
        rows *= 2
        tokens = torch.full((rows, TIMED_WIDTH), 0.5, device=device, dtype=dtype)
        seconds = min(_seconds_of(tokens, weight) for _ in range(2))  # the first may load kernels
    return 2 * rows * TIMED_WIDTH**2 / seconds


def _seconds_of(tokens: torch.Tensor, weight: torch.Tensor) -> float:
    began = time.perf_counter()
    (tokens @ weight)[0, 0].item()  # waits for the device
    return time.perf_counter() - began


def check_memory(estimated: Estimate, placement: Placement) -> None:
    """Raise InputError, with what to change, when a pass will not fit into what is free now."""
    free_ram = psutil.virtual_memory().available
    rows = [("RAM", estimated.ram, free_ram)]
    subject = f"{estimated.tokens} tokens" if estimated.tokens else "the weights alone"
    if placement.device.startswith("cuda"):
        rows.append(("GPU memory", estimated.vram, torch.cuda.mem_get_info(placement.device)[0]))
    for what, need, free in rows:
        if need > free:
            raise InputError(
                what,
                got=f"{free / GIB:.1f} GiB free",
                need=f"about {need / GIB:.1f} GiB for {subject}",
                fix=_advice(placement, what, estimated.tokens),
            )


def _advice(placement: Placement, what: str, tokens: int) -> str:
    ways = []
    if what == "GPU memory":
        ways += ["offload='block'"] if not placement.offload else []
        ways += ["vae_tiling=True"] if not placement.vae_tiling else []
    if not placement.storage:
        ways += ["storage='fp8' or 'int8'", "a GGUF file"]
    ways += ["a smaller panel", "fewer frames"] if tokens else []
    return f"Try {', '.join(ways) or 'a smaller model'}."


def _tokens(geometry: Geometry, panel: tuple[int, int], num_frames: int) -> int:
    height, width = panel
    cells = height * 2 * width // geometry.size_multiple**2
    return geometry.latent_frames(num_frames) * cells


def _vae_bytes(
    family: Family, placement: Placement, panel: tuple[int, int], num_frames: int
) -> int:
    """Of encoding the composite, the widest thing the autoencoder is given."""
    height, width = panel[0], 2 * panel[1]
    if placement.vae_tiling:
        height, width = min(height, TILE), min(width, TILE)
    frames = min(num_frames, family.vae_frames or num_frames)
    return height * width * frames * family.vae_values * placement.vae_dtype.itemsize


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
