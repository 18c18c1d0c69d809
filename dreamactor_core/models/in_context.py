"""The method on a backbone, as an Animator."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from torch import Tensor, nn

from ..animate import Passes, animate, preview_strip
from ..backbones import Backbone
from ..composite import LeadIn
from ..geometry import Geometry
from ..lora.adapters import lora_strengths, wear_loras
from ..lora.files import WantedLora, check_together
from ..options import LEAD_IN_SECONDS, Defaults
from ..pose.guides import Guides
from ..sampling import Step
from . import Shown, Task, Watcher

MODULES = ("transformer", "transformer_2", "text_encoder", "image_encoder", "vae")


@dataclass(frozen=True)
class InContext:
    """The protocol Animator."""

    backbone: Backbone
    lead_in_seconds: float = LEAD_IN_SECONDS  # as its LoRAs were trained

    @property
    def name(self) -> str:
        return self.backbone.name

    @property
    def geometry(self) -> Geometry:
        return self.backbone.geometry

    @property
    def defaults(self) -> Defaults:
        return self.backbone.defaults

    @property
    def loras(self) -> dict[str, float]:
        return lora_strengths(self.backbone)

    @property
    def painter(self) -> str:
        return "network"

    @property
    def eye(self) -> Watcher | None:
        """The backbone itself, if it asks an eye for what guides may tell."""
        return self.backbone if hasattr(self.backbone, "recognise") else None  # type: ignore[return-value]

    @property
    def modules(self) -> Mapping[str, nn.Module]:
        return modules_of(self.backbone)

    def wearing(self, loras: Sequence[WantedLora]) -> InContext:
        """Raises InputError for LoRAs that do not fit the backbone or each other."""
        lead_in_seconds = LEAD_IN_SECONDS
        if loras:
            lead_in_seconds = check_together(loras, loras[0].file.info.variant)
        wear_loras(self.backbone, loras)
        return replace(self, lead_in_seconds=lead_in_seconds)

    def check(self, task: Task) -> None:
        """It can do whatever a task may ask for."""

    def passes(self, num_frames: int) -> int:
        """Raises InputError when the lead-in leaves no room in a pass."""
        return self.geometry.passes(num_frames, self.geometry.lead_frames(self.lead_in_seconds))

    def frames(
        self, shown: Shown, task: Task, on_step: Callable[[Step], None] | None = None
    ) -> Iterator[Tensor]:
        """Piece by piece, so memory does not grow with the length of the clip."""
        return animate(
            told(self.backbone, lambda: shown.guides),
            shown.reference,
            shown.driving(),
            task.prompt,
            task.settings,
            lead_in=LeadIn(self.lead_in_seconds, task.keep_lead_in),
            passes=Passes(wanted=shown.wanted, kept=task.kept),
            on_step=on_step,
        )

    def preview(self, latents: Tensor) -> Tensor:
        return preview_strip(self.backbone, latents)


def told(backbone: Backbone, guides: Callable[[], Guides | None]) -> Backbone:
    """A backbone that knows what the reference shows, if it is one that asks an eye for that: of
    others nobody looks for guides."""
    tell = getattr(backbone, "told", None)
    if tell is None or (known := guides()) is None:
        return backbone
    return tell(known)


def modules_of(model: object) -> dict[str, nn.Module]:
    """Those of its networks that a model has."""
    parts = {name: getattr(model, name, None) for name in MODULES}
    return {name: part for name, part in parts.items() if isinstance(part, nn.Module)}
