"""Pairs from the drawn world, where no footage is needed: one a seed, over a store of items."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

from ..backbones.placement import Placement
from ..errors import InputError
from ..footage.listing import write_lines
from ..footage.sheet import dropped_names
from ..items import DONE, Executor, Item, ItemStore, Outcome, run_items
from ..items.work import Data
from ..sampling import SampleSettings
from .judge import Verdict
from .make import PAIRS_FILE, MakePuppetPair

STAGE_OF_PUPPETS = "puppets"


class Makes(Protocol):
    """A work that makes pairs."""

    @property
    def base(self) -> str: ...
    @property
    def loras(self) -> tuple[Path, ...]: ...
    @property
    def placement(self) -> Placement: ...
    @property
    def settings(self) -> SampleSettings: ...


class PuppetPairs(NamedTuple):
    kept: int
    verdicts: list[Verdict]  # of all that were made
    failed: list[str]  # why others were not


def bootstrap_puppets(
    work: MakePuppetPair,
    seeds: Sequence[int],
    threshold: float,
    executor: Executor | None = None,
    on_stage: Callable[[str, Outcome, int, int], None] | None = None,
) -> PuppetPairs:
    """Make what is missing of one pair a seed, and list those that the judge keeps.

    Finished pairs are never deleted or made again. Raises InputError as run_items does.
    """
    told = work_data(work)
    items = [Item(f"{seed:07d}", {"seed": seed, "with": told}) for seed in seeds]

    def heard(outcome: Outcome, number: int, total: int) -> None:
        if on_stage is not None:
            on_stage(STAGE_OF_PUPPETS, outcome, number, total)

    with ItemStore(work.out) as store:
        records = run_items(store, STAGE_OF_PUPPETS, work, items, executor, heard)
    rows = {key: record.result for key, record in records.items() if record.state == DONE}
    dropped = dropped_names(work.out)
    verdicts = {key: Verdict(**row["verdict"]) for key, row in rows.items()}
    kept = [
        row
        for key, row in rows.items()
        if verdicts[key].kept(threshold)
        and key not in dropped
        and (work.out / row["driving"]).exists()
    ]
    write_lines(work.out / PAIRS_FILE, kept)
    failed = [record.reason for record in records.values() if record.state != DONE]
    return PuppetPairs(len(kept), list(verdicts.values()), failed)


def work_data(work: Makes) -> Data:
    """What a pair depends on beside its seed."""
    return {
        "base": work.base,
        "loras": stamps(work.loras),
        "dtype": str(work.placement.dtype),
        "settings": vars(work.settings),
    }


def stamps(paths: Sequence[Path]) -> list[list]:
    """Name, size and time of files. Raises InputError for one that is not there."""
    for path in paths:
        if not path.is_file():
            fix = "Check the spelling."
            raise InputError(str(path), got="no such file", need="a LoRA", fix=fix)
    return [[path.name, path.stat().st_size, path.stat().st_mtime_ns] for path in paths]
