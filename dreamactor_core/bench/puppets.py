"""The benchmark with ground truth: the method, naive answers and the autoencoder's floor.

Rigged bodies, and whatever comes with guides, are read and drawn as a user's would be (jobs/): a
figure whose joints and outline are known is cut out. The row "foundation" is the network's always.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path

import numpy as np
import torch

from ..animate import animate_pass
from ..backbones import Backbone
from ..errors import InputError
from ..jobs.job import Job
from ..jobs.run import inputs_of, make_ready
from ..lora.adapters import lora_strengths, set_lora_strengths
from ..media import Footage
from ..models import Animator
from ..models.in_context import InContext, told
from ..options import BENCH_TEXTS, VARIANTS
from ..sampling import SampleSettings
from . import metrics
from .cases import BODIES, Case, Draw, case_seeds, draw_puppets, make_case
from .report import Result, Scored

ROWS = ("end-to-end", "pose-based", "foundation", "still-reference", "driver", "vae-floor")
SHOWN_CASES = 10  # of each kind


@dataclass(frozen=True)
class Selection:
    """Which cases are drawn, and how large."""

    group: str | None = None  # of this one only
    apart: Mapping[str, Draw] = field(default_factory=dict)  # {one of cases.APART: so many more}
    size: int | None = None  # side of the panel in pixels; None: the model's own
    guided: bool = False  # whether the model is told each reference's joints and outline


EVERY = Selection()


def bench_puppets(
    backbone: Backbone,
    cases: int,
    seed: int,
    settings: SampleSettings,
    loras: Mapping[str, Sequence[str]],
    on_case: Callable[[int], None] | None = None,
    text: str = "true",
    selection: Selection = EVERY,
) -> Result:
    """Score every row on `cases` unseen triplets of a seed, see case_seeds.

    loras: {row: names of loaded LoRAs} for "end-to-end" and "pose-based", each at the strength that
    it has now; the row "foundation" is the network with every LoRA at 0, driven by RGB.
    text: what the network reads: the "true" caption, "none", or that of an "other" case.
    Raises InputError for a text or a size that there cannot be.
    """
    if text not in BENCH_TEXTS:
        need = " or ".join(map(repr, BENCH_TEXTS))
        raise InputError("text", got=repr(text), need=need, fix="Check the spelling.")
    rows = [row for row in ROWS if row not in VARIANTS or row in loras]
    geometry = backbone.geometry
    size, num_frames = selection.size or geometry.panel[0], geometry.num_frames
    geometry.check_panel(size, size)
    group = selection.group
    drawn: list[tuple[int, Draw, str | None]] = []
    drawn += [(each, draw_puppets, None) for each in case_seeds(seed, cases, num_frames, group)]
    for name, draw in selection.apart.items():
        drawn += [(each, draw, name) for each in case_seeds(seed, cases, num_frames)]
    bench = _Bench(backbone, settings, loras, selection.guided)
    result = Result(text, group)
    for index, (each, draw_it, apart) in enumerate(drawn):
        which = each, size, num_frames, draw_it, apart
        case = make_case(*which)
        if text != "true":
            case = replace(case, prompt=_other_prompt(case, *which) if text == "other" else "")
        made, figures = {}, {}
        for row in rows:
            began = time.perf_counter()
            made[row] = bench.make(row, case)
            figures[row] = score(made[row], case, time.perf_counter() - began)
        result.scored.append(Scored(seed, case.groups, figures))
        if index % cases < SHOWN_CASES:
            result.shown.append(_shown(case, {row: made[row] for row in loras}))
        if on_case:
            on_case(index)
    bench.put_back()
    return result


def _shown(case: Case, made: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Videos (t, h, w, 3) uint8 of a case, by name."""
    videos = {"driver": case.driving.numpy(), "truth": case.truth, **made}
    shown = {"reference": case.reference.numpy(), **videos}
    return {name: (video * 255).round().astype(np.uint8) for name, video in shown.items()}


def _other_prompt(
    case: Case, seed: int, size: int, num_frames: int, draw: Draw, apart: str | None
) -> str:
    """The caption of the next case that is told in other words."""
    prompts = (make_case(other, size, num_frames, draw, apart).prompt for other in count(seed + 1))
    return next(prompt for prompt in prompts if prompt != case.prompt)


class _Bench:
    """What makes the videos of every row, and the strengths that its LoRAs came with."""

    def __init__(
        self,
        backbone: Backbone,
        settings: SampleSettings,
        loras: Mapping[str, Sequence[str]],
        guided: bool,
    ):
        self.backbone, self.settings, self.loras = backbone, settings, loras
        self.guided = guided
        self.strengths = lora_strengths(backbone) if loras else {}

    def make(self, row: str, case: Case) -> np.ndarray:
        """(t, h, w, 3) in [0, 1]."""
        backbone = self.backbone
        if row == "still-reference":
            return np.repeat(case.reference.numpy(), len(case.truth), axis=0)
        if row == "driver":
            return case.driving.numpy()
        if row == "vae-floor":
            clip = torch.cat([case.reference, torch.from_numpy(case.truth)])
            with torch.inference_mode():
                return backbone.decode_video(backbone.encode_video(clip))[1:].cpu().numpy()
        wanted = self.loras.get(row, ())
        self._set({name: one * (name in wanted) for name, one in self.strengths.items()})
        animator = InContext(backbone)
        if row in VARIANTS and animator.eye and (self.guided or BODIES in case.groups):
            return as_animated(animator, self._job(row, case))
        if self.guided:
            backbone = told(backbone, lambda: case.guides)
        driving = case.skeleton if row == "pose-based" else case.driving
        made = animate_pass(backbone, case.reference, driving, case.prompt, self.settings)
        return made.cpu().numpy()

    def _job(self, variant: str, case: Case) -> Job:
        """What a user would ask for, who has the case's files."""
        return Job(
            case.reference,
            Footage(case.driving, self.backbone.geometry.fps),
            Path("frames"),
            variant,
            case.keypoints if variant == "pose-based" else None,
            prompt=case.prompt,
            settings=self.settings,
            size=case.reference.shape[1],
            reference_keypoints=case.guides.pose() if self.guided else None,
            reference_mask=torch.from_numpy(case.guides.mask) if self.guided else None,
        )

    def put_back(self) -> None:
        """Every LoRA at the strength that it came with."""
        self._set(self.strengths)

    def _set(self, strengths: dict[str, float]) -> None:
        if strengths:
            set_lora_strengths(self.backbone, strengths)


def as_animated(animator: Animator, job: Job) -> np.ndarray:
    """Every frame (t, h, w, 3) in [0, 1] that `animate` would write, before it is encoded."""
    ready = make_ready(animator, job, inputs_of(job))
    views = ready.views()
    passes = ready.animator.frames(ready.fitted, ready.job)
    pictures = [picture for frames in passes for picture in views.of(frames)]
    return torch.stack(pictures).cpu().numpy()


def score(frames: np.ndarray, case: Case, seconds: float) -> dict[str, float | metrics.Share]:
    character = metrics.foreground(frames, case.scene)
    # Where both characters are, the driver itself shows nothing but its own colours.
    looked_at = character & case.mask & case.driving_mask
    return {
        "relative_error": metrics.relative_error(frames, case.truth, case.reference.numpy()),
        "psnr": metrics.psnr(frames, case.truth),
        "ssim": metrics.ssim(frames, case.truth),
        "silhouette_iou": metrics.iou(character, case.mask),
        "identity_error": metrics.identity_error(frames, case.truth, case.mask),
        "leak": metrics.leak(
            frames[looked_at],
            case.reference.numpy()[case.reference_mask],
            case.driving.numpy()[case.driving_mask],
        ),
        "seconds": seconds,
    }
