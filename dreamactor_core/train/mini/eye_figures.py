"""Figures of the eye on pictures of the test split, and the numbers of its confidence."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from ...mini.backbone import MiniBackbone
from ...mini.eye import CONFIDENT, BodyEstimate, Eye, telling
from ...puppets.glb import glb_glance
from ...puppets.restyle import draw_in_styles, picture_of_nothing
from ...puppets.triplet import triplet
from ...puppets.world import LEAD_IN
from .glances import Glance, clip_at, through_code, truth_of_body
from .people import UNKNOWN, Media, lesson
from .truth import part_of

TEST_PICTURES, EYE_FRAMES = 500_000, 3  # of each clip
NEAR = 0.1  # of a body's larger side: so near a joint is right
CONFIDENCE_BINS = 10


class LookedAt(NamedTuple):
    """Of n pictures of one kind."""

    estimate: BodyEstimate
    joints: Tensor  # (n, 2, 18, 2) in pixels, not a number where there is none
    labels: Tensor  # (n, h, w), UNKNOWN where nobody knows

    def inside(self) -> Tensor:
        """(n, 2, 18) which joints are in the picture."""
        size = self.labels.shape[1]
        return ((self.joints >= 0) & (self.joints < size)).all(dim=-1)

    def right(self) -> Tensor:
        """(n,) share of the joints in the picture that are found; 0 where there is none."""
        known = self.joints.isfinite().all(dim=-1, keepdim=True)
        low = self.joints.where(known, torch.inf).amin(dim=(1, 2))
        high = self.joints.where(known, -torch.inf).amax(dim=(1, 2))
        near = NEAR * (high - low).amax(dim=-1)[:, None, None]
        inside = self.inside()
        found = inside & ((self.estimate.joints - self.joints).norm(dim=-1) < near)
        return found.flatten(1).sum(dim=1) / inside.flatten(1).sum(dim=1).clamp(min=1)

    def line(self) -> str:
        """Pixels that joints are off, mean and median; shares: of joints right, of body that is
        told (intersection / union), of its pixels with the right part."""
        off = (self.estimate.joints - self.joints).norm(dim=-1)[self.inside()]
        assert self.estimate.labels is not None
        said, known = self.estimate.labels.argmax(dim=1), self.labels != UNKNOWN
        both = ((said > 0) & (self.labels > 0) & known).sum()
        either = (((said > 0) | (self.labels > 0)) & known).sum()
        alike = ((said == self.labels) & (self.labels > 0)).sum()
        cells = (off.mean(), off.median(), self.right().mean(), both / either.clamp(min=1))
        parts = alike / ((self.labels > 0) & known).sum().clamp(min=1)
        return "".join(f"{cell:10.3f}" for cell in (*cells, parts))


def draw_kinds(
    backbone: MiniBackbone, media: Media, bodies: Path | None, count: int
) -> dict[str, list[Glance]]:
    """{kind: glances}, of so many clips each."""
    kinds: dict[str, list[Glance]] = {}
    size, num_frames = backbone.geometry.panel[0], backbone.geometry.num_frames

    def add(kind: str, frames: np.ndarray, joints: Tensor, labels: Tensor) -> None:
        kinds.setdefault(kind, []).append((through_code(backbone, frames), joints, labels))

    for seed in range(TEST_PICTURES, TEST_PICTURES + count):
        rng = np.random.default_rng((seed, 5))
        whole = triplet(seed, "test", num_frames, size, transition=False).truth
        clip = clip_at(whole, [0, LEAD_IN, num_frames - 1])
        assert clip.parts is not None
        joints = torch.from_numpy(clip.pose.body[:, [0, -1], :, :2] * size).float()
        labels = torch.from_numpy(part_of(clip.parts))
        add("puppets", clip.frames, joints, labels)
        add("puppets, restyled", draw_in_styles(rng, clip, media.pictures), joints, labels)
        if bodies:
            body = glb_glance(seed, bodies, "test", EYE_FRAMES, size)
            add("bodies", body.frames, *truth_of_body(body))
            add("bodies, restyled", draw_in_styles(rng, body, media.pictures), *truth_of_body(body))
        if media.people:
            chosen = [media.people[rng.integers(len(media.people))] for _ in range(EYE_FRAMES)]
            lessons = zip(*(lesson(rng, person, size) for person in chosen), strict=True)
            frames, points, marks = (np.stack(parts) for parts in lessons)
            both = torch.from_numpy(points[:, None]).float().expand(-1, 2, -1, -1)
            add("people", frames, both, torch.from_numpy(marks))
        empty = [
            picture_of_nothing(rng, size, media.pictures, clip.frames[0]) for _ in range(EYE_FRAMES)
        ]
        nobody = torch.full((EYE_FRAMES, 2, 18, 2), torch.nan)
        add(
            "nothing",
            np.stack(empty),
            nobody,
            torch.zeros(EYE_FRAMES, size, size, dtype=torch.int64),
        )
    return kinds


@torch.no_grad()
def look_at(eye: Eye, glances: list[Glance]) -> LookedAt:
    pictures, joints, labels = (torch.cat(parts) for parts in zip(*glances, strict=True))
    seen = [eye.averaged(few) for few in pictures.split(16)]
    whole = BodyEstimate(*(torch.cat(parts) for parts in zip(*(e[:6] for e in seen), strict=True)))
    return LookedAt(whole, joints, labels)


def reliability(said: dict[str, tuple[Tensor, Tensor]]) -> Iterator[str]:
    """Lines: what {kind: (confidence, share of joints that are right)} says beside what is."""
    every, truth = (torch.cat(parts) for parts in zip(*said.values(), strict=True))
    yield f"\n{'confidence':20}{'pictures':>10}{'said':>10}{'is':>10}"
    for low in range(CONFIDENCE_BINS):
        here = (every * CONFIDENCE_BINS).floor().clamp(max=CONFIDENCE_BINS - 1) == low
        if here.any():
            name = f"{low / CONFIDENCE_BINS:.1f} to {(low + 1) / CONFIDENCE_BINS:.1f}"
            cells = f"{int(here.sum()):10}{every[here].mean():10.3f}{truth[here].mean():10.3f}"
            yield f"{name:20}{cells}"
    name = f"at least {CONFIDENT}"
    yield f"\n{name:20}{'share':>10}{'right':>10}{'the others':>12}"
    for kind, (each, right) in said.items():
        passes = each >= CONFIDENT
        cells = f"{right[passes].mean():10.3f}{right[~passes].mean():12.3f}"
        yield f"{kind:20}{passes.float().mean():10.3f}{cells}"


def fit_confidence(looked: dict[str, LookedAt]) -> Iterator[str]:
    """Lines: the weights of mini/eye.py for these, by logistic regression."""
    truth = torch.cat([each.right() for each in looked.values()])
    learned = torch.arange(len(truth)) // EYE_FRAMES % 2 == 0
    features = torch.cat([telling(each.estimate) for each in looked.values()])
    weights = _logistic(features[learned], truth[learned])
    fitted = (features @ weights[:-1] + weights[-1]).sigmoid()
    yield f"\ntold_by = {tuple(round(value, 2) for value in weights.tolist())}"
    yield from reliability({"those left out": (fitted[~learned], truth[~learned])})


def _logistic(features: Tensor, truth: Tensor) -> Tensor:
    """Weights (k + 1,) of features (n, k) and a constant, for truth (n,) in [0, 1]."""
    features = torch.cat([features, torch.ones(len(features), 1)], dim=1)
    weights = torch.zeros(features.shape[1], requires_grad=True)
    optimizer = torch.optim.LBFGS([weights], max_iter=500, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = binary_cross_entropy_with_logits(features @ weights, truth)
        loss.backward()
        return loss

    optimizer.step(closure)
    return weights.detach()


def eye_figures(
    backbone: MiniBackbone, eye: Eye, bodies: Path | None, media: Media, count: int, *, fit: bool
) -> Iterator[str]:
    """All of them of an eye of the backbone's, line by line; of so many clips of each kind. fit:
    also what tells its confidence."""
    yield f"{'':20}{'pixels':>10}{'median':>10}{'right':>10}{'iou':>10}{'parts':>10}"
    looked = {}
    for kind, glances in draw_kinds(backbone, media, bodies, count).items():
        looked[kind] = look_at(eye, glances)
        yield f"{kind:20}{looked[kind].line()}"
    said = {kind: (eye.confidence(each.estimate), each.right()) for kind, each in looked.items()}
    yield from reliability(said)
    if fit:
        yield from fit_confidence(looked)
