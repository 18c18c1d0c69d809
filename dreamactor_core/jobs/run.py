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
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import NamedTuple

import av
import diffusers
import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ..animate import animate, count_passes
from ..backbones import Backbone
from ..backbones.placement import Estimate, Placement
from ..composite import lead_in_frames
from ..errors import InputError
from ..lora.adapters import VARIANTS, load_lora, lora_strengths, read_lora_info
from ..media import (
    Box,
    Footage,
    VideoInfo,
    check_writable,
    fit,
    hold_indices,
    retime,
    retimed_length,
    write_video,
)
from ..models import loading, wan_animate
from ..models.wan_animate import WanAnimate, kind_of
from ..pose.keypoints import Pose
from ..sampling import SampleSettings, Step
from ..weight_files.parts import Files
from .inputs import (
    POSE_FITS,
    Inputs,
    Panel,
    driving_frames,
    face_frames,
    open_inputs,
    panel_of,
    skeleton_frames,
)

RATES = ("driver", "native")


@dataclass(frozen=True)
class Job:
    """One video to make."""

    reference: Path | Tensor  # a file, or a picture (1, h, w, 3) in [0, 1]
    driving: Path | Footage
    output: Path  # .mp4
    variant: str = "end-to-end"  # or "pose-based"
    keypoints: Path | Pose | None = None  # of every frame of driving; for pose-based
    pose_fit: str = "box"  # as in training; "none": where the driver's camera saw it
    prompt: str = ""
    settings: SampleSettings = field(default_factory=SampleSettings)
    size: int | None = None  # pixels: a panel of this area and the reference's aspect; see panel_of
    start: float = 0.0  # seconds into the driving clip
    duration: float | None = None  # seconds; None: to its end
    lead_in_seconds: float = 1.0  # as the LoRA was trained
    keep_lead_in: bool = False
    side_by_side: bool = False  # reference | driver | result
    rate: str = "driver"  # or "native": the model's own frames at its own rate
    overwrite: bool = False

    def __post_init__(self):
        for name, accepted in (("variant", VARIANTS), ("rate", RATES), ("pose_fit", POSE_FITS)):
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
                fix="Make them with `python -m dreamactor_core pose` and pass them with --pose, or "
                "use the end-to-end variant, which needs none.",
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

    Raises InputError for an output that cannot be written, and as open_inputs does.
    """
    check_writable(job.output, job.overwrite)
    for source in (job.reference, job.driving):
        if not isinstance(source, Path):
            continue
        if job.output.exists() and source.exists() and job.output.samefile(source):
            raise InputError(
                str(job.output),
                got="the same file as an input",
                need="another name",
                fix="Choose a new name for the output.",
            )
    return open_inputs(job.reference, job.driving, job.keypoints, job.start, job.duration)


def check_job(job: Job, model: Backbone | WanAnimate | str | Path) -> None:
    """Raise InputError for what Wan-Animate, or the folder of one, cannot do."""
    kind = kind_of(model) if isinstance(model, str | Path) else getattr(model, "kind", None)
    if kind is None:  # a backbone can do all of it
        return
    if job.variant != kind.variant:
        got, need = "keypoints", "none: it looks at the driving video itself"
        fix = "Leave the keypoints and --variant pose-based away."
        if kind.variant == "pose-based":
            got, need = "no keypoints", "the driver's: it reads a drawn skeleton and the face"
            fix = "Wire keypoints into the node, or pass --variant pose-based --pose FILE, which "
            fix += "`python -m dreamactor_core pose` makes."
        raise InputError(f"model {kind.name}", got=got, need=need, fix=fix)
    settings = job.settings
    for what, got, need in (
        ("lead-in", "one to keep" if job.keep_lead_in else "none", "none"),
        ("motion guidance", settings.driving_guidance_scale, 1.0),
        ("shift", settings.shift, 1.0),
        ("sampler", settings.sampler, "euler"),
        ("text guidance", settings.guidance_scale, max(1.0, settings.guidance_scale)),
    ):
        if got != need:
            raise InputError(
                f"{what} of {kind.name}",
                got=got,
                need=f"{need}, the default",
                fix="It knows text guidance above 1 alone, and samples by its own schedule.",
            )


def preflight(
    model: str | Path,
    placement: Placement,
    inputs: Inputs,
    size: int | None,
    files: Files | None = None,
) -> Estimate | None:
    """What a full-size model would take, before it is loaded; None for a small one.

    files: as for loading.load_pipeline. Raises InputError when it will not fit, and for files that
    are no model.
    """
    shape = inputs.reference.shape[1:3]
    if kind := kind_of(model):
        size = kind.geometry.panel[0] if size is None else size
        panel = panel_of(*shape, size, kind.geometry)
        num_frames = retimed_length(inputs.clip.duration, kind.geometry.fps)
        return wan_animate.preflight(model, kind, placement, panel[:2], num_frames)
    if not loading.is_pipeline(model):
        return None
    return loading.preflight(
        model, placement, lambda geometry: panel_of(*shape, size, geometry)[:2], files
    )


def load_model(
    model: str | Path,
    variant: str,
    loras: Sequence[tuple[Path, float]],
    placement: Placement | None = None,
    files: Files | None = None,
) -> tuple[Backbone | WanAnimate, float]:
    """A model with its LoRAs, (file, strength) each, and the lead-in seconds they ask for.

    placement None: on the CPU in float32. files are those of loading.load_pipeline. Raises
    InputError, if it can before the model is loaded, for files that do not fit.
    """
    if loras and (kind := kind_of(model)):
        raise wan_animate.no_lora(kind.name)
    infos = [read_lora_info(path) for path, _ in loras]
    for (path, _), info in zip(loras, infos, strict=True):
        for what, got, need in (
            ("variant", info.variant, variant),
            ("lead-in seconds", info.lead_in_seconds, infos[0].lead_in_seconds),
        ):
            if got != need:
                fix = "Choose a LoRA of this variant, or the variant of this LoRA."
                raise InputError(f"{what} of {path}", got=repr(got), need=repr(need), fix=fix)
    placement = placement or Placement(dtype=torch.float32)
    backbone = loading.load_model(model, placement, files)
    for path, strength in loras:
        load_lora(backbone, path, strength)
    return backbone, infos[0].lead_in_seconds if infos else 1.0


def passes_of(model: Backbone | WanAnimate, inputs: Inputs, lead_in_seconds: float) -> int:
    """How many passes, or segments, the part of the driving video takes."""
    num_frames = retimed_length(inputs.clip.duration, model.geometry.fps)
    if isinstance(model, WanAnimate):
        return model.count_passes(num_frames)
    return count_passes(model, num_frames, lead_in_seconds)


def animate_file(
    model: Backbone | WanAnimate,
    job: Job,
    *,
    on_step: Callable[[Step], None] | None = None,
    on_frames: Callable[[int], None] | None = None,
) -> Report:
    """Do a job. on_step and on_frames are those of animate(); what they raise leaves no file.

    Wan-Animate gives all frames at once, so on_frames is not heard of there.

    Raises InputError as read_inputs and check_job do, and when the size does not fit the model.
    """
    began = time.perf_counter()
    check_job(job, model)
    inputs, fps = read_inputs(job), model.geometry.fps
    piped = isinstance(model, WanAnimate)
    size = model.geometry.panel[0] if piped and job.size is None else job.size
    panel = panel_of(*inputs.reference.shape[1:3], size, model.geometry)
    reference = fit(inputs.reference[0], panel.height, panel.width)
    if piped:
        chunks = _by_pipeline(model, job, inputs, reference[None], panel, on_step)
    else:
        chunks = animate(
            model,
            reference[None],
            driving_frames(inputs, panel, fps, job.pose_fit),
            job.prompt,
            job.settings,
            lead_in_seconds=job.lead_in_seconds,
            keep_lead_in=job.keep_lead_in,
            on_step=on_step,
            on_frames=on_frames,
        )
    lead = 0
    if job.keep_lead_in:
        lead = lead_in_frames(fps, job.lead_in_seconds, model.geometry.temporal_stride)
    timeline = timeline_of(inputs.clip, fps, lead, job.rate)
    drawn = (_crop(frame, panel.box) for chunk in chunks for frame in chunk)
    pictures = _held(drawn, timeline.indices)
    if job.side_by_side:
        drivers = _drivers(inputs, lead, fps if job.rate == "native" else None)
        pictures = _beside(_crop(reference, panel.box), drivers, pictures)
    write_video(
        job.output,
        pictures,
        timeline.times,
        duration=timeline.duration,
        audio_from=job.driving.sound if isinstance(job.driving, Footage) else job.driving,
        audio_start=job.start - lead / fps,
        overwrite=job.overwrite,
    )
    return Report(
        output=str(job.output),
        reference=str(job.reference) if isinstance(job.reference, Path) else "a picture",
        driving=str(job.driving),
        variant=job.variant,
        prompt=job.prompt,
        model=model.name,
        loras=lora_strengths(model),
        settings=job.settings,
        panel=(panel.height, panel.width),
        frames=len(timeline.times),
        duration=timeline.duration,
        passes=passes_of(model, inputs, job.lead_in_seconds),
        seconds=round(time.perf_counter() - began, 3),
        versions={
            "python": platform.python_version(),
            "torch": torch.__version__,
            "diffusers": diffusers.__version__,
            "av": av.__version__,
        },
    )


def timeline_of(clip: VideoInfo, fps: float, lead: int, rate: str) -> Timeline:
    """When to show which model frame: at the driver's own frames, or at the model's rate."""
    num_frames = retimed_length(clip.duration, fps)
    if rate == "native":
        indices = list(range(lead + num_frames))
        return Timeline([k / fps for k in indices], indices, len(indices) / fps)
    held = lead + hold_indices(clip.times, fps, num_frames)
    times = [*(k / fps for k in range(lead)), *(lead / fps + t for t in clip.times)]
    return Timeline(times, [*range(lead), *held.tolist()], lead / fps + clip.duration)


def _by_pipeline(
    model: WanAnimate,
    job: Job,
    inputs: Inputs,
    reference: Tensor,
    panel: Panel,
    on_step: Callable[[Step], None] | None,
) -> Iterator[Tensor]:
    """All frames (t, h, w, 3) at once; nothing is done before they are asked for."""
    fps, faces = model.geometry.fps, None
    if inputs.pose is None:
        driving = driving_frames(inputs, panel, fps)
    else:
        driving = skeleton_frames(inputs, panel, fps)
        faces = map(Image.fromarray, face_frames(inputs, model.face_size, fps))
    yield model(reference, driving, faces, job.prompt, job.settings, on_step)


def _drivers(inputs: Inputs, lead: int, fps: float | None) -> Iterator[np.ndarray]:
    """The driver's picture beside each frame written, at its own times or at fps; black during
    the lead-in.
    """
    if fps is None:
        images = (frame.image for frame in inputs.frames())
    else:
        images = retime(inputs.frames(), fps, inputs.clip.duration)
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
