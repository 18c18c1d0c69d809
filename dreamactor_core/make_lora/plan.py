"""What a job makes its LoRAs of, and how."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from ..backbones.placement import Placement
from ..caption.choice import CaptionerChoice
from ..options import KEPT_SCORE, LAYOUTS
from ..sampling import SampleSettings
from ..train.check import Measure
from ..train.cross import Compare
from ..train.recipe import Recipe

# (footage or list, folder of the stage, on_item(done, total)) -> a list of clips
Prepare = Callable[[Path, Path, Callable[[int, int], None]], Path]


@dataclass(frozen=True)
class Looks:
    """How the LoRAs are looked at when they are done."""

    figures: dict[str, Measure]
    compare: Compare
    clips: int = 4
    frames: int = 49  # of a window, lead-in included: 4k + 1


@dataclass(frozen=True)
class MakePlan:
    """One job. The same plan on the same folder goes on where it was stopped."""

    source: Path  # a folder of footage, or a list of clips as `prepare` writes it
    base: Path  # pipeline folder
    out: Path
    recipes: dict[str, Recipe]  # by variant, both
    prepare: Prepare
    looks: Looks
    pictures: Path | None = None  # folder of other identities; None: the clips' own first frames
    placement: Placement = field(default_factory=Placement)
    storage: str = ""  # of the frozen weights while training
    size: int | None = None  # panels of about size x size pixels; None: the base's own
    seed: int = 0
    settings: SampleSettings = field(default_factory=SampleSettings)  # of bootstrap and looks
    threshold: float = KEPT_SCORE  # of the judge, 1 to 5
    captioner: CaptionerChoice | None = None  # that writes the prompts of pairs; None: nobody
    layout: str = LAYOUTS[0]  # how reference and driver reach the network; see options
