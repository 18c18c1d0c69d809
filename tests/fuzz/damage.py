"""How files are damaged: bytes of any file, and the values of JSON."""

from __future__ import annotations

import copy
import json
import random
import struct

NUMBERS = (0, 1, -1, 127, 255, 65_535, 2**31 - 1, 2**32 - 1, 2**63 - 1)
VALUES = (
    None, True, 0, -1, 1e308, -1e308, 10**6, 10**18, 10**400, float("nan"), float("inf"), "",
    "x" * 1000, "\ud800", "\x1b[2J", [], {}, [[]], [None], [1, 2], {"a": 1}, 0.5, "1", "nan",
)  # fmt: skip
DEEP = ('{"a":' * 50_000, "[" * 50_000, "[" * 900 + "]" * 900)


def damaged(data: bytes, rng: random.Random) -> bytes:
    """A few bytes changed, cut out, doubled, or replaced by numbers that mean trouble."""
    data = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 4, 16))):
        at = min(int(rng.expovariate(4 / max(1, len(data)))), len(data))  # headers most of all
        how = rng.randrange(6)
        if how == 0:
            data[at : at + 1] = bytes([rng.randrange(256)])
        elif how == 1:
            number = rng.choice(NUMBERS)
            width = rng.choice("BHIQ")
            wrapped = number % 2 ** (8 * struct.calcsize(width))
            data[at : at + struct.calcsize(width)] = struct.pack(rng.choice("<>") + width, wrapped)
        elif how == 2:
            del data[at : at + rng.randrange(1, 64)]
        elif how == 3:
            data[at:at] = data[at : at + rng.randrange(1, 64)]
        elif how == 4:
            data[at:at] = rng.randbytes(rng.randrange(1, 32))
        elif len(data) > 8:
            del data[rng.randrange(8, len(data)) :]
    return bytes(data)


def damaged_json(value: object, rng: random.Random) -> bytes:
    """One or two of its values replaced, keys dropped; sometimes the text itself is damaged."""
    value = copy.deepcopy(value)
    for _ in range(rng.choice((1, 1, 2))):
        value = _replaced(value, rng)
    text = json.dumps(value)
    if rng.random() < 0.1:
        return rng.choice(DEEP).encode()
    data = text.encode("utf-8", "surrogatepass")
    return damaged(data, rng) if rng.random() < 0.2 else data


def _replaced(value: object, rng: random.Random) -> object:
    if rng.random() < 0.15 or not isinstance(value, dict | list) or not value:
        return copy.deepcopy(rng.choice(VALUES))
    key = rng.choice(list(value)) if isinstance(value, dict) else rng.randrange(len(value))
    if rng.random() < 0.1:
        del value[key]
    else:
        value[key] = _replaced(value[key], rng)
    return value
