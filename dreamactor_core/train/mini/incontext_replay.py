"""The loss of mini-incontext as an accelerator does it fast: launched as a whole.

The network is so small that a card would wait for its launches, thousands a step, most of the
time. So the first batch of each shape has its forward and its backward pass recorded as CUDA
graphs, and every further one replays them. Other devices compute it as it is written.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from ...mini.incontext import InContextBackbone
from .incontext_model import loss_of
from .incontext_parts import PARTS_WEIGHT, PartReader
from .incontext_session import Session
from .incontext_tasks import CompositeBatch

logger = logging.getLogger(__name__)


class BatchLoss(nn.Module):
    """The loss of a batch, a function of tensors alone that waits for none of their values."""

    def __init__(
        self,
        backbone: InContextBackbone,
        reader: PartReader | None = None,
        times: tuple[int, ...] = (),
    ):
        """reader: also asked which parts tokens show; times: of which the batches are."""
        super().__init__()
        self.backbone, self.reader, self.times = backbone, reader, times
        # Whose gradients are wanted; the codec is done.
        self.learning = nn.ModuleList([backbone.transformer, backbone.text_encoder])

    def forward(self, tensors: tuple[Any, ...], *parts: Tensor) -> Tensor:
        """tensors: a CompositeBatch's; parts: label maps (b, 17, h, w) for the reader."""
        batch = CompositeBatch(*tensors)._replace(times=self.times)
        network = self.backbone.transformer
        if self.reader is None:
            return loss_of(self.backbone, batch)
        network.heard = []
        pixels = loss_of(self.backbone, batch)
        (labels,) = parts
        found = self.reader.loss(network.heard, labels, self.times, batch.chosen)
        network.heard = None
        return pixels + PARTS_WEIGHT * found


class ReplayedLoss:
    """The loss of one batch after the other, each shape recorded once where the device can."""

    def __init__(
        self,
        session: Session,
        make: Callable[[], tuple[Any, ...]],
        reader: PartReader | None = None,
    ):
        """make: draws a CompositeBatch, and with a reader its label maps (b, 17, h, w)."""
        self.backbone, self.pool = session.backbone, session.pool
        self.make, self.reader = make, reader
        self.records = session.device.type == "cuda" and session.sizes.compile
        self.losses: dict[tuple, Callable[..., Tensor]] = {}
        self.ahead: Any = None

    def __call__(self) -> Tensor:
        """Of the next batch. A card gets the one after it laid out while it works on this one."""
        loss = self.of(*(self.ahead or self.make()))
        if self.records:
            self.ahead = self.make()
        return loss

    def of(self, batch: CompositeBatch, *parts: Tensor) -> Tensor:
        tensors = tuple(part for part in batch[:-1] if part is not None)
        shape = batch.times, batch.target.shape, len(tensors)
        if shape not in self.losses:
            loss = BatchLoss(self.backbone, self.reader, batch.times)
            self.losses[shape] = self.recorded(loss, tensors, *parts) if self.records else loss
        return self.losses[shape](tensors, *parts)

    def recorded(self, loss: BatchLoss, *like: Any) -> Callable[..., Tensor]:
        """For batches like these; the loss as it is where that fails."""
        try:
            with self.pool.resting:  # a copy beside it would break the recording
                return torch.cuda.make_graphed_callables(loss, like, allow_unused_input=True)
        except Exception:  # whatever a driver says: each launch for itself is slower and as right
            logger.exception("the loss could not be recorded; going on without")
            return loss
