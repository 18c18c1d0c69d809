"""The eye: where the joints of bodies are in a picture, and which part each pixel shows.

A few convolutions, before any token attends to another. A patch of 8x8 pixels alone does not tell
whether a bar of brown is an arm or a leg, and the left one or the right; what is around it does,
and attention needs far more pictures than a convolution to learn that.

The model has two of one kind. The network's own knows puppets, and what it says is what network and
rig have learned to read. The broad one has seen bodies of all sorts and pictures of none; it looks
at people's own pictures and clips, which are cut out and moved without the network.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from diffusers import ConfigMixin, ModelMixin
from diffusers.configuration_utils import register_to_config
from torch import Tensor, nn
from torch.nn.functional import grid_sample, pad, pixel_shuffle, silu

from ..skeleton import JOINTS, PARTS
from .vae import PATCH

MAX_BODIES = 2  # at most
LABELS = 1 + PARTS  # of a pixel: the scene, or a part of a body

# Of the network's own eye as it is shipped, fitted and tabled by benchmarks/eye.py: weights of what
# tells a body in a picture, and a constant.
TOLD_BY = (-2.91, 1.96, 0.33, -9.08)
CONFIDENT = 0.5  # confidence from which a body is believed: most joints are where they should


class BodyEstimate(NamedTuple):
    """Of n pictures. Of two bodies the first stands on the left; one body alone is both."""

    features: Tensor  # (n, d, h / 8, w / 8)
    joints: Tensor  # (n, 2, 18, 2) (x, y) in pixels
    uncertainty: Tensor  # (n, 2, 18) the mean distance from there to where they may be, in pixels
    heatmap: Tensor  # (n, 2, 18, h' * w') logits: in which cell each joint is
    two_bodies: Tensor  # (n,) logit
    labels: Tensor | None = None  # (n, 13, h, w) logits: which part each pixel shows
    overlap: Tensor | None = None  # (n, 12, h, w) shares of pixels that a part takes along too
    picture: Tensor | None = None  # (n, 1, h, w) 1 where a picture lies in its panel, 0 in the bars

    @property
    def keypoints(self) -> Tensor:
        """(n, 2, 18, 3): joints and their uncertainty."""
        return torch.cat([self.joints, self.uncertainty.unsqueeze(-1)], dim=-1)


def telling(estimate: BodyEstimate) -> Tensor:
    """(n, 3): what tells a body from none, of bodies that there are: how uncertain their joints are
    (logarithm of a share of the picture's longer side), the share of a body where its joints are,
    and the area of all (logarithm of a share of the picture)."""
    assert estimate.labels is not None, "an eye that was asked for them"
    height, width = (PATCH * cells for cells in estimate.features.shape[2:])
    second = (estimate.two_bodies > 0).to(estimate.joints) / 2
    weights = torch.stack([1 - second, second], dim=1)  # n, 2
    unsure = (estimate.uncertainty.mean(dim=2) + 0.5).div(max(height, width)).log()
    unsure = (weights * unsure).sum(dim=1)
    body = 1 - estimate.labels.softmax(dim=1)[:, :1]  # n, 1, h, w
    size = estimate.joints.new_tensor([width, height])
    inside = grid_sample(body, 2 * estimate.joints / size - 1, align_corners=False)[:, 0]
    inside = (weights * inside.mean(dim=2)).sum(dim=1)
    area = (body.mean(dim=(1, 2, 3)) + 1e-3).log()
    return torch.stack([unsure, inside, area], dim=1)


class EyeBlock(nn.Module):
    def __init__(self, channels: int, dilation: int = 1):
        super().__init__()
        self.norm1, self.norm2 = nn.GroupNorm(8, channels), nn.GroupNorm(8, channels)
        conv = {"padding": dilation, "dilation": dilation}
        self.conv1 = nn.Conv2d(channels, channels, 3, **conv)
        self.conv2 = nn.Conv2d(channels, channels, 3, **conv)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv2(silu(self.norm2(self.conv1(silu(self.norm1(x))))))


class Eye(ModelMixin, ConfigMixin):
    """Pictures (n, 3, h, w) in [-1, 1] -> BodyEstimate, cells of 8x8 pixels.

    The names of its layers are those of the weights: `tell` gives heatmaps and offsets, `sort` the
    labels. told_by: what its confidence is told by, see TOLD_BY.
    """

    FEATURES = 96

    @register_to_config
    def __init__(self, told_by: tuple[float, ...] = TOLD_BY):
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
        self.tell = nn.Conv2d(cell, 3 * MAX_BODIES * JOINTS + 1, 1)
        # Back to pixels, for the labels.
        self.to_quarter, self.to_half = (
            nn.Conv2d(cell, 4 * quarter, 1),
            nn.Conv2d(quarter, 4 * half, 1),
        )
        self.at_quarter, self.at_half = EyeBlock(quarter), EyeBlock(half)
        self.sort = nn.Conv2d(half, 4 * LABELS, 3, padding=1)

    @property
    def dtype(self) -> torch.dtype:
        return self.tell.weight.dtype

    def confidence(self, estimate: BodyEstimate) -> Tensor:
        """(n,) in [0, 1]: the share of joints that are expected to lie within a tenth of their
        body's size of where they are; of a picture without a body 0.

        It means what it says of the shipped weights on pictures that were looked at with
        `averaged`. Compare with CONFIDENT.
        """
        features = telling(estimate)
        *weights, constant = self.config.told_by
        return (features @ features.new_tensor(weights) + constant).sigmoid()

    def averaged(self, pictures: Tensor, *, labels: bool = True) -> BodyEstimate:
        """As forward, with joints averaged over the picture and a copy moved by half a cell
        (test-time augmentation): errors due to where the cells lie cancel, a tenth of all."""
        half = PATCH // 2
        estimate = self(pictures, labels=labels)
        moved = self(pad(pictures, (half,) * 4, mode="replicate"), labels=False)
        return estimate._replace(joints=(estimate.joints + moved.joints - half) / 2)

    def forward(self, pictures: Tensor, *, labels: bool = True) -> BodyEstimate:
        """labels: whether to label the pixels, half of the work."""
        half = self.first(pictures)
        quarter = self.second(half)
        features = self.third(quarter)
        estimate = self._keypoints(features)
        if not labels:
            return estimate
        quarter = self.at_quarter(quarter + pixel_shuffle(self.to_quarter(features), 2))
        half = self.at_half(half + pixel_shuffle(self.to_half(quarter), 2))
        return estimate._replace(labels=pixel_shuffle(self.sort(silu(half)), 2).float())

    def _keypoints(self, features: Tensor) -> BodyEstimate:
        """A joint is the mean of what all cells say, each an offset from its own middle, by the
        softmax of its heatmap; its uncertainty is the mean distance from there, likewise."""
        count = MAX_BODIES * JOINTS
        heat, off, two_bodies = self.tell(features).float().split((count, 2 * count, 1), dim=1)
        y, x = (torch.arange(n, device=heat.device) + 0.5 for n in heat.shape[2:])
        cells = torch.stack(torch.meshgrid(x, y, indexing="xy"))  # 2, h', w'
        places = PATCH * (off.unflatten(1, (MAX_BODIES, JOINTS, 2)) + cells).flatten(4)
        heat = heat.unflatten(1, (MAX_BODIES, JOINTS)).flatten(3)
        share = heat.softmax(dim=-1)  # n, 2, 18, h' * w'
        joints = (share.unsqueeze(3) * places).sum(dim=-1)
        far = (places - joints.unsqueeze(-1)).norm(dim=3)
        uncertainty = (share * far).sum(dim=-1)
        return BodyEstimate(features, joints, uncertainty, heat, two_bodies.mean(dim=(1, 2, 3)))
