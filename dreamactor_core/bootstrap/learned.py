"""The paper's filter without a judge: how likely is it that a made video has no fault?

A logistic regression on figures that need no second model: the three measures of judge.py and the
meters of AW Bench that look at pictures alone. It was fitted on damaged puppets, whose true errors
are known (benchmarks/pair_filter.py, which prints what it keeps and drops wrongly, and writes
filter_v1.json anew).
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ..bench.aw.meters.identity import drift
from ..bench.aw.meters.leak import driver_leak
from ..bench.aw.meters.picture import fine_detail, flicker
from ..bench.aw.meters.seen import Compared, Watched
from ..media import to_uint8
from .judge import judge

FILTER_FILE = Path(__file__).parent / "filter_v1.json"
LIKELY_GOOD = 0.5  # from which a video is kept


class Feature(NamedTuple):
    """One figure, and what it adds to the log odds."""

    mean: float
    deviation: float
    weight: float


@cache
def learned_filter() -> tuple[dict[str, Feature], float]:
    """By figure, and the constant."""
    data = json.loads(FILTER_FILE.read_text(encoding="utf-8"))
    return {name: Feature(*row) for name, row in data["features"].items()}, data["constant"]


def pair_figures(
    source: np.ndarray, made: np.ndarray, picture: np.ndarray, fps: float
) -> dict[str, float]:
    """source, made: (t, h, w, 3) in [0, 1], of one length, at a rate; picture: (h, w, 3)."""
    verdict = judge(source, made, picture)
    times = np.arange(len(made)) / fps
    driver, video = (Watched([to_uint8(f) for f in clip], times) for clip in (source, made))
    seen = Compared(to_uint8(picture), None, None, driver, video)
    figures = {
        **verdict._asdict(),
        "leak": driver_leak(seen),
        "flicker": flicker(seen),
        "drift": drift(seen),
        "sharpness": fine_detail(seen),
    }
    return {name: 0.0 if value is None else float(value) for name, value in figures.items()}


def chance_of_good(figures: dict[str, float]) -> float:
    """0..1"""
    features, odds = learned_filter()
    for name, (mean, deviation, weight) in features.items():
        odds += weight * (figures[name] - mean) / deviation
    return float(1 / (1 + np.exp(-np.clip(odds, -60, 60))))
