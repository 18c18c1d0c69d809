"""What preparing hands over: lists of the clips that stayed and of what did not, and pages."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from ..errors import InputError
from ..items import Record
from ..media import replacing
from .filters import Seen
from .pieces import Piece
from .sheet import Card, dropped_names, write_sheets

CLIPS, STRIPS = "clips", "strips"  # folders of a job
CLIPS_FILE, LEFT_OUT_FILE = "clips.jsonl", "left-out.jsonl"


class Candidate(NamedTuple):
    name: str  # unlike any other's, fit for a file name
    file: str  # below the folder of footage
    piece: Piece


class Left(NamedTuple):
    """A file, or a piece of one, that is not in the list."""

    file: str
    start: float  # seconds
    reason: str


class Listed(NamedTuple):
    """What stayed, and what was found out about it, by name."""

    candidates: Sequence[Candidate]
    poses: Mapping[str, Record]
    captions: Mapping[str, Record]


class Prepared(NamedTuple):
    clips: Path  # the list; one line a clip that stayed
    number: int
    left_out: dict[str, int]  # the reason in short: how many files or pieces
    sheets: list[Path]


def without(
    candidates: Sequence[Candidate], left: list[Left], reasons: Mapping[str, str]
) -> list[Candidate]:
    """Those that nothing is said against; the others are added to `left`."""
    left += [
        Left(c.file, round(c.piece.start, 3), reasons[c.name])
        for c in candidates
        if c.name in reasons
    ]
    return [c for c in candidates if c.name not in reasons]


def clip_path(out: Path, name: str) -> Path:
    return out / CLIPS / f"{name}.mp4"


def strip_path(out: Path, name: str) -> Path:
    return out / STRIPS / f"{name}.jpg"


def deleted(out: Path, candidates: Sequence[Candidate]) -> dict[str, str]:
    """By name: clips that somebody has deleted, who does not want them again."""
    gone = (c.name for c in candidates if not clip_path(out, c.name).exists())
    return dict.fromkeys(gone, "deleted by hand")


def write_listing(folder: Path, out: Path, listed: Listed, left: list[Left]) -> Prepared:
    """Raises InputError when no clip stays, with reasons."""
    dropped = dropped_names(out)
    cards = [_card(out, c, listed, c.name in dropped) for c in listed.candidates]
    sheets = write_sheets(out, f"Clips of {folder.name}", cards)
    by_hand = {c.name: "dropped by hand" for c in listed.candidates if c.name in dropped}
    candidates = without(listed.candidates, left, by_hand)
    write_lines(out / LEFT_OUT_FILE, [one._asdict() for one in left])
    write_lines(out / CLIPS_FILE, [_row(c, listed) for c in candidates])
    if not candidates:
        some = "; ".join(f"{one.file}: {one.reason}" for one in left[:3])
        raise InputError(
            f"footage in {folder}",
            got=f"no usable clip ({some})",
            need="at least 1",
            fix=f"All reasons are in {out / LEFT_OUT_FILE}; use other footage, or other limits.",
        )
    counts = Counter(one.reason.partition(":")[0] for one in left)
    return Prepared(out / CLIPS_FILE, len(candidates), dict(counts.most_common()), sheets)


def write_lines(path: Path, rows: Sequence[dict]) -> None:
    """JSON lines, whole or absent."""
    text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    with replacing(path, overwrite=True) as part:
        part.write_text(text, encoding="utf-8")


def _row(candidate: Candidate, listed: Listed) -> dict:
    """A line of clips.jsonl: what training reads, and where it comes from."""
    name, piece = candidate.name, candidate.piece
    row: dict = {"target": f"{CLIPS}/{name}.mp4", "caption": ""}
    if name in listed.captions:
        told = listed.captions[name].result
        row |= {key: told[key] for key in ("caption", "motion", "appearance")}
    if name in listed.poses:
        row["pose"] = f"{CLIPS}/{name}.json"
    row["cut_from"] = {"file": candidate.file, "start": piece.start, "seconds": piece.seconds}
    return row


def _card(out: Path, candidate: Candidate, listed: Listed, dropped: bool) -> Card:
    name, piece = candidate.name, candidate.piece
    about = [
        f"{candidate.file}, {piece.start:.1f} to {piece.start + piece.seconds:.1f} s",
        f"{piece.width} x {piece.height}, {piece.fps:.3g} fps",
        f"motion {piece.motion:.0f}, sharpness {piece.sharpness:.0f}",
    ]
    if name in listed.poses:
        seen = Seen(**listed.poses[name].result["seen"])
        about.append(f"{seen.subjects} subjects, the largest {seen.share:.0%} of the picture")
    lines = [", ".join(about)]
    if name in listed.captions:
        lines.append(listed.captions[name].result["caption"])
    return Card(name, [strip_path(out, name)], lines, dropped)
