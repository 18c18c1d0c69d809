"""What a drawn world knows of its pictures, and the losses that teach it to the small model.

A renderer knows which part of which body every pixel shows and where that part is in every frame,
so it knows where in the reference each pixel of the answer is to be found, and where every joint
is. None of it is asked for at inference.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from ..backbones.mini import MiniBackbone, Painted
from ..backbones.mini_vae import PATCH

SPREAD = 1.5  # pixels: a copy taken so far from where it should be is a third as likely
JOINTS = 18


class ClipTruth(NamedTuple):
    parts: np.ndarray  # (t, h, w) uint8, see puppets.scene.Clip
    places: np.ndarray  # (t, k, 2, 3), in pixels
    joints: np.ndarray  # (t, 18, 2) in pixels; NaN where there are several bodies


class Truth(NamedTuple):
    """Of the frames of a batch: b samples of t frames each. Places are (x, y) in pixels."""

    sources: Tensor  # (b, t, h, w, 2) where in the reference a pixel is to be found
    seen: Tensor  # (b, t, h, w) bool, whether the reference shows it there
    reference: Tensor  # (b, 1, 18, 2) joints
    target: Tensor  # (b, t, 18, 2)
    driver: Tensor  # (b, t, 18, 2)


def truth_of(clip: ClipTruth, driver: np.ndarray, frames: list[int]) -> Truth:
    """Of one clip: frames[0] is the reference, the others are to be drawn. driver (t, 18, 2)."""
    picture, drawn = frames[0], frames[1:]
    height, width = clip.parts.shape[1:]
    y, x = np.mgrid[:height, :width].astype(np.float32) + 0.5
    here = np.stack([x, y, np.ones_like(x)], axis=-1)
    parts = clip.parts[drawn]
    square = np.zeros((len(drawn), clip.places.shape[1], 3, 3))
    square[..., :2, :], square[..., 2, 2] = clip.places[drawn], 1
    # A part that this body lacks has no place and no pixel.
    lacking = np.abs(np.linalg.det(square)) < 1e-9
    square[lacking] = np.eye(3)
    back = (clip.places[picture] @ np.linalg.inv(square)).astype(np.float32)  # t, k, 2, 3
    of_pixel = back[np.arange(len(drawn))[:, None, None], parts]  # t, h, w, 2, 3
    sources = np.einsum("thwij,hwj->thwi", of_pixel, here)
    column, row = np.floor(sources).astype(int).transpose(3, 0, 1, 2)
    inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
    shown = clip.parts[picture][row.clip(0, height - 1), column.clip(0, width - 1)]
    seen = inside & (shown == parts)
    joints = (clip.joints[[picture]], clip.joints[drawn], driver[drawn])
    return Truth(*(torch.from_numpy(each)[None] for each in (sources, seen, *joints)))


def stack_truth(truths: list[Truth]) -> Truth:
    return Truth(*(torch.cat(parts) for parts in zip(*truths, strict=True)))


def copy_loss(painted: Painted, truth: Truth) -> Tensor:
    """Negative logarithm of how likely each pixel is taken from where it is to be found.

    Copies spread about their places (Laplace, SPREAD); what the reference does not show has to be
    drawn anew.
    """

    def of_cells(values: Tensor) -> Tensor:
        """(b, t, h, w, ...) -> (n, l, 64, ...), the cells that were painted."""
        frames = values.flatten(0, 1).unflatten(2, (-1, PATCH)).unflatten(1, (-1, PATCH))
        cells = frames.transpose(2, 3).flatten(3, 4).flatten(1, 2)  # n, h' * w', 64, ...
        return cells[torch.arange(len(cells))[:, None], painted.cells]

    height, width = truth.seen.shape[2:]
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    here = torch.stack([x, y], dim=-1).to(truth.sources) + 0.5
    sources = of_cells(truth.sources)
    still = (of_cells(here.expand_as(truth.sources)) - sources).abs().sum(dim=-1)
    moved = (painted.sources - sources[:, :, None]).abs().sum(dim=-1)  # n, l, copies, 64
    far = torch.cat([still[..., None], moved.transpose(2, 3)], dim=-1)
    found = (painted.scores[..., 1:] - far / SPREAD).logsumexp(dim=-1)
    return -torch.where(of_cells(truth.seen), found, painted.scores[..., 0]).mean()


class Votes(nn.Module):
    """Every token of a block's output says where the joints are: those of its own panel.

    The reference and the driver after a third of the blocks, the answer after two: it has to know
    what pose the driver asks of the reference's body. Thrown away after training.
    """

    def __init__(self, backbone: MiniBackbone):
        super().__init__()
        config = backbone.transformer.config
        width = config.num_attention_heads * config.attention_head_dim
        self.norm = nn.LayerNorm(width, elementwise_affine=False)
        self.early, self.late = nn.Linear(width, 2 * JOINTS), nn.Linear(width, 2 * JOINTS)
        self.said: dict[str, Tensor] = {}
        self.hooks = []
        blocks = backbone.transformer.transformer_blocks
        for name, third in (("early", 1), ("late", 2)):
            block = blocks[max(0, third * len(blocks) // 3 - 1)]
            hook = lambda _, __, output, name=name: self._hear(name, output)  # noqa: E731
            self.hooks.append(block.register_forward_hook(hook))

    def leave(self) -> None:
        """Listen no longer: the network is as it was."""
        while self.hooks:
            self.hooks.pop().remove()

    def _hear(self, name: str, output: tuple[Tensor, Tensor]) -> None:
        self.said[name] = output[0]

    def forward(self, tokens: Tensor, truth: Truth, size: int) -> Tensor:
        """Mean absolute error in panels of size pixels; tokens (n, k), see Painted."""
        side = size // PATCH
        frame, row, column = torch.unravel_index(tokens, (2, side, 2 * side))
        count = truth.target.shape[1]
        loss = 0.0
        for name, joints, mine in (
            ("early", truth.reference.expand_as(truth.target), (frame == 0) & (column < side)),
            ("early", truth.driver, (frame == 1) & (column >= side)),
            ("late", truth.target, (frame == 1) & (column < side)),
        ):
            here = PATCH * (torch.stack([column % side, row], dim=-1) + 0.5)
            want = (joints.flatten(0, 1)[:, None] - here[:, :, None]) / size  # n, k, 18, 2
            said = getattr(self, name)(self.norm(self.said[name])).unflatten(-1, (JOINTS, 2))
            known = mine[..., None, None] & want.isfinite()
            error = torch.where(known, said - want.nan_to_num(), 0).abs().sum()
            loss = loss + error / known.sum().clamp(min=1)
        assert len(tokens) == len(truth.target) * count
        self.said.clear()
        return loss
