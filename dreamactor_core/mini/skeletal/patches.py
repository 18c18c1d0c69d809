"""A hole in a picture filled with pieces of what is around it (Wexler et al., 2007; the nearest
pieces found as by Barnes et al., 2009): a wall goes on as wall, where a blur would be a smear.

From coarse to fine, in turns: for each pixel of the hole the patch of the known picture that is
most like its own, by those of its neighbours and by chance; then its colours, the mean of what all
patches about it say.
"""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

FINEST_HOLE, COARSEST_HOLE = 256, 32  # pixels of the longer side of the pictures that are looked at
PATCH_HALF = 3  # pixels: half of a patch, less its middle
TURNS = 4  # at each size
# Of the picture's height and width away, squared, times that, a patch is as unlike as if all its
# colours were so far off, squared: what is beside a hole, and as high up, is likelier behind it.
AWAY = np.array([12_000.0, 1_500.0])
LEAST_KNOWN = 64  # patches, or there is nothing to choose from
VOTES = ((0, 0), (-2, 0), (2, 0), (0, -2), (0, 2))  # pixels there, whose patches are asked at last

Places = np.ndarray  # (n, 2) rows and columns


def filled_by_patches(picture: np.ndarray, hidden: np.ndarray, rough: np.ndarray) -> np.ndarray:
    """Picture (h, w, 3) uint8 with what is hidden (h, w) bool made; rough: a first guess of the
    picture, likewise. The same picture where too little is known."""
    sizes = [FINEST_HOLE]
    while sizes[-1] // 2 >= COARSEST_HOLE:
        sizes.append(sizes[-1] // 2)
    rng = np.random.default_rng(0)
    nearest: np.ndarray | None = None
    guess = rough.astype(np.float32)
    for side in reversed(sizes):
        shape = _shape(picture.shape, side)
        small = _resized(picture.astype(np.float32), shape)
        hole = _resized(hidden.astype(np.float32), shape) > 0
        known = cv2.erode((~hole).astype(np.uint8), np.ones((2 * PATCH_HALF + 1,) * 2)) > 0
        _clear_border(known)
        sources = np.argwhere(known)
        if len(sources) < LEAST_KNOWN:
            if nearest is None:
                continue
            break
        now = np.where(hole[..., None], _resized(guess, shape), small)
        start = None if nearest is None else _finer(nearest, shape)
        nearest, guess = _settled(now, hole, known, sources, start, rng)
    if nearest is None:
        return rough
    return _at_full_size(picture, hidden, nearest)


def _clear_border(mask: np.ndarray) -> None:
    """In place: no patch has its middle so near to the border."""
    mask[:PATCH_HALF] = mask[-PATCH_HALF:] = False
    mask[:, :PATCH_HALF] = mask[:, -PATCH_HALF:] = False


def _shape(shape: tuple[int, ...], side: int) -> tuple[int, int]:
    scale = min(1.0, side / max(shape[:2]))
    height, width = (max(2 * PATCH_HALF + 2, round(each * scale)) for each in shape[:2])
    return height, width


def _resized(values: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    shrinks = shape[0] < values.shape[0]
    how = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return cv2.resize(values, shape[::-1], interpolation=how)


def _finer(nearest: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """(h, w, 2) places of the nearest patches, for a picture of another size."""
    ratio = np.array(shape) / nearest.shape[:2]
    rows, columns = (np.arange(size) for size in shape)
    there = (
        (rows / ratio[0]).astype(int).clip(max=nearest.shape[0] - 1),
        (columns / ratio[1]).astype(int).clip(max=nearest.shape[1] - 1),
    )
    own = np.stack(np.meshgrid(*there, indexing="ij"), axis=-1)
    at = np.stack(np.meshgrid(rows, columns, indexing="ij"), axis=-1)
    return np.rint(at + (nearest[own[..., 0], own[..., 1]] - own) * ratio).astype(int)


def _settled(
    now: np.ndarray,
    hole: np.ndarray,
    known: np.ndarray,
    sources: Places,
    start: np.ndarray | None,
    rng: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray]:
    """The nearest patches (h, w, 2) and the picture (h, w, 3), after some turns."""
    height, width = hole.shape
    near = cv2.dilate(hole.astype(np.uint8), np.ones((2 * PATCH_HALF + 1,) * 2)) > 0
    _clear_border(near)
    places = np.argwhere(near)
    nearest = np.stack(np.meshgrid(np.arange(height), np.arange(width), indexing="ij"), axis=-1)
    chosen = sources[rng.integers(0, len(sources), len(places))]
    if start is not None:
        before = start[places[:, 0], places[:, 1]].clip(0, [height - 1, width - 1])
        good = known[before[:, 0], before[:, 1]]
        chosen[good] = before[good]
    nearest[places[:, 0], places[:, 1]] = chosen
    fixed = _patches(now)
    for _ in range(TURNS):
        wanted = _patches(now)[places[:, 0], places[:, 1]]
        best = _distance(fixed, chosen, wanted) + _away(places, chosen, hole.shape)
        for candidate in _candidates(places, nearest, rng):
            candidate = candidate.clip(0, [height - 1, width - 1])
            cost = _distance(fixed, candidate, wanted) + _away(places, candidate, hole.shape)
            better = (cost < best) & known[candidate[:, 0], candidate[:, 1]]
            chosen[better], best[better] = candidate[better], cost[better]
            nearest[places[:, 0], places[:, 1]] = chosen
        now = _voted(now, hole, places, chosen)
    return nearest, now


def _candidates(places: Places, nearest: np.ndarray, rng: np.random.Generator) -> Iterator[Places]:
    """Patches beside those of the neighbours, and some about the own one, nearer and nearer."""
    height, width = nearest.shape[:2]
    for step in ((0, 1), (0, -1), (1, 0), (-1, 0)):
        beside = (places + step).clip(0, [height - 1, width - 1])
        yield nearest[beside[:, 0], beside[:, 1]] - step
    radius = max(height, width) // 2
    while radius >= 1:
        off = rng.integers(-radius, radius + 1, places.shape)
        yield nearest[places[:, 0], places[:, 1]] + off
        radius //= 3


def _patches(picture: np.ndarray) -> np.ndarray:
    """(h, w, k) of each pixel its patch; at the border those of the mirrored picture."""
    wide = np.pad(
        picture, ((PATCH_HALF, PATCH_HALF), (PATCH_HALF, PATCH_HALF), (0, 0)), mode="reflect"
    )
    windows = sliding_window_view(wide, (2 * PATCH_HALF + 1,) * 2, axis=(0, 1))
    return windows.reshape(*picture.shape[:2], -1)


def _distance(patches: np.ndarray, places: Places, wanted: np.ndarray) -> np.ndarray:
    off = patches[places[:, 0], places[:, 1]] - wanted
    return np.einsum("nk,nk->n", off, off)


def _away(places: Places, chosen: Places, shape: tuple[int, ...]) -> np.ndarray:
    off = (chosen - places) / np.array(shape)
    return 3 * (2 * PATCH_HALF + 1) ** 2 * (off**2 @ AWAY)


def _voted(now: np.ndarray, hole: np.ndarray, places: Places, chosen: Places) -> np.ndarray:
    """The picture whose hole has the mean of what the patches about each pixel say."""
    total, count = np.zeros_like(now), np.zeros(hole.shape, np.float32)
    for row in range(-PATCH_HALF, PATCH_HALF + 1):
        for column in range(-PATCH_HALF, PATCH_HALF + 1):
            off = np.array([row, column])
            to, of = places + off, chosen + off
            total[to[:, 0], to[:, 1]] += now[of[:, 0], of[:, 1]]
            count[to[:, 0], to[:, 1]] += 1
    made = total / count.clip(1)[..., None]
    return np.where((hole & (count > 0))[..., None], made, now)


def _at_full_size(picture: np.ndarray, hidden: np.ndarray, nearest: np.ndarray) -> np.ndarray:
    """From the picture's own pixels."""
    height, width = hidden.shape
    rows, columns = np.nonzero(hidden)
    at = np.stack([rows, columns], axis=1)
    ratio = np.array([height, width]) / nearest.shape[:2]
    small = (at / ratio).astype(int)
    last = np.array(nearest.shape[:2]) - 1 - PATCH_HALF
    small = small.clip(PATCH_HALF, last)
    total = np.zeros((len(at), 3), np.float32)
    for vote in VOTES:
        asked = (small + vote).clip(PATCH_HALF, last)
        off = (nearest[asked[:, 0], asked[:, 1]] - asked) * ratio
        of = np.rint(at + off).astype(int).clip(0, [height - 1, width - 1])
        seen = ~hidden[of[:, 0], of[:, 1]]
        of[~seen] = (at + (nearest[small[:, 0], small[:, 1]] - small) * ratio)[~seen].astype(int)
        of = of.clip(0, [height - 1, width - 1])
        total += picture[of[:, 0], of[:, 1]]
    made = picture.copy()
    made[rows, columns] = np.rint(total / len(VOTES)).astype(np.uint8)
    return made
