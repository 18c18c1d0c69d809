"""The one-node graph: the road of the command line, with ComfyUI's inputs at its beginning."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from comfy.model_management import throw_exception_if_processing_interrupted
from comfy_api.latest import InputImpl
from comfy_execution.graph_utils import ExecutionBlocker
from torch import Tensor

from ...dreamactor_core.errors import InputError
from ...dreamactor_core.jobs.inputs import Inputs, fit_inputs
from ...dreamactor_core.jobs.job import Job
from ...dreamactor_core.jobs.painter import with_painter
from ...dreamactor_core.jobs.reading import Choices, Reading, read_bodies
from ...dreamactor_core.jobs.run import animate_file, passes_of, read_inputs
from ...dreamactor_core.media import Footage, VideoInfo, probe, read_frames, to_frames
from ...dreamactor_core.pose.keypoints import parse_keypoints
from ...dreamactor_core.pose.reference import networks_here
from ...dreamactor_core.sampling import SampleSettings
from .files import LoraChoice
from .guides import NO_GUIDES, GuideInputs
from .load import ALL, Model, ready, tries, with_lora
from .player import driver_beside, player_of
from .progress import LOOK, JobBar, JobProgress
from .remember import LastResult, ignored_by
from .video import Driving, TempFile, audible, lasting, naming, temp_file

FRAMES_ROOM = 2**30  # bytes of frames as IMAGE: more of them come from the VIDEO alone


class Given(NamedTuple):
    """What is said of the two."""

    prompt: str
    keypoints: list[dict] | None  # of the driver
    guides: GuideInputs = NO_GUIDES  # of the reference


@dataclass(frozen=True)
class DrivingPart:
    """Of the driving video, and the panel's size. 0: to its end, and the model's own panel."""

    start: float = 0.0  # seconds
    length: float = 0.0  # seconds
    size: int = 0  # pixels
    person: int = 0  # of several in it, from 1; 0: the largest and longest


class ReadOptions(NamedTuple):
    """What is to be done where pictures and clips show no body of the embedded model's world."""

    strict: bool = False  # it is an error
    download: bool = False  # fetch what knows people


class PaintedBy(NamedTuple):
    """As in Job."""

    painter: str = "auto"
    background: str | Path | Footage = "reference"


class Animated(NamedTuple):
    video: InputImpl.VideoFromFile
    frames: Tensor | ExecutionBlocker  # (t, h, w, 3)
    mask: Tensor | ExecutionBlocker  # (t, h, w), 1 where something is drawn
    fps: float
    ui: dict  # what the player shows, and which widgets the model does not read


def animate(
    model: Model,
    reference: Tensor,
    driving: Driving,
    given: Given,
    settings: SampleSettings,
    part: DrivingPart,
    painting: PaintedBy,
    options: ReadOptions,
) -> Animated:
    """The video lies in the temp folder. One that differs by nothing that the model reads from the
    last is that again.

    Raises InputError as jobs.read_inputs and jobs.animate_file do.
    """
    variant = "end-to-end" if given.keypoints is None else "pose-based"
    wired, model = model, _of_variant(model, variant)
    result = temp_file(".webm" if painting.background == "transparent" else ".mp4")
    job = Job(
        reference=reference.cpu(),
        driving=audible(driving),
        output=result.path,
        variant=variant,
        settings=settings,
        **_of_given(given),
        **_of_part(part),
        **painting._asdict(),
        strict=options.strict,
        resume_as="animate",  # after Cancel, or a ComfyUI that died
        resume_in=lasting("passes"),
    )
    # BlazePose may have come to this machine since the last run.
    last = LastResult(model, job, options.download or networks_here() is not None)
    if last.value is not None:
        return last.value
    model.animator.check(job)
    with naming(job.driving, "driving"):
        bar = JobBar(looks=model.animator.eye is not None)
        job, inputs = _read(model, job, _choices(wired, given, options), bar)
        if job.variant != variant:
            model = _of_variant(wired, job.variant)
        drawer, inputs = with_painter(model.animator, inputs, job)
        geometry, (height, width) = model.geometry, model.geometry.panel
        box = fit_inputs(inputs, job.size, drawer).panel.box
        for attempt in tries():
            with attempt:
                ready_model = ready(model, ALL, geometry.num_frames * height * 2 * width)
                animator, read = with_painter(ready_model, inputs, job)
                steps = settings.num_inference_steps or animator.defaults.num_inference_steps
                progress = JobProgress(bar, animator, passes_of(drawer, inputs), steps, read)
                with (
                    driver_beside(progress.inputs, box.height, box.width) as (read, beside),
                    progress.listening(),
                ):
                    animate_file(animator, job, read, progress.on_step, progress.on_frame)
        throw_exception_if_processing_interrupted()
    made = _finished(model, job, result, beside, inputs.reading)
    last.keep(made)
    return made


def _choices(model: Model, given: Given, options: ReadOptions) -> Choices:
    """LoRAs that are wired decide the variant."""
    may_change = not model.loras
    follow = may_change and given.keypoints is None
    return Choices(follow, options.download, look_instead=may_change)


def _of_given(given: Given) -> dict[str, Any]:
    """In a Job's words."""
    return {
        "prompt": given.prompt,
        "keypoints": None if given.keypoints is None else parse_keypoints(given.keypoints),
        "reference_keypoints": given.guides.pose(),
        "reference_mask": given.guides.mask,
    }


def _of_part(part: DrivingPart) -> dict[str, Any]:
    """In a Job's words."""
    return {
        "size": part.size or None,
        "start": part.start,
        "duration": part.length or None,
        "driving_person": part.person or None,
    }


def _read(model: Model, job: Job, choices: Choices, bar: JobBar) -> tuple[Job, Inputs]:
    """As read_inputs and read_bodies, on the model where ComfyUI wants it."""
    inputs = read_inputs(job)
    read = bar.over(inputs, LOOK)
    for attempt in tries():
        with attempt:
            height, width = model.geometry.panel
            job, found = read_bodies(job, read, ready(model, ALL, height * width), choices)
    return job, found._replace(frames=inputs.frames)


def _finished(
    model: Model, job: Job, result: TempFile, beside: TempFile, reading: Reading | None
) -> Animated:
    """What the node gives and shows of a job that is done."""
    info = probe(result.path)
    shown = player_of(job.reference, beside, result, info) | ignored_by(model)
    if reading is not None:
        shown["dreamactor_player"][0]["read"] = asdict(reading.by)
    video = InputImpl.VideoFromFile(str(result.path))
    rate = (info.num_frames - 1) / info.times[-1] if info.num_frames > 1 else float(info.fps)
    return Animated(video, *_frames(result.path, info), rate, shown)


def _frames(
    path: Path, info: VideoInfo
) -> tuple[Tensor | ExecutionBlocker, Tensor | ExecutionBlocker]:
    """(t, h, w, 3) and their mask (t, h, w), where that is not too much to hold."""
    size = 4 * 3 * info.height * info.width * info.num_frames
    if size > FRAMES_ROOM:
        blocked = ExecutionBlocker(
            f"frames of DreamActor Animate would take {size / 2**30:.1f} GB: wire video into Get "
            "Video Components or Save Video instead."
        )
        return blocked, blocked
    frames = list(read_frames(path))
    masks = [
        np.full(frame.image.shape[:2], 255, np.uint8) if frame.mask is None else frame.mask
        for frame in frames
    ]
    mask = torch.from_numpy(np.stack(masks)).float() / 255
    return to_frames(np.stack([frame.image for frame in frames])), mask


def _of_variant(model: Model, variant: str) -> Model:
    """The model as it is, or with the LoRA of this variant that lies beside it."""
    if not model.weights.source.takes_loras:
        return model
    if not model.loras:
        return with_lora(model, LoraChoice(variant, None), 1.0)[0]
    got = model.loras[0].info.variant
    if got != variant:
        wired = "no keypoints" if variant == "end-to-end" else "keypoints"
        raise InputError(
            "LoRA on the model",
            got=f"one of the {got} variant and {wired}",
            need=f"the {variant} one, which goes with {wired}",
            fix="Choose the other LoRA, or wire keypoints for pose-based and none for end-to-end.",
        )
    return model
