"""From a list of clips to a folder of encoded examples, as `train cache` and `make-lora` do it."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from ..backbones.placement import Placement
from ..errors import InputError
from ..options import LAYOUTS
from .base import open_encoders
from .clips import default_size, read_rows
from .recipe import Recipe
from .store import fill_store, meta_of

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class CacheJob:
    """One cache to make, or to complete."""

    base: Path  # pipeline folder
    clips: Path  # a list as clips.py has it
    recipe: Recipe
    out: Path  # folder of the examples
    placement: Placement = field(default_factory=Placement)
    size: int | None = None  # panels of about size x size pixels; None: the base's own
    stored: str = "float32"  # precision of latents on disk
    seed: int = 0
    part: tuple[int, int] = (0, 1)  # of so many machines on one folder, the one of this number
    layout: str = LAYOUTS[0]  # of the references and drivers; see options


def cache_clips(job: CacheJob, on_clip: Callable[[int, int], None] | None = None) -> int:
    """Encode what is missing; returns the number of usable clips. Others are named in the log.

    on_clip: called with the clips done and the clips there are. Raises InputError when none can be
    used, and as read_rows, open_encoders and fill_store do.
    """
    rows, wrong = read_rows(job.clips, job.recipe.variant)
    for reason in wrong:
        logger.warning("left out: %s", reason)
    backbone = open_encoders(job.base, job.placement)
    backbone.lay_out(job.layout)
    size = job.size or default_size(backbone.geometry)
    recipe = job.recipe.cache
    meta = meta_of(backbone, job.recipe.variant, size, recipe, job.stored, job.seed)
    part, parts = job.part
    mine, bad = rows[part::parts], 0
    filled = fill_store(backbone, mine, meta, recipe, job.out)
    for number, (row, reason) in enumerate(filled, 1):
        if reason:
            bad += 1
            logger.warning("left out: %s: %s", row.name, reason)
        if on_clip is not None:
            on_clip(number, len(mine))
    logger.info("%d clips in %s, %d left out", len(mine) - bad, job.out, bad + len(wrong))
    if bad == len(mine):
        raise InputError(
            f"clips of {job.clips}",
            got="none that can be used",
            need="at least 1",
            fix="See above for what is wrong with each.",
        )
    return len(mine) - bad
