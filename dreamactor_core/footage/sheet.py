"""Pages to look through: pictures and words of each thing made, and a box to drop it.

A page is one HTML file that needs no other and no network. Its button saves dropped-NNN.json, the
names of what was ticked; put into the folder of the page it is honoured by the next run, and what
it names is ticked when the page is written anew.
"""

from __future__ import annotations

import base64
import html
import json
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from ..errors import InputError
from ..media import replacing

CARDS_A_PAGE = 200  # cards
DROPPED = "dropped-{:03d}.json"

_HEAD = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title><style>
body {{ font: 15px/1.4 sans-serif; margin: 1em; background: #181818; color: #ddd }}
article {{ margin: 0 0 1.2em; padding: .5em; border-left: 4px solid #393 }}
article:has(input:checked) {{ border-color: #b33; opacity: .45 }}
img {{ display: block; max-width: 100%; margin: 2px 0 }}
p {{ margin: .2em 0 }}
label, button {{ font-size: 16px; cursor: pointer }}
header {{ position: sticky; top: 0; background: #181818; padding: .5em 0 }}
</style></head><body>
<header><b>{title}</b>, page {page} of {pages}, {count} here.
Tick what is to be dropped, <button>save {file}</button>, put the file beside this page
and run the same command again.</header>
"""
_TAIL = """<script>
document.querySelector("button").onclick = () => {{
  const ticked = [...document.querySelectorAll("input:checked")].map((box) => box.name);
  const link = document.createElement("a");
  const text = JSON.stringify({{ dropped: ticked }}, null, 1);
  link.href = URL.createObjectURL(new Blob([text], {{ type: "application/json" }}));
  link.download = "{file}";
  link.click();
}};
</script></body></html>
"""


class Card(NamedTuple):
    name: str
    pictures: Sequence[Path]  # JPEGs, one below the other
    lines: Sequence[str]
    dropped: bool


def write_sheets(folder: Path, title: str, cards: Sequence[Card]) -> list[Path]:
    """sheet-001.html and so on, in place of those of an earlier run. Returns their paths."""
    pages = [cards[begin : begin + CARDS_A_PAGE] for begin in range(0, len(cards), CARDS_A_PAGE)]
    paths = []
    for number, page in enumerate(pages, 1):
        file = DROPPED.format(number)
        head = _HEAD.format(
            title=html.escape(title), page=number, pages=len(pages), count=len(page), file=file
        )
        body = "".join(_article(card) for card in page)
        paths.append(folder / f"sheet-{number:03d}.html")
        with replacing(paths[-1], overwrite=True) as part:
            part.write_text(head + body + _TAIL.format(file=file), encoding="utf-8")
    for old in set(folder.glob("sheet-[0-9][0-9][0-9].html")) - set(paths):
        old.unlink()
    return paths


def dropped_names(folder: Path) -> set[str]:
    """What the lists beside the sheets name. Raises InputError for one of another form."""
    names: set[str] = set()
    for path in sorted(folder.glob("dropped*.json")):
        try:
            listed = json.loads(path.read_text(encoding="utf-8"))["dropped"]
            if not all(isinstance(name, str) for name in listed):
                raise TypeError("not names")
        except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
            raise InputError(
                str(path),
                got=f"{type(error).__name__}: {error}",
                need='{"dropped": [names]}, as a sheet saves it',
                fix="Save it again, or delete it.",
            ) from error
        names |= set(listed)
    return names


def _article(card: Card) -> str:
    images = "".join(f'<img alt="" src="{_embedded(path)}">' for path in card.pictures)
    lines = "".join(f"<p>{html.escape(line)}</p>" for line in card.lines)
    name, ticked = html.escape(card.name, quote=True), " checked" if card.dropped else ""
    box = f'<label><input type="checkbox" name="{name}"{ticked}> drop {name}</label>'
    return f"<article>{images}{lines}{box}</article>\n"


def _embedded(path: Path) -> str:
    return "data:image/jpeg;base64," + base64.b64encode(path.read_bytes()).decode()
