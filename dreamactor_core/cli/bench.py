"""The command `bench`: the model measured where the truth is known."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import InputError
from ..options import BENCH_TEXTS, GROUPS, LEAD_IN_SECONDS, VARIANTS
from .shared import (
    Stop,
    add_model,
    add_path,
    add_sampling,
    check_paths,
    files_of,
    placement_of,
    quiet,
    settings_of,
    write_json,
)

if TYPE_CHECKING:
    from ..backbones import Backbone
    from ..bench.puppets import Selection
    from ..lora.files import WantedLora
    from ..models import Source

ABOUT = """Score the model: `puppets` are unseen characters and motions, of which the truth is
known; `own` are your pictures and clips, every picture of --folder with every clip of it.

Every case has a driver, a reference and the same motion performed by the reference's character.
relative_error is the mean absolute error to that truth, divided by the error of the reference
standing still (1 is no better than a picture, 0 is perfect); vae-floor is the best the model's
autoencoder allows. leak tells whose colours the character has: 0 the reference's, 1 the driver's,
judged where both bodies are; blur raises it too, so compare it with pose-based, which never sees
the driver's look. The contact sheet shows the first cases. Does the text help? Compare --text true
with none (no caption) and other (the caption of another case).

The figures come again for each group that has cases: multi-subject (more than one puppet, 6 % of
what is drawn at random), cross-species (the driver is of another kind than the reference, as a
bird and a robot), varied (those of --varied) and glb-bodies (those of --bodies). For more of the
first, --group multi-subject draws on until it has --cases of them; the same seed always finds the
same ones. Several seeds give error bars: mean and standard deviation over the seeds.

Puppets are drawn by the network. Rigged bodies, and every case with --guided, are read and drawn as
`animate` would: a reference whose joints and outline are known is cut out, one of which nobody
knows the limbs is moved as a whole. pose-based has the driver's true joints, end-to-end has to find
them; foundation is the network in any case.

Of your own there is no truth. pck is the share of the driver's joints found again in the result
within a tenth of the trunk (by BlazePose; 1 is best), kept the share of the character's colours
that are still there (1: nothing torn off), leak as above, seconds are those of a second of video.
Joints in NAME.json beside a picture are told of it; those of the pose-based variant's drivers are
found by BlazePose.
"""
EXAMPLES = """examples:
  error bars from three seeds
    bench puppets --seed 7 --seed 8 --seed 9 --json bench.json
  sixteen scenes of two puppets
    bench puppets --group multi-subject --cases 16 --json pairs.json
  your pictures and clips
    bench own --folder mine --json own.json
"""


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("what", choices=("puppets", "own"), help="which benchmark")
    _add_cases(parser)
    _add_own(parser)
    parser.add_argument(
        "--text",
        choices=BENCH_TEXTS,
        default="true",
        help="what the model reads: each case's caption, nothing, or another case's (true)",
    )
    parser.add_argument("--json", type=Path, required=True, metavar="OUT.json", help="the scores")
    parser.add_argument("--sheet", type=Path, metavar="PNG", help="contact sheet (OUT.png)")
    parser.add_argument("--loop", type=Path, metavar="WEBP", help="its first cases, moving (none)")
    parser.add_argument("--overwrite", action="store_true", help="replace files that exist")
    add_model(parser)
    add_sampling(parser)


def _add_cases(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--cases", type=int, default=32, metavar="N", help="how many a seed (32)")
    parser.add_argument(
        "--seed",
        type=int,
        action="append",
        metavar="S",
        help="which ones; may be given several times, for error bars (7)",
    )
    parser.add_argument("--group", choices=GROUPS, help="cases of this group only (any)")
    parser.add_argument(
        "--size", type=int, metavar="PX", help="side of the cases' panels (the model's own)"
    )
    parser.add_argument(
        "--varied",
        action="store_true",
        help="score as many cases more, with what only training draws otherwise: half bodies, "
        "shadows, things, photographs' colours, puppets that leave, three of them",
    )
    parser.add_argument(
        "--bodies",
        type=Path,
        metavar="FOLDER",
        help="score as many cases more, of the rigged bodies (GLB files) in FOLDER",
    )
    parser.add_argument(
        "--guided",
        action="store_true",
        help="tell the true joints and outline of every reference, as --reference-keypoints and "
        "--reference-mask of animate do",
    )


def _add_own(parser: argparse.ArgumentParser) -> None:
    own = parser.add_argument_group("own")
    add_path(own, "--folder", "FOLDER", "pictures and clips of your own")
    add_path(own, "--videos", "FOLDER", "keep the videos there (none)")
    own.add_argument("--variant", choices=VARIANTS[::-1], default="end-to-end")
    own.add_argument("--duration", type=float, default=2.0, metavar="S", help="of each clip (2)")


def command(args: argparse.Namespace, stop: Stop) -> None:
    if args.what == "own":
        from .bench_own import score_own

        score_own(args, stop)
        return

    from ..models import find

    sheet = args.sheet or args.json.with_suffix(".png")
    outputs = [*filter(None, (args.json, sheet, args.loop))]
    seeds = list(dict.fromkeys(args.seed or [7]))
    _check_numbers(args, seeds)
    check_paths((path for path, _ in args.lora or []), outputs)
    source = find(args.model, files_of(args))

    from tqdm import tqdm

    from ..bench.puppets import bench_puppets
    from ..bench.report import join
    from ..media import check_writable, write_image, write_loop

    for path in outputs:
        check_writable(path, args.overwrite)
    wanted, selection = _loras(args, source), _selection(args)
    backbone = _open_backbone(args, source)
    rows = _adapters_of_rows(backbone, wanted)
    total = args.cases * len(seeds) * (1 + len(selection.apart))
    with tqdm(total=total, unit="case", disable=None) as bar:

        def on_case(index: int) -> None:
            stop.check()
            bar.update()

        rest = settings_of(args), rows, on_case, args.text, selection
        result = join([bench_puppets(backbone, args.cases, seed, *rest) for seed in seeds])
    write_json(args.json, result.table(), args.overwrite)
    write_image(sheet, result.sheet(), args.overwrite)
    if args.loop:
        write_loop(args.loop, result.loop(), backbone.geometry.fps, args.overwrite)
    print(*result.lines(), sep="\n")


def _check_numbers(args: argparse.Namespace, seeds: list[int]) -> None:
    for name, got, least in (("--cases", args.cases, 1), ("--seed", min(seeds), 0)):
        if got < least:
            raise InputError(name, got=got, need=f"at least {least}", fix="Use 32 cases, seed 7.")
    if args.bodies and not args.bodies.is_dir():
        fix = "Name the folder that holds them."
        raise InputError("--bodies", got=args.bodies, need="a folder of GLB files", fix=fix)


def _selection(args: argparse.Namespace) -> Selection:
    from ..bench.cases import BODIES, VARIED, Draw, draw_bodies, draw_varied
    from ..bench.puppets import Selection

    apart: dict[str, Draw] = {VARIED: draw_varied} if args.varied else {}
    if args.bodies:
        apart[BODIES] = draw_bodies(args.bodies)
    return Selection(args.group, apart, args.size, args.guided)


def _loras(args: argparse.Namespace, source: Source) -> list[WantedLora]:
    """Those that were named, one a variant and expert, or both that lie beside the model."""
    from ..lora.files import WantedLora, read_lora
    from ..models.loras import takes_none

    if not source.takes_loras:
        raise takes_none(source.name)
    named = args.lora or [(source.lora_beside(variant), 1.0) for variant in VARIANTS]
    loras = [WantedLora(read_lora(path), strength) for path, strength in named]
    places = [(lora.file.info.variant, lora.file.info.expert) for lora in loras]
    for place in places:
        if places.count(place) > 1:
            raise InputError(
                "--lora",
                got=f"{places.count(place)} of the {place[0]} variant",
                need="one a variant, for each makes a row of its own",
                fix="Score them one after the other.",
            )
    return loras


def _open_backbone(args: argparse.Namespace, source: Source) -> Backbone:
    """The backbone, after a word on what it will take."""
    placement = placement_of(args, source)
    geometry = source.geometry
    side = args.size or geometry.panel[0]
    longest = geometry.num_frames
    if estimated := source.estimate(placement, (side, side), longest, LEAD_IN_SECONDS):
        print(f"{args.model}: {estimated}", file=sys.stderr)
    with quiet():
        backbone = source.open(placement).backbone
    assert backbone is not None, "what takes LoRAs has one"
    return backbone


def _adapters_of_rows(backbone: Backbone, loras: list[WantedLora]) -> dict[str, list[str]]:
    """{variant: names of its LoRAs on the backbone}, each at its strength."""
    from ..lora.adapters import load_lora

    rows: dict[str, list[str]] = {}
    for file, strength in loras:
        loaded = load_lora(backbone, file, strength)
        rows.setdefault(file.info.variant, []).append(loaded.name)
    return rows
