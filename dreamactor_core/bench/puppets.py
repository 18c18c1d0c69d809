"""The benchmark with ground truth: the method, naive answers and the autoencoder's floor."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from itertools import count

import numpy as np
import torch

from ..animate import animate_pass
from ..backbones import Backbone
from ..errors import InputError
from ..lora.adapters import set_lora_strengths
from ..sampling import SampleSettings
from . import metrics
from .cases import Case, Draw, case_seeds, draw_puppets, make_case
from .report import Result, Scored

ROWS = ("end-to-end", "pose-based", "foundation", "still-reference", "driver", "vae-floor")
TEXTS = ("true", "none", "other")
SHOWN_CASES = 10  # of each kind


def bench_puppets(
    backbone: Backbone,
    cases: int,
    seed: int,
    settings: SampleSettings,
    loras: dict[str, str],
    on_case: Callable[[int], None] | None = None,
    text: str = "true",
    group: str | None = None,
    apart: dict[str, Draw] | None = None,
    size: int | None = None,
) -> Result:
    """Score every row on `cases` unseen triplets of a seed, see case_seeds.

    loras: {row: name of a loaded LoRA} for "end-to-end" and "pose-based"; the row "foundation"
    is the network with every LoRA at 0, driven by RGB.
    text: what the network reads: the "true" caption, "none", or that of an "other" case.
    group: draw cases of this one only. apart: {one of cases.APART: draws as many cases more}.
    size: side of the panel in pixels, by default the model's own. Raises InputError for a text or a
    size that there cannot be.
    """
    if text not in TEXTS:
        need = " or ".join(map(repr, TEXTS))
        raise InputError("text", got=repr(text), need=need, fix="Check the spelling.")
    rows = [row for row in ROWS if row not in ("end-to-end", "pose-based") or row in loras]
    size, num_frames = size or backbone.geometry.panel[0], backbone.geometry.num_frames
    backbone.geometry.check_panel(size, size)
    drawn = [(each, draw_puppets, None) for each in case_seeds(seed, cases, num_frames, group)]
    for name, draw in (apart or {}).items():
        drawn += [(each, draw, name) for each in case_seeds(seed, cases, num_frames)]
    result = Result(text, group)
    for index, (each, draw, name) in enumerate(drawn):
        which = each, size, num_frames, draw, name
        case = make_case(*which)
        if text != "true":
            case = replace(case, prompt=_other_prompt(case, *which) if text == "other" else "")
        made, figures = {}, {}
        for row in rows:
            began = time.perf_counter()
            made[row] = _make(backbone, row, case, settings, loras)
            figures[row] = score(made[row], case, time.perf_counter() - began)
        result.scored.append(Scored(seed, case.groups, figures))
        if index % cases < SHOWN_CASES:
            result.shown.append(_shown(case, {row: made[row] for row in loras}))
        if on_case:
            on_case(index)
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
            return backbone.decode_video(backbone.encode_video(clip))[1:].cpu().numpy()
    if loras:
        strengths = {name: float(name == loras.get(row)) for name in loras.values()}
        set_lora_strengths(backbone, strengths)
    driving = case.skeleton if row == "pose-based" else case.driving
    return animate_pass(backbone, case.reference, driving, case.prompt, settings).numpy()


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
