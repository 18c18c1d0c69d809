"""From a folder of raw footage to clips.jsonl, the list that `train cache` reads.

    files --FindPieces--> pieces --limits, duplicates--> --WriteClip--> clips --FindPoses-->
          --limits of subjects--> --WriteCaption--> clips.jsonl, sheets, left-out.jsonl

Each stage is a stage of one store of items in the output folder: the same call again does what is
missing. Sheets show the clips; a list of names saved from one of them is honoured by the next call.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

from ..caption.choice import CaptionerChoice
from ..caption.folder import find_clips
from ..caption.prompts import load_prompts
from ..errors import InputError
from ..items import DONE, Executor, Item, ItemStore, Outcome, Record, Work, run_items
from .duplicates import find_duplicates
from .filters import Limits, Seen, reason_against, reason_against_subjects
from .listing import Candidate, Left, Listed, Prepared, deleted, without, write_listing
from .pieces import Piece
from .works import FindPieces, FindPoses, WriteCaption, WriteClip

OnStage = Callable[[str, Outcome, int, int], None]  # stage, and as items.run.OnOutcome


@dataclass(frozen=True)
class PreparePlan:
    """What is done with footage."""

    limits: Limits = field(default_factory=Limits)
    longest: float = 10.0  # seconds of a clip; longer shots are cut evenly
    largest: int = 1280  # pixels of a clip's longer side; larger ones are scaled down
    poses: FindPoses | None = None  # its `out` is filled in; None: no poses are sought
    captioner: CaptionerChoice | None = None  # None: captions are empty
    prompts: Path | None = None  # folder of the captioner's questions; None: ours

    def __post_init__(self):
        for name, least in (("longest", self.limits.min_seconds), ("largest", 16)):
            if getattr(self, name) < least:
                fix = "Raise it, or lower the other."
                raise InputError(name, got=getattr(self, name), need=f"at least {least}", fix=fix)


def prepare(
    folder: Path,
    out: Path,
    plan: PreparePlan,
    executor: Executor | None = None,
    on_stage: OnStage | None = None,
) -> Prepared:
    """Prepare all clips below a folder. Files that cannot be used are named in left-out.jsonl.

    out: a folder, made if it is missing; what it holds of an earlier call is not made again.
    Raises InputError for a folder without footage, when nothing is left, with the reasons, and as
    run_items does.
    """
    files = [path for path in find_clips(folder) if out.resolve() not in path.resolve().parents]
    with ItemStore(out) as store:
        job = _Job(folder, out, plan, store, executor, on_stage)
        candidates, left = job.pieces(files)
        candidates = without(candidates, left, _reasons(candidates, plan.limits))
        clips = job.stage("clips", WriteClip(folder, out), candidates, job.clip_data)
        candidates = without(candidates, left, _failed(clips) | deleted(out, candidates))
        poses = job.poses(candidates)
        candidates = without(candidates, left, _failed(poses) | _unseen(poses, plan.limits))
        captions = job.captions(candidates)
        candidates = without(candidates, left, _failed(captions))
    return write_listing(folder, out, Listed(candidates, poses, captions), left)


class _Job(NamedTuple):
    folder: Path
    out: Path
    plan: PreparePlan
    store: ItemStore
    executor: Executor | None
    on_stage: OnStage | None

    def run(self, stage: str, work: Work, items: Sequence[Item]) -> dict[str, Record]:
        def heard(outcome: Outcome, number: int, total: int) -> None:
            if self.on_stage is not None:
                self.on_stage(stage, outcome, number, total)

        return run_items(self.store, stage, work, items, self.executor, heard)

    def stage(
        self,
        stage: str,
        work: Work,
        candidates: Sequence[Candidate],
        data: Callable[[Candidate], dict],
    ) -> dict[str, Record]:
        return self.run(stage, work, [Item(c.name, {"name": c.name} | data(c)) for c in candidates])

    def pieces(self, files: Sequence[Path]) -> tuple[list[Candidate], list[Left]]:
        """Of every file that can be read, and those that cannot."""
        items = [
            Item(name, {"file": name, "longest": self.plan.longest, **_stamp(path)})
            for path in files
            for name in [path.relative_to(self.folder).as_posix()]
        ]
        records = self.run("pieces", FindPieces(self.folder), items)
        candidates, left = [], []
        for file, record in records.items():
            if record.state != DONE:
                left.append(Left(file, 0.0, record.reason))
            for data in record.result.get("pieces", ()):
                piece = Piece(**data)
                candidates.append(Candidate(_name_of(file, piece.start), file, piece))
        return candidates, left

    def clip_data(self, candidate: Candidate) -> dict:
        piece = candidate.piece
        return {
            "file": candidate.file,
            "start": piece.start,
            "seconds": piece.seconds,
            "largest": self.plan.largest,
            **_stamp(self.folder / candidate.file),
        }

    def poses(self, candidates: Sequence[Candidate]) -> dict[str, Record]:
        work = self.plan.poses
        if work is None:
            return {}
        told = {
            "networks": [str(part) for part in work.networks],
            "settings": vars(work.settings),
        }
        placed = replace(work, out=self.out)
        return self.stage("poses", placed, candidates, lambda c: self.clip_data(c) | told)

    def captions(self, candidates: Sequence[Candidate]) -> dict[str, Record]:
        choice = self.plan.captioner
        if choice is None:
            return {}
        prompts = load_prompts(self.plan.prompts)
        work = WriteCaption(self.out, choice, prompts)
        told = {"captioner": choice.called, "prompts": prompts.version, "budget": work.budget}
        return self.stage("captions", work, candidates, lambda c: self.clip_data(c) | told)


def _stamp(path: Path) -> dict:
    stat = path.stat()
    return {"bytes": stat.st_size, "modified": stat.st_mtime_ns}


def _name_of(file: str, start: float) -> str:
    """walk-3f2a91-001230: of the file's stem, its whole path and the milliseconds."""
    stem = "".join(c if c.isalnum() else "_" for c in Path(file).stem)[:40]
    return f"{stem}-{hashlib.sha256(file.encode()).hexdigest()[:6]}-{round(1000 * start):06d}"


def _reasons(candidates: Sequence[Candidate], limits: Limits) -> dict[str, str]:
    """By name: why a piece is not made a clip."""
    reasons = {c.name: reason_against(c.piece, limits) for c in candidates}
    good = [(c.name, c.piece) for c in candidates if not reasons[c.name]]
    twice = find_duplicates(good, limits.min_difference)
    reasons |= {name: f"the same as {earlier}" for name, earlier in twice.items()}
    return {name: reason for name, reason in reasons.items() if reason}


def _failed(records: dict[str, Record]) -> dict[str, str]:
    return {key: record.reason for key, record in records.items() if record.state != DONE}


def _unseen(poses: dict[str, Record], limits: Limits) -> dict[str, str]:
    reasons = {
        name: reason_against_subjects(Seen(**record.result["seen"]), limits)
        for name, record in poses.items()
        if record.state == DONE
    }
    return {name: reason for name, reason in reasons.items() if reason}
