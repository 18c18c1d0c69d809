"""The video code of mini-incontext: principal components of 8x8x4 blocks, and a clean-up.

    encode   a block of 4 frames of 8x8 pixels to its first principal components
    decode   the same components read backwards, then 2-D convolutions that mend what they blur

Frame 0 is a group of its own (repeated four times), then come groups of four frames, as in the
video VAEs of the large models. The decoder reads the group before as well, so it is causal with
stride 4. The encoder is linear: equal errors of the code are equal errors of the picture, which is
what a small transformer needs, and nothing of one panel leaks into the other.

Videos are (b, 3, t, h, w) in [-1, 1]; latents (b, c, t', h / 8, w / 8), about unit variance.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from diffusers import ConfigMixin, ModelMixin
from diffusers.configuration_utils import register_to_config
from torch import Tensor, nn
from torch.nn.functional import pixel_shuffle, pixel_unshuffle, silu

from .vae import GROUP, PATCH, DecoderOutput, EncoderOutput, Point, ResBlock

BLOCK_VALUES = 3 * GROUP * PATCH * PATCH  # that a latent cell stands for
CODE_TOLERANCE = 0.05  # of [-1, 1]


def group_frames(video: Tensor) -> Tensor:
    """(b, 3, t, h, w), t = 4k + 1 -> (b, k + 1, 12, h, w): frame 0 four times, then fours."""
    padded = torch.cat([video[:, :, :1].expand(-1, -1, GROUP - 1, -1, -1), video], dim=2)
    return padded.unflatten(2, (-1, GROUP)).movedim(1, 3).flatten(2, 3)


def ungroup_frames(groups: Tensor) -> Tensor:
    """(b, k + 1, 12, h, w) -> (b, 3, 4k + 1, h, w); the four of frame 0 become their mean."""
    frames = groups.unflatten(2, (GROUP, 3))
    first = frames[:, :1].mean(dim=2)
    return torch.cat([first, frames[:, 1:].flatten(1, 2)], dim=1).transpose(1, 2)


class BlockCodec(ModelMixin, ConfigMixin):
    """Called like diffusers' video autoencoders."""

    spatial_compression_ratio = PATCH
    temporal_compression_ratio = GROUP

    @register_to_config
    def __init__(
        self,
        latent_channels: int = 128,
        channels: tuple[int, ...] = (128, 96, 64),  # at 1/8, 1/4 and 1/2 of the size
        blocks: tuple[int, ...] = (2, 3, 4),
        scaling_factor: float = 1.0,
    ):
        super().__init__()
        self.register_buffer("mean", torch.zeros(BLOCK_VALUES))
        self.register_buffer("components", torch.zeros(BLOCK_VALUES, latent_channels))
        self.register_buffer("scale", torch.ones(latent_channels))
        self.enter = nn.Conv2d(2 * latent_channels, channels[0], 3, padding=1)
        # Finer levels also look at the linear picture itself, folded to their size.
        self.look = nn.ModuleList(
            nn.Conv2d(3 * GROUP * (PATCH >> level) ** 2, width, 1) if level else nn.Identity()
            for level, width in enumerate(channels)
        )
        self.levels = nn.ModuleList(
            nn.Sequential(*(ResBlock(width) for _ in range(count)))
            for width, count in zip(channels, blocks, strict=True)
        )
        self.up = nn.ModuleList(nn.Conv2d(a, 4 * b, 1) for a, b in pairwise(channels))
        self.leave = nn.Conv2d(channels[-1], 4 * 3 * GROUP, 3, padding=1)
        nn.init.zeros_(self.leave.weight)
        nn.init.zeros_(self.leave.bias)

    def encode(self, video: Tensor) -> EncoderOutput:
        """(b, 3, t, h, w) in [-1, 1], t = 4k + 1 -> latents (b, c, k + 1, h / 8, w / 8)."""
        return EncoderOutput(Point(self.code(group_frames(video)).transpose(1, 2)))

    def decode(self, latents: Tensor) -> DecoderOutput:
        """Latents (b, c, t', h', w') -> (b, 3, 4 t' - 3, 8 h', 8 w'), about [-1, 1]."""
        z = latents.transpose(1, 2)  # b, t', c, h', w'
        before = torch.cat([z[:, :1], z[:, :-1]], dim=1)
        groups = self.clean(z.flatten(0, 1), before.flatten(0, 1))
        return DecoderOutput(ungroup_frames(groups.unflatten(0, z.shape[:2])))

    def code(self, groups: Tensor) -> Tensor:
        """Groups (..., 12, h, w) in [-1, 1] -> latents (..., c, h / 8, w / 8)."""
        blocks = pixel_unshuffle(groups, PATCH).movedim(-3, -1)
        return ((blocks - self.mean) @ self.components / self.scale).movedim(-1, -3)

    def uncode(self, latents: Tensor) -> Tensor:
        """The inverse of code: what the components alone show."""
        blocks = latents.movedim(-3, -1) @ self.inverse() + self.mean
        return pixel_shuffle(blocks.movedim(-1, -3), PATCH)

    def clean(self, z: Tensor, before: Tensor) -> Tensor:
        """Latents of groups and of the groups before them (n, c, h', w') -> (n, 12, h, w)."""
        with torch.autocast(z.device.type, enabled=False):  # the picture itself stays exact
            linear = self.uncode(z.float())
        x = self.enter(torch.cat([z, before], dim=1))
        for level, blocks in enumerate(self.levels):
            if level > 0:
                x = pixel_shuffle(self.up[level - 1](x), 2)
                x = x + self.look[level](pixel_unshuffle(linear, PATCH >> level))
            x = blocks(x)
        return linear + pixel_shuffle(self.leave(silu(x)), 2)

    def inverse(self) -> Tensor:
        """(c, 768): the block that one unit of each channel stands for."""
        return (self.components * self.scale).T

    @torch.no_grad()
    def fit(self, moment: Tensor, total: Tensor, count: int) -> float:
        """Set the code from sums over blocks x (n, 768): of x x^T, of x, and n.

        Channel scales are the square root of their deviations: half-way between equal weight in
        pixels and equal variance. Returns the share of the variance that is kept.
        """
        mean = (total / count).double()
        variance, components = torch.linalg.eigh((moment / count).double() - mean.outer(mean))
        keep = self.config.latent_channels
        deviation = variance.flip(0)[:keep].clamp(min=1e-12).sqrt()
        self.mean.copy_(mean)
        self.components.copy_(components.flip(1)[:, :keep])
        self.scale.copy_(deviation.sqrt() * deviation.mean().sqrt())
        return (deviation.square().sum() / variance.sum()).item()

    def pixel_distance(self, error: Tensor) -> Tensor:
        """Errors of latent cells (..., c) -> (...): mean absolute error of their pixels.

        Rounded (Charbonnier) below CODE_TOLERANCE, so that still pixels do not outweigh others.
        """
        pixels = error @ self.inverse().to(error.dtype)
        return (pixels.square() + CODE_TOLERANCE**2).sqrt().mean(dim=-1) - CODE_TOLERANCE
