"""Are the meters of AW Bench right? Puppets, damaged by degrees, beside what is true.

    python benchmarks/aw_meters.py --store FOLDER [--first 0] [--cases 6] [--limb-cases 6]

Prints the rank correlation of each meter with the true error that it stands for, over videos that
have it, alone or with other damages, and undamaged ones (one below 0.6 must not be shipped), and
the chance that such a video looks worse to it than one without that error. Then how each answers to
each damage: the change from undamaged to the strongest grade, as a share of the largest change that
any damage makes in that meter; in bold where the meter is meant for it, with * where the grades
rank as they should, and a dash where nothing is told of the strongest grade. The last row says
of how many of these videos each tells anything.

What is measured is kept in FOLDER, so that a run that was stopped goes on. 41 videos a case; one
takes about 0.3 s of one core, and 2 s where limbs are looked for.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from dreamactor_core.bench.aw.meters import LEAST_CORRELATION
from dreamactor_core.bench.aw.meters.measure import METER_VERSION, OF_FRAMES
from dreamactor_core.bench.aw.validate import (
    MEANT_FOR,
    OF_LIMBS,
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
    parser.add_argument(
        "--limb-cases", type=int, default=6, help="the first so many, with limbs looked for (6)"
    )
    parser.add_argument("--first", type=int, default=0, help="number of the first of them (0)")
    parser.add_argument("--workers", type=int, default=0, help="processes (this one alone)")
    parser.add_argument("--as-it-is", action="store_true", help="measure nothing more")
    args = parser.parse_args()
    all_, limbs = (range(args.first, args.first + n) for n in (args.cases, args.limb_cases))
    items = [*_items(limbs, True), *_items(all_[len(limbs) :], False)]  # the rest without limbs
    executor = Processes(args.workers) if args.workers else None
    with ItemStore(args.store) as store:
        if not args.as_it_is:
            run_items(store, "try", TryMeters(), items, executor)
        records = store.records("try")
    tried, alone = [], Counter[bool]()
    for item in items:
        record = records.get(item.key)
        if record is not None and record.state == DONE:
            shares = item.data["shares"]
            tried.append(Tried(shares, record.result["scores"], record.result["errors"]))
            alone[item.data["limbs"]] += len(shares) < 2
    print("| meter | rank correlation | videos | told from others | others |")
    print("|---|---|---|---|---|")
    for name, (rho, videos, apart, others) in rank_correlations(tried).items():
        word = "" if rho >= LEAST_CORRELATION else " (too low)"
        print(f"| {name} | {rho:.2f}{word} | {videos} | {apart:.2f} | {others} |")
    print(f"\n| damage | {' | '.join(OF_FRAMES)} |\n|---|{'---|' * len(OF_FRAMES)}")
    for damage, row in damage_matrix(tried).items():
        cells = []
        for name, cell in row.items():
            text = "-" if math.isnan(cell.share) else f"{cell.share:.2f}"
            text += "*" * cell.monotone
            cells.append(f"**{text}**" if name in MEANT_FOR[damage] else text)
        print(f"| {damage} | {' | '.join(cells)} |")
    told = Counter(name for each in tried if len(each.shares) < 2 for name in each.scores)
    counts = [
        f"{told[name]} of {alone[True] if name in OF_LIMBS else alone.total()}"
        for name in OF_FRAMES
    ]
    print(f"| videos | {' | '.join(counts)} |")


def _items(seeds: range, limbs: bool) -> list[Item]:
    return [
        Item(
            f"{seed} {k} {'limbs' if limbs else 'pictures'}",
            {"seed": seed, "shares": shares, "limbs": limbs, "version": METER_VERSION},
        )
        for seed in seeds
        for k, shares in enumerate(damages_of(seed))
    ]


if __name__ == "__main__":
    main()
