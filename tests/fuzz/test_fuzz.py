"""A minute of damaged files in all; `python -m tests.fuzz` goes on for longer."""

from __future__ import annotations

import sys

import pytest

if sys.platform != "linux":
    pytest.skip("memory is limited by the means of Linux", allow_module_level=True)

from .run import run
from .targets import TARGETS

SECONDS = 6.5  # for each reader


@pytest.mark.parametrize("name", TARGETS)
def test_damaged_files_are_read_or_refused_in_words(name):
    result = run(name, seed=1, seconds=SECONDS, most=400)
    assert result.faults == []
    assert result.refused > 0
