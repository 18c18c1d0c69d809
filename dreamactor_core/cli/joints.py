"""The command `joints`: its options, and what it does with them; heavy imports wait for that."""

from __future__ import annotations

import argparse
import webbrowser
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import InputError
from .shared import Stop, check_paths

if TYPE_CHECKING:
    from ..pose.guides import Guides

ABOUT = """Place the 18 joints of a character on its picture by hand, and paint its mask.

Opens a page in the browser of this machine: drag the joints, paint, save. The page is served to
this machine alone and ends with Save, or with Ctrl-C here. Whatever has limbs can be animated so: a
lamp, a tree, a drawing that nobody recognises. The files are for animate --reference-keypoints and
--reference-mask.
"""
EXAMPLES = """examples:
  place the joints, save them and the mask
    joints lamp.png --output lamp.json --mask lamp_mask.png
  start from what pose has found
    pose --video child.png --output found.json
    joints child.png --keypoints found.json --output child.json
  on a machine without a browser: prints the address; lead the port here with ssh -L
    joints lamp.png --output lamp.json --no-browser
  then
    animate --reference lamp.png --driving dance.mp4 --output out.mp4 \\
            --reference-keypoints lamp.json --reference-mask lamp_mask.png
"""


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("picture", type=Path, metavar="PICTURE", help="of the character")
    files = parser.add_argument_group("files")
    files.add_argument(
        "--output", type=Path, required=True, metavar="JSON", help="OpenPose keypoints, one frame"
    )
    files.add_argument(
        "--mask", type=Path, metavar="PNG", help="write where the character is: white on black"
    )
    files.add_argument(
        "--keypoints",
        type=Path,
        metavar="JSON",
        help="start from these (a person who is found, or else a standing figure)",
    )
    files.add_argument("--overwrite", action="store_true", help="replace files that exist")
    parser.add_argument(
        "--no-browser", action="store_true", help="print the address and open nothing"
    )


def command(args: argparse.Namespace, stop: Stop) -> None:
    check_paths((args.picture, args.keypoints), (args.output, args.mask))
    _check_outputs(args)

    from ..media import read_picture, to_uint8
    from ..pose.joints import placed, read_edits, start_of
    from ..pose.joints_page import serve_joints

    picture = read_picture(args.picture)
    image = to_uint8(picture.pixels)
    start = start_of(image, args.keypoints, picture.mask)

    def save(text: str) -> None:
        _write(args, placed(image, start, read_edits(text)))

    serve_joints(image, start, save, lambda address: _open(address, args.no_browser))
    print(f"saved: {', '.join(str(path) for path in (args.output, args.mask) if path)}")


def _check_outputs(args: argparse.Namespace) -> None:
    from ..media import check_writable

    for path, ending in ((args.output, ".json"), (args.mask, ".png")):
        if path is None:
            continue
        if path.suffix.lower() != ending:
            fix = f"Call it {path.with_suffix(ending).name}."
            raise InputError(
                str(path), got=f"the ending {path.suffix!r}", need=repr(ending), fix=fix
            )
        check_writable(path, args.overwrite)
        if path.exists() and path.samefile(args.picture):
            need, fix = "another name", "Choose a new name for the output."
            raise InputError(str(path), got="the picture itself", need=need, fix=fix)


def _write(args: argparse.Namespace, guides: Guides) -> None:
    from ..media import together, write_image
    from ..pose.keypoints import save_keypoints

    assert guides.mask is not None
    paths = [args.output, *([args.mask] if args.mask else [])]
    with together(paths, args.overwrite) as (keypoints, *mask):
        save_keypoints(keypoints, guides.pose(), guides.width, guides.height)
        for part in mask:
            write_image(part, guides.mask[..., None].repeat(3, axis=2), overwrite=True)


def _open(address: str, no_browser: bool) -> None:
    opened = not no_browser and webbrowser.open(address)
    print(f"{'opened' if opened else 'open in a browser'}: {address}", flush=True)
    print("place the joints, then save; Ctrl-C ends without", flush=True)
