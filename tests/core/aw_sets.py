"""Small sets of cases for the tests of AW Bench: files of a few bytes, or of a few frames."""

from __future__ import annotations

import json
from pathlib import Path

from dreamactor_core.bench.aw.cases import sha256_of

HEAD = {"format": "aw-bench-cases", "version": 1, "name": "tiny", "about": "for tests"}


def case_row(folder: Path, number: int = 1, **changed) -> dict:
    """A line of cases.jsonl whose media are there; changed: driver__kind="animal" and so on."""
    row: dict = {
        "id": f"c-{number}",
        "driver": _media(folder, f"media/d{number}.mp4")
        | {"kind": "human", "region": "full", "age": None, "activity": "dance", "camera": "static"},
        "reference": _media(folder, f"media/r{number}.png") | {"kind": "cartoon"},
        "relation": "one-to-one",
        "scenarios": ["human2nonhuman"],
        "subset": "human-cartoon",
        "truth": None,
    }
    for name, value in changed.items():
        part, _, inner = name.rpartition("__")
        (row[part] if part else row)[inner] = value
    return row


def write_rows(folder: Path, *rows: dict | str) -> Path:
    """A set of these lines; a text is written as it is."""
    lines = [row if isinstance(row, str) else json.dumps(row) for row in (HEAD, *rows)]
    path = folder / "cases.jsonl"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def _media(folder: Path, file: str) -> dict:
    path = folder / file
    path.parent.mkdir(exist_ok=True)
    if not path.exists():
        path.write_bytes(file.encode())
    made = {"license": "CC0-1.0", "source": "drawn by a test"}
    return {"file": file, "sha256": sha256_of(path), "subjects": 1} | made
