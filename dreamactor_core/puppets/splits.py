"""Which split a combination of traits belongs to: its hash decides, whatever the seed."""

from __future__ import annotations

import zlib
from typing import Literal

Split = Literal["train", "test"]

TEST_SHARE = 8  # one combination of traits in this many belongs to the test split


def split_of(*traits: str) -> Split:
    """The split of a combination; the same traits in another order are another combination."""
    # crc32, because Python's own hash changes from run to run.
    return "test" if zlib.crc32("|".join(traits).encode()) % TEST_SHARE == 0 else "train"
