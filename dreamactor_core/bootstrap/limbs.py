"""Do the limbs of a made video move as the driver's keypoints do? A judge that knows bodies.

The clip's keypoints are known: the video was made from them. Those of the video are looked for, by
BlazePose if it is on this machine, else by the small model's eye where it is sure of a body. A limb
that always points a little elsewhere, for another character's proportions or a reader's habit, is
forgiven: what counts is how it turns.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..bench.aw.meters.bodies import BodyReader
from ..bench.aw.meters.motion import MOST_OFF, bones
from ..bench.aw.meters.seen import SEEN_SIDE, Watched
from ..items.work import Data
from ..media import probe, read_frames, smaller
from ..pose.keypoints import Pose, load_keypoints

LEAST_SEEN = 6  # frames of a limb, seen in both: of fewer nothing is told
LEAST_TURN = 2.0  # degrees that limbs turn about their mean, on the mean: less is no motion


@dataclass(frozen=True)
class LookForLimbs:
    """The Work of a store; data: video, target, pose (paths), lead_in (frames of the video that the
    clip is ahead). Its result is "missed", as motion_missed has it."""

    def open(self) -> Callable[[Data], Data]:
        reader = BodyReader()

        def look(data: Data) -> Data:
            video, target = probe(Path(data["video"])), probe(Path(data["target"]))
            told = load_keypoints(data["pose"], (target.width, target.height))
            times = np.array(target.times) - data["lead_in"] / float(video.fps)
            frames = [smaller(frame.image, SEEN_SIDE) for frame in read_frames(video.path)]
            made = Watched(frames, np.array(video.times[: len(frames)]))
            return {"missed": motion_missed(told, times, made, reader)}

        return look


def motion_missed(told: Pose, times: np.ndarray, made: Watched, reader: BodyReader) -> float | None:
    """Degrees by which limbs turn otherwise than the driver's, over those by which the driver's
    turn: 0 in step, 1 no better than standing still, above 1 another motion.

    told: the driver's keypoints, of its first person. times: (t,) of their frames, in seconds, 0
    where the video begins. None where limbs are not found in both, or the driver's do not turn.
    """
    count = min(len(told.body), len(times))
    if not (count and told.body.shape[1] and made.frames):
        return None
    found = reader.of_clip(made.frames, made.times)
    if found is None or not found.body.shape[1]:
        return None
    shown = Watched([], times[:count]).at(made.times)  # frames of the driver, on screen together
    own, other = (_turns(pose.map(_finite)) for pose in (told.map(lambda x: x[shown]), found))
    both = ~np.isnan(own) & ~np.isnan(other)
    both &= both.sum(axis=0) >= LEAST_SEEN
    own, apart = (_about_mean(angles, both) for angles in (own, other - own))
    if not both.any() or own[both].mean() < LEAST_TURN:
        return None
    return float(apart[both].mean() / own[both].mean())


def _finite(points: np.ndarray) -> np.ndarray:
    """(..., 3): what is no number is not seen."""
    return np.where(np.isfinite(points).all(axis=-1, keepdims=True), points, 0.0)


def _turns(pose: Pose) -> np.ndarray:
    """(t, b) angles of limbs and trunk in radians; NaN where they cannot be told."""
    vectors, known = bones(pose)
    return np.where(known, np.arctan2(vectors[..., 1], vectors[..., 0]), np.nan)


def _about_mean(angles: np.ndarray, counted: np.ndarray) -> np.ndarray:
    """(t, b) radians -> how far each is from its limb's mean, in degrees, 0 to 60."""
    ways = np.where(counted, np.exp(1j * angles), 0)
    off = np.abs(np.angle(ways * ways.sum(axis=0).conj()))
    return np.minimum(np.degrees(off), MOST_OFF)
