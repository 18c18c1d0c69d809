"""How well a driver's pose can be put on another body at all, by a network that is told joints as
numbers: figures to read mini-incontext's by, which sees them in pictures.

    python benchmarks/incontext_placing.py --pairs 20000 --minutes 1

A perceptron learns where the joints of a clip are, from those of its first frame and from the
driver's, boxed as at inference: the clip's own with other bones, as the pose-based variant
learns, or, as it may not, the true other body's. Printed is the mean distance in pixels of a panel
of 64, on own poses that it has not met and on the cases of `bench puppets --seed 11`; and of the
first --clips of those the relative error of the picture, as in `bench`, in which every part of the
true body is where that network puts its joints, on the ground of the reference with its own body
filled in. So nothing but the place is learned, and all the rest is known.
"""

from __future__ import annotations

import argparse
import sys
import time
from itertools import count
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import torch
from torch import Tensor, nn

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.incontext_naive import filled_ground
from dreamactor_core.bench.cases import case_seeds
from dreamactor_core.bench.drivers import TEST_SEED
from dreamactor_core.pose.draw import fit_box
from dreamactor_core.pose.keypoints import MIN_CONFIDENCE, Pose
from dreamactor_core.pose.vary import BONE_SPREAD, vary_pose
from dreamactor_core.puppets.triplet import triplet, triplet_poses
from dreamactor_core.puppets.world import LEAD_IN, Clip
from dreamactor_core.skeleton import (
    ANKLE,
    ELBOW,
    FOOT,
    HEAD,
    HIP,
    JOINTS,
    LIMB_JOINTS,
    NECK,
    NOSE,
    TORSO,
    WRIST,
)
from dreamactor_core.train.mini.incontext_pool import (
    BONES_VARIED,
    DRIVEN,
    NUM_FRAMES,
    PANEL,
    PUPPET_SPREAD,
    kinds_of_parts,
)

DRIVERS = {  # what is learned from: share of the clips whose bones vary, and by how much
    "own, as the paper varies it": (0.3, BONE_SPREAD),
    "own, every clip varied": (1.0, BONE_SPREAD),
    "own, as train incontext does": (BONES_VARIED, PUPPET_SPREAD),
}
TRUE_PAIRS = "true pairs"
SPOKEN = {"neck": (NECK,), "hips": HIP, "elbows": ELBOW, "wrists": WRIST, "ankles": ANKLE}
HELD_BY = {  # part: the joints whose mean shift it has
    TORSO: (NECK, *HIP),
    HEAD: (NOSE, NECK),
    **LIMB_JOINTS,
    **{foot: (ankle,) for foot, ankle in zip(FOOT, ANKLE, strict=True)},
}
UNMET_PAIRS, BENCH_PAIRS = 300, 400
FIRST_PAIR = 60_000_000
LEAST_FOUND = 0.6  # of a driver's joints


class Placed(NamedTuple):
    """Joints of one clip, and what drives it; the last axis is (x, y, confidence)."""

    seed: int
    reference: np.ndarray  # (18, 3)
    truth: np.ndarray  # (8, 18, 3)
    drivers: dict[str, np.ndarray]  # each (8, 18, 3)


def placed(seed: int, clip: Pose, other: Pose, rng: np.random.Generator) -> list[Placed]:
    """A clip and its driver's clip; none where several bodies or few joints are seen."""
    driven = clip.map(lambda points: points[LEAD_IN:])
    if clip.body.shape[1] != 1 or (driven.body[..., 2] > MIN_CONFIDENCE).mean() < LEAST_FOUND:
        return []
    drivers = {name: vary_pose(driven, rng, *how) for name, how in DRIVERS.items()}
    drivers[TRUE_PAIRS] = fit_box(other.map(lambda points: points[LEAD_IN:]))
    bodies = {name: pose.body[:, 0] for name, pose in drivers.items()}
    return [Placed(seed, clip.body[0, 0], driven.body[:, 0], bodies)]


def draw_learning(pairs: int) -> list[Placed]:
    found: list[Placed] = []
    for seed in count(FIRST_PAIR):
        rng = np.random.default_rng((seed, 5))
        driver, truth = triplet_poses(seed, "train", NUM_FRAMES)
        found += placed(seed, driver, truth, rng) + placed(seed, truth, driver, rng)
        if len(found) >= 2 * pairs:
            return found
    raise AssertionError("seeds do not end")


def draw_bench() -> list[Placed]:
    rng, found = np.random.default_rng(0), []
    for seed in case_seeds(TEST_SEED, BENCH_PAIRS, NUM_FRAMES):
        driver, truth = triplet_poses(seed, "test", NUM_FRAMES)
        found += placed(seed, truth, driver, rng)
    return found


class Learned(NamedTuple):
    asked: Tensor  # (n, 54 + 432)
    answer: Tensor  # (n, 8, 18, 2), from the reference's joints, in shares of the panel
    weight: Tensor  # (n, 8, 18): 1 where a joint is seen in both


def learned_from(clips: list[Placed], driver: str) -> Learned:
    stack = lambda parts: torch.from_numpy(np.stack(parts)).float().nan_to_num()  # noqa: E731
    reference, truth = stack([c.reference for c in clips]), stack([c.truth for c in clips])
    driving = stack([c.drivers[driver] for c in clips])
    seen = lambda joints: (joints[..., 2:] > MIN_CONFIDENCE).float()  # noqa: E731
    told = [torch.cat([(j[..., :2] - 0.5) * seen(j), seen(j)], -1) for j in (reference, driving)]
    weight = (seen(truth) * seen(reference)[:, None])[..., 0]
    moved = truth[..., :2] - reference[:, None, :, :2]
    return Learned(torch.cat([part.flatten(1) for part in told], dim=1), moved, weight)


def fit_perceptron(lessons: Learned, seconds: float) -> nn.Module:
    torch.manual_seed(0)
    inner = [nn.GELU(), nn.Linear(768, 768), nn.GELU(), nn.Linear(768, 768), nn.GELU()]
    network = nn.Sequential(
        nn.Linear(lessons.asked.shape[1], 768), *inner, nn.Linear(768, 2 * DRIVEN * JOINTS)
    )
    optimizer = torch.optim.AdamW(network.parameters(), 1e-3, weight_decay=0.05)
    began = time.monotonic()
    while (over := (time.monotonic() - began) / seconds) < 1:
        for group in optimizer.param_groups:
            group["lr"] = 1e-3 * 0.5 * (1 + np.cos(np.pi * over))
        chosen = torch.randint(len(lessons.asked), (256,))
        asked, answer, weight = (part[chosen] for part in lessons)
        error = (network(asked).view_as(answer) - answer).abs().sum(-1)
        (error * weight).mean().backward()
        optimizer.step()
        optimizer.zero_grad()
    return network


@torch.no_grad()
def distances(network: nn.Module | None, asked: Learned) -> str:
    """Mean distances in pixels, joint by joint; without a network, of standing still."""
    answer = torch.zeros_like(asked.answer)
    if network is not None:
        answer = network(asked.asked).view_as(answer)
    error = PANEL * (answer - asked.answer).norm(dim=-1)
    cells = []
    for joints in (range(JOINTS), *SPOKEN.values()):
        weight = asked.weight[..., list(joints)]
        cells.append(f"{(error[..., list(joints)] * weight).sum() / weight.sum():.2f}")
    return " | ".join(cells)


@torch.no_grad()
def picture_error(network: nn.Module, bench: list[Placed], truths: list[Clip]) -> float:
    """Relative error of the true bodies of cases, their parts where the network puts them."""
    asked = learned_from(bench, TRUE_PAIRS)
    shifts = PANEL * (network(asked.asked).view_as(asked.answer) - asked.answer)
    shifts = (shifts * asked.weight[..., None]).numpy()
    wrong = still = 0.0
    for truth, shift in zip(truths, shifts, strict=True):
        seen = truth.frames[LEAD_IN:].astype(np.float32)
        wrong += np.abs(parts_moved(truth, shift) - seen).mean()
        still += np.abs(truth.frames[:1] - seen).mean()
    return wrong / still


def parts_moved(clip: Clip, shift: np.ndarray) -> np.ndarray:
    """A clip's driven frames (8, h, w, 3), each part moved with its joints; shift (8, 18, 2)."""
    kinds = kinds_of_parts(clip)
    ground = filled_ground(clip.frames[0], kinds[0]).astype(np.float32)
    made = []
    for frame, parts, moves in zip(clip.frames[LEAD_IN:], kinds[LEAD_IN:], shift, strict=True):
        canvas = ground
        for part, joints in HELD_BY.items():
            x, y = moves[list(joints)].mean(axis=0)
            shown = (parts == part).astype(np.float32)
            matrix = np.float32([[1, 0, x], [0, 1, y]])
            layer = np.dstack([frame * shown[..., None], shown])
            layer = cv2.warpAffine(layer, matrix, (PANEL, PANEL))
            canvas = canvas * (1 - layer[..., 3:]) + layer[..., :3]
        made.append(canvas)
    return np.stack(made)


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pairs", type=int, default=20_000, help="to learn from (20000)")
    parser.add_argument("--minutes", type=float, default=1.0, help="of learning, each (1)")
    parser.add_argument("--clips", type=int, default=64, help="that are drawn (64)")
    arguments = parser.parse_args(argv)
    clips, bench = draw_learning(arguments.pairs + UNMET_PAIRS), draw_bench()
    drawn = bench[: arguments.clips]
    truths = [triplet(case.seed, "test", NUM_FRAMES, PANEL).truth for case in drawn]
    met, unmet = clips[: 2 * arguments.pairs], clips[2 * arguments.pairs :]
    print(f"| learned from | asked | all joints | {' | '.join(SPOKEN)} |")
    print("|---" * (3 + len(SPOKEN)) + "|")
    print(f"| standing still | bench | {distances(None, learned_from(bench, TRUE_PAIRS))} |")
    for name in (*DRIVERS, TRUE_PAIRS):
        network = fit_perceptron(learned_from(met, name), 60 * arguments.minutes)
        for what, asked in (("the same", (unmet, name)), ("bench", (bench, TRUE_PAIRS))):
            print(f"| {name} | {what} | {distances(network, learned_from(*asked))} |", flush=True)
        error = picture_error(network, drawn, truths)
        print(f"{name}: relative error of the picture {error:.3f}", flush=True)


if __name__ == "__main__":
    main()
