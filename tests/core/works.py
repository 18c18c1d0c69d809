"""Works for tests of long jobs: module-level, for they are pickled to reach other processes."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from dreamactor_core.errors import InputError, UnavailableError
from dreamactor_core.items import Item, LeftOut
from dreamactor_core.items.work import Data


@dataclass(frozen=True)
class Squares:
    """Squares of numbers; how often each was begun and ended is written beside."""

    folder: Path
    seconds: float = 0.0  # that an item takes

    def open(self) -> Callable[[Data], Data]:
        self._log("opened")
        return self.square

    def square(self, data: Data) -> Data:
        number = data["number"]
        self._log(f"begun {number}")
        time.sleep(self.seconds)
        act(data.get("act", ""), self.folder)
        self._log(f"ended {number}")
        return {"square": number * number}

    def _log(self, line: str) -> None:
        """Whole lines, whoever else writes."""
        file = os.open(self.folder / "log", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        os.write(file, f"{line}\n".encode())
        os.close(file)

    def log(self) -> list[str]:
        return (self.folder / "log").read_text().splitlines()


def act(what: str, folder: Path) -> None:
    if what == "leave out":
        raise LeftOut("too small")
    if what == "fail":
        raise InputError("number", got="a bad one", need="a good one", fix="Mend it.")
    if what == "bug":
        raise ZeroDivisionError("by nought")
    if what == "no server":
        raise UnavailableError("server", got="none", need="one", fix="Start it.")
    if what == "die" or (what == "die once" and not (folder / "died").exists()):
        (folder / "died").touch()
        os._exit(9)


def numbers(*those: int, **acts: str) -> list[Item]:
    """Items 0, 1, ... of these numbers; acts: of items by key, as in act()."""
    items = []
    for place, number in enumerate(those):
        key = f"n{place}"
        told = {"act": acts[key]} if key in acts else {}
        items.append(Item(key, {"number": number, **told}))
    return items
