"""A help while the foundation of mini-incontext learns: which part of a body a token shows.

Two readings of the network's own tokens, thrown away afterwards: after its second block of the
reference's, after its third of what is to be drawn. What they are asked is what has to be found out
anyhow, where each limb is and where it goes; asked for it, the network learns it from fewer clips
than from errors of pixels alone (as in REPA, arXiv 2410.06940, with parts in place of features).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, log_softmax, one_hot, pad

from ...mini.codec import BLOCK_SIDE
from ...mini.incontext_network import said_tokens, wide
from ...skeleton import PARTS
from .incontext_tasks import frames_at

CLASSES = 1 + PARTS
READ_AFTER = (1, 2)  # blocks: of the reference's tokens, of those to be drawn
PARTS_WEIGHT = 0.03  # of this loss beside the pixels'


class PartReader(nn.Module):
    """Tokens (..., d) -> the parts in their cells."""

    def __init__(self, width: int):
        super().__init__()
        self.of_reference, self.of_drawn = (
            nn.Sequential(nn.LayerNorm(width), nn.Linear(width, CLASSES)) for _ in range(2)
        )

    def loss(
        self,
        heard: list[Tensor],
        parts: Tensor,
        times: tuple[int, ...],
        chosen: Tensor | None = None,
    ) -> Tensor:
        """Cross-entropy, a scalar. heard: tokens (b, l, d) after each block, of an excerpt of these
        times, chosen as InContextTransformer3DModel has it; parts: label maps (b, 17, h, w), of the
        left panel."""
        shares = part_shares(parts, times)
        frames, rows, columns = shares.shape[1:4]
        said = said_tokens((frames, rows, 2 * columns), parts.device)
        truth = pad(shares, (0, 0, 0, columns)).flatten(1, 3)[:, said]
        # 0 the reference, 1 to be drawn, 2 the driver: of every token that there is
        panel = torch.ones(frames, rows, 2 * columns, dtype=torch.long, device=parts.device)
        panel[0], panel[:, :, columns:] = 0, 2
        panel = panel.flatten()[said].expand(len(parts), -1)
        if chosen is not None:
            truth, panel = truth.gather(1, wide(chosen, truth)), panel.gather(1, chosen)
        last = len(heard) - 1
        first, later = (heard[min(block, last)].float() for block in READ_AFTER)
        # Every token is read, what is not asked for does not count: no wait for how many there are.
        answers = torch.where(
            (panel == 0)[..., None], self.of_reference(first), self.of_drawn(later)
        )
        wrong = -(truth * log_softmax(answers, dim=-1)).sum(dim=-1)
        asked = (panel < 2).to(wrong)
        return (wrong * asked).sum() / asked.sum()


def part_shares(parts: Tensor, times: tuple[int, ...]) -> Tensor:
    """Label maps (b, 4k + 1, h, w), 0..PARTS -> how much of each cell each part covers in the
    frames of some times: (b, len(times), h / 4, w / 4, CLASSES), sums 1."""
    shares = []
    for time in times:
        shown = one_hot(frames_at(parts, time).long(), CLASSES).float().mean(dim=1)
        shares.append(avg_pool2d(shown.movedim(-1, 1), BLOCK_SIDE).movedim(1, -1))
    return torch.stack(shares, dim=1)
