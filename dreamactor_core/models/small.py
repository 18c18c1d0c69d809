"""A small model: a folder with a model.json, of the package or of one's own."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from ..mini.info import INFO, parse_info
from ..options import HEARD_STEP, INCONTEXT, ONE_STEP
from ..weight_files.configs import check_configs, refusing_broken
from ..weight_files.files import Files
from . import Task, does_not_apply

if TYPE_CHECKING:
    from ..backbones.placement import Placement
    from .in_context import InContext

SMALL_PARTS = f"{INFO}, transformer/, vae/ and text_encoder/ as save_backbone writes them"
PLACEMENT_NEEDED = "device and dtype alone: it is small"


class Small:
    """The protocol Source. It is held whole, so no memory is counted."""

    takes_loras = True
    usual_device, usual_dtype = "cpu", "float32"

    def __init__(self, folder: Path, called: str, files: Files):
        """called: what the user calls it. Raises InputError for a broken model.json."""
        if files != Files():
            raise does_not_apply(called, PLACEMENT_NEEDED)
        self.folder, self.called = folder, called
        check_configs(folder)
        with refusing_broken(folder, SMALL_PARTS):
            self.info = parse_info((folder / INFO).read_text(encoding="utf-8"))
        self.name, self.geometry = self.info.name, self.info.geometry
        # And it draws on the panel that it was trained on.
        self.defaults = HEARD_STEP if self.name == INCONTEXT else ONE_STEP

    def check(self, task: Task) -> None:
        """It can do whatever a task may ask for."""

    def lora_beside(self, variant: str) -> Path:
        """The LoRA file of a variant. Raises InputError if there is none."""
        from .loras import lora_beside

        return lora_beside(self.folder, self.called, variant)

    def estimate(
        self, placement: Placement, panel: tuple[int, int], num_frames: int, lead_in_seconds: float
    ) -> None:
        """Next to nothing. Raises InputError for a placement that does not apply."""
        if placement != replace(placement, storage="", offload="", vae_tiling=False):
            raise does_not_apply(self.called, PLACEMENT_NEEDED)

    def open(self, placement: Placement | None = None) -> InContext:
        """Load the weights. Raises InputError when they are missing or broken."""
        from ..backbones.placement import plain_placement
        from ..mini.folder import read_backbone
        from .in_context import InContext

        placement = placement or plain_placement()
        self.estimate(placement, (0, 0), 0, 0)
        with refusing_broken(self.folder, SMALL_PARTS):
            return InContext(
                read_backbone(self.folder, self.info, placement.device, placement.dtype)
            )
