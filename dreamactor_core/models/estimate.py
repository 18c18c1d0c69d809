"""Whether a model fits, from the headers of its files and the size of a pass: nothing is loaded."""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace

import psutil
import torch

from ..backbones.placement import VAE_DTYPE, Placement
from ..errors import InputError
from ..geometry import Geometry
from ..weight_files.checkpoint import Checkpoint, largest
from ..weight_files.family import Family

GIB = 2**30
BYTES = {"fp8": 1.0, "int8": 1.0, "nf4": 0.55}  # a parameter, by storage; else as dtype
BLOCKS = ("blocks", "double_blocks", "transformer_blocks")  # the lists of blocks, in any layout
BUFFERS = 8  # tensors as wide as the network that a block holds at once, beside its feed-forward
TIMED_WIDTH, TIMED_ROWS, MOMENT = 3072, 2**15, 0.02  # of the product that times a device; seconds
TILE = 256  # pixels a side: what diffusers' autoencoders cut a frame into


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
    each = BYTES.get(placement.storage, placement.dtype.itemsize)
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
        resident = int(2 * block * each)
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
    storage or fetched from RAM come on top; and another program on the device counts only if it
    runs now.
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
    return height * width * frames * family.vae_values * VAE_DTYPE.itemsize
