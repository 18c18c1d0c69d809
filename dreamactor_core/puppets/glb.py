"""A second world with ground truth: rigged bodies in three dimensions, from a folder of GLB files.

    glb_triplet(seed, folder, split)    driver and truth: the same motion on two bodies
    glb_glance(seed, folder, split)     one body at any moments of any motion

As in the drawn world (triplet.py) a clip opens on a pose of its own, moves into the motion during
the lead-in and then performs it.

    python -m dreamactor_core.puppets.glb FOLDER --seed 3 --out sheet.png
"""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
import numpy as np

from .glb_body import RiggedBody, mix, sample_animation, to_world
from .glb_film import at_rest, film
from .glb_names import cast, character_of, motion_label
from .glb_pairs import cached_glb, sample_pair
from .glb_shapes import reshape
from .splits import Split
from .world import FPS, LEAD_IN, Clip, Triplet, entered

TURNED = 0.6  # radians about the upright that a reference may be turned away from the motion


def glb_triplet(seed: int, folder: Path | str, split: Split, num_frames: int, size: int) -> Triplet:
    """The same motion on two bodies of one group, each out of its own reference pose.

    The truth is the artist's: how that body performs the motion of this name, at the driver's pace.
    num_frames counts frame 0 and the lead-in. Both are seen from one side, else they would not
    move alike in the picture; light, colours, background and place are each one's own.
    """
    rng = np.random.default_rng((seed, split == "test"))
    driver, truth, motion = sample_pair(rng, cast(Path(folder), split))
    phases = _phases(rng, num_frames, driver.duration(motion.driver), motion.closed)
    view = _view_of(rng, truth), rng.uniform(0, 0.35)
    clips = [
        film(rng, body, _perform(rng, body, name, phases), view, size, motion.label)
        for body, name in ((driver, motion.driver), (truth, motion.truth))
    ]
    return Triplet(*clips)


def glb_glance(
    seed: int,
    folder: Path | str,
    split: Split,
    num_frames: int,
    size: int,
    *,
    reshaped: bool = False,
) -> Clip:
    """One body at num_frames moments of one of its motions, turned as the reference of a triplet:
    long ones too may come towards the camera. reshaped: in proportions of its own."""
    rng = np.random.default_rng((seed, split == "test", 1))
    bodies = list(cast(Path(folder), split))
    body = cached_glb(bodies[rng.integers(len(bodies))])
    motion = sorted(body.motions)[rng.integers(len(body.motions))]
    local = sample_animation(body, motion, rng.uniform(0, body.duration(motion), num_frames))
    view = _view_of(rng, body) + rng.uniform(-TURNED, TURNED), rng.uniform(0, 0.35)
    label = motion_label(motion, {character_of(body.name)})
    world = reshape(rng, body, local) if reshaped else to_world(body, local)
    return film(rng, body, world, view, size, label)


def _phases(rng: np.random.Generator, num_frames: int, seconds: float, closed: bool) -> np.ndarray:
    """(t,) shares of the motion gone by. One that does not close begins when the lead-in ends."""
    tempo, start = rng.uniform(0.6, 1.0), rng.random()
    gone = (np.arange(num_frames) - (LEAD_IN - 1)) / FPS * tempo / seconds
    return (gone + start) % 1 if closed else np.clip(gone, 0, 1)


def _perform(
    rng: np.random.Generator, body: RiggedBody, motion: str, phases: np.ndarray
) -> np.ndarray:
    """Matrices (t, n, 4, 4) of a reference pose that turns into the motion."""
    share = entered(len(phases))
    moving = sample_animation(body, motion, phases * body.duration(motion))
    world = to_world(body, mix(_reference(rng, body), moving, share[:, None]))
    return _turned(rng.uniform(-TURNED, TURNED) * (1 - share)) @ world


def _reference(rng: np.random.Generator, body: RiggedBody) -> np.ndarray:
    """(1, n, 10): a moment of standing about, or of anything but lying dead."""
    names = sorted(name for name in body.motions if "death" not in name.lower())
    idle = [name for name in names if "idle" in name.lower()]
    names = idle if idle and rng.random() < 0.6 else names or sorted(body.motions)
    name = names[rng.integers(len(names))]
    return sample_animation(body, name, rng.uniform(0, body.duration(name), 1))


def _turned(angle: np.ndarray) -> np.ndarray:
    """(t,) radians about the upright -> (t, 1, 4, 4)"""
    matrix = np.tile(np.eye(4), (len(angle), 1, 1, 1))
    c, s = np.cos(angle), np.sin(angle)
    matrix[:, 0, 0, 0], matrix[:, 0, 0, 2], matrix[:, 0, 2, 0], matrix[:, 0, 2, 2] = c, s, -s, c
    return matrix


def _view_of(rng: np.random.Generator, body: RiggedBody) -> float:
    """Yaw in radians: long bodies from the side, others from anywhere in front."""
    width, _, depth = np.ptp(at_rest(body)[1], axis=0)
    least = 0.6 if depth > width else 0.0
    return rng.choice([-1, 1]) * rng.uniform(least, 1.4)


def _sheet(clips: Triplet) -> np.ndarray:
    """uint8 RGB: the driver's frames over the truth's, every third."""
    return np.concatenate(
        [np.hstack(list(clip.frames[::3])) for clip in (clips.driver, clips.truth)]
    )


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
