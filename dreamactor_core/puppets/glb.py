"""A second world with ground truth: rigged bodies in three dimensions, from a folder of GLB files.

    glb_triplet(seed, folder, split)    driver and truth: the same motion on two bodies
    glb_glance(seed, folder, split)     one body at any moments of any motion

As in the drawn world (scene.py) a clip opens on a pose of its own, moves into the motion during
the lead-in and then performs it. Bodies of one group have motions of the same names, but not of
the same length, and some share no more than the name: a motion counts as shared when the bones of
both turn alike, and is timed by the share of it that has gone by.

    python -m dreamactor_core.puppets.glb FOLDER --seed 3 --out sheet.png
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import cv2
import numpy as np

from ..errors import InputError
from ..pose.keypoints import Pose
from .background import draw_background
from .body import EAR, EYE, HIP, NECK, NOSE, PARTS, SHOULDER, put_face
from .glb_body import Body, mix, sample, skin, to_world
from .glb_draw import Camera, aim, draw
from .glb_file import read_glb
from .glb_names import cast, character_of, describe, joint_bones, motion_label, parts_of
from .identity import Split
from .scene import FPS, LEAD_IN, Clip, Triplet, entered

PHASES = np.linspace(0, 1, 9)  # where two motions are compared
MIN_TURN = 3.0  # degrees, a mean over bones and time; stiller motions teach little
SAME, APART = 0.45, 12.0  # the same motions differ by less than this share of it, and degrees
FACE = (NOSE, *EYE, *EAR)
HEAD_SHARE = 0.9  # of a head's points are as near to its middle as its radius; hats may reach out
CLOSED = 0.2  # of the turning, left at the end of a motion that may start over
_read = cache(read_glb)


@dataclass(frozen=True)
class Shared:
    """A motion that two bodies perform alike."""

    label: str
    driver: str  # its name in either file
    truth: str
    closed: bool  # ends as it began


def glb_triplet(seed: int, folder: Path | str, split: Split, num_frames: int, size: int) -> Triplet:
    """The same motion on two bodies of one group, each out of its own reference pose.

    The truth is the artist's: how that body performs the motion of this name, at the driver's pace.
    num_frames counts frame 0 and the lead-in. Both are seen from one side, else they would not
    move alike in the picture; light, colours, background and place are each one's own.
    """
    rng = np.random.default_rng((seed, split == "test"))
    driver, truth, motion = _pair(rng, cast(Path(folder), split))
    phases = _phases(rng, num_frames, driver.duration(motion.driver), motion.closed)
    view = _view_of(rng, truth), rng.uniform(0, 0.35)
    clips = [
        _film(rng, body, _perform(rng, body, name, phases), view, size, motion.label)
        for body, name in ((driver, motion.driver), (truth, motion.truth))
    ]
    return Triplet(*clips)


def glb_glance(seed: int, folder: Path | str, split: Split, num_frames: int, size: int) -> Clip:
    """One body at num_frames moments of one of its motions, turned to anywhere in front."""
    rng = np.random.default_rng((seed, split == "test", 1))
    bodies = list(cast(Path(folder), split))
    body = _read(bodies[rng.integers(len(bodies))])
    motion = sorted(body.motions)[rng.integers(len(body.motions))]
    local = sample(body, motion, rng.uniform(0, body.duration(motion), num_frames))
    view = _view_of(rng, body), rng.uniform(0, 0.35)
    label = motion_label(motion, {character_of(body.name)})
    return _film(rng, body, to_world(body, local), view, size, label)


def _pair(rng: np.random.Generator, pairs: dict[Path, list[Path]]) -> tuple[Body, Body, Shared]:
    """A driver, a truth, and a motion that both perform."""
    for path in _shuffled(rng, list(pairs)):
        for other in _shuffled(rng, pairs[path]):
            driver, truth = _read(other), _read(path)
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
def shared_motions(driver: Body, truth: Body) -> list[Shared]:
    """Motions of the same name in which the bones of the same names turn alike."""
    characters = {character_of(body.name) for body in (driver, truth)}
    names = [{motion_label(m, characters): m for m in body.motions} for body in (driver, truth)]
    bones = sorted(_moving_bones(driver) & _moving_bones(truth))
    shared = []
    for label in sorted(names[0].keys() & names[1].keys()) if bones else ():
        one, two = (
            _turning(b, n[label], bones) for b, n in zip((driver, truth), names, strict=True)
        )
        turned = _degrees(one, one[:1])
        if turned > MIN_TURN and _degrees(one, two) < min(SAME * turned, APART):
            closed = _degrees(one[-1:], one[:1]) < CLOSED * turned
            shared.append(Shared(label, names[0][label], names[1][label], closed))
    return shared


def _moving_bones(body: Body) -> set[str]:
    """Names of nodes that move some of the mesh; the rest are the animator's handles."""
    used = body.mesh.weights.sum(axis=0) > 0
    return {body.nodes[node] for node in body.palette[used]}


def _turning(body: Body, motion: str, bones: list[str]) -> np.ndarray:
    """(phases, bones, 3, 3) rotations in the world since the motion's first frame."""
    world = to_world(body, sample(body, motion, PHASES * body.duration(motion)))
    turns = world[:, [body.nodes.index(bone) for bone in bones], :3, :3]
    turns = turns / np.linalg.norm(turns, axis=-2, keepdims=True)
    return turns @ turns[:1].swapaxes(-1, -2)


def _degrees(one: np.ndarray, two: np.ndarray) -> float:
    """The mean angle between rotations (..., 3, 3)."""
    cos = ((one * two).sum(axis=(-1, -2)) - 1) / 2
    return float(np.degrees(np.arccos(np.clip(cos, -1, 1))).mean())


def _phases(rng: np.random.Generator, num_frames: int, seconds: float, closed: bool) -> np.ndarray:
    """(t,) shares of the motion gone by. One that does not close begins when the lead-in ends."""
    tempo, start = rng.uniform(0.6, 1.0), rng.random()
    gone = (np.arange(num_frames) - (LEAD_IN - 1)) / FPS * tempo / seconds
    return (gone + start) % 1 if closed else np.clip(gone, 0, 1)


def _perform(rng: np.random.Generator, body: Body, motion: str, phases: np.ndarray) -> np.ndarray:
    """Matrices (t, n, 4, 4) of a reference pose that turns into the motion."""
    share = entered(len(phases))
    moving = sample(body, motion, phases * body.duration(motion))
    world = to_world(body, mix(_reference(rng, body), moving, share[:, None]))
    return _turned(rng.uniform(-0.6, 0.6) * (1 - share)) @ world


def _reference(rng: np.random.Generator, body: Body) -> np.ndarray:
    """(1, n, 10): a moment of standing about, or of anything but lying dead."""
    names = sorted(name for name in body.motions if "death" not in name.lower())
    idle = [name for name in names if "idle" in name.lower()]
    names = idle if idle and rng.random() < 0.6 else names or sorted(body.motions)
    name = names[rng.integers(len(names))]
    return sample(body, name, rng.uniform(0, body.duration(name), 1))


def _turned(angle: np.ndarray) -> np.ndarray:
    """(t,) radians about the upright -> (t, 1, 4, 4)"""
    matrix = np.tile(np.eye(4), (len(angle), 1, 1, 1))
    c, s = np.cos(angle), np.sin(angle)
    matrix[:, 0, 0, 0], matrix[:, 0, 0, 2], matrix[:, 0, 2, 0], matrix[:, 0, 2, 2] = c, s, -s, c
    return matrix


def _view_of(rng: np.random.Generator, body: Body) -> float:
    """Yaw in radians: long bodies from the side, others from anywhere in front."""
    width, _, depth = np.ptp(_at_rest(body)[1], axis=0)
    least = 0.6 if depth > width else 0.0
    return rng.choice([-1, 1]) * rng.uniform(least, 1.4)


def _film(
    rng: np.random.Generator,
    body: Body,
    world: np.ndarray,
    view: tuple[float, float],
    size: int,
    label: str,
) -> Clip:
    """world: (t, n, 4, 4); view: yaw and pitch, see aim."""
    skins = [skin(body, matrices) for matrices in world]
    camera = aim(rng, *view, np.concatenate([points for points, _ in skins]))
    light = rng.uniform([-1, 0.2, 0.3], 1)  # to the right, up, towards the camera
    light = light / np.linalg.norm(light) @ camera.view
    textures = _recoloured(rng, body.textures)
    scene = np.repeat(draw_background(rng, size)[None], len(world), axis=0)
    labels = _labels(body)
    drawn, parts = zip(
        *(draw(body.mesh, textures, camera.project(p), n @ light, labels, size) for p, n in skins),
        strict=True,
    )
    drawn = np.stack(drawn) * 255
    cover = drawn[..., 3:]
    frames = drawn[..., :3] + scene * (1 - cover / 255)
    pose = _pose(body, world, camera)
    mask = np.rint(cover[..., 0]).astype(np.uint8)
    caption = describe(body.name, label)
    return Clip(np.rint(frames).astype(np.uint8), mask, scene, pose, caption, np.stack(parts))


@cache
def _labels(body: Body) -> np.ndarray:
    """(f,) which part of the body each triangle is: that which moves it most."""
    parts = np.array(parts_of(body.nodes, body.parents))[body.palette]
    of_part = np.arange(PARTS + 1) == parts[:, None]
    weights = (body.mesh.weights @ of_part)[body.mesh.triangles].sum(axis=1)
    return weights.argmax(axis=1)


def _recoloured(
    rng: np.random.Generator, textures: tuple[np.ndarray, ...]
) -> tuple[np.ndarray, ...]:
    """Half of the clips keep the artist's colours; in the others each material has its own hue."""
    if rng.random() < 0.5:
        return textures
    changed = []
    for texture in textures:
        hsv = cv2.cvtColor(texture, cv2.COLOR_RGB2HSV).astype(float)
        hsv[..., 0] = (hsv[..., 0] + rng.uniform(0, 180)) % 180
        hsv[..., 1:] *= rng.uniform(0.7, 1.2, 2)
        changed.append(cv2.cvtColor(hsv.clip(0, 255).astype(np.uint8), cv2.COLOR_HSV2RGB))
    return tuple(changed)


def _pose(body: Body, world: np.ndarray, camera: Camera) -> Pose:
    """The joints that the skeleton has, seen or hidden, as all of the drawn world are. What has no
    legs is a trunk: from its foremost bone, a neck, to its hindmost, the hips."""
    places = {j: world[:, node, :3, 3] for j, node in joint_bones(body.nodes).items()}
    names = [name.lower() for name in body.nodes]
    rest, points = _at_rest(body)
    if set(SHOULDER) <= places.keys():
        places[NECK] = (places[SHOULDER[0]] + places[SHOULDER[1]]) / 2
    elif "neck" in names:
        places[NECK] = world[:, names.index("neck"), :3, 3]
    if not set(HIP) & places.keys():
        moving = [body.nodes.index(name) for name in _moving_bones(body)]
        order = sorted(moving, key=lambda node: rest[node, 2, 3])
        places[HIP[0]] = places[HIP[1]] = world[:, order[0], :3, 3]
        places.setdefault(NECK, world[:, order[-1], :3, 3])
    joints = np.zeros((len(world), 1, 18, 3))
    for joint, place in places.items():
        joints[:, 0, joint, :2], joints[:, 0, joint, 2] = camera.project(place)[:, :2], 1
    if "head" in names and names.index("head") in body.palette:
        head = names.index("head")
        moved = world[:, head] @ np.linalg.inv(rest[head])
        own = points[body.mesh.weights[:, list(body.palette).index(head)] > 0.5]
        put_face(joints[:, 0, :, :2], *_head(own, moved, camera))
        joints[:, 0, FACE, 2] = 1
    none = lambda *shape: np.zeros((len(world), 1, *shape, 3))  # noqa: E731
    return Pose(joints, hands=none(2, 21), face=none(70), feet=none(6), aspect=1.0)


@cache
def _at_rest(body: Body) -> tuple[np.ndarray, np.ndarray]:
    """Matrices (n, 4, 4) and points (v, 3) without animation."""
    world = to_world(body, body.rest[None])[0]
    return world, skin(body, world)[0]


def _head(
    points: np.ndarray, moved: np.ndarray, camera: Camera
) -> tuple[np.ndarray, np.ndarray, float, np.ndarray]:
    """Points (v, 3) of a head at rest and how it has moved (t, 4, 4) -> what put_face asks for."""
    middle = points.mean(axis=0)
    radius = np.quantile(np.abs(points - middle)[:, 0], HEAD_SHARE)
    places = middle + radius * np.array([[0, 0, 0], [0, 1, 0], [0, 0, 1]])  # and above, and ahead
    places = np.concatenate([places, np.ones((3, 1))], axis=1)
    at = camera.project((moved[:, None] @ places[..., None])[..., :3, 0])[..., :2]  # t, 3, 2
    far = camera.project(middle + radius * np.eye(3)) - camera.project(middle)
    radius = np.linalg.norm(far[:, :2], axis=0).max()  # in the picture
    up, ahead = at[:, 1] - at[:, 0], at[:, 2] - at[:, 0]
    up = up / np.maximum(np.linalg.norm(up, axis=1, keepdims=True), 1e-9)
    turn = (ahead * np.stack([-up[:, 1], up[:, 0]], axis=1)).sum(axis=1) / radius
    return at[:, 0], up, radius, turn.clip(-1, 1)


def _sheet(clips: Triplet) -> np.ndarray:
    """uint8 RGB: the driver's frames over the truth's, every third."""
    return np.concatenate([np.hstack(clip.frames[::3]) for clip in (clips.driver, clips.truth)])


def main() -> None:
    parser = argparse.ArgumentParser(description="Draw triplets: driver above, truth below.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--count", type=int, default=4, help="seeds, from the first on")
    parser.add_argument("--split", choices=("train", "test"), default="train")
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--out", type=Path, default=Path("sheet.png"))
    args = parser.parse_args()
    seeds = range(args.seed, args.seed + args.count)
    rows = [_sheet(glb_triplet(s, args.folder, args.split, LEAD_IN + 16, args.size)) for s in seeds]
    cv2.imwrite(str(args.out), np.concatenate(rows)[..., ::-1])


if __name__ == "__main__":
    main()
