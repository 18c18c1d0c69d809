"""Safetensors whose bytes depend on what is in them alone.

The package writes metadata in an order that differs from one process to the next, so that equal
files have different checksums.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from safetensors.torch import save_file
from torch import Tensor

LENGTH = 8  # bytes that hold the length of the header, which follows


def write_tensors(
    path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str] | None = None
) -> None:
    """As safetensors' save_file, with the metadata in the order of its names."""
    told = dict(sorted((metadata or {}).items()))
    save_file(dict(tensors), path, metadata=told)
    with path.open("r+b") as file:
        room = int.from_bytes(file.read(LENGTH), "little")
        header = json.loads(file.read(room))
        header.pop("__metadata__", None)
        ordered = ({"__metadata__": told} if told else {}) | header
        text = json.dumps(ordered, separators=(",", ":"), ensure_ascii=False).encode()
        assert len(text) <= room, "the same text in another order"
        file.seek(LENGTH)
        file.write(text.ljust(room))
