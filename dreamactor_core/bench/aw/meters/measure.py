"""All meters of one video, and of every video of every case as items of a store."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from ....items import DONE, Executor, Item, ItemStore, Outcome, Record, run_items
from ....items.work import Data
from ....media import probe
from ..cases import AwCase, CaseSet, sha256_of
from ..scores import METERS_FILE, ScoreLine, append, read_scores, score_path
from ..systems import SCORES_FOLDER, System, no_videos, video_of
from .bodies import BodyReader
from .exact import length, sound
from .features import VisionFeatures, identity_features, load_vision
from .identity import colours_kept, drift, identity
from .leak import driver_leak
from .motion import angle_error, pck
from .picture import fine_detail, flicker
from .seen import Compared, see_files
from .tempo import tempo_error

METER_FOLDER, METER_STAGE = "meter", "meter"  # below RESULTS/scores; of its store
METER_VERSION = 5  # counts up when a meter measures otherwise: all is measured again

OnVideo = Callable[[str, Outcome, int, int], None]


OF_FRAMES: dict[str, Callable[[Compared], float | None]] = {
    "identity": identity,
    "kept": colours_kept,
    "pck": pck,
    "angle_error": angle_error,
    "tempo_error": tempo_error,
    "leak": driver_leak,
    "flicker": flicker,
    "drift": drift,
    "sharpness": fine_detail,
}
OF_FILES: dict[str, Callable[[Path, Path], float | None]] = {"length": length, "sound": sound}


class Measured(NamedTuple):
    scores: dict[str, float]  # without what cannot be told
    notes: list[str]


def measure_video(
    reference: Path,
    driver: Path,
    made: Path,
    reader: BodyReader,
    vision: VisionFeatures | None = None,
) -> Measured:
    """Raises InputError for a file that cannot be read."""
    seen = see_files(reference, driver, made, reader)
    told = {name: of(seen) for name, of in OF_FRAMES.items()}
    told |= {name: of(driver, made) for name, of in OF_FILES.items()}
    if vision is not None:
        told["identity_features"] = identity_features(seen, vision)
    return Measured(
        {name: round(float(value), 5) for name, value in told.items() if value is not None},
        _notes(seen, driver, made),
    )


def _notes(seen: Compared, driver: Path, made: Path) -> list[str]:
    """What is another than the case asks for, and what is not known."""
    wanted, got = probe(driver), probe(made)
    notes = []
    if abs(wanted.duration - got.duration) > 0.5 / float(wanted.fps):
        notes.append(f"lasts {got.duration:.2f} s, its driver {wanted.duration:.2f} s")
    height, width = seen.reference.shape[:2]
    if abs(got.width / got.height - width / height) > 0.05 * width / height:
        notes.append(f"is {got.width}x{got.height}, of another shape than its reference")
    for what, pose in (
        ("reference", seen.reference_pose),
        ("driver", seen.driver.pose),
        ("video", seen.made.pose),
    ):
        if pose is None:
            notes.append(f"no limbs are known in the {what}")
    return notes


@dataclass(frozen=True)
class MeterWork:
    """data: reference and driver (files of the set), video (file of RESULTS), their sums."""

    folder: Path  # of the set
    results: Path
    follow_people: bool = True  # by BlazePose, if it is on this machine
    vision: Path | None = None  # folder of a vision model, for identity_features

    def open(self) -> Callable[[Data], Data]:
        reader = BodyReader(self.follow_people)
        vision = None if self.vision is None else load_vision(self.vision)

        def run(data: Data) -> Data:
            reference, driver = (self.folder / data[name] for name in ("reference", "driver"))
            video = self.results / data["video"]
            return measure_video(reference, driver, video, reader, vision)._asdict()

        return run


class MeterRun(NamedTuple):
    lines: list[ScoreLine]
    failed: list[str]  # "system case: why"
    videos: dict[str, int]  # of each system, how many of the cases have one


def meter_results(
    cases: CaseSet,
    systems: list[System],
    work: MeterWork,
    executor: Executor | None = None,
    on_video: OnVideo | None = None,
) -> MeterRun:
    """Measure what was not measured yet, and add what is new to meters.jsonl.

    Raises InputError as run_items does, when there is no video at all, while another process
    measures, and for a vision model that is none.
    """
    items, failed, counts = _items(cases, systems, work)
    if not items:
        raise no_videos(work.results, failed)
    by_key = {item.key: item for item in items}
    path = score_path(work.results, METERS_FILE)
    there = {line.key: line for line in read_scores(path)}

    def write(key: str, result: Data) -> ScoreLine:
        data = by_key[key].data
        line = ScoreLine(
            data["system"],
            data["case"],
            scores=result["scores"],
            video_sha256=data["sums"][2],
            notes=tuple(result["notes"]),
        )
        if there.get(line.key) != line:
            append(path, [line])
            there[line.key] = line
        return line

    def heard(outcome: Outcome, number: int, total: int) -> None:
        if outcome.state == DONE:
            write(outcome.key, outcome.result)
        if on_video is not None:
            on_video(METER_STAGE, outcome, number, total)

    with ItemStore(work.results / SCORES_FOLDER / METER_FOLDER) as store:
        records = run_items(store, METER_STAGE, work, items, executor, heard)
        lines = [write(key, each.result) for key, each in records.items() if each.state == DONE]
    failed += [_failed(key, each) for key, each in records.items() if each.state != DONE]
    return MeterRun(lines, failed, counts)


def _failed(key: str, record: Record) -> str:
    return f"{key}: {record.reason}"


def _items(
    cases: CaseSet, systems: list[System], work: MeterWork
) -> tuple[list[Item], list[str], dict[str, int]]:
    """A video each; what is missing of the set; videos of each system."""
    model = {} if work.vision is None else {"vision": load_vision(work.vision).digest}
    counts = dict.fromkeys((system.name for system in systems), 0)
    items, failed = [], []
    for case in cases.cases:
        for system in systems:
            path = video_of(system, case)
            if path is None:
                continue
            counts[system.name] += 1
            if lacking := cases.lacking(case):
                failed.append(f"{system.name} {case.id}: {lacking[0].file} is missing")
                continue
            items.append(Item(f"{system.name} {case.id}", _data(case, system, path, work) | model))
    return items, failed, counts


def _data(case: AwCase, system: System, path: Path, work: MeterWork) -> Data:
    return {
        "system": system.name,
        "case": case.id,
        "reference": case.reference.file,
        "driver": case.driver.file,
        "video": path.relative_to(work.results).as_posix(),
        "sums": [case.driver.sha256, case.reference.sha256, sha256_of(path)],
        "people": work.follow_people,
        "version": METER_VERSION,
    }
