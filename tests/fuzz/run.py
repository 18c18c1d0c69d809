"""A target run in a process of its own, with a limit on memory and on the time of each case.

What may come of a case: it is read, or refused as InputError. A fault is anything else: another
exception, a process that dies, a case that takes longer than SLOW or more memory than MEMORY.
"""

from __future__ import annotations

import logging
import multiprocessing
import random
import resource
import tempfile
import time
import traceback
import warnings
from collections.abc import Iterator
from itertools import count
from multiprocessing.connection import Connection
from pathlib import Path
from typing import NamedTuple

from dreamactor_core.errors import InputError

from .targets import TARGETS

SLOW = 20.0  # seconds of one case
MEMORY = 2 << 30  # bytes beside what the process has


class Fault(NamedTuple):
    target: str
    seed: int
    case: int
    what: str


class Result(NamedTuple):
    cases: int
    refused: int
    faults: list[Fault]


def run(name: str, seed: int, seconds: float, most: int = 1 << 30) -> Result:
    """Cases of one target until `seconds` are over or `most` are done, the same for a seed."""
    done, refused, faults, first = 0, 0, [], 0
    end = time.monotonic() + seconds
    while time.monotonic() < end and first < most:
        ours, theirs = multiprocessing.get_context("fork").Pipe(False)
        work = (name, seed, first, most, end, theirs)
        process = multiprocessing.get_context("fork").Process(target=_work, args=work, daemon=True)
        process.start()
        theirs.close()
        case = first - 1
        for number, outcome in _outcomes(ours, case):
            case = number
            done += 1
            refused += outcome == "refused"
            if outcome not in ("read", "refused"):
                faults.append(Fault(name, seed, case, outcome))
        process.kill()
        process.join()
        first = case + 1
    return Result(done, refused, faults)


def _outcomes(pipe: Connection, case: int) -> Iterator[tuple[int, str]]:
    """What the process says of each case; when it says no more, that is the next one's fault."""
    while True:
        try:
            if not pipe.poll(SLOW):
                yield case + 1, f"no answer within {SLOW:g} s"
                return
            message = pipe.recv()
        except EOFError:
            yield case + 1, "the process died"
            return
        if message is None:
            return
        case, outcome = message
        yield case, outcome


def _work(name: str, seed: int, first: int, most: int, end: float, pipe: Connection) -> None:
    logging.disable(logging.CRITICAL)
    warnings.simplefilter("ignore")
    target = TARGETS[name]
    with tempfile.TemporaryDirectory() as folder:
        cases = target.cases(random.Random(0))
        next(cases)  # whole files are made before memory is limited
        used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY, used + MEMORY))
        for case in count(first):
            if case >= most or time.monotonic() > end:
                break
            # Each case has a generator of its own, so that any can be done again alone.
            ending, data = next(target.cases(random.Random(f"{seed} {case}")))
            path = Path(folder) / f"case{ending}"
            path.write_bytes(data)
            pipe.send((case, _outcome(target, path)))
    pipe.send(None)


def _outcome(target, path: Path) -> str:
    try:
        target.read(path)
        return "read"
    except InputError:
        return "refused"
    except BaseException:
        return traceback.format_exc(limit=-3)
