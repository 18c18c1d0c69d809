"""Scenes whose driver does not tell all: only the caption says the rest, and the truth follows it.

    arm      one arm of the driver is behind its back; the character's is up, out or down
    tail     the character has a tail, the driver has none; it is raised, level or lowered
    balloon  the character holds a balloon of some colour, or nothing, from the first second on

They are triplets like those of triplet.py, drawn from their own random numbers: who asks for them
changes nothing of the other scenes. Traits and motions keep to the split that is asked for.
"""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np

from ..skeleton import ELBOW, FOREARM, HEAD, TORSO, WRIST
from .clip import render
from .identity import Identity
from .scene import Appearance, Performance, other_rest, sample_appearance, sample_performance
from .splits import Split
from .subpixels import FIXED_POINT_BITS, fixed_point
from .world import Clip, Triplet, entered

UNTOLD = ("arm", "tail", "balloon")
TOLD_STATES = {
    "arm": ("up", "out", "down"),
    "tail": ("raised", "level", "lowered"),
    "balloon": ("red", "blue", "green", "no"),
}
ARM_ANGLES = {"up": (2.7, 0.1), "out": (1.5, 0.1), "down": (0.15, 0.1)}
BEHIND = (-0.1, -0.9)  # an arm that the torso hides
TAIL_ANGLES = {"raised": 1.1, "level": 0.1, "lowered": -0.9}  # above the horizon
BALLOONS = {"red": (215, 40, 45), "blue": (50, 80, 220), "green": (40, 165, 70)}
CALM = ("walk", "jump", "squat", "kick", "bow", "sway")  # families that leave the arms their own
HAND_SIDES = ("right", "left")


def told_triplet(
    seed: int,
    split: Split,
    num_frames: int,
    size: int,
    *,
    kind: str | None = None,
    state: str | None = None,
) -> Triplet:
    """A triplet of one of UNTOLD, with the caption on both clips.

    kind and state: in place of those that the seed draws. All else is the seed's, so the same seed
    with another state shows the same scene with another answer.
    """
    rng = np.random.default_rng((seed, split == "test", 2))
    drawn = str(rng.choice(UNTOLD))
    kind = kind or drawn
    index = int(rng.integers(12))
    state = state or TOLD_STATES[kind][index % len(TOLD_STATES[kind])]
    side = int(rng.integers(2))
    play = sample_performance(rng, split, num_frames)
    while play.keys[0].family not in CALM:
        play = sample_performance(rng, split, num_frames)
    target = sample_appearance(rng, split, size, but="quadruped")
    source = sample_appearance(rng, split, size, but="quadruped")
    others = other_rest(rng, play)
    if kind == "arm":
        return _with_arm(source, target, others, play, side, state)
    driver, truth = render(source, others, size), render(target, play, size)
    who = target.cast[0]
    if kind == "tail":
        return Triplet(driver, _said(_with_tail(truth, who, state), f"tail {state}"))
    more = f"{HAND_SIDES[side]} {who.plan.arm_noun} holding {state} balloon"
    return Triplet(driver, _said(_with_balloon(truth, side, state), more))


def _said(clip: Clip, more: str) -> Clip:
    return replace(clip, caption=f"{clip.caption}, {more}")


def _with_arm(
    source: Appearance,
    target: Appearance,
    others: Performance,
    play: Performance,
    side: int,
    state: str,
) -> Triplet:
    """Driver with an arm behind its back, and the character with its own in some place."""
    share = entered(len(play.camera))[:, None]
    size = len(target.background)
    (who,), (hider,) = target.cast, source.cast

    def moved(scene: Performance, goal: tuple[float, float]) -> Performance:
        (motion,) = scene.motions
        arms = motion.arms.copy()
        arms[:, side] = arms[0, side] * (1 - share) + np.array(goal) * share
        return replace(scene, motions=(replace(motion, arms=arms),))

    truth = render(target, moved(play, ARM_ANGLES[state]), size)
    hiding = replace(source, cast=(replace(hider, arm_behind=side),))
    driver = render(hiding, moved(others, BEHIND), size)
    more = f"{HAND_SIDES[side]} {who.plan.arm_noun} {state}"
    return Triplet(_unseen(driver, side), _unseen(_said(truth, more), side))


def _unseen(clip: Clip, side: int) -> Clip:
    """The clip with a pose that no detector finds this arm in."""
    body = clip.pose.body.copy()
    body[:, :, [ELBOW[side], WRIST[side]]] = 0
    return replace(clip, pose=replace(clip.pose, body=body))


def _with_tail(clip: Clip, who: Identity, state: str) -> Clip:
    share = entered(len(clip.frames))
    angles = TAIL_ANGLES["level"] + (TAIL_ANGLES[state] - TAIL_ANGLES["level"]) * share
    frames, mask, parts, places = _copied(clip)
    for t, angle in enumerate(angles):
        place = places[t, TORSO]
        scale = np.linalg.norm(place[:, 1]) * who.height
        way = -who.facing * np.array([np.cos(angle), 0]) + np.array([0, -np.sin(angle)])
        bend = np.array([0, -0.35 * np.sin(angle)])
        along = np.linspace(0, 1, 6)[:, None]
        line = place[:, 2] + scale * 0.42 * (along * way + along**2 * bend)
        drawn = np.zeros(mask.shape[1:], np.uint8)
        width = max(2, round(0.07 * scale))
        cv2.polylines(drawn, [fixed_point(line)], False, 255, width, cv2.LINE_AA, FIXED_POINT_BITS)
        drawn = np.minimum(drawn, 255 - mask[t])  # behind the body
        _paint(frames[t], drawn, who.accent)
        mask[t] = np.maximum(mask[t], drawn)
        parts[t][drawn > 127] = TORSO
    return replace(clip, frames=frames, mask=mask, parts=parts)


def _with_balloon(clip: Clip, side: int, state: str) -> Clip:
    if state == "no":
        return clip
    share = entered(len(clip.frames))
    frames, mask, parts, places = _copied(clip)
    size = mask.shape[1]
    for t in np.flatnonzero(share > 0.02):
        forearm, head = places[t, FOREARM[side]], places[t, HEAD]
        wrist = forearm[:, 2] + forearm[:, 0]
        middle = np.array([wrist[0] + (side - 0.5) * 0.12 * size, head[1, 2] - 0.1 * size])
        middle = middle.clip(0.1 * size, 0.9 * size)
        drawn = np.zeros(mask.shape[1:], np.uint8)
        cv2.polylines(
            drawn,
            [fixed_point(np.stack([wrist, middle]))],
            False,
            255,
            1,
            cv2.LINE_AA,
            FIXED_POINT_BITS,
        )
        radius = int(0.1 * size * share[t] * (1 << FIXED_POINT_BITS))
        cv2.circle(
            drawn, fixed_point(middle).tolist(), radius, 255, -1, cv2.LINE_AA, FIXED_POINT_BITS
        )
        _paint(frames[t], drawn, BALLOONS[state])
        mask[t] = np.maximum(mask[t], drawn)
        parts[t][drawn > 127] = FOREARM[side]
    return replace(clip, frames=frames, mask=mask, parts=parts)


def _copied(clip: Clip) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Frames, mask and parts to draw on, and the places."""
    assert clip.parts is not None and clip.places is not None, "a drawn clip"
    return clip.frames.copy(), clip.mask.copy(), clip.parts.copy(), clip.places


def _paint(frame: np.ndarray, drawn: np.ndarray, colour: tuple[int, int, int]) -> None:
    share = drawn[..., None] / 255
    frame[:] = np.rint(frame * (1 - share) + np.array(colour) * share)
