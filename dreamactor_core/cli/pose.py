"""The command `pose`: its options, and what it does with them. Heavy imports wait for run()."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from ..errors import InputError
from .shared import Stop, check_paths, quiet

ABOUT = """Find everyone in --video and write their keypoints to --output, for animate --pose.

The file holds OpenPose JSON, one entry for each frame: body, and with --pose-heads hands, face and
feet too. It can be edited by hand, and other tools' nodes read and write the same. Several people
and animals are followed, each at its own place of the list; gaps of up to a quarter of a second
are filled, longer ones left empty; what rests is held still and what moves fast is left alone.
A video with nobody in it gives empty keypoints and a note.
"""
EXAMPLES = """examples:
  the first time, with weights from the hub (a detector of 172 MB, an estimator of 502 MB)
    pose --video dance.mp4 --output dance.json --download --overlay look.mp4
  with folders, offline; hands, face, feet and animals from the original ViTPose++ file
    pose --video dance.mp4 --output dance.json --detector models/rtdetr \\
         --pose-model models/vitpose-plus-base --pose-heads models/vitpose+_base.pth
  with the proportions of the character that is to be animated
    pose --video dance.mp4 --output dance.json --proportions-of child.png

weights (all Apache-2.0): PekingU/rtdetr_r50vd_coco_o365 and usyd-community/vitpose-plus-base on
huggingface.co, or any folder with an object detector and a ViTPose of transformers. Their copies
of ViTPose++ hold the 17 joints of the body only; vitpose+_base.pth (586 MB) is in
nielsr/vitpose-original-checkpoints.
"""


class Result(NamedTuple):
    summary: str
    notes: list[str]


def add_options(parser: argparse.ArgumentParser) -> None:
    files = parser.add_argument_group("files")
    files.add_argument("--video", type=Path, required=True, metavar="V", help="who moves")
    files.add_argument(
        "--output", type=Path, required=True, metavar="JSON", help="keypoints of every frame"
    )
    files.add_argument(
        "--overlay", type=Path, metavar="MP4", help="write V with the skeletons on it, to check"
    )
    files.add_argument(
        "--proportions-of",
        type=Path,
        metavar="IMG",
        help="give the skeletons the bone lengths of the people in this picture",
    )
    files.add_argument("--overwrite", action="store_true", help="replace files that exist")
    who = parser.add_argument_group("who is followed")
    who.add_argument("--subjects", choices=("all", "people", "animals"), default="all")
    who.add_argument(
        "--max-subjects", type=int, default=4, metavar="N", help="the largest N of the clip (4)"
    )
    who.add_argument(
        "--threshold", type=float, default=0.5, help="how sure the detector must be, 0 to 1 (0.5)"
    )
    who.add_argument(
        "--raw", action="store_true", help="no gaps filled, nothing smoothed: what was seen"
    )
    models = parser.add_argument_group("models")
    models.add_argument("--detector", metavar="DIR", help="folder, or name on the hub")
    models.add_argument("--pose-model", metavar="DIR", help="ViTPose: folder, or name on the hub")
    models.add_argument(
        "--pose-heads",
        type=Path,
        metavar="FILE",
        help="original ViTPose++ file of the same size: adds hands, face, feet and animals",
    )
    models.add_argument(
        "--animal-model", metavar="DIR", help="another ViTPose for animals, trained on AP-10K"
    )
    models.add_argument(
        "--download", action="store_true", help="fetch from the hub what is not on this machine"
    )
    models.add_argument("--device", default="auto", help="cpu, cuda, ... (a GPU if there is one)")
    models.add_argument(
        "--batch", type=int, default=8, metavar="N", help="frames in one pass of the detector (8)"
    )


def run(args: argparse.Namespace, on_frames: Callable[[int, int], None]) -> Result:
    """on_frames: called with the frames done and the frames there are."""
    from ..media import check_writable, probe, read_frames, read_image, replacing, write_video
    from ..pose.detect import DetectSettings, detect_pose
    from ..pose.draw import overlay_pose
    from ..pose.keypoints import save_keypoints
    from ..pose.models import load_pose_models
    from ..pose.retarget import match_proportions

    began = time.perf_counter()
    settings = DetectSettings(
        args.subjects, args.threshold, args.max_subjects, args.batch, not args.raw
    )
    info = probe(args.video)
    for path in filter(None, (args.output, args.overlay)):
        _check_output(path, args, check_writable)
    picture = read_image(args.proportions_of)[0].numpy() if args.proportions_of else None
    models = load_pose_models(
        args.detector,
        args.pose_model,
        args.pose_heads,
        args.animal_model,
        download=args.download,
        device=args.device,
    )
    frames = (frame.image for frame in read_frames(args.video))
    total = info.num_frames
    pose, notes = detect_pose(
        frames, info.times, models, settings, lambda done: on_frames(done, total)
    )
    if picture is not None:
        reference, about = detect_pose([picture], [0.0], models, settings)
        notes += [f"{args.proportions_of.name}: {note}" for note in about]
        pose = match_proportions(pose, reference)
    with replacing(args.output, args.overwrite) as part:
        save_keypoints(part, pose, info.width, info.height)
    if args.overlay:
        frames = (frame.image for frame in read_frames(args.video))
        shown = overlay_pose(pose, frames)
        options = {"duration": info.duration, "audio_from": args.video}
        write_video(args.overlay, shown, info.times, **options, overwrite=args.overwrite)
    count, seconds = pose.body.shape[1], time.perf_counter() - began
    who = "1 subject" if count == 1 else f"{count} subjects"
    return Result(f"{args.output}: {total} frames, {who}, made in {seconds:.1f} s", notes)


def _check_output(path: Path, args: argparse.Namespace, check_writable: Callable) -> None:
    check_writable(path, args.overwrite)
    if path.exists() and path.samefile(args.video):
        need, fix = "another name", "Choose a new name for the output."
        raise InputError(str(path), got="the same file as --video", need=need, fix=fix)
    wanted = ".json" if path == args.output else ".mp4"
    if path.suffix.lower() != wanted:
        got, fix = f"the ending {path.suffix!r}", f"Call it {path.with_suffix(wanted).name}."
        raise InputError(str(path), got=got, need=repr(wanted), fix=fix)


def command(args: argparse.Namespace, stop: Stop) -> None:
    check_paths((args.video, args.proportions_of), (args.output, args.overlay))

    from tqdm import tqdm

    with quiet(), tqdm(unit="frame", disable=None, dynamic_ncols=True) as bar:

        def on_frames(done: int, total: int) -> None:
            stop.check()
            bar.total = total
            bar.update(done - bar.n)

        result = run(args, on_frames)
    for note in result.notes:
        print(note, file=sys.stderr)
    print(result.summary)
