"""Flatbuffers, as far as a file of a network needs them: tables whose fields are found by number.

A table begins with the way back to the list of its fields; the list says where in the table each
field lies, 0 where it is left away. Only files whose checksum is known are read, so nothing here
guards against bad ones.
"""

from __future__ import annotations

import struct

import numpy as np


def root(data: bytes) -> Table:
    """The table that a file begins with."""
    return Table(data, struct.unpack_from("<I", data)[0])


class Table:
    """A table of a flatbuffer: its fields by their number, each of a default if left away."""

    def __init__(self, data: bytes, at: int):
        self.data, self.at = data, at
        self.fields = at - self._number("i", at)

    def number(self, field: int, kind: str = "i", default: int = 0) -> int:
        place = self._place(field)
        return self._number(kind, place) if place else default

    def table(self, field: int) -> Table | None:
        place = self._place(field)
        return Table(self.data, place + self._number("I", place)) if place else None

    def tables(self, field: int) -> list[Table]:
        starts, count = self._vector(field)
        places = range(starts, starts + 4 * count, 4)
        return [Table(self.data, place + self._number("I", place)) for place in places]

    def array(self, field: int, dtype: type = np.int32) -> np.ndarray:
        """Numbers; of a vector of bytes as many as they hold."""
        start, count = self._vector(field)
        return np.frombuffer(self.data, dtype, count, start)

    def text(self, field: int) -> str:
        return bytes(self.array(field, np.uint8)).decode()

    def _place(self, field: int) -> int:
        """Where a field begins; 0 if it is left away."""
        slot = 4 + 2 * field
        inside = slot < self._number("H", self.fields)
        shift = self._number("H", self.fields + slot) if inside else 0
        return self.at + shift if shift else 0

    def _vector(self, field: int) -> tuple[int, int]:
        place = self._place(field)
        if not place:
            return 0, 0
        start = place + self._number("I", place)
        return start + 4, self._number("I", start)

    def _number(self, kind: str, place: int) -> int:
        return struct.unpack_from("<" + kind, self.data, place)[0]
