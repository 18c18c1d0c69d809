"""`aw submit`: a system's videos, to be handed in and looked over."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from ..errors import InputError
from .aw import verb_parser
from .shared import add_path, check_paths

SUBMIT_ABOUT = """Hand a system's videos in, or look over what was handed in.

    aw submit pack  SET RESULTS/SYSTEM --out mine.zip --license CC-BY-4.0 --statement made.txt
    aw submit check SET mine.zip
    aw submit check SET mine.zip --into RESULTS

A submission holds the videos with their hashes, system.json, a licence and a statement of how they
were made. The check ends with status 1 if something is not as it should be; videos that are missing
are only told, for the tables say n of N. The format: docs/aw-bench.md."""


def main(argv: list[str]) -> int:
    """argv: the verb, then its options."""
    parser = verb_parser("submit", SUBMIT_ABOUT)
    commands = parser.add_subparsers(required=True, metavar="what")
    pack = commands.add_parser("pack", help="a ZIP or a folder of a system's videos")
    pack.set_defaults(run=_pack)
    add_path(pack, "set", "SET", "folder of the set")
    add_path(pack, "system", "FOLDER", "RESULTS/SYSTEM")
    add_path(pack, "--out", "FILE", "mine.zip, or a new folder", required=True)
    pack.add_argument("--license", required=True, help="of the videos, as CC-BY-4.0")
    add_path(pack, "--statement", "FILE", "a text: how they were made", required=True)
    pack.add_argument("--overwrite", action="store_true", help="replace FILE if it exists")
    check = commands.add_parser("check", help="look one over")
    check.set_defaults(run=_check_one)
    add_path(check, "set", "SET", "folder of the set")
    add_path(check, "submission", "FILE", "a ZIP or a folder")
    add_path(check, "--into", "RESULTS", "take a good one over into this folder of results")
    args = parser.parse_args(argv[1:])
    return args.run(args)


def _pack(args: argparse.Namespace) -> int:
    check_paths((args.set, args.system, args.statement), (args.out,))
    from ..bench.aw.submission import pack_submission

    text = _text_in(args.statement)
    made = pack_submission(args.set, args.system, args.out, args.license, text, args.overwrite)
    print(*made.notes, sep="\n", end="\n" if made.notes else "")
    print(f"{args.out}: {made.system}, videos of {made.made} of {made.wanted} cases")
    return 0


def _text_in(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        fix = "Write it as a plain text file in UTF-8."
        raise InputError(str(path), got="no text that can be read", need="text", fix=fix) from error


def _check_one(args: argparse.Namespace) -> int:
    check_paths((args.set, args.submission), ())
    from ..bench.aw.submission import check_submission

    report = check_submission(args.set, args.submission, args.into)
    for note in report.notes:
        print(f"note: {note}")
    for problem in report.problems:
        print(f"problem: {problem}", file=sys.stderr)
    if report.problems:
        print(f"{args.submission}: not accepted, {len(report.problems)} problems")
        return 1
    where = f", now in {args.into / report.system}" if args.into else ""
    told = f"{report.system}, videos of {report.made} of {report.wanted} cases"
    print(f"{args.submission}: {told}, whole{where}")
    return 0
