"""Commands as a document has them: the indented lines of a tutorial."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

PROGRAM = ["python", "-m", "dreamactor_core"]
TRAINING = Path(__file__).resolve().parents[2] / "docs" / "train.md"


def documented_commands(page: Path = TRAINING) -> list[list[str]]:
    """The arguments of each, in their order; lines that end in a backslash go on in the next."""
    text = page.read_text(encoding="utf-8").replace("\\\n", " ")
    lines = re.findall(r"^ {4}(python -m dreamactor_core .*)$", text, re.MULTILINE)
    return [shlex.split(line)[len(PROGRAM) :] for line in lines]


def with_substitutes(command: list[str], substitutes: dict[str, str]) -> list[str]:
    """The same with other words in the place of some: "" takes one away."""
    words = [substitutes.get(word, word) for word in command]
    return [word for word in words if word]
