"""What the small model's training is to make small: errors of pixels, and of pieces."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, partial
from typing import ClassVar

from torch import Tensor

from ...errors import InputError, check_choice
from ...mini.backbone import MiniBackbone, Painting
from ...mini.clean import velocity_to
from ...mini.vae import MiniVAE
from ...sampling import flow_loss
from ..batches import Phase
from ..loop import TrainConfig
from .batches import PuppeteerBatch, PuppeteerPhase
from .truth import piece_loss

LOSSES = ("latents", "pixels")


@dataclass(frozen=True)
class PuppeteerTrainConfig(TrainConfig):
    PHASE: ClassVar[type[Phase]] = PuppeteerPhase

    loss: str = "latents"  # mean square, or "pixels": absolute, of what the code stands for
    piece_weight: float = 0.0  # of piece_loss, where the world knows the truth (truth.py)

    def __post_init__(self):
        super().__post_init__()
        check_choice("loss", self.loss, LOSSES, fix="Correct the configuration.")


@dataclass(frozen=True)
class PuppeteerObjective:
    backbone: MiniBackbone
    config: PuppeteerTrainConfig

    def __post_init__(self):
        if self.config.loss == "pixels" and not isinstance(self.backbone.vae, MiniVAE):
            raise InputError(
                "loss",
                got=f"'pixels' for {self.backbone.name}",
                need="the small model, whose code is linear",
                fix="Set loss to latents.",
            )

    @cached_property
    def channel_weight(self) -> Tensor:
        return self.backbone.vae.channel_weight().view(1, -1, 1, 1, 1)

    def __call__(self, batch: PuppeteerBatch) -> Tensor:
        backbone = self.backbone
        text = backbone.encode_text(batch.prompts, None)
        painting = backbone.paint(batch.context, text, tokens=batch.tokens, clip=batch.clip)
        velocity = partial(velocity_to, painting.latents)
        flow = velocity, batch.target, batch.noise, batch.sigma
        if self.config.loss == "pixels":
            loss = flow_loss(*flow, batch.weight, distance=backbone.vae.pixel_distance)
            return loss + self._piece_loss(painting, batch)
        # Clean latents are predicted, and their error is divided by sigma: unweighted, a sample at
        # sigma 0.05 would count as much as four hundred at 1 and throw the run off its course.
        weight = batch.weight * self.channel_weight.to(batch.weight)
        return flow_loss(*flow, weight, sigma_weight=batch.sigma.square())

    def _piece_loss(self, painting: Painting, batch: PuppeteerBatch) -> Tensor | float:
        if batch.truth is None or not self.config.piece_weight or painting.layers is None:
            return 0.0
        return self.config.piece_weight * piece_loss(painting.layers, batch.truth)
