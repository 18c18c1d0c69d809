"""People who change places in the list of a keypoint file, put back where they were."""

from __future__ import annotations

import numpy as np

JUMP = 0.1  # canvas heights that a person moves in a frame at most, as a rule
CLEARLY = 0.5  # of the way to its own place: another place that near is the better guess


def steady_order(points: np.ndarray, aspect: float) -> np.ndarray:
    """(t, p, n, 3) in shares of the canvas -> the same with every person at one place throughout.

    Files of trackers keep their order: it is changed in a frame only for those who would jump, and
    of whom somebody else's place is nearer. Who comes back is looked for where he was last seen.
    """
    seen = points[..., 2] > 0
    present = np.any(seen, axis=2)  # (t, p)
    t, p = present.shape
    if p < 2:
        return points
    weight = seen[..., None] / np.maximum(seen.sum(axis=2), 1)[..., None, None]
    centres = (points[..., :2] * [aspect, 1] * weight).sum(axis=2)  # (t, p, 2) canvas heights
    order = np.tile(np.arange(p), (t, 1))
    last = np.full((p, 2), np.nan)  # where the person of each place was seen last
    for k in range(t):
        here = np.flatnonzero(present[k])
        at_home = np.linalg.norm(centres[k, here] - last[here], axis=1) <= JUMP  # not if unknown
        if not at_home.all():
            order[k] = _places(centres[k, here], here, last)
        last[order[k, here]] = centres[k, here]
    placed = np.zeros_like(points)
    placed[np.arange(t)[:, None], order] = points
    return placed


def _places(centres: np.ndarray, here: np.ndarray, last: np.ndarray) -> np.ndarray:
    """(p,): the place that each entry of the list goes to. here: the entries that are somebody."""
    distance = np.linalg.norm(centres[:, None] - last[None], axis=2)  # NaN: nobody was there yet
    wishes = []  # (how much it counts, how far, entry, place), the first ones are granted
    for row, entry in enumerate(here.tolist()):
        own = distance[row, entry]
        wishes.append((0 if own <= JUMP else 3, own, entry, entry))
        for place in np.flatnonzero(~np.isnan(distance[row])).tolist():
            far = distance[row, place]
            if place != entry and far <= JUMP:
                wishes.append((1, far, entry, place))
            elif place != entry and far <= CLEARLY * own:
                wishes.append((2, far, entry, place))
    given: dict[int, int] = {}
    for _, _, entry, place in sorted(wishes, key=lambda wish: wish[:2]):
        if entry not in given and place not in given.values():
            given[entry] = place
    free = [place for place in range(len(last)) if place not in given.values()]
    rest = [entry for entry in range(len(last)) if entry not in given]
    # First the place that nobody was ever at, for those who are new.
    free.sort(key=lambda place: not np.isnan(last[place, 0]))
    rest.sort(key=lambda entry: entry not in here)
    given |= dict(zip(rest, free, strict=True))
    return np.array([given[entry] for entry in range(len(last))])
