"""What the filters of bootstrapped pairs keep and drop wrongly, on puppets whose truth is known.

    python benchmarks/pair_filter.py [--cases 8] [--fit]

A video of a puppet is good where its true errors are those that one must look for: colours off by
at most 0.06 of 1.73, joints by at most 0.03 heights, a tenth of the edges missing, hardly any leak,
flicker or drift (GOOD below). Videos are damaged in four grades, alone and in company
(bench/aw/damage.py). Prints how many each filter keeps wrongly and drops wrongly, on the half of
the cases that the learned one has not seen:

    measures   judge.py, a mean above 3.5 and none far below: what `bootstrap` does
    learned    learned.py, above 0.5: `bootstrap --filter learned`

With --fit the learned one is fitted to the other half, and dreamactor_core/bootstrap/filter_v1.json
is written anew. A judge (`bootstrap --rated`) is not in the table: it needs a model.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from dreamactor_core.bench.aw.damage import PuppetTruth
from dreamactor_core.bench.aw.validate import damages_of, true_errors
from dreamactor_core.bootstrap.judge import Verdict
from dreamactor_core.bootstrap.learned import (
    FILTER_FILE,
    LIKELY_GOOD,
    chance_of_good,
    learned_filter,
    pair_figures,
)
from dreamactor_core.puppets.world import FPS

GOOD = {  # true errors at most
    "colours": 0.06,
    "pck": 0.03,
    "sharpness": 0.1,
    "leak": 0.05,
    "flicker": 0.02,
    "drift": 0.01,
    "bone_error": 0.15,
}
FIRST = 100  # seed
STEPS, RATE, RIDGE = 4000, 0.5, 0.01  # of the fit


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--cases", type=int, default=8, help="puppets of the test split (8)")
    parser.add_argument("--fit", action="store_true", help="write the learned filter anew")
    args = parser.parse_args()
    told, good = [], []
    for seed in range(args.cases):
        figures, truths = _of_case(FIRST + seed)
        told.append(figures)
        good.append(truths)
    if args.fit:
        _fit([f for case in told[::2] for f in case], np.concatenate(good[::2]), args.cases)
        learned_filter.cache_clear()
    unseen = [f for case in told[1::2] for f in case]
    alone = [
        next(iter(shares), "none") if len(shares) < 2 else "several"
        for seed in range(args.cases)[1::2]
        for shares in damages_of(FIRST + seed)
    ]
    truth = np.concatenate(good[1::2])
    print(f"{len(truth)} videos, {truth.sum()} of them good\n")
    print("| filter | kept | wrongly | dropped wrongly | kept wrongly, by damage |")
    print("|---|---|---|---|---|")
    fields = Verdict._fields
    for name, kept in (
        ("measures", [Verdict(*(f[key] for key in fields)).kept() for f in unseen]),
        ("learned", [chance_of_good(f) > LIKELY_GOOD for f in unseen]),
    ):
        keeps = np.array(kept)
        false_keeps, false_drops = (keeps & ~truth).sum(), (~keeps & truth).sum()
        what = Counter(one for one, wrong in zip(alone, keeps & ~truth, strict=True) if wrong)
        row = ", ".join(f"{count} {one}" for one, count in what.most_common())
        print(f"| {name} | {keeps.sum()} | {false_keeps} | {false_drops} | {row} |")


def _of_case(seed: int) -> tuple[list[dict[str, float]], np.ndarray]:
    """Figures of each video, and whether it is good."""
    puppets = PuppetTruth(seed)
    driving = puppets.driving.astype(np.float32) / 255
    picture = puppets.reference.astype(np.float32) / 255
    figures, good = [], []
    for shares in damages_of(seed):
        damaged = puppets.damaged(shares)
        frames = damaged.frames.astype(np.float32) / 255
        figures.append(pair_figures(driving, frames, picture, FPS))
        errors = true_errors(puppets, damaged, shares)
        good.append(all(errors[name] <= most for name, most in GOOD.items()))
    return figures, np.array(good)


def _fit(figures: list[dict[str, float]], good: np.ndarray, cases: int) -> None:
    """Logistic regression by gradient descent; good and bad weigh alike in all."""
    names = list(figures[0])
    values = np.array([[each[name] for name in names] for each in figures])
    mean, deviation = values.mean(axis=0), values.std(axis=0) + 1e-6
    x = (values - mean) / deviation
    share = np.where(good, 0.5 / good.mean(), 0.5 / (1 - good.mean())) / len(good)
    weights, constant = np.zeros(len(names)), 0.0
    for _ in range(STEPS):
        wrong = share * (1 / (1 + np.exp(-(x @ weights + constant))) - good)
        weights -= RATE * (x.T @ wrong + RIDGE * weights)
        constant -= RATE * wrong.sum()
    rows = zip(names, mean, deviation, weights, strict=True)
    data = {
        "source": f"benchmarks/pair_filter.py --cases {cases} --fit",
        "features": {name: [round(float(v), 5) for v in row] for name, *row in rows},
        "constant": round(constant, 5),
    }
    FILTER_FILE.write_text(json.dumps(data, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
