"""Backgrounds, cameras and whole clips: the world whose truth is known.

    clip(seed)     one or two puppets, a background, a camera
    triplet(seed)  driver, reference and truth: the same motion on another identity

Every clip opens on a reference pose (frame 0), moves into the motion during the lead-in and then
performs it, so that frame 0 is the reference picture and the first second is the transition that
the model has to invent (paper section 5.1).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

import cv2
import numpy as np
import torch
from torch import Tensor

from ..pose.draw import draw_pose, fit_box
from ..pose.keypoints import Pose, dump_keypoints
from . import motion as moves
from .body import PARTS, Body, places, solve
from .identity import Identity, Split, sample_identity
from .motion import Motion
from .render import draw_puppet

FPS = 8.0
LEAD_IN = 9  # frames, see composite.lead_in_frames
EXAMPLE_SIZE = 128  # pixels
THUMBNAIL = 8  # pixels; a triplet is the same at any size, and this one is quick to draw
BACKGROUNDS = (
    "plain", "vertical", "diagonal", "room", "hills", "stripes", "checks", "blobs", "noise", "sun",
)  # fmt: skip
BACKGROUND_ODDS = (0.16, 0.12, 0.08, 0.2, 0.12, 0.05, 0.05, 0.08, 0.08, 0.06)


@dataclass(frozen=True)
class Look:
    """Everything of a clip that is not motion."""

    cast: tuple[Identity, ...]
    background: np.ndarray  # (h, w, 3) uint8
    blur: float  # pixels at 128
    gain: np.ndarray  # (3,) a tint of the whole picture


@dataclass(frozen=True)
class Play:
    """Everything of a clip that is motion."""

    motions: tuple[Motion, ...]  # one for each puppet
    camera: np.ndarray  # (t, 3) pan x, pan y, zoom
    keys: tuple[moves.MotionKey, ...]


@dataclass(frozen=True)
class Clip:
    frames: np.ndarray  # (t, h, w, 3) uint8
    mask: np.ndarray  # (t, h, w) uint8, 255 = foreground
    scene: np.ndarray  # (t, h, w, 3) uint8, the same pictures without the puppets
    pose: Pose
    caption: str
    # What a drawn body knows: which part each pixel shows (t, h, w) uint8, 0 is the scene, and
    # where part k is, (t, k, 2, 3): of part coordinates (u, v, 1) the pixel (x, y).
    parts: np.ndarray | None = None
    places: np.ndarray | None = None

    def skeleton(self) -> np.ndarray:
        """(t - LEAD_IN, h, w, 3) uint8: what drives the pose-based variant with this clip's motion.

        As for a user's keypoints: one box over what is driven, without the lead-in.
        """
        driven = self.pose.map(lambda points: points[LEAD_IN:])
        return draw_pose(fit_box(driven), *self.frames.shape[1:3])


@dataclass(frozen=True)
class Triplet:
    """driver and truth perform the same motion; truth.frames[0] is the reference picture.

    The driver's first LEAD_IN frames are its own transition; the driving video is what follows.
    """

    driver: Clip
    truth: Clip


class Example(NamedTuple):
    """Something to try the method on."""

    reference: Tensor  # (1, h, w, 3) in [0, 1]
    driving: Tensor  # (16, h, w, 3), at FPS
    keypoints: list[dict]  # of driving, in OpenPose form
    caption: str  # what the reference's character does then


def sample_look(
    rng: np.random.Generator,
    split: Split,
    size: int,
    subjects: int = 1,
    kind: str | None = None,
    but: str = "",
) -> Look:
    """Random identities of one split; `kind` asks for a body plan, `but` rules one out."""
    cast = []
    for i in range(subjects):
        who = sample_identity(rng, split, kind, but)
        if subjects > 1:
            place = (i + 1) / (subjects + 1) + rng.uniform(-0.03, 0.03)
            who = replace(who, base_x=place, height=who.height * 0.72)
        cast.append(who)
    blur = float(rng.uniform(0.4, 0.9)) if rng.random() < 0.2 else 0.0
    gain = rng.uniform(0.85, 1.1, 3) if rng.random() < 0.3 else np.ones(3)
    return Look(tuple(cast), draw_background(rng, size), blur, gain)


def sample_play(rng: np.random.Generator, split: Split, num_frames: int, subjects: int = 1) -> Play:
    """num_frames counts frame 0 and the lead-in; the motion is in full swing from LEAD_IN on."""
    keys = tuple(moves.sample_key(rng, split) for _ in range(subjects))
    motions = [_from_rest(rng, moves.perform(rng, key, num_frames, FPS)) for key in keys]
    camera = np.tile([0.0, 0.0, 1.0], (num_frames, 1))
    if rng.random() < 0.2:
        goal = np.array(
            [rng.uniform(-0.08, 0.08), rng.uniform(-0.03, 0.03), rng.uniform(0.85, 1.2)]
        )
        way = np.clip((np.arange(num_frames) - LEAD_IN) / max(1, num_frames - LEAD_IN), 0, 1)
        camera = camera * (1 - way[:, None]) + goal * way[:, None]
    return Play(tuple(motions), camera, keys)


def other_rest(rng: np.random.Generator, play: Play) -> Play:
    """The same play out of another reference pose: frame 0 and the transition change, no more."""
    motions = tuple(_from_rest(rng, motion) for motion in play.motions)
    return replace(play, motions=motions)


def _from_rest(rng: np.random.Generator, motion: Motion) -> Motion:
    """The motion entered from a resting pose: rest in frame 0, full swing behind the lead-in."""
    return moves.blend(moves.rest(rng, len(motion)), motion, entered(len(motion)))


def entered(num_frames: int) -> np.ndarray:
    """(num_frames,) share of the motion: 0 in frame 0, smoothly to 1 behind the lead-in."""
    share = np.clip(np.arange(num_frames) / (LEAD_IN - 1), 0, 1)
    return share * share * (3 - 2 * share)


def to_frames(pixels: np.ndarray) -> Tensor:
    """uint8 (..., 3) -> float32 in [0, 1], as the method passes frames."""
    return torch.from_numpy(pixels).float() / 255


def render(look: Look, play: Play, size: int, *, transition: bool = True) -> Clip:
    """Draw a play with a look on a square panel of size pixels.

    transition: draw frames 1 .. LEAD_IN - 1 too; they are black otherwise.
    """
    num_frames = len(play.camera)
    frames = np.zeros((num_frames, size, size, 3), np.uint8)
    scene, mask = np.zeros_like(frames), np.zeros((num_frames, size, size), np.uint8)
    parts = np.zeros_like(mask)
    bodies = _bodies(look, play)
    backdrop = cv2.resize(look.background, (size, size), interpolation=cv2.INTER_AREA)
    for t in range(num_frames):
        if not transition and 0 < t < LEAD_IN:
            continue
        canvas = np.zeros((size, size, 4), np.uint8)
        canvas[..., :3] = empty = _seen(backdrop, play.camera[t])
        view = tuple(play.camera[t])
        for i, (who, body, motion) in enumerate(zip(look.cast, bodies, play.motions, strict=True)):
            mouth, first = float(motion.mouth[t]), i * PARTS + 1
            draw_puppet(canvas, view, who, body, t, mouth, parts[t], first)
        frames[t], scene[t] = _shot(look, canvas[..., :3]), _shot(look, empty)
        mask[t] = canvas[..., 3]
    return Clip(
        frames, mask, scene, _pose(bodies, play.camera), _caption(look, play), parts,
        _places(look, bodies, play.camera) * size,
    )  # fmt: skip


def triplet(
    seed: int,
    split: Split,
    num_frames: int,
    size: int,
    kind: str | None = None,
    *,
    transition: bool = True,
) -> Triplet:
    """The same motion on two identities, each out of its own reference pose. Exact truth.

    kind asks for a body plan of the truth; transition: see render.
    """
    roles = _triplet_roles(seed, split, num_frames, size, kind)
    return Triplet(*(render(look, play, size, transition=transition) for look, play in roles))


def triplet_poses(seed: int, split: Split, num_frames: int) -> tuple[Pose, Pose]:
    """Of the driver and of the truth of a triplet, nothing drawn: thirty times as fast."""
    roles = _triplet_roles(seed, split, num_frames, THUMBNAIL, None)
    driver, truth = (_pose(_bodies(look, play), play.camera) for look, play in roles)
    return driver, truth


def _triplet_roles(
    seed: int, split: Split, num_frames: int, size: int, kind: str | None
) -> tuple[tuple[Look, Play], tuple[Look, Play]]:
    """Look and play of the driver, then of the truth."""
    rng = np.random.default_rng((seed, split == "test"))
    subjects = 2 if rng.random() < 0.06 else 1
    play = sample_play(rng, split, num_frames, subjects)
    target = sample_look(rng, split, size, subjects, kind)
    # A body seen from the side tells little of two arms, so quadrupeds mostly drive quadrupeds.
    on_four = target.cast[0].kind == "quadruped"
    like = "quadruped" if on_four and rng.random() < 0.8 else None
    source = sample_look(rng, split, size, subjects, like, "" if on_four else "quadruped")
    return (source, other_rest(rng, play)), (target, play)


def _bodies(look: Look, play: Play) -> list[Body]:
    return [solve(who, motion) for who, motion in zip(look.cast, play.motions, strict=True)]


def example(seed: int, kind: str | None = None) -> Example:
    """Two unseen characters, and two seconds of motion, of the small model's size and rate."""
    clips = triplet(seed, "test", LEAD_IN + 16, EXAMPLE_SIZE, kind)
    pose = clips.driver.pose.map(lambda points: points[LEAD_IN:])
    return Example(
        reference=to_frames(clips.truth.frames[:1]),
        driving=to_frames(clips.driver.frames[LEAD_IN:]),
        keypoints=dump_keypoints(pose, EXAMPLE_SIZE, EXAMPLE_SIZE),
        caption=clips.truth.caption,
    )


def draw_background(rng: np.random.Generator, size: int) -> np.ndarray:
    """(size, size, 3) uint8: plain, gradients, patterns, simple scenes, soft noise."""
    a, b, c = (rng.integers(30, 256, 3).astype(float) for _ in range(3))
    if rng.random() < 0.5:  # calm colours, as most pictures have
        a, b, c = (x * 0.5 + x.mean() * 0.3 + 40 for x in (a, b, c))
    y, x = np.mgrid[0:size, 0:size] / size
    kind = rng.choice(BACKGROUNDS, p=BACKGROUND_ODDS)
    picture = np.tile(a, (size, size, 1))
    if kind == "vertical":
        picture = a + (b - a) * y[..., None]
    elif kind == "diagonal":
        picture = a + (b - a) * ((x + y) / 2)[..., None]
    elif kind == "room":
        floor = rng.uniform(0.65, 0.88)
        picture = np.where(y[..., None] > floor, b * (0.75 + 0.25 * y[..., None]), a)
        picture[np.abs(y - floor) < 0.008] = c
    elif kind == "hills":
        line = rng.uniform(0.55, 0.75) + 0.06 * np.sin(x * rng.uniform(4, 10) + rng.uniform(0, 6))
        picture = np.where((y > line)[..., None], b, a + (255 - a) * 0.4 * (1 - y[..., None]))
    elif kind == "stripes":
        angle, count = rng.uniform(0, np.pi), rng.uniform(3, 8)
        wave = np.sin(2 * np.pi * count * (x * np.cos(angle) + y * np.sin(angle)))
        picture = a + (b - a) * 0.35 * np.clip(wave * 4, 0, 1)[..., None]
    elif kind == "checks":
        count = rng.integers(3, 7)
        picture = (
            a + (b - a) * 0.3 * (((x * count).astype(int) + (y * count).astype(int)) % 2)[..., None]
        )
    elif kind in ("blobs", "noise"):
        grid = rng.uniform(-1, 1, (4, 4, 3) if kind == "blobs" else (12, 12, 3)).astype(np.float32)
        soft = cv2.resize(grid, (size, size), interpolation=cv2.INTER_CUBIC)
        picture = a + soft * (60 if kind == "blobs" else 22)
    elif kind == "sun":
        far = np.hypot(x - rng.uniform(0.1, 0.9), y - rng.uniform(0.05, 0.4))
        picture = np.where(
            (far < rng.uniform(0.06, 0.15))[..., None], c, a + (b - a) * y[..., None]
        )
    return np.clip(picture, 0, 255).astype(np.uint8)


def _seen(backdrop: np.ndarray, view: np.ndarray) -> np.ndarray:
    """The backdrop through the camera; what lies beyond its border is mirrored."""
    pan_x, pan_y, zoom = view
    if (pan_x, pan_y, zoom) == (0.0, 0.0, 1.0):
        return backdrop
    size = len(backdrop)
    shift_x, shift_y = (size * (0.5 - (0.5 + pan) * zoom) for pan in (pan_x, pan_y))
    matrix = np.array([[zoom, 0, shift_x], [0, zoom, shift_y]])
    return cv2.warpAffine(
        backdrop, matrix, (size, size), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT
    )


def _shot(look: Look, picture: np.ndarray) -> np.ndarray:
    """The picture as the look's lens and film see it."""
    if look.blur:
        picture = cv2.GaussianBlur(picture, (0, 0), look.blur * len(picture) / 128)
    return np.clip(picture * look.gain, 0, 255) if (look.gain != 1).any() else picture


def _places(look: Look, bodies: list[Body], camera: np.ndarray) -> np.ndarray:
    """The scene's place and those of every puppet's parts, (t, k, 2, 3), in shares of the panel."""
    world = [places(who, body) for who, body in zip(look.cast, bodies, strict=True)]
    still = np.broadcast_to(np.eye(2, 3), (len(camera), 1, 2, 3))
    seen = np.concatenate([still, *world], axis=1) * camera[:, None, None, None, 2]
    seen[..., 2] += 0.5 - (0.5 + camera[:, None, :2]) * camera[:, None, 2:]
    return seen


def _pose(bodies, camera: np.ndarray) -> Pose:
    """Joints of a square panel's puppets as a Pose, in shares of the canvas, all of them seen."""
    joints = np.stack([body.joints for body in bodies], axis=1)  # (t, p, 18, 2)
    t, p = joints.shape[:2]
    pan, zoom = camera[:, None, None, :2], camera[:, None, None, 2:]
    seen = (joints - 0.5 - pan) * zoom + 0.5
    none = lambda *shape: np.zeros((t, p, *shape, 3))  # noqa: E731
    body = np.concatenate([seen, np.ones((t, p, 18, 1))], axis=-1)
    return Pose(body=body, hands=none(2, 21), face=none(70), feet=none(6), aspect=1.0)


def _caption(look: Look, play: Play) -> str:
    """ "a red bird with crown is waving both wings"; short, the text encoder reads 95 bytes."""
    alone = len(look.cast) == 1
    pairs = zip(look.cast, play.keys, strict=True)
    parts = [f"{who.describe if alone else who.noun} is {key.describe(who)}" for who, key in pairs]
    return " and ".join(parts)
