"""How far a figure can be trusted: intervals over cases and raters, and agreement between raters.

Bootstrapped intervals draw cases, and raters where there are several, with replacement, each on
its own (the pigeonhole bootstrap): other raters might have rated, and other cases been rated.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable, Sequence
from functools import lru_cache
from math import nan, sqrt
from typing import NamedTuple

import numpy as np

DRAWS, LEVEL = 2000, 0.95  # of the bootstrap; share of draws that an interval holds
NORMAL_QUANTILE = 1.959963984540054  # of LEVEL, two-sided


class Interval(NamedTuple):
    value: float
    low: float  # NaN, as high, where nothing can be said of how far the value is to be trusted
    high: float


class Observation(NamedTuple):
    value: float
    case: Hashable
    rater: Hashable = None


def bootstrap_mean(observations: Sequence[Observation], seed: int = 0) -> Interval:
    """The mean of at least one observation, with its interval. The same seed gives the same.

    One case says nothing of others, whoever has rated it: then there is no interval.
    """
    cases, raters = (
        {key: k for k, key in enumerate(dict.fromkeys(keys))}
        for keys in ([each.case for each in observations], [each.rater for each in observations])
    )
    sums, counts = np.zeros((2, len(cases), len(raters)))
    for each in observations:
        sums[cases[each.case], raters[each.rater]] += each.value
        counts[cases[each.case], raters[each.rater]] += 1
    mean = float(sums.sum() / counts.sum())
    if len(cases) == 1:
        return Interval(mean, nan, nan)
    drawn_cases, drawn_raters = _drawn(len(cases), seed, 0), _drawn(len(raters), seed, 1)
    total, count = (((drawn_cases @ each) * drawn_raters).sum(axis=1) for each in (sums, counts))
    means = total[count > 0] / count[count > 0]
    low, high = np.quantile(means, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(mean, float(low), float(high))


@lru_cache(maxsize=16)  # tables ask for the same few again and again
def _drawn(count: int, seed: int, of_raters: int) -> np.ndarray:
    """How often each of so many is drawn, (DRAWS, count)."""
    generator = np.random.default_rng([seed, of_raters])
    return generator.multinomial(count, [1 / count] * count, size=DRAWS)


def wilson(part: int, whole: int) -> Interval:
    """A share, part of whole > 0, with Wilson's interval."""
    share, z2 = part / whole, NORMAL_QUANTILE**2
    middle = (share + z2 / (2 * whole)) / (1 + z2 / whole)
    half = sqrt(share * (1 - share) / whole + z2 / (4 * whole**2)) / (1 + z2 / whole)
    half *= NORMAL_QUANTILE
    return Interval(share, max(0.0, middle - half), min(1.0, middle + half))


def ordinal_alpha(ratings: Iterable[tuple[Hashable, int]]) -> float | None:
    """Krippendorff's alpha of (what was rated, rating): 1 all raters agree, 0 as chance would.

    Ratings are ordered, the steps between them need not be alike. What one rater alone has rated
    does not count. None where nothing can be said: nobody rated the same thing, or all ratings are
    the same one.
    """
    units: dict[Hashable, list[int]] = defaultdict(list)
    for unit, rating in ratings:
        units[unit].append(rating)
    paired = [each for each in units.values() if len(each) > 1]
    counts = Counter(rating for each in paired for rating in each)
    ranks = sorted(counts)
    if len(ranks) < 2:
        return None
    number = {rank: k for k, rank in enumerate(ranks)}
    coincidences = np.zeros((len(ranks), len(ranks)))
    for each in paired:
        row = np.bincount([number[rating] for rating in each], minlength=len(ranks))
        coincidences += (np.outer(row, row) - np.diag(row)) / (len(each) - 1)
    totals = coincidences.sum(axis=0)
    below = np.cumsum(totals) - totals / 2  # of a rank, with half of its own
    distances = (below[:, None] - below[None, :]) ** 2
    chance = np.outer(totals, totals) - np.diag(totals)
    expected = (chance * distances).sum() / (totals.sum() - 1)
    return float(1 - (coincidences * distances).sum() / expected)
