"""Items as tasks of a Ray cluster. Ray restarts what is lost with a node; the process that asks,
and it alone, writes the store.

A worker keeps what its Work has opened, so a model is loaded once a process and not once an item.
"""

from __future__ import annotations

import pickle
from collections.abc import Iterator, Sequence

import ray

from ..errors import InputError
from .work import FAILED, Item, Outcome, Work, do_item

TASK_RETRIES = 20  # of an item whose node or process was lost
IN_FLIGHT = 4  # items that are handed over for each that can run, so that no node waits for one


class OnRay:
    """The protocol Executor, on a cluster that is there. Raises InputError if there is none.

    address: "auto", or host:port of its head; the cluster this process is connected to already is
    taken as it is. gpus: of a node's, that an item takes; a share is possible.
    """

    def __init__(self, address: str, gpus: float = 0, cpus: float = 1):
        self.gpus, self.cpus = gpus, cpus
        if ray.is_initialized():
            return
        try:
            ray.init(address=address, logging_level="warning", log_to_driver=False)
        except (ConnectionError, ValueError, OSError, RuntimeError) as error:
            raise InputError(
                f"Ray at {address}",
                got=f"no cluster ({str(error).splitlines()[0] if str(error) else 'no answer'})",
                need="one that runs",
                fix="Start one with the program ray: its head here, its workers elsewhere.",
            ) from error

    def run(self, work: Work, items: Sequence[Item]) -> Iterator[list[Outcome]]:
        task = ray.remote(
            num_cpus=self.cpus,
            num_gpus=self.gpus,
            max_retries=TASK_RETRIES,
            max_calls=0,  # or a worker with a GPU would load the model anew for each item
        )(do_item)
        pickled, waiting = pickle.dumps(work), iter(items)
        running: dict[ray.ObjectRef, Item] = {}
        try:
            while True:
                for item in waiting:
                    running[task.remote(pickled, item)] = item
                    if len(running) >= IN_FLIGHT * self._slots():
                        break
                if not running:
                    return
                ray.wait(list(running), num_returns=1)
                ready, _ = ray.wait(list(running), num_returns=len(running), timeout=0)
                yield [_outcome(reference, running.pop(reference)) for reference in ready]
        finally:
            for reference in running:
                ray.cancel(reference, force=True)

    def _slots(self) -> int:
        """How many items can run at once, as the cluster is now."""
        there = ray.cluster_resources()
        rooms = [there.get("CPU", 0) / self.cpus] if self.cpus else []
        rooms += [there.get("GPU", 0) / self.gpus] if self.gpus else []
        return max(1, int(min(rooms, default=1)))


def _outcome(reference: ray.ObjectRef, item: Item) -> Outcome:
    try:
        return ray.get(reference)
    except ray.exceptions.RayError as error:
        said = str(error).splitlines()
        reason = f"{type(error).__name__} after {TASK_RETRIES} tries: {said[0] if said else ''}"
        return Outcome(item.key, FAILED, {}, reason)
