"""What the bench says: figures of every group, error bars over seeds, and a picture."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from statistics import fmean, stdev

import cv2
import numpy as np

from ..options import GROUPS
from .cases import APART
from .metrics import Share

PICTURED = ("driver", "end-to-end", "pose-based", "truth")  # in pictures, behind the reference
SHEET_TIMES = (1, 6, 11, 15)
LOOP_CASES = 4
GAP = 6  # pixels

Figures = dict[str, dict[str, float]]  # {row: {figure: mean, or deviation}}


@dataclass(frozen=True)
class Scored:
    """One case."""

    seed: int
    groups: tuple[str, ...]
    figures: dict[str, dict[str, float | Share]]  # {row: {figure: value}}


@dataclass(frozen=True)
class Result:
    text: str  # what the network read: "true", "none" or "other"
    group: str | None  # the only one that was drawn, if one was asked for
    scored: list[Scored] = field(default_factory=list)
    # Of some cases: videos (t, h, w, 3) uint8, by name.
    shown: list[dict[str, np.ndarray]] = field(default_factory=list)

    def table(self) -> dict:
        """{"variants": {row: {figure: mean}}, "cases": n, "groups": {group: the same of it}, ...}.

        variants are over the cases that are in none of APART, whatever else was scored.
        With several seeds, means are over the seeds' own figures, and "deviations" beside
        "variants" holds their sample standard deviations. Groups without a case are left out.
        """
        seeds = _seeds(self.scored)
        members = {
            name: [case for case in self.scored if name in case.groups]
            for name in (*GROUPS, *APART)
        }
        return {
            **_summary([case for case in self.scored if not set(APART) & set(case.groups)]),
            "seed": seeds[0],
            "seeds": seeds,
            "text": self.text,
            "group": self.group,
            "groups": {name: _summary(scored) for name, scored in members.items() if scored},
        }

    def lines(self) -> list[str]:
        """The table for a terminal, a block for each group; mean ± deviation if there are seeds."""
        table, lines = self.table(), []
        for name, part in ({self.group or "all": table} | table["groups"]).items():
            figures = part["variants"]["still-reference"]
            lines += ["", f"{name}, cases: {part['cases']}"]
            lines += [" " * 16 + "".join(f"{figure:>16}" for figure in figures)]
            for row, means in part["variants"].items():
                spread = part.get("deviations", {}).get(row, {})
                cells = in_words(means, spread).values()
                lines.append(f"{row:16}" + "".join(f"{cell:>16}" for cell in cells))
        return lines[1:]

    def sheet(self) -> np.ndarray:
        """uint8 picture: one case a row; reference, then driver, end-to-end, pose-based, truth."""
        return _case_rows(self.shown, sheet_times(len(self.shown[0]["truth"])))

    def loop(self) -> list[np.ndarray]:
        """uint8 pictures to be played at the model's rate: the first cases of the sheet, moving."""
        some = self.shown[:LOOP_CASES]
        return [_case_rows(some, (time,)) for time in range(len(some[0]["truth"]))]


def in_words(means: dict[str, float], deviations: dict[str, float]) -> dict[str, str]:
    """The figures of a row; mean ± deviation if there are deviations."""
    return {
        figure: f"{mean:.3f}" + (f" ± {deviations[figure]:.3f}" if deviations else "")
        for figure, mean in means.items()
    }


def join(results: Sequence[Result]) -> Result:
    """Results of several seeds as one; the sheet is that of the first."""
    return replace(results[0], scored=[case for result in results for case in result.scored])


def _seeds(scored: list[Scored]) -> list[int]:
    return list(dict.fromkeys(case.seed for case in scored))


def _summary(scored: list[Scored]) -> dict:
    by_seed = [_means([c for c in scored if c.seed == seed]) for seed in _seeds(scored)]
    summary = {"variants": _over_seeds(by_seed, fmean), "cases": len(scored)}
    if len(by_seed) > 1:
        summary["deviations"] = _over_seeds(by_seed, stdev)
    return summary


def _over_seeds(by_seed: list[Figures], figure_of: Callable[[list[float]], float]) -> Figures:
    return {
        row: {name: figure_of([each[row][name] for each in by_seed]) for name in figures}
        for row, figures in by_seed[0].items()
    }


def _means(scored: list[Scored]) -> Figures:
    """Over cases."""
    return {
        row: {name: _mean([case.figures[row][name] for case in scored]) for name in figures}
        for row, figures in scored[0].figures.items()
    }


def _mean(values: Sequence[float | Share]) -> float:
    """Of shares, the sum of parts over the sum of wholes; 0 where there is no whole."""
    shares = [value for value in values if isinstance(value, Share)]
    if not shares:
        return fmean(value for value in values if not isinstance(value, Share))
    part, whole = (sum(numbers) for numbers in zip(*shares, strict=True))
    return part / whole if whole else 0.0


def sheet_times(frames: int) -> tuple[int, ...]:
    """Of a pass of so many frames; of a shorter one, spread alike."""
    last = min(frames - 1, SHEET_TIMES[-1])
    return tuple(time * last // SHEET_TIMES[-1] for time in SHEET_TIMES)


def _case_rows(cases: list[dict[str, np.ndarray]], times: tuple[int, ...]) -> np.ndarray:
    """A row for each case under a line of names: the reference, then each video at these times."""
    rows = []
    for shown in cases:
        parts = [
            shown["reference"],
            *(shown[name][list(times)] for name in PICTURED if name in shown),
        ]
        gap = np.full((parts[0].shape[1], GAP, 3), 255, np.uint8)
        rows.append(np.concatenate([x for part in parts for x in (gap, *part)][1:], axis=1))
    names = np.full((18, rows[0].shape[1], 3), 255, np.uint8)
    left, font = 4, cv2.FONT_HERSHEY_SIMPLEX
    for name in ("reference", *(name for name in PICTURED if name in cases[0])):
        cv2.putText(names, name, (left, 13), font, 0.42, (0, 0, 0), 1, cv2.LINE_AA)
        size = cases[0][name].shape[2]
        left += GAP + size * (1 if name == "reference" else len(times))
    return np.concatenate([names, *rows])
