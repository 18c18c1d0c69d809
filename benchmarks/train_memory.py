"""Peak memory and seconds of a training step at full size, beside the formula's: HunyuanVideo-1.5's
network with random weights, a LoRA on its feed-forward layers, random latents of two panels.

    python -m benchmarks.train_memory --frames 49 121 --ranks 64 256        on a GPU of 80 GB
    python -m benchmarks.train_memory --tiny --device cpu                   a rehearsal, seconds

Needs torch, diffusers, peft and this repository; no weights, no autoencoder, no encoders.
"""

from __future__ import annotations

import argparse
import gc
import json
import time
from pathlib import Path

import torch
from diffusers import HunyuanVideo15Transformer3DModel

from dreamactor_core.backbones import Context, Text
from dreamactor_core.backbones.hunyuan15 import GEOMETRY, HunyuanVideo15Backbone
from dreamactor_core.composite import build_composite, known_latents
from dreamactor_core.lora.adapters import LoraSpec
from dreamactor_core.models.estimate import GIB
from dreamactor_core.train.memory import (
    TrainingMemory,
    sizes_of,
    step_flops,
    tokens_of,
    training_memory,
)
from dreamactor_core.train.network import LORA, LatentExample, LoraTrainee, prepare_network

WORDS, GLYPHS, IMAGE = 300, 0, 729  # tokens of a long prompt without quotes, and of the reference
TINY = {"num_attention_heads": 1, "num_layers": 2, "num_refiner_layers": 1}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--frames", type=int, nargs="+", default=[49, 121])
    parser.add_argument("--ranks", type=int, nargs="+", default=[64, 256])
    parser.add_argument("--panel", type=int, nargs=2, default=GEOMETRY.panel, metavar=("H", "W"))
    parser.add_argument("--steps", type=int, default=2, help="the first is not timed")
    parser.add_argument("--tiny", action="store_true", help="one head, two blocks, 32x32 panels")
    parser.add_argument("--json", type=Path, help="write the rows there, too")
    arguments = parser.parse_args()
    if arguments.tiny:
        arguments.panel, arguments.frames = (32, 32), [49]
    backbone = build(arguments.device, arguments.tiny)
    print(f"torch {torch.__version__}, {name_of(arguments.device)}")
    rows = []
    for frames in arguments.frames:
        for rank in arguments.ranks:
            row = measure(backbone, tuple(arguments.panel), frames, rank, arguments)
            rows.append(row)
            print(told(row), flush=True)
            if arguments.json:
                arguments.json.write_text(json.dumps(rows, indent=1))


def build(device: str, tiny: bool) -> HunyuanVideo15Backbone:
    """The published network's own sizes are the class's defaults; random weights, frozen."""
    torch.manual_seed(0)
    torch.set_default_dtype(torch.bfloat16)  # on a GPU 17 GB at once, and never 33
    with torch.device(device):
        network = HunyuanVideo15Transformer3DModel(**(TINY if tiny else {}))
    torch.set_default_dtype(torch.float32)
    network.requires_grad_(False)
    return HunyuanVideo15Backbone(
        "hunyuanvideo-1.5", GEOMETRY, network, vae=None, text_encoder=None
    )


def measure(
    backbone: HunyuanVideo15Backbone,
    panel: tuple[int, int],
    frames: int,
    rank: int,
    arguments: argparse.Namespace,
) -> dict:
    device, on_gpu = torch.device(arguments.device), arguments.device.startswith("cuda")
    network = prepare_network(backbone, LoraSpec(rank, rank))
    network.to(device)
    trainee = LoraTrainee(backbone, network).train()
    learning = [p for p in network.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(learning, lr=1e-4, fused=True)
    example = example_of(network.config, panel, frames, device)
    parameters = sum(p.numel() for p in network.parameters()) - sum(p.numel() for p in learning)
    sizes, tokens = sizes_of(dict(network.config), parameters), tokens_of(GEOMETRY, panel, frames)
    row = {"frames": frames, "rank": rank, "tokens": tokens, "device": name_of(arguments.device)}
    row["formula"] = training_memory(sizes, tokens, WORDS + GLYPHS + IMAGE, rank)._asdict()
    row["petaflops"] = step_flops(sizes, tokens) / 1e15
    if on_gpu:
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    try:
        for _ in range(arguments.steps):
            began = time.perf_counter()
            row["loss"] = step_of(trainee, optimizer, learning, example, device)
            row["seconds"] = time.perf_counter() - began
    except torch.OutOfMemoryError as error:
        row["error"] = str(error).splitlines()[0]
    if on_gpu:
        row["peak"] = torch.cuda.max_memory_allocated()
        row["reserved"] = torch.cuda.max_memory_reserved()
    del trainee, optimizer, learning, example
    network.delete_adapters(LORA)
    network.unload_lora()
    gc.collect()
    return row


def step_of(trainee, optimizer, learning, example: LatentExample, device: torch.device) -> float:
    with torch.autocast(device.type, torch.bfloat16):
        loss = trainee(example)
    loss.backward()
    torch.nn.utils.clip_grad_norm_(learning, 1.0)
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    return loss.item()  # waits for the device


def example_of(config, panel: tuple[int, int], frames: int, device: torch.device) -> LatentExample:
    """Random latents under the mask of a first pass; the text is as long as a long caption."""
    height, width = (side // GEOMETRY.spatial_stride for side in panel)
    lead = GEOMETRY.lead_frames()
    picture = torch.zeros(1, height, width, 3)
    composite = build_composite(picture, picture.expand(frames - lead, -1, -1, -1), lead_in=lead)
    known = known_latents(composite.known, GEOMETRY.temporal_stride, height, 2 * width).to(device)
    shape = 1, GEOMETRY.latent_channels, known.shape[2], height, 2 * width
    target, noise = torch.randn(2, *shape, device=device)
    text = Text(
        torch.randn(1, WORDS, config.text_embed_dim, device=device),
        torch.ones(1, WORDS, device=device),
        torch.zeros(1, GLYPHS, config.text_embed_2_dim, device=device),
        torch.ones(1, GLYPHS, device=device),
        torch.randn(1, IMAGE, config.image_embed_dim, device=device),
    )
    context = Context(target * known, known)
    return LatentExample(target, context, text, noise, torch.tensor([0.7], device=device))


def name_of(device: str) -> str:
    return torch.cuda.get_device_name(device) if device.startswith("cuda") else "CPU"


def told(row: dict) -> str:
    formula = TrainingMemory(**row["formula"])
    peak = f"peak {row['peak'] / GIB:.1f} GiB" if "peak" in row else "peak not measured"
    seconds = row.get("seconds")
    took = f"{seconds:.2f} s, {row['petaflops'] / seconds * 1000:.0f} TFLOP/s" if seconds else ""
    return (
        f"{row['frames']} frames, rank {row['rank']}, {row['tokens']} tokens: {peak}, formula "
        f"{formula}; {took}{row.get('error', '')}"
    )


if __name__ == "__main__":
    main()
