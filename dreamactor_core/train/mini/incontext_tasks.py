"""What mini-incontext learns from: batches of composites, made on the device from rows of clips.

    copying      a clip beside itself, as it is: the first half of the foundation
    foundation   a clip beside nothing, or beside itself in another style (recoloured, its pieces in
                 false colours, outlines, a blur; moved and stretched): complete the left panel
    pose         a clip beside its own pose, varied as in the paper
    swapped      a clip beside what the pose-based model made of its motion (bootstrapped pairs)
    true-pair    a clip beside the true other character; only for comparison

Nothing but the last ever shows two characters in one composite that truly do the same thing.
Panels are float32 in [-1, 1], (b, 3, 17, h, w); -1 is black.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import affine_grid, avg_pool2d, grid_sample

from ...backbones import Context
from ...mini.codec import BLOCK_SIDE, BlockCodec
from ...mini.text import END
from ...mini.vae import GROUP, group_frames
from ...puppets.world import LEAD_IN
from ...skeleton import PARTS
from .incontext_pool import Rows

RESTYLINGS = ("recoloured", "pieces", "pieces", "outlines", "blur")
PURE_NOISE = 0.75  # share of samples at sigma 1, where all is decided
SHIFT = 3.0  # of the other samples' noise levels
TEXT_DROPOUT = 0.1


class CompositeBatch(NamedTuple):
    target: Tensor  # latents (b, c, t', h', 2w')
    context: Context
    ids: Tensor  # (b, 96) captions
    noise: Tensor
    sigma: Tensor  # (b,)
    weight: Tensor  # (b, 1, t', h', 2w'), 1 where the model must draw
    # See InContextTransformer3DModel: of which tokens (b, k), and of which latent frames it is.
    chosen: Tensor | None = None
    times: tuple[int, ...] = ()


def to_panel(frames: Tensor) -> Tensor:
    """uint8 (b, t, h, w, 3) -> (b, 3, t, h, w) in [-1, 1]."""
    return frames.movedim(-1, 1).float() / 127.5 - 1


def behind_lead_in(driven: Tensor) -> Tensor:
    """(b, 3, 8, h, w) -> (b, 3, 17, h, w): black, then what drives."""
    return torch.cat(
        [torch.full_like(driven[:, :, :1], -1).expand(-1, -1, LEAD_IN, -1, -1), driven], 2
    )


def compose_panels(
    codec: BlockCodec,
    left: Tensor,
    right: Tensor,
    ids: Tensor,
    generator: torch.Generator,
    known: Tensor | None = None,
    text_dropout: float = TEXT_DROPOUT,
) -> CompositeBatch:
    """A batch from two panels (b, 3, 17, h, w) and captions (b, 96).

    known: (b, 1, t', h', w') of the left panel; by default its first frame alone. The code is
    linear and no block reaches over a panel's or a group's border, so blanking latents here is what
    blanking pixels is at inference.
    """
    b, device = len(left), left.device
    target = torch.cat(
        [codec.code(group_frames(panel)).transpose(1, 2) for panel in (left, right)], -1
    )
    if known is None:
        known = torch.zeros_like(target[:, :1, :, :, : target.shape[-1] // 2])
        known[:, :, 0] = 1
    mask = torch.cat([known, torch.ones_like(known)], dim=-1)
    uniform, level, drop = torch.rand(3, b, generator=generator, device=device)
    level = SHIFT * level / (1 + (SHIFT - 1) * level)
    sigma = torch.where(uniform < PURE_NOISE, torch.ones_like(level), level.clamp(min=0.02))
    ids = torch.where((drop < text_dropout)[:, None], silence_like(ids), ids)
    noise = torch.randn(target.shape, generator=generator, device=device)
    return CompositeBatch(target, Context(target * mask, mask), ids.long(), noise, sigma, 1 - mask)


def excerpt(batch: CompositeBatch, times: tuple[int, ...]) -> CompositeBatch:
    """The latent frames of some times alone; () for all."""
    if not times:
        return batch
    chosen = list(times)
    target, latents, known, noise, weight = (
        part[:, :, chosen] for part in (batch.target, *batch.context, batch.noise, batch.weight)
    )
    return CompositeBatch(
        target, Context(latents, known), batch.ids, noise, batch.sigma, weight, times=times
    )


def frames_at(clip: Tensor, time: int) -> Tensor:
    """Of a clip (b, 4k + 1, ...) the frames (b, n, ...) of a latent frame: one of the first, else
    four."""
    return clip[:, max(0, GROUP * (time - 1) + 1) : GROUP * time + 1]


def copying_batch(codec: BlockCodec, rows: Rows, generator: torch.Generator) -> CompositeBatch:
    """A clip beside itself, in its place; most are silent for the first second, as drivers are."""
    left = to_panel(rows.frames)
    return compose_panels(codec, left, silence_lead_in(left), rows.ids, generator)


def silence_lead_in(right: Tensor) -> Tensor:
    """A driver (b, 3, 17, h, w), most of it silent for the first second."""
    right = right.clone()
    right[: round(0.7 * len(right)), :, :LEAD_IN] = -1
    return right


def silence_like(ids: Tensor) -> Tensor:
    """Captions (b, 96) that say nothing."""
    silent = torch.zeros_like(ids)
    silent[:, 0] = END
    return silent


def silenced(batch: CompositeBatch) -> CompositeBatch:
    return batch._replace(ids=silence_like(batch.ids))


def foundation_batch(codec: BlockCodec, rows: Rows, generator: torch.Generator) -> CompositeBatch:
    """A fifth of the samples beside black, the others beside themselves in another style."""
    b = len(rows.frames)
    left = to_panel(rows.frames)
    alone = b // 5
    right = torch.full_like(left, -1)
    cuts = torch.linspace(alone, b, len(RESTYLINGS) + 1).long().tolist()
    for style, start, end in zip(RESTYLINGS, cuts[:-1], cuts[1:], strict=True):
        if start == end:  # a small batch has not every style
            continue
        part = slice(start, end)
        right[part] = restyle(style, left[part], rows.parts[part], generator)
    # Half of them are silent for the first second, as drivers are.
    begins = alone + (b - alone) // 2
    order = torch.cat([torch.arange(alone), alone + torch.randperm(b - alone)]).to(left.device)
    right[order[begins:], :, :LEAD_IN] = -1
    known = torch.zeros(b, 1, *_grid(left), device=left.device)
    known[:, :, 0] = 1
    # A quarter has more of it given: whole cells of the left panel, here and there.
    share = torch.rand(b, 1, 1, 1, 1, generator=generator, device=left.device)
    some = torch.rand(known.shape, generator=generator, device=left.device) < share
    lucky = torch.rand(share.shape, generator=generator, device=left.device) < 0.25
    known = torch.where(lucky & some, torch.ones_like(known), known)
    return compose_panels(codec, left, right, rows.ids, generator, known, text_dropout=0.15)


def pose_batch(
    codec: BlockCodec,
    rows: Rows,
    generator: torch.Generator,
    varied: bool = True,
    text_dropout: float = TEXT_DROPOUT,
) -> CompositeBatch:
    right = behind_lead_in(to_panel(rows.varied if varied else rows.plain))
    left = to_panel(rows.frames)
    return compose_panels(codec, left, right, rows.ids, generator, text_dropout=text_dropout)


def driven_batch(
    codec: BlockCodec, frames: Tensor, driving: Tensor, ids: Tensor, generator: torch.Generator
) -> CompositeBatch:
    """Targets (b, 17, h, w, 3) and drivers (b, 8, h, w, 3) uint8; the driver moved and tinted."""
    driven = move_and_tint(to_panel(driving), generator)
    return compose_panels(codec, to_panel(frames), behind_lead_in(driven), ids, generator)


def move_and_tint(video: Tensor, generator: torch.Generator) -> Tensor:
    """A video (b, 3, t, h, w), a little of each."""
    b, device = len(video), video.device
    tint = 1 + 0.15 * (2 * torch.rand(b, 3, 1, 1, 1, generator=generator, device=device) - 1)
    video = ((video + 1) * tint - 1).clamp(-1, 1)
    return warp(video, *random_window(b, 0.08, 0.06, generator, device))


def restyle(style: str, video: Tensor, parts: Tensor, generator: torch.Generator) -> Tensor:
    """The same clip (b, 3, t, h, w) in another style, moved and stretched; parts (b, t, h, w)."""
    b, device = len(video), video.device
    random = lambda *shape: torch.rand(*shape, generator=generator, device=device)  # noqa: E731
    window = random_window(b, 0.25, 0.12, generator, device)
    if style == "recoloured":
        mix = torch.softmax(3 * torch.randn(b, 3, 3, generator=generator, device=device), dim=-1)
        sign = torch.where(random(b, 3, 1) < 0.3, -1.0, 1.0)
        made = torch.einsum("bij,bjthw->bithw", mix * sign, video)
    elif style == "pieces":
        palette = 2 * random(b, PARTS + 1, 3) - 1
        palette[: b // 2, 0] = -1  # on black
        index = parts.long().flatten(1)[..., None].expand(-1, -1, 3)
        made = palette.gather(1, index).unflatten(1, parts.shape[1:]).movedim(-1, 1)
        boxed = frame_boxes(parts)
        chosen = random(b, 1) < 0.5
        window = tuple(torch.where(chosen, box, w) for box, w in zip(boxed, window, strict=True))
    elif style == "outlines":
        grey = video.mean(dim=1, keepdim=True)
        edges = (grey.diff(dim=-1, append=grey[..., -1:]).abs()) + (
            grey.diff(dim=-2, append=grey[..., -1:, :]).abs()
        )
        made = (4 * edges - 1).clamp(max=1).expand(-1, 3, -1, -1, -1)
    else:
        small = avg_pool2d(video.mean(dim=1), 3, stride=1, padding=1)
        made = small[:, None].expand(-1, 3, -1, -1, -1)
    return warp(made, *window)


def warp(video: Tensor, middle: Tensor, half: Tensor) -> Tensor:
    """The window of a video (b, 3, t, h, w) around middle (b, 2), of half size (b, 2), made full;
    x then y, in [-1, 1]. What lies outside is black."""
    theta = torch.zeros(len(video), 2, 3, device=video.device)
    theta[:, 0, 0], theta[:, 1, 1] = half[:, 0], half[:, 1]
    theta[:, :, 2] = middle
    flat = video.flatten(1, 2) + 1
    grid = affine_grid(theta, list(flat.shape), align_corners=False)
    return (grid_sample(flat, grid, align_corners=False) - 1).unflatten(1, (3, -1))


def random_window(
    b: int, stretch: float, shift: float, generator: torch.Generator, device: torch.device
) -> tuple[Tensor, Tensor]:
    middle, half = 2 * torch.rand(2, b, 2, generator=generator, device=device) - 1
    return shift * middle, 1 + stretch * half


def frame_boxes(parts: Tensor) -> tuple[Tensor, Tensor]:
    """Middle and half size (b, 2) of the box that holds a body while it is driven; parts
    (b, 17, h, w)."""
    mask = parts[:, LEAD_IN:] > 0
    columns, rows = mask.any(dim=1).any(dim=1), mask.any(dim=1).any(dim=2)
    low, high = [], []
    for line in (columns, rows):
        n = line.shape[1]
        place = torch.arange(n, device=mask.device).expand_as(line)
        low.append(torch.where(line, place, n).amin(1).clamp(max=n - 1) / n)
        high.append((torch.where(line, place, -1).amax(1) + 1).clamp(min=1) / n)
    low, high = torch.stack(low, 1) * 2 - 1, torch.stack(high, 1) * 2 - 1
    return (low + high) / 2, ((high - low) / 2).clamp(min=0.1)


def _grid(panel: Tensor) -> tuple[int, int, int]:
    frames, height, width = panel.shape[2:]
    return (frames + 3) // GROUP, height // BLOCK_SIDE, width // BLOCK_SIDE
