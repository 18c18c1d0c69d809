"""`python -m dreamactor_core aw`: AW Bench in the open, for anybody's system.

The paper's benchmark, its cases and its judge's words are not released: these are ours.

    aw VERB --help tells more of each.
"""

from __future__ import annotations

import argparse
import importlib

from .shared import command_parser

VERBS = {  # (its module in cli/, what it does)
    "meter": ("aw_judge", "measure every video, nobody's opinion asked"),
    "judge": ("aw_judge", "let a multimodal language model rate every video"),
    "calibrate": ("aw_judge", "a judge's scores and the meters beside people's"),
    "check": ("aw_cases", "what a set of cases holds, and whether its files are whole"),
    "build": ("aw_build", "make a set of cases out of a folder of clips and pictures"),
    "open-set": ("aw_cases", "make the set that anybody can have, by one command"),
    "fetch": ("aw_cases", "fetch what may not lie in a set, and check it"),
    "run": ("aw_systems", "make a system's videos with a model"),
    "import": ("aw_systems", "take a system's videos out of a folder"),
    "hosted": ("aw_hosted", "let hosted DreamActor-M2 make a system's videos"),
    "raters": ("aw_raters", "a page on which people judge, blind"),
    "tally": ("aw_raters", "count what they have saved"),
    "page": ("aw_tables", "a page to look through: videos side by side, judgements, tables"),
    "submit": ("aw_submit", "hand a system in, or look over what was handed in"),
    "table": ("aw_tables", "Table 1, Figure 5 and Table 2 of what there is"),
}


def main(argv: list[str]) -> int:
    parser = command_parser("aw", __doc__)
    commands = parser.add_subparsers(required=True, metavar="verb", dest="verb")
    for verb, (_, line) in VERBS.items():
        commands.add_parser(verb, help=line, add_help=False)
    known, _ = parser.parse_known_args(argv[:1])
    module = importlib.import_module(f".{VERBS[known.verb][0]}", __package__)
    return module.main(argv)


def verb_parser(verb: str, text: str) -> argparse.ArgumentParser:
    """Of one verb, whose options follow it. text: its --help."""
    return command_parser(f"aw {verb}", text)
