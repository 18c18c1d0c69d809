"""From picture and clip to a file: the whole road of one video.

    reference --> letterbox into the panel ----------------------+
    driving ----> re-time to the model's rate --> letterbox      +--> animate --> crop the bars
                  or its keypoints: one box --> draw the pose ---+        --> hold --> write

Inputs are files, or lie in memory. Frames of files are streamed from end to end: memory does not
grow with the length of the clip. The result has the reference's aspect and, unless the model's own
rate is asked for, exactly the driving video's frames, times and sound.
"""

from __future__ import annotations

import platform
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn

from ..animate import NONE_KEPT, KeptPasses
from ..backbones.placement import Placement
from ..errors import InputError
from ..media import check_writable, frames_stream, retimed_length, sound_of, video_stream
from ..media.stream import Write
from ..models import Animator, Source
from ..models.estimate import Estimate
from ..options import LEAD_IN_SECONDS
from ..sampling import Step
from .digest import digest_of
from .inputs import Fitted, Inputs, fit_inputs, open_inputs, panel_of
from .job import Job, Report
from .painter import with_painter
from .reading import read_bodies
from .resume import kept_passes
from .timeline import Timeline, Views, timeline_of

PACKAGES = ("torch", "diffusers", "av")  # whose versions a report names


def read_inputs(job: Job) -> Inputs:
    """Open everything a job needs but the model, so that a mistake is found before that is loaded.

    Raises InputError for an output that cannot be written, and as open_inputs does.
    """
    check_writable(job.output, job.overwrite, folder=job.is_folder)
    for source in (job.reference, job.driving, job.behind.scene):
        if not isinstance(source, Path):
            continue
        if job.output.exists() and source.exists() and job.output.samefile(source):
            raise InputError(
                str(job.output),
                got="the same file as an input",
                need="another name",
                fix="Choose a new name for the output.",
            )
    return inputs_of(job)


def inputs_of(job: Job) -> Inputs:
    """A job's inputs, opened. Raises InputError as open_inputs does."""
    return open_inputs(
        job.reference,
        job.driving,
        job.keypoints,
        job.start,
        job.duration,
        job.reference_keypoints,
        job.reference_mask,
    )


def preflight(
    source: Source,
    placement: Placement,
    inputs: Inputs,
    size: int | None = None,
    lead_in_seconds: float = LEAD_IN_SECONDS,
) -> Estimate | None:
    """What a video of these inputs would take, before the model is loaded; None: next to nothing.

    Raises InputError when it will not fit, and for a size that there cannot be.
    """
    _, height, width, _ = inputs.reference.shape
    panel = panel_of(height, width, size, source)
    num_frames = retimed_length(inputs.clip.duration, source.geometry.fps)
    return source.estimate(placement, panel[:2], num_frames, lead_in_seconds)


def passes_of(animator: Animator, inputs: Inputs) -> int:
    """How many passes, or segments, the part of the driving video takes."""
    return animator.passes(retimed_length(inputs.clip.duration, animator.geometry.fps))


class Ready(NamedTuple):
    """A job of which everything is settled: who draws it, what he is shown, and when it shows."""

    animator: Animator
    job: Job
    fitted: Fitted
    timeline: Timeline
    lead: int  # frames of the lead-in that are kept

    def views(self) -> Views:
        """What makes the pictures of the video out of the animator's frames."""
        return Views(self.fitted, self.timeline, self.lead, self.job.rate, self.job.side_by_side)


def make_ready(animator: Animator, job: Job, inputs: Inputs | None = None) -> Ready:
    """Read a job's inputs, if they are not open already, find the bodies in them, if nobody has,
    and choose who draws. Raises InputError as animate_file does."""
    animator.check(job)
    inputs = inputs or read_inputs(job)
    if inputs.reading is None:
        job, inputs = read_bodies(job, inputs, animator)
    animator, inputs = with_painter(animator, inputs, job)
    fitted = fit_inputs(inputs, job.size, animator, job.pose_fit)
    panel, fps = fitted.panel, animator.geometry.fps
    job = job.settled(animator.defaults, panel.height, panel.width)
    lead = animator.geometry.lead_frames(animator.lead_in_seconds) if job.keep_lead_in else 0
    timeline = timeline_of(inputs.clip, fps, lead, job.rate)
    return Ready(animator, job, replace(fitted, wanted=timeline.shown), timeline, lead)


def animate_file(
    animator: Animator,
    job: Job,
    inputs: Inputs | None = None,
    on_step: Callable[[Step], None] | None = None,
    on_frame: Callable[[Tensor, int, int], None] | None = None,
) -> Report:
    """Do a job. What on_step or on_frame raises leaves no file.

    on_step hears each step of the network. on_frame hears each picture (h, w, 3) that is about to
    be written, how many of the video's frames there are then, and how many there will be.

    inputs: those of the job, where they are open already. Raises InputError as read_inputs and
    Animator.check do, and when the size does not fit the model.
    """
    began = time.perf_counter()
    ready = make_ready(animator, job, inputs)
    animator, job, timeline = ready.animator, ready.job, ready.timeline
    views, written = ready.views(), 0
    lead = ready.lead / animator.geometry.fps
    with _kept(ready) as kept, _output(job, timeline, lead) as write:
        for frames in animator.frames(ready.fitted, replace(job, kept=kept), on_step):
            for picture in views.of(frames):
                written += 1
                if on_frame is not None:
                    on_frame(picture[..., :3], written, len(timeline.times))
                write(picture)
            if written == len(timeline.times):
                break  # what would come behind it nobody sees
    inputs, panel = ready.fitted.inputs, ready.fitted.panel
    return Report(
        output=str(job.output),
        reference=str(job.reference) if isinstance(job.reference, Path) else "a picture",
        driving=str(job.driving),
        variant=job.variant,
        prompt=job.prompt,
        model=animator.name,
        loras=animator.loras,
        settings=job.settings,
        panel=(panel.height, panel.width),
        frames=len(timeline.times),
        duration=timeline.duration,
        passes=passes_of(animator, inputs),
        seconds=round(time.perf_counter() - began, 3),
        versions=_versions(),
        painter=animator.painter,
        read=None if inputs.reading is None else inputs.reading.by,
    )


def _versions() -> dict[str, str]:
    return {"python": platform.python_version()} | {p: version(p) for p in PACKAGES}


@contextmanager
def _kept(ready: Ready) -> Iterator[KeptPasses]:
    """Where the passes of a job are, if they are kept and there are several."""
    animator, job, fitted = ready.animator, ready.job, ready.fitted
    inputs, backbone = fitted.inputs, animator.backbone
    if job.resume_as is None or backbone is None or passes_of(animator, inputs) < 2:
        yield NONE_KEPT
        return
    any_name = Path(f"any{job.output.suffix}")
    read = replace(job, output=any_name, overwrite=False, resume_as=None, resume_in=None)
    networks = [part for part in vars(backbone).values() if isinstance(part, nn.Module)]
    program = (_versions(), torch.get_num_threads())  # sums of floats depend on both
    key = digest_of(
        read, fitted.panel, fitted.fps, animator.lead_in_seconds, animator.loras,
        inputs.reference, fitted.guides, inputs.pose, inputs.reading, networks, program,
    )  # fmt: skip
    place = job.resume_in or job.output.parent
    with kept_passes(place, job.resume_as, key) as kept:
        yield kept


@contextmanager
def _output(job: Job, timeline: Timeline, lead: float) -> Iterator[Write]:
    """What takes frames: a folder, or a video with the driver's sound behind `lead` seconds."""
    if job.is_folder:
        with frames_stream(job.output, overwrite=job.overwrite) as write:
            yield write
        return
    with video_stream(
        job.output,
        timeline.times,
        duration=timeline.duration,
        audio_from=sound_of(job.driving),
        audio_start=job.start - lead,
        overwrite=job.overwrite,
    ) as write:
        yield write
