"""The entries of a keypoint file, each checked and named when it is wrong."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from ..errors import InputError
from ..skeleton import JOINTS

POINT_COUNTS = {  # key in a file: numbers of points it may hold
    "pose_keypoints_2d": (18, 25),
    "hand_left_keypoints_2d": (21,),
    "hand_right_keypoints_2d": (21,),
    "face_keypoints_2d": (70, 68),  # 68 without the pupils
    "foot_keypoints_2d": (6,),
}
MAX_PEOPLE = 100  # in a frame
MAX_ENTRIES = 500_000  # people times frames: 1.6 GB
NO_NUMBER = ("", "null", "none", "n/a", "-")
FARTHEST = 1e6  # pixels from the corner, of canvases too


def people_of(frame: object, number: int) -> list[dict[str, Any]]:
    """The people of one frame; none where it is null or empty, or says so."""
    fields: dict[str, Any] = frame if isinstance(frame, dict) else {}
    people = fields.get("people", "absent")
    unsaid = "people" not in fields and "canvas_width" in fields
    if frame in (None, {}, []) or people in (None, {}, [], False) or unsaid:
        return []
    if isinstance(people, list):
        people = [{} if person in (None, []) else person for person in people]
    if not isinstance(people, list) or not all(isinstance(person, dict) for person in people):
        raise InputError(
            f"keypoints of frame {number}",
            got="an entry without a list of people",
            need='{"people": [...], "canvas_width": ..., "canvas_height": ...}',
            fix="Save them with a pose detector for people, in OpenPose form.",
        )
    somebody = (
        k for k, person in enumerate(people, 1) if any(person.get(key) for key in POINT_COUNTS)
    )
    return people[: max(somebody, default=0)]


def check_people(people: list[list[dict[str, Any]]]) -> int:
    """The most people of a frame. Raises InputError when there are too many to be true."""
    most = max(len(group) for group in people)
    if most > MAX_PEOPLE:
        number = next(t for t, group in enumerate(people) if len(group) == most)
        raise InputError(
            f"keypoints of frame {number}",
            got=f"{most} people",
            need=f"at most {MAX_PEOPLE}",
            fix="Leave those in it who are to be followed.",
        )
    if most * len(people) > MAX_ENTRIES:
        raise InputError(
            "keypoints",
            got=f"{len(people)} frames of up to {most} people",
            need=f"at most {MAX_ENTRIES} people and frames, multiplied",
            fix="Cut the clip, or leave those in it who are to be followed.",
        )
    return most


def canvas_of(
    frames: list[dict[str, Any] | None], known: tuple[float, float] | None
) -> tuple[float, float]:
    """(width, height): the one that all frames name. known: for files in which none does."""
    canvas: Any = None
    for number, frame in enumerate(frames):
        size = tuple((frame or {}).get(name) for name in ("canvas_width", "canvas_height"))
        if size == (None, None):
            continue
        usable = all(_is_side(side) for side in size)
        if not usable or size != (canvas or size):
            raise _other_canvas(number, size, canvas if usable else None)
        canvas = size
    if canvas is None and known is None:
        raise _other_canvas(0, (None, None), None)
    return canvas or known  # type: ignore[return-value] # one of them is there


def _is_side(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 < value <= FARTHEST


def _other_canvas(number: int, got: object, need: object) -> InputError:
    return InputError(
        f"canvas_width, canvas_height of frame {number}",
        got=str(got)[:60],
        need=f"{need}, as in frame 0" if need else f"two numbers above 0, at most {FARTHEST:.0f}",
        fix="Detect the pose on frames of one size, and keep the size in the file.",
    )


def points_of(person: dict[str, Any], t: int, p: int) -> Iterator[tuple[str, np.ndarray]]:
    """(key, (n, 3)) of each part that the person has, with absent joints as zeros."""
    for key, counts in POINT_COUNTS.items():
        values = person.get(key)
        if values is None or values == []:
            continue
        try:
            flat = _array(values)
            flat = flat.ravel() if flat.ndim == 2 and flat.shape[1] == 3 else flat
        except (TypeError, ValueError, OverflowError):  # a number of hundreds of digits, too
            flat = np.zeros(0)
        if flat.shape not in [(3 * count,) for count in counts]:
            raise InputError(
                f"{key} of frame {t}, person {p}",
                got=f"{len(values)} values" if isinstance(values, list) else type(values).__name__,
                need=" or ".join(f"{3 * count}" for count in counts) + " numbers (x, y, c each)",
                fix="Save the keypoints in OpenPose form.",
            )
        yield key, _without_absent(flat.reshape(-1, 3))


def _array(values: object) -> np.ndarray:
    """Numbers of any nesting; joints that are null, and numbers that are empty words, are NaN."""
    try:
        return np.asarray(values, dtype=float)
    except (TypeError, ValueError):
        if not isinstance(values, list):
            raise
        nested = any(isinstance(value, list) for value in values)
        nothing: Any = [np.nan] * 3 if nested else np.nan
        return np.asarray([nothing if _is_nothing(one) else one for one in values], dtype=float)


def _is_nothing(value: object) -> bool:
    return value is None or (isinstance(value, str) and value.strip().lower() in NO_NUMBER)


def depth_of(person: dict[str, Any], t: int, p: int) -> np.ndarray | None:
    """(18,) of a person's body, in pixels; None for who has none."""
    values = person.get("pose_depth")
    if values is None:
        return None
    try:
        depth = np.asarray(values, dtype=float)
    except (TypeError, ValueError, OverflowError):
        depth = np.zeros(0)
    if depth.shape != (JOINTS,) or not (np.abs(depth) <= FARTHEST).all():
        raise InputError(
            f"pose_depth of frame {t}, person {p}",
            got=f"{len(values)} values" if isinstance(values, list) else type(values).__name__,
            need=f"{JOINTS} numbers, pixels from the hips away from the camera",
            fix="Leave it away, or detect the pose again with the pose command.",
        )
    return depth


def _without_absent(points: np.ndarray) -> np.ndarray:
    """Zeros for joints without a confidence or a place: tools mark them by (0, 0) or (-1, -1)."""
    x, y, confidence = points.T
    with np.errstate(invalid="ignore"):
        found = np.isfinite(points).all(axis=1) & (confidence > 0)
        found &= (np.abs(points) <= FARTHEST).all(axis=1) & ~((x == y) & (x <= 0))
    return np.where(found[:, None], points, 0)
