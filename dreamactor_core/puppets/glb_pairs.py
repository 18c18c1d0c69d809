"""Which motions two rigged bodies share.

Bodies of one group have motions of the same names, but not of the same length, and some share no
more than the name: a motion counts as shared when the bones of both turn alike, and is timed by the
share of it that has gone by.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from ..errors import InputError
from .glb_body import RiggedBody, sample_animation, to_world
from .glb_file import read_glb
from .glb_names import character_of, motion_label

PHASES = np.linspace(0, 1, 9)  # where two motions are compared
MIN_TURN = 3.0  # degrees, a mean over bones and time; stiller motions teach little
SAME_SHARE, SAME_DEGREES = 0.45, 12.0  # the same motions differ by less than both, of their turning
CLOSED = 0.2  # of the turning, left at the end of a motion that may start over
cached_glb = cache(read_glb)


@dataclass(frozen=True)
class Shared:
    """A motion that two bodies perform alike."""

    label: str
    driver: str  # its name in either file
    truth: str
    closed: bool  # ends as it began


def sample_pair(
    rng: np.random.Generator, pairs: dict[Path, list[Path]]
) -> tuple[RiggedBody, RiggedBody, Shared]:
    """A driver, a truth, and a motion that both perform."""
    for path in _shuffled(rng, list(pairs)):
        for other in _shuffled(rng, pairs[path]):
            driver, truth = cached_glb(other), cached_glb(path)
            if motions := shared_motions(driver, truth):
                return driver, truth, motions[rng.integers(len(motions))]
    raise InputError(
        "folder of characters",
        got=f"{len(pairs)} bodies of which no two move alike",
        need="two bodies of one group with the same bones and motions, by name",
        fix="Take bodies of one series by one artist.",
    )


def _shuffled(rng: np.random.Generator, paths: list[Path]) -> list[Path]:
    return [paths[i] for i in rng.permutation(len(paths))]


@cache
def shared_motions(driver: RiggedBody, truth: RiggedBody) -> list[Shared]:
    """Motions of the same name in which the bones of the same names turn alike."""
    characters = {character_of(body.name) for body in (driver, truth)}
    names = [{motion_label(m, characters): m for m in body.motions} for body in (driver, truth)]
    bones = sorted(moving_bones(driver) & moving_bones(truth))
    shared = []
    for label in sorted(names[0].keys() & names[1].keys()) if bones else ():
        one, two = (
            _turning(b, n[label], bones) for b, n in zip((driver, truth), names, strict=True)
        )
        turned = _degrees(one, one[:1])
        if turned > MIN_TURN and _degrees(one, two) < min(SAME_SHARE * turned, SAME_DEGREES):
            closed = _degrees(one[-1:], one[:1]) < CLOSED * turned
            shared.append(Shared(label, names[0][label], names[1][label], closed))
    return shared


def moving_bones(body: RiggedBody) -> set[str]:
    """Names of nodes that move some of the mesh; the rest are the animator's handles."""
    used = body.mesh.weights.sum(axis=0) > 0
    return {body.nodes[node] for node in body.palette[used]}


def _turning(body: RiggedBody, motion: str, bones: list[str]) -> np.ndarray:
    """(phases, bones, 3, 3) rotations in the world since the motion's first frame."""
    world = to_world(body, sample_animation(body, motion, PHASES * body.duration(motion)))
    turns = world[:, [body.nodes.index(bone) for bone in bones], :3, :3]
    turns = turns / np.linalg.norm(turns, axis=-2, keepdims=True)
    return turns @ turns[:1].swapaxes(-1, -2)


def _degrees(one: np.ndarray, two: np.ndarray) -> float:
    """The mean angle between rotations (..., 3, 3)."""
    cos = ((one * two).sum(axis=(-1, -2)) - 1) / 2
    return float(np.degrees(np.arccos(np.clip(cos, -1, 1))).mean())
