"""`aw raters`, `aw tally`: what people say."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from .aw import verb_parser
from .aw_tables import add_set_and_results
from .shared import add_path, check_paths

RATERS_ABOUT = """A page on which people judge without knowing whose videos they see: one HTML file
that works without a network, by keyboard, and remembers what was said. Beside it lies its key,
which tells which video is whose: keep it, and send the page alone (with PAGE_media, if there is
one)."""
TALLY_ABOUT = """Count the files that raters have saved from a page of aw raters, and add what they
say to RESULTS/scores/ratings.jsonl, from which aw table and aw page have it. To count a file
again adds nothing; of a rater's two answers to one item the later one counts."""


def main(argv: list[str]) -> int:
    """argv: the verb, then its options."""
    return {"raters": _raters_verb, "tally": _tally_verb}[argv[0]](argv[1:])


def _raters_verb(argv: list[str]) -> int:
    from ..bench.aw.raters import EMBEDDED_MEGABYTES

    parser = verb_parser("raters", RATERS_ABOUT)
    add_set_and_results(parser)
    add_path(parser, "--out", "FILE", "rate.html", required=True)
    kind = parser.add_mutually_exclusive_group(required=True)
    kind.add_argument(
        "--pairs", nargs=2, metavar=("A", "B"), help="two systems side by side: good, same, bad"
    )
    kind.add_argument(
        "--single", action="store_true", help="one video at a time, 1 to 5 in three dimensions"
    )
    parser.add_argument(
        "--systems", nargs="+", default=[], metavar="NAME", help="of --single (all of them)"
    )
    parser.add_argument(
        "--samples", type=int, metavar="N", help="cases a system, drawn by --seed (all; paper: 100)"
    )
    parser.add_argument("--seed", type=int, default=0, help="of the draw (0)")
    parser.add_argument(
        "--raters", nargs="+", default=[], metavar="NAME", help="who they are (whoever opens it)"
    )
    parser.add_argument(
        "--raters-per", type=int, metavar="N", help="of --raters, who judge an item (all of them)"
    )
    parser.add_argument(
        "--embed",
        type=float,
        default=EMBEDDED_MEGABYTES,
        metavar="MB",
        help="up to so many megabytes of media lie in the page itself; more lie in a folder beside "
        f"it ({EMBEDDED_MEGABYTES})",
    )
    parser.add_argument("--overwrite", action="store_true", help="replace FILE and its key")
    return _write_page(parser.parse_args(argv))


def _write_page(args: argparse.Namespace) -> int:
    check_paths((args.set, args.results), (args.out,))
    from tqdm import tqdm

    from ..bench.aw.gather import gather
    from ..bench.aw.raters import RaterPlan, write_rater_page
    from ..media import check_writable

    check_writable(args.out, args.overwrite)
    plan = RaterPlan(
        pair=tuple(args.pairs) if args.pairs else None,
        systems=tuple(args.systems),
        samples=args.samples,
        seed=args.seed,
        raters=tuple(args.raters),
        raters_per=args.raters_per,
        megabytes=args.embed,
    )
    gathered = gather(args.set, args.results)
    with tqdm(unit="item", disable=None) as bar:

        def on_item(number: int, total: int) -> None:
            bar.total = total
            bar.update()

        made = write_rater_page(gathered, plan, args.out, args.overwrite, on_item)
    for name, why in made.left_out.items():
        print(f"left out {name}: {why}", file=sys.stderr)
    beside = f" and {made.media}" if made.media else ""
    print(f"{made.page}{beside}: {made.items} items; {made.key} is the key, for you alone")
    return 0


def _tally_verb(argv: list[str]) -> int:
    parser = verb_parser("tally", TALLY_ABOUT)
    parser.add_argument(
        "ratings", type=Path, nargs="+", metavar="RATINGS", help="files that raters have saved"
    )
    add_path(parser, "--key", "FILE", "the key beside the page", required=True)
    add_path(parser, "--out", "RESULTS", "the folder of results it was made of", required=True)
    parser.add_argument("--seed", type=int, default=0, help="of the bootstrap (0)")
    return _count_ratings(parser.parse_args(argv))


def _count_ratings(args: argparse.Namespace) -> int:
    check_paths((args.key, args.out), ())
    from ..bench.aw.ratings import keep_tally, read_key, tally
    from ..bench.aw.render import table_lines
    from ..bench.aw.tables import THEIRS, rating_tables

    told = tally(args.ratings, read_key(args.key))
    added = keep_tally(args.out, told)
    for why in told.skipped:
        print(f"skipped: {why}", file=sys.stderr)
    raters = ", ".join(f"{name} {count}" for name, count in sorted(told.raters.items()))
    print(f"judgements: {len(told.lines)}, {added} of them new; raters: {raters}")
    if told.unseen:
        print(f"could not be judged: {told.unseen}")
    if told.sides:
        sides = ", ".join(f"{side} {told.sides[side]}" for side in ("left", "same", "right"))
        print(f"sides chosen: {sides}")
    for table in rating_tables(told.lines, args.seed):
        print("", table.title, *table_lines(table), *table.notes, sep="\n")
    print("", THEIRS, sep="\n")
    return 0
