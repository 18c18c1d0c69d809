"""A caption for every clip of a folder: one JSON line each, a manifest that training reads.

    {"target": "a.mp4", "driving": "a.mp4", "caption": ..., "motion": ..., "appearance": ..., ...}

A line is on the disk before the next clip is begun. Run again, the command goes on where it was:
clips with a line are left alone unless their file has changed, those that failed are tried again.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ..errors import InputError, UnavailableError
from ..items.run import PATIENCE
from ..media import check_writable, read_frames, read_image, replacing, to_uint8
from ..media.replace import digest_of_file
from .captioner import Captioner
from .describe import BUDGET, describe
from .prompts import Prompts, load_prompts
from .sample import sample_by_motion, within_budget

VIDEOS = {".mp4", ".mov", ".mkv", ".webm", ".avi", ".gif", ".m4v"}
PICTURES = (".png", ".jpg", ".jpeg", ".webp")


class Captioned(NamedTuple):
    clip: Path
    error: str | None  # the sentence, for a clip that has no line


def caption_folder(
    captioner: Captioner,
    folder: Path,
    output: Path,
    *,
    prompts: Prompts | None = None,
    budget: int = BUDGET,
    on_clip: Callable[[Captioned, int, int], None] | None = None,
) -> list[Captioned]:
    """Caption all clips below a folder, in the order of their names. Returns what was tried now.

    The reference of a clip is the picture of the same name beside it, and otherwise its own first
    frame, as in self-driven training.
    on_clip: called after each clip with its outcome, its number from 1, and how many there are.
    Raises InputError for a folder without clips, for an output of another form, and when the
    captioner is UnavailableError for PATIENCE clips in a row: what is done stays done.
    """
    prompts = prompts or load_prompts()
    clips = find_clips(folder)
    done = _resume(output, clips)
    todo = [clip for clip in clips if clip not in done]
    outcomes, unanswered = [], 0
    for number, clip in enumerate(todo, 1):
        try:
            row = _caption(captioner, clip, output, prompts, budget)
            with output.open("a", encoding="utf-8") as file:
                file.write(json.dumps(row, ensure_ascii=False) + "\n")
                file.flush()
                os.fsync(file.fileno())
            outcomes.append(Captioned(clip, None))
            unanswered = 0
        except InputError as error:
            outcomes.append(Captioned(clip, str(error)))
            unanswered = unanswered + 1 if isinstance(error, UnavailableError) else 0
            if unanswered == PATIENCE:
                raise
        if on_clip is not None:
            on_clip(outcomes[-1], number, len(todo))
    return outcomes


def find_clips(folder: Path) -> list[Path]:
    if not folder.is_dir():
        need, fix = "a folder with videos", "Check the spelling."
        raise InputError(str(folder), got="no such folder", need=need, fix=fix)
    clips = sorted(path for path in folder.rglob("*") if path.suffix.lower() in VIDEOS)
    if not clips:
        need = f"files that end in {', '.join(sorted(VIDEOS))}"
        raise InputError(str(folder), got="no videos in it", need=need, fix="Choose another.")
    return clips


def _caption(
    captioner: Captioner, clip: Path, output: Path, prompts: Prompts, budget: int
) -> dict[str, object]:
    pictures = (clip.with_suffix(suffix) for suffix in PICTURES)
    own = next((path for path in pictures if path.is_file()), None)

    def reference() -> np.ndarray:
        image = to_uint8(read_image(own)) if own else next(iter(read_frames(clip))).image
        return within_budget(image, budget)

    caption = describe(
        captioner,
        reference,
        lambda: sample_by_motion(lambda: read_frames(clip), budget),
        prompts=prompts,
        unfused=False,
    )
    fields = asdict(caption)
    name = _relative(clip, output)
    row = {"target": name, "driving": name, "caption": fields.pop("text"), **fields}
    if own is not None:
        row["reference"] = _relative(own, output)
    return row | {"sha256": digest_of_file(clip)}


def _resume(output: Path, clips: list[Path]) -> set[Path]:
    """The clips that have a line; a torn last line and lines of changed files are taken out."""
    if not output.exists():
        check_writable(output)
        return set()
    rows, torn = _read_rows(output)
    named = {_relative(clip, output): clip for clip in clips}
    kept, done = [], set()
    for row in rows:
        clip = named.get(row["target"])
        if clip is not None and (clip in done or row["sha256"] != digest_of_file(clip)):
            continue
        kept.append(row)  # those of clips that are elsewhere now stay, too
        done |= {clip} if clip is not None else set()
    if torn or len(kept) < len(rows):
        with replacing(output, overwrite=True) as part:
            lines = (json.dumps(row, ensure_ascii=False) + "\n" for row in kept)
            part.write_text("".join(lines), encoding="utf-8")
    return done


def _read_rows(output: Path) -> tuple[list[dict], bool]:
    """The lines, and whether the last one was torn by a crash in the middle of writing."""
    try:
        text = output.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise _other_form(output, f"'{error}'") from error
    lines = text.splitlines()
    rows = list(_parsed_rows(lines if text.endswith("\n") else lines[:-1], output))
    if lines and not text.endswith("\n"):
        try:
            rows += _parsed_rows(lines[-1:], output)
        except InputError:
            if not rows and not lines[-1].startswith('{"target"'):
                raise  # somebody's other file, not a line of ours
    return rows, not text.endswith("\n")


def _parsed_rows(lines: list[str], output: Path) -> Iterator[dict]:
    for number, line in enumerate(lines, 1):
        try:
            row = json.loads(line)
            good = all(isinstance(row[key], str) for key in ("target", "caption", "sha256"))
        except (ValueError, TypeError, LookupError):
            good = False
        if not good:
            raise _other_form(output, f"{line[:60]!r} in line {number}")
        yield row


def _other_form(output: Path, got: str) -> InputError:
    need = "a file that this command has written, or a new name"
    return InputError(str(output), got=got, need=need, fix="Choose another name for the output.")


def _relative(path: Path, output: Path) -> str:
    try:
        return Path(os.path.relpath(path, output.parent)).as_posix()
    except ValueError:  # another drive of Windows
        return path.resolve().as_posix()
