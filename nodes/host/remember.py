"""Which settings a model does not read, and what it made last: when nothing that it reads has
changed, nothing runs, though the host sees another seed.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from ...dreamactor_core.jobs.digest import digest_of
from ...dreamactor_core.jobs.job import Job
from ...dreamactor_core.sampling import SampleSettings
from .load import Model

WIDGET_OF_SETTING = {
    "num_inference_steps": "steps",
    "guidance_scale": "cfg",
}  # others as the setting


class LastResult:
    """The result of a job, if it is the last that was made with the model's weights."""

    def __init__(self, model: Model, job: Job, *more: Any):
        """more: whatever else the result depends on."""
        self.last, ignored = model.weights.last, model.defaults.ignored
        # A model that reads everything needs none: the host itself sees what is new.
        self.key = digest_of(model.loras, _as_read(job, ignored), more) if ignored else None

    @property
    def value(self) -> Any:
        """None, if it is to be made."""
        return None if self.key is None else self.last.get(self.key)

    def keep(self, value: Any) -> None:
        self.last.clear()
        if self.key is not None:
            self.last[self.key] = value


def ignored_by(model: Model) -> dict:
    """What a node shows of it: the widgets that this model does not read."""
    widgets = [WIDGET_OF_SETTING.get(name, name) for name in model.defaults.ignored]
    return {"dreamactor_ignored": [{"model": model.name, "widgets": widgets}]}


def _as_read(job: Job, ignored: tuple[str, ...]) -> Job:
    """With everything the same that makes no difference."""
    usual = SampleSettings()
    settings = replace(job.settings, **{name: getattr(usual, name) for name in ignored})
    return replace(job, output=Path(f"any{job.output.suffix}"), overwrite=False, settings=settings)
