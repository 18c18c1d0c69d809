"""The pairs of a job: bootstrap on its clips, with the clips' own characters if none are given."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from ..bootstrap.footage import BootstrapPlan, bootstrap
from ..bootstrap.pair import MakePair
from ..media import read_frames, write_image
from ..train.clips import read_rows
from ..weight_files.files import Files
from .plan import MakePlan


def make_pairs(
    plan: MakePlan,
    clips: Path,
    loras: Sequence[Path],
    out: Path,
    on_item: Callable[[int, int], None],
) -> Path:
    """The list of pairs. Raises InputError as bootstrap does, when none is kept as well."""
    pictures = plan.pictures or _first_frames(clips, out.with_name("pictures"))
    work = MakePair(
        out,
        str(plan.base),
        tuple(loras),
        Files(),
        plan.placement,
        plan.settings,
        size=plan.size,
        captioner=plan.captioner,
    )
    job = BootstrapPlan(clips, pictures, work, seed=plan.seed, threshold=plan.threshold)
    return bootstrap(job, None, lambda stage, outcome, done, total: on_item(done, total)).pairs


def _first_frames(clips: Path, folder: Path) -> Path:
    """A picture of each clip's character."""
    folder.mkdir(parents=True, exist_ok=True)
    for row in read_rows(clips, "pose-based")[0]:
        path = folder / f"{row.name}.png"
        if not path.exists():
            write_image(path, next(iter(read_frames(row.target))).image)
    return folder
