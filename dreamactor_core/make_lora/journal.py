"""Which stages of a job are finished, and of what: so that none is begun again for nothing."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from ..media.replace import replacing

STAGES_FILE = "stages.json"


def key_of(*parts: Any) -> str:
    """Ten letters that change with any of the parts: bytes, or of JSON's types."""
    sha = hashlib.sha256()
    for part in parts:
        raw = part if isinstance(part, bytes) else json.dumps(part, sort_keys=True).encode()
        sha.update(hashlib.sha256(raw).digest())
    return sha.hexdigest()[:10]


class Journal:
    """Stage -> key of what it was finished with, in one file of the job's folder."""

    def __init__(self, folder: Path):
        folder.mkdir(parents=True, exist_ok=True)
        self.path = folder / STAGES_FILE
        try:
            self.finished = dict(json.loads(self.path.read_text(encoding="utf-8")))
        except (
            OSError,
            ValueError,
            TypeError,
            RecursionError,
        ):  # each stage finds by itself what it has done
            self.finished = {}

    def has(self, stage: str, key: str) -> bool:
        return self.finished.get(stage) == key

    def note(self, stage: str, key: str) -> None:
        self.finished[stage] = key
        with replacing(self.path, overwrite=True) as part:
            part.write_text(json.dumps(self.finished, indent=1), encoding="utf-8")
