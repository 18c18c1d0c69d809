"""One cross-identity pair from footage (paper section 3.4), as the one function of one item.

    clip V_src --keypoints, behind its first second--> pose-based model on picture I_o --> V_o
    pair: driving = V_o, reference = V_src[0], target = V_src, lead_in = that second

The model sees the motion of what follows the clip's first second, a pass of it, so V_o begins a
lead-in behind its target, as in training the driver does; its own lead-in is cut off.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np

from ..caption.captioner import CachedCaptioner, Captioner
from ..caption.choice import CaptionerChoice
from ..caption.describe import BUDGET, Typed, describe
from ..caption.sample import MotionSample, sample_by_motion, within_budget
from ..footage.works import write_strip
from ..geometry import OVERLAP, Geometry
from ..items import LeftOut
from ..items.work import Data
from ..jobs.job import Job
from ..jobs.run import animate_file
from ..media import probe, read_frames, read_image, retime, to_uint8
from ..models import Animator, find
from ..models.loras import choose_loras
from .judge import judge
from .learned import chance_of_good, pair_figures
from .make import PairMaker
from .mllm import rate
from .puppet_pairs import work_data

PAIRS, STRIPS_FOLDER, ANSWERS_FOLDER = "pairs", "looks", "answers"  # folders of a job
JUDGED_SIDE = 192  # pixels: the longer side of the frames that the judge compares
VARIANT = "pose-based"


@dataclass(frozen=True)
class MakePair(PairMaker):
    """data: name, target, pose, picture (paths), motion and caption (texts), seed."""

    passes: int = 1  # of the model a video may take; more drift
    size: int | None = None  # as of jobs.Job
    captioner: CaptionerChoice | None = None
    rated: bool = False  # by the captioner, see mllm.py

    def open(self) -> Callable[[Data], Data]:
        source = find(self.base, self.files)
        wanted = choose_loras(source, VARIANT, [(path, 1.0) for path in self.loras])
        animator = source.open(self.placement).wearing(wanted)
        captioner = None
        if self.captioner is not None:
            captioner = CachedCaptioner(self.captioner(), self.out / ANSWERS_FOLDER)
        for folder in (PAIRS, STRIPS_FOLDER):
            (self.out / folder).mkdir(parents=True, exist_ok=True)
        return lambda data: self._make(animator, captioner, data)

    def _make(self, animator: Animator, captioner: CachedCaptioner | None, data: Data) -> Data:
        target, picture = Path(data["target"]), Path(data["picture"])
        lead, start, seconds = self._span(animator, target)
        made = self.out / PAIRS / f"{data['name']}.mp4"
        prompt = _prompt(captioner, data, target, picture, (start, seconds))
        job = Job(
            reference=picture,
            driving=target,
            output=made,
            variant=VARIANT,
            keypoints=Path(data["pose"]),
            prompt=prompt,
            settings=replace(self.settings, seed=data["seed"]),
            size=self.size,
            start=start,
            duration=seconds,
            rate="native",
            overwrite=True,
        )
        animate_file(animator, job)
        fps = animator.geometry.fps
        pixels = to_uint8(read_image(picture))
        shown = _frames(target, fps, start, seconds), _frames(made, fps), _small(pixels)
        verdict = judge(*shown)
        rated = {}
        if self.rated and captioner is not None:
            driver = probe(target).cut(start, seconds)
            rated = rate(captioner, made, driver, _shown(pixels))
        looks = self.out / STRIPS_FOLDER
        write_strip(target, looks / f"{data['name']}-source.jpg", start, seconds)
        write_strip(made, looks / f"{data['name']}-made.jpg")
        return {
            "lead_in": lead,
            "prompt": prompt,
            "verdict": verdict._asdict(),
            "rated": rated,
            "chance_of_good": chance_of_good(pair_figures(*shown, fps)),
            "frames": probe(made).num_frames,
        }

    def _span(self, animator: Animator, target: Path) -> tuple[int, float, float]:
        """The lead-in in frames, and the part of the clip that drives, in seconds.

        Raises LeftOut for a clip that ends too early for a latent behind its lead-in.
        """
        geometry = animator.geometry
        lead = geometry.lead_frames(animator.lead_in_seconds)
        start, seconds = (
            lead / geometry.fps,
            most_frames(geometry, lead, self.passes) / geometry.fps,
        )
        left = probe(target).duration - start
        if left < geometry.temporal_stride / geometry.fps:
            raise LeftOut(f"too short: {left + start:.2f} s, its first {start:.2f} are the lead-in")
        return lead, start, min(seconds, left)


def most_frames(geometry: Geometry, lead: int, passes: int) -> int:
    """Driving frames of so many passes, the first behind a lead-in."""
    later = geometry.capacity(1 + OVERLAP) if passes > 1 else 0
    return geometry.capacity(lead) + (passes - 1) * later


def _prompt(
    captioner: Captioner | None, data: Data, target: Path, picture: Path, part: tuple[float, float]
) -> str:
    """What the picture's character does: asked for, or of the texts there are.

    A text beside the picture (fox.txt) tells its looks; the clip's own caption tells another's.
    """
    beside = picture.with_suffix(".txt")
    looks = beside.read_text(encoding="utf-8").strip() if beside.is_file() else ""
    typed = Typed(data["motion"], looks)

    def reference() -> np.ndarray:
        return _shown(to_uint8(read_image(picture)))

    def motion() -> MotionSample:
        return sample_by_motion(lambda: read_frames(target, *part), BUDGET)

    if captioner is None and not (typed.motion and looks):
        return typed.motion
    return describe(captioner, reference, motion, typed=typed).text


def _shown(image: np.ndarray) -> np.ndarray:
    """A picture (1, h, w, 3) or (h, w, 3) uint8, no larger than a captioner's budget."""
    return within_budget(image.reshape(image.shape[-3:]), BUDGET)


def _frames(path: Path, fps: float, start: float = 0.0, seconds: float | None = None) -> np.ndarray:
    """(t, h, w, 3) in [0, 1] at a rate, small."""
    info = probe(path).cut(start, seconds)
    frames = retime(read_frames(path, start, seconds), fps, info.duration)
    return np.stack([_small(frame) for frame in frames])


def _small(image: np.ndarray) -> np.ndarray:
    """(h, w, 3) uint8 -> float32 in [0, 1]."""
    pixels = image.reshape(image.shape[-3:])
    scale = min(1.0, JUDGED_SIDE / max(pixels.shape[:2]))
    small = cv2.resize(pixels, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    return small.astype(np.float32) / 255


def depends_on(work: MakePair) -> Data:
    """What a pair depends on beside its item: when it changes, pairs are made again."""
    return {
        **work_data(work),
        "files": [str(path) for path in (*work.files.transformers, *work.files.text_encoders)],
        "storage": work.placement.storage,
        "passes": work.passes,
        "size": work.size,
        "captioner": work.captioner.called if work.captioner else "",
        "rated": work.rated,
    }
