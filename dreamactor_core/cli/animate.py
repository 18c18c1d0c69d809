"""The command `animate`: a picture and a video in, a video out."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from typing import TYPE_CHECKING

from ..options import PAINTERS, POSE_FITS, RATES, VARIANTS
from .shared import (
    Stop,
    add_model,
    add_path,
    add_sampling,
    check_paths,
    files_of,
    json_text,
    placement_of,
    progress,
    quiet,
    settings_of,
)

if TYPE_CHECKING:
    from ..jobs.inputs import Inputs
    from ..jobs.job import Job
    from ..media import Frame

ABOUT = """Make the character of --reference perform the motion of --driving and write --output.

The result has the picture's aspect and the video's exact frames, times and sound. Inputs may be of
any size and length: they are fitted with bars, never cut or stretched, and long videos are made
piece by piece: one that was stopped, or killed, goes on with the piece it was at when the same
command is given again. There are two variants: end-to-end looks at the driving video itself,
whoever or whatever moves in it; pose-based looks at the keypoints of a person, which --pose brings
in OpenPose's JSON form, one entry for each frame of the video.
"""
EXAMPLES = """examples:
  animate the picture, and see all three side by side
    animate --reference fox.png --driving dance.mp4 --output fox.mp4 --side-by-side
  two seconds from the middle, with a caption and another seed
    animate --reference fox.png --driving dance.mp4 --output fox.mp4 --start 12.5 --duration 2 \\
            --prompt "the fox waves its right paw" --seed 7
  from keypoints, with a LoRA of your own at 0.8
    animate --reference fox.png --driving dance.mp4 --output fox.mp4 --variant pose-based \\
            --pose dance.json --lora mine.safetensors:0.8
"""
# What a job and the command line call alike.
JOB_OPTIONS = (
    "reference", "driving", "output", "variant", "pose_fit", "prompt", "size", "start", "duration",
    "keep_lead_in", "side_by_side", "rate", "overwrite", "reference_keypoints", "reference_mask",
    "painter", "background", "strict", "driving_person",
)  # fmt: skip


def add_options(parser: argparse.ArgumentParser) -> None:
    files = parser.add_argument_group("files")
    add_path(files, "--reference", "IMG", "the character", required=True)
    add_path(files, "--driving", "VIDEO", "the motion", required=True)
    add_path(
        files,
        "--output",
        "OUT",
        "the result: .mp4, .webm, .mov, or without an ending a new folder of PNG frames",
        required=True,
    )
    add_path(files, "--pose", "JSON", "keypoints of every frame of VIDEO (pose-based)")
    add_path(
        files,
        "--reference-keypoints",
        "JSON",
        "joints of the character in IMG, one frame, in place of those that are found; pose "
        "writes a person's",
    )
    add_path(
        files,
        "--reference-mask",
        "PNG",
        "white where the character is in IMG (IMG's own transparency)",
    )
    add_path(files, "--json", "REPORT", "write what was done, as JSON")
    files.add_argument("--overwrite", action="store_true", help="replace files that exist")
    _add_result(parser)
    _add_reading(parser)
    add_model(parser)
    sampling = add_sampling(parser)
    sampling.add_argument(
        "--seed", type=int, default=0, help="same seed, same file, to the byte (0)"
    )


def _add_result(parser: argparse.ArgumentParser) -> None:
    what = parser.add_argument_group("what to make")
    what.add_argument(
        "--variant",
        choices=VARIANTS[::-1],
        help="(that of --lora; else pose-based with --pose, or with --model mini where a person "
        "is found in VIDEO; else end-to-end)",
    )
    what.add_argument(
        "--pose-fit",
        choices=POSE_FITS,
        default="box",
        help="the pose's box stretched onto the panel, as in training; or none: everyone stays "
        "where the driver's camera saw them, and as large; or reference: with the bones, the size "
        "and the place of --reference-keypoints (box)",
    )
    what.add_argument(
        "--painter",
        choices=PAINTERS,
        default="auto",
        help="who draws: the network; or cutout, which turns and moves pieces of IMG, as fine as "
        "it is, 24 to 30 times a second; or auto: cutout where the embedded model is told joints "
        "and outline of the character, or finds a person's (auto)",
    )
    what.add_argument(
        "--background",
        default="reference",
        metavar="WHAT",
        help="behind a character that is cut out: reference, its picture without it; transparent "
        "(for .webm, .mov, PNG frames); a colour such as #00B140; or a picture or video file "
        "(reference)",
    )
    what.add_argument("--prompt", default="", help="what the character does, in words (none)")
    what.add_argument("--start", type=float, default=0.0, metavar="S", help="seconds into it (0)")
    what.add_argument("--duration", type=float, metavar="S", help="seconds of VIDEO (to its end)")
    what.add_argument(
        "--size",
        type=int,
        metavar="PX",
        help="draw on PX x PX pixels' worth of the picture's aspect, a multiple of what the model "
        "asks for (as many pixels as the model was trained on)",
    )
    what.add_argument(
        "--rate",
        choices=RATES,
        default="driver",
        help="VIDEO's own frames and times, or the model's own frames at its rate (driver)",
    )
    what.add_argument(
        "--keep-lead-in",
        action="store_true",
        help="keep the second in which the character moves from the picture into the motion "
        "(mini-incontext stands still in it)",
    )
    what.add_argument(
        "--side-by-side", action="store_true", help="picture, VIDEO and result in one video"
    )


def _add_reading(parser: argparse.ArgumentParser) -> None:
    what = parser.add_argument_group("how the embedded model reads IMG and VIDEO")
    what.add_argument(
        "--driving-person",
        type=int,
        metavar="N",
        help="of several people in VIDEO the Nth, ordered by size and time (1)",
    )
    what.add_argument(
        "--strict",
        action="store_true",
        help="fail where no body is recognised, instead of moving IMG as a whole",
    )
    what.add_argument(
        "--download",
        action="store_true",
        help="fetch BlazePose (36 MB) from the package index, once: people are then known",
    )


def command(args: argparse.Namespace, stop: Stop) -> None:
    """Mistakes are told before the model is loaded, and mistyped names before anything is."""
    from ..models import find

    loras = args.lora or []
    guides = args.reference_keypoints, args.reference_mask
    named = (args.reference, args.driving, args.pose, *guides, *(path for path, _ in loras))
    check_paths(named, (args.output, args.json))
    source = find(args.model, files_of(args))

    from ..jobs.painter import with_painter
    from ..jobs.reading import Choices, read_bodies
    from ..jobs.run import animate_file, passes_of, preflight, read_inputs
    from ..lora.files import check_together
    from ..media import check_writable, together
    from ..models.loras import choose_loras

    job = _job_of(args)
    if args.json:
        check_writable(args.json, args.overwrite)
    placement = placement_of(args, source)
    source.check(job)
    inputs = read_inputs(job)
    wanted = choose_loras(source, job.variant, loras)
    lead_in_seconds = check_together(wanted, job.variant)
    if estimated := preflight(source, placement, inputs, args.size, lead_in_seconds):
        print(f"{args.model}: {estimated}", file=sys.stderr)
    with quiet():
        animator = source.open(placement)
    asked = job.variant
    choices = Choices(not (args.variant or loras), args.download, look_instead=not loras)
    with _looking(stop, inputs) as watched:
        job, found = read_bodies(job, watched, animator, choices)
    inputs = found._replace(frames=inputs.frames)
    if job.variant != asked:
        wanted = choose_loras(source, job.variant, [])
    animator, inputs = with_painter(animator.wearing(wanted), inputs, job)
    outputs = [args.output, *filter(None, [args.json])]
    with (
        progress(stop, passes_of(animator, inputs)) as on_step,
        together(outputs, args.overwrite, outputs[: job.is_folder]) as (
            part,
            *texts,
        ),  # video and report, or neither
    ):
        hidden = replace(job, output=part, overwrite=True, resume_as=args.output.name)
        report = animate_file(animator, hidden, inputs, on_step)
        report = replace(report, output=str(args.output))
        for text in texts:
            text.write_text(json_text(asdict(report)), encoding="utf-8")
    frames, length = report.frames, report.duration
    print(f"{args.output}: {frames} frames, {length:.2f} s, made in {report.seconds:.1f} s")


@contextmanager
def _looking(stop: Stop, inputs: Inputs) -> Iterator[Inputs]:
    """The same inputs. While their frames are read a bar is drawn, where a terminal is; it stops on
    Ctrl-C."""
    from tqdm import tqdm

    words = {"desc": "looking for bodies in the driver", "unit": "frame", "leave": False}
    with tqdm(total=inputs.clip.num_frames, disable=None, dynamic_ncols=True, **words) as bar:

        def frames() -> Iterator[Frame]:
            bar.reset()
            for frame in inputs.frames():
                stop.check()
                bar.update()
                yield frame

        yield inputs._replace(frames=frames)


def _job_of(args: argparse.Namespace) -> Job:
    from ..jobs.job import Job

    named = {name: getattr(args, name) for name in JOB_OPTIONS}
    named["variant"] = args.variant or _variant_named(args)
    return Job(**named, keypoints=args.pose, settings=settings_of(args, args.seed))


def _variant_named(args: argparse.Namespace) -> str:
    """By the LoRA, or by the keypoints, that only one variant reads."""
    from ..lora.files import read_lora

    for path, _ in args.lora or []:
        return read_lora(path).info.variant
    return "pose-based" if args.pose else "end-to-end"
