"""Are the meters of AW Bench right? Puppets, damaged by degrees, beside what is true.

    python benchmarks/aw_meters.py --store FOLDER [--cases 6] [--workers 2]

Prints the rank correlation of each meter with the true error that it stands for, over videos with
one damage or several (one below 0.6 must not be shipped), then how each answers to each damage: the
change from undamaged to the strongest grade, as a share of the largest change that any damage makes
in that meter; in bold where the meter is meant for it, with * where the grades rank as they should.
What is measured is kept in FOLDER, so that a run that was stopped goes on. About 3 s a video on one
core, 41 videos a case.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from dreamactor_core.bench.aw.meters import LEAST_CORRELATION
from dreamactor_core.bench.aw.meters.measure import METER_VERSION, OF_FRAMES
from dreamactor_core.bench.aw.validate import (
    MEANT_FOR,
    Tried,
    TryMeters,
    damage_matrix,
    damages_of,
    rank_correlations,
)
from dreamactor_core.items import DONE, Item, ItemStore, Processes, run_items


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--store", type=Path, required=True, help="what is measured is kept there")
    parser.add_argument("--cases", type=int, default=6, help="puppets of the test split (6)")
    parser.add_argument("--workers", type=int, default=0, help="processes (this one alone)")
    parser.add_argument("--as-it-is", action="store_true", help="measure nothing more")
    args = parser.parse_args()
    items = [
        Item(f"{seed} {k}", {"seed": seed, "shares": shares, "version": METER_VERSION})
        for seed in range(args.cases)
        for k, shares in enumerate(damages_of(seed))
    ]
    executor = Processes(args.workers) if args.workers else None
    with ItemStore(args.store) as store:
        if not args.as_it_is:
            run_items(store, "try", TryMeters(), items, executor)
        records = store.records("try")
    by_key = {item.key: item for item in items}
    tried = [
        Tried(by_key[key].data["shares"], **each.result)
        for key, each in records.items()
        if key in by_key and each.state == DONE
    ]
    cases = len({key.split()[0] for key in records})
    print(f"{len(tried)} videos of {cases} cases\n")
    print("| meter | rank correlation | told |\n|---|---|---|")
    for name, rho in rank_correlations(tried).items():
        told = sum(name in each.scores for each in tried)
        word = "" if rho >= LEAST_CORRELATION else " (too low)"
        print(f"| {name} | {rho:.2f}{word} | {told} of {len(tried)} |")
    print(f"\n| damage | {' | '.join(OF_FRAMES)} |\n|---|{'---|' * len(OF_FRAMES)}")
    for damage, row in damage_matrix(tried).items():
        cells = []
        for name, cell in row.items():
            text = f"{cell.share:.2f}" + "*" * cell.monotone
            cells.append(f"**{text}**" if name in MEANT_FOR[damage] else text)
        print(f"| {damage} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
