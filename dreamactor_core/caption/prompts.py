"""The wording of the three questions, and the words that betray a wrong answer: files to edit.

A folder holds motion.txt, appearance.txt, fusion.txt, looks.txt and limbs.txt. Ours are in
prompts/, one folder a version; a version is never changed once released, so that a caption can be
made again.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from string import Formatter

from ..errors import InputError

VERSION = "v1"
OURS = Path(__file__).parent / "prompts"
PLACEHOLDERS = {  # what a question must leave room for, and what it may
    "motion": (set(), {"count", "times", "words"}),
    "appearance": (set(), {"words"}),
    "fusion": ({"motion", "appearance"}, {"words"}),
}


@dataclass(frozen=True)
class Question:
    text: str  # with {fields}
    words: int  # the longest answer

    def fill(self, **values: object) -> str:
        return self.text.format(words=self.words, **values)


@dataclass(frozen=True)
class Prompts:
    version: str  # the name of their folder
    motion: Question
    appearance: Question
    fusion: Question
    looks: frozenset[str]
    limbs: dict[str, str]  # word: group
    implied: dict[str, frozenset[str]]  # group: groups that come with it


def load_prompts(folder: Path | None = None) -> Prompts:
    """Ours, or those of a folder. Raises InputError that names the file and what is wrong in it."""
    folder = OURS / VERSION if folder is None else Path(folder)
    questions = {
        name: read_question(folder / f"{name}.txt", *PLACEHOLDERS[name]) for name in PLACEHOLDERS
    }
    limbs: dict[str, str] = {}
    implied: dict[str, frozenset[str]] = {}
    for line in filter(str.strip, _lines(folder / "limbs.txt")):
        group, colon, rest = line.partition(":")
        words, _, others = rest.partition(">")
        if not (colon and words.split()):
            need = '"group: words", with "> groups" if wanted'
            raise InputError(str(folder / "limbs.txt"), got=line, need=need, fix="Mend the line.")
        limbs |= dict.fromkeys(words.split(), group.strip())
        implied[group.strip()] = frozenset(others.split())
    looks = frozenset(" ".join(_lines(folder / "looks.txt")).split())
    return Prompts(folder.resolve().name, **questions, looks=looks, limbs=limbs, implied=implied)


def copy_prompts(folder: Path, original: Path = OURS / VERSION) -> None:
    """Put a copy of ours where a user can edit it. Raises InputError if something is there."""
    try:
        shutil.copytree(original, folder)
    except OSError as error:
        got = "a folder that exists already" if Path(folder).exists() else f"'{error.strerror}'"
        need, fix = "a free name in a folder you may write to", "Choose another name."
        raise InputError(str(folder), got=got, need=need, fix=fix) from error


def read_question(path: Path, must: set[str], may: set[str]) -> Question:
    """A file with 'words: 80' in its first line, then the text with fields: all that it must have,
    and some that it may. Raises InputError."""
    lines = _lines(path)
    key, _, number = lines[0].partition(":") if lines else ("", "", "")
    text = "\n".join(lines[1:]).strip()
    if key.strip() != "words" or not number.strip().isdigit() or int(number) < 1 or not text:
        got, need = "no first line like 'words: 80'", "that line, then the question"
        raise InputError(str(path), got=got, need=need, fix="Begin it with 'words: 80'.")
    try:
        fields = {field for _, field, _, _ in Formatter().parse(text) if field is not None}
    except ValueError as error:
        got, fix = f"a brace without its partner ({error})", "Write {{ and }} for braces."
        raise InputError(str(path), got=got, need="fields like {words}", fix=fix) from error
    if must - fields or fields - must - may:
        names = ", ".join(f"{{{name}}}" for name in sorted(fields)) or "no fields"
        need = ", ".join(f"{{{name}}}" for name in sorted(must | may))
        fix = "Take the fields of the original file, and write {{ and }} for braces."
        raise InputError(str(path), got=names, need=need, fix=fix)
    return Question(text, int(number))


def _lines(path: Path) -> list[str]:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        need = "a text file of the prompts, as UTF-8"
        fix = "Copy the original prompts with {option} and edit the copy."
        raise InputError(
            str(path), got=f"'{error}'", need=need, fix=fix, option="copy_prompts"
        ) from error
    kept = "\n".join(line for line in text.splitlines() if not line.startswith("#"))
    return kept.strip().splitlines()
