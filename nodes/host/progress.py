"""ComfyUI's progress bar, its live preview and its Cancel button."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

from comfy.model_management import throw_exception_if_processing_interrupted
from comfy.utils import ProgressBar
from comfy_execution.utils import get_executing_context
from PIL import Image
from server import PromptServer
from torch import Tensor
from torch.nn import Module, ModuleList

from ...dreamactor_core.jobs.inputs import Inputs
from ...dreamactor_core.media import Frame
from ...dreamactor_core.models import Animator
from ...dreamactor_core.sampling import Step

PREVIEW_SIDE = 512  # pixels
LOOKS = 0.1  # of the time, at most, goes into previews, each of which the autoencoder must decode
WORDS_EVERY = 0.1  # seconds
EVENT = "dreamactor.progress"  # {node, stage, done, total}, as js/shared/widget.js hears it
LOOK, READ, DRAW, WRITE = "look", "read", "draw", "write"  # stages of a job
BAR_TICKS = 1000  # of a job's bar
STAGE_SHARES = {READ: 0.05, DRAW: 0.85, WRITE: 0.1}
LOOK_SHARE = 0.3  # of the bar, where bodies are sought in the driver before anything is drawn
STEP_UNDER_WAY = 0.95  # of a step, at most, while its end has not been told


class Previews:
    """Pictures for the bar, the first at once, then as often as LOOKS allows."""

    def __init__(self):
        self.began, self.spent = time.monotonic(), 0.0

    def of(self, look: Callable[[], Tensor | None]) -> tuple[str, Image.Image, int] | None:
        """look: makes the picture (h, w, 3) in [0, 1], where it is time for one."""
        now = time.monotonic()
        if self.spent > LOOKS * (now - self.began):
            return None
        made = _preview_of(look())
        self.spent += time.monotonic() - now
        return made


def sampling_progress(animator: Animator) -> Callable[[Step], None]:
    """An on_step: a bar over the steps, now and then the video as far as it has grown, Cancel at
    once. The first step is always shown.
    """
    bar, previews = ProgressBar(1), Previews()

    def on_step(step: Step) -> None:
        throw_exception_if_processing_interrupted()
        preview = previews.of(lambda: animator.preview(step.denoised))
        bar.update_absolute(bar.current + 1, step.total, preview)

    return on_step


class JobBar:
    """One bar and one line of words over a whole job, which says where it is."""

    def __init__(self, looks: bool):
        """looks: whether bodies are sought in the driver first."""
        look = LOOK_SHARE if looks else 0.0
        self.shares = {stage: (1 - look) * share for stage, share in STAGE_SHARES.items()}
        self.shares[LOOK] = look
        self.done = dict.fromkeys(self.shares, 0.0)  # of each stage, 0 to 1
        self.bar, self.told = ProgressBar(BAR_TICKS), 0.0

    def over(self, inputs: Inputs, stage: str) -> Inputs:
        """The same inputs, whose frames move the bar, and stop on Cancel."""

        def frames() -> Iterator[Frame]:
            for count, frame in enumerate(inputs.frames(), 1):
                self.tell(stage, count, inputs.clip.num_frames)
                yield frame

        return inputs._replace(frames=frames)

    def tell(self, stage: str, done: int, total: int, preview: tuple | None = None) -> None:
        throw_exception_if_processing_interrupted()
        if stage != LOOK:
            self.done[LOOK] = 1.0
        self.done[stage] = max(self.done[stage], done / total)
        if stage == WRITE and done == total:  # the last pass may have had less to draw
            self.done = dict.fromkeys(self.done, 1.0)
        ticks = BAR_TICKS * sum(self.shares[name] * share for name, share in self.done.items())
        self.bar.update_absolute(round(ticks), BAR_TICKS, preview)
        now = time.monotonic()
        if now - self.told >= WORDS_EVERY or done == total:
            self.told = now
            _say({"stage": stage, "done": done, "total": total})


class JobProgress:
    """A job's bar while it is done: frames read, drawn, written.

    A step of the network may take most of a job, so the bar moves with each of its blocks, and
    Cancel is heard in each of its layers. Read, drawn and written go on side by side, pass by pass.

        progress = JobProgress(bar, animator, passes, steps, inputs)
        with progress.listening():
            animate_file(animator, job, progress.inputs, progress.on_step, progress.on_frame)
    """

    def __init__(self, bar: JobBar, animator: Animator, passes: int, steps: int, inputs: Inputs):
        """steps: those of a pass, until the first tells how many calls of the network they are."""
        self.bar, self.animator, self.passes, self.steps = bar, animator, passes, steps
        self.frames, self.inputs = inputs.clip.num_frames, bar.over(inputs, READ)
        self.steps_done = self.blocks_done = 0  # blocks: of the step under way
        self.blocks = list(_blocks(animator))
        self.blocks_a_step = max(1, len(self.blocks))
        self.previews = Previews()

    @contextmanager
    def listening(self) -> Iterator[None]:
        handles = [block.register_forward_hook(self._block) for block in self.blocks]
        for part in self.animator.modules.values():
            handles += [layer.register_forward_pre_hook(_cancelled) for layer in part.modules()]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    def on_step(self, step: Step) -> None:
        self.steps, self.steps_done = step.total, self.steps_done + 1
        self.blocks_a_step, self.blocks_done = max(1, self.blocks_done), 0
        self._drawn(0.0, self.previews.of(lambda: self.animator.preview(step.denoised)))

    def on_frame(self, picture: Tensor, done: int, total: int) -> None:
        self.bar.tell(WRITE, done, total, self.previews.of(lambda: picture))

    def _block(self, *_: object) -> None:
        self.blocks_done += 1
        self._drawn(min(self.blocks_done / self.blocks_a_step, STEP_UNDER_WAY))

    def _drawn(self, of_step: float, preview: tuple | None = None) -> None:
        share = min((self.steps_done + of_step) / (self.passes * self.steps), 1.0)
        self.bar.tell(DRAW, round(share * self.frames), self.frames, preview)


def _blocks(animator: Animator) -> Iterator[Module]:
    """What a network is made of, one after the other: the longest list of layers in it."""
    for name, part in animator.modules.items():
        lists = [layer for layer in part.modules() if isinstance(layer, ModuleList)]
        if name.startswith("transformer") and lists:
            yield from max(lists, key=len)


def _cancelled(*_: object) -> None:
    throw_exception_if_processing_interrupted()


def _say(words: dict) -> None:
    """Tell the node that runs, in the browser that asked for it."""
    context, server = get_executing_context(), getattr(PromptServer, "instance", None)
    if context is not None and server is not None:
        server.send_sync(EVENT, {"node": context.node_id} | words, server.client_id)


def _preview_of(strip: Tensor | None) -> tuple[str, Image.Image, int] | None:
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
