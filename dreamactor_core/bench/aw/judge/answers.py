"""What a judge answered: a number for each video, or what is wrong with it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

LETTERS = "ABCD"
LINE = re.compile(
    r"^[^\w\n]*(?:video\s+)?(?P<letter>[A-D])\W*?\s*[:\uff1a=]\W*?(?P<number>-?\d+(?:\.\d+)?)"
    r"(?P<rest>[^\n]*)$",
    re.IGNORECASE | re.MULTILINE,
)
OF_FIVE = re.compile(r"^\s*(?:/|out of|of)\s*5\b", re.IGNORECASE)
LONGEST_REASON = 300  # characters that are kept


class Rating(NamedTuple):
    score: float  # 1 to 5
    reason: str


class UnreadableError(ValueError):
    """What is wrong with an answer, in words that the judge may be told."""


def read_ratings(answer: str, letters: Sequence[str]) -> dict[str, Rating]:
    """A rating for each letter. Raises UnreadableError."""
    found: dict[str, Rating] = {}
    for match in LINE.finditer(answer):
        letter, score = match["letter"].upper(), float(match["number"])
        rest = OF_FIVE.sub("", match["rest"])
        if letter not in letters:
            raise UnreadableError(f"it rates a video {letter}, which was not shown")
        if not 1 <= score <= 5:
            raise UnreadableError(f"it gives {letter} {match['number']}, which is not 1 to 5")
        if letter in found and found[letter].score != score:
            raise UnreadableError(f"it gives {letter} two numbers")
        reason = rest.strip(" ,;:.-*\t").removeprefix("because ").strip()
        found[letter] = Rating(score, reason[:LONGEST_REASON])
    missing = [letter for letter in letters if letter not in found]
    if missing:
        raise UnreadableError(f"it has no number for {' and '.join(missing)}")
    return found


def form_of(letters: Sequence[str]) -> str:
    """How an answer looks."""
    return "\n".join(f"{letter}: <1, 2, 3, 4 or 5>, <reason>" for letter in letters)
