"""People in a driving clip, followed by BlazePose without being asked for, if it is here.

every frame, 30 a second at most --> detect_pose --> whom to follow --> pose of every frame
some of them, mirrored           --> is that a person, or a drawing that is taken for one?
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from operator import itemgetter
from typing import NamedTuple

import numpy as np

from ..errors import InputError
from ..media import Frame, VideoInfo
from .blazepose import BlazePose
from .clips import SAMPLED, as_sample, likenesses
from .detect import detect_pose
from .draw import MIN_CONFIDENCE
from .keypoints import Pose, pose_of_points
from .reference import Likeness, is_like, without_hidden
from .skeletons import POINTS
from .smooth import smooth
from .subjects import DetectSettings

RATE = 30.0  # frames a second that are looked at, at most
MOST_PEOPLE = 6  # who are told apart
LEAST_SHARE = 0.2  # of the frames somebody must be in
STAYS = 0.5  # of the frames a second person must be in, to be followed too
SURELY = Likeness(0.0165, 0.0)  # the median, of people: at most, and at least
LIKELY = Likeness(0.06, 0.6)  # where nobody else knows a body


class People(NamedTuple):
    """Who was followed through a clip."""

    pose: Pose  # of every frame; nobody is ever absent
    found: int  # people who were told apart
    followed: tuple[int, ...]  # which of them, from 1: the largest and longest first
    missing: int  # frames that show nobody of them, in which the pose is held
    surely: bool  # whether they are people even if something else knows a body in the clip


def read_people(
    frames: Callable[[], Iterator[Frame]],
    clip: VideoInfo,
    networks: BlazePose,
    bodies: int = 1,
    person: int | None = None,
) -> People | None:
    """Whoever moves in a clip, if it is footage of a person; else None.

    frames: reads the clip. bodies: how many to follow, 1 or 2, if there are so many. person: whom
    to follow alone, from 1, the largest and longest first. Raises InputError if there are not that
    many.
    """
    step = max(1, round(float(clip.fps) / RATE))
    times = list(clip.times[::step])
    at = np.unique(np.linspace(0, len(times) - 1, min(SAMPLED, len(times))).round()).astype(int)
    samples: list[np.ndarray] = []

    def images() -> Iterator[np.ndarray]:
        for number, frame in enumerate(frames()):
            if number % step == 0:
                if number // step in at:
                    samples.append(as_sample(frame.image))
                yield frame.image

    found = detect_pose(images(), times, networks, DetectSettings("people", 0.5, MOST_PEOPLE))
    pose = found.pose.map(lambda points: without_hidden(points, 1, 1))
    pose = replace(pose, depth=found.pose.depth)
    present = _present(pose)
    alike = likenesses(networks, samples)
    if present.any(axis=1).mean() < LEAST_SHARE or not alike:
        return None
    likeness = Likeness(*np.median(np.array(alike), axis=0).tolist())
    surely = is_like(likeness, SURELY)
    if not (surely or is_like(likeness, LIKELY)):
        return None
    pose, followed = _chosen(pose, present, bodies, person)
    pose, held = _held(pose)
    missing = round(held * clip.num_frames / len(times))
    whole = _every_frame(pose, times, clip)
    return People(whole, present.shape[1], followed, missing, surely)


def _present(pose: Pose) -> np.ndarray:
    """(t, p) bool: who is seen in which frame."""
    return pose.body[..., 2].max(axis=2) >= np.full(1, MIN_CONFIDENCE)


def _chosen(
    pose: Pose, present: np.ndarray, bodies: int, person: int | None
) -> tuple[Pose, tuple[int, ...]]:
    """Those to be followed. Of one alone also those who relieve him, never seen beside him."""
    count = present.shape[1]
    if person is not None:
        if not 1 <= person <= count:
            raise InputError(
                "person of the driving video",
                got=person,
                need=f"1 to {count}, the people in it, the largest and longest first",
                fix="Choose one of them with {option}.",
                option="driving_person",
            )
        return pose.pick(itemgetter((slice(None), slice(person - 1, person)))), (person,)
    if bodies > 1 and count > 1 and present[:, 1].mean() >= STAYS:
        return pose.pick(itemgetter((slice(None), slice(0, 2)))), (1, 2)
    relay, there = np.zeros(len(present), int), present[:, 0].copy()
    followed = [1]
    for other in range(1, count):
        if not (present[:, other] & there).any():
            relay[present[:, other]] = other
            there |= present[:, other]
            followed.append(other + 1)
    every = np.arange(len(present))
    return pose.pick(lambda each: each[every, relay][:, None]), tuple(followed)


def _held(pose: Pose) -> tuple[Pose, int]:
    """With nobody absent: as he was last seen, or first. And in how many frames nobody was seen."""
    present = _present(pose)
    every = np.arange(len(present))
    index = np.zeros(present.shape, int)
    for p in range(present.shape[1]):
        seen = np.flatnonzero(present[:, p])
        last = np.searchsorted(seen, every, side="right") - 1
        index[:, p] = seen[last.clip(min=0)]
    people = np.arange(present.shape[1])
    return pose.pick(lambda each: each[index, people]), int((~present.any(axis=1)).sum())


def pose_between(body: np.ndarray, times: Sequence[float], clip: VideoInfo) -> Pose:
    """One body (n, 18, 3), in shares of the clip, told at times -> of every frame of the clip: on
    straight lines between where each joint is seen, and smoothed. A joint that is never seen stays
    so."""
    wanted, joints = np.array(clip.times), np.zeros((clip.num_frames, 1, *body.shape[1:]))
    for joint in range(body.shape[1]):
        seen = body[:, joint, 2] >= MIN_CONFIDENCE
        if seen.any():
            at = np.asarray(times)[seen]
            told = body[seen, joint].T
            joints[:, 0, joint] = np.stack([np.interp(wanted, at, each) for each in told], axis=1)
    points = np.zeros((clip.num_frames, 1, POINTS, 3))
    points[:, :, : body.shape[1]] = joints
    return smooth(pose_of_points(points, clip.width / clip.height), clip.times)


def _every_frame(pose: Pose, times: list[float], clip: VideoInfo) -> Pose:
    index = (np.searchsorted(times, np.array(clip.times) + 1e-6, side="right") - 1).clip(min=0)
    return pose.pick(lambda each: each[index])
