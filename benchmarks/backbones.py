"""Seconds per step of each backbone and placement, with random weights: no downloads.

    python benchmarks/backbones.py                         small models, on the CPU
    python benchmarks/backbones.py --full --device cuda    published sizes, 832x480 pairs, 81 frames

`overhead` is our velocity() over the bare forward of the same network on the same numbers. `error`
is the relative error of the clip after --steps steps, against the same network held plainly.
"""

from __future__ import annotations

import argparse
import sys
import time
import warnings
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

import torch
from diffusers import HunyuanVideo15Transformer3DModel, WanTransformer3DModel
from diffusers.utils import logging
from torch import Tensor, nn

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from dreamactor_core.backbones import Backbone, Text
from dreamactor_core.backbones.hunyuan15 import GEOMETRY, HunyuanVideo15Backbone
from dreamactor_core.backbones.placement import Placement, place
from dreamactor_core.backbones.wan import I2V_GEOMETRY, TI2V_GEOMETRY, WanBackbone
from dreamactor_core.sampling import flow_sigmas, sample

SHIFT = 5.0
WORDS = {"hunyuan": 1000, "wan": 512}


class Model(NamedTuple):
    name: str
    make: Callable[[], Backbone]
    latents: tuple[int, int, int]  # frames, height and width of one panel, in cells


class Row(NamedTuple):
    model: str
    placement: str
    seconds: float
    overhead: float
    memory: float
    error: float


class Codec(nn.Module):
    """Stands where the autoencoder would: this benchmark starts and ends with latents."""

    device = torch.device("cpu")


def hunyuan(full: bool, device: str, dtype: torch.dtype) -> Backbone:
    size = (
        {}
        if full
        else {
            "num_attention_heads": 4,
            "attention_head_dim": 32,
            "num_layers": 4,
            "num_refiner_layers": 1,
            "text_embed_dim": 64,
            "text_embed_2_dim": 64,
            "image_embed_dim": 64,
            "rope_axes_dim": (8, 12, 12),
        }
    )
    network = random_network(HunyuanVideo15Transformer3DModel, size, device, dtype)
    text = random_text(network.config.text_embed_dim, network.config.text_embed_2_dim)
    return HunyuanVideo15Backbone("hunyuan", GEOMETRY, network, Codec(), lambda *_: text)


def wan(kind: str, full: bool, device: str, dtype: torch.dtype) -> Backbone:
    published = {
        "14b": {"num_attention_heads": 40, "ffn_dim": 13824, "num_layers": 40},
        "1.3b": {"num_attention_heads": 12, "ffn_dim": 8960, "num_layers": 30},
        "5b": {"num_attention_heads": 24, "ffn_dim": 14336, "num_layers": 30},
    }
    small = {"num_attention_heads": 8, "attention_head_dim": 32, "ffn_dim": 1024, "num_layers": 4}
    size = published[kind] if full else small | {"text_dim": 64}
    geometry = TI2V_GEOMETRY if kind == "5b" else I2V_GEOMETRY
    channels = (48, 48) if kind == "5b" else (36, 16)
    size |= {"in_channels": channels[0], "out_channels": channels[1]}
    network = random_network(WanTransformer3DModel, size, device, dtype)
    text = random_text(network.config.text_dim, 0)
    return WanBackbone(f"wan-{kind}", geometry, network, Codec(), lambda *_: text)


def random_network(cls: type[nn.Module], size: dict, device: str, dtype: torch.dtype) -> nn.Module:
    torch.manual_seed(0)
    with torch.device(device):
        default = torch.get_default_dtype()
        torch.set_default_dtype(dtype)
        network = cls(**size)
        torch.set_default_dtype(default)
    return network.eval().requires_grad_(False)


def random_text(width: int, width_2: int) -> Text:
    """A prompt of 120 tokens, padded as the stock encoders pad it; no picture, no glyphs."""
    length = WORDS["hunyuan"] if width_2 else WORDS["wan"]
    mask = torch.zeros(1, length)
    mask[:, :120] = 1
    return Text(
        prompt_embeds=torch.randn(1, length, width) * mask[..., None],
        prompt_embeds_mask=mask,
        prompt_embeds_2=torch.zeros(1, 256 if width_2 else 0, width_2),
        prompt_embeds_mask_2=torch.zeros(1, 256 if width_2 else 0),
        image_embeds=torch.zeros(1, 0, 1152 if width_2 == 1472 else 64),
    )


def known_of(shape: tuple[int, ...], panels: int) -> Tensor:
    """Frame 0 of the left panel and all of the right one, a value a cell."""
    known = torch.zeros(4 * (shape[2] - 1) + 1, shape[3], shape[4], 1)
    known[0] = 1
    known[:, :, shape[4] // panels :] = 1
    return known


class Run(NamedTuple):
    backbone: Backbone
    noise: Tensor
    velocity: Callable[[Tensor, Tensor], Tensor]


def prepare(model: Model, placement: Placement, panels: int = 2) -> Run:
    backbone = model.make()
    frames, height, width = model.latents
    shape = (1, backbone.geometry.latent_channels, frames, height, panels * width)
    torch.manual_seed(1)
    text = backbone.encode_text([""], None)
    given, known = torch.randn(shape), known_of(shape, panels)
    context = backbone.context(given.to(placement.device), known.to(placement.device))
    noise = torch.randn(shape).to(placement.device)
    place(backbone, placement, [])
    return Run(backbone, noise, partial(backbone.velocity, context=context, text=text))


def bare_forward(run: Run, sigma: Tensor) -> Callable[[], Tensor]:
    """The network alone, on the very numbers that velocity() gives it."""
    network, caught = run.backbone.transformer, {}

    def catch(module: nn.Module, positional: tuple, named: dict) -> None:
        caught.update(named)

    hook = network.register_forward_pre_hook(catch, with_kwargs=True)
    run.velocity(run.noise, sigma)
    hook.remove()
    return lambda: network(**caught)


def fastest(calls: list[Callable[[], Tensor]], device: str, repeats: int) -> list[float]:
    """Seconds of each call, the best of some rounds in turn, after a first one that warms up.

    On the CPU they are seconds of one core, which other programs do not lengthen.
    """
    clock = time.perf_counter if device.startswith("cuda") else time.process_time
    best = [float("inf")] * len(calls)
    for turn in range(repeats + 1):
        for index, call in enumerate(calls):
            synchronize(device)
            start = clock()
            call()
            synchronize(device)
            if turn:
                best[index] = min(best[index], clock() - start)
    return best


def synchronize(device: str) -> None:
    if device.startswith("cuda"):
        torch.cuda.synchronize()


def measure(
    model: Model, title: str, placement: Placement, steps: int, plain: Tensor | None
) -> tuple[Row, Tensor]:
    """One row of the table, and the clip that the placement gives."""
    cuda = placement.device.startswith("cuda")
    if cuda:
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    run, sigma = prepare(model, placement), torch.tensor(0.9, device=placement.device)

    calls = [partial(run.velocity, run.noise, sigma), bare_forward(run, sigma)]
    seconds, alone = fastest(calls, placement.device, 3)
    overhead = seconds / alone - 1
    result = sample(run.velocity, run.noise, flow_sigmas(steps, SHIFT), "euler")
    memory = torch.cuda.max_memory_allocated() / 2**30 if cuda else float("nan")
    error = 0.0 if plain is None else ((result - plain).norm() / plain.norm()).item()
    return Row(model.name, title, seconds, overhead, memory, error), result


def driving_panel(model: Model, placement: Placement) -> str:
    """What the right panel costs, and the share of the layers that predict it for nothing."""
    sigma, seconds = torch.tensor(0.9, device=placement.device), []
    for panels in (1, 2):
        run = prepare(model, placement, panels)
        seconds += fastest([partial(run.velocity, run.noise, sigma)], placement.device, 3)
    network = run.backbone.transformer
    caught = []
    hook = network.proj_out.register_forward_pre_hook(lambda _, inputs: caught.append(inputs[0]))
    run.velocity(run.noise, sigma)
    hook.remove()
    (head,) = fastest([partial(network.proj_out, caught[0])], placement.device, 5)
    return (
        f"| {model.name} | {seconds[0]:.3f} | {seconds[1]:.3f} | {seconds[1] / seconds[0]:.2f} | "
        f"{head / 2 / seconds[1]:.2%} |"
    )


def placements(full: bool, device: str) -> dict[str, Placement]:
    plain = Placement(device, torch.bfloat16 if full else torch.float32)
    return {
        "plain": plain,
        "drop_padding": replace(plain, drop_padding=True),
        "fp8 storage": replace(plain, storage="fp8"),
        "block offload": replace(plain, offload="block"),
        "leaf offload": replace(plain, offload="leaf"),
        "fp8 + block offload": replace(plain, storage="fp8", offload="block"),
    }


def models(full: bool, names: list[str]) -> list[Model]:
    dtype = torch.bfloat16 if full else torch.float32
    pair = (21, 104, 60) if full else (3, 16, 16)
    half = (21, 52, 30) if full else (3, 8, 8)
    # Made in RAM: a placement that offloads must not find the weights on the device already.
    return [
        model
        for model in (
            Model("hunyuan", partial(hunyuan, full, "cpu", dtype), half),
            Model("wan-14b", partial(wan, "14b", full, "cpu", dtype), pair),
            Model("wan-1.3b", partial(wan, "1.3b", full, "cpu", dtype), pair),
            Model("wan-5b", partial(wan, "5b", full, "cpu", dtype), half),
        )
        if model.name in names or (not names and (full or model.name != "wan-1.3b"))
    ]


@torch.inference_mode()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--full", action="store_true", help="the published sizes")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--models", nargs="*", default=[], help="hunyuan wan-14b wan-1.3b wan-5b")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    torch.set_num_threads(1 if arguments.device == "cpu" else torch.get_num_threads())
    logging.set_verbosity_error()
    chosen = models(arguments.full, arguments.models)
    print("| model | placement | s / step | overhead | GiB | error |")
    print("| --- | --- | --- | --- | --- | --- |")
    for model in chosen:
        plain = None
        for title, placement in placements(arguments.full, arguments.device).items():
            if title == "drop_padding" and model.name != "hunyuan":
                continue
            row, clip = measure(model, title, placement, arguments.steps, plain)
            plain = clip if plain is None else plain
            print(
                f"| {row.model} | {row.placement} | {row.seconds:.3f} | {row.overhead:+.1%} | "
                f"{row.memory:.1f} | {row.error:.1e} |",
                flush=True,
            )
    print("\n| model | one panel, s | two panels, s | ratio | predicting the right panel |")
    print("| --- | --- | --- | --- | --- |")
    for model in chosen:
        plain = placements(arguments.full, arguments.device)["plain"]
        print(driving_panel(model, plain), flush=True)


if __name__ == "__main__":
    main()
