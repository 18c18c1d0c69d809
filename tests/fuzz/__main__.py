"""python -m tests.fuzz [READER ...] [--seconds 60] [--seed 0]: each reader for so long."""

from __future__ import annotations

import argparse
import sys

from .run import run
from .targets import TARGETS


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("reader", nargs="*", help=", ".join(TARGETS))
    parser.add_argument("--seconds", type=float, default=60, help="for each reader (60)")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    faults = 0
    for name in args.reader or TARGETS:
        result = run(name, args.seed, args.seconds)
        faults += len(result.faults)
        counts = f"{result.cases} cases, {result.refused} refused, {len(result.faults)} faults"
        sys.stdout.write(f"{name}: {counts}\n")
        for fault in result.faults:
            sys.stdout.write(f"  seed {fault.seed}, case {fault.case}: {fault.what}\n")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
