"""ComfyUI's progress bar, its live preview and its Cancel button."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator

from comfy.model_management import throw_exception_if_processing_interrupted
from comfy.utils import ProgressBar
from PIL import Image
from torch import Tensor

from ...dreamactor_core.jobs.inputs import Inputs
from ...dreamactor_core.media import Frame
from ...dreamactor_core.models import Animator
from ...dreamactor_core.sampling import Step

PREVIEW_SIDE = 512  # pixels
LOOKS = 0.1  # of the time, at most, goes into previews, each of which the autoencoder must decode


def sampling_progress(animator: Animator, passes: int = 1) -> Callable[[Step], None]:
    """An on_step: one bar over all passes, now and then the video as far as it has grown, Cancel at
    once. The first step is always shown.
    """
    bar, began, spent = ProgressBar(passes), time.monotonic(), 0.0

    def on_step(step: Step) -> None:
        nonlocal spent
        throw_exception_if_processing_interrupted()
        now, preview = time.monotonic(), None
        if spent <= LOOKS * (now - began):
            preview = _picture(animator.preview(step.denoised))
            spent += time.monotonic() - now
        bar.update_absolute(bar.current + 1, passes * step.total, preview)

    return on_step


def _picture(strip: Tensor | None) -> tuple[str, Image.Image, int] | None:
    """(h, w, 3) in [0, 1] as ComfyUI's bar takes it."""
    if strip is None:
        return None
    picture = Image.fromarray((strip * 255).round().byte().cpu().numpy())
    return "JPEG", picture, PREVIEW_SIDE


def watched(frames: Iterable[Frame]) -> Iterator[Frame]:
    """The same frames, which stop on Cancel."""
    for frame in frames:
        throw_exception_if_processing_interrupted()
        yield frame


def reading_progress(inputs: Inputs) -> Inputs:
    """The same inputs, whose frames move a bar and stop on Cancel."""

    def frames() -> Iterator[Frame]:
        bar = ProgressBar(inputs.clip.num_frames)
        for frame in inputs.frames():
            throw_exception_if_processing_interrupted()
            bar.update(1)
            yield frame

    return inputs._replace(frames=frames)
