"""Puppets whose videos are damaged by degrees: what a meter must see, and how much of it there is.

    blur              of the picture, up to 3 pixels at 128
    freeze            the last quarter, half, three quarters or all of it stands still
    wrong identity    colours on their way to another character's; at last it is the other one
    flicker           lighter and darker in turn, up to a fifth
    half speed        seven eighths of the driver's speed, down to half of it
    driver pasted in  the driver's own picture of itself laid over it, up to wholly
    drift             the picture turns warmer and paler over the clip
    proportions       arms and legs up to half as long again, the trunk shorter

Shares are 0 (undamaged) to 1; the four grades are quarters of it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property

import cv2
import numpy as np

from ...media import to_uint8
from ...pose.keypoints import Pose
from ...puppets.clip import render
from ...puppets.identity import Identity, sample_identity
from ...puppets.scene import Appearance, Performance
from ...puppets.triplet import roles_of
from ...puppets.world import FPS, LEAD_IN, Clip

GRADES = (0.25, 0.5, 0.75, 1.0)
MOST_BLUR = 3 / 128  # of the picture's side
MOST_FLICKER = 0.2
MOST_DRIFT = np.array([0.25, 0.1, -0.2])
LONGER, SHORTER = 0.5, 0.35  # of limbs, of the trunk
COLOURS = ("skin", "top", "bottom", "shoes", "gear", "accent", "outline_colour")


@dataclass(frozen=True)
class Damaged:
    """A video (t, h, w, 3) uint8, and what is known of it."""

    frames: np.ndarray
    plain: np.ndarray  # (t, h, w, 3) in [0, 1], before light and blur came over them
    pose: Pose  # that each frame shows
    shows: np.ndarray  # (t,) which frame of the truth it shows
    drawn: Clip  # the character that it shows, whole, the lead-in in front
    right: Clip  # the right character in these proportions, likewise


class PuppetTruth:
    """One triplet of the test split: reference, driver and truth, without their lead-ins."""

    def __init__(self, seed: int, num_frames: int = LEAD_IN + 16, size: int = 128):
        (source, driven), (target, performed) = roles_of(
            seed, "test", num_frames, size, None, False
        )
        self.size, self.target, self.performed = size, target, performed
        self.driver, self.clip = render(source, driven, size), render(target, performed, size)
        rng = np.random.default_rng((seed, 23))
        who = target.cast[0]
        other = sample_identity(rng, "test", who.kind)
        self.other = replace(other, base_x=who.base_x, ground=who.ground, facing=who.facing)

    @cached_property
    def times(self) -> np.ndarray:
        return np.arange(len(self.truth)) / FPS

    @property
    def reference(self) -> np.ndarray:
        return self.clip.frames[0]

    @property
    def truth(self) -> np.ndarray:
        return self.clip.frames[LEAD_IN:]

    @property
    def driving(self) -> np.ndarray:
        return self.driver.frames[LEAD_IN:]

    def drawn(self, change: Callable[[Identity], Identity]) -> Clip:
        """The truth, performed by a character that is changed."""
        cast = (change(self.target.cast[0]), *self.target.cast[1:])
        changed: tuple[Appearance, Performance] = (replace(self.target, cast=cast), self.performed)
        return render(*changed, self.size)

    def damaged(self, shares: Mapping[str, float]) -> Damaged:
        """With damages of some shares, by names of DAMAGES; one that is missing is none."""
        part = {name: shares.get(name, 0.0) for name in DAMAGES}

        def changed(who: Identity) -> Identity:
            return _stretched(_mixed(who, self.other, part["wrong identity"]), part["proportions"])

        right = clip = self.clip
        if part["proportions"]:
            right = clip = self.drawn(lambda who: _stretched(who, part["proportions"]))
        if part["wrong identity"]:
            clip = self.drawn(changed)
        index = _numbers(len(self.truth), part["freeze"], part["half speed"])
        frames = clip.frames[LEAD_IN:][index].astype(np.float32) / 255
        plain = _pasted(frames, self.driver, part["driver pasted in"])
        frames = _coloured(plain, part["drift"], part["flicker"])
        if part["blur"]:
            sigma = part["blur"] * MOST_BLUR * self.size
            frames = np.stack([cv2.GaussianBlur(frame, (0, 0), sigma) for frame in frames])
        pose = clip.pose.map(lambda points: points[LEAD_IN:][index])
        shown = np.stack([to_uint8(frame) for frame in frames])
        return Damaged(shown, plain, pose, index, clip, right)


DAMAGES = (
    "blur", "freeze", "wrong identity", "flicker", "half speed", "driver pasted in", "drift",
    "proportions",
)  # fmt: skip


def _mixed(who: Identity, other: Identity, share: float) -> Identity:
    if share >= 1:
        return other
    mixed = {
        name: tuple(
            round(a + share * (b - a))
            for a, b in zip(getattr(who, name), getattr(other, name), strict=True)
        )
        for name in COLOURS
    }
    return replace(who, **mixed)  # type: ignore[arg-type] # colours all


def _stretched(who: Identity, share: float) -> Identity:
    limbs, trunk = 1 + LONGER * share, 1 - SHORTER * share
    return replace(
        who,
        arm=who.arm * limbs,
        leg=who.leg * limbs,
        torso_length=who.torso_length * trunk,
        height=who.height / (who.leg * limbs + who.torso_length * trunk + 2 * who.head_size),
    )


def _numbers(count: int, frozen: float, slow: float) -> np.ndarray:
    """(t,) which frame of the truth each frame shows."""
    index = np.floor(np.arange(count) * (1 - slow / 2) + 1e-6).astype(int)
    return np.minimum(index, round((1 - frozen) * (count - 1)))


def _pasted(frames: np.ndarray, driver: Clip, share: float) -> np.ndarray:
    if not share:
        return frames
    mask = share * driver.mask[LEAD_IN:, ..., None].astype(np.float32) / 255
    return frames * (1 - mask) + mask * driver.frames[LEAD_IN:].astype(np.float32) / 255


def _coloured(frames: np.ndarray, drift: float, flicker: float) -> np.ndarray:
    count = len(frames)
    way = np.arange(count)[:, None, None, None] / max(1, count - 1)
    turn = (-1.0) ** np.arange(count)[:, None, None, None]
    gain = 1 + flicker * MOST_FLICKER * turn
    return (frames * gain + drift * MOST_DRIFT * way).clip(0, 1).astype(np.float32)
