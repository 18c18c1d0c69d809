"""From files to a file: the whole road of one video.

    reference --> letterbox into the panel ----------------------+
    driving ----> re-time to the model's rate --> letterbox      +--> animate --> crop the bars
                  or its keypoints: one box --> draw the pose ---+        --> hold --> write

Frames are streamed from end to end: memory does not grow with the length of the clip. The result
has the reference's aspect and, unless the model's own rate is asked for, exactly the driving
video's frames, times and sound.
"""

from __future__ import annotations

import math
import platform
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import NamedTuple

import av
import diffusers
import numpy as np
import torch
from torch import Tensor

from .animate import animate
from .backbones import Backbone, Geometry
from .backbones.loading import load_backbone
from .composite import lead_in_frames
from .errors import InputError
from .lora import VARIANTS, load_lora, lora_strengths, read_lora_info
from .media import (
    VideoInfo,
    check_writable,
    content_box,
    fit,
    hold_indices,
    probe,
    read_frames,
    read_image,
    retime,
    write_video,
)
from .media.fit import Box, retimed_length
from .pose.draw import draw_pose, fit_box
from .pose.keypoints import Pose, check_length, load_keypoints, retime_pose
from .sampling import SampleSettings, Step

RATES = ("driver", "native")
MIN_SIDE, MAX_SIDE, MAX_ASPECT = 8, 16_384, 16  # of a reference: outside, no character is seen


@dataclass(frozen=True)
class Job:
    """One video to make."""

    reference: Path
    driving: Path
    output: Path  # .mp4
    variant: str = "end-to-end"  # or "pose-based"
    keypoints: Path | None = None  # of every frame of the driving file; for pose-based
    prompt: str = ""
    settings: SampleSettings = field(default_factory=SampleSettings)
    size: int | None = None  # pixels: a panel of this area and the reference's aspect; see panel_of
    start: float = 0.0  # seconds into the driving file
    duration: float | None = None  # seconds; None: to its end
    lead_in_seconds: float = 1.0  # as the LoRA was trained
    keep_lead_in: bool = False
    side_by_side: bool = False  # reference | driver | result
    rate: str = "driver"  # or "native": the model's own frames at its own rate
    overwrite: bool = False

    def __post_init__(self):
        for name, accepted in (("variant", VARIANTS), ("rate", RATES)):
            if getattr(self, name) not in accepted:
                need = " or ".join(map(repr, accepted))
                raise InputError(
                    name, got=repr(getattr(self, name)), need=need, fix="Check the spelling."
                )
        if self.variant == "pose-based" and self.keypoints is None:
            raise InputError(
                "keypoints",
                got="none",
                need="a file of keypoints for the pose-based variant",
                fix="Pass one with --pose (finding the pose in a video comes later), or use the "
                "end-to-end variant, which needs none.",
            )
        if self.variant == "end-to-end" and self.keypoints is not None:
            raise InputError(
                "keypoints",
                got=f"{self.keypoints} for the end-to-end variant",
                need="none, for it looks at the driving video itself",
                fix="Leave them away, or use --variant pose-based.",
            )
        if self.output.suffix.lower() != ".mp4":
            raise InputError(
                str(self.output),
                got=f"the ending {self.output.suffix!r}",
                need="'.mp4', the one format that is written",
                fix=f"Call it {self.output.with_suffix('.mp4').name}.",
            )


class Inputs(NamedTuple):
    reference: Tensor  # (1, h, w, 3) in [0, 1]
    clip: VideoInfo  # the part of the driving video that is used
    pose: Pose | None  # of every frame of the clip


class Panel(NamedTuple):
    height: int
    width: int
    box: Box  # where the reference lies in it, and so the result; bars around it are cropped away


class Timeline(NamedTuple):
    times: list[float]  # seconds, of each frame written
    indices: list[int]  # the model frame it shows, lead-in counted
    duration: float  # seconds


@dataclass(frozen=True)
class Report:
    """What was made, from what, and how. Equal for equal jobs, but for `seconds`."""

    output: str
    reference: str
    driving: str
    variant: str
    prompt: str
    model: str
    loras: dict[str, float]  # name: strength
    settings: SampleSettings
    panel: tuple[int, int]  # (height, width) the model drew
    frames: int
    duration: float  # seconds of video
    passes: int
    seconds: float  # of work
    versions: dict[str, str]


def read_inputs(job: Job) -> Inputs:
    """Open everything a job needs but the model, so that a mistake is found before that is loaded.

    Raises InputError for an output that cannot be written, a reference or a driving video that
    cannot be used, and keypoints that do not fit the driving video.
    """
    check_writable(job.output, job.overwrite)
    for source in (job.reference, job.driving):
        if job.output.exists() and source.exists() and job.output.samefile(source):
            raise InputError(
                str(job.output),
                got="the same file as an input",
                need="another name",
                fix="Choose a new name for the output.",
            )
    reference = read_image(job.reference)
    height, width = reference.shape[1:3]
    short, long = sorted((height, width))
    if short < MIN_SIDE or long > min(MAX_SIDE, MAX_ASPECT * short):
        raise InputError(
            str(job.reference),
            got=f"a picture of {width} x {height} pixels",
            need=f"sides of {MIN_SIDE} to {MAX_SIDE}, one at most {MAX_ASPECT} times the other",
            fix="Scale the picture, or cut it to the character.",
        )
    whole = probe(job.driving)
    clip = whole.cut(job.start, job.duration)
    if clip.num_frames < 2:
        raise InputError(
            str(job.driving),
            got="1 frame" + ("" if whole.num_frames == 1 else " in the part that was asked for"),
            need="at least 2, for one frame holds no motion",
            fix="Choose a video, or a longer part of it.",
        )
    if job.keypoints is None:
        return Inputs(reference, clip, None)
    pose = load_keypoints(job.keypoints)
    check_length(pose, whole.num_frames)
    first, last, _ = whole.window(job.start, job.duration)
    return Inputs(reference, clip, pose.map(lambda points: points[first:last]))


def load_model(
    model: str | Path, variant: str, loras: Sequence[tuple[Path, float]]
) -> tuple[Backbone, float]:
    """A backbone with its LoRAs, (file, strength) each, and the lead-in seconds they ask for.

    Raises InputError, if it can before the model is loaded, for files that do not fit.
    """
    infos = [read_lora_info(path) for path, _ in loras]
    for (path, _), info in zip(loras, infos, strict=True):
        for what, got, need in (
            ("variant", info.variant, variant),
            ("lead-in seconds", info.lead_in_seconds, infos[0].lead_in_seconds),
        ):
            if got != need:
                fix = "Choose a LoRA of this variant, or the variant of this LoRA."
                raise InputError(f"{what} of {path}", got=repr(got), need=repr(need), fix=fix)
    backbone = load_backbone(model)
    for path, strength in loras:
        load_lora(backbone, path, strength)
    return backbone, infos[0].lead_in_seconds if infos else 1.0


def animate_file(
    backbone: Backbone,
    job: Job,
    *,
    on_step: Callable[[Step], None] | None = None,
    on_frames: Callable[[int], None] | None = None,
) -> Report:
    """Do a job. on_step and on_frames are those of animate(); what they raise leaves no file.

    Raises InputError as read_inputs does, and when the size does not fit the backbone.
    """
    began = time.perf_counter()
    inputs, fps = read_inputs(job), backbone.geometry.fps
    panel = panel_of(*inputs.reference.shape[1:3], job.size, backbone.geometry)
    reference = fit(inputs.reference[0], panel.height, panel.width)
    passes = []

    def count(frames_done: int) -> None:
        passes.append(frames_done)
        if on_frames is not None:
            on_frames(frames_done)

    chunks = animate(
        backbone,
        reference[None],
        _driving_frames(job, inputs, panel, fps),
        job.prompt,
        job.settings,
        lead_in_seconds=job.lead_in_seconds,
        keep_lead_in=job.keep_lead_in,
        on_step=on_step,
        on_frames=count,
    )
    lead = 0
    if job.keep_lead_in:
        lead = lead_in_frames(fps, job.lead_in_seconds, backbone.geometry.temporal_stride)
    timeline = timeline_of(inputs.clip, fps, lead, job.rate)
    drawn = (_crop(frame, panel.box) for chunk in chunks for frame in chunk)
    pictures = _held(drawn, timeline.indices)
    if job.side_by_side:
        pictures = _beside(_crop(reference, panel.box), _drivers(job, inputs, lead, fps), pictures)
    write_video(
        job.output,
        pictures,
        timeline.times,
        duration=timeline.duration,
        audio_from=job.driving,
        audio_start=job.start - lead / fps,
        overwrite=job.overwrite,
    )
    return Report(
        output=str(job.output),
        reference=str(job.reference),
        driving=str(job.driving),
        variant=job.variant,
        prompt=job.prompt,
        model=backbone.name,
        loras=lora_strengths(backbone),
        settings=job.settings,
        panel=(panel.height, panel.width),
        frames=len(timeline.times),
        duration=timeline.duration,
        passes=len(passes),
        seconds=round(time.perf_counter() - began, 3),
        versions={
            "python": platform.python_version(),
            "torch": torch.__version__,
            "diffusers": diffusers.__version__,
            "av": av.__version__,
        },
    )


def panel_of(height: int, width: int, size: int | None, geometry: Geometry) -> Panel:
    """The panel for a reference of height x width pixels.

    size None: the panel the model was trained on; a reference of another aspect gets bars there.
    Otherwise the reference's aspect with the area size x size, each side a multiple of what the
    model asks for, so that bars are at most the rounding. Raises InputError for any other size.
    """
    if size is None:
        panel_height, panel_width = geometry.panel
    else:
        geometry.check_panel(size, size)
        multiple = geometry.size_multiple
        panel_height, panel_width = (
            multiple * max(1, round(size * math.sqrt(aspect) / multiple))
            for aspect in (height / width, width / height)
        )
    box = content_box(height, width, panel_height, panel_width)
    return Panel(panel_height, panel_width, box)


def timeline_of(clip: VideoInfo, fps: float, lead: int, rate: str) -> Timeline:
    """When to show which model frame: at the driver's own frames, or at the model's rate."""
    num_frames = retimed_length(clip.duration, fps)
    if rate == "native":
        indices = list(range(lead + num_frames))
        return Timeline([k / fps for k in indices], indices, len(indices) / fps)
    held = lead + hold_indices(clip.times, fps, num_frames)
    times = [*(k / fps for k in range(lead)), *(lead / fps + t for t in clip.times)]
    return Timeline(times, [*range(lead), *held.tolist()], lead / fps + clip.duration)


def _driving_frames(job: Job, inputs: Inputs, panel: Panel, fps: float) -> Iterator[Tensor]:
    """What the right panel shows, (h, w, 3) in [0, 1], at the model's rate."""
    clip = inputs.clip
    if inputs.pose is None:
        for image in _retimed(job, clip, fps):
            yield fit(image, panel.height, panel.width)
        return
    num_frames = retimed_length(clip.duration, fps)
    pose = retime_pose(fit_box(inputs.pose), np.array(clip.times), fps, num_frames)
    for k in range(num_frames):
        one = pose.map(lambda points, k=k: points[k : k + 1])
        yield fit(draw_pose(one, panel.height, panel.width)[0], panel.height, panel.width)


def _retimed(job: Job, clip: VideoInfo, fps: float) -> Iterator[np.ndarray]:
    return retime(read_frames(job.driving, job.start, job.duration), fps, clip.duration)


def _drivers(job: Job, inputs: Inputs, lead: int, fps: float) -> Iterator[np.ndarray]:
    """The driver's picture beside each frame written; black during the lead-in."""
    if job.rate == "native":
        images = _retimed(job, inputs.clip, fps)
    else:
        images = (frame.image for frame in read_frames(job.driving, job.start, job.duration))
    black = np.zeros((inputs.clip.height, inputs.clip.width, 3), np.uint8)
    return chain((black for _ in range(lead)), images)


def _beside(
    reference: Tensor, drivers: Iterator[np.ndarray], results: Iterator[Tensor]
) -> Iterator[Tensor]:
    """reference | driver | result, each of the reference's size (h, w, 3)."""
    height, width = reference.shape[:2]
    for driver, result in zip(drivers, results, strict=False):
        yield torch.cat([reference, fit(driver, height, width), result], dim=1)


def _held(frames: Iterator[Tensor], indices: Sequence[int]) -> Iterator[Tensor]:
    """frames[i] for each i of indices, which never fall; one frame is held at a time."""
    position, frame = -1, None
    for index in indices:
        while position < index:
            position, frame = position + 1, next(frames)
        yield frame


def _crop(frame: Tensor, box: Box) -> Tensor:
    return frame[box.top : box.top + box.height, box.left : box.left + box.width]
