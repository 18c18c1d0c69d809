"""How a backbone is trained: the small model in its own way, every other in the general one."""

from __future__ import annotations

from pathlib import Path

from ...backbones import Backbone
from ...errors import InputError
from ...mini.backbone import MiniBackbone
from ..batches import BatchSource, CachedBatches
from ..cache import read_cache
from ..loop import TrainConfig, read_config
from ..objective import FlowObjective, Objective
from .batches import PuppeteerBatches
from .create import check_small
from .objective import PuppeteerObjective, PuppeteerTrainConfig
from .world import World


def config_of(backbone: Backbone, name_or_path: str | Path) -> TrainConfig:
    """See read_config; raises InputError for keys that this backbone's training does not have."""
    small = isinstance(backbone, MiniBackbone)
    return read_config(name_or_path, PuppeteerTrainConfig if small else TrainConfig)


def batches_of(backbone: Backbone, cache: Path | None) -> BatchSource:
    """From a cache, or for the small model from the world itself. Raises InputError for a model
    that needs a cache and has none."""
    if isinstance(backbone, MiniBackbone):
        return PuppeteerBatches(backbone, read_cache(backbone, cache) if cache else World(backbone))
    if not cache:
        raise InputError(
            "cache",
            got=f"none, for {backbone.name}",
            need="a folder made by `train cache`: only the small model encodes while it trains",
            fix="Make one and pass it with --cache.",
        )
    return CachedBatches(backbone, read_cache(backbone, cache))


def objective_of(backbone: Backbone, config: TrainConfig) -> Objective:
    if isinstance(config, PuppeteerTrainConfig):
        return PuppeteerObjective(check_small(backbone), config)
    return FlowObjective(backbone)
