"""Keypoints of people over a clip, and the OpenPose JSON in which ComfyUI packs exchange them.

    [{"people": [{"pose_keypoints_2d": [x, y, c, x, y, c, ...], "face_keypoints_2d": ...,
                  "hand_left_keypoints_2d": ..., "hand_right_keypoints_2d": ...,
                  "foot_keypoints_2d": ...}, ...],
      "canvas_width": 512, "canvas_height": 768}, ...]          one dictionary per frame

Body joints come in OpenPose's order of 18 (0 nose, 1 neck, 2-4 right arm, 5-7 left arm, 8-10 right
leg, 11-13 left leg, 14 right eye, 15 left eye, 16 right ear, 17 left ear); files of 25 (BODY_25)
are brought to it, their foot points included. Right and left are the person's own.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..errors import InputError
from .formats import recognise

BODY_25_TO_18 = [0, 1, 2, 3, 4, 5, 6, 7, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18]
BODY_25_FEET = [19, 20, 21, 22, 23, 24]

FIELDS = {  # key in a file: numbers of points it may hold
    "pose_keypoints_2d": (18, 25),
    "hand_left_keypoints_2d": (21,),
    "hand_right_keypoints_2d": (21,),
    "face_keypoints_2d": (70, 68),  # 68 without the pupils
    "foot_keypoints_2d": (6,),
}
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

    def __post_init__(self) -> None:
        t, p = self.body.shape[:2]
        shapes = [self.body.shape, self.hands.shape, self.face.shape, self.feet.shape]
        assert shapes == [(t, p, 18, 3), (t, p, 2, 21, 3), (t, p, 70, 3), (t, p, 6, 3)], shapes

    def map(self, change: Callable[[np.ndarray], np.ndarray]) -> Pose:
        """The same change made to all four arrays."""
        return Pose(
            change(self.body), change(self.hands), change(self.face), change(self.feet), self.aspect
        )

    def points(self) -> np.ndarray:
        """Every joint in one array (t, p, 136, 3): body, left hand, right hand, face, feet."""
        hands = self.hands.reshape(*self.hands.shape[:2], 42, 3)
        return np.concatenate([self.body, hands, self.face, self.feet], axis=2)


def pose_of_points(points: np.ndarray, aspect: float) -> Pose:
    """Every joint in one array (t, p, 136, 3) -> Pose; the way back from Pose.points()."""
    body, hands, face, feet = np.split(points, [18, 60, 130], axis=2)
    return Pose(body, hands.reshape(*points.shape[:2], 2, 21, 3), face, feet, aspect)


def load_keypoints(path: Path | str) -> Pose:
    """Read one clip from a JSON file. Raises InputError when it is no keypoint file."""
    return parse_keypoints(_load_json(path))


def read_keypoints(path: Path | str) -> list[dict]:
    """The same file as a list of frames in OpenPose form, untouched. Raises InputError as above."""
    data = _load_json(path)
    parse_keypoints(data)
    return frames_of(data)


def _load_json(path: Path | str) -> object:
    path = Path(path)
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(
            "keypoint file",
            got=f"{path} ({error.strerror})",
            need="a JSON file that can be read",
            fix="Check the path.",
        ) from error
    except ValueError as error:
        raise InputError(
            f"keypoint file {path.name}",
            got=f"text that is not JSON ({error})",
            need="OpenPose JSON, one entry per frame",
            fix="Save the keypoints, not the drawn picture.",
        ) from error


def save_keypoints(path: Path | str, pose: Pose, width: int, height: int) -> None:
    """Write one clip, in pixels of a canvas of this width and height."""
    Path(path).write_text(json.dumps(dump_keypoints(pose, width, height)), encoding="utf-8")


def parse_keypoints(data: object) -> Pose:
    """Frames in OpenPose form -> Pose.

    data: a list of frames, {"frames": [...]}, or one frame alone. Coordinates may be pixels of the
        canvas or already shares of it. The number of people may change from frame to frame.
    Raises InputError naming frame, person and field when an entry has another form, and naming the
    format when it is a known one of another tool.
    """
    if other := recognise(data):
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
    people = [_people_of(frame, number) for number, frame in enumerate(data)]
    width, height = _canvas_of(data)
    shape = (len(data), max(len(group) for group in people))
    body, hands, face, feet = (
        np.zeros((*shape, *rest, 3)) for rest in ((18,), (2, 21), (70,), (6,))
    )
    for t, group in enumerate(people):
        for p, person in enumerate(group):
            points = {key: _points_of(person, key, t, p) for key in FIELDS}
            found = points["pose_keypoints_2d"]
            if len(found) == 25:
                body[t, p], feet[t, p] = found[BODY_25_TO_18], found[BODY_25_FEET]
            else:
                body[t, p, : len(found)] = found
            for side, key in enumerate(("hand_left_keypoints_2d", "hand_right_keypoints_2d")):
                hands[t, p, side, : len(points[key])] = points[key]
            face[t, p, : len(points["face_keypoints_2d"])] = points["face_keypoints_2d"]
            if len(points["foot_keypoints_2d"]):
                feet[t, p] = points["foot_keypoints_2d"]

    pose = Pose(body, hands, face, feet, aspect=width / height)
    # Pixels or shares is not written in the file. No detector puts a whole clip into the first
    # two pixels of a canvas, so coordinates that small are shares.
    in_pixels = max(width, height) > 2 and np.abs(pose.points()[..., :2]).max(initial=0) > 2
    return pose.map(lambda points: points / [width, height, 1]) if in_pixels else pose


def frames_of(data: object) -> object:
    """The list in any of the forms that parse_keypoints takes; other things as they are."""
    return data.get("frames", [data]) if isinstance(data, dict) else data


def dump_keypoints(pose: Pose, width: int, height: int) -> list[dict]:
    """Pose -> frames in OpenPose form, in pixels of a canvas of this width and height.

    A part without any joint is None, as pose detectors write it. People keep their place in the
    list: one who is absent while a later one is present stays as a person without joints.
    """
    pixels = pose.map(lambda points: points * [width, height, 1] * (points[..., 2:] > 0))
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


def _people_of(frame: object, number: int) -> list[dict]:
    people = frame.get("people") if isinstance(frame, dict) else None
    if not isinstance(people, list) or not all(isinstance(person, dict) for person in people):
        raise InputError(
            f"keypoints of frame {number}",
            got="an entry without a list of people",
            need='{"people": [...], "canvas_width": ..., "canvas_height": ...}',
            fix="Save them with a pose detector for people, in OpenPose form.",
        )
    return people


def _canvas_of(frames: list[dict]) -> tuple[float, float]:
    sizes = [(frame.get("canvas_width"), frame.get("canvas_height")) for frame in frames]
    for number, size in enumerate(sizes):
        usable = all(isinstance(side, int | float) and 0 < side < np.inf for side in size)
        if not usable or size != sizes[0]:
            raise InputError(
                f"canvas_width, canvas_height of frame {number}",
                got=size,
                need=f"{sizes[0]}, as in frame 0" if usable else "two numbers above 0",
                fix="Detect the pose on frames of one size, and keep the size in the file.",
            )
    return sizes[0]


def _points_of(person: dict, key: str, t: int, p: int) -> np.ndarray:
    """(n, 3) with missing joints as zeros; n = 0 when the person lacks this part."""
    values = person.get(key)
    if values is None or values == []:
        return np.zeros((0, 3))
    try:
        flat = np.asarray(values, dtype=float)
    except (TypeError, ValueError):
        flat = np.zeros(0)
    if flat.shape not in [(3 * count,) for count in FIELDS[key]]:
        raise InputError(
            f"{key} of frame {t}, person {p}",
            got=f"{len(values)} values" if isinstance(values, list) else type(values).__name__,
            need=" or ".join(f"{3 * count}" for count in FIELDS[key]) + " numbers (x, y, c each)",
            fix="Save the keypoints in OpenPose form.",
        )
    points = flat.reshape(-1, 3)
    found = np.isfinite(points).all(axis=1) & (points[:, 2] > 0)
    return np.where(found[:, None], points, 0)


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
    return person
