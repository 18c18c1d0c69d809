"""How a long job grows with its workers, to 1,000 of them, simulated event by event.

    python -m benchmarks.scale                       a pair of 4 minutes
    python -m benchmarks.scale --seconds 2           a clip to pose
    python -m benchmarks.scale --measure             what a row of the store costs on this disk

One process hands items out, hears what became of them and alone writes the store (items/run.py).
It takes all outcomes that wait, writes them in one transaction, and hands out as many items. Each
worker opens the model once (the best has to do so as well), loses its node now and then with the
item it was at, and comes back. A row costs 2 ms: on Ray 2.60, 1.6 ms of the one process were
measured for an item of no length, its row of the store included.
Printed: items an hour, the share of what so many workers could do at best, how long the one
process was busy, and the number of workers at which it becomes the limit.
"""

from __future__ import annotations

import argparse
import heapq
import math
import random
import tempfile
import time
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path

from dreamactor_core.items import DONE, Item, ItemStore, Outcome

WORKERS = (1, 10, 50, 100, 200, 300, 500, 700, 1000)
BEND = 0.9  # of the best: below, the curve has bent


@dataclass(frozen=True)
class Costs:
    """Seconds, but for the spread."""

    item: float  # mean
    spread: float = 0.3  # standard deviation of its logarithm
    row: float = 0.002  # of the one process for each item: handed out, heard of, written
    commit: float = 0.01  # and for each transaction
    opening: float = 60.0  # of a worker, once
    lost_every: float = 8 * 3600.0  # of a worker's node, mean
    back_after: float = 180.0  # seconds until it is there again


@dataclass
class Simulation:
    costs: Costs
    rng: random.Random
    queue: deque[int] = field(default_factory=deque)  # items that were handed out
    idle: list[int] = field(default_factory=list)  # workers
    events: list[tuple[float, int, int, bool]] = field(default_factory=list)  # time, worker, item
    lost: int = 0

    def start(self, now: float) -> None:
        """Idle workers take what was handed out."""
        while self.queue and self.idle:
            worker, item = self.idle.pop(), self.queue.popleft()
            mean = math.log(self.costs.item) - self.costs.spread**2 / 2
            seconds = self.rng.lognormvariate(mean, self.costs.spread)
            fails = self.rng.expovariate(1 / self.costs.lost_every)
            done = seconds <= fails
            heapq.heappush(self.events, (now + min(seconds, fails), worker, item, done))


def simulate(workers: int, items: int, costs: Costs, seed: int = 0) -> tuple[float, float, int]:
    """(seconds in all, share of them in which the one process was busy, items that were lost)."""
    simulation = Simulation(costs, random.Random(seed))
    simulation.queue.extend(range(min(items, 4 * workers)))
    handed, done, busy = len(simulation.queue), 0, handed_cost(costs, len(simulation.queue))
    for worker in range(workers):  # they open the model first
        heapq.heappush(simulation.events, (busy + costs.opening, worker, -1, True))
    now = busy
    while done < items:
        ready = 0
        first = simulation.events[0][0]
        now = max(now, first)
        while simulation.events and simulation.events[0][0] <= now:
            at, worker, item, whole = heapq.heappop(simulation.events)
            if whole:
                simulation.idle.append(worker)
                ready += item >= 0
                simulation.start(at)  # the next item waits beside the worker already
            else:
                simulation.lost += 1
                simulation.queue.appendleft(item)
                back = at + costs.back_after + costs.opening
                heapq.heappush(simulation.events, (back, worker, -1, True))
        spent = handed_cost(costs, ready) if ready else 0.0
        more = min(ready, items - handed)
        simulation.queue.extend(range(handed, handed + more))
        handed, done, busy, now = handed + more, done + ready, busy + spent, now + spent
        simulation.start(now)
    return now, busy / now, simulation.lost


def handed_cost(costs: Costs, count: int) -> float:
    """Of the one process, for items that came together."""
    return costs.commit + costs.row * count


def measure_store(count: int = 200) -> tuple[float, float]:
    """(seconds of a transaction with one row, seconds of each row more) on this disk."""
    item, result = Item("x", {"a": 1}), {"verdict": [1.0] * 3, "prompt": "it waves " * 8}
    with tempfile.TemporaryDirectory() as folder, ItemStore(Path(folder)) as store:
        rows = [(item._replace(key=str(k)), Outcome(str(k), DONE, result)) for k in range(count)]
        began = time.perf_counter()
        for row in rows:
            store.write("one", [row])
        one = (time.perf_counter() - began) / count
        began = time.perf_counter()
        store.write("many", rows)
        return one, (time.perf_counter() - began) / count


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=240.0, help="of an item, mean (240)")
    parser.add_argument("--items", type=int, default=60_000, help="of the job (60000)")
    parser.add_argument(
        "--row", type=float, default=0.002, help="seconds of the one process (2e-3)"
    )
    parser.add_argument("--commit", type=float, default=0.01, help="seconds a transaction (0.01)")
    parser.add_argument("--lost-every", type=float, default=8.0, help="hours of a node (8)")
    parser.add_argument("--measure", action="store_true", help="the store's part on this disk")
    arguments = parser.parse_args()
    if arguments.measure:
        one, more = measure_store()
        print(f"a transaction with one row {1e3 * one:.2f} ms, a row more {1e6 * more:.0f} us")
        return
    costs = Costs(
        arguments.seconds,
        row=arguments.row,
        commit=arguments.commit,
        lost_every=3600 * arguments.lost_every,
    )
    print("| workers | items an hour | of the best | one process busy | lost and done again |")
    print("|---|---|---|---|---|")
    bent = None
    for workers in WORKERS:
        seconds, busy, lost = simulate(workers, arguments.items, costs)
        rate = arguments.items / seconds
        best = costs.opening + arguments.items * costs.item / workers  # seconds
        share = best / seconds
        bent = bent or (workers if share < BEND else None)
        print(f"| {workers} | {3600 * rate:,.0f} | {share:.1%} | {busy:.1%} | {lost} |")
    limit = costs.item / costs.row
    print(f"bends at {bent or f'more than {WORKERS[-1]}'} workers; the one process is the limit")
    print(f"from about {limit:,.0f} on (an item's {costs.item:g} s over {costs.row:g} s a row)")


if __name__ == "__main__":
    main()
