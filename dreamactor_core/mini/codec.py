"""The video code of mini-incontext: principal components of 4x4x4 blocks, and a clean-up.

    encode   a block of 4 frames of 4x4 pixels to its first principal components
    decode   the same components read backwards, then 2-D convolutions that mend what they blur

Frame 0 is a group of its own (repeated four times), then come groups of four frames, as in the
video VAEs of the large models. The decoder reads the group before as well, so it is causal with
stride 4. The encoder is linear: equal errors of the code are equal errors of the picture, which is
what a small transformer needs, and nothing of one panel leaks into the other.

Videos are (b, 3, t, h, w) in [-1, 1]; latents (b, c, t', h / 4, w / 4), about unit variance.
Blocks are small, so that one shows two colours and an edge at most: what a network has to say of it
is little, and alike wherever it stands.
"""

from __future__ import annotations

import torch
from diffusers.configuration_utils import register_to_config
from torch import Tensor
from torch.nn.functional import pixel_shuffle, pixel_unshuffle

from .vae import GROUP, EncoderOutput, LinearCodec, Point, group_frames

BLOCK_SIDE = 4  # pixels along each side of what a latent cell stands for
BLOCK_VALUES = 3 * GROUP * BLOCK_SIDE * BLOCK_SIDE  # that a latent cell stands for
CODE_TOLERANCE = 0.05  # of [-1, 1]


class BlockCodec(LinearCodec):
    """One code of a whole group, where MiniVAE's codes each frame."""

    spatial_compression_ratio = BLOCK_SIDE

    @register_to_config
    def __init__(
        self,
        latent_channels: int = 48,
        channels: tuple[int, ...] = (96, 64),  # at 1/4 and 1/2 of the size
        blocks: tuple[int, ...] = (3, 4),
        scaling_factor: float = 1.0,
    ):
        super().__init__()
        self.register_buffer("mean", torch.zeros(BLOCK_VALUES))
        self.register_buffer("components", torch.zeros(BLOCK_VALUES, latent_channels))
        self.register_buffer("scale", torch.ones(latent_channels))
        self.add_convolutions(latent_channels, channels, blocks)

    def encode(self, video: Tensor) -> EncoderOutput:
        """(b, 3, t, h, w) in [-1, 1], t = 4k + 1 -> latents (b, c, k + 1, h / 4, w / 4)."""
        return EncoderOutput(Point(self.code(group_frames(video)).transpose(1, 2)))

    def code(self, groups: Tensor) -> Tensor:
        """Groups (..., 12, h, w) in [-1, 1] -> latents (..., c, h / 4, w / 4)."""
        blocks = pixel_unshuffle(groups, BLOCK_SIDE).movedim(-3, -1)
        return ((blocks - self.mean) @ self.components / self.scale).movedim(-1, -3)

    def silence(self) -> Tensor:
        """(c,): the code of black."""
        return (-1 - self.mean) @ self.components / self.scale

    def uncode(self, latents: Tensor) -> Tensor:
        """The inverse of code: what the components alone show."""
        blocks = latents.movedim(-3, -1) @ self.inverse().to(latents) + self.mean.to(latents)
        return pixel_shuffle(blocks.movedim(-1, -3), BLOCK_SIDE)

    def clean(self, z: Tensor, before: Tensor) -> Tensor:
        """Latents of groups and of the groups before them (n, c, h', w') -> (n, 12, h, w)."""
        with torch.autocast(z.device.type, enabled=False):  # the picture itself stays exact
            linear = self.uncode(z.float())
        return self.mend(linear, z, before)

    def inverse(self) -> Tensor:
        """(c, 192): the block that one unit of each channel stands for."""
        return (self.components * self.scale).T

    @torch.no_grad()
    def set_linear_code(self, mean: Tensor, components: Tensor, scale: Tensor) -> None:
        """mean (192,), components (192, c) unit vectors, scale (c,) by which codes are divided."""
        self.mean.copy_(mean)
        self.components.copy_(components)
        self.scale.copy_(scale)

    def pixel_distance(self, error: Tensor) -> Tensor:
        """Errors of latent cells (..., c) -> (...): mean absolute error of their pixels.

        Rounded (Charbonnier) below CODE_TOLERANCE, so that still pixels do not outweigh others.
        """
        pixels = error @ self.inverse().to(error.dtype)
        return (pixels.square() + CODE_TOLERANCE**2).sqrt().mean(dim=-1) - CODE_TOLERANCE
