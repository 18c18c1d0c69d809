"""`python -m dreamactor_core bootstrap`: cross-identity pairs made by the pose-based model.

Clips of a list that `prepare` made are performed by the characters of a folder of pictures, its
folders (humans, cartoons, animals) in turn; a judge filters, and roles are swapped: the real clip
is the target, the made video its driver. Look through sheet-001.html, the paper's second, manual
filter: tick what you do not want, save the list it offers beside it and run the same command again.
Then `python -m dreamactor_core train cache --pairs OUT/pairs.jsonl`. What is finished is never made
again. With --seeds the drawn world's characters perform, and no footage is needed.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import InputError
from ..options import KEPT_SCORE
from .caption import add_captioner, choice_of
from .scale import add_scale, executor_of, stage_bars
from .shared import (
    Stop,
    add_placement,
    add_sampling,
    add_threads,
    check_paths,
    command_parser,
    files_of,
    placement_of,
    quiet,
    settings_of,
)

if TYPE_CHECKING:
    from ..backbones.placement import Placement
    from ..weight_files.files import Files


def _parser() -> argparse.ArgumentParser:
    parser = command_parser("bootstrap", __doc__)
    parser.add_argument("--base", required=True, help="model name or folder")
    parser.add_argument(
        "--lora",
        type=Path,
        action="append",
        required=True,
        help="pose-based LoRA; two for a base of two experts",
    )
    parser.add_argument("--out", type=Path, required=True, help="folder for the pairs")
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument(
        "--seeds", type=_seeds, help="puppets first:last, one pair a seed before the judge"
    )
    source.add_argument("--clips", type=Path, help="clips.jsonl that prepare made, with poses")
    parser.add_argument(
        "--threshold",
        type=float,
        default=KEPT_SCORE,
        help="mean score, 1 to 5, from which a pair is kept (default: %(default)s)",
    )
    _add_footage(parser)
    add_sampling(parser)
    add_placement(parser.add_argument_group("model"))
    add_scale(parser)
    add_threads(parser)
    return parser


def _add_footage(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("footage")
    group.add_argument(
        "--pictures", type=Path, metavar="FOLDER", help="other characters, a folder a kind"
    )
    group.add_argument(
        "--count", type=int, default=1, metavar="N", help="pictures for each clip (1)"
    )
    group.add_argument("--seed", type=int, default=0, help="of who performs what, and of noise (0)")
    group.add_argument(
        "--passes",
        type=int,
        default=1,
        metavar="N",
        help="of the model that a video may take; more drift (1)",
    )
    group.add_argument(
        "--filter",
        choices=("measures", "learned"),
        default="measures",
        help="what keeps a video: --threshold, or the chance that it has no fault, as learned from "
        "damaged puppets (measures)",
    )
    group.add_argument(
        "--limbs",
        type=float,
        metavar="SHARE",
        help="drop a video whose limbs miss more than this share of the motion of the clip's "
        "keypoints, 1: as much as a still picture; where no limbs are found it stays (not looked "
        "at; 0.98 is usual)",
    )
    group.add_argument(
        "--size", type=int, metavar="PX", help="panels of about PX x PX pixels (the base's own)"
    )
    who = parser.add_argument_group("who writes the prompt of each pair (its texts alone)")
    who.add_argument("--captioner", choices=("local", "endpoint", "none"))
    add_captioner(who)
    who.add_argument(
        "--download", action="store_true", help="local: fetch from the hub what is not here"
    )
    who.add_argument(
        "--rated", action="store_true", help="let it rate each video as well; above 4.5 is kept"
    )


def main(argv: list[str]) -> int:
    arguments = _parser().parse_args(argv)
    named = (*arguments.lora, arguments.clips, arguments.pictures)
    check_paths(named, ())
    if arguments.clips and not arguments.pictures:
        raise InputError(
            "--clips",
            got="no --pictures",
            need="a folder of other characters",
            fix="Pass --pictures FOLDER.",
        )

    import torch

    from ..bootstrap.puppet_footage import write_puppet_footage
    from ..lora.files import read_lora
    from ..models import find
    from ..puppets.world import FPS

    torch.set_num_threads(arguments.threads or torch.get_num_threads())
    for path in arguments.lora:
        if (variant := read_lora(path).info.variant) != "pose-based":
            raise InputError(
                f"LoRA {path}",
                got=f"variant {variant}",
                need="pose-based, for it is given skeletons",
                fix="Pass the LoRA of `train lora --config pose_based`.",
            )
    files = files_of(arguments)
    source = find(arguments.base, files)
    placement = placement_of(arguments, source)
    if arguments.seeds and source.geometry.fps != FPS:  # the drawn world is re-timed as footage is
        folder = arguments.out / "puppets"
        arguments.clips, arguments.pictures = write_puppet_footage(
            arguments.seeds, source.geometry, folder
        )
    with quiet():
        made = _footage if arguments.clips else _puppets
        print(made(arguments, placement, files))
    return 0


def _footage(args: argparse.Namespace, placement: Placement, files: Files) -> str:
    """Pairs from clips; what came of it, in words."""
    from ..bootstrap.footage import BootstrapPlan, bootstrap
    from ..bootstrap.pair import MakePair

    asked = args.captioner != "none" and (args.captioner or args.endpoint or args.mllm)
    work = MakePair(
        out=args.out,
        base=args.base,
        loras=tuple(args.lora),
        files=files,
        placement=placement,
        settings=settings_of(args),
        passes=args.passes,
        size=args.size,
        captioner=choice_of(args) if asked else None,
        rated=args.rated,
    )
    plan = BootstrapPlan(
        args.clips,
        args.pictures,
        work,
        args.count,
        args.seed,
        args.threshold,
        learned=args.filter == "learned",
        limbs=args.limbs,
    )
    with stage_bars(Stop()) as on_stage:
        done = bootstrap(plan, _executor(args, placement), on_stage)
    left = "".join(f"left out: {count} {reason}\n" for reason, count in done.left_out.items())
    total = done.kept + sum(done.left_out.values())
    return f"{left}kept {done.kept} of {total}; {_means(done.means)}; look through {done.sheets[0]}"


def _puppets(args: argparse.Namespace, placement: Placement, files: Files) -> str:
    from ..bootstrap.make import MakePuppetPair
    from ..bootstrap.puppet_pairs import bootstrap_puppets

    work = MakePuppetPair(
        args.out, args.base, tuple(args.lora), files, placement, settings_of(args)
    )
    with stage_bars(Stop()) as on_stage:
        executor = _executor(args, placement)
        done = bootstrap_puppets(work, args.seeds, args.threshold, executor, on_stage)
    if not done.verdicts:
        raise InputError(
            f"pairs in {args.out}",
            got=f"none that could be made ({done.failed[0]})",
            need="at least 1",
            fix="Mend it and run the same command again.",
        )
    marks = zip(*done.verdicts, strict=True)
    names = done.verdicts[0]._fields
    means = {n: sum(m) / len(done.verdicts) for n, m in zip(names, marks, strict=True)}
    return f"kept {done.kept} of {len(args.seeds)}; {_means(means)}"


def _executor(args: argparse.Namespace, placement: Placement):
    return executor_of(args, gpus=float(placement.device.startswith("cuda")))


def _means(means: dict[str, float]) -> str:
    told = ", ".join(f"{name} {value:.2f}" for name, value in means.items())
    return f"mean {told} of 5"


def _seeds(text: str) -> range:
    first, last = (int(part) for part in text.split(":"))
    if not 0 <= first < last:
        raise ValueError(text)  # argparse says it in words
    return range(first, last)
