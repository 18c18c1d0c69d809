"""One short text for whatever a video depends on: equal texts, equal videos."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from hashlib import blake2b
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ..media import Footage

NUMBERS_READ = 64  # numbers that are read of each tensor of a network
DIGEST_BYTES = 16  # bytes


def digest_of(*values: Any) -> str:
    """Hexadecimal, of anything a job holds: arrays and tensors by what is in them, files by name,
    size and time, networks by some numbers of each tensor, dataclasses and sequences part by part.
    """
    digest = blake2b(digest_size=DIGEST_BYTES)
    for value in values:
        _add(digest, value)
    return digest.hexdigest()


def _add(digest: Any, value: Any) -> None:
    if isinstance(value, Tensor):
        value = value.cpu().numpy()
    if isinstance(value, np.ndarray):
        digest.update(f"{value.shape} {value.dtype}".encode())
        digest.update(np.ascontiguousarray(value))
    elif isinstance(value, Footage):  # its sound lies in a file of another name each time
        sound = value.sound.read_bytes() if value.sound else b""
        _add(digest, (value.frames, value.fps, sound))
    elif isinstance(value, Path):
        _add(digest, list(_stamps(value)))
    elif isinstance(value, nn.Module):
        for name, tensor in chain(value.named_parameters(), value.named_buffers()):
            digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}".encode())
            digest.update(_some(tensor))
    elif is_dataclass(value):
        _add(digest, [getattr(value, field.name) for field in fields(value)])
    elif isinstance(value, (tuple, list)):
        digest.update(f"{len(value)}".encode())
        for part in value:
            _add(digest, part)
    else:
        digest.update(repr(value).encode())


def _stamps(path: Path) -> Iterator[str]:
    """Of a file, or of all files of a folder; of what is not there its name."""
    yield str(path)
    for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
        if file.is_file():
            stat = file.stat()
            yield f"{file} {stat.st_size} {stat.st_mtime_ns}"


def _some(tensor: Tensor) -> bytes:
    """A few of its numbers, as they are stored; nothing of one that is not in memory."""
    if tensor.is_meta or not tensor.numel():
        return b""
    flat = tensor.detach().as_subclass(torch.Tensor).reshape(-1)
    some = flat[:: -(-len(flat) // NUMBERS_READ)].contiguous().cpu()
    return some.view(torch.uint8).numpy().tobytes()
