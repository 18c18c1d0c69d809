"""Cases of the bench whose driver is another: of quite another build, with a skeleton that lies, or
one that does not tell all.

plain         those of `bench puppets --seed 11`; valid: of another seed, to choose settings on
told-KIND     scenes where only the caption tells the rest, see puppets/told.py
builds        the driver's bones are 0.6 to 1.5 times as long
lie-LIE       the skeleton is wrong while the driver's pixels are right: left and right swapped, as
              when it faces away; both arms unseen; every joint off by 4 % of the picture
crossed       another kind of body drives
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from functools import partial

import numpy as np

from ..media import to_frames
from ..pose.draw import draw_pose, fit_box
from ..pose.keypoints import Pose
from ..pose.vary import BoneFactors, scale_bones
from ..puppets.told import TOLD_STATES, UNTOLD, told_triplet
from ..puppets.world import LEAD_IN, Triplet
from ..skeleton import ELBOW, MIRRORED_JOINT, WRIST
from .cases import Case, Draw, case_seeds, draw_puppets, make_case

LIES = ("swapped", "armless", "shaken")  # how a skeleton can be wrong
TEST_SEED, VALIDATION_SEED = 11, 7
SHAKE = 0.04  # of the picture, standard deviation
OTHER_BONES = math.log(0.6), math.log(1.5)  # how much longer, logarithms
SETS = (
    "plain", "valid", "builds", "crossed",
    *(f"lie-{lie}" for lie in LIES), *(f"told-{kind}" for kind in UNTOLD),
)  # fmt: skip


def draw_set(name: str, count: int, num_frames: int, size: int) -> list[Case]:
    """So many cases of one of SETS; num_frames counts frame 0 and the lead-in."""
    kind, _, which = name.partition("-")
    seed = VALIDATION_SEED if kind == "valid" else TEST_SEED
    seeds = case_seeds(seed, count, num_frames, "cross-species" if kind == "crossed" else None)
    if kind == "lie":
        return [_with_pose(each, num_frames, size, _lying(each, which)) for each in seeds]
    if kind == "builds":
        return [_with_pose(each, num_frames, size, _other_build(each)) for each in seeds]
    draw = _draw_told(which) if kind == "told" else draw_puppets
    return [make_case(each, size, num_frames, draw) for each in seeds]


def other_prompts(cases: list[Case]) -> list[str]:
    """The captions of told cases with another state of the same kind: no more is said otherwise."""
    return [_other_state(case.prompt) for case in cases]


def _draw_told(kind: str) -> Draw:
    return lambda seed, num_frames, size: told_triplet(seed, "test", num_frames, size, kind=kind)


Change = Callable[[Pose], Pose]  # of a driver's pose, behind the lead-in


def _other_build(seed: int) -> Change:
    factors = np.random.default_rng((seed, 3)).uniform(*OTHER_BONES, 10)
    return partial(scale_bones, factors=BoneFactors(*np.exp(factors).tolist()))


def _lying(seed: int, lie: str) -> Change:
    return partial(_lie, lie=lie, rng=np.random.default_rng((seed, 4)))


def _lie(pose: Pose, lie: str, rng: np.random.Generator) -> Pose:
    body = pose.body.copy()
    if lie == "swapped":
        body = body[:, :, list(MIRRORED_JOINT)]
    elif lie == "armless":
        body[:, :, [*ELBOW, *WRIST]] = 0
    else:
        body[..., :2] += rng.normal(0, SHAKE, body[..., :2].shape) * (body[..., 2:] > 0)
    return replace(pose, body=body)


def _with_pose(seed: int, num_frames: int, size: int, change: Change) -> Case:
    """The plain case of a seed, driven by another skeleton."""
    clips: list[Triplet] = []

    def draw(*asked: int) -> Triplet:
        clips.append(draw_puppets(*asked))
        return clips[0]

    case = make_case(seed, size, num_frames, draw)
    pose = change(clips[0].driver.pose.map(lambda points: points[LEAD_IN:]))
    return replace(case, skeleton=to_frames(draw_pose(fit_box(pose), size, size)))


def _other_state(prompt: str) -> str:
    for kind in UNTOLD:
        states = TOLD_STATES[kind]
        for index, state in enumerate(states):
            other = states[(index + 1) % len(states)]
            said = f"holding {state} balloon" if kind == "balloon" else state
            instead = f"holding {other} balloon" if kind == "balloon" else other
            if prompt.endswith(said):
                return prompt[: -len(said)] + instead
    return prompt
