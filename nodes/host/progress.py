"""ComfyUI's progress bar, its live preview and its Cancel button."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from comfy.model_management import throw_exception_if_processing_interrupted
from comfy.utils import ProgressBar
from PIL import Image

from ...dreamactor_core.jobs.inputs import Inputs
from ...dreamactor_core.media import Frame
from ...dreamactor_core.models import Animator
from ...dreamactor_core.sampling import Step

PREVIEW_SIDE = 512  # pixels


def sampling_progress(animator: Animator, passes: int = 1) -> Callable[[Step], None]:
    """An on_step: one bar over all passes, the video as far as it has grown, Cancel at once."""
    bar = ProgressBar(passes)

    def on_step(step: Step) -> None:
        throw_exception_if_processing_interrupted()
        preview = None
        strip = animator.preview(step.denoised)
        if strip is not None:
            picture = Image.fromarray((strip * 255).round().byte().cpu().numpy())
            preview = ("JPEG", picture, PREVIEW_SIDE)
        bar.update_absolute(bar.current + 1, passes * step.total, preview)

    return on_step


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
