"""`aw check`: a set of cases, looked over."""

from __future__ import annotations

import argparse
from collections import Counter
from pathlib import Path

from .aw import verb_parser

CHECK_ABOUT = """What a set of cases holds: how many of which kind, which files are missing (and
where they are to be had), and which are not what the set says. Ends with status 1 if a file is not
as it should be."""


def main(argv: list[str]) -> int:
    """argv: the verb, then its options."""
    parser = verb_parser("check", CHECK_ABOUT)
    parser.add_argument("set", type=Path, metavar="SET", help="folder of a set, or its cases.jsonl")
    return _check_set(parser.parse_args(argv[1:]))


def _check_set(args: argparse.Namespace) -> int:
    from ..bench.aw.cases import read_cases, sha256_of

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
        if case.truth and not cases.path_of(case.truth).is_file():
            wrong[case.truth] = "missing; make the set anew"
    for file, said in wrong.items():
        print(f"{file}: {said}")
    return 1 if wrong else 0
