"""People, their joints and their masks by BlazePose (Bazarevsky et al., 2020), fast on one core.

    frame --> detector --> middle and size of each person --> square about them --> landmarker
                             the next frame's square <-- landmarks 33, 34 <-- 39 landmarks, a mask

The landmarker sees a square of the frame, turned so that the person stands upright in it. Who was
found in one frame is looked for in the next at the place that their own landmarks tell; the
detector looks at every frame for those who are not followed yet. Numbers are those of the graphs
published with the networks (mediapipe 0.10, modules pose_detection and pose_landmark).

One thing is ours. Who leans may be taken for his own mirror image, left for right and front for
back, for some frames. Where somebody's joints leap, the landmarker looks again at squares that are
turned less, and what lies nearest to the frame before is believed.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from ..errors import InputError
from ..options import BLAZEPOSE
from ..skeleton import JOINTS
from .blazepose_files import FILES, blazepose_folder
from .skeletons import POINTS, depth_of_body, to_points
from .subjects import PERSON, Cutout, DetectSettings, Find, Subjects, area, warp_matrix
from .tflite import Network, open_tflite

DETECTOR_SIDE, LANDMARKER_SIDE = 224, 256  # pixels
CELLS = ((8, 2), (16, 2), (32, 6))  # pixels of a cell of the detector, guesses in each
SAME_GUESS = 0.3  # guesses that overlap more (intersection / union) are one person
SAME_SQUARE = 0.5  # a detected square that overlaps a followed one more is that person
SAME_JOINTS = 0.04  # of a square's side: poses that lie nearer on the whole are one person
SAME_MASK = 0.5  # so are two whose masks overlap more (intersection / union)
PRESENT = 0.5  # the landmarker's own score from which there is a person in its square
MARGIN = 1.25  # the square's side is this much larger than the circle about the person
LEAP = 0.04  # of the square's side: joints that moved further on the whole are looked at again
SECOND_TURNS = (0.5, 0.0)  # of the square's own turn, for that second look
SETTLED = 0.5  # of the way from its old square to its new one a followed person's square goes
GRID = 128  # steps of such a square's corners in its side, about
HEATMAP_REACH = (
    4  # cells to each side of a landmark, over which its heatmap is averaged, fading out
)
SURE_CELL = (0.4, 0.6)  # highest value of a heatmap: not believed at all, and wholly
HALF = 127  # of a mask
BOXED = 0.3  # confidence from which a joint counts for a person's box


class Person(NamedTuple):
    score: float
    joints: np.ndarray  # (33, 3) x, y in pixels of the frame, confidence
    depth: np.ndarray  # (33,) in the same pixels, from the middle of the hips away from the camera
    square: np.ndarray  # (2, 3) where to look in the next frame, as Cutout.place
    mask: Cutout


class BlazePose(NamedTuple):
    detector: Network
    landmarker: Network

    @property
    def sees(self) -> str:
        return "people"

    def start(self, settings: DetectSettings) -> Find:
        """A search through one clip. Raises InputError when animals are wanted."""
        if settings.subjects == "animals":
            raise InputError(
                "detector",
                got=f"{BLAZEPOSE}, which knows people only",
                need="one that knows animals",
                fix="Choose PekingU/rtdetr_r50vd_coco_o365 with ViTPose, or follow people.",
            )
        followed: list[Person] = []

        def find(images: list[np.ndarray]) -> list[Subjects]:
            found = []
            for image in images:
                followed[:] = self._people(image, followed, settings)
                found.append(_found(followed, image.shape, settings.masks))
            return found

        return find

    def _people(
        self, image: np.ndarray, followed: list[Person], settings: DetectSettings
    ) -> list[Person]:
        """At most twice max_subjects, followed ones first, then the largest."""
        people: list[Person] = []

        def add(person: Person) -> None:
            if person.score >= PRESENT and not any(_same(person, one) for one in people):
                people.append(person)

        for person in followed:
            add(self._again(image, person))
        detected = sorted(self.detect(image, settings.threshold), key=_side, reverse=True)
        for square in detected:
            known = any(_overlap(square, person.square) > SAME_SQUARE for person in people)
            if not known and len(people) < 2 * settings.max_subjects:
                add(self.landmarks(image, square))
        return people

    def _again(self, image: np.ndarray, before: Person) -> Person:
        """Somebody in the next frame."""
        now = self.landmarks(image, before.square)
        if now.score >= PRESENT and _gap(now, before) < LEAP:
            return now
        looks = [
            now,
            *(self.landmarks(image, _turned(before.square, turn)) for turn in SECOND_TURNS),
        ]
        return min(looks, key=lambda look: (look.score < PRESENT, _gap(look, before)))

    def detect(self, image: np.ndarray, threshold: float) -> list[np.ndarray]:
        """Squares (2, 3) about the people in a picture (h, w, 3) uint8, as Cutout.place."""
        height, width = image.shape[:2]
        side = max(height, width)
        frame = np.array([[side, 0, (width - side) / 2], [0, side, (height - side) / 2]])
        answer = self.detector(_crop(image, frame, DETECTOR_SIDE) * 2 - 1)
        scores = _sigmoid(answer["Identity_1"][0, :, 0])
        likely = scores >= threshold
        guesses = answer["Identity"][0, likely] / DETECTOR_SIDE  # middle, size, four points
        guesses[:, [0, 1, *range(4, 12)]] += np.tile(ANCHORS[likely], 5)
        people = _merged(guesses, scores[likely])
        points = people[:, 4:8].reshape(-1, 2, 2) @ frame[:, :2].T + frame[:, 2]
        return [square_about(middle, top) for middle, top in points]

    def landmarks(self, image: np.ndarray, square: np.ndarray) -> Person:
        """Who is in a square (2, 3) of a picture (h, w, 3) uint8."""
        answer = self.landmarker(_crop(image, square, LANDMARKER_SIDE))
        raw = answer["Identity"].reshape(-1, 5)  # x, y, depth in its pixels; visible, present
        xy = _refined(raw[:, :2] / LANDMARKER_SIDE, answer["Identity_3"][0])
        xy = xy @ square[:, :2].T + square[:, 2]
        joints = np.column_stack([xy, _sigmoid(raw[:, 3])])[:33]
        mask = (255 * _sigmoid(answer["Identity_2"][0, ..., 0])).round().astype(np.uint8)
        score = float(answer["Identity_1"].squeeze())
        depth = raw[:33, 2] / LANDMARKER_SIDE * _side(square)
        return Person(score, joints, depth, _onward(square, xy[33], xy[34]), Cutout(mask, square))


def load_blazepose(
    source: Path | None = None, *, download: bool = False, runtime: str | None = None
) -> BlazePose:
    """The networks, from where blazepose_folder finds them; runtime as in open_tflite."""
    folder = blazepose_folder(source, download)
    return BlazePose(*(open_tflite(folder / name, runtime) for name in FILES))


def square_about(middle: np.ndarray, top: np.ndarray) -> np.ndarray:
    """(2, 3), as Cutout.place: the square with this middle (2,) whose upper side faces top (2,)."""
    up = MARGIN * (top - middle)
    down, right = -2 * up, 2 * np.array([-up[1], up[0]])
    return np.column_stack([right, down, middle - (right + down) / 2])


def _anchors() -> np.ndarray:
    """(2254, 2): middles of the detector's cells as shares, each as often as it has guesses."""
    rows = []
    for cell, guesses in CELLS:
        count = DETECTOR_SIDE // cell
        y, x = (np.mgrid[:count, :count] + 0.5) / count
        rows.append(np.repeat(np.stack([x.ravel(), y.ravel()], axis=1), guesses, axis=0))
    return np.concatenate(rows)


ANCHORS = _anchors()


def _merged(guesses: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """(n, 12) -> (people, 12): overlapping guesses averaged by their scores, the best first."""
    order = np.argsort(-scores, kind="stable")
    guesses, scores, people = guesses[order], scores[order], []
    while len(guesses):
        half = guesses[:, 2:4] / 2
        corners = np.concatenate([guesses[:, :2] - half, guesses[:, :2] + half], axis=1)
        one = _iou(corners[0], corners) > SAME_GUESS
        one[0] = True
        people.append(np.average(guesses[one], axis=0, weights=scores[one]))
        guesses, scores = guesses[~one], scores[~one]
    return np.array(people).reshape(-1, 12)


def _refined(xy: np.ndarray, heatmaps: np.ndarray) -> np.ndarray:
    """(n, 2) shares, moved to the middle of what the heatmaps (h, w, n) show near them.

    Nothing here is decided at an edge, or a hair's breadth in a network's answer would be pixels.
    """
    height, width = heatmaps.shape[:2]
    near_x = (HEATMAP_REACH - np.abs(np.arange(width)[:, None] - xy[:, 0] * width)).clip(0, 1)
    near_y = (HEATMAP_REACH - np.abs(np.arange(height)[:, None] - xy[:, 1] * height)).clip(0, 1)
    moved = xy.copy()
    for k in range(len(xy)):
        rows, columns = np.flatnonzero(near_y[:, k]), np.flatnonzero(near_x[:, k])
        if len(rows) and len(columns):
            patch = _sigmoid(heatmaps[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1, k])
            patch = patch * near_y[rows, None, k] * near_x[columns, k]
            low, high = SURE_CELL
            trust = ((patch.max() - low) / (high - low)).clip(0, 1)
            middle = np.array([(patch @ columns).sum(), (patch.T @ rows).sum()])
            middle = middle / max(patch.sum(), 1e-9) / [width, height]
            moved[k] += trust * (middle - xy[k])
    return moved


def _found(people: list[Person], shape: tuple[int, ...], masks: bool) -> Subjects:
    people = [person for person in people if area(_box(person.joints, shape)) > 0]
    joints = np.array([person.joints for person in people]).reshape(-1, 33, 3)
    return Subjects(
        np.array([_box(one, shape) for one in joints]).reshape(-1, 4),
        np.array([person.score for person in people]),
        np.full(len(people), PERSON),
        to_points(joints, BLAZEPOSE) if people else np.zeros((0, POINTS, 3)),
        tuple(person.mask for person in people) if masks else (),
        np.array([depth_of_body(person.depth) for person in people]).reshape(-1, JOINTS),
    )


def _box(joints: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """(4,) about the joints that can be seen, cut at the edges of the picture."""
    seen = joints[:, 2] >= BOXED
    xy = joints[seen if seen.any() else slice(None), :2]
    right, bottom = shape[1], shape[0]
    return np.concatenate([xy.min(axis=0), xy.max(axis=0)]).clip(0, [right, bottom] * 2)


def _crop(image: np.ndarray, square: np.ndarray, side: int) -> np.ndarray:
    """(1, side, side, 3) float32 in [0, 1] of a square (2, 3); black outside of the picture."""
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    pixels = cv2.warpAffine(image, warp_matrix(square, side), (side, side), flags=flags)
    return pixels[None].astype(np.float32) / 255


def _side(square: np.ndarray) -> float:
    return float(np.linalg.norm(square[:, 0]))


def _overlap(square: np.ndarray, other: np.ndarray) -> float:
    """Intersection / union of two squares, as if neither were turned."""
    corners = []
    for one in (square, other):
        middle, half = one @ [0.5, 0.5, 1], _side(one) / 2
        corners.append(np.concatenate([middle - half, middle + half]))
    return float(_iou(corners[0], corners[1][None])[0])


def _iou(box: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Intersection / union of (left, top, right, bottom) with each of (n, 4)."""
    low, high = np.maximum(box[:2], others[:, :2]), np.minimum(box[2:], others[:, 2:])
    shared = (high - low).clip(0).prod(axis=1)
    areas = (others[:, 2:] - others[:, :2]).prod(axis=1)
    return shared / ((box[2:] - box[:2]).prod() + areas - shared).clip(1e-9)


def _onward(square: np.ndarray, middle: np.ndarray, top: np.ndarray) -> np.ndarray:
    """The next square, on the way from this one to that about (middle, top), in steps of a grid.

    So what rests is seen through the same square, and two runtimes stay together.
    """
    step = 2.0 ** np.floor(np.log2(max(_side(square), 1))) / GRID
    points = []
    for old, new in ((square @ [0.5, 0.5, 1], middle), (_top(square), top)):
        points.append(((old + SETTLED * (new - old)) / step).round() * step)
    return square_about(*points)


def _top(square: np.ndarray) -> np.ndarray:
    """The point that square_about was told."""
    return square @ [0.5, 0.5, 1] - square[:, 1] / 2 / MARGIN


def _turned(square: np.ndarray, share: float) -> np.ndarray:
    """The same square, leaning by a share of what it leaned."""
    middle = square @ [0.5, 0.5, 1]
    up = _top(square) - middle
    lean = share * np.arctan2(up[0], -up[1])
    return square_about(middle, middle + np.hypot(*up) * np.array([np.sin(lean), -np.cos(lean)]))


def _same(person: Person, other: Person) -> bool:
    """Whether two looks saw one body."""
    if _gap(person, other) < SAME_JOINTS:
        return True
    into = np.linalg.inv(np.vstack([person.mask.place, [0, 0, 1]]))[:2]
    side = len(person.mask.values)
    place = into @ np.vstack([other.mask.place, [0, 0, 1]]) * side
    one, two = person.mask.values > HALF, Cutout(other.mask.values, place).spread(side, side) > HALF
    return bool((one & two).sum() > SAME_MASK * (one | two).sum())


def _gap(person: Person, other: Person) -> float:
    """Of two poses the mean distance between joints, in sides of the larger square."""
    gap = np.linalg.norm(person.joints[:, :2] - other.joints[:, :2], axis=1).mean()
    return float(gap) / max(_side(person.square), _side(other.square))


def _sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-np.clip(x, -80, 80)))
