"""Are the meters right? On puppets, whose truth is known, damaged by degrees and in company.

Of each video there are the figures that the meters find, as they would of anybody's video, and the
true errors that they stand for, which only the drawn world knows:

    identity, kept          mean colour distance to the true character, on its body, before light
                            and blur came over the picture
    pck                     distance of the joints that are shown from the true ones, in heights
    angle_error             angle between the limbs that are shown and the true ones
    tempo_error             octaves by which what is performed is slower than the driver
    bone_error              lengths of the limbs that are drawn beside the true ones
    leak                    share of the two bodies that has the driver's picture on it
    flicker                 second difference in time of the error's mean over the picture
    drift                   slope of the error over time
    sharpness               edges that are missing beside the true ones
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from ...items.work import Data
from ...media import to_frames
from ...puppets.world import LEAD_IN
from ..metrics import identity_error, keypoint_distance
from .damage import DAMAGES, GRADES, Damaged, PuppetTruth
from .judge.calibrate import spearman
from .meters.bodies import BodyReader
from .meters.measure import OF_FRAMES
from .meters.motion import angle_error, bone_error
from .meters.seen import Compared, Watched, see
from .scores import METERS

MEANT_FOR = {  # the meters that must tell a damage, the first before all
    "blur": ("sharpness",),
    "freeze": ("pck", "angle_error"),
    "wrong identity": ("identity", "kept"),
    "flicker": ("flicker",),
    "half speed": ("tempo_error", "pck", "angle_error"),
    "driver pasted in": ("leak", "identity", "kept"),
    "drift": ("drift",),
    "proportions": (),
}
OF_LIMBS = ("identity", "pck", "angle_error")  # meters that look for them
TRULY = 1e-3  # of a true error: less is none
IN_COMPANY, ODDS = 8, 0.35  # videos of a case with several damages at once; odds of each


class Tried(NamedTuple):
    """One damaged video."""

    shares: dict[str, float]  # of damages
    scores: dict[str, float]  # by meter; without what cannot be told
    errors: dict[str, float]  # true ones, by the meter that stands for them


@dataclass(frozen=True)
class TryMeters:
    """The Work of a store; data: seed, shares of damages, and whether limbs are looked for, which
    is most of the work."""

    def open(self) -> Callable[[Data], Data]:
        reader = BodyReader(follow_people=False)
        last: dict[int, tuple[PuppetTruth, Watched]] = {}

        def run(data: Data) -> Data:
            seed = data["seed"]
            if seed not in last:
                last.clear()
                puppets = PuppetTruth(seed)
                last[seed] = puppets, Watched(list(puppets.driving), puppets.times)
            puppets, driver = last[seed]
            damaged = puppets.damaged(data["shares"])
            made = Watched(list(damaged.frames), puppets.times)
            if data["limbs"]:
                seen = see(puppets.reference, driver, made, reader)
            else:
                mask = reader.of_reference(puppets.reference).mask
                seen = Compared(puppets.reference, mask, None, driver, made)
            told = {name: of(seen) for name, of in OF_FRAMES.items()}
            return {
                "scores": {name: float(v) for name, v in told.items() if v is not None},
                "errors": true_errors(puppets, damaged, data["shares"]),
            }

        return run


def damages_of(seed: int) -> list[dict[str, float]]:
    """None, each damage in each grade, and some in company."""
    rng = np.random.default_rng((seed, 31))
    alone = [{damage: grade} for damage in DAMAGES for grade in GRADES]
    mixed = [
        {damage: float(rng.choice(GRADES)) for damage in DAMAGES if rng.random() < ODDS}
        for _ in range(IN_COMPANY)
    ]
    return [{}, *alone, *mixed]


def true_errors(
    puppets: PuppetTruth, damaged: Damaged, shares: Mapping[str, float]
) -> dict[str, float]:
    """By the meter that stands for each; and colours, light and blur among them."""
    clean = damaged.right.frames[LEAD_IN:][damaged.shows].astype(np.float32) / 255
    frames = to_frames(damaged.frames).numpy()
    true_mask, drawn_mask, driver_mask = (
        clip.mask[LEAD_IN:] > 127 for clip in (damaged.right, damaged.drawn, puppets.driver)
    )
    body = true_mask[damaged.shows] & drawn_mask[damaged.shows]
    error = frames - clean
    shown = puppets.clip.pose.map(lambda points: points[LEAD_IN:][damaged.shows])
    true = puppets.clip.pose.map(lambda points: points[LEAD_IN:])
    away = keypoint_distance(shown, true)
    colours = identity_error(damaged.plain, clean, body)
    pasted = driver_mask.sum() / (driver_mask | drawn_mask[damaged.shows]).sum()
    times = puppets.times
    slope = np.polyfit(times, np.abs(error).mean(axis=(1, 2, 3)), 1)[0]
    edges, all_edges = (
        np.quantile(np.abs(np.diff(each, axis=2)), 0.99) for each in (frames, clean)
    )
    return {
        "identity": colours,
        "kept": colours,
        "colours": identity_error(frames, clean, body),
        "pck": away,
        "angle_error": _exactly(angle_error, puppets, true, shown),
        "tempo_error": float(-np.log2(1 - shares.get("half speed", 0.0) / 2)),
        "bone_error": _bones_off(puppets, damaged),
        "leak": float(shares.get("driver pasted in", 0.0) * pasted),
        "flicker": float(np.abs(np.diff(error.mean(axis=(1, 2, 3)), n=2)).mean()),
        "drift": float(max(0.0, slope)),
        "sharpness": float(max(0.0, 1 - edges / all_edges)),
    }


def _exactly(meter: Callable[[Compared], float | None], puppets: PuppetTruth, own, other) -> float:
    """A meter of poses, told the true ones."""
    none: list[np.ndarray] = []
    driver, made = (Watched(none, puppets.times, pose) for pose in (own, other))
    return meter(Compared(puppets.reference, None, own, driver, made)) or 0.0


def _bones_off(puppets: PuppetTruth, damaged: Damaged) -> float:
    own, drawn = puppets.clip.pose, damaged.right.pose
    return _exactly(bone_error, puppets, own, drawn) if damaged.right is not puppets.clip else 0.0


class Believed(NamedTuple):
    """How far one meter can be believed."""

    rho: float  # Spearman's with its true error, the good end of both together: 1 is best
    videos: int  # over those that have that error, and the undamaged ones
    told_apart: float  # the chance that a video with the error looks worse than one without
    others: int  # videos without


def rank_correlations(tried: Sequence[Tried]) -> dict[str, Believed]:
    """By meter. Videos without the error that a meter stands for have no order among themselves
    that could be right, so those with other damages count for told_apart alone."""
    found = {}
    for name in OF_FRAMES:
        sign = -1 if METERS[name].higher_is_better else 1
        own = [t for t in tried if name in t.scores]
        bad = [(sign * t.scores[name], t.errors[name]) for t in own if t.errors[name] > TRULY]
        good = [sign * t.scores[name] for t in own if t.errors[name] <= TRULY]
        clean = [(sign * t.scores[name], 0.0) for t in own if not t.shares]
        if len(bad) > 2 and good:
            worse = np.mean(np.array([b for b, _ in bad])[:, None] > np.array(good))
            rho = spearman(*zip(*bad, *clean, strict=True))
            found[name] = Believed(rho, len(bad) + len(clean), float(worse), len(good))
    return found


class Cell(NamedTuple):
    """How one meter answers to one damage."""

    means: tuple[float, ...]  # undamaged, then the grades; over the cases
    monotone: bool  # whether they go one way, the bad one
    share: float  # of the largest answer that any damage gets from this meter; negative: better


def damage_matrix(tried: Sequence[Tried]) -> dict[str, dict[str, Cell]]:
    """{damage: {meter: cell}} of those with at most one damage."""
    means: dict[str, dict[str, tuple[float, ...]]] = {}
    for damage in DAMAGES:
        wanted = [{}, *({damage: grade} for grade in GRADES)]
        means[damage] = {
            name: tuple(
                _mean([t.scores[name] for t in tried if t.shares == one and name in t.scores])
                for one in wanted
            )
            for name in OF_FRAMES
        }
    matrix: dict[str, dict[str, Cell]] = {damage: {} for damage in DAMAGES}
    for name in OF_FRAMES:
        sign = -1 if METERS[name].higher_is_better else 1
        worse = {d: sign * (means[d][name][-1] - means[d][name][0]) for d in DAMAGES}
        most = np.nanmax([*worse.values(), 1e-9])
        for damage in DAMAGES:
            steps = sign * np.diff(means[damage][name])
            matrix[damage][name] = Cell(
                means[damage][name], bool((steps > 0).all()), worse[damage] / most
            )
    return matrix


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values)) if values else float("nan")
