"""The command `make-lora`: a folder of footage in, two LoRAs for a base out."""

from __future__ import annotations

import argparse
import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import InputError
from ..options import BLAZEPOSE, KEPT_SCORE
from .caption import add_captioner, choice_of
from .shared import Stop, check_paths, quiet
from .train import add_layout

if TYPE_CHECKING:
    from ..caption.choice import CaptionerChoice
    from ..geometry import Geometry
    from ..make_lora.plan import Looks, MakePlan, Prepare
    from ..train.recipe import Recipe

ABOUT = """Make a pose-based and an end-to-end LoRA for BASE out of the videos below FOLDER.

BASE is HunyuanVideo-1.5, Wan 2.1 I2V, Fun-InP 1.3B, Wan 2.2 A14B or TI2V-5B, a folder as diffusers
writes it. Clips are cut out of the videos, filtered, posed and captioned; a LoRA that follows a
skeleton is trained on them; with it they are performed by other characters; a LoRA that follows
any video is trained on those. OUT then holds both LoRAs, their card, a sheet of what they make and
the graph that uses them. The same call goes on where it was stopped, however it was stopped.

Look through OUT/clips/sheet-001.html and OUT/pairs while it runs: what is dropped there is left out
when the same call is made again.
"""
EXAMPLES = """examples:
  make-lora footage --base models/hunyuanvideo-1.5 --out runs/mine --pictures characters
  make-lora footage --base models/wan2.1-i2v --out runs/mine --storage fp8 \\
            --endpoint http://localhost:11434/v1 --endpoint-model qwen3-vl
  make-lora runs/clips/clips.jsonl --base ... --out ...    a list that `prepare` has made
"""
MOST_GAP = 0.5  # percent by which the bar moves at least


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "folder", type=Path, metavar="FOLDER", help="videos, and folders of them; or a clips.jsonl"
    )
    parser.add_argument("--base", type=Path, required=True, help="folder of a full-size base")
    parser.add_argument(
        "--out", type=Path, required=True, help="folder of the job; made if missing, resumed if not"
    )
    parser.add_argument(
        "--pictures",
        type=Path,
        metavar="FOLDER",
        help="other characters, for the clips to be performed by (the clips' own)",
    )
    _add_training(parser)
    _add_making(parser)
    who = parser.add_argument_group("poses, and captions (none, unless --endpoint or --mllm)")
    who.add_argument("--detector", metavar="DIR", help="as of the command pose (blazepose)")
    who.add_argument("--captioner", choices=("local", "endpoint"), help=argparse.SUPPRESS)
    add_captioner(who)
    who.add_argument("--download", action="store_true", help="fetch what is not on this machine")
    device = parser.add_argument_group("where it runs")
    device.add_argument("--device", default="", help="cpu, cuda, cuda:1 (a GPU if any)")
    device.add_argument("--dtype", default="", help="fp32, bf16 or fp16 (bf16, on a CPU fp32)")
    device.add_argument(
        "--storage", default="", help="of the frozen weights while training: fp8, int8 or nf4"
    )
    device.add_argument(
        "--offload", action="store_true", help="weights that only encode or sample wait in RAM"
    )
    device.add_argument("--vae-tiling", action="store_true", help="in tiles: less memory")


def _add_training(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("training")
    group.add_argument(
        "--pose-recipe",
        default="small_data_pose_based",
        metavar="NAME",
        help="a file, or a name in train/recipes (%(default)s)",
    )
    group.add_argument(
        "--end-to-end-recipe",
        default="small_data_end_to_end",
        metavar="NAME",
        help="the same of the second LoRA (%(default)s)",
    )
    group.add_argument("--steps", type=int, metavar="N", help="of each LoRA (the recipe's)")
    group.add_argument(
        "--size", type=int, help="panels of about size x size pixels (the base's own)"
    )
    group.add_argument("--seed", type=int, default=0, help="of all that is drawn (0)")
    add_layout(group)


def _add_making(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group(
        "what the LoRAs make: pairs to learn from, and a look at both"
    )
    group.add_argument(
        "--sampling-steps", type=int, metavar="N", help="from noise to video (the base's own)"
    )
    group.add_argument(
        "--threshold",
        type=float,
        default=KEPT_SCORE,
        help="mean score, 1 to 5, from which a made clip is kept (%(default)s)",
    )
    group.add_argument("--looks", type=int, default=4, help="clips that are looked at (4)")
    group.add_argument("--frames", type=int, default=49, help="of a look, 4k + 1 (49)")


def command(args: argparse.Namespace, stop: Stop) -> None:
    check_paths((args.folder, args.base, args.pictures), ())
    plan = make_plan(args, stop)

    from tqdm import tqdm
    from tqdm.contrib.logging import logging_redirect_tqdm

    from ..make_lora.job import make_lora

    logging.getLogger(__name__.rsplit(".", 2)[0]).setLevel(logging.INFO)
    form = "{desc}{percentage:3.0f} % of the whole |{bar}| {elapsed}"
    with quiet(), logging_redirect_tqdm(), tqdm(total=100, bar_format=form) as bar:

        def show(stage: str, share: float) -> None:
            stop.check()
            new = stage != bar.desc.removesuffix(": ")
            if new:
                bar.set_description(stage, refresh=False)
                bar.write(f"{stage} ...")
            if new or 100 * share - bar.n >= MOST_GAP:
                bar.n = 100 * share
                bar.refresh()

        made = make_lora(plan, show)
    for path in (*made.loras, made.card, made.sheet, made.graph):
        print(path)


def make_plan(args: argparse.Namespace, stop: Stop) -> MakePlan:
    """Raises InputError for what cannot be, before long work begins."""
    from ..make_lora.plan import MakePlan
    from ..sampling import SampleSettings
    from ..train.base import network_header
    from .train_full import layout_of, training_placement

    geometry = network_header(args.base).found.geometry
    captioner = choice_of(args) if args.endpoint or args.mllm else None
    recipes = {
        "pose-based": _recipe(args.pose_recipe, "pose-based", args.steps),
        "end-to-end": _recipe(args.end_to_end_recipe, "end-to-end", args.steps),
    }
    return MakePlan(
        source=args.folder,
        base=args.base,
        out=args.out,
        recipes=recipes,
        prepare=_prepare(args, recipes["pose-based"], geometry, captioner, stop),
        looks=_looks(args),
        pictures=args.pictures,
        placement=training_placement(args),
        storage=args.storage,
        size=args.size,
        seed=args.seed,
        settings=SampleSettings(num_inference_steps=args.sampling_steps, seed=args.seed),
        threshold=args.threshold,
        captioner=captioner,
        layout=layout_of(args),
    )


def _recipe(name: str, variant: str, steps: int | None) -> Recipe:
    from ..train.recipe import read_recipe

    recipe = read_recipe(name)
    if recipe.variant != variant:
        raise InputError(
            f"recipe {name}",
            got=f"variant {recipe.variant}",
            need=variant,
            fix="Name one of train/recipes, or leave it away.",
        )
    return replace(recipe, steps=steps) if steps else recipe


def _looks(args: argparse.Namespace) -> Looks:
    from ..make_lora.plan import Looks
    from .train_full import compare, measures

    return Looks(measures(args.detector), compare, args.looks, args.frames)


def _prepare(
    args: argparse.Namespace,
    recipe: Recipe,
    geometry: Geometry,
    captioner: CaptionerChoice | None,
    stop: Stop,
) -> Prepare:
    """A list is taken as it is; footage is prepared, in clips as long as the shortest window."""

    def run(source: Path, out: Path, on_item: Callable[[int, int], None]) -> Path:
        if source.is_file():
            return source
        from ..footage.filters import Limits
        from ..footage.prepare import PreparePlan, prepare
        from ..footage.works import FindPoses
        from ..pose.blazepose_files import blazepose_folder
        from ..pose.networks import NetworkChoice

        if args.detector in (None, BLAZEPOSE):
            blazepose_folder(None, args.download)
        seconds = recipe.cache.lengths(geometry)[0] / geometry.fps
        plan = PreparePlan(
            limits=Limits(min_seconds=seconds),
            poses=FindPoses(out, NetworkChoice(args.detector), args.device or "auto"),
            captioner=captioner,
        )

        def heard(stage: str, outcome, number: int, total: int) -> None:
            stop.check()
            on_item(number, total)

        return prepare(source, out, plan, None, heard).clips

    return run
