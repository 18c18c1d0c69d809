"""`bench own`: the model on somebody's own pictures and clips, without a truth."""

from __future__ import annotations

import argparse

from ..errors import InputError
from .shared import Stop, check_paths, files_of, placement_of, quiet, settings_of, write_json


def score_own(args: argparse.Namespace, stop: Stop) -> None:
    """Raises InputError as pairs_of does; that of one pair is told in its place."""
    from ..models import find

    if args.folder is None or not args.folder.is_dir():
        fix = "Name the folder that holds pictures and clips."
        raise InputError("--folder", got=args.folder, need="a folder", fix=fix)
    sheet = args.sheet or args.json.with_suffix(".png")
    loras = args.lora or []
    check_paths((path for path, _ in loras), (args.json, sheet))
    source = find(args.model, files_of(args))

    from tqdm import tqdm

    from ..bench.own import bench_own, pairs_of
    from ..jobs.job import Job
    from ..media import check_writable, write_image
    from ..models.loras import choose_loras

    for path in (args.json, sheet):
        check_writable(path, args.overwrite)
    if args.videos:
        args.videos.mkdir(exist_ok=True)
    pairs = pairs_of(args.folder)
    first = pairs[0]
    job = Job(
        first.reference,
        first.driver,
        args.json.with_suffix(".mp4"),
        settings=settings_of(args, *(args.seed or [0])[:1]),
        size=args.size,
        duration=args.duration,
    )
    wanted = choose_loras(source, args.variant, loras)
    with quiet():
        animator = source.open(placement_of(args, source)).wearing(wanted)
    with tqdm(total=len(pairs), unit="pair", disable=None) as bar:

        def on_pair(index: int) -> None:
            stop.check()
            bar.update()

        result = bench_own(animator, pairs, job, args.variant, args.videos, on_pair)
    write_json(args.json, result.table(), args.overwrite)
    write_image(sheet, result.sheet, args.overwrite)
    print(*result.lines(), sep="\n")
