"""How the small model is trained: its configuration, its batches and its loss."""

from __future__ import annotations

from pathlib import Path

from ...backbones import Backbone
from ..cache import read_cache
from ..loop import TrainConfig, read_config
from .batches import PuppeteerBatches
from .create import check_small
from .objective import PuppeteerObjective, PuppeteerTrainConfig
from .world import World


def config_of(name_or_path: str | Path) -> PuppeteerTrainConfig:
    """See read_config."""
    return read_config(name_or_path, PuppeteerTrainConfig)


def training_of(
    backbone: Backbone, config: TrainConfig, cache: Path | None
) -> tuple[PuppeteerBatches, PuppeteerObjective]:
    """Batches from the latents in a folder, or of puppets that are drawn on the way; and the loss.
    Raises InputError for any other backbone."""
    small = check_small(backbone)
    assert isinstance(config, PuppeteerTrainConfig), "read it with config_of"
    batches = PuppeteerBatches(small, read_cache(small, cache) if cache else World(small))
    return batches, PuppeteerObjective(small, config)
