"""Real people for the eye to learn from: BlazePose, which knows them, is the teacher.

Every picture and some frames of every clip of a folder are looked at once; what BlazePose is sure
of counts, its joints and its mask, and the rest is left open. No picture is kept but in memory.
"""

from __future__ import annotations

import logging
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from ...caption.folder import PICTURES
from ...errors import InputError
from ...media import probe, read_frames, read_image, smaller, to_uint8
from ...mini.guides import part_labels, with_all_joints
from ...pose.blazepose import load_blazepose
from ...pose.subjects import DetectSettings, PoseNetworks, Subjects
from ...puppets.splits import Split
from ...skeleton import MIRRORED_JOINT

logger = logging.getLogger(__name__)

FRAMES_LOOKED_AT = 24  # of a clip, at most, evenly over it
EMPTY_FRAMES = 4  # of a clip: frames without a person that are kept as grounds, about
LONGER_SIDE = 640  # pixels that a frame is kept with
MEDIA_TEST_SHARE = 3  # one source in this many is held out
SURE_JOINT = 0.5  # confidence from which a joint of the teacher's counts
SURE_PERSON = 0.7  # the detector's score
CLEAR_MASK = (0.25, 0.75)  # of its mask: scene below, body above, open between
LEAST_SURE = 6  # joints of a body, to learn from it
UNKNOWN = -1  # in place of a label; a skeleton has none


class TaughtPerson(NamedTuple):
    """Somebody in a picture, alone as far as that can be told."""

    picture: np.ndarray  # (h, w, 3) uint8
    joints: np.ndarray  # (18, 3) x, y in pixels of it, confidence
    mask: np.ndarray  # (h, w) float32 in [0, 1]
    others: np.ndarray  # (h, w) bool: where somebody else is


class Media(NamedTuple):
    """What a folder of pictures and clips gives of one split."""

    pictures: list[np.ndarray]  # (h, w, 3) uint8, without people
    people: list[TaughtPerson]


def read_media(folder: Path, split: Split) -> Media:
    """Raises InputError without pictures or clips, or without BlazePose (`pose --download`).

    The first word of a file's name tells its source, and a source's hash its split, so that three
    copies of one clip are never apart.
    """
    files = [path for path in sorted(folder.rglob("*")) if _split_of(path) == split]
    networks = load_blazepose()
    pictures: list[np.ndarray] = []
    people: list[TaughtPerson] = []
    for path in files:
        try:
            frames = [smaller(frame, LONGER_SIDE) for frame in _frames_of(path)]
        except InputError as error:
            logger.info("left out: %s", error)
            continue
        found = [_people_in(frame, networks) for frame in frames]
        people += [person for few in found for person in few]
        empty = [frame for frame, few in zip(frames, found, strict=True) if not few]
        pictures += empty[:: max(1, len(empty) // EMPTY_FRAMES)]
    if not pictures:
        raise InputError(
            "folder of media", got=f"nothing of the {split} split in {folder}",
            need="pictures and clips that can be read", fix="Check the path.",
        )  # fmt: skip
    logger.info("%s: %d pictures and frames, %d people", folder, len(pictures), len(people))
    return Media(pictures, people)


def lesson(
    rng: np.random.Generator, person: TaughtPerson, size: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The person in a square of size pixels, turned, mirrored and placed by rng: picture
    (size, size, 3) uint8; joints (18, 2) in its pixels, not a number where the teacher is not
    sure; labels (size, size) int64, UNKNOWN where nobody knows."""
    seen = person.joints[:, 2] >= SURE_JOINT
    xy = person.joints[seen, :2]
    low, high = xy.min(axis=0), xy.max(axis=0)
    side = max(4.0, (high - low).max()) * rng.uniform(1.15, 1.9)
    middle = (low + high) / 2 + rng.uniform(-0.1, 0.1, 2) * side
    turn, scale = rng.normal(0, 5), size / side
    matrix = cv2.getRotationMatrix2D(tuple((middle - 0.5).tolist()), turn, scale)
    matrix[:, 2] += size / 2 - 0.5 - (middle - 0.5)
    mirrored = bool(rng.random() < 0.5)
    if mirrored:
        matrix[0] = -matrix[0]
        matrix[0, 2] += size - 1
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    softened = cv2.GaussianBlur(person.picture, (0, 0), 0.4 / scale) if scale < 0.7 else None
    picture = person.picture if softened is None else softened
    picture = cv2.warpAffine(picture, matrix, (size, size), flags=how, borderValue=_edge(rng))
    mask = cv2.warpAffine(person.mask, matrix, (size, size))
    others = cv2.warpAffine(person.others.astype(np.float32), matrix, (size, size)) > 0.3
    joints = person.joints.copy()
    joints[:, :2] = (joints[:, :2] - 0.5) @ matrix[:, :2].T + matrix[:, 2] + 0.5
    if mirrored:
        joints = joints[list(MIRRORED_JOINT)]
    labels = part_labels(with_all_joints(joints)[None], mask).argmax(axis=0)
    labels[(mask > CLEAR_MASK[0]) & (mask < CLEAR_MASK[1])] = UNKNOWN
    labels[others & (mask < CLEAR_MASK[1])] = UNKNOWN
    sure = joints[:, 2] >= SURE_JOINT
    return picture, np.where(sure[:, None], joints[:, :2], np.nan), labels.astype(np.int64)


def _edge(rng: np.random.Generator) -> tuple[int, int, int]:
    """What lies around a picture: one of the greys."""
    grey = int(rng.integers(256))
    return grey, grey, grey


def _split_of(path: Path) -> Split | None:
    if not path.is_file():
        return None
    source = path.stem.split("_")[0]
    # crc32, because Python's own hash changes from run to run.
    return "test" if zlib.crc32(source.encode()) % MEDIA_TEST_SHARE == 0 else "train"


def _frames_of(path: Path) -> Iterator[np.ndarray]:
    if path.suffix.lower() in PICTURES:
        yield to_uint8(read_image(path)[0])
        return
    step = max(1, -(-probe(path).num_frames // FRAMES_LOOKED_AT))
    for index, frame in enumerate(read_frames(path)):
        if index % step == 0:
            yield frame.image


def _people_in(frame: np.ndarray, networks: PoseNetworks) -> list[TaughtPerson]:
    """Those that hide nobody and are hidden by nobody much."""
    (found,) = networks.start(DetectSettings("people", SURE_PERSON, masks=True))([frame])
    height, width = frame.shape[:2]
    masks = [mask.spread(height, width).astype(np.float32) / 255 for mask in found.masks]
    return [
        TaughtPerson(frame, found.points[k, :18], masks[k], _others(masks, k))
        for k in range(len(masks))
        if _is_sure(found, k)
    ]


def _is_sure(found: Subjects, k: int) -> bool:
    return int((found.points[k, :18, 2] >= SURE_JOINT).sum()) >= LEAST_SURE


def _others(masks: list[np.ndarray], k: int) -> np.ndarray:
    rest = [mask for other, mask in enumerate(masks) if other != k]
    return np.max([np.zeros_like(masks[k]), *rest], axis=0) > CLEAR_MASK[0]
