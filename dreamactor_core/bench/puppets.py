"""The benchmark with ground truth: unseen puppets doing unseen motions.

A case is a triplet of the test split. The reference picture and the driver go in; the truth is
the same motion performed by the reference's character, which only this world knows.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from itertools import count

import cv2
import numpy as np
import torch
from torch import Tensor

from ..animate import animate_pass
from ..backbones import Backbone
from ..errors import InputError
from ..lora import set_lora_strengths
from ..puppets.scene import LEAD_IN, Triplet, to_frames, triplet
from ..sampling import SampleSettings
from . import metrics

ROWS = ("end-to-end", "pose-based", "foundation", "still-reference", "driver", "vae-floor")
TEXTS = ("true", "none", "other")
SHEET_CASES, SHEET_TIMES = 10, (1, 6, 11, 15)  # what the contact sheet shows


@dataclass(frozen=True)
class Case:
    """Frames are float32 in [0, 1]; the videos start behind the lead-in."""

    reference: Tensor  # (1, h, w, 3)
    driving: Tensor  # (t, h, w, 3)
    skeleton: Tensor  # (t, h, w, 3) the driver's pose, its box stretched to the panel
    truth: np.ndarray  # (t, h, w, 3)
    scene: np.ndarray  # (t, h, w, 3) the truth without its characters
    mask: np.ndarray  # (t, h, w) bool, true foreground
    prompt: str


@dataclass
class Result:
    cases: int
    seed: int
    text: str  # one of TEXTS
    scores: dict[str, dict[str, list[float]]]
    shown: list[dict[str, np.ndarray]] = field(default_factory=list)

    def table(self) -> dict:
        """{"variants": {row: {figure: mean}}, "cases": N, "seed": S, "text": one of TEXTS}.

        relative_error is a ratio of sums over all cases, so that a case with little motion does
        not weigh more than it moves.
        """
        variants = {}
        still = np.sum(self.scores["still-reference"]["error"])
        for row, figures in self.scores.items():
            means = {
                name: float(np.mean(values)) for name, values in figures.items() if name != "error"
            }
            variants[row] = {"relative_error": float(np.sum(figures["error"]) / still), **means}
        return {
            "variants": variants,
            "cases": self.cases,
            "seed": self.seed,
            "text": self.text,
        }

    def sheet(self) -> np.ndarray:
        """uint8 picture: one case a row; reference, then driver, end-to-end, pose-based, truth."""
        rows = []
        for shown in self.shown:
            strips = [shown["reference"]]
            for name in ("driver", "end-to-end", "pose-based", "truth"):
                if name in shown:
                    strips += [np.full((*shown[name].shape[1:2], 6, 3), 1.0), *shown[name]]
            rows.append(np.concatenate(strips, axis=1))
        picture = (np.concatenate(rows) * 255).round().astype(np.uint8)
        return np.concatenate([_header(self.shown[0], picture.shape[1]), picture])


def make_case(seed: int, size: int, num_frames: int) -> Case:
    """Case of one seed; num_frames counts frame 0 and the lead-in."""
    clips: Triplet = triplet(seed, "test", num_frames, size)
    return Case(
        reference=to_frames(clips.truth.frames[:1]),
        driving=to_frames(clips.driver.frames[LEAD_IN:]),
        skeleton=to_frames(clips.driver.skeleton()),
        truth=to_frames(clips.truth.frames[LEAD_IN:]).numpy(),
        scene=to_frames(clips.truth.scene[LEAD_IN:]).numpy(),
        mask=clips.truth.mask[LEAD_IN:] > 127,
        prompt=clips.truth.caption,
    )


def bench_puppets(
    backbone: Backbone,
    cases: int,
    seed: int,
    settings: SampleSettings,
    loras: dict[str, str],
    on_case: Callable[[int], None] | None = None,
    text: str = "true",
) -> Result:
    """Score every row on `cases` unseen triplets.

    loras: {row: name of a loaded LoRA} for "end-to-end" and "pose-based"; the row "foundation"
    is the network with every LoRA at 0, driven by RGB. Case k is triplet(seed * 1000 + k).
    text: what the network reads: the "true" caption, "none", or that of an "other" case.
    """
    if text not in TEXTS:
        need = " or ".join(map(repr, TEXTS))
        raise InputError("text", got=repr(text), need=need, fix="Check the spelling.")
    names = ("error", "psnr", "ssim", "silhouette_iou", "identity_error", "seconds")
    scores = {
        row: {name: [] for name in names}
        for row in ROWS
        if row not in ("end-to-end", "pose-based") or row in loras
    }
    result = Result(cases, seed, text, scores)
    geometry = backbone.geometry
    for index in range(cases):
        which = seed * 1000 + index, geometry.panel[0], geometry.num_frames
        case = make_case(*which)
        if text != "true":
            prompt = _other_prompt(case, *which) if text == "other" else ""
            case = replace(case, prompt=prompt)
        made = {}
        for row in scores:
            began = time.perf_counter()
            made[row] = _make(backbone, row, case, settings, loras)
            seconds = time.perf_counter() - began
            for name, value in _score(made[row], case, seconds).items():
                scores[row][name].append(value)
        if index < SHEET_CASES:
            videos = {"driver": case.driving.numpy(), "truth": case.truth} | {
                r: made[r] for r in loras
            }
            shown = {name: video[list(SHEET_TIMES)] for name, video in videos.items()}
            result.shown.append(shown | {"reference": case.reference[0].numpy()})
        if on_case:
            on_case(index)
    return result


def _other_prompt(case: Case, seed: int, size: int, num_frames: int) -> str:
    """The caption of the next case that is told in other words."""
    prompts = (make_case(other, size, num_frames).prompt for other in count(seed + 1))
    return next(prompt for prompt in prompts if prompt != case.prompt)


def _make(
    backbone: Backbone, row: str, case: Case, settings: SampleSettings, loras: dict[str, str]
) -> np.ndarray:
    if row == "still-reference":
        return np.repeat(case.reference.numpy(), len(case.truth), axis=0)
    if row == "driver":
        return case.driving.numpy()
    if row == "vae-floor":
        clip = torch.cat([case.reference, torch.from_numpy(case.truth)])
        with torch.inference_mode():
            return backbone.decode_video(backbone.encode_video(clip))[1:].numpy()
    if loras:
        strengths = {name: float(name == loras.get(row)) for name in loras.values()}
        set_lora_strengths(backbone, strengths)
    driving = case.skeleton if row == "pose-based" else case.driving
    return animate_pass(backbone, case.reference, driving, case.prompt, settings).numpy()


def _score(frames: np.ndarray, case: Case, seconds: float) -> dict[str, float]:
    return {
        "error": metrics.absolute_error(frames, case.truth),
        "psnr": metrics.psnr(frames, case.truth),
        "ssim": metrics.ssim(frames, case.truth),
        "silhouette_iou": metrics.iou(metrics.foreground(frames, case.scene), case.mask),
        "identity_error": metrics.identity_error(frames, case.truth, case.mask),
        "seconds": seconds,
    }


def _header(shown: dict[str, np.ndarray], width: int) -> np.ndarray:
    picture = np.full((18, width, 3), 255, np.uint8)
    x = 0
    for name in ("reference", "driver", "end-to-end", "pose-based", "truth"):
        if name not in shown:
            continue
        cv2.putText(
            picture, name, (x + 4, 13), cv2.FONT_HERSHEY_SIMPLEX, 0.42, (0, 0, 0), 1, cv2.LINE_AA
        )
        frames = shown[name]
        x += 6 + (frames.shape[1] if frames.ndim == 3 else frames.shape[0] * frames.shape[2])
    return picture
