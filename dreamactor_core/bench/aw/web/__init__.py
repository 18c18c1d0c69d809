"""The pages' own files: HTML around, style and scripts, put into one file that needs no other."""

from __future__ import annotations

import html
import json
import re
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent
PLACE = re.compile(r"\{\{([\w.]+)\}\}")


def whole_page(name: str, title: str, **values: str) -> str:
    """The page NAME.html with the style NAME.css. values: as in template; title: plain text."""
    safe = html.escape(title)
    style = _text("common.css") + _text(f"{name}.css")
    body = template(f"{name}.html", title=safe, **values)
    return template("frame.html", title=safe, style=style, body=body)


def template(name: str, **values: str) -> str:
    """A file of this folder. {{word}} stands for a value, {{file.js}} for another of its files.

    Values are HTML, put in as they are.
    """

    def found(place: re.Match[str]) -> str:
        return values[place[1]] if place[1] in values else _text(place[1])

    return PLACE.sub(found, _text(name))


def script_json(data: Any) -> str:
    """JSON that can stand in a <script>: it can neither end it nor begin a comment."""
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    for sign in "<>&\u2028\u2029":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return text


def _text(name: str) -> str:
    return (FOLDER / name).read_text(encoding="utf-8")
