"""Who is to perform whose motion: pictures of a folder are drawn for the clips of a list."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from ..caption.folder import PICTURES
from ..errors import InputError


class SourceClip(NamedTuple):
    """A line of a list of clips: what a pair's target will be."""

    target: Path
    pose: Path
    caption: str  # of the target
    motion: str  # in words, without looks; "" if nobody has written it


class Casting(NamedTuple):
    """A clip, and a picture that is to perform it."""

    name: str  # unlike any other's, fit for a file name
    clip: SourceClip
    picture: Path
    kind: str
    seed: int


def read_source_clips(path: Path) -> list[SourceClip]:
    """The lines of clips.jsonl that have keypoints. Raises InputError when none has."""
    clips = []
    for line in path.read_bytes().splitlines():
        try:
            row = json.loads(line)
            texts = [row[key] for key in ("target", "pose")]
            texts += [row.get(key, "") for key in ("caption", "motion")]
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
            continue
        if all(isinstance(text, str) for text in texts):
            target, pose, caption, motion = texts
            clips.append(SourceClip(path.parent / target, path.parent / pose, caption, motion))
    if not clips:
        raise InputError(
            f"list of clips {path}",
            got='no line with "target" and "pose"',
            need="at least 1: the pose-based model is given keypoints",
            fix="Make the list with `prepare`, with a detector of poses.",
        )
    return clips


def find_pictures(folder: Path) -> dict[str, list[Path]]:
    """Kind -> its pictures: a kind is a folder in `folder`; without any all are of one kind.

    Raises InputError for a folder without pictures.
    """
    found: dict[str, list[Path]] = {}
    for path in sorted(folder.rglob("*")):
        if path.suffix.lower() in PICTURES and path.is_file():
            parts = path.relative_to(folder).parts
            found.setdefault(parts[0] if len(parts) > 1 else "", []).append(path)
    if not found:
        raise InputError(
            str(folder),
            got="no pictures in it",
            need=f"files that end in {', '.join(PICTURES)}",
            fix="Put pictures of other characters there, in folders such as humans and animals.",
        )
    return found


def cast_clips(
    clips: Sequence[SourceClip], pictures: dict[str, list[Path]], count: int, seed: int
) -> list[Casting]:
    """`count` pictures for each clip, the kinds in turn, so that each has its share.

    A draw depends on the clip's and the pictures' names alone: what is added to the list or to the
    folder changes few of the others. A picture performs a clip once.
    """
    kinds, castings = sorted(pictures), []
    for clip in clips:
        first, taken = int(_hash(seed, clip.target.name)[:8], 16), set()
        for k in range(count):
            kind = kinds[(first + k) % len(kinds)]
            left = [p for p in pictures[kind] if p not in taken]
            if not left:
                continue
            picture = min(left, key=lambda p: _hash(seed, clip.target.name, kind, p.name))
            taken.add(picture)
            digest = _hash(clip.target.name, kind, picture.name)
            name = f"{_plain(clip.target)}-{_plain(picture)}-{digest[:6]}"
            castings.append(Casting(name, clip, picture, kind, int(digest[:8], 16) + seed))
    return castings


def _hash(*parts: object) -> str:
    return hashlib.sha256(json.dumps([str(part) for part in parts]).encode()).hexdigest()


def _plain(path: Path) -> str:
    return "".join(c if c.isalnum() else "_" for c in path.stem)[:40]
