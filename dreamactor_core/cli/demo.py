"""The command `demo`: two videos from the built-in model, and no files needed."""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from ..options import DEFAULT_MODEL
from .shared import Stop, add_sampling, progress, quiet, settings_of

ABOUT = """Draw two puppets that the model has never seen and make one perform the other's motion.

Writes reference.png, driving.mp4, keypoints.json and caption.txt, animates them by both variants to
end_to_end.mp4 and pose_based.mp4, and puts everything beside the truth in contact_sheet.png. Takes
less than a minute on two cores. Files of an earlier run are replaced.
"""
EXAMPLES = ""
DEMO_FOLDER = Path("output/demo")


def add_options(parser: argparse.ArgumentParser) -> None:
    text = f"folder ({DEMO_FOLDER.as_posix()})"
    parser.add_argument("--output", type=Path, default=DEMO_FOLDER, help=text)
    parser.add_argument("--puppets", type=int, default=1, metavar="SEED", help="another pair (1)")
    parser.add_argument("--model", default=DEFAULT_MODEL, help="model name or folder (mini)")
    add_sampling(parser)


def command(args: argparse.Namespace, stop: Stop) -> None:
    from ..models import find

    find(args.model)  # a mistyped one is told before anything heavy is imported

    from ..demo import run_demo

    began = time.perf_counter()
    with quiet(), progress(stop, 2) as on_step:
        written = run_demo(args.output, args.model, settings_of(args), args.puppets, on_step)
    print(*written, sep="\n")
    print(f"Made in {time.perf_counter() - began:.1f} s.")
