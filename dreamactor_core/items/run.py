"""A stage of a long job: what is not settled yet is done, and what came of it is written down."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

from ..errors import InputError
from .executors import Executor, OneProcess
from .store import ItemStore, Record
from .work import Item, Outcome, Work

PATIENCE = 3  # items in a row that fail for what every other would fail for, too

OnOutcome = Callable[[Outcome, int, int], None]  # an outcome, its number from 1, how many there are


def run_items(
    store: ItemStore,
    stage: str,
    work: Work,
    items: Sequence[Item],
    executor: Executor | None = None,
    on_outcome: OnOutcome | None = None,
) -> dict[str, Record]:
    """Do what the store does not say is settled. Returns the records of the items, in their order.

    stage: unlike any other's of the job. executor None: in this process, one after the other.
    Raises InputError when PATIENCE items in a row could not be done for what they have in common
    (a full disk, a server that is down): what is done stays done.
    """
    by_key = _by_key(items)
    before = store.records(stage)
    todo = [
        item for key, item in by_key.items() if key not in before or not before[key].settles(item)
    ]
    number = in_vain = 0
    for outcomes in (executor or OneProcess()).run(work, todo):
        store.write(stage, [(by_key[outcome.key], outcome) for outcome in outcomes])
        for outcome in outcomes:
            number += 1
            if on_outcome is not None:
                on_outcome(outcome, number, len(todo))
            in_vain = in_vain + 1 if outcome.unavailable else 0
            if in_vain == PATIENCE:
                raise InputError(
                    f"stage {stage}",
                    got=f"{PATIENCE} items in a row that failed",
                    need="what every item needs",
                    fix=f"{outcome.reason} Then run the same command again: it goes on where it "
                    "was.",
                )
    after = store.records(stage)
    return {key: after[key] for key in by_key}


def _by_key(items: Sequence[Item]) -> dict[str, Item]:
    twice = [key for key, count in Counter(item.key for item in items).items() if count > 1]
    if twice:
        raise InputError(
            "items", got=f"two named {twice[0]}", need="each once", fix="Rename one of them."
        )
    return {item.key: item for item in items}
