"""The command `prepare`: a folder of raw footage in, a list of clips for training out."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from ..options import BLAZEPOSE
from .caption import add_captioner, choice_of
from .scale import add_scale, executor_of, stage_bars
from .shared import Stop, check_paths, quiet

if TYPE_CHECKING:
    from ..footage.prepare import PreparePlan

ABOUT = """Make clips for training out of all videos below FOLDER, and list them in OUT/clips.jsonl.

Films are cut into shots, long shots into clips; what is short, small, blurred, still, doubled or
without a subject is left out, and OUT/left-out.jsonl says why; poses are found and captions
written, if there is somebody to ask. Look through OUT/sheet-001.html, tick what you do not want,
save the list it offers into OUT and run the same command again. Every step goes on where it was
stopped, and does only what is new or has changed. The list is what `train cache --pairs` reads.
"""
EXAMPLES = """examples:
  clips with poses, no captions
    prepare footage --out runs/clips
  captions by a server, four processes
    prepare footage --out runs/clips --workers 4 --endpoint http://localhost:11434/v1 \\
            --endpoint-model qwen3-vl
  animals, for the end-to-end variant alone: no poses
    prepare footage --out runs/clips --detector none
"""
NOBODY = "none"
LEFT_OUT_BY = (  # option, its metavar and what it says; defaults are those of filters.Limits
    ("min_seconds", "S", "shortest clip; 49 frames are needed at the base's rate"),
    ("min_side", "PX", "pixels of the shorter side"),
    ("min_fps", "F", "frames a second"),
    ("min_sharpness", "V", "variance of the Laplacian at 512 pixels"),
    ("min_motion", "L", "levels of 255 by which the busiest part changes in half a second"),
    ("min_difference", "L", "levels by which a clip differs from every other; 0 keeps doubles"),
    ("min_subjects", "N", "people at one time, where poses are sought"),
    ("max_subjects", "N", "the same, at most"),
    ("min_share", "P", "of the picture that the largest subject spans"),
    ("min_presence", "P", "of the frames that show somebody"),
)
WHOLE = ("min_side", "min_subjects", "max_subjects")


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="videos, and folders of them")
    parser.add_argument(
        "--out", type=Path, required=True, help="folder of the job; made if missing, resumed if not"
    )
    clips = parser.add_argument_group("clips")
    clips.add_argument(
        "--longest", type=float, metavar="S", help="seconds; longer shots are cut evenly (10)"
    )
    clips.add_argument(
        "--largest", type=int, metavar="PX", help="pixels of the longer side of a clip (1280)"
    )
    limits = parser.add_argument_group("what is left out (own defaults)")
    for name, metavar, text in LEFT_OUT_BY:
        kind = int if name in WHOLE else float
        limits.add_argument(f"--{name.replace('_', '-')}", type=kind, metavar=metavar, help=text)
    poses = parser.add_argument_group("poses")
    poses.add_argument(
        "--detector",
        metavar="DIR",
        help=f"{BLAZEPOSE} (where its files are; --download fetches them), a detector as of the "
        f"command pose, or {NOBODY}",
    )
    poses.add_argument("--pose-model", metavar="DIR", help="ViTPose: folder, or name on the hub")
    poses.add_argument("--pose-heads", type=Path, metavar="FILE", help="as of the command pose")
    who = parser.add_argument_group("captions (none, unless --captioner, --endpoint or --mllm)")
    who.add_argument("--captioner", choices=("local", "endpoint", NOBODY))
    add_captioner(who)
    who.add_argument("--prompts", type=Path, metavar="DIR", help="questions of your own")
    models = parser.add_argument_group("models")
    models.add_argument("--download", action="store_true", help="fetch what is not on this machine")
    models.add_argument("--device", default="auto", help="cpu, cuda, ... (a GPU if there is one)")
    add_scale(parser)


def command(args: argparse.Namespace, stop: Stop) -> None:
    check_paths((args.folder, args.pose_heads, args.prompts), ())

    from ..footage.prepare import prepare

    plan, executor = plan_of(args), executor_of(args)
    with quiet(), stage_bars(stop) as on_stage:
        done = prepare(args.folder, args.out, plan, executor, on_stage)
    for reason, count in done.left_out.items():
        print(f"left out: {count} {reason}")
    print(f"{done.clips}: {done.number} clips; look through {done.sheets[0]}")


def plan_of(args: argparse.Namespace) -> PreparePlan:
    """Raises InputError for what cannot be, before long work begins."""
    from ..footage.filters import Limits
    from ..footage.prepare import PreparePlan

    named = {name: getattr(args, name) for name, *_ in LEFT_OUT_BY}
    sizes = {name: getattr(args, name) for name in ("longest", "largest")}
    return PreparePlan(
        limits=Limits(**_given(named)),
        poses=_poses_of(args),
        captioner=choice_of(args) if _asks(args) else None,
        prompts=args.prompts,
        **_given(sizes),
    )


def _given(options: dict) -> dict:
    return {name: value for name, value in options.items() if value is not None}


def _asks(args: argparse.Namespace) -> bool:
    if args.captioner:
        return args.captioner != NOBODY
    return bool(args.endpoint or args.mllm)


def _poses_of(args: argparse.Namespace):
    from ..footage.works import FindPoses
    from ..pose.blazepose_files import blazepose_folder
    from ..pose.networks import NetworkChoice

    if args.detector == NOBODY:
        return None
    if args.detector in (None, BLAZEPOSE) and not args.pose_model:
        blazepose_folder(None, args.download)  # once, before workers ask for it
    networks = NetworkChoice(args.detector, args.pose_model, args.pose_heads)
    return FindPoses(args.out, networks, args.device)
