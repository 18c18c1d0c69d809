"""`aw run` and `aw import`: the videos of a system."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import InputError
from ..options import VARIANTS
from .aw import verb_parser
from .scale import add_scale, executor_of, stage_bars
from .shared import (
    Stop,
    add_model,
    add_path,
    add_sampling,
    add_threads,
    check_paths,
    files_of,
    placement_of,
    quiet,
    settings_of,
)

if TYPE_CHECKING:
    from ..bench.aw.cases import CaseSet
    from ..bench.aw.make import MakeVideo

RUN_ABOUT = """Make the videos of a set of cases with a model of ours, or any that `animate` knows
(HunyuanVideo-1.5, Wan, Wan2.2-Animate, Wan-Animate-2), or with one of two naive systems:
still-reference (the picture, standing still) and driver (the driver itself). They go to
RESULTS/SYSTEM/CASE.mp4. What is made is not made again; one case that fails is told and the next
is made."""
IMPORT_ABOUT = """Take the videos of any other system, open or closed, out of a folder: Animate-X++,
MTVCrafter, DreamActor-M1 or M2, SCAIL-2, Viggle-Animate, Kling 2.6, Kling-O1. They are copied to
RESULTS/SYSTEM/CASE.*. What is missing is listed; another length, size or rate than the case's is
noted and taken."""


def main(argv: list[str]) -> int:
    """argv: the verb, then its options."""
    return {"run": _run, "import": _import}[argv[0]](argv[1:])


def _run(argv: list[str]) -> int:
    args = _run_parser().parse_args(argv)
    check_paths([args.set, *(path for path, _ in args.lora or [])], ())

    from ..bench.aw.cases import read_cases
    from ..bench.aw.job import choose_cases, make_videos
    from ..bench.aw.make import video_items
    from ..bench.aw.systems import System, settle_system

    cases = read_cases(args.set)
    chosen = choose_cases(cases, args.cases)
    work, about = _work_of(args, cases)
    name = args.system or work.out.name
    system = settle_system(
        args.out, System(name, args.out / name, "run", args.model, {"set": cases.name, **about})
    )
    gpus = float(work.placement is not None and work.placement.device.startswith("cuda"))
    with quiet(), stage_bars(Stop()) as on_video:
        executor = executor_of(args, gpus)
        done = make_videos(system, work, video_items(chosen, about), executor, on_video)
    print(done.told())
    return done.status


def _run_parser() -> argparse.ArgumentParser:
    parser = verb_parser("run", RUN_ABOUT)
    add_places(parser)
    parser.add_argument(
        "--variant", choices=VARIANTS[::-1], help="(end-to-end, or the one that the model has)"
    )
    parser.add_argument("--system", metavar="NAME", help="what it is called (model-variant)")
    parser.add_argument("--seed", type=int, default=0, help="of the noise of every case (0)")
    parser.add_argument(
        "--size", type=int, metavar="PX", help="panels of about PX x PX pixels (the model's own)"
    )
    add_model(parser)
    add_sampling(parser)
    add_scale(parser)
    add_threads(parser)
    return parser


def add_places(parser: argparse.ArgumentParser) -> None:
    """SET, --out and --cases, as every verb that makes videos has them."""
    parser.add_argument("set", type=Path, metavar="SET", help="folder of the cases")
    add_path(parser, "--out", "RESULTS", "folder of the results of all systems", required=True)
    parser.add_argument(
        "--cases", type=int, metavar="N", help="only so many, spread over the set (all)"
    )


def _work_of(args: argparse.Namespace, cases: CaseSet) -> tuple[MakeVideo, dict]:
    """What makes a video, and what that depends on beside the case."""
    from ..bench.aw.make import NAIVE_SYSTEMS, MakeVideo, variant_of
    from ..bench.aw.systems import name_of

    if args.model in NAIVE_SYSTEMS:
        out = args.out / (args.system or args.model)
        return MakeVideo(cases.folder, out, args.model), {"model": args.model}

    import torch

    from ..models import find
    from ..models.loras import choose_loras

    torch.set_num_threads(args.threads or torch.get_num_threads())
    files, settings = files_of(args), settings_of(args, args.seed)
    try:
        source = find(args.model, files)
    except InputError as error:
        need = f"{error.need}; or {' or '.join(NAIVE_SYSTEMS)}"
        raise InputError(error.what, got=error.got, need=need, fix=error.fix) from error
    variant = variant_of(source, args.variant, settings)
    loras = tuple((path.resolve(), strength) for path, strength in args.lora or [])
    choose_loras(source, variant, loras)  # a mistake is told before the first item
    work = MakeVideo(
        cases.folder,
        args.out / (args.system or name_of(f"{source.name}-{variant}")),
        args.model,
        variant,
        loras,
        files,
        placement_of(args, source),
        settings,
        args.size,
    )
    about = {
        "model": args.model,
        "variant": variant,
        "loras": [[path.name, strength] for path, strength in loras],
        "files": [str(path) for path in (*files.transformers, *files.text_encoders)],
        "sampling": vars(settings),
        "size": args.size,
    }
    return work, about


def _import(argv: list[str]) -> int:
    parser = verb_parser("import", IMPORT_ABOUT)
    add_places(parser)
    parser.add_argument("videos", type=Path, metavar="VIDEOS", help="folder with the videos")
    parser.add_argument("--system", required=True, metavar="NAME", help="as kling-2.6")
    parser.add_argument("--model", default="", help="what made them, in words (NAME)")
    how = parser.add_mutually_exclusive_group()
    how.add_argument(
        "--scheme",
        default="{case}.mp4",
        help="how the files are called: {case}, {driver}, {reference} stand for the case's id and "
        "the names of its files; any ending does ({case}.mp4)",
    )
    add_path(how, "--manifest", "FILE", "CSV with the columns case and file, or JSON, instead")
    add_scale(parser)
    args = parser.parse_args(argv)
    check_paths([args.set, args.videos, args.manifest], ())

    from ..bench.aw.bring import (
        BringVideo,
        bring_items,
        find_by_list,
        find_by_scheme,
    )
    from ..bench.aw.cases import read_cases
    from ..bench.aw.job import choose_cases, make_videos
    from ..bench.aw.systems import System, settle_system

    cases = read_cases(args.set)
    chosen = choose_cases(cases, args.cases)
    if args.manifest:
        found = find_by_list(cases.cases, args.videos, args.manifest)
    else:
        found = find_by_scheme(chosen, args.videos, args.scheme)
    items, missing = bring_items(chosen, args.videos, found)
    if not items:
        raise InputError(
            f"videos in {args.videos}",
            got=f"none that belongs to a case ({next(iter(missing.values()), 'no case')})",
            need=f"files such as {chosen[0].id}.mp4",
            fix="Say how they are called with --scheme, or list them with --manifest.",
        )
    out = args.out / args.system
    model = args.model or args.system
    system = settle_system(args.out, System(args.system, out, "import", model, {"set": cases.name}))
    work = BringVideo(cases.folder, args.videos, out)
    with stage_bars(Stop()) as on_video:
        done = make_videos(system, work, items, executor_of(args), on_video, missing)
    print(done.told())
    return done.status
