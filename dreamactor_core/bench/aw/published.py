"""What the paper has published: Table 1, Table 2 and Figure 5 of arXiv 2601.21716.

They are of ByteDance's own set, judge and raters, none of which was released: beside figures of
another set, judge or raters they can be shown, not compared.
"""

from __future__ import annotations

import re
from typing import NamedTuple

PAPER = "arXiv 2601.21716"


class HumanScore(NamedTuple):
    mean: float
    deviation: float  # of the paper's 12 raters


class PublishedSystem(NamedTuple):
    judged: tuple[float, float, float, float]  # in the order of JUDGED
    rated: tuple[HumanScore, HumanScore, HumanScore]  # in the order of RATED


class PublishedShares(NamedTuple):
    """DreamActor-M2 beside a product."""

    good: float
    same: float
    bad: float
    difference: float  # percent, good less bad


def _rated(*numbers: float) -> tuple[HumanScore, HumanScore, HumanScore]:
    imaging, motion, appearance = zip(numbers[::2], numbers[1::2], strict=True)
    return HumanScore(*imaging), HumanScore(*motion), HumanScore(*appearance)


PUBLISHED_TABLE_1 = {
    "Animate-X++": PublishedSystem(
        (3.45, 3.42, 4.15, 3.21), _rated(3.18, 0.23, 2.95, 0.29, 2.86, 0.34)
    ),
    "MTVCrafter": PublishedSystem(
        (3.71, 3.81, 4.02, 3.53), _rated(3.35, 0.26, 3.26, 0.28, 3.07, 0.36)
    ),
    "DreamActor-M1": PublishedSystem(
        (4.17, 3.92, 4.21, 4.06), _rated(3.96, 0.21, 3.72, 0.26, 3.54, 0.31)
    ),
    "Wan2.2-Animate": PublishedSystem(
        (4.05, 4.06, 4.17, 3.92), _rated(3.91, 0.20, 3.83, 0.25, 3.51, 0.30)
    ),
    "DreamActor-M2 pose-based": PublishedSystem(
        (4.68, 4.53, 4.61, 4.28), _rated(4.23, 0.19, 4.18, 0.24, 4.12, 0.28)
    ),
    "DreamActor-M2 end-to-end": PublishedSystem(
        (4.72, 4.56, 4.69, 4.35), _rated(4.27, 0.18, 4.24, 0.23, 4.20, 0.29)
    ),
}
PUBLISHED_TABLE_2 = {  # of the pose-based variant, by raters, in the order of RATED
    "Temp-IC": (4.12, 3.98, 4.06),
    "w/o pose augmentation": (4.15, 3.80, 3.92),
    "w/o target-oriented text": (4.21, 3.85, 4.08),
    "full pose-based": (4.23, 4.18, 4.12),
}
PUBLISHED_FIGURE_5 = {
    "Kling 2.6": PublishedShares(0.32, 0.46, 0.22, 9.66),
    "Kling-O1": PublishedShares(0.50, 0.44, 0.06, 43.66),
    "Wan2.2-Animate": PublishedShares(0.62, 0.27, 0.11, 51.43),
    "DreamActor-M1": PublishedShares(0.66, 0.25, 0.09, 57.04),
}
OTHER_NAMES = {  # how the same are called elsewhere, as plain_name has them
    "animatexpp": "animatex++",
    "animatexplusplus": "animatex++",
    "dreamactorm2pose": "dreamactorm2posebased",
    "kling26motioncontrol": "kling26",
    "wananimate": "wan22animate",
    "temporalincontext": "tempic",
    "withoutposeaugmentation": "woposeaugmentation",
    "withouttargetorientedtext": "wotargetorientedtext",
    "withouttext": "wotargetorientedtext",
}


def plain_name(name: str) -> str:
    """wan2.2_animate and Wan2.2-Animate are the same one."""
    plain = re.sub(r"[^a-z0-9+]", "", name.lower())
    return OTHER_NAMES.get(plain, plain)
