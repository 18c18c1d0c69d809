"""Small sets of cases and results for the bench's tables and pages."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from dreamactor_core.bench.aw.cases import AwCase, AwDriver, AwReference, sha256_of, write_cases
from dreamactor_core.bench.aw.systems import System, settle_system
from dreamactor_core.media import write_image, write_video

SIDE, FPS = 32, 12


class Made(NamedTuple):
    set: Path
    results: Path
    cases: list[str]


def make_results(
    folder: Path,
    systems: Iterable[str],
    number: int = 3,
    frames: int = 6,
    missing: Sequence[tuple[str, str]] = (),
) -> Made:
    """A set of so many cases, each the same driver and picture, and a video a system and case.

    missing: (system, case) of videos that are not there.
    """
    case_set, results = folder / "set", folder / "results"
    for path in (case_set / "media", results):
        path.mkdir(parents=True)
    write_video(case_set / "media/driver.mp4", _moving(frames, 255), FPS)
    write_image(case_set / "media/reference.png", _moving(1, 128)[0])
    common = {"license": "CC0-1.0", "source": "made here", "subjects": 1}
    files = ("media/driver.mp4", "media/reference.png")
    driver, reference = ({"file": f, "sha256": sha256_of(case_set / f)} | common for f in files)
    cases = [f"case-{k:03d}" for k in range(number)]
    write_cases(
        case_set,
        "small",
        "For tests.",
        [
            AwCase(
                name,
                AwDriver(
                    **driver, kind="human", region="full", age=None, activity="dance",
                    camera="static",
                ),
                AwReference(**reference, kind="cartoon" if k % 2 else "human"),
                "one-to-one",
                ("complex-motion",) if k % 2 else ("half2full",),
            )
            for k, name in enumerate(cases)
        ],
    )  # fmt: skip
    for number, name in enumerate(systems):
        system = settle_system(results, System(name, results / name, "import"))
        videos = [case for case in cases if (name, case) not in missing]
        first = system.folder / "first.mp4"
        write_video(first, _moving(frames, 60 + 40 * number), FPS)
        for k, case in enumerate(videos):  # each with bytes of its own, without encoding it
            (system.folder / f"{case}.mp4").write_bytes(first.read_bytes() + _free_box(k))
        first.unlink()
    return Made(case_set, results, cases)


def _free_box(number: int) -> bytes:
    """Of an MP4: players skip it."""
    return (12).to_bytes(4, "big") + b"free" + number.to_bytes(4, "big")


def _moving(frames: int, brightness: int) -> np.ndarray:
    """A square that goes to the right, (t, h, w, 3) uint8."""
    video = np.full((frames, SIDE, SIDE, 3), 20, np.uint8)
    for time in range(frames):
        video[time, 8:24, 2 + 2 * time : 14 + 2 * time] = brightness
    return video
