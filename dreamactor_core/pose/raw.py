"""Keypoint files as they lie on the disk: text in any encoding, folders of one file a frame."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import NoReturn

from ..errors import InputError
from .formats import frames_of


def load_json(path: Path | str) -> object:
    """The content of a JSON file, or of a folder of them, one a frame, in the order of their names.

    Any encoding of Unicode, with or without a byte-order mark; a frame on each line will do.
    Raises InputError for what cannot be read, and for a folder without such files.
    """
    path = Path(path)
    try:
        if not path.is_dir():
            return _parsed(path)
        files = sorted(filter(_is_frame, path.iterdir()), key=_natural)
        if not files:
            _refuse(f"keypoint folder {path.name}", "no .json files in it", "one for each frame")
        frames: list[object] = []
        for file in files:
            part = frames_of(_parsed(file))
            frames += part if isinstance(part, list) else [part]
        return frames
    except OSError as error:
        raise InputError(
            "keypoint file",
            got=f"{path} ({error.strerror})",
            need="a JSON file that can be read",
            fix="Check the path.",
        ) from error


def _is_frame(path: Path) -> bool:
    """Not what macOS puts beside each file ("._frame_1.json")."""
    return path.suffix.lower() == ".json" and not path.name.startswith(".")


def _parsed(path: Path) -> object:
    what = f"keypoint file {path.name}"
    try:
        return _json_of(path.read_bytes())
    except RecursionError:
        _refuse(what, "lists within lists without end", "OpenPose JSON, one entry per frame")
    except ValueError as error:
        _refuse(what, f"text that is not JSON ({error})", "OpenPose JSON, one entry per frame")


def _json_of(data: bytes) -> object:
    try:
        text = data.decode(json.detect_encoding(data), "surrogatepass")
    except UnicodeDecodeError:  # a word of an older Windows: the numbers are the same
        text = data.decode("cp1252", "replace")
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        if error.msg != "Extra data":
            raise
        return [json.loads(line) for line in text.splitlines() if line.strip()]


def _natural(path: Path) -> list[tuple[int, int, str]]:
    """frame_2 before frame_10."""
    parts = re.findall(r"[0-9]+|[^0-9]+", path.name)
    return [(0, int(part[:4000]), "") if part.isdigit() else (1, 0, part) for part in parts]


def _refuse(what: str, got: str, need: str) -> NoReturn:
    raise InputError(what, got=got, need=need, fix="Save the keypoints, not the drawn picture.")
