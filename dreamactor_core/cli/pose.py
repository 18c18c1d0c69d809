"""The command `pose`: its options, and what it does with them; heavy imports wait for that."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from ..errors import InputError
from .shared import Stop, add_path, check_paths, quiet

if TYPE_CHECKING:
    from ..media import VideoInfo

ABOUT = """Find everyone in --video and write their keypoints to --output, for animate --pose.

The file holds OpenPose JSON, one entry for each frame: body, feet, and some points of hands and
face; with --pose-heads all of them. It can be edited by hand, and other tools' nodes read and write
the same. Several people are followed, each at its own place of the list; gaps of up to a quarter of
a second are filled, longer ones left empty; what rests is held still and what moves fast is left
alone. A video with nobody in it gives empty keypoints and a note; so does one of an animal that
BlazePose takes for a person. A picture is a video of one frame.
"""
EXAMPLES = """examples:
  the first time: BlazePose out of the package index (36 MB); a look at what it found
    pose --video dance.mp4 --output dance.json --download --overlay look.mp4
  the joints and the outline of the character in a picture
    pose --video child.png --output child.json --mask child_mask.png
  animals too, with a larger detector (172 MB) and estimator (502 MB) from the hub
    pose --video dance.mp4 --output dance.json --detector PekingU/rtdetr_r50vd_coco_o365 --download
  with folders, offline; hands, face, feet and animals from the original ViTPose++ file
    pose --video dance.mp4 --output dance.json --detector models/rtdetr \\
         --pose-model models/vitpose-plus-base --pose-heads models/vitpose+_base.pth
  with the proportions of the character that is to be animated
    pose --video dance.mp4 --output dance.json --proportions-of child.png

weights (all Apache-2.0): BlazePose's two files out of the package mediapipe 0.10.21, which is not
installed; they run ten times as fast as the others on a CPU, most of all with the package
ai-edge-litert (pip install "dreamactor-m2[pose]"). PekingU/rtdetr_r50vd_coco_o365 and
usyd-community/vitpose-plus-base on huggingface.co, or any folder with an object detector and a
ViTPose of transformers. Their copies of ViTPose++ hold the 17 joints of the body only;
vitpose+_base.pth (586 MB) is in nielsr/vitpose-original-checkpoints.
"""


class PoseResult(NamedTuple):
    summary: str
    notes: list[str]


def add_options(parser: argparse.ArgumentParser) -> None:
    files = parser.add_argument_group("files")
    add_path(files, "--video", "V", "who moves", required=True)
    add_path(files, "--output", "JSON", "keypoints of every frame", required=True)
    add_path(files, "--overlay", "MP4", "write V with the skeletons on it, to check")
    add_path(
        files,
        "--mask",
        "PNG",
        "write where the people are: white on black, a PNG of a picture, an MP4 of a video",
    )
    add_path(
        files,
        "--proportions-of",
        "IMG",
        "give the skeletons the bone lengths of the people in this picture",
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
    models.add_argument(
        "--detector",
        metavar="DIR",
        help="blazepose (people; used if no other model is named), or an object detector, which "
        "finds animals too: folder, or name on the hub",
    )
    models.add_argument("--pose-model", metavar="DIR", help="ViTPose: folder, or name on the hub")
    add_path(
        models,
        "--pose-heads",
        "FILE",
        "original ViTPose++ file of the same size: adds hands, face, feet and animals",
    )
    models.add_argument(
        "--animal-model", metavar="DIR", help="another ViTPose for animals, trained on AP-10K"
    )
    models.add_argument(
        "--download",
        action="store_true",
        help="fetch from the package index or the hub what is not on this machine",
    )
    models.add_argument("--device", default="auto", help="cpu, cuda, ... (a GPU if there is one)")
    models.add_argument(
        "--batch", type=int, default=8, metavar="N", help="frames in one pass of the detector (8)"
    )


def write_pose(args: argparse.Namespace, on_frames: Callable[[int, int], None]) -> PoseResult:
    """on_frames: called with the frames done and the frames there are."""
    from ..media import probe, read_frames, read_image, replacing, write_video
    from ..pose.clips import detect_in_clip
    from ..pose.detect import detect_pose
    from ..pose.draw import overlay_pose
    from ..pose.keypoints import save_keypoints
    from ..pose.networks import NetworkChoice, load_networks
    from ..pose.retarget import match_proportions
    from ..pose.subjects import DetectSettings

    began = time.perf_counter()
    settings = DetectSettings(
        args.subjects,
        args.threshold,
        args.max_subjects,
        args.batch,
        not args.raw,
        args.mask is not None,
    )
    info = probe(args.video)
    _check_outputs(args, info.num_frames)
    picture = read_image(args.proportions_of)[0].numpy() if args.proportions_of else None
    choice = NetworkChoice(args.detector, args.pose_model, args.pose_heads, args.animal_model)
    networks = load_networks(choice, download=args.download, device=args.device)
    frames = (frame.image for frame in read_frames(args.video))
    total = info.num_frames
    pose, notes, masks = detect_in_clip(
        frames, info.times, networks, settings, lambda done: on_frames(done, total)
    )
    if picture is not None:
        reference, about, _ = detect_pose([picture], [0.0], networks, settings)
        notes += [f"{args.proportions_of.name}: {note}" for note in about]
        pose = match_proportions(pose, reference)
    with replacing(args.output, args.overwrite) as part:
        save_keypoints(part, pose, info.width, info.height)
    if masks is not None:
        _write_mask(args, masks, info)
    if args.overlay:
        frames = (frame.image for frame in read_frames(args.video))
        shown = overlay_pose(pose, frames)
        options = {"duration": info.duration, "audio_from": args.video}
        write_video(args.overlay, shown, info.times, **options, overwrite=args.overwrite)
    count, seconds = pose.body.shape[1], time.perf_counter() - began
    who = "1 subject" if count == 1 else f"{count} subjects"
    return PoseResult(f"{args.output}: {total} frames, {who}, made in {seconds:.1f} s", notes)


def _write_mask(args: argparse.Namespace, masks: list, info: VideoInfo) -> None:
    from ..media import write_image, write_video
    from ..pose.subjects import spread_all

    pictures = (spread_all(those, info.height, info.width) for those in masks)
    if args.mask.suffix.lower() == ".png":
        write_image(args.mask, next(pictures), overwrite=args.overwrite)
    else:
        options = {"duration": info.duration, "overwrite": args.overwrite}
        write_video(args.mask, pictures, info.times, **options)


def _check_outputs(args: argparse.Namespace, num_frames: int) -> None:
    """Raise InputError for a file that cannot be written, before long work begins."""
    mask = ".png" if num_frames == 1 else ".mp4"
    for path, wanted in ((args.output, ".json"), (args.overlay, ".mp4"), (args.mask, mask)):
        if path is not None:
            _check_output(path, args, wanted)


def _check_output(path: Path, args: argparse.Namespace, wanted: str) -> None:
    from ..media import check_writable

    check_writable(path, args.overwrite)
    if path.exists() and path.samefile(args.video):
        need, fix = "another name", "Choose a new name for the output."
        raise InputError(str(path), got="the same file as --video", need=need, fix=fix)
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

        result = write_pose(args, on_frames)
    for note in result.notes:
        print(note, file=sys.stderr)
    print(result.summary)
