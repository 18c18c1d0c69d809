"""`aw table`, `aw page`: what was found, to read and to look at."""

from __future__ import annotations

import argparse
import sys

from .aw import verb_parser
from .shared import add_path, check_paths

TABLE_ABOUT = """The paper's tables of a folder of results: Table 1, Figure 5 (good, same, bad) and
Table 2, each as far as there is something, and the meters' own. Figures have bootstrapped
intervals; columns "paper" are the published numbers, which are of another set, judge and
raters."""

PAGE_ABOUT = """A page to look through: each case with its picture, its motion and every system's
video side by side, in step; filters; each judgement with its reason; the tables. It is a folder
that works from a disk and from any web server. What cannot be read is named and left out. The
same command again, after videos or scores were added or after a stop, makes what is missing."""


def main(argv: list[str]) -> int:
    """argv: the verb, then its options."""
    return {"table": _table_verb, "page": _page_verb}[argv[0]](argv[1:])


def add_set_and_results(parser: argparse.ArgumentParser) -> None:
    """The two that everything is read from."""
    add_path(parser, "set", "SET", "folder of a set, or its cases.jsonl")
    add_path(parser, "results", "RESULTS", "folder of the systems' folders and of scores/")


def _table_verb(argv: list[str]) -> int:
    parser = verb_parser("table", TABLE_ABOUT)
    add_set_and_results(parser)
    add_path(parser, "--out", "FILE", "tables.md or tables.html", required=True)
    parser.add_argument("--seed", type=int, default=0, help="of the bootstrap (0)")
    parser.add_argument(
        "--common", action="store_true", help="only the cases that every system has made"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace FILE if it exists")
    return _write_tables(parser.parse_args(argv))


def _write_tables(args: argparse.Namespace) -> int:
    check_paths((args.set, args.results), (args.out,))
    from ..bench.aw.gather import gather
    from ..bench.aw.render import markdown, tables_page
    from ..bench.aw.tables import all_tables
    from ..media.replace import replacing

    gathered = gather(args.set, args.results)
    gathered = gathered.common() if args.common else gathered
    title = f"AW Bench in the open: {gathered.case_set.name}"
    write = tables_page if args.out.suffix.lower() in (".html", ".htm") else markdown
    with replacing(args.out, args.overwrite) as part:
        part.write_text(write(title, all_tables(gathered, args.seed)), encoding="utf-8")
    print(args.out)
    return 0


def _page_verb(argv: list[str]) -> int:
    parser = verb_parser("page", PAGE_ABOUT)
    add_set_and_results(parser)
    add_path(parser, "--out", "FOLDER", "of the page", required=True)
    parser.add_argument("--seed", type=int, default=0, help="of the tables' bootstrap (0)")
    return _write_page_folder(parser.parse_args(argv))


def _write_page_folder(args: argparse.Namespace) -> int:
    check_paths((args.set, args.results), (args.out,))
    from tqdm import tqdm

    from ..bench.aw.gather import gather
    from ..bench.aw.site import write_site

    with tqdm(unit="case", disable=None) as bar:

        def on_case(number: int, total: int) -> None:
            bar.total = total
            bar.update()

        made = write_site(gather(args.set, args.results), args.out, args.seed, on_case)
    for path, why in made.left_out.items():
        print(f"left out {path}: {why}", file=sys.stderr)
    print(f"{made.page}: {made.cases} cases, {made.videos} videos")
    return 0
