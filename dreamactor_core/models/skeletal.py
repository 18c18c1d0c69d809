"""A figure whose joints and outline are known, animated without a network, as an Animator."""

from __future__ import annotations

import math
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice

import numpy as np
import torch
from torch import Tensor, nn

from ..geometry import Geometry
from ..lora.files import WantedLora
from ..media import to_uint8
from ..mini.skeletal.draw import Goal, draw_figure, set_out
from ..mini.skeletal.figure import Figure, cut_figures
from ..mini.skeletal.ground import clean_ground
from ..mini.skeletal.motion import driver_at, main_bodies, perform
from ..options import Defaults
from ..pose.rigid import RigidMotion, paint_rigid
from ..sampling import Step
from . import Animator, Bodies, Shown, Task

HANDED_OVER = 4  # frames that are handed over together
Behind = Callable[[np.ndarray, float], Iterator[np.ndarray]]  # as jobs.background.Background.frames


@dataclass(frozen=True)
class Skeletal:
    """The protocol Animator. It reads neither text nor settings, and draws whatever size."""

    model: Animator  # in whose place it draws, and whose eye watches a driver without keypoints
    rate: float  # frames a second
    panel: tuple[int, int]  # (height, width) if no size is asked for
    behind: Behind

    painter, eye, backbone = "cutout", None, None

    @property
    def name(self) -> str:
        return self.model.name

    @property
    def geometry(self) -> Geometry:
        return replace(
            self.model.geometry,
            size_multiple=2,
            temporal_stride=1,
            fps=self.rate,
            num_frames=HANDED_OVER,
            panel=self.panel,
        )

    @property
    def defaults(self) -> Defaults:
        return self.model.defaults

    @property
    def lead_in_seconds(self) -> float:
        return self.model.lead_in_seconds

    @property
    def loras(self) -> dict[str, float]:
        return {}

    @property
    def modules(self) -> Mapping[str, nn.Module]:
        return self.model.modules

    def wearing(self, loras: Sequence[WantedLora]) -> Skeletal:
        """They mean nothing to it."""
        return self

    def check(self, task: Task) -> None:
        """As its model."""
        self.model.check(task)

    def passes(self, num_frames: int) -> int:
        return math.ceil(num_frames / HANDED_OVER)

    def frames(
        self, shown: Shown, task: Task, on_step: Callable[[Step], None] | None = None
    ) -> Iterator[Tensor]:
        """(n, h, w, 3), or (n, h, w, 4) with straight alpha where nothing is behind."""
        picture, guides = to_uint8(shown.reference), shown.guides
        lead = self.geometry.lead_frames(self.lead_in_seconds) if task.keep_lead_in else 0
        if shown.rigid is not None:
            mask, motion = None if guides is None else guides.mask, shown.rigid.behind(lead)
            drawn = self._whole(picture, mask, motion, shown.wanted)
        else:
            drawn = self._limbs(picture, shown, lead)
        while few := list(islice(drawn, HANDED_OVER)):
            frames = torch.from_numpy(np.stack(few)).float() / 255
            if on_step is not None:
                on_step(Step(0, 1, 1.0, frames, frames))
            yield frames

    def _whole(
        self,
        picture: np.ndarray,
        mask: np.ndarray | None,
        motion: RigidMotion,
        wanted: Container[int],
    ) -> Iterator[np.ndarray]:
        """Of a reference that is moved as a whole."""
        ground = picture if mask is None else clean_ground(picture, mask)
        canvases = self.behind(ground, self.rate)
        return map(_finished, paint_rigid(picture, mask, motion, canvases, wanted))

    def _limbs(self, picture: np.ndarray, shown: Shown, lead: int) -> Iterator[np.ndarray]:
        guides = shown.guides
        assert guides is not None and guides.joints is not None and guides.mask is not None
        ground = clean_ground(picture, guides.mask)
        figures = cut_figures(picture, ground, guides.joints, guides.mask)
        acts = self._acts(figures, shown, picture.shape[:2])
        if lead:
            acts = [
                [*set_out(figure, act[0], lead), *act]
                for figure, act in zip(figures, acts, strict=True)
            ]
        canvases = self.behind(ground, self.rate)  # without end
        last: np.ndarray | None = None
        for k, (*goals, canvas) in enumerate(zip(*acts, canvases, strict=False)):
            if last is None or k in shown.wanted:
                last = _drawn(canvas, figures, goals)
            yield last

    def preview(self, latents: Tensor) -> Tensor:
        """Three of the frames that were drawn."""
        return latents[:: max(1, len(latents) // 3), ..., :3][:3].transpose(0, 1).flatten(1, 2)

    def _acts(
        self, figures: list[Figure], shown: Shown, panel: tuple[int, int]
    ) -> list[list[Goal]]:
        """What each figure does in every frame; without a driver it stands."""
        bodies, acts = shown.bodies or self._watched(shown), []
        which = main_bodies(bodies.joints, len(figures))
        for k, figure in enumerate(figures):
            driver = None
            if which:
                who = which[min(k, len(which) - 1)]
                depth = None if bodies.depth is None else bodies.depth[:, who]
                driver = driver_at(bodies.joints[:, who], bodies.times, shown.times, depth)
            still = [Goal(figure.joints, np.zeros(2))] * len(shown.times)
            acts.append(still if driver is None else perform(figure, driver, panel))
        return acts

    def _watched(self, shown: Shown) -> Bodies:
        """A driver without keypoints, as the model's eye sees him, at the rate it learned."""
        fps, (height, width) = self.model.geometry.fps, self.model.geometry.panel
        assert self.model.eye is not None, "only such models are stood in for"
        joints = self.model.eye.watch(shown.driver_frames(fps, height, width))
        return Bodies(joints, np.arange(len(joints)) / fps)


def _drawn(canvas: np.ndarray, figures: list[Figure], goals: list[Goal]) -> np.ndarray:
    """(h, w, 3), or with straight alpha (h, w, 4); uint8. Who stands lower is in front."""
    canvas = canvas.copy()
    for figure, goal in sorted(
        zip(figures, goals, strict=True), key=lambda pair: pair[1].joints[:, 1].max()
    ):
        draw_figure(canvas, figure, goal)
    return _finished(canvas)


def _finished(canvas: np.ndarray) -> np.ndarray:
    """(h, w, 4) colours times coverage, and coverage -> (h, w, 3) where all is covered, or with
    straight alpha (h, w, 4); uint8."""
    alpha = canvas[..., 3]
    if alpha.min() == 255:
        return canvas[..., :3]
    share = alpha[..., None].astype(np.float32).clip(1) / 255
    colours = np.rint(canvas[..., :3] / share).clip(0, 255).astype(np.uint8)
    return np.dstack([colours, alpha])
