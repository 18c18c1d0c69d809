"""A frozen network with a LoRA that learns, and its loss: what is on the device while training."""

from __future__ import annotations

import math
from functools import partial
from pathlib import Path
from typing import NamedTuple

import torch
from diffusers.training_utils import cast_training_params
from peft.tuners.lora import LoraLayer
from torch import Tensor, nn

from ..backbones import Backbone, Context, Text
from ..backbones.wan import WanBackbone
from ..errors import InputError
from ..lora.adapters import EXPERTS, LoraSpec, add_lora, load_lora
from ..sampling import flow_loss

LORA = "learning"  # the name of the LoRA in training within the network


class LatentExample(NamedTuple):
    """What one call of the network and its loss need; batch axis 1."""

    target: Tensor  # (1, c, t', h', 2w') clean latents
    context: Context
    text: Text
    noise: Tensor
    sigma: Tensor  # (1,)


class LoraTrainee(nn.Module):
    """The network as a module whose forward pass is the loss, for accelerate to wrap."""

    def __init__(self, backbone: Backbone, network: nn.Module):
        super().__init__()
        self.network = network
        self._backbone = [backbone]  # in a list: not a module of this one

    def forward(self, example: LatentExample) -> Tensor:
        velocity = partial(self._backbone[0].velocity, context=example.context, text=example.text)
        unknown = 1 - example.context.known.amin(dim=1, keepdim=True)
        flow = example.target, example.noise, example.sigma
        return flow_loss(velocity, *flow, unknown)


def prepare_network(
    backbone: Backbone, spec: LoraSpec, expert: str = "", init: Path | None = None, seed: int = 0
) -> nn.Module:
    """The network with a LoRA that learns in float32, the rest frozen and recomputed backwards.

    A network that is not in float32 is to be called under autocast.
    """
    layout = backbone.layout
    if init is None:
        with torch.random.fork_rng():  # the same beginning in every run
            torch.manual_seed(seed)
            add_lora(backbone, spec, LORA, expert)
    else:
        start = load_lora(backbone, init, name=LORA).info
        got = start.rank, start.alpha, start.expert, start.layout
        if got != (spec.rank, spec.alpha, expert, layout):
            raise InputError(
                f"LoRA {init}",
                got=f"rank {start.rank}, alpha {start.alpha:g}, expert {start.expert or 'none'}, "
                f"layout {start.layout}",
                need=f"rank {spec.rank}, alpha {spec.alpha:g}, expert "
                f"{expert or 'none'}, layout {layout}, as asked for",
                fix="Change the recipe, or start without --init.",
            )
    network = backbone.transformer_2 if expert == "low" else backbone.transformer
    for name, parameter in network.named_parameters():
        parameter.requires_grad_("lora_" in name)
    cast_training_params(network, torch.float32)
    for module in network.modules():
        if isinstance(module, LoraLayer):  # autocast does it, without a copy in float32
            module.cast_input_dtype_enabled = False
    if hasattr(backbone, "drop_padding"):  # else the attention's mask has tokens x tokens values
        backbone.drop_padding()
    network.enable_gradient_checkpointing()
    return network


def draw_lora_sigma(
    shift: float, limits: tuple[float, float], generator: torch.Generator
) -> Tensor:
    """A noise level (): logit-normal, shifted as flow_sigmas does, within the limits."""
    while True:
        normal = torch.sigmoid(torch.randn(64, generator=generator))
        levels = shift * normal / (1 + (shift - 1) * normal)
        inside = levels[(levels >= limits[0]) & (levels <= limits[1])]
        if len(inside):
            return inside[0]


def sigma_range(backbone: Backbone, expert: str) -> tuple[float, float]:
    """Noise levels that a network works at. The high-noise expert's include the boundary."""
    if expert not in EXPERTS:
        return 0.0, 1.0
    assert isinstance(backbone, WanBackbone), "no other has two experts"
    boundary = backbone.boundary_ratio
    return (boundary, 1.0) if expert == "high" else (0.0, math.nextafter(boundary, 0) - 1e-6)
