"""What the small model sees of a picture before its tokens attend to anything: bodies.

A few convolutions tell where the joints of a body are, and which part of it each pixel shows. A
patch of 8x8 pixels alone does not: whether a bar of brown is an arm or a leg, and the left one or
the right, is told by what is around it, and attention needs far more pictures than a convolution to
learn that.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import pad, pixel_shuffle, silu

from .vae import PATCH

BODIES = 2  # at most
JOINTS = 18  # in OpenPose's order
PIECES = 13  # of a picture: the scene, torso, head, and of arms and legs two pairs each, and feet


class Seen(NamedTuple):
    """Of n pictures. Of two bodies the first stands on the left; one body alone is both."""

    features: Tensor  # (n, d, h / 8, w / 8)
    joints: Tensor  # (n, 2, 18, 2) (x, y) in pixels
    spread: Tensor  # (n, 2, 18) how far from there they may be, in pixels
    heat: Tensor  # (n, 2, 18, h' * w') logits: in which cell each joint is
    several: Tensor  # (n,) logit: two bodies
    pieces: Tensor | None = None  # (n, 13, h, w) logits: what each pixel shows

    @property
    def found(self) -> Tensor:
        """(n, 2, 18, 3): joints, and how far from there they may be; what the rig reads."""
        return torch.cat([self.joints, self.spread.unsqueeze(-1)], dim=-1)


class EyeBlock(nn.Module):
    def __init__(self, channels: int, dilation: int = 1):
        super().__init__()
        self.norm1, self.norm2 = nn.GroupNorm(8, channels), nn.GroupNorm(8, channels)
        conv = {"padding": dilation, "dilation": dilation}
        self.conv1 = nn.Conv2d(channels, channels, 3, **conv)
        self.conv2 = nn.Conv2d(channels, channels, 3, **conv)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv2(silu(self.norm2(self.conv1(silu(self.norm1(x))))))


class Eye(nn.Module):
    """Pictures (n, 3, h, w) in [-1, 1] -> Seen, cells of 8x8 pixels."""

    FEATURES = 96

    def __init__(self):
        super().__init__()
        half, quarter, cell = 24, 32, self.FEATURES
        self.first = nn.Sequential(nn.Conv2d(3, half, 5, stride=2, padding=2), nn.SiLU())
        self.second = nn.Sequential(
            nn.Conv2d(half, quarter, 4, stride=2, padding=1), EyeBlock(quarter)
        )
        self.third = nn.Sequential(
            nn.Conv2d(quarter, cell, 4, stride=2, padding=1),
            *(EyeBlock(cell, dilation) for dilation in (1, 2, 4, 1, 2, 1)),
            nn.GroupNorm(8, cell),
            nn.SiLU(),
        )
        self.tell = nn.Conv2d(cell, 3 * BODIES * JOINTS + 1, 1)
        # Back to pixels, for what each of them shows.
        self.to_quarter, self.to_half = (
            nn.Conv2d(cell, 4 * quarter, 1),
            nn.Conv2d(quarter, 4 * half, 1),
        )
        self.at_quarter, self.at_half = EyeBlock(quarter), EyeBlock(half)
        self.sort = nn.Conv2d(half, 4 * PIECES, 3, padding=1)

    def twice(self, pictures: Tensor, *, pieces: bool = True) -> Seen:
        """As forward, the joints the mean of two looks, half a cell apart: what is due to where the
        cells lie goes by, a tenth of the error."""
        half = PATCH // 2
        seen = self(pictures, pieces=pieces)
        again = self(pad(pictures, (half,) * 4, mode="replicate"), pieces=False)
        return seen._replace(joints=(seen.joints + again.joints - half) / 2)

    @property
    def dtype(self) -> torch.dtype:
        return self.tell.weight.dtype

    def forward(self, pictures: Tensor, *, pieces: bool = True) -> Seen:
        """pieces: whether to tell what each pixel shows, half of the work."""
        half = self.first(pictures)
        quarter = self.second(half)
        features = self.third(quarter)
        count = BODIES * JOINTS
        heat, off, several = self.tell(features).float().split((count, 2 * count, 1), dim=1)
        y, x = (torch.arange(n, device=heat.device) + 0.5 for n in heat.shape[2:])
        cells = torch.stack(torch.meshgrid(x, y, indexing="xy"))  # 2, h', w'
        places = PATCH * (off.unflatten(1, (BODIES, JOINTS, 2)) + cells).flatten(4)
        heat = heat.unflatten(1, (BODIES, JOINTS)).flatten(3)
        share = heat.softmax(dim=-1)  # n, 2, 18, h' * w'
        joints = (share.unsqueeze(3) * places).sum(dim=-1)
        far = (places - joints.unsqueeze(-1)).norm(dim=3)
        spread = (share * far).sum(dim=-1)
        seen = Seen(features, joints, spread, heat, several.mean(dim=(1, 2, 3)))
        if not pieces:
            return seen
        quarter = self.at_quarter(quarter + pixel_shuffle(self.to_quarter(features), 2))
        half = self.at_half(half + pixel_shuffle(self.to_half(quarter), 2))
        return seen._replace(pieces=pixel_shuffle(self.sort(silu(half)), 2).float())
