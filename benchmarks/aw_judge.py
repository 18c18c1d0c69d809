"""What a judge's known faults do to AW Bench's scores, without its protocol and with it.

    python benchmarks/aw_judge.py [--cases 12]

A server on this machine answers as a judge would that sees a picture's brightness, and adds points
for the video that is shown first, for each picture that a video is shown by, and for larger ones.
Three systems are equally good on the whole (2, 3 and 4 points in turn): one makes long videos, one
large ones, one is as it should be. Prints how many points each system gains or loses against the
mean of all three, and how many of all pairs of videos are ranked the wrong way round.

    plain       one question a case: systems by name, 2 pictures a second of each video, as they are
    protocol    as `aw judge` asks
"""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Mapping
from itertools import permutations
from pathlib import Path
from statistics import fmean
from tempfile import TemporaryDirectory

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from dreamactor_core.bench.aw.cases import read_cases
from dreamactor_core.bench.aw.judge.answers import LETTERS, read_ratings
from dreamactor_core.bench.aw.judge.pictures import HEADING
from dreamactor_core.bench.aw.judge.questions import enumerated, load_judge_prompts
from dreamactor_core.bench.aw.judge.work import JudgeWork, judge_results
from dreamactor_core.bench.aw.systems import System, read_systems, settle_system
from dreamactor_core.caption.choice import CaptionerChoice
from dreamactor_core.media import read_frames, write_image, write_video
from tests.core.aw_sets import case_row, write_rows
from tests.core.biased_judge import GREY, BiasedServer, biased

FPS = 8
VIDEOS = {"a-long": (33, 32), "b-large": (9, 64), "c-plain": (9, 32)}  # frames, pixels of a side
FAULTS: dict[str, dict[str, float]] = {
    "none": {},
    "first place: +1": {"first": 1},
    "length: +0.3 a picture": {"length": 0.3},
    "size: +1 a doubling": {"size": 1},
    "all three": {"first": 1, "length": 0.3, "size": 1},
}
SHOWN = "imaging_quality"

Scores = dict[tuple[str, str], float]  # (system, case): points


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--cases", type=int, default=12, help="of each fault (12)")
    args = parser.parse_args()
    logging.disable(logging.WARNING)
    with TemporaryDirectory() as folder:
        truth = _make(Path(folder), args.cases)
        print(f"| fault | way | {' | '.join(VIDEOS)} | pairs the wrong way round |")
        print("|---|---|" + "---|" * (len(VIDEOS) + 1))
        for name, faults in FAULTS.items():
            with biased(**faults) as server:
                ways = {
                    "plain": _plain(server, Path(folder), truth),
                    "protocol": _by_protocol(server, Path(folder), name),
                }
            for way, scores in ways.items():
                print(f"| {name} | {way} | {' | '.join(_cells(scores, truth))} |")


def _make(folder: Path, count: int) -> Scores:
    """A set, and the videos of all systems; what each deserves."""
    (folder / "set" / "media").mkdir(parents=True)
    write_image(folder / "set/media/r.png", _flat(3, 1, 32)[0])
    rows, truth = [], {}
    orders = list(permutations((2, 3, 4)))
    for number in range(count):
        write_video(folder / f"set/media/d{number}.mp4", _flat(1, 9, 32), FPS)
        write_image(folder / f"set/media/r{number}.png", _flat(3, 1, 32)[0])
        rows.append(case_row(folder / "set", number))
        for name, points in zip(VIDEOS, orders[number % len(orders)], strict=True):
            place = folder / "results" / name
            settle_system(folder / "results", System(name, place, "import"))
            write_video(place / f"c-{number}.mp4", _flat(points, *VIDEOS[name]), FPS)
            truth[name, f"c-{number}"] = float(points)
    write_rows(folder / "set", *rows)
    return truth


def _plain(server: BiasedServer, folder: Path, truth: Scores) -> Scores:
    captioner = CaptionerChoice(server.url, "fake")()
    question = load_judge_prompts().questions[SHOWN]
    letters, scores = LETTERS[: len(VIDEOS)], {}
    for case in sorted({case for _, case in truth}):
        images, server.counts = [], []
        for name in VIDEOS:
            frames = [f.image for f in read_frames(folder / "results" / name / f"{case}.mp4")]
            shown = [*frames[:: FPS // 2], frames[-1]]
            server.counts.append(len(shown))
            images += shown
        asked = question.fill(count=3, names=enumerated(letters), pictures="", frames="")
        server.heading = 0
        found = read_ratings(captioner.ask(asked, images, 100), letters)
        for letter, name in zip(letters, VIDEOS, strict=True):
            scores[name, case] = found[letter].score
    return scores


def _by_protocol(server: BiasedServer, folder: Path, fault: str) -> Scores:
    server.counts, server.heading = None, HEADING
    choice = CaptionerChoice(server.url, fault)
    work = JudgeWork(folder / "set", folder / "results", choice)
    systems = read_systems(folder / "results")
    done = judge_results(read_cases(folder / "set"), systems, work, choice.called)
    return {(e.system, e.case): e.scores[SHOWN] for e in done.lines}


def _cells(scores: Scores, truth: Mapping[tuple[str, str], float]) -> list[str]:
    means = {name: fmean(v for (s, _), v in scores.items() if s == name) for name in VIDEOS}
    cells = [f"{means[name] - fmean(means.values()):+.2f}" for name in VIDEOS]
    wrong = total = 0
    for one, other in permutations(scores, 2):
        if one[1] == other[1] and truth[one] > truth[other]:
            total += 1
            wrong += scores[one] <= scores[other]
    return [*cells, f"{wrong} of {total}"]


def _flat(points: float, count: int, side: int) -> np.ndarray:
    return np.full((count, side, side, 3), round(GREY * points), np.uint8)


if __name__ == "__main__":
    main()
