"""Scores: RESULTS/scores/NAME.jsonl, a line a video, whoever gave them.

    meters.jsonl   {"system", "case", "video_sha256", "scores": {meter: number}, "notes": [text]}
    judge.jsonl    the same, with the dimensions of a judge, 1 to 5, "reasons": {dimension: text},
                   "judge": its name, "prompt_version"
    ratings.jsonl  {"rater", "system", "case", "scores": {dimension: number}}, or a comparison:
                   {"rater", "case", "system", "other", "choice": "good", "same" or "bad"}

Lines are only added: a later one takes the place of an earlier one of the same video by the same
judge, and what a kill cuts short is cut off by the next line.
"""

from __future__ import annotations

import json
import logging
import math
import os
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from ...errors import InputError
from ...media.replace import check_readable
from .cases import json_object
from .systems import SCORES_FOLDER

logger = logging.getLogger(__name__)

METERS_FILE, JUDGE_FILE, RATINGS_FILE = "meters.jsonl", "judge.jsonl", "ratings.jsonl"
CHOICES = ("good", "same", "bad")  # of a comparison: the system beside the other


class Scale(NamedTuple):
    """What a number means."""

    title: str
    least: float
    most: float
    higher_is_better: bool = True


DIMENSIONS = {  # of judges and raters (paper sections 5.1 and 5.2)
    "imaging_quality": Scale("Imaging Quality", 1, 5),
    "motion_smoothness": Scale("Motion Smoothness", 1, 5),
    "temporal_consistency": Scale("Temporal Consistency", 1, 5),
    "appearance_consistency": Scale("Appearance Consistency", 1, 5),
    "motion_consistency": Scale("Motion Consistency", 1, 5),
}
JUDGED = (
    "imaging_quality", "motion_smoothness", "temporal_consistency", "appearance_consistency",
)  # fmt: skip
RATED = ("imaging_quality", "motion_consistency", "appearance_consistency")
METERS: dict[str, Scale] = {  # measured, by nobody's opinion (meters/)
    "identity": Scale("Identity", 0, 1),  # the reference's colours on the same limbs
    "identity_features": Scale("Identity (features)", -1, 1),  # cosine, by a vision model
    "kept": Scale("Colours Kept", 0, 1),  # of the character's, wherever they are
    "pck": Scale("PCK 15°", 0, 1),  # joints in the right direction from what holds them
    "angle_error": Scale("Angle Error", 0, 180, False),  # degrees, between limbs, 60 at the most
    "tempo_error": Scale("Tempo Error", 0, 1.5, False),  # octaves; 1: half or double the speed
    "leak": Scale("Driver Leak", 0, 1, False),  # 1: the colours are the driver's
    "flicker": Scale("Flicker", 0, 1, False),  # lighter and darker in turn
    "drift": Scale("Drift", 0, math.inf, False),  # of the picture's colours, a second
    "sharpness": Scale("Sharpness", 0, 1),  # fine detail beside the reference's
    "length": Scale("Length", 0, 1),  # duration beside the driver's
    "sound": Scale("Sound", 0, 1),  # the driver's, at its time
}


@dataclass(frozen=True)
class ScoreLine:
    """What one judge, rater or meter says of one video."""

    system: str
    case: str  # its id
    scores: dict[str, float] = field(default_factory=dict)  # by names of DIMENSIONS or METERS
    video_sha256: str = ""
    notes: tuple[str, ...] = ()
    reasons: dict[str, str] = field(default_factory=dict)
    judge: str = ""
    prompt_version: str = ""
    rater: str = ""
    other: str = ""  # the system it was compared with
    choice: str = ""  # of CHOICES

    @property
    def key(self) -> tuple[str, ...]:
        """Lines of one key say the same thing: the last of them counts."""
        return self.system, self.case, self.other, self.judge, self.rater


def score_path(results: Path, name: str) -> Path:
    """Of one of the three files above."""
    return results / SCORES_FOLDER / name


def read_scores(path: Path) -> list[ScoreLine]:
    """What is usable in a file, each key once, the last line of it; [] where there is no file.

    A line that cannot be read is named in the log and skipped.
    """
    if not path.exists():
        return []
    check_readable(path, "a file of scores")
    found: dict[tuple[str, ...], ScoreLine] = {}
    for number, raw in enumerate(path.read_bytes().split(b"\n"), 1):
        if not raw.strip():
            continue
        where = f"{path}, line {number}"
        try:
            line = _line_of(json_object(raw.decode(errors="replace"), where))
        except (AttributeError, TypeError, ValueError) as error:
            said = error if isinstance(error, InputError) else f"{where}: {error}"
            logger.warning("skipped: %s", said)
            continue
        found.pop(line.key, None)
        found[line.key] = line
    return list(found.values())


def append(path: Path, lines: Iterable[ScoreLine]) -> None:
    """Add lines, which are on the disk when this returns. One process at a time."""
    text = "".join(json.dumps(_row(line), ensure_ascii=False) + "\n" for line in lines)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+b") as file:
        file.truncate(_whole_lines(path))
        file.write(text.encode())
        file.flush()
        os.fsync(file.fileno())


def _whole_lines(path: Path) -> int:
    """Bytes up to the last line's end: what follows was cut short by a kill."""
    return path.read_bytes().rfind(b"\n") + 1


def _row(line: ScoreLine) -> dict[str, Any]:
    """Without what is empty."""
    return {name: value for name, value in asdict(line).items() if value not in ("", {}, ())}


def _line_of(data: dict[str, Any]) -> ScoreLine:
    """Raises ValueError for a line that says nothing, or something that cannot be."""
    fields = ScoreLine.__dataclass_fields__
    known: dict[str, Any] = {name: data[name] for name in fields if name in data}
    texts: dict[str, Any] = {key: value for key, value in known.items() if isinstance(value, str)}
    for name in ("system", "case"):
        if not texts.get(name):
            raise ValueError(f"no {name}")
    scores = known.get("scores", {})
    for name, value in scores.items():
        _check(name, value)
    reasons = {str(name): str(why) for name, why in dict(known.get("reasons", {})).items()}
    choice = texts.get("choice", "")
    if bool(texts.get("other")) != bool(choice) or (choice and choice not in CHOICES):
        raise ValueError(f"a comparison has an other system and one of {', '.join(CHOICES)}")
    if not scores and not choice and not known.get("notes"):
        raise ValueError("neither scores nor a choice")
    notes = tuple(str(note) for note in known.get("notes", ()))
    return ScoreLine(**{**texts, "scores": dict(scores), "reasons": reasons, "notes": notes})


def _check(name: str, value: object) -> None:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not math.isfinite(value):  # type: ignore[arg-type] # it is a number
        raise ValueError(f"{name} is {value!r}, no number")
    scale = DIMENSIONS.get(name) or METERS.get(name)
    if scale and not scale.least <= value <= scale.most:  # type: ignore[operator]
        raise ValueError(f"{name} is {value}, not {scale.least:g} to {scale.most:g}")
