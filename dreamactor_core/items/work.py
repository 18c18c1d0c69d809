"""What is to be done with an item, and what came of it."""

from __future__ import annotations

import hashlib
import json
import pickle
import traceback
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from ..errors import InputError, UnavailableError

DONE, LEFT_OUT, FAILED = "done", "left out", "failed"  # states; what failed is tried again
Data = dict[str, Any]  # of JSON's types


class Item(NamedTuple):
    key: str  # unlike any other's of the stage
    data: Data  # all that its outcome depends on: when it changes, the item is done again

    @property
    def digest(self) -> str:
        text = json.dumps(self.data, sort_keys=True, ensure_ascii=False)
        return hashlib.sha256(text.encode()).hexdigest()[:24]


class Outcome(NamedTuple):
    key: str
    state: str  # DONE, LEFT_OUT or FAILED
    result: Data
    reason: str = ""  # why it was left out, or what failed, in words
    unavailable: bool = False  # what failed would fail for every other item as well


class LeftOut(Exception):  # noqa: N818 - no error: the item is as it is
    """Raised for an item that is not wanted: the reason, in words."""


class Work(Protocol):
    """One function of one item. It is pickled to reach other processes."""

    def open(self) -> Callable[[Data], Data]:
        """What every item needs is made ready, once a process; returns the function.

        The function is given an item's data and returns its result, of JSON's types. Files that it
        writes are whole or absent, their names are the item's own, and a second call writes the
        same. It raises LeftOut for an item that is not wanted, and InputError, or anything else,
        for one that fails.
        """


def do_item(pickled_work: bytes, item: Item) -> Outcome:
    """The outcome of an item, whatever goes wrong. Only what stops the process is raised."""
    try:
        return Outcome(item.key, DONE, _opened(pickled_work)(item.data))
    except LeftOut as reason:
        return Outcome(item.key, LEFT_OUT, {}, str(reason))
    except InputError as error:
        return Outcome(item.key, FAILED, {}, str(error), isinstance(error, UnavailableError))
    except Exception as error:
        last = traceback.extract_tb(error.__traceback__)[-1]
        place = f"{Path(last.filename).name}:{last.lineno}"
        return Outcome(item.key, FAILED, {}, f"{type(error).__name__}: {error} ({place})")


@lru_cache(maxsize=1)
def _opened(pickled_work: bytes) -> Callable[[Data], Data]:
    work: Work = pickle.loads(pickled_work)
    return work.open()
