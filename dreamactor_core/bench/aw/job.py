"""The long job behind run, import and hosted: one function a case, and what came of each."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ...items import (
    DONE,
    FAILED,
    Executor,
    Item,
    ItemStore,
    Outcome,
    Work,
    run_items,
)
from .cases import AwCase, CaseSet
from .systems import System, video_of

VIDEOS_STAGE = "videos"
OnMade = Callable[[str, Outcome, int, int], None]  # stage, and as items.run.OnOutcome


@dataclass(frozen=True)
class VideosMade:
    """What a system has after a job: how many of how many, and why it has no others."""

    system: System
    made: int
    missing: dict[str, str]  # id of a case that nobody gave a video of: the reason, in words
    failed: dict[str, str]  # id of a case whose video could not be made or taken: likewise
    notes: dict[str, list[str]]  # id of a case: what a reader of its scores should know

    def told(self) -> str:
        """In words, for a terminal."""
        total = self.made + len(self.missing) + len(self.failed)
        lines = [f"{case}: {note}" for case, notes in self.notes.items() for note in notes]
        lines += [f"{case}: missing: {reason}" for case, reason in self.missing.items()]
        lines += [f"{case}: failed: {reason}" for case, reason in self.failed.items()]
        return "\n".join([*lines, f"{self.system.name}: {self.made} of {total} videos"])

    @property
    def status(self) -> int:
        """Of the command: 1 when a video failed. One that is missing is nobody's fault."""
        return int(bool(self.failed))


def choose_cases(cases: CaseSet, most: int | None) -> list[AwCase]:
    """All, or so many, spread evenly over the set; a larger choice holds no fewer of any part."""
    if most is None or most >= len(cases.cases):
        return list(cases.cases)
    step = len(cases.cases) / max(1, most)
    return [cases.cases[int(number * step)] for number in range(max(1, most))]


def make_videos(
    system: System,
    work: Work,
    items: Sequence[Item],
    executor: Executor | None = None,
    on_video: OnMade | None = None,
    missing: Mapping[str, str] | None = None,
) -> VideosMade:
    """Do what is not done yet; a video that somebody has deleted is made again.

    items: of cases, by their ids. missing: why there is no item of others. Raises InputError as
    run_items does.
    """

    def heard(outcome: Outcome, number: int, total: int) -> None:
        if on_video is not None:
            on_video(VIDEOS_STAGE, outcome, number, total)

    with ItemStore(system.folder) as store:
        before = store.records(VIDEOS_STAGE)
        gone = [
            (item, Outcome(item.key, FAILED, {}, "its video is gone"))
            for item in items
            if item.key in before and before[item.key].state == DONE
            if video_of(system, item.key) is None
        ]
        store.write(VIDEOS_STAGE, gone)
        records = run_items(store, VIDEOS_STAGE, work, items, executor, heard)
    done = {key: record for key, record in records.items() if record.state == DONE}
    failed = {key: record.reason for key, record in records.items() if key not in done}
    notes = {key: record.result.get("notes", []) for key, record in done.items()}
    told = {key: said for key, said in notes.items() if said}
    return VideosMade(system, len(done), dict(missing or {}), failed, told)


def only_file(folder: Path, case_id: str, path: Path, suffixes: Sequence[str]) -> None:
    """Remove what else is there under a case's name, so that nobody takes it for the new one."""
    for suffix in suffixes:
        other = folder / f"{case_id}{suffix}"
        if other != path:
            other.unlink(missing_ok=True)
