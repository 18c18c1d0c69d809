"""`aw check`, `aw open-set` and `aw fetch`: sets of cases, looked over, made, and completed."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from .aw import verb_parser
from .scale import add_scale, executor_of, stage_bars
from .shared import Stop, add_path, check_paths

CHECK_ABOUT = """What a set of cases holds: how many of which kind, which files are missing (and
where they are to be had), and which are not what the set says. Ends with status 1 if a file is not
as it should be."""
OPEN_SET_ABOUT = """Make the set of cases that anybody can have: puppets that this package draws,
rigged bodies (CC0 GLB files in a folder) in both roles, both with the truth, and pairs of free
clips and pictures (a folder with a manifest.json). Puppets alone where no folder is named. The same
seed gives the same bytes; what is there is not made again.

It is ours, not ByteDance's: the paper's 100 drivers and 200 references are not released. What may
not be handed on lies in SET/fetched and has an address: leave that folder out, and `aw fetch` fills
it again."""
FETCH_ABOUT = """Fetch the files of a set that may not lie in it from the addresses it names. One
that is not what the set says (another sha256) is not kept."""


def main(argv: list[str]) -> int:
    """argv: the verb, then its options."""
    verb = {"check": _check_set, "open-set": _open_set, "fetch": _fetch_set}[argv[0]]
    return verb(argv[1:])


def _check_set(argv: list[str]) -> int:
    from ..bench.aw.cases import read_cases, sha256_of

    parser = verb_parser("check", CHECK_ABOUT)
    parser.add_argument("set", type=Path, metavar="SET", help="folder of a set, or its cases.jsonl")
    args = parser.parse_args(argv)
    cases = read_cases(args.set)
    print(f"{cases.name}: {len(cases.cases)} cases. {cases.about}")
    for name, counts in (
        ("drivers", Counter({c.driver.file: c.driver.kind for c in cases.cases}.values())),
        ("references", Counter({c.reference.file: c.reference.kind for c in cases.cases}.values())),
        ("relations", Counter(case.relation for case in cases.cases)),
        ("scenarios", Counter(name for case in cases.cases for name in case.scenarios)),
        ("subsets", Counter(case.subset for case in cases.cases if case.subset)),
        ("truth known", Counter("yes" if case.truth else "no" for case in cases.cases)),
    ):
        told = ", ".join(f"{count} {kind}" for kind, count in counts.most_common())
        print(f"{name}: {sum(counts.values())}{f' ({told})' if told else ''}")
    wrong = {}
    for case in cases.cases:
        for part in (case.driver, case.reference):
            if part in cases.lacking(case):
                wrong[part.file] = f"missing; it is at {part.address or part.source}"
            elif part.file not in wrong and sha256_of(cases.path_of(part.file)) != part.sha256:
                wrong[part.file] = "not the file that the set means (another sha256)"
        for made in filter(None, (case.truth, case.driver.keypoints)):
            if not cases.path_of(made).is_file():
                wrong[made] = "missing; make the set anew"
    for file, said in wrong.items():
        print(f"{file}: {said}")
    return 1 if wrong else 0


def _open_set(argv: list[str]) -> int:
    parser = verb_parser("open-set", OPEN_SET_ABOUT)
    add_path(parser, "--out", "SET", "folder for the set", required=True)
    add_path(parser, "--media", "FOLDER", "free clips and pictures, with manifest.json (none)")
    add_path(parser, "--characters", "FOLDER", "rigged CC0 bodies, GLB files (none)")
    for what, count in (("puppets", 32), ("bodies", 32), ("pairs", 36)):
        text = f"cases of {what if what != 'pairs' else 'real media'} ({count})"
        parser.add_argument(f"--{what}", type=int, default=count, metavar="N", help=text)
    parser.add_argument("--seed", type=int, default=0, help="which puppets, bodies and pairs (0)")
    add_scale(parser)
    args = parser.parse_args(argv)
    check_paths([args.media, args.characters], [args.out])

    from ..bench.aw.open_set import OpenPlan, build_open_set

    plan = OpenPlan(
        args.out, args.media, args.characters, args.puppets, args.bodies, args.pairs, args.seed
    )
    with stage_bars(Stop()) as on_case:
        made = build_open_set(plan, executor_of(args), on_case)
    for file in made.lacking:
        print(f"left out: {file}")
    told = ", ".join(f"{count} {kind}" for kind, count in made.counts.items())
    print(f"{made.path}: {sum(made.counts.values())} cases ({told})")
    return 0


def _fetch_set(argv: list[str]) -> int:
    parser = verb_parser("fetch", FETCH_ABOUT)
    parser.add_argument("set", type=Path, metavar="SET", help="folder of a set")
    args = parser.parse_args(argv)

    from ..bench.aw.cases import read_cases
    from ..bench.aw.fetch import fetch_lacking

    cases = read_cases(args.set)
    told = fetch_lacking(cases)
    for file, reason in told.items():
        print(f"{file}: {reason or 'fetched'}")
    print(f"{sum(not reason for reason in told.values())} of {len(told)} missing files fetched")
    return 1 if any(told.values()) else 0
