"""`aw build`: a set of cases out of anybody's folder."""

from __future__ import annotations

from pathlib import Path

from .aw import verb_parser
from .caption import add_captioner, choice_of
from .scale import add_scale, executor_of, stage_bars
from .shared import Stop, add_path, check_paths

BUILD_ABOUT = """Make a set of cases out of a folder of clips and pictures. The first call writes
SET/tags.csv with what can be guessed: how many people there are and how much of them is seen (by
BlazePose, where it is here), whether the camera moves, and kind, age and activity with a captioner.
Correct it by hand; a question mark is what nobody knows. The next call pairs drivers and
references, as balanced as the paper's (100 drivers, 200 references, 60 human-human and 40
human-cartoon pairs), and says what is missing."""


def main(argv: list[str]) -> int:
    """argv: the verb, then its options."""
    parser = verb_parser("build", BUILD_ABOUT)
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="clips and pictures")
    add_path(parser, "--out", "SET", "folder for the set", required=True)
    parser.add_argument("--name", default="own", help="of the set (own)")
    for what, count in (("drivers", 100), ("references", 200)):
        text = f"so many at the most ({count})"
        parser.add_argument(f"--{what}", type=int, default=count, metavar="N", help=text)
    parser.add_argument(
        "--count", type=int, metavar="N", help="cases (as many as references, 100 at least)"
    )
    parser.add_argument("--seed", type=int, default=0, help="of who performs what (0)")
    parser.add_argument("--license", default="?", help="of every file, for the first call")
    parser.add_argument("--source", default="?", help="of every file, for the first call")
    who = parser.add_argument_group("who is asked about kind, age and activity (nobody)")
    who.add_argument("--captioner", choices=("local", "endpoint"))
    add_captioner(who)
    who.add_argument(
        "--download", action="store_true", help="local: fetch from the hub what is not here"
    )
    who.add_argument("--device", default="auto", help="local: cpu, cuda, ... (a GPU if any)")
    add_scale(parser)
    args = parser.parse_args(argv[1:])
    check_paths([args.folder], [args.out])

    from ..bench.aw.build import BuildPlan, build_set

    asked = args.captioner or args.endpoint or args.mllm
    plan = BuildPlan(
        args.folder,
        args.out,
        args.name,
        args.drivers,
        args.references,
        args.count,
        args.seed,
        args.license,
        args.source,
        choice_of(args) if asked else None,
    )
    with stage_bars(Stop()) as on_file:
        built = build_set(plan, executor_of(args), on_file)
    print(*built.told, sep="\n")
    print(f"{built.path}" + (f": {len(built.cases)} cases" if built.cases else ""))
    return 0
