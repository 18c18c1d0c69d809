"""The video autoencoder of the small model: a linear code and, if it has one, a clean-up.

    encode   one strided convolution of each frame (8x8 patches), a group of 4 frames to channels
    decode   the same code read backwards, then 2-D convolutions that mend what the code blurs

Frame 0 is a group of its own (repeated 4 times), then come groups of four frames, as in the video
VAEs of the large models; the decoder also reads the group before, so it is causal with stride 4.
Channels are those of the group's first frame, then of its second, and so on: a frame can be taken
out of a latent (split_frames). The encoder starts as the principal components of the training
patches and stays linear: equal errors of the code are then nearly equal errors of the picture,
which is what a small transformer needs. In the manner of TAEHV, but all frames of a group share
one 2-D network, four times cheaper.

Videos are (b, 3, t, h, w) in [-1, 1]; latents (b, c, t', h / 8, w / 8), about unit variance.
"""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import torch
from diffusers import ConfigMixin, ModelMixin
from diffusers.configuration_utils import register_to_config
from torch import Tensor, nn
from torch.nn.functional import pixel_shuffle, pixel_unshuffle, silu

GROUP = 4  # frames folded into one latent frame
PATCH = 8  # pixels
PIXEL_TOLERANCE = 0.03  # of [-1, 1]


class EncoderOutput(NamedTuple):
    latent_dist: Point


class DecoderOutput(NamedTuple):
    sample: Tensor


class Point(NamedTuple):
    """A distribution without spread, so that this codec is called like diffusers' own."""

    mean: Tensor

    def mode(self) -> Tensor:
        return self.mean


def split_frames(latents: Tensor) -> Tensor:
    """(b, c, t', ...) -> (b, c / 4, 4 t', ...): the codes of the frames of each group in turn."""
    frames = latents.unflatten(1, (GROUP, -1)).movedim(1, 3)  # b, c / 4, t', 4, ...
    return frames.flatten(2, 3)


def join_frames(frames: Tensor) -> Tensor:
    """The inverse of split_frames."""
    return frames.unflatten(2, (-1, GROUP)).movedim(3, 1).flatten(1, 2)


def group_frames(video: Tensor) -> Tensor:
    """(b, 3, t, h, w), t = 4k + 1 -> (b, k + 1, 12, h, w): frame 0 four times, then fours."""
    padded = torch.cat([video[:, :, :1].expand(-1, -1, GROUP - 1, -1, -1), video], dim=2)
    return padded.unflatten(2, (-1, GROUP)).movedim(1, 3).flatten(2, 3)


def ungroup_frames(groups: Tensor) -> Tensor:
    """(b, k + 1, 12, h, w) -> (b, 3, 4k + 1, h, w); the four of frame 0 become their mean."""
    frames = groups.unflatten(2, (GROUP, 3))
    first = frames[:, :1].mean(dim=2)
    return torch.cat([first, frames[:, 1:].flatten(1, 2)], dim=1).transpose(1, 2)


class ResBlock(nn.Module):
    def __init__(self, channels: int):
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv2(silu(self.conv1(silu(x))))


class LinearCodec(ModelMixin, ConfigMixin):
    """A linear code of groups of frames whose picture is mended by convolutions, called like
    diffusers' video autoencoders. Who inherits has the code, and clean()."""

    spatial_compression_ratio = PATCH
    temporal_compression_ratio = GROUP

    def add_convolutions(
        self, latent_channels: int, channels: tuple[int, ...], blocks: tuple[int, ...]
    ) -> None:
        """The layers of mend(), which at first changes nothing; without channels there are none.
        channels: from a latent cell's size to half of the picture's, each twice as fine."""
        self.mends = len(channels) > 0
        if not self.mends:
            return
        pixels, side = 3 * GROUP, self.spatial_compression_ratio
        self.enter = nn.Conv2d(2 * latent_channels, channels[0], 3, padding=1)
        # Finer levels also look at the linear picture itself, folded to their size.
        self.look = nn.ModuleList(
            nn.Conv2d(pixels * (side >> level) ** 2, width, 1) if level else nn.Identity()
            for level, width in enumerate(channels)
        )
        self.levels = nn.ModuleList(
            nn.Sequential(*(ResBlock(width) for _ in range(count)))
            for width, count in zip(channels, blocks, strict=True)
        )
        self.up = nn.ModuleList(nn.Conv2d(a, 4 * b, 1) for a, b in pairwise(channels))
        self.leave = nn.Conv2d(channels[-1], 4 * pixels, 3, padding=1)
        nn.init.zeros_(self.leave.weight)
        nn.init.zeros_(self.leave.bias)

    def decode(self, latents: Tensor) -> DecoderOutput:
        """Latents (b, c, t', h', w') -> (b, 3, 4 t' - 3, s h', s w'), about [-1, 1]; s is
        spatial_compression_ratio."""
        z = latents.transpose(1, 2)  # b, t', c, h', w'
        before = torch.cat([z[:, :1], z[:, :-1]], dim=1)
        groups = self.clean(z.flatten(0, 1), before.flatten(0, 1))
        return DecoderOutput(ungroup_frames(groups.unflatten(0, z.shape[:2])))

    def clean(self, z: Tensor, before: Tensor) -> Tensor:
        """Latents of groups and of the groups before them (n, c, h', w') -> (n, 12, h, w)."""
        raise NotImplementedError

    def mend(self, linear: Tensor, z: Tensor, before: Tensor) -> Tensor:
        """The picture that the code alone shows, (n, 12, h, w), without its blur."""
        if not self.mends:
            return linear
        x = self.enter(torch.cat([z, before], dim=1))
        for level, blocks in enumerate(self.levels):
            if level > 0:
                x = pixel_shuffle(self.up[level - 1](x), 2)
                side = self.spatial_compression_ratio >> level
                x = x + self.look[level](pixel_unshuffle(linear, side).to(x.dtype))
            x = blocks(x)
        return linear + pixel_shuffle(self.leave(silu(x)), 2)


class MiniVAE(LinearCodec):
    @register_to_config
    def __init__(
        self,
        latent_channels: int = 128,
        channels: tuple[int, ...] = (128, 96, 40),  # at 1/8, 1/4 and 1/2 of the size
        blocks: tuple[int, ...] = (2, 3, 2),
        scaling_factor: float = 1.0,
    ):
        super().__init__()
        code = latent_channels // GROUP
        self.code = nn.Conv2d(3, code, PATCH, stride=PATCH)
        self.uncode = nn.ConvTranspose2d(code, 3, PATCH, stride=PATCH)
        self.add_convolutions(latent_channels, channels, blocks)

    def encode(self, video: Tensor) -> EncoderOutput:
        """(b, 3, t, h, w) in [-1, 1], t = 4k + 1 -> latents (b, c, k + 1, h / 8, w / 8)."""
        b = video.shape[0]
        frames = (
            self.code(video.transpose(1, 2).flatten(0, 1)).unflatten(0, (b, -1)).transpose(1, 2)
        )
        frames = torch.cat([frames[:, :, :1].expand(-1, -1, GROUP - 1, -1, -1), frames], dim=2)
        return EncoderOutput(Point(join_frames(frames)))

    def clean(self, z: Tensor, before: Tensor) -> Tensor:
        """Latents of groups and of the groups before them (n, c, h', w') -> (n, 12, h, w)."""
        return self.mend(self._of_each_frame(self.uncode, z), z, before)

    @torch.no_grad()
    def picture(self, codes: Tensor) -> Tensor:
        """Codes of frames (n, c / 4, h', w') -> pictures (n, 3, h, w) float32 in [-1, 1], before
        any clean-up."""
        return self.uncode(codes.to(self.dtype)).float()

    def black(self, like: Tensor) -> Tensor:
        """The code of a black cell, (1, c / 4, 1, 1, 1)."""
        black = torch.full((1, 3, PATCH, PATCH), -1.0).to(self.code.weight)
        return self.code(black)[:, :, None].detach().to(like)

    def code_groups(self, groups: Tensor) -> Tensor:
        """Groups of frames (n, 12, h, w) in [-1, 1] -> their latents (n, c, h / 8, w / 8)."""
        return self._of_each_frame(self.code, groups)

    def _of_each_frame(self, layer: nn.Module, groups: Tensor) -> Tensor:
        made = layer(groups.unflatten(1, (GROUP, -1)).flatten(0, 1))
        return made.unflatten(0, (len(groups), GROUP)).flatten(1, 2)

    @torch.no_grad()
    def set_linear_code(self, mean: Tensor, components: Tensor, scale: Tensor) -> None:
        """Load principal components of patches (3, 8, 8) of one frame.

        mean (192,), components (192, c / 4) orthonormal, scale (c / 4,), so that
        z = (x - mean) @ components / scale.
        """
        shape = (3, PATCH, PATCH)
        weight = (components / scale).T
        self.code.weight.copy_(weight.unflatten(1, shape))
        self.code.bias.copy_(-weight @ mean)
        self.uncode.weight.copy_((components * scale).T.unflatten(1, shape))
        # A transposed convolution has one bias a channel: put the mean's part there and leave the
        # rest, its pattern within a patch, to the clean-up.
        self.uncode.bias.copy_(mean.unflatten(0, shape).mean(dim=(1, 2)))

    def channel_weight(self) -> Tensor:
        """(c,), mean 1: how much a unit error of each latent channel weighs in pixels, square root.

        Between equal weight in pixels, where fine channels would never be learned, and equal weight
        in latents, where they drown the coarse ones.
        """
        size = 1 / self.code.weight.detach().flatten(1).norm(dim=1)  # pixels a unit of the channel
        return (size / size.mean()).repeat(GROUP)

    def pixel_distance(self, error: Tensor) -> Tensor:
        """Errors of codes (n, c) -> mean absolute error (n,) of their pixels, before the clean-up.

        Its minimum is the median of what may happen, that of a square the mean: where a small
        network cannot tell, the one keeps a limb or leaves it out, the other draws a ghost. Rounded
        (Charbonnier) below 0.03, 4 of 255 steps, so that still pixels do not outweigh moving ones.
        """
        pixels = error.unflatten(-1, (GROUP, -1)) @ self.uncode.weight.detach().flatten(1).to(
            error.dtype
        )
        return (pixels.square() + PIXEL_TOLERANCE**2).sqrt().mean(dim=(-1, -2)) - PIXEL_TOLERANCE
