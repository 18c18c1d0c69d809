"""The layouts "tokens" and "tokens-one-way": reference and driver as tokens without noise.

    panels            one stream     [ target | driver ], all of it at the step's noise level
    tokens            two streams    target at the step's noise level | reference, driver at 0
    tokens-one-way    the same, but the clean stream reads nothing but itself

A stream is a sample of a batch, so that each has a noise level, and positions, of its own without
a change to the network: the driver's tokens stand where the target's of the same time and place
do, the reference's where its first frame is. In self-attention alone the streams meet: each reads
the other's pictures. What one way is clean is the same at every step: its keys and values can be
kept (ConditionMemory) for all steps of a pass.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from diffusers.models.attention_dispatch import dispatch_attention_fn
from torch import Tensor, nn

from ..options import LAYOUTS
from . import Context, Text

PANELS, _, ONE_WAY = LAYOUTS
LEAST_SIGMA = 0.02  # training alone meets less; a clean cell's velocity is divided by sigma


class Layouts:
    """What a backbone that works in all of LAYOUTS answers of them."""

    layouts: tuple[str, ...] = LAYOUTS
    layout = PANELS
    exchange: Exchange | None = None  # of a layout of two streams

    def lay_out(self, layout: str) -> None:
        """Work in another of `layouts` from now on."""
        assert layout in self.layouts, layout
        if layout != self.layout:
            self.layout = layout
            self.exchange = None if layout == PANELS else Exchange(layout == ONE_WAY)
            self._set_processors()

    def _set_processors(self) -> None:
        """Those of self-attention, as self.exchange wants them."""
        raise NotImplementedError


class ConditionMemory:
    """Keys and values of the clean stream, for one context and text, of the network that was used
    last: of two experts the other's are dropped.

    Bytes: 4 * blocks * tokens of a panel * width in bf16. They wait where the weights do.
    """

    def __init__(self) -> None:
        self.network: nn.Module | None = None
        self.kept: dict[nn.Module, tuple[Tensor, Tensor]] = {}


class Exchange:
    """What the streams of a batch read of each other: one for all attentions of a backbone."""

    def __init__(self, one_way: bool):
        self.one_way = one_way
        # Left as the last call set it, for a backward pass may compute blocks again.
        self.streams = 1
        self.recorded: ConditionMemory | None = None
        self.read: ConditionMemory | None = None

    @property
    def alone(self) -> bool:
        """Whether each sample is to be attended to as in the stock network."""
        return self.streams == 1 and self.recorded is None and self.read is None

    @contextmanager
    def recording(self, memory: ConditionMemory, network: nn.Module) -> Iterator[None]:
        """Samples are clean streams, whose keys and values are kept."""
        memory.network, memory.kept = network, {}
        self.streams, self.recorded = 1, memory
        try:
            yield
        finally:
            self.recorded = None

    @contextmanager
    def reading(self, memory: ConditionMemory) -> Iterator[None]:
        """Samples are targets, which read what was kept."""
        self.streams, self.read = 1, memory
        try:
            yield
        finally:
            self.read = None

    def attend(
        self,
        attn: nn.Module,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        pictures: int,
        backend: str | None = None,
    ) -> Tensor:
        """Heads (b, l, n, d) of each sample's own tokens -> the same. The first `pictures` of them
        are what the other stream may read; a batch of two streams has all targets first."""
        half = len(query) // 2
        shown = key[:, :pictures], value[:, :pictures]
        if self.recorded is not None:
            home = next(attn.parameters()).device
            self.recorded.kept[attn] = shown[0].to(home), shown[1].to(home)
            return dispatch_attention_fn(query, key, value, backend=backend)
        if self.read is not None:
            kept_key, kept_value = self.read.kept[attn]
            seen = _of_batch(kept_key.to(key), len(key)), _of_batch(kept_value.to(key), len(key))
        elif self.one_way:
            targets, clean = zip(*(part.split(half) for part in (query, key, value)), strict=True)
            seen = shown[0][half:], shown[1][half:]
            return torch.cat([_attend(targets, seen, backend), _attend(clean, None, backend)])
        else:
            seen = shown[0].roll(half, dims=0), shown[1].roll(half, dims=0)
        return _attend((query, key, value), seen, backend)


def _attend(
    heads: tuple[Tensor, ...], seen: tuple[Tensor, Tensor] | None, backend: str | None
) -> Tensor:
    query, key, value = heads
    if seen is not None:
        key, value = torch.cat([key, seen[0]], dim=1), torch.cat([value, seen[1]], dim=1)
    return dispatch_attention_fn(query, key, value, backend=backend)


def velocity_by_tokens(
    answer: Callable[[Tensor, Tensor, Context, Text], Tensor],
    exchange: Exchange,
    network: nn.Module,
    latents: Tensor,
    sigma: Tensor,
    given: tuple[Context, Text],
    memory: ConditionMemory | None = None,
) -> Tensor:
    """As Backbone.velocity of latents (b, c, t', h', 2w') at sigma (b,), the target on the left.

    answer: velocity by `network` of samples of one panel each, (latents, sigma, context, text).
    memory: of this context and text, filled by the first call; one way and without gradients only.
    """
    context, text = given
    half, batch = latents.shape[-1] // 2, len(latents)
    noisy = latents[..., :half]
    left = Context(*(part[..., :half] for part in context))
    right = context.latents[..., half:]
    # The driver's first frame is the empty one beside the reference, which takes its place.
    clean = torch.cat([left.latents[:, :, :1], right[:, :, 1:]], dim=2)
    beside = Context(clean, torch.ones_like(left.known))
    if memory is None:
        exchange.streams = 2
        pairs = (noisy, clean), (sigma, torch.zeros_like(sigma)), *zip(left, beside, strict=True)
        both, levels, *contexts = (
            torch.cat([_of_batch(part, batch) for part in pair]) for pair in pairs
        )
        drawn = answer(both, levels, Context(*contexts), _for_two(text))[:batch]
    else:
        if memory.network is not network:
            with exchange.recording(memory, network):
                answer(clean, torch.zeros_like(sigma[:1]).expand(len(clean)), beside, text)
        with exchange.reading(memory):
            drawn = answer(noisy, sigma, left, text)
    return torch.cat([drawn, towards(right, latents[..., half:], sigma)], dim=-1)


def towards(given: Tensor, latents: Tensor, sigma: Tensor) -> Tensor:
    """The velocity of latents (b, c, t', h', w') at sigma (b,) that leads to what is given."""
    level = sigma.clamp(min=LEAST_SIGMA).to(latents.dtype).view(-1, 1, 1, 1, 1)
    return (latents - given) / level


def _of_batch(part: Tensor, batch: int) -> Tensor:
    return part.expand(batch, *part.shape[1:])


def _for_two(text: Text) -> Text:
    """For both streams; one prompt serves any batch."""
    return text if len(text.prompt_embeds) == 1 else Text(*(torch.cat([p, p]) for p in text))
