"""What a step of training is to make small."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from torch import Tensor

from ..backbones import Backbone
from ..sampling import flow_loss
from .batches import Batch

Objective = Callable[[Any], Tensor]  # a Batch, of the kind that its model has -> the loss, a scalar


@dataclass(frozen=True)
class FlowObjective:
    """Flow matching on the unknown cells of the left panel, of any backbone."""

    backbone: Backbone

    def __call__(self, batch: Batch) -> Tensor:
        text = self.backbone.encode_text(batch.prompts, None)
        velocity = partial(self.backbone.velocity, context=batch.context, text=text)
        return flow_loss(velocity, batch.target, batch.noise, batch.sigma, batch.weight)
