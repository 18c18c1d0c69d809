"""Figures that another hand drew: capsules by Pillow, with no code of the puppet world.

    python benchmarks/another_hand.py [--base mini] [--sheet PNG]

Two people in clothes of their own, four motions; each performs the other's by the end-to-end
variant, and the truth is drawn as well. Prints relative_error, as `bench puppets` does: the picture
standing still has 1.
"""

from __future__ import annotations

import argparse
import math
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image, ImageDraw

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))


from dreamactor_core.animate import animate_pass
from dreamactor_core.bench.metrics import relative_error
from dreamactor_core.media import to_frames, write_image
from dreamactor_core.models.loading import load_animator
from dreamactor_core.sampling import SampleSettings

FRAMES, SMOOTH = 16, 4  # drawn so many times larger, then made smaller
SHOWN = (2, 7, 12)


class Person(NamedTuple):
    """Lengths are shares of the height, which is one of the picture's."""

    height: float
    arm: float
    leg: float
    breadth: float  # of a limb
    head: float
    skin: str
    shirt: str
    trousers: str
    shoes: str
    scene: str


class Pose(NamedTuple):
    """Angles from straight down, outwards, in degrees: of arms and forearms, thighs and shins, each
    (right, left); how far all of it has moved, in heights."""

    arms: tuple[float, float] = (12, 12)
    forearms: tuple[float, float] = (8, 8)
    thighs: tuple[float, float] = (5, 5)
    shins: tuple[float, float] = (3, 3)
    moved: tuple[float, float] = (0, 0)


PEOPLE = {
    "tall": Person(0.74, 0.17, 0.24, 0.07, 0.085,
                   "#e8b896", "#b03a2e", "#2e4053", "#17202a", "#d6dbdf"),
    "stout": Person(0.62, 0.15, 0.2, 0.11, 0.11,
                    "#8d5a3b", "#f4d03f", "#1e8449", "#6e2c00", "#aed6f1"),
}  # fmt: skip


def walk(t: float) -> Pose:
    swing = math.sin(t)
    return Pose((30 * swing, -30 * swing), (40 * swing + 10, 10 - 40 * swing),
                (-24 * swing, 24 * swing), (-24 * swing - 8, 24 * swing - 8),
                (0.1 * t / math.pi - 0.1, -0.01 * abs(swing)))  # fmt: skip


def wave(t: float) -> Pose:
    return Pose((12, 125), (8, 165 + 25 * math.sin(2 * t)))


def dance(t: float) -> Pose:
    swing = math.sin(t)
    return Pose((80 + 40 * swing, 80 - 40 * swing), (110 + 50 * swing, 110 - 50 * swing),
                (16 + 8 * swing, 16 - 8 * swing), (6, 6), (0.05 * swing, 0))  # fmt: skip


def jump(t: float) -> Pose:
    up = max(0.0, math.sin(t))
    return Pose((20 + 110 * up,) * 2, (20 + 120 * up,) * 2, (6 + 14 * up,) * 2, (4 + 10 * up,) * 2,
                (0, -0.12 * up))  # fmt: skip


MOTIONS = {"walk": walk, "wave": wave, "dance": dance, "jump": jump}


def picture(person: Person, pose: Pose, size: int) -> np.ndarray:
    """(size, size, 3) uint8"""
    side = size * SMOOTH
    image = Image.new("RGB", (side, side), person.scene)
    draw = ImageDraw.Draw(image)
    tall = person.height * side
    ground = 0.93 * side

    def capsule(start: np.ndarray, end: np.ndarray, breadth: float, colour: str) -> None:
        radius = breadth * tall / 2
        draw.line([*start, *end], fill=colour, width=round(2 * radius))
        for x, y in (start, end):
            draw.ellipse([x - radius, y - radius, x + radius, y + radius], fill=colour)

    def ahead(start: np.ndarray, angle: float, length: float, side_of: int) -> np.ndarray:
        turn = math.radians(angle)
        return start + tall * length * np.array([side_of * math.sin(turn), math.cos(turn)])

    moved = np.array(pose.moved) * tall
    hip = np.array([side / 2, ground - 2 * person.leg * tall]) + moved
    neck = hip - np.array([0, tall * (1 - 2 * person.leg - 2 * person.head)])
    for k, side_of in enumerate((-1, 1)):
        start = hip + np.array([side_of * tall * person.breadth * 0.6, 0])
        knee = ahead(start, pose.thighs[k], person.leg, side_of)
        foot = ahead(knee, pose.shins[k], person.leg, side_of)
        capsule(start, knee, person.breadth, person.trousers)
        capsule(knee, foot, person.breadth * 0.9, person.trousers)
        capsule(
            foot, foot + np.array([side_of * tall * 0.04, 0]), person.breadth * 0.8, person.shoes
        )
    capsule(neck + np.array([0, tall * 0.08]), hip, 2.1 * person.breadth, person.shirt)
    for k, side_of in enumerate((-1, 1)):
        start = neck + np.array([side_of * tall * person.breadth * 1.1, tall * 0.05])
        elbow = ahead(start, pose.arms[k], person.arm, side_of)
        hand = ahead(elbow, pose.forearms[k], person.arm, side_of)
        capsule(start, elbow, person.breadth * 0.85, person.shirt)
        capsule(elbow, hand, person.breadth * 0.75, person.skin)
    middle, radius = neck - [0, tall * person.head * 0.9], tall * person.head
    draw.ellipse([*(middle - radius), *(middle + radius)], fill=person.skin)
    for side_of in (-1, 1):
        eye, small = middle + np.array([side_of * radius * 0.4, -radius * 0.1]), radius * 0.14
        draw.ellipse([*(eye - small), *(eye + small)], fill="black")
    smile = radius * 0.5
    draw.arc([*(middle - smile), *(middle + smile)], 30, 150, fill="black", width=2 * SMOOTH)
    return np.array(image.resize((size, size), Image.Resampling.BOX))


def clip(person: Person, motion, size: int) -> torch.Tensor:
    """(t, size, size, 3) in [0, 1]"""
    times = np.linspace(0, 2 * math.pi, FRAMES, endpoint=False)
    frames = np.stack([picture(person, motion(t), size) for t in times])
    return to_frames(frames)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--base", default="mini", help="a model with a LoRA beside it (mini)")
    parser.add_argument("--sheet", type=Path, help="PNG: reference, driver, result and truth")
    arguments = parser.parse_args()
    backbone = load_animator(arguments.base, "end-to-end").backbone
    size = backbone.geometry.panel[0]
    errors, rows = [], []
    for name, motion in MOTIONS.items():
        for who, other in (("tall", "stout"), ("stout", "tall")):
            person = PEOPLE[who]
            reference = to_frames(picture(person, Pose(), size)[None])
            driving, truth = (clip(PEOPLE[one], motion, size) for one in (other, who))
            settings = SampleSettings(num_inference_steps=1)
            made = animate_pass(backbone, reference, driving, f"a person: {name}", settings)
            errors.append(relative_error(made.numpy(), truth.numpy(), reference.numpy()))
            part, whole = errors[-1]
            print(f"{who} by {other}, {name}: {part / whole:.3f}", flush=True)
            shown = [reference[0], *(frames[k] for frames in (driving, made, truth) for k in SHOWN)]
            rows.append(np.concatenate([frame.numpy() for frame in shown], axis=1))
    part, whole = (sum(each) for each in zip(*errors, strict=True))
    print(f"all: {part / whole:.3f}")
    if arguments.sheet:
        write_image(arguments.sheet, np.concatenate(rows), overwrite=True)


if __name__ == "__main__":
    main()
