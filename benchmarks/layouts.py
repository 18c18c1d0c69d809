"""Seconds of a call of the network in each layout, at the published models' numbers of tokens and
tiny widths, with random weights: how much faster kept conditions are.

    python -m benchmarks.layouts                    two panels of a whole pass, minutes of one core
    python -m benchmarks.layouts --frames 0.25      a rehearsal on a quarter of the latent frames
    python -m benchmarks.layouts --models wan-5b    one of hunyuan, wan-14b, wan-5b

"one way, kept" is tokens-one-way with what its conditions come to computed once, "one way, anew"
the same without.
`x` is how many times the seconds of kept. Beside it, in brackets, the same by counting operations
at the published width: there layers have their share of the work, at tiny ones attention has all.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import torch
from diffusers import HunyuanVideo15Transformer3DModel, WanTransformer3DModel
from torch import Tensor

from benchmarks.backbones import Codec, known_of, random_network, random_text
from dreamactor_core.backbones import Backbone
from dreamactor_core.backbones.hunyuan15 import GEOMETRY, HunyuanVideo15Backbone
from dreamactor_core.backbones.tokens import ConditionMemory
from dreamactor_core.backbones.wan import I2V_GEOMETRY, TI2V_GEOMETRY, WanBackbone
from dreamactor_core.options import LAYOUTS

PANELS, TOKENS, ONE_WAY = LAYOUTS
ANEW, KEPT = "one way, anew", "one way, kept"
STEPS = 30  # of a pass, over which the one call that fills the memory is spread


class Published(NamedTuple):
    """What the work of a call depends on."""

    parameters: float
    blocks: int
    width: int

    def work(self, queries: int, keys: int) -> float:
        """Floating-point operations of so many tokens that read so many."""
        return 2 * self.parameters * queries + 4 * self.blocks * self.width * queries * keys


class Model(NamedTuple):
    make: Callable[[], Backbone]
    panel: tuple[int, int, int]  # latent frames, height and width of one panel, in cells
    patch: int  # cells along each side of a token
    published: Published


def hunyuan() -> Backbone:
    size = {"num_attention_heads": 1, "attention_head_dim": 16, "rope_axes_dim": (4, 6, 6)}
    size |= {"num_layers": 1, "num_refiner_layers": 1, "text_embed_dim": 16}
    size |= {"text_embed_2_dim": 16, "image_embed_dim": 64}
    network = random_network(HunyuanVideo15Transformer3DModel, size, "cpu", torch.float32)
    text = random_text(16, 16)
    backbone = HunyuanVideo15Backbone("hunyuan", GEOMETRY, network, Codec(), lambda *_: text)
    backbone.drop_padding()
    return backbone


def wan(by_token: bool) -> Backbone:
    size = {"num_attention_heads": 1, "attention_head_dim": 12, "ffn_dim": 32, "num_layers": 1}
    channels = (48, 48) if by_token else (36, 16)
    size |= {"in_channels": channels[0], "out_channels": channels[1], "text_dim": 16}
    network = random_network(WanTransformer3DModel, size, "cpu", torch.float32)
    geometry = TI2V_GEOMETRY if by_token else I2V_GEOMETRY
    text = random_text(16, 0)
    return WanBackbone("wan", geometry, network, Codec(), lambda *_: text)


MODELS = {
    "hunyuan": Model(hunyuan, (31, 30, 52), 1, Published(8.33e9, 54, 2048)),
    "wan-14b": Model(partial(wan, False), (21, 60, 104), 2, Published(14.3e9, 40, 5120)),
    "wan-5b": Model(partial(wan, True), (31, 44, 40), 2, Published(5.0e9, 30, 3072)),
}


@torch.inference_mode()
def measure(model: Model, frames: float) -> dict[str, float]:
    """Seconds of a call in each layout; kept conditions, and filling them, apart."""
    backbone = model.make()
    latent_frames = max(2, round(model.panel[0] * frames))
    height, width = model.panel[1:]
    shape = (1, backbone.geometry.latent_channels, latent_frames, height, 2 * width)
    torch.manual_seed(1)
    noise, given = torch.randn(shape), torch.randn(shape)
    context = backbone.context(given, known_of(shape, 2))
    text = backbone.encode_text([""], None)
    call = partial(backbone.velocity, noise, torch.tensor(0.5), context, text)
    seconds = {}
    for layout in LAYOUTS:
        backbone.lay_out(layout)
        seconds[layout] = timed(call)
    seconds[ANEW] = seconds.pop(ONE_WAY)
    memory = ConditionMemory()
    first = timed(partial(call, memory=memory))
    seconds[KEPT] = timed(partial(call, memory=memory))
    seconds["filling"] = first - seconds[KEPT]
    return seconds


def timed(call: Callable[[], Tensor]) -> float:
    """Of this process alone, whatever else runs."""
    began = time.process_time()
    call()
    return time.process_time() - began


def rows(name: str, model: Model, seconds: dict[str, float], frames: float) -> list[str]:
    latent_frames = max(2, round(model.panel[0] * frames))
    tokens = latent_frames * model.panel[1] * model.panel[2] // model.patch**2
    work = model.published.work
    counted = {
        PANELS: work(2 * tokens, 2 * tokens),
        TOKENS: work(2 * tokens, 2 * tokens),
        ANEW: work(tokens, 2 * tokens) + work(tokens, tokens),
        KEPT: work(tokens, 2 * tokens) + work(tokens, tokens) / STEPS,
    }
    taken = seconds | {KEPT: seconds[KEPT] + seconds["filling"] / STEPS}
    return [
        f"| {name} | {2 * tokens:,} | {layout} | {taken[layout]:.2f} | "
        f"{taken[layout] / taken[KEPT]:.2f} ({counted[layout] / counted[KEPT]:.2f}) |"
        for layout in counted
    ]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS))
    parser.add_argument("--frames", type=float, default=1.0, help="share of the latent frames (1)")
    arguments = parser.parse_args()
    print("| model | tokens | layout | s a call | x |", "|---|---|---|---|---|", sep="\n")
    for name in arguments.models:
        model = MODELS[name]
        seconds = measure(model, arguments.frames)
        print(*rows(name, model, seconds, arguments.frames), sep="\n", flush=True)


if __name__ == "__main__":
    main()
