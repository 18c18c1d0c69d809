"""What is said of a stage's speed."""

import re

import torch
from torch import nn

from dreamactor_core.train.pace import PASSES_A_STEP, Pace, forward_work


def test_work_is_that_of_the_products():
    layer, batch = nn.Linear(30, 7), torch.zeros(5, 30)
    assert forward_work(lambda: layer(batch)) == 2 * 5 * 30 * 7
    picture, filters = torch.zeros(2, 3, 8, 8), nn.Conv2d(3, 4, 3)
    assert forward_work(lambda: filters(picture)) == 2 * 2 * 4 * 6 * 6 * 3 * 9


def test_the_share_is_work_a_second_of_what_a_product_reaches():
    pace, layer = Pace(), nn.Linear(1000, 1000)
    pace.count(lambda: layer(torch.zeros(4, 1000)), samples=4)
    assert pace.work == PASSES_A_STEP * 2 * 1000 * 1000
    assert pace.report() == ""
    pace.add(4)  # the first step of a stretch, which may compile
    assert pace.report() == ""
    pace.add(400_000)
    rate, done, share, peak = map(
        float,
        re.fullmatch(
            r"(\S+) samples/s, (\S+) GFLOP/s: (\d+)% of a matrix product's (\S+)", pace.report()
        ).groups(),
    )
    assert abs(done / (rate * pace.work / 1e9) - 1) < 0.02
    assert abs(share / (100 * done / peak) - 1) < 0.02 and peak > 0
    assert pace.report() == ""  # of a new stretch
    pace.add(4)
    pace.pause()
    assert pace.report() == ""
