"""Every video of every case judged: questions are items of a store, so that nothing is asked twice.

item     one dimension of one case, for up to four systems
result   scores, reasons, and every answer with its hash
lines    RESULTS/scores/judge.jsonl, one a video, once all that can be had of a case is there
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ....caption.captioner import CachedCaptioner, Captioner
from ....items import DONE, Executor, Item, ItemStore, Outcome, Record, run_items
from ....items.work import Data
from ....media import fit, probe, read_image, to_uint8
from ..cases import CaseSet, sha256_of
from ..scores import JUDGE_FILE, JUDGED, ScoreLine, append, read_scores, score_path
from ..systems import SCORES_FOLDER, System, no_videos, video_of
from .ask import deal_systems, judge_group, judging
from .pictures import look_of, pictures_of
from .questions import WITH_REFERENCE, load_judge_prompts

JUDGE_FOLDER, JUDGE_ANSWERS = "judge", "answers"  # below RESULTS/scores; below that
JUDGE_STAGE = "judge"

OnItem = Callable[[str, Outcome, int, int], None]


@dataclass(frozen=True)
class JudgeWork:
    """data: dimension, case, reference and driver (files of the set), videos in the drawn order
    ([system, file of RESULTS, sha256]), and who is asked in which words."""

    folder: Path  # of the set
    results: Path
    who: Callable[[], Captioner]  # a CaptionerChoice
    prompts: Path | None = None  # a folder; None: ours

    def open(self) -> Callable[[Data], Data]:
        prompts = load_judge_prompts(self.prompts)
        with judging():
            captioner = CachedCaptioner(self.who(), judge_folder(self.results) / JUDGE_ANSWERS)

        def ask(data: Data) -> Data:
            pictures, reference = self.shown(data)
            judged = judge_group(captioner, prompts, data["dimension"], pictures, reference)
            return {**judged._asdict(), "judge": captioner.name}

        return ask

    def shown(self, data: Data) -> tuple[dict[str, list[np.ndarray]], np.ndarray | None]:
        """Pictures of each video, and the reference where it is asked about."""
        dimension = data["dimension"]
        picture = _reference(self.folder / data["reference"])
        look = look_of(picture, probe(self.folder / data["driver"]))
        shown = {
            name: pictures_of(dimension, self.results / file, look)
            for name, file, _ in data["videos"]
        }
        if dimension not in WITH_REFERENCE:
            return shown, None
        return shown, to_uint8(fit(picture, look.height, look.width))


@lru_cache(maxsize=4)
def _reference(path: Path) -> np.ndarray:
    """(h, w, 3) uint8"""
    picture = to_uint8(read_image(path))
    return picture.reshape(picture.shape[-3:])


class JudgeRun(NamedTuple):
    """What was judged, and what could not be."""

    lines: list[ScoreLine]
    failed: list[str]  # "case, dimension: why", and "case: why"
    videos: dict[str, int]  # of each system, how many of the cases have one
    questions: int  # that were to be asked, now or before


def judge_folder(results: Path) -> Path:
    return results / SCORES_FOLDER / JUDGE_FOLDER


def judge_results(
    cases: CaseSet,
    systems: list[System],
    work: JudgeWork,
    called: str,
    seed: int = 0,
    executor: Executor | None = None,
    on_item: OnItem | None = None,
) -> JudgeRun:
    """Ask what was not asked yet and write what is new into judge.jsonl.

    called: who answers; another judge is asked anew. seed: of the order in which systems are shown.
    Raises InputError as run_items does, when no case can be judged, and while another process
    judges.
    """
    items, failed, counts = question_items(cases, systems, work, called, seed)
    with ItemStore(judge_folder(work.results)) as store:
        writer = _Writer(work.results, items, store.records(JUDGE_STAGE))

        def heard(outcome: Outcome, number: int, total: int) -> None:
            writer.hear(outcome)
            if on_item is not None:
                on_item(JUDGE_STAGE, outcome, number, total)

        try:
            records = run_items(store, JUDGE_STAGE, work, items, executor, heard)
        finally:  # whatever stops it, what is answered is written
            lines = writer.write()
    failed += [f"{key}: {each.reason}" for key, each in records.items() if each.state != DONE]
    return JudgeRun(lines, failed, counts, len(items))


def question_items(
    cases: CaseSet, systems: list[System], work: JudgeWork, called: str, seed: int
) -> tuple[list[Item], list[str], dict[str, int]]:
    """Questions; why some cases have none; videos of each system. Raises InputError for none."""
    prompts = load_judge_prompts(work.prompts)
    counts = dict.fromkeys((system.name for system in systems), 0)
    items, failed = [], []
    for case in cases.cases:
        videos = {system.name: video_of(system, case) for system in systems}
        there = {name: path for name, path in videos.items() if path is not None}
        for name in there:
            counts[name] += 1
        if there and (lacking := cases.lacking(case)):
            failed.append(f"{case.id}: {lacking[0].file} of the set is missing")
            continue
        shown = {name: _video(work.results, path) for name, path in there.items()}
        for number, group in enumerate(deal_systems(list(there), seed, case.id)):
            common = {
                "case": case.id,
                "driver": case.driver.file,
                "reference": case.reference.file,
                "sums": [case.driver.sha256, case.reference.sha256],
                "videos": [[name, *shown[name]] for name in group],
                "judge": called,
                "prompts": [prompts.version, prompts.digest],
            }
            items += [
                Item(f"{case.id} {dimension} {number + 1}", {"dimension": dimension, **common})
                for dimension in JUDGED
            ]
    if not items:
        raise no_videos(work.results, failed)
    return items, failed, counts


def _video(results: Path, path: Path) -> tuple[str, str]:
    return path.relative_to(results).as_posix(), sha256_of(path)


class _Writer:
    """Adds to judge.jsonl what is new: of each case when its last question is answered."""

    def __init__(self, results: Path, items: list[Item], before: dict[str, Record]):
        self.path, self.items = score_path(results, JUDGE_FILE), {each.key: each for each in items}
        self.there = {line.key: line for line in read_scores(self.path)}
        settled = (
            key for key, item in self.items.items() if key in before and before[key].settles(item)
        )
        self.results: dict[str, Data] = {key: before[key].result for key in settled}
        self.faults: dict[str, str] = {}
        left = [item.data["case"] for key, item in self.items.items() if key not in self.results]
        self.left = Counter(left)

    def hear(self, outcome: Outcome) -> None:
        if outcome.state == DONE:
            self.results[outcome.key] = outcome.result
        else:
            self.faults[outcome.key] = outcome.reason
        case = self.items[outcome.key].data["case"]
        self.left[case] -= 1
        if not self.left[case]:
            self.write(case)

    def write(self, case: str | None = None) -> list[ScoreLine]:
        """Lines of one case, or of all, whether they were there before or not."""
        lines: dict[tuple[str, ...], ScoreLine] = {}
        for key, item in self.items.items():
            if case is not None and item.data["case"] != case:
                continue
            for system, _, digest in item.data["videos"]:
                self._add(lines, key, system, digest)
        new = [line for line in lines.values() if self.there.get(line.key) != line]
        if new:
            append(self.path, new)
            self.there |= {line.key: line for line in new}
        return list(lines.values())

    def _add(
        self, lines: dict[tuple[str, ...], ScoreLine], key: str, system: str, digest: str
    ) -> None:
        """What one question says of one video."""
        data, result = self.items[key].data, self.results.get(key)
        if result is None and key not in self.faults:
            return
        version = "+".join(data["prompts"])
        empty = ScoreLine(
            system, data["case"], video_sha256=digest, judge=data["judge"], prompt_version=version
        )
        line = lines.get(empty.key, empty)
        name = data["dimension"]
        if result is None:
            line = replace(line, notes=(*line.notes, f"{name}: {self.faults[key]}"))
        else:
            line = replace(
                line,
                scores=line.scores | {name: result["scores"][system]},
                reasons=line.reasons | {name: result["reasons"][system]},
            )
        lines[line.key] = line
