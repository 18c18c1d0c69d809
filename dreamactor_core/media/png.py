"""PNG with more text, or a larger profile, than Pillow reads: the same picture without them."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path
from typing import NamedTuple

SIGNATURE = b"\x89PNG\r\n\x1a\n"
TEXTS = (b"tEXt", b"zTXt", b"iTXt")
LARGEST_PROFILE = 1 << 24  # bytes; of printers up to 4 MB are in use


class LightPng(NamedTuple):
    file: io.BytesIO
    profile: bytes | None


def is_png(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(8) == SIGNATURE


def light_png(path: Path) -> LightPng:
    """The file without its texts and its profile, and the profile. A cut file stays cut."""
    data, at = path.read_bytes(), len(SIGNATURE)
    kept, profile = [SIGNATURE], None
    while at + 12 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, at)
        chunk = data[at : at + 12 + length]
        if kind == b"iCCP":
            profile = _profile(chunk[8:-4])
        elif kind not in TEXTS:
            kept.append(chunk)
        at += len(chunk)
    return LightPng(io.BytesIO(b"".join(kept)), profile)


def _profile(chunk: bytes) -> bytes | None:
    """name, 0, method 0, deflated -> the profile; None for a damaged or endless one."""
    _, _, packed = chunk.partition(b"\0")
    unpack = zlib.decompressobj()
    try:
        profile = unpack.decompress(packed[1:], LARGEST_PROFILE)
    except zlib.error:
        return None
    return profile if unpack.eof else None
