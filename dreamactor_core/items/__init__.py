"""Long jobs: one function of one item over a store of items, wherever it runs.

    items --> executor: this process, several, or Ray --> outcomes --> store (sqlite, one writer)

A stage of a job is a Work and a list of items. The process that runs the stage alone writes the
store; what is settled there is not done again, so a job that was stopped goes on where it was.
"""

from .executors import Executor, OneProcess, Processes
from .run import run_items
from .store import ItemStore, Record
from .work import DONE, FAILED, LEFT_OUT, Item, LeftOut, Outcome, Work

__all__ = [
    "DONE",
    "FAILED",
    "LEFT_OUT",
    "Executor",
    "Item",
    "ItemStore",
    "LeftOut",
    "OneProcess",
    "Outcome",
    "Processes",
    "Record",
    "Work",
    "run_items",
]
