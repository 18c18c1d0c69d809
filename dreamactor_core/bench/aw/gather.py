"""What there is of a set and a folder of results: videos, and what was said of them."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from ...errors import InputError
from .cases import AwCase, CaseSet, read_cases, sha256_of
from .scores import JUDGE_FILE, METERS_FILE, RATINGS_FILE, ScoreLine, read_scores, score_path
from .systems import System, read_systems, video_of

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Gathered:
    """Lines are of systems, cases and videos that are there; the others are counted in left_out."""

    case_set: CaseSet
    systems: list[System]
    videos: dict[str, dict[str, Path]]  # {system: {id of a case: its video}}
    meters: list[ScoreLine]
    judged: list[ScoreLine]
    ratings: list[ScoreLine]  # scores and comparisons by people
    left_out: dict[str, int]  # {why: how many lines}

    def names(self) -> list[str]:
        """Of the systems, by the alphabet."""
        return [system.name for system in self.systems]

    def common(self) -> Gathered:
        """Of the cases of which every system has a video alone."""
        shared = set.intersection(*(set(videos) for videos in self.videos.values()))
        if not shared:
            raise InputError(
                "cases that every system has made",
                got="none",
                need="at least one",
                fix="Leave {option} away, or take systems without videos out of the results.",
                option="common",
            )
        cases = tuple(case for case in self.case_set.cases if case.id in shared)
        return replace(
            self,
            case_set=replace(self.case_set, cases=cases),
            videos={
                system: {case: path for case, path in videos.items() if case in shared}
                for system, videos in self.videos.items()
            },
            meters=_of_cases(self.meters, shared),
            judged=_of_cases(self.judged, shared),
            ratings=_of_cases(self.ratings, shared),
        )


def gather(set_path: Path, results: Path) -> Gathered:
    """Everything in the two. Raises InputError as read_cases and read_systems do.

    Lines of scores that are of an unknown system or case, or of a video that is another one by now,
    are left out, and a warning says how many.
    """
    case_set, systems = read_cases(set_path), read_systems(results)
    videos = {system.name: _videos(system, case_set.cases) for system in systems}
    left_out: Counter[str] = Counter()
    digest = cache(sha256_of)

    def usable(name: str) -> list[ScoreLine]:
        kept = []
        for line in read_scores(score_path(results, name)):
            why = _reason_against(line, videos, case_set, digest)
            if why:
                left_out[f"{name}: {why}"] += 1
            else:
                kept.append(line)
        return kept

    meters, judged, ratings = map(usable, (METERS_FILE, JUDGE_FILE, RATINGS_FILE))
    for why, count in left_out.items():
        logger.warning("%s, lines left out: %d", why, count)
    return Gathered(case_set, systems, videos, meters, judged, ratings, dict(left_out))


def _videos(system: System, cases: Sequence[AwCase]) -> dict[str, Path]:
    found = {case.id: video_of(system, case) for case in cases}
    return {case: path for case, path in found.items() if path is not None}


def _reason_against(
    line: ScoreLine,
    videos: dict[str, dict[str, Path]],
    case_set: CaseSet,
    digest: Callable[[Path], str],
) -> str:
    """Why a line says nothing of what is there; empty if it does."""
    for name in filter(None, (line.system, line.other)):
        if name not in videos:
            return f"no system {name}"
    if line.case not in {case.id for case in case_set.cases}:
        return "no such case in the set"
    video = videos[line.system].get(line.case)
    if line.video_sha256 and video is not None and digest(video) != line.video_sha256:
        return f"videos of {line.system} have been made anew since"
    return ""


def _of_cases(lines: list[ScoreLine], cases: set[str]) -> list[ScoreLine]:
    return [line for line in lines if line.case in cases]
