"""The simulated long job, where its length is known, and the sheet of costs."""

import argparse
import random

import pytest

from benchmarks.pair_costs import BASES, row_of
from benchmarks.scale import Costs, measure_store, simulate

NEVER = 1e15
IDEAL = Costs(10.0, spread=0.0, row=0.0, commit=0.0, opening=7.0, lost_every=NEVER)


@pytest.mark.parametrize("workers", [1, 3, 10])
def test_without_costs_workers_share_the_items(workers):
    seconds, busy, lost = simulate(workers, 30, IDEAL)
    assert seconds == pytest.approx(7 + 10 * 30 / workers) and busy == 0 and lost == 0


def test_one_process_that_is_slower_than_all_workers_is_the_limit():
    costs = Costs(1.0, spread=0.0, row=0.5, commit=0.0, opening=0.0, lost_every=NEVER)
    seconds, busy, _ = simulate(100, 400, costs)
    assert 400 * 0.5 <= seconds < 1.1 * 400 * 0.5 + 200
    assert busy > 0.95


def test_lost_items_are_done_again():
    costs = Costs(10.0, lost_every=100.0, back_after=5.0, opening=1.0)
    _, _, lost = simulate(5, 200, costs, seed=random.Random(0).randrange(9))
    assert 5 < lost < 60


def test_the_store_is_measured():
    one, more = measure_store(20)
    assert 0 < more < one


def test_a_pair_costs_what_the_formula_says():
    arguments = argparse.Namespace(
        pairs=60_000, kept=0.5, tflops=400.0, price=2.0, steps=10, guidance=1.0
    )
    base = BASES[4]
    cells = [cell.strip().replace(",", "") for cell in row_of(base, arguments).split("|")[1:-1]]
    tokens = 31 * 22 * 40
    flops = 10 * (2 * 5e9 * tokens + 4 * 30 * tokens**2 * 3072)
    hours = 60_000 / 0.5 * flops / 400e12 / 3600
    assert cells[:3] == ["Wan 2.2 TI2V 5B", str(tokens), "10"]
    assert float(cells[5]) == pytest.approx(hours, abs=0.5)
    assert float(cells[6]) == pytest.approx(2 * hours, abs=1)
