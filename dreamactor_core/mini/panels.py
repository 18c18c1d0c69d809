"""A composite taken apart into the pairs of frames that the small model's network reads.

    pair t    [ reference | - ] [ frame t, to be drawn | driver at t ]      t = 1 .. 4 (t' - 1)

Latents hold the codes of four frames side by side (vae.split_frames), so each frame can be drawn by
itself. What one frame cannot tell, how the driver looks on the whole, comes in where noise would:
the noisy channels of the driver hold the mean of the driving clip, which the context brings on the
right of frame 0.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, max_pool3d

from ..backbones import Context
from .network import Grid
from .vae import GROUP, MiniVAE, join_frames, split_frames

NOT_BLACK = 0.02  # of a code


class Panels(NamedTuple):
    """Of b composites: codes of frames, c / 4 channels."""

    reference: Tensor  # (b, c / 4, h', w')
    drawn: Tensor  # (b, c / 4, t, h', w') the left panel behind it: what is known of it, else 0
    driver: Tensor  # (b, c / 4, t, h', w'), or no columns without a driving panel
    known: Tensor  # (b, t, h', w') of drawn

    @property
    def has_driver(self) -> bool:
        return self.driver.shape[-1] > 0


def panels_of(context: Context) -> Panels:
    frames = split_frames(context.latents)
    left, driver = frames, frames[..., :0]
    if has_driving_panel(context):
        left, driver = frames.chunk(2, dim=-1)
    known = context.known.repeat_interleave(GROUP, dim=2)[:, 0, GROUP:, :, : left.shape[-1]]
    return Panels(left[:, :, 0], left[:, :, GROUP:], driver[:, :, GROUP:], known)


def has_driving_panel(context: Context) -> bool:
    """Whether a driver stands on the right: all of that half is known, whatever is to be drawn."""
    return bool((context.known.chunk(2, dim=-1)[1] == 1).all())


def frame_pairs(context: Context) -> Tensor:
    """(b * t, 2 c / 4 + 1, 2, h', width): frame 0 and one more; noise or the driver's mean, codes,
    and what is known."""
    given = split_frames(context.latents)
    noisy = torch.zeros_like(given)
    if has_driving_panel(context):
        mean = given[:, :, :1].chunk(2, dim=-1)[1]
        left, right = noisy.chunk(2, dim=-1)
        noisy = torch.cat([left, mean.expand_as(right)], dim=-1)
    known = context.known.repeat_interleave(GROUP, dim=2)
    frames = torch.cat([noisy, given, known.to(noisy)], dim=1)
    first, rest = frames[:, :, :1], frames[:, :, GROUP:]
    pairs = torch.stack([first.expand_as(rest), rest], dim=3)  # b, channels, t, 2, h', width
    return pairs.transpose(1, 2).flatten(0, 1)


def with_driver_mean(context: Context, driving: Tensor, black: Tensor) -> Context:
    """Context that holds, on the right of frame 0, the mean of driving (b, c, t', h', w') but for
    its frame 0. Black frames, which are no driver, do not count. black: the code of such a cell."""
    if not has_driving_panel(context):
        return context
    light = split_frames(driving)[:, :, GROUP:] - black
    shown = not_black(light)[:, None, :, None, None].to(light)
    total = shown.sum(dim=2, keepdim=True).clamp(min=1)
    mean = (light * shown).sum(dim=2, keepdim=True) / total + black
    latents = context.latents.clone()
    latents[:, :, :1, :, -driving.shape[-1] :] = join_frames(mean.expand(-1, -1, GROUP, -1, -1))
    return Context(latents, context.known)


def not_black(light: Tensor) -> Tensor:
    """(b, c / 4, t, h', w') codes less that of black -> (b, t) bool."""
    return light.abs().amax(dim=(1, 3, 4)) > NOT_BLACK


def magnification(height: int, width: int, learned: int) -> int:
    """How many times finer a panel of so many cells is than what the network reads: as large as the
    square panels, `learned` cells a side, that it has learned from. Halved as long as that comes
    nearer to it, and goes without a remainder."""
    times = 1
    while (
        height * width >= 2 * (learned * times) ** 2 and math.gcd(height, width) % (2 * times) == 0
    ):
        times *= 2
    return times


def reduced(context: Context, times: int, vae: MiniVAE) -> Context:
    """The same composite, so many times smaller."""
    frames = split_frames(context.latents)
    pictures = vae.picture(frames.transpose(1, 2).flatten(0, 1))
    codes = vae.code(avg_pool2d(pictures, times).to(vae.dtype)).to(frames)
    frames = codes.unflatten(0, (len(frames), -1)).transpose(1, 2)
    known = -max_pool3d(-context.known, (1, times, times))
    return Context(join_frames(frames) * known, known)


def reduced_frame(frame: Tensor, times: int) -> Tensor:
    """A picture (h, w, 3) so many times smaller."""
    return avg_pool2d(frame.movedim(-1, 0), times).movedim(0, -1)


def all_tokens(grid: Grid, panel: int) -> Tensor:
    """Indices (k,) into the cells of a pair (2, h', width): all but what is right of the reference,
    which is always black."""
    cells = torch.arange(2 * grid[1] * grid[2]).view(*grid)
    return torch.cat([cells[0, :, :panel].flatten(), cells[1].flatten()])


def drawn_cells(tokens: Tensor, grid: Grid, panel: int) -> tuple[Tensor, Tensor]:
    """Tokens (n, k) of pairs -> which of them are cells to be drawn (n, k) bool, as many of every
    pair, and where these are in a panel (h', panel), (n, l)."""
    height, width = grid[1:]
    cells = tokens - height * width
    drawn = (cells >= 0) & (cells % width < panel)
    cells = cells[drawn].view(len(tokens), -1)
    return drawn, cells // width * panel + cells % width
