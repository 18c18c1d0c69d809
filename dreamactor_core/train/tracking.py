"""The curve of a training in trackio's dashboard, for those who want to see it in a browser."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from ..errors import InputError


@contextmanager
def tracked(
    project: str, run: str, config: dict[str, Any]
) -> Iterator[Callable[[dict[str, Any]], None]]:
    """What takes the lines of steps.jsonl, each with its step, as they are written.

    project: of trackio, which keeps it on this machine; "" takes the lines nowhere. A run of the
    same name goes on. Raises InputError without the package.
    """
    if not project:
        yield lambda line: None
        return
    try:
        trackio = importlib.import_module("trackio")
    except ImportError as error:
        raise InputError(
            f"tracker trackio, project {project}",
            got="no package trackio",
            need="it",
            fix="pip install trackio, or leave --trackio away: loss.csv, loss.png and steps.jsonl "
            "are written in any case.",
        ) from error
    # embed is for notebooks; what the machine does is nobody's curve.
    quiet = {"embed": False, "auto_log_gpu": False, "auto_log_cpu": False}
    tracker = trackio.init(project=project, name=run, config=config, resume="allow", **quiet)
    try:
        yield lambda line: tracker.log(
            {name: value for name, value in line.items() if name != "step"}, step=line["step"]
        )
    finally:
        tracker.finish()
