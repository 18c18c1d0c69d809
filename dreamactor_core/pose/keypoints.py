"""Keypoints of people over a clip, and the OpenPose JSON in which ComfyUI packs exchange them.

    [{"people": [{"pose_keypoints_2d": [x, y, c, x, y, c, ...], "face_keypoints_2d": ...,
                  "hand_left_keypoints_2d": ..., "hand_right_keypoints_2d": ...,
                  "foot_keypoints_2d": ..., "pose_depth": [z, ...]}, ...],
      "canvas_width": 512, "canvas_height": 768}, ...]          one dictionary per frame

Body joints come in OpenPose's order of 18 (0 nose, 1 neck, 2-4 right arm, 5-7 left arm, 8-10 right
leg, 11-13 left leg, 14 right eye, 15 left eye, 16 right ear, 17 left ear); files of 25 (BODY_25)
are brought to it, their foot points included. Right and left are the person's own. pose_depth, of
the 18, is ours: other readers leave it alone, and files may be without.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ..errors import InputError
from ..skeleton import JOINTS
from .checks import canvas_of, check_people, depth_of, people_of, points_of
from .formats import foreign_format, frames_of
from .order import steady_order
from .raw import load_json
from .sureness import scale_confidences, warn_of_nothing_to_see

BODY_25_TO_18 = [0, 1, 2, 3, 4, 5, 6, 7, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18]
BODY_25_FEET = [19, 20, 21, 22, 23, 24]

FILE_POINTS = {  # key in a file: where its points begin in Pose.points()
    "pose_keypoints_2d": 0,
    "hand_left_keypoints_2d": 18,
    "hand_right_keypoints_2d": 39,
    "face_keypoints_2d": 60,
    "foot_keypoints_2d": 130,
}
NUM_POINTS = 136
POINT_GROUPS = (slice(18), slice(18, 39), slice(39, 60), slice(60, 130), slice(130, 136))
MIN_CONFIDENCE = 0.3  # below, a joint is not drawn
FAR_OFF = 10  # canvases from the corner: what is farther (65,535 pixels) stands for an absent joint
TOO_FEW = 3  # joints of a part that do not tell by themselves in which unit they are
TIME_SLACK = 0.0015  # seconds, as in media: Matroska rounds each time to 1 ms


@dataclass(frozen=True)
class Pose:
    """Joints of up to p people in t frames.

    The last axis is (x, y, confidence): x as a share of the canvas width, y of its height, so
    [0, 1] inside the picture; confidence 0 = the joint is missing. A person who is absent from a
    frame has confidence 0 throughout.
    """

    body: np.ndarray  # (t, p, 18, 3)
    hands: np.ndarray  # (t, p, 2, 21, 3), left hand then right hand
    face: np.ndarray  # (t, p, 70, 3)
    feet: np.ndarray  # (t, p, 6, 3), left big toe, small toe, heel, then the right ones
    aspect: float  # canvas width / height
    # (t, p, 18) of the body: how far it is from the middle of the hips away from the camera, in
    # heights of the canvas; None where nobody told.
    depth: np.ndarray | None = None

    def __post_init__(self) -> None:
        t, p = self.body.shape[:2]
        shapes = [self.body.shape, self.hands.shape, self.face.shape, self.feet.shape]
        assert shapes == [(t, p, 18, 3), (t, p, 2, 21, 3), (t, p, 70, 3), (t, p, 6, 3)], shapes

    def map(self, change: Callable[[np.ndarray], np.ndarray]) -> Pose:
        """The same change made to all four arrays of points; of depth nothing is known then."""
        return Pose(
            change(self.body), change(self.hands), change(self.face), change(self.feet), self.aspect
        )

    def pick(self, choose: Callable[[np.ndarray], np.ndarray]) -> Pose:
        """Some frames or people, in any order: what choose makes of any (t, p, ...)."""
        depth = None if self.depth is None else choose(self.depth)
        return replace(self.map(choose), depth=depth)

    def points(self) -> np.ndarray:
        """Every joint in one array (t, p, 136, 3): body, left hand, right hand, face, feet."""
        hands = self.hands.reshape(*self.hands.shape[:2], 42, 3)
        return np.concatenate([self.body, hands, self.face, self.feet], axis=2)


def pose_of_points(points: np.ndarray, aspect: float) -> Pose:
    """Every joint in one array (t, p, 136, 3) -> Pose; the way back from Pose.points()."""
    body, hands, face, feet = np.split(points, [18, 60, 130], axis=2)
    return Pose(body, hands.reshape(*points.shape[:2], 2, 21, 3), face, feet, aspect)


def load_keypoints(path: Path | str, canvas: tuple[float, float] | None = None) -> Pose:
    """Read one clip from a JSON file, or from a folder of files, one a frame, as OpenPose writes.

    canvas: (width, height) of the clip, for files that do not say it. Raises InputError when there
    are no keypoints in it.
    """
    return parse_keypoints(load_json(path), canvas)


def read_keypoints(path: Path | str) -> list[dict]:
    """The same file as a list of frames in OpenPose form, untouched. Raises InputError as above."""
    data = load_json(path)
    parse_keypoints(data)
    return frames_of(data)


def save_keypoints(path: Path | str, pose: Pose, width: int, height: int) -> None:
    """Write one clip, in pixels of a canvas of this width and height."""
    Path(path).write_text(json.dumps(dump_keypoints(pose, width, height)), encoding="utf-8")


def parse_keypoints(data: object, canvas: tuple[float, float] | None = None) -> Pose:
    """Frames in OpenPose form -> Pose.

    data: a list of frames, {"frames": [...]}, or one frame alone. Coordinates may be pixels of the
        canvas or already shares of it, for each part of a person by itself. The number of people
        may change from frame to frame, and so may their order: a person keeps one place.
    canvas: (width, height), for frames that do not say it.
    A joint is absent without a confidence, and at a place that stands for none: (0, 0), (-1, -1).
    Raises InputError naming frame, person and field when an entry has another form, and naming the
    format when it is a known one of another tool. Warns when no joint is sure enough to be drawn.
    """
    if other := foreign_format(data, canvas is not None):
        raise InputError(
            "keypoints",
            got=other,
            need="OpenPose JSON with a canvas, one entry per frame (POSE_KEYPOINT)",
            fix="Save them in that form, or detect the pose again with the pose command.",
        )
    data = frames_of(data)
    if not isinstance(data, list) or not data:
        raise InputError(
            "keypoints",
            got="an empty list" if data == [] else type(data).__name__,
            need="a list with one entry per frame",
            fix="Run the pose detector on the whole driving video and save its keypoints.",
        )
    people = [people_of(frame, number) for number, frame in enumerate(data)]
    width, height = canvas_of(data, canvas)
    points = np.zeros((len(data), check_people(people), NUM_POINTS + JOINTS, 3))
    told = True
    for t, group in enumerate(people):
        for p, person in enumerate(group):
            for key, values in points_of(person, t, p):
                _put(points[t, p, :NUM_POINTS], key, values)
            depth = depth_of(person, t, p)
            told &= depth is not None or not points[t, p, :JOINTS, 2].any()
            points[t, p, NUM_POINTS:, 0] = 0 if depth is None else depth / height
    for part in POINT_GROUPS:
        _to_shares(points[:, :, part], width, height)
    points[(np.abs(points[..., :2]) > FAR_OFF).any(axis=-1)] = 0
    scale_confidences(points[..., 2])
    warn_of_nothing_to_see(points, (width, height), MIN_CONFIDENCE)
    points, depth = np.split(steady_order(points, width / height), [NUM_POINTS], axis=2)
    pose = pose_of_points(points, aspect=width / height)
    return replace(pose, depth=depth[..., 0]) if told and depth.any() else pose


def _put(person: np.ndarray, key: str, found: np.ndarray) -> None:
    """A field of a file, (n, 3), into the joints of a person, (136, 3)."""
    if key == "pose_keypoints_2d" and len(found) == 25:
        person[:18], person[130:] = found[BODY_25_TO_18], found[BODY_25_FEET]
    else:
        first = FILE_POINTS[key]
        person[first : first + len(found)] = found


def _to_shares(part: np.ndarray, width: float, height: float) -> None:
    """One part of every person, (t, p, n, 3), from pixels to shares of the canvas, in place.

    Which it is is not written in a file. No detector puts a whole clip, or a frame of more than a
    joint or two, into the first two pixels of a canvas, so coordinates that small are shares.
    """
    if max(width, height) <= 2:
        return
    for p in range(part.shape[1]):
        one = part[:, p]
        seen = one[..., 2] > 0
        far = np.where(seen, np.abs(one[..., :2]).max(axis=-1), np.nan)
        if not seen.any():
            continue
        usual = np.nanmedian(far) > 2
        pixels = [
            np.nanmedian(row) > 2 if number > TOO_FEW else usual
            for row, number in zip(far, seen.sum(axis=1), strict=True)
        ]
        one[pixels, :, :2] /= [width, height]


def dump_keypoints(pose: Pose, width: int, height: int) -> list[dict]:
    """Pose -> frames in OpenPose form, in pixels of a canvas of this width and height.

    A part without any joint is None, as pose detectors write it; without depth there is no field of
    it. People keep their place in the
    list: one who is absent while a later one is present stays as a person without joints.
    """
    pixels = pose.map(lambda points: points * [width, height, 1] * (points[..., 2:] > 0))
    pixels = replace(pixels, depth=None if pose.depth is None else pose.depth * height)
    frames = []
    for t in range(pose.body.shape[0]):
        present = np.flatnonzero(pixels.points()[t, ..., 2].any(axis=-1))
        people = [_dump_person(pixels, t, p) for p in range(present.max(initial=-1) + 1)]
        frames.append({"people": people, "canvas_width": width, "canvas_height": height})
    return frames


def check_length(pose: Pose, num_frames: int) -> None:
    """Raise InputError when the keypoints are not one entry per frame of the video."""
    if pose.body.shape[0] != num_frames:
        raise InputError(
            "keypoints",
            got=f"{pose.body.shape[0]} frames",
            need=f"{num_frames}, one for each frame of the driving video",
            fix="Detect the pose on this very clip, without skipping or cutting frames.",
        )


def retime_pose(pose: Pose, source_times: np.ndarray, fps: float, num_frames: int) -> Pose:
    """Hold the latest pose at each k / fps, as the frames of a video are re-timed.

    source_times: (t,) presentation times in seconds, rising.
    """
    check_length(pose, len(source_times))
    wanted = np.arange(num_frames) / fps + TIME_SLACK
    index = np.searchsorted(np.asarray(source_times, dtype=float), wanted, side="right") - 1
    return pose.map(lambda points: points[index.clip(min=0)])


def _dump_person(pixels: Pose, t: int, p: int) -> dict:
    parts = {
        "face_keypoints_2d": pixels.face[t, p],
        "hand_left_keypoints_2d": pixels.hands[t, p, 0],
        "hand_right_keypoints_2d": pixels.hands[t, p, 1],
        "foot_keypoints_2d": pixels.feet[t, p],
    }
    person = {"pose_keypoints_2d": pixels.body[t, p].ravel().tolist()}
    for key, points in parts.items():
        person[key] = points.ravel().tolist() if points[:, 2].any() else None
    if pixels.depth is not None:
        person["pose_depth"] = pixels.depth[t, p].tolist()
    return person
