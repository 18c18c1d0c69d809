"""Where items are done: in this process, or in several on this machine, one thread each.

on_ray.py has the third way, a cluster.
"""

from __future__ import annotations

import os
import pickle
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from contextlib import suppress
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import NamedTuple, Protocol

from ..errors import InputError
from .work import FAILED, Item, Outcome, Work, do_item

LIVES = 2  # a worker may die of an item so often until it is given up
# Workers share the cores, so each keeps to one; OpenCV asks for its own variable.
ONE_THREAD = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "OPENCV_FOR_THREADS_NUM": "1"}


class Executor(Protocol):
    def run(self, work: Work, items: Sequence[Item]) -> Iterator[list[Outcome]]:
        """Outcomes, each once, in any order; those that came together in one list."""


class OneProcess:
    """The protocol Executor: one item after the other, here."""

    def run(self, work: Work, items: Sequence[Item]) -> Iterator[list[Outcome]]:
        pickled = pickle.dumps(work)
        for item in items:
            yield [do_item(pickled, item)]


class _Worker(NamedTuple):
    process: BaseProcess
    connection: Connection


class Processes:
    """The protocol Executor: `count` processes of one thread each.

    They are started anew, not forked, and end with this process, however it ends. An item that a
    worker dies of is tried once more, then failed.
    """

    def __init__(self, count: int):
        if count < 1:
            raise InputError("workers", got=count, need="at least 1", fix="Use 1.")
        self.count = count

    def run(self, work: Work, items: Sequence[Item]) -> Iterator[list[Outcome]]:
        pickled, waiting = pickle.dumps(work), deque(items)
        died: Counter[str] = Counter()
        busy: dict[Connection, tuple[_Worker, Item]] = {}
        try:
            for _ in range(min(self.count, len(waiting))):
                _give(_start(pickled), waiting, busy)
            while busy:
                outcomes = []
                answered = wait(list(busy))
                for worker, item in [
                    each for each in busy.values() if each[0].connection in answered
                ]:
                    del busy[worker.connection]
                    try:
                        outcomes.append(worker.connection.recv())
                    except (EOFError, OSError):  # it died
                        worker.process.join()
                        died[item.key] += 1
                        if died[item.key] < LIVES:
                            waiting.appendleft(item)
                        else:
                            outcomes.append(_fatal(item, worker.process.exitcode))
                        worker.connection.close()
                        if not waiting:
                            continue
                        worker = _start(pickled)
                    _give(worker, waiting, busy)
                if outcomes:
                    yield outcomes
        finally:
            for worker, _ in busy.values():
                worker.process.terminate()


def _give(
    worker: _Worker, waiting: deque[Item], busy: dict[Connection, tuple[_Worker, Item]]
) -> None:
    """The next item to a worker that has none; without one it goes home."""
    if not waiting:
        worker.connection.close()
        worker.process.join()
        return
    item = waiting.popleft()
    with suppress(OSError):  # it died: reading from it will say so
        worker.connection.send(item)
    busy[worker.connection] = worker, item


def _start(pickled_work: bytes) -> _Worker:
    context = get_context("spawn")  # torch and sqlite do not outlive a fork
    ours, theirs = context.Pipe()
    before = {name: os.environ.get(name) for name in ONE_THREAD}
    os.environ.update(ONE_THREAD)  # inherited: libraries read it when they are loaded
    try:
        process = context.Process(target=_serve, args=(theirs, pickled_work), daemon=True)
        process.start()
    finally:
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})
    theirs.close()
    return _Worker(process, ours)


def _serve(connection: Connection, pickled_work: bytes) -> None:
    """A worker: items come, outcomes go, until the other side is closed or gone."""
    with suppress(EOFError, OSError, KeyboardInterrupt):
        while True:
            connection.send(do_item(pickled_work, connection.recv()))


def _fatal(item: Item, exit_code: int | None) -> Outcome:
    reason = f"the process that did it died {LIVES} times, last with exit code {exit_code}; "
    return Outcome(item.key, FAILED, {}, reason + "perhaps memory ran out: use fewer workers.")
