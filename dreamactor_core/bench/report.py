"""What the bench says: figures of every group, error bars over seeds, and a picture."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from statistics import fmean, stdev

import cv2
import numpy as np

from .cases import BODIES, GROUPS
from .metrics import Share

SHOWN = ("driver", "end-to-end", "pose-based", "truth")  # on the sheet, behind the reference

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
    shown: list[dict[str, np.ndarray]] = field(default_factory=list)  # frames, by name

    def table(self) -> dict:
        """{"variants": {row: {figure: mean}}, "cases": n, "groups": {group: the same of it}, ...}.

        variants are over the puppets, so that they do not depend on whether bodies were scored.
        With several seeds, means are over the seeds' own figures, and "deviations" beside
        "variants" holds their sample standard deviations. Groups without a case are left out.
        """
        seeds = _seeds(self.scored)
        members = {
            name: [case for case in self.scored if name in case.groups]
            for name in (*GROUPS, BODIES)
        }
        return {
            **_summary([case for case in self.scored if BODIES not in case.groups]),
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
                cells = (
                    f"{mean:.3f}" + (f" ± {spread[figure]:.3f}" if spread else "")
                    for figure, mean in means.items()
                )
                lines.append(f"{row:16}" + "".join(f"{cell:>16}" for cell in cells))
        return lines[1:]

    def sheet(self) -> np.ndarray:
        """uint8 picture: one case a row; reference, then driver, end-to-end, pose-based, truth."""
        rows = []
        for shown in self.shown:
            strips = [shown["reference"]]
            for name in SHOWN:
                if name in shown:
                    strips += [np.full((*shown[name].shape[1:2], 6, 3), 1.0), *shown[name]]
            rows.append(np.concatenate(strips, axis=1))
        picture = (np.concatenate(rows) * 255).round().astype(np.uint8)
        return np.concatenate([_header(self.shown[0], picture.shape[1]), picture])


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


def _mean(values: list[float] | list[Share]) -> float:
    """Of shares, the sum of parts over the sum of wholes; 0 where there is no whole."""
    if not isinstance(values[0], Share):
        return fmean(values)
    part, whole = (sum(numbers) for numbers in zip(*values, strict=True))
    return part / whole if whole else 0.0


def _header(shown: dict[str, np.ndarray], width: int) -> np.ndarray:
    picture = np.full((18, width, 3), 255, np.uint8)
    x = 0
    for name in ("reference", *SHOWN):
        if name not in shown:
            continue
        cv2.putText(
            picture, name, (x + 4, 13), cv2.FONT_HERSHEY_SIMPLEX, 0.42, (0, 0, 0), 1, cv2.LINE_AA
        )
        frames = shown[name]
        x += 6 + (frames.shape[1] if frames.ndim == 3 else frames.shape[0] * frames.shape[2])
    return picture
