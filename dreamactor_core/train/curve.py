"""A training curve on disk: one CSV row a step, one PNG to look at."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import cv2
import numpy as np


class Curve:
    """Appends `step, loss, seconds` rows to a CSV file and draws them beside it.

    A run that resumes drops the rows behind its checkpoint when the same step comes again.
    """

    def __init__(self, path: Path):
        self.path = path
        self.rows: list[tuple[int, float, float]] = []
        if path.exists():
            with path.open(newline="") as file:
                self.rows = [
                    (int(r["step"]), float(r["loss"]), float(r["seconds"]))
                    for r in csv.DictReader(file)
                ]
        self.before = self.rows[-1][2] if self.rows else 0.0

    def add(self, step: int, loss: float, seconds: float) -> None:
        """seconds since this run began; the file counts all runs."""
        if self.rows and self.rows[-1][0] >= step:
            self.rows = [row for row in self.rows if row[0] < step]
        self.rows.append((step, loss, self.before + seconds))

    def draw(self, height: int = 300, width: int = 600) -> None:
        """Write the CSV, and a PNG of the loss, averaged over hundredths of the run, log scale."""
        temporary = self.path.with_suffix(".csv.tmp")  # a kill while writing must not spoil it
        with temporary.open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["step", "loss", "seconds"])
            writer.writerows((s, f"{loss:.6f}", f"{t:.1f}") for s, loss, t in self.rows)
        temporary.replace(self.path)
        losses = np.array([loss for _, loss, _ in self.rows])
        bins = np.array([part.mean() for part in np.array_split(losses, min(100, len(losses)))])
        y = np.log10(np.maximum(bins, 1e-8))
        low, high = y.min(), max(y.max(), y.min() + 1e-3)
        picture = np.full((height, width, 3), 255, np.uint8)
        x = np.linspace(50, width - 10, len(y))
        points = np.stack([x, 15 + (high - y) / (high - low) * (height - 45)], axis=-1)
        cv2.polylines(picture, [points.astype(np.int32)], False, (200, 80, 20), 2, cv2.LINE_AA)
        for value, row in ((high, 20), (low, height - 28)):
            cv2.putText(
                picture,
                f"{10**value:.3g}",
                (2, row),
                cv2.FONT_HERSHEY_SIMPLEX,
                0.35,
                (0, 0, 0),
                1,
                cv2.LINE_AA,
            )
        label = f"step {self.rows[-1][0]}, {self.rows[-1][2] / 60:.0f} min"
        cv2.putText(
            picture,
            label,
            (50, height - 6),
            cv2.FONT_HERSHEY_SIMPLEX,
            0.4,
            (0, 0, 0),
            1,
            cv2.LINE_AA,
        )
        cv2.imwrite(str(self.path.with_suffix(".png")), picture)


def append_line(path: Path, line: dict) -> None:
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")


def forget_after(path: Path, step: int) -> None:
    """Drop the lines of steps that will be done again."""
    if not path.exists():
        return
    kept = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            kept += [line] if json.loads(line)["step"] <= step else []
        except (ValueError, KeyError, TypeError):
            continue  # cut off by a kill
    temporary = path.with_suffix(".tmp")
    temporary.write_text("".join(f"{line}\n" for line in kept), encoding="utf-8")
    temporary.replace(path)
