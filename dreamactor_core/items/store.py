"""The store of a long job: what became of each item of each stage, in one sqlite file.

One process writes it and holds it while it does. A row is on the disk before the next item is
begun, so a kill costs the items that were being done and no other.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import NamedTuple

from ..errors import InputError
from .work import FAILED, Data, Item, Outcome

ITEMS_FILE = "items.sqlite"
TABLE = """CREATE TABLE IF NOT EXISTS items (
    stage TEXT NOT NULL,
    key TEXT NOT NULL,
    digest TEXT NOT NULL,
    state TEXT NOT NULL,
    reason TEXT NOT NULL,
    result TEXT NOT NULL,
    PRIMARY KEY (stage, key)
) WITHOUT ROWID"""


class Record(NamedTuple):
    """A row of the store."""

    key: str
    digest: str  # of the data that it was made with
    state: str
    reason: str
    result: Data

    def settles(self, item: Item) -> bool:
        """Whether the item need not be done again."""
        return self.digest == item.digest and self.state != FAILED


class ItemStore:
    """To be used in a with statement, in one process at a time.

    Raises InputError for a file that is none, and while another process has it open.
    """

    def __init__(self, folder: Path):
        """folder: of the job; it is made if it is missing."""
        self.path = folder / ITEMS_FILE
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._connection = sqlite3.connect(self.path, timeout=0)
        except (OSError, sqlite3.Error) as error:
            raise self._wrong(str(error), "a folder you may write to") from error
        try:
            # Locked until it is closed; the lock of a process that was killed goes with it.
            self._connection.execute("PRAGMA locking_mode = EXCLUSIVE")
            self._connection.execute("PRAGMA synchronous = FULL")
            with self._connection:
                self._connection.execute("BEGIN IMMEDIATE")
                self._connection.execute(TABLE)
        except sqlite3.Error as error:
            self._connection.close()
            if "locked" in str(error):
                raise InputError(
                    str(self.path),
                    got="another process at work on it",
                    need="one at a time",
                    fix="Wait until it ends, or use another output folder.",
                ) from None
            raise self._wrong(str(error), "a store of items") from error

    def __enter__(self) -> ItemStore:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._connection.close()

    def records(self, stage: str) -> dict[str, Record]:
        """All of a stage, by key."""
        rows = self._connection.execute(
            "SELECT key, digest, state, reason, result FROM items WHERE stage = ?", (stage,)
        )
        return {
            key: Record(key, digest, state, reason, json.loads(result))
            for key, digest, state, reason, result in rows
        }

    def write(self, stage: str, outcomes: Iterable[tuple[Item, Outcome]]) -> None:
        """Rows of outcomes, all or none of them. Raises InputError when the disk is full."""
        rows = [
            (stage, item.key, item.digest, outcome.state, outcome.reason, _text(outcome.result))
            for item, outcome in outcomes
        ]
        try:
            with self._connection:
                self._connection.executemany(
                    "INSERT OR REPLACE INTO items VALUES (?, ?, ?, ?, ?, ?)", rows
                )
        except sqlite3.Error as error:
            raise self._wrong(str(error), "room for a row") from error

    def _wrong(self, got: str, need: str) -> InputError:
        fix = "Look at the disk and the folder's rights, or use another output folder."
        return InputError(str(self.path), got=repr(got), need=need, fix=fix)


def _text(result: Data) -> str:
    return json.dumps(result, ensure_ascii=False)
