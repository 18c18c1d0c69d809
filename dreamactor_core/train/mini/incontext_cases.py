"""The cases that mini-incontext is scored on, and the figures of what it made of them.

Cases are the bench's (bench/cases.py), of its test split and seeds; some have another driver: of
quite another build, with a skeleton that lies, or one that does not tell all.
"""

from __future__ import annotations

import os
import pickle
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import numpy as np

from ...bench.cases import Case, case_seeds, groups_of
from ...bench.metrics import Share, foreground, identity_error, iou, relative_error
from ...bench.puppets import score
from ...pose.draw import draw_pose, fit_box
from ...pose.keypoints import Pose
from ...pose.vary import BoneFactors, scale_bones
from ...puppets.scene import LEAD_IN, Triplet, to_frames, triplet
from ...puppets.told import STATES, TOLD, told_triplet
from .incontext_pool import NUM_FRAMES, SIZE

LIES = ("swapped", "armless", "shaken")  # how a skeleton can be wrong
SIDES = ((2, 5), (3, 6), (4, 7), (8, 11), (9, 12), (10, 13), (14, 15), (16, 17))
SEED, VALIDATION_SEED = 11, 7  # of the bench; settings are chosen on the second


SETS = (
    "plain", "valid", *(f"told-{kind}" for kind in TOLD), "builds", *(f"lie-{lie}" for lie in LIES),
    "crossed",
)  # fmt: skip
folder: Path | None = None  # where drawn sets are kept for the other processes


@lru_cache
def cases_of(name: str, count: int) -> list[Case]:
    """A set by its name, one of SETS."""
    path = folder and folder / f"{name}-{count}.cases"
    if path and path.exists():
        return pickle.loads(path.read_bytes())
    return _draw_cases(name, count)


def keep_cases(name: str, count: int) -> None:
    """Draw a set once for all processes."""
    path = folder / f"{name}-{count}.cases"
    if not path.exists():
        temporary = path.with_suffix(f".{os.getpid()}")
        temporary.write_bytes(pickle.dumps(_draw_cases(name, count)))
        temporary.replace(path)


def _draw_cases(name: str, count: int) -> list[Case]:
    kind, _, which = name.partition("-")
    if kind == "told":
        return told_cases(SEED, count, which)
    if kind == "lie":
        return lying_cases(SEED, count, which)
    if kind == "builds":
        return build_cases(SEED, count)
    group = "cross-species" if kind == "crossed" else None
    return plain_cases(VALIDATION_SEED if kind == "valid" else SEED, count, group)


def score_set(name: str, made: list[np.ndarray], quick: bool = False) -> dict[str, float]:
    """Means over a set; quick leaves out what is slow to measure. Runs in a process of its own."""
    cases = cases_of(name, len(made))
    measure = quick_score if quick else partial_score
    return means([measure(frames, case) for frames, case in zip(made, cases, strict=True)])


def partial_score(frames: np.ndarray, case: Case) -> dict[str, float | Share]:
    scored = score(frames, case, 0.0)
    del scored["seconds"]
    return scored


def quick_score(frames: np.ndarray, case: Case) -> dict[str, float | Share]:
    return {
        "relative_error": relative_error(frames, case.truth, case.reference.numpy()),
        "silhouette_iou": iou(foreground(frames, case.scene), case.mask),
        "identity_error": identity_error(frames, case.truth, case.mask),
    }


def means(scored: list[dict[str, float | Share]]) -> dict[str, float]:
    """As the bench's: of shares the sum of parts over that of wholes."""
    figures = {}
    for name, first in scored[0].items():
        values = [each[name] for each in scored]
        if isinstance(first, Share):
            whole = sum(value.whole for value in values)
            figures[name] = sum(value.part for value in values) / whole if whole else 0.0
        else:
            figures[name] = float(np.nanmean(values))
    return {name: round(float(value), 4) for name, value in figures.items()}


def case_of(clips: Triplet, prompt: str | None = None, pose: Pose | None = None) -> Case:
    """A case as the bench makes it; pose: in place of the driver's, behind the lead-in."""
    driver, truth = clips.driver, clips.truth
    skeleton = driver.skeleton() if pose is None else draw_pose(fit_box(pose), SIZE, SIZE)
    return Case(
        reference=to_frames(truth.frames[:1]),
        driving=to_frames(driver.frames[LEAD_IN:]),
        skeleton=to_frames(skeleton),
        truth=to_frames(truth.frames[LEAD_IN:]).numpy(),
        scene=to_frames(truth.scene[LEAD_IN:]).numpy(),
        mask=truth.mask[LEAD_IN:] > 127,
        reference_mask=truth.mask[:1] > 127,
        driving_mask=driver.mask[LEAD_IN:] > 127,
        prompt=truth.caption if prompt is None else prompt,
        groups=groups_of(clips),
    )


def plain_cases(seed: int, count: int, group: str | None = None) -> list[Case]:
    """Those of `bench puppets --cases count --seed seed`, or of its group."""
    return [
        case_of(triplet(each, "test", NUM_FRAMES, SIZE))
        for each in case_seeds(seed, count, NUM_FRAMES, group)
    ]


def build_cases(seed: int, count: int) -> list[Case]:
    """The same with drivers of quite another build: every bone 0.6 to 1.5 times as long."""
    made = []
    for each in case_seeds(seed, count, NUM_FRAMES):
        clips = triplet(each, "test", NUM_FRAMES, SIZE)
        rng = np.random.default_rng((each, 3))
        factors = BoneFactors(*np.exp(rng.uniform(np.log(0.6), np.log(1.5), 10)).tolist())
        made.append(case_of(clips, pose=scale_bones(_driven(clips), factors)))
    return made


def told_cases(seed: int, count: int, kind: str) -> list[Case]:
    """Scenes of one kind whose driver does not tell all."""
    seeds = case_seeds(seed, count, NUM_FRAMES)
    return [case_of(told_triplet(each, "test", NUM_FRAMES, SIZE, kind=kind)) for each in seeds]


def other_prompts(cases: list[Case]) -> list[str]:
    """The captions with another state of the same kind: nothing else is said otherwise."""
    return [_other_state(case.prompt) for case in cases]


def lying_cases(seed: int, count: int, lie: str) -> list[Case]:
    """Cases whose skeleton is wrong while the driver's pixels are right.

    swapped: left and right taken for each other, as when the driver faces away; armless: both arms
    unseen; shaken: every joint off by 4 % of the picture, anew in each frame.
    """
    made = []
    for each in case_seeds(seed, count, NUM_FRAMES):
        clips = triplet(each, "test", NUM_FRAMES, SIZE)
        pose, rng = _driven(clips), np.random.default_rng((each, 4))
        body = pose.body.copy()
        if lie == "swapped":
            for right, left in SIDES:
                body[:, :, [right, left]] = body[:, :, [left, right]]
        elif lie == "armless":
            body[:, :, [3, 4, 6, 7]] = 0
        else:
            body[..., :2] += rng.normal(0, 0.04, body[..., :2].shape) * (body[..., 2:] > 0)
        made.append(case_of(clips, pose=replace(pose, body=body)))
    return made


def _driven(clips: Triplet) -> Pose:
    return clips.driver.pose.map(lambda points: points[LEAD_IN:])


def _other_state(prompt: str) -> str:
    for kind in TOLD:
        for index, state in enumerate(STATES[kind]):
            other = STATES[kind][(index + 1) % len(STATES[kind])]
            told = f"holding {state} balloon" if kind == "balloon" else state
            instead = f"holding {other} balloon" if kind == "balloon" else other
            if prompt.endswith(told):
                return prompt[: -len(told)] + instead
    return prompt
