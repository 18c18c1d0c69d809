"""The pages' own files: HTML around, style and scripts, put into one file that needs no other."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent
PLACE = re.compile(r"\{\{([\w.]+)\}\}")


def template(name: str, **values: str) -> str:
    """A page of this folder. {{word}} stands for a value, {{file.css}} for a file of the folder,
    in which the same holds.

    Values are HTML, put in as they are.
    """

    def found(place: re.Match[str]) -> str:
        if place[1] in values:
            return values[place[1]]
        return PLACE.sub(found, _text(place[1]))

    return PLACE.sub(found, _text(name))


def script_json(data: Any) -> str:
    """JSON that can stand in a <script>: it can neither end it nor begin a comment."""
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    for sign in "<>&\u2028\u2029":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return text


def _text(name: str) -> str:
    return (FOLDER / name).read_text(encoding="utf-8")
