"""Where a host keeps BlazePose beside the core's own folder: known before anything heavy is."""

from __future__ import annotations

from pathlib import Path

further_homes: list[Path] = []  # in the host's order; it fills this
