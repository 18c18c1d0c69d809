"""Pieces of footage that are the same, though encoded, scaled or named otherwise.

Two with one background differ where somebody moves, so not the whole picture counts but the part in
which they differ most. Few pairs are compared so: only those whose pictures rise and fall alike.
"""

from __future__ import annotations

from collections.abc import Iterable

import cv2
import numpy as np

from .pieces import GLANCES, Piece, busiest, glances_of

RISE = 3  # levels, that noise and compression do not make
ONES = np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1).sum(axis=1)  # of a byte
SKETCH_BITS = (
    64 * GLANCES
)  # of a sketch: whether the picture rises from each cell of 9 x 8 to the next
LIKE_BITS = 0.15  # share of them that may differ before pieces are compared at all
LIKE_SECONDS = 0.1  # and share of the length


class Distinct:
    """Pieces so far, of which none is like another."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self.pieces: list[Piece] = []
        self._sketches = np.empty((256, SKETCH_BITS // 8), np.uint8)

    def like(self, piece: Piece, least: float) -> str:
        """The name of the first that differs from a piece by fewer than `least` levels, or ""."""
        bits = self._sketches[: len(self.names)] ^ _sketch(piece)
        near = np.flatnonzero(ONES[bits].sum(axis=1) <= LIKE_BITS * SKETCH_BITS)
        for k in near.tolist():
            if difference(piece, self.pieces[k]) < least:
                return self.names[k]
        return ""

    def add(self, name: str, piece: Piece) -> None:
        if len(self.names) == len(self._sketches):
            self._sketches = np.concatenate([self._sketches, np.empty_like(self._sketches)])
        self._sketches[len(self.names)] = _sketch(piece)
        self.names.append(name)
        self.pieces.append(piece)


def find_duplicates(pieces: Iterable[tuple[str, Piece]], least: float) -> dict[str, str]:
    """Name of each piece that is like an earlier one: the earlier one's name.

    least: levels, 0 to 255, by which pieces must differ; 0 keeps everything.
    """
    seen, twice = Distinct(), {}
    for name, piece in pieces:
        if earlier := seen.like(piece, least):
            twice[name] = earlier
        else:
            seen.add(name, piece)
    return twice


def difference(a: Piece, b: Piece) -> float:
    """Levels by which two pieces differ in the part in which they differ most, mean over time."""
    if abs(a.seconds - b.seconds) > LIKE_SECONDS * max(a.seconds, b.seconds):
        return 255.0
    return float(busiest(np.abs(glances_of(a).astype(float) - glances_of(b))).mean())


def _sketch(piece: Piece) -> np.ndarray:
    """(SKETCH_BITS / 8,) uint8."""
    small = [cv2.resize(g, (9, 8), interpolation=cv2.INTER_AREA) for g in glances_of(piece)]
    cells = np.stack(small).astype(int)
    return np.packbits(cells[:, :, 1:] >= cells[:, :, :-1] + RISE)
