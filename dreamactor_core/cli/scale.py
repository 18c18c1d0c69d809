"""Options of long jobs: where their items are done."""

from __future__ import annotations

import argparse
import importlib.util
from collections.abc import Callable
from contextlib import contextmanager
from typing import TYPE_CHECKING

from ..errors import InputError
from .shared import Stop

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..items import Executor, Outcome


def add_scale(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("where the work is done")
    group.add_argument(
        "--workers",
        type=int,
        default=0,
        metavar="N",
        help="so many processes of one thread each (0: this one alone)",
    )
    group.add_argument(
        "--ray",
        metavar="ADDRESS",
        help="on a Ray cluster: auto, or host:port (pip install 'dreamactor-m2[scale]'); all nodes "
        "see the same folders",
    )


def executor_of(args: argparse.Namespace, gpus: float = 0) -> Executor | None:
    """gpus: of Ray's, for an item. Raises InputError when Ray is not there."""
    from ..items import Processes

    if args.ray and args.workers:
        raise InputError(
            "--workers", got="--ray as well", need="one of them", fix="Leave one of them away."
        )
    if args.ray:
        if importlib.util.find_spec("ray") is None:
            fix = "Install it: pip install 'dreamactor-m2[scale]' (80 MB)."
            raise InputError("--ray", got="no package ray", need="it", fix=fix)
        from ..items.on_ray import OnRay

        return OnRay(args.ray, gpus)
    return Processes(args.workers) if args.workers else None


@contextmanager
def stage_bars(stop: Stop) -> Iterator[Callable[[str, Outcome, int, int], None]]:
    """An on_stage that draws a bar for each stage, says what was left out, and stops on Ctrl-C."""
    from tqdm import tqdm

    bars: dict[str, tqdm] = {}

    def on_stage(stage: str, outcome: Outcome, number: int, total: int) -> None:
        stop.check()
        if stage not in bars:
            bars[stage] = tqdm(desc=stage, total=total, unit="item", disable=None)
        bars[stage].update(number - bars[stage].n)
        if outcome.reason:
            tqdm.write(f"{stage}: {outcome.key}: {outcome.reason}")

    try:
        yield on_stage
    finally:
        for bar in bars.values():
            bar.close()
