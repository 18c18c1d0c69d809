"""Backgrounds, cameras and whole clips: the world whose truth is known.

    render(look, play, size)    one to three puppets, a background, a camera
    triplet(seed, split, ...)   driver, reference and truth: the same motion on another identity

Every clip opens on a reference pose (frame 0), moves into the motion during the lead-in and then
performs it, so that frame 0 is the reference picture and the first second is the transition that
the model has to invent (paper section 5.1).

The training split is drawn with more variety than the test split: shadows, things, photographs'
colours, half-body framing, bodies far away, at the side or on their way out of the picture, three
puppets. The scores of the test split stay comparable; `varied` asks for it there too.
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
from .background import draw_background, draw_photograph, furnish
from .body import ANKLE, HIP, PARTS, SHOULDER, Body, places, solve
from .identity import HELD, Identity, Split, sample_identity
from .motion import Motion
from .render import draw_puppet

FPS = 8.0
LEAD_IN = 9  # frames, see composite.lead_in_frames
EXAMPLE_SIZE = 256  # pixels
THUMBNAIL = 8  # pixels; a triplet is the same at any size, and this one is quick to draw
OUTSIDE = 0.1  # of the panel: a joint so far outside is none that a detector finds
UNSURE = 0.01  # its confidence
CLOSEST = 2.6  # zoom of half-body framing at most


@dataclass(frozen=True)
class Look:
    """Everything of a clip that is not motion."""

    cast: tuple[Identity, ...]
    background: np.ndarray  # (h, w, 3) uint8
    blur: float  # pixels at 128
    gain: np.ndarray  # (3,) a tint of the whole picture
    shadow: float = 0.0  # how dark, 0..1
    crop: float = 0.0  # half-body framing: the upper share of the body that is in the picture


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
            who = replace(who, base_x=place, height=who.height * (0.72, 0.54)[subjects > 2])
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
    views = _views(look, bodies, play.camera)
    backdrop = cv2.resize(look.background, (size, size), interpolation=cv2.INTER_AREA)
    for t in range(num_frames):
        if not transition and 0 < t < LEAD_IN:
            continue
        canvas = np.zeros((size, size, 4), np.uint8)
        view = tuple(views[t])
        empty = _shaded(_seen(backdrop, view), look, bodies, t, view)
        canvas[..., :3] = empty
        for i, (who, body, motion) in enumerate(zip(look.cast, bodies, play.motions, strict=True)):
            mouth, first = float(motion.mouth[t]), i * PARTS + 1
            draw_puppet(canvas, view, who, body, t, mouth, parts[t], first)
        frames[t], scene[t] = _shot(look, canvas[..., :3]), _shot(look, empty)
        mask[t] = canvas[..., 3]
    return Clip(
        frames, mask, scene, _pose(bodies, views), _caption(look, play), parts,
        _places(look, bodies, views) * size,
    )  # fmt: skip


def triplet(
    seed: int,
    split: Split,
    num_frames: int,
    size: int,
    kind: str | None = None,
    *,
    transition: bool = True,
    varied: bool | None = None,
) -> Triplet:
    """The same motion on two identities, each out of its own reference pose. Exact truth.

    kind asks for a body plan of the truth; transition: see render; varied: see above.
    """
    varied = split == "train" if varied is None else varied
    roles = _triplet_roles(seed, split, num_frames, size, kind, varied)
    return Triplet(*(render(look, play, size, transition=transition) for look, play in roles))


def triplet_poses(seed: int, split: Split, num_frames: int) -> tuple[Pose, Pose]:
    """Of the driver and of the truth of a triplet, nothing drawn: thirty times as fast."""
    roles = _triplet_roles(seed, split, num_frames, THUMBNAIL, None, split == "train")
    bodies = [_bodies(look, play) for look, play in roles]
    driver, truth = (
        _pose(cast, _views(look, cast, play.camera))
        for cast, (look, play) in zip(bodies, roles, strict=True)
    )
    return driver, truth


def _triplet_roles(
    seed: int, split: Split, num_frames: int, size: int, kind: str | None, varied: bool
) -> tuple[tuple[Look, Play], tuple[Look, Play]]:
    """Look and play of the driver, then of the truth."""
    rng = np.random.default_rng((seed, split == "test"))
    more = np.random.default_rng((seed, split == "test", 1))  # leaves rng's draws as they are
    subjects = 2 if rng.random() < 0.06 else 1
    if varied and subjects > 1 and more.random() < 0.2:
        subjects = 3
    play = sample_play(rng, split, num_frames, subjects)
    target = sample_look(rng, split, size, subjects, kind)
    # A body seen from the side tells little of two arms, so quadrupeds mostly drive quadrupeds.
    on_four = target.cast[0].kind == "quadruped"
    like = "quadruped" if on_four and rng.random() < 0.8 else None
    source = sample_look(rng, split, size, subjects, like, "" if on_four else "quadruped")
    others = other_rest(rng, play)
    if varied:
        if more.random() < 0.05:
            play, others = _leaving(more, play, others)
        source, target = (_varied(more, look, size) for look in (source, target))
    return (source, others), (target, play)


def _varied(rng: np.random.Generator, look: Look, size: int) -> Look:
    """The look with some of what most pictures of the world do not have."""
    of_picture = rng.spawn(1)[0]
    cast = [
        replace(who, held=str(rng.choice(HELD))) if rng.random() < 0.2 else who for who in look.cast
    ]
    alone = len(cast) == 1
    if alone and rng.random() < 0.25:
        height = cast[0].height * rng.uniform(0.6, 1.1)
        cast = [replace(cast[0], height=height, base_x=rng.uniform(0.3, 0.7))]
    crop = 0.0
    if alone and cast[0].kind != "quadruped" and rng.random() < 0.15:
        crop = rng.uniform(0.45, 0.8)
    background = look.background
    if of_picture.random() < 0.25:
        background = draw_photograph(of_picture, size)
    if of_picture.random() < 0.2:
        background = furnish(of_picture, background)
    shadow = rng.uniform(0.1, 0.5) if rng.random() < 0.3 else 0.0
    return replace(look, cast=tuple(cast), background=background, shadow=shadow, crop=crop)


def _leaving(rng: np.random.Generator, *plays: Play) -> tuple[Play, ...]:
    """One puppet of the plays walks out of the picture, into it, or out and in again."""
    num_frames = len(plays[0].camera)
    share = np.clip((np.arange(num_frames) - LEAD_IN) / max(1, num_frames - LEAD_IN), 0, 1)
    away = {"leave": share, "enter": 1 - share, "both": np.sin(np.pi * share)}
    away = away[str(rng.choice(list(away)))] * entered(num_frames)
    far = rng.choice([-1, 1]) * rng.uniform(0.6, 1.3)  # body heights
    who = rng.integers(len(plays[0].motions))
    changed = []
    for play in plays:
        motions = list(play.motions)
        root = motions[who].root + np.stack([far * away, 0 * away], axis=-1)
        motions[who] = replace(motions[who], root=root)
        changed.append(replace(play, motions=tuple(motions)))
    return tuple(changed)


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


def _views(look: Look, bodies: list[Body], camera: np.ndarray) -> np.ndarray:
    """(t, 3) pan x, pan y, zoom: the camera upon the look's own framing."""
    if not look.crop:
        return camera
    who, body = look.cast[0], bodies[0]
    top = body.head[0, 1] - 1.4 * who.head_size * who.height
    zoom = min(0.92 / (look.crop * (who.ground - top)), CLOSEST)
    pan = np.array([body.pelvis[0, 0] - 0.5, top + 0.42 / zoom - 0.5])
    return np.concatenate([pan + camera[:, :2] / zoom, zoom * camera[:, 2:]], axis=1)


def _shaded(
    picture: np.ndarray, look: Look, bodies: list[Body], t: int, view: tuple[float, float, float]
) -> np.ndarray:
    """The scene in frame t with the shadows of the bodies on the ground below them."""
    if not look.shadow:
        return picture
    size = len(picture)
    pan_x, pan_y, zoom = view
    dark = np.zeros((size, size), np.float32)
    for who, body in zip(look.cast, bodies, strict=True):
        x = body.joints[t, [*SHOULDER, *HIP, *ANKLE], 0]
        middle = np.array([(x.min() + x.max()) / 2 - pan_x, who.ground - pan_y])
        middle = size * ((middle - 0.5) * zoom + 0.5)
        wide = size * zoom * ((x.max() - x.min()) / 2 + 0.07 * who.height)
        axes = (max(1, round(wide)), max(1, round(0.22 * wide)))
        cv2.ellipse(dark, tuple(np.rint(middle).astype(int).tolist()), axes, 0, 0, 360, 1.0, -1)
    dark = cv2.GaussianBlur(dark, (0, 0), max(0.3, 0.02 * size * zoom))
    return np.rint(picture * (1 - look.shadow * dark[..., None])).astype(np.uint8)


def _seen(backdrop: np.ndarray, view: tuple[float, float, float]) -> np.ndarray:
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


def _places(look: Look, bodies: list[Body], views: np.ndarray) -> np.ndarray:
    """The scene's place and those of every puppet's parts, (t, k, 2, 3), in shares of the panel."""
    world = [places(who, body) for who, body in zip(look.cast, bodies, strict=True)]
    still = np.broadcast_to(np.eye(2, 3), (len(views), 1, 2, 3))
    seen = np.concatenate([still, *world], axis=1) * views[:, None, None, None, 2]
    seen[..., 2] += 0.5 - (0.5 + views[:, None, :2]) * views[:, None, 2:]
    return seen


def in_picture(places):
    """Joints (..., 2) in shares of the panel, NumPy's or torch's -> (...) bool: near enough to the
    picture to be found in it, see OUTSIDE."""
    return (abs(places - 0.5) < 0.5 + OUTSIDE).all(-1)


def _pose(bodies: list[Body], views: np.ndarray) -> Pose:
    """Joints of a square panel's puppets as a Pose, in shares of the canvas; hidden ones count as
    seen, those outside of the picture do not."""
    joints = np.stack([body.joints for body in bodies], axis=1)  # (t, p, 18, 2)
    t, p = joints.shape[:2]
    pan, zoom = views[:, None, None, :2], views[:, None, None, 2:]
    seen = (joints - 0.5 - pan) * zoom + 0.5
    none = lambda *shape: np.zeros((t, p, *shape, 3))  # noqa: E731
    body = np.concatenate([seen, np.where(in_picture(seen), 1, UNSURE)[..., None]], axis=-1)
    return Pose(body=body, hands=none(2, 21), face=none(70), feet=none(6), aspect=1.0)


def _caption(look: Look, play: Play) -> str:
    """ "a red bird with crown is waving both wings"; short, the text encoder reads 95 bytes."""
    alone = len(look.cast) == 1
    pairs = zip(look.cast, play.keys, strict=True)
    parts = [f"{who.describe if alone else who.noun} is {key.describe(who)}" for who, key in pairs]
    return " and ".join(parts)
