"""Pictures and clips of one's own: no truth is known, so the figures ask for none.

    pck       share of the driver's joints that are found again in the result at the right place,
              within a tenth of the trunk (PCK@0.1): the driver's motion on the bones that the
              result has, moved as a whole, for where it takes place is nobody's fault
    kept      share of the character's colours, pixel by pixel, that is still there: 1 nothing is
              torn off, 0 nothing is left
    leak      whose colours what has changed has: 0 the reference's, 1 the driver's
    seconds   of work a second of video

A figure that cannot be told is None: pck without BlazePose or where it knows nobody, kept where
nobody knows which pixels are the character's.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from itertools import product
from pathlib import Path
from statistics import fmean
from tempfile import TemporaryDirectory
from typing import NamedTuple

import cv2
import numpy as np
from scipy.ndimage import gaussian_filter

from ..errors import InputError
from ..jobs.inputs import Inputs
from ..jobs.job import Job, Report
from ..jobs.run import animate_file, read_inputs
from ..media import fit, probe, read_picture, to_frames, to_uint8
from ..media.read import read_file
from ..models import Animator
from ..pose.blazepose import load_blazepose
from ..pose.detect import detect_pose
from ..pose.ground import outline
from ..pose.keypoints import MIN_CONFIDENCE, Pose
from ..pose.reference import find_person
from ..pose.retarget import stand_as
from ..pose.subjects import DetectSettings, PoseNetworks
from ..skeleton import HIP, NECK
from .metrics import FOREGROUND, leak

logger = logging.getLogger(__name__)

FIGURES = ("pck", "kept", "leak", "seconds")
NEAR_TRUNK = 0.1  # of the trunk's length: so near a joint is at the right place
COLOUR_BINS, BIN_BLUR = 12, 0.7  # of each channel; bins that a colour is spread over
MEASURED_SIDE = 192  # pixels of the longer side on which colours are counted
LEAK_FRAMES = 5  # frames of a result whose leak is measured
SHEET_CELL, SHEET_MOMENTS = 160, 4  # pixels of a picture on the sheet; moments of a clip


class OwnPair(NamedTuple):
    reference: Path
    driver: Path


@dataclass(frozen=True)
class OwnScore:
    """What became of one pair: its figures, or the error that was told."""

    reference: str
    driver: str
    figures: dict[str, float | None]
    error: str = ""


class OwnResult(NamedTuple):
    scores: list[OwnScore]
    sheet: np.ndarray  # (h, w, 3) uint8, a row for each pair

    def table(self) -> dict:
        """{"means": {figure: mean over the pairs that have it}, "pairs": [...]}"""
        return {"means": self.means(), "pairs": [asdict(score) for score in self.scores]}

    def means(self) -> dict[str, float | None]:
        told = {name: [s.figures.get(name) for s in self.scores] for name in FIGURES}
        known = {name: [v for v in values if v is not None] for name, values in told.items()}
        return {name: fmean(values) if values else None for name, values in known.items()}

    def lines(self) -> list[str]:
        """The table for a terminal."""
        rows = [(f"{s.reference} x {s.driver}", s.figures, s.error) for s in self.scores]
        rows.append(("mean", self.means(), ""))
        width = max(len(name) for name, _, _ in rows) + 2
        lines = [" " * width + "".join(f"{name:>10}" for name in FIGURES)]
        for name, figures, error in rows:
            cells = "".join(f"{in_figures(figures.get(key)):>10}" for key in FIGURES)
            lines.append(f"{name:{width}}" + (f"  {error}" if error else cells))
        return lines


def in_figures(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def pairs_of(folder: Path) -> list[OwnPair]:
    """Every picture of a folder with every clip of it. Raises InputError without one of each."""
    pictures, clips = [], []
    for path in sorted(path for path in folder.iterdir() if path.is_file()):
        try:
            if probe(path).num_frames > 1:
                clips.append(path)
                continue
        except InputError:
            pass  # a picture, or nothing of ours
        try:
            read_picture(path)
            pictures.append(path)
        except InputError as error:
            logger.info("left out: %s", error)
    if not pictures or not clips:
        raise InputError(
            f"folder {folder}",
            got=f"{len(pictures)} pictures and {len(clips)} clips",
            need="at least one of each",
            fix="Put the pictures of characters and the clips of motions into one folder.",
        )
    return [OwnPair(picture, clip) for picture in pictures for clip in clips]


def bench_own(
    animator: Animator,
    pairs: list[OwnPair],
    job: Job,
    variant: str = "end-to-end",
    videos: Path | None = None,
    on_pair: Callable[[int], None] = lambda index: None,
) -> OwnResult:
    """Animate every pair as `job` says, whose files are not looked at, by a variant, and measure.

    Joints in a file NAME.json beside a picture are told of it; those of the pose-based variant's
    drivers are found by BlazePose. videos: a folder that keeps the results. An error of a pair is
    told in its place, and the next is made. Raises InputError for the pose-based variant without
    BlazePose.
    """
    pose_based = variant == "pose-based"
    reader = load_blazepose() if pose_based else _reader()
    poses: dict[Path, Pose] = {}
    scores, rows = [], []
    with TemporaryDirectory() as hidden:
        for index, pair in enumerate(pairs):
            name = f"{pair.reference.stem}__{pair.driver.stem}.mp4"
            keypoints = pair.reference.with_suffix(".json")
            if pose_based and pair.driver not in poses:
                poses[pair.driver] = _pose_of(pair.driver, reader)
            own = replace(
                job,
                reference=pair.reference,
                driving=pair.driver,
                output=(videos or Path(hidden)) / name,
                variant=variant,
                keypoints=poses.get(pair.driver),
                reference_keypoints=keypoints if keypoints.is_file() else None,
                overwrite=True,
            )
            score, row = _make(animator, own, reader)
            scores.append(score)
            rows.append(row)
            on_pair(index)
    return OwnResult(scores, np.concatenate(rows))


def _make(animator: Animator, job: Job, reader: PoseNetworks | None) -> tuple[OwnScore, np.ndarray]:
    assert isinstance(job.reference, Path) and isinstance(job.driving, Path)
    names = job.reference.name, job.driving.name
    try:
        inputs = read_inputs(job)
        report = animate_file(animator, job, inputs)
    except InputError as error:
        score = OwnScore(*names, dict.fromkeys(FIGURES), str(error))
        return score, _row(score, [], [], [])
    driver = [to_uint8(frame.image) for frame in inputs.frames()]
    made = [frame.image for frame in read_file(job.output)]
    score = OwnScore(*names, figures_of(inputs, driver, made, report, reader))
    return score, _row(score, [to_uint8(inputs.reference[0])], driver, made)


def figures_of(
    inputs: Inputs,
    driver: list[np.ndarray],
    made: list[np.ndarray],
    report: Report,
    reader: PoseNetworks | None,
) -> dict[str, float | None]:
    """All figures; of frames (h, w, 3) uint8, as many of the driver as were made."""
    reference = to_uint8(inputs.reference[0])
    mask = character_mask(inputs)
    pck = None
    if reader is not None and len(driver) == len(made):
        times = inputs.clip.times
        poses = [_seen(frames, times, reader) for frames in (driver, made)]
        readable = poses[1].body.shape[1] > 0 or find_person(inputs.reference[0]) is not None
        pck = found_again(*poses) if readable else None
    return {
        "pck": pck,
        "kept": None if mask is None else fmean(kept(reference, mask, frame) for frame in made),
        "leak": _leak(reference, driver, made),
        "seconds": report.seconds / max(report.duration, 1e-6),
    }


def character_mask(inputs: Inputs) -> np.ndarray | None:
    """(h, w) in [0, 1] of the reference: what was told or its alpha, a person who is found in it,
    the outline on plain ground; None if nobody knows."""
    if inputs.guides is not None and inputs.guides.mask is not None:
        return inputs.guides.mask
    person = find_person(inputs.reference[0])
    if person is not None and person.mask is not None:
        return person.mask
    return outline(to_uint8(inputs.reference[0]))


def found_again(driver: Pose, made: Pose) -> float | None:
    """PCK@0.1 of the trunk, of the first person of each; None if the driver shows nobody, 0 if
    what was made does not."""
    if not driver.body.shape[1]:
        return None
    if not made.body.shape[1]:
        return 0.0
    wanted = stand_as(driver, made).body[:, 0]
    got = made.body[:, 0]
    aspect = np.array([made.aspect, 1])
    seen, found = (joints[..., 2] >= MIN_CONFIDENCE for joints in (wanted, got))
    if not (seen & found).any():
        return 0.0
    off = (got - wanted)[..., :2] * aspect
    off = off - np.median(off[seen & found], axis=0)
    trunk = (got[:, NECK, :2] - got[:, list(HIP), :2].mean(axis=1)) * aspect
    whole = found[:, [NECK, *HIP]].all(axis=1)
    if not whole.any():
        return None
    near = NEAR_TRUNK * np.quantile(np.linalg.norm(trunk[whole], axis=1), 0.9)
    right = found & (np.linalg.norm(off, axis=-1) <= near)
    return float(right[seen].mean())


def kept(reference: np.ndarray, mask: np.ndarray, made: np.ndarray) -> float:
    """Share of the character's colours in a picture that a result has too, beside those that the
    picture's scene has; both (h, w, 3) uint8, mask (h, w) in [0, 1]."""
    inside = _smaller(mask.astype(np.float32))
    picture = _smaller(reference)
    body, scene = (_colours(picture, weights) for weights in (inside, 1 - inside))
    left = (_colours(_smaller(made), None) - scene).clip(0)
    return float(np.minimum(left, body).sum() / max(body.sum(), 1e-9))


def _colours(picture: np.ndarray, weights: np.ndarray | None) -> np.ndarray:
    """How many pixels, as a share of the picture, have each colour, softly: each pixel is shared
    out among the bins about its colour, so that one level more or less is next to no change."""
    place = (picture.reshape(-1, 3) * (COLOUR_BINS / 256) - 0.5).clip(0, COLOUR_BINS - 1)
    first = np.minimum(place.astype(int), COLOUR_BINS - 2)
    more = place - first
    shares = (1 - more, more)
    flat = np.ones(len(place)) if weights is None else weights.ravel()
    number = first @ [COLOUR_BINS**2, COLOUR_BINS, 1]
    counts = np.zeros(COLOUR_BINS**3)
    for r, g, b in product((0, 1), repeat=3):
        part = shares[r][:, 0] * shares[g][:, 1] * shares[b][:, 2] * flat
        there = number + (r * COLOUR_BINS + g) * COLOUR_BINS + b
        counts += np.bincount(there, part, len(counts))
    cube = counts.reshape((COLOUR_BINS,) * 3)
    return gaussian_filter(cube, BIN_BLUR, mode="nearest") / len(place)


def _leak(reference: np.ndarray, driver: list[np.ndarray], made: list[np.ndarray]) -> float | None:
    """Of a few frames, where they are no longer the reference."""
    height, width = made[0].shape[:2]
    still = to_frames(cv2.resize(reference, (width, height), interpolation=cv2.INTER_AREA)).numpy()
    still = _smaller(still)
    moments = np.unique(np.linspace(0, len(made) - 1, LEAK_FRAMES).round().astype(int))
    frames = np.stack([_smaller(to_frames(made[k]).numpy()) for k in moments])
    changed = frames[(np.abs(frames - still) > FOREGROUND).any(axis=-1)]
    if not len(changed):
        return None
    colours = np.concatenate(
        [
            _smaller(to_frames(driver[min(k, len(driver) - 1)]).numpy()).reshape(-1, 3)
            for k in moments
        ]
    )
    part, whole = leak(changed, still.reshape(-1, 3), colours)
    return part / whole if whole else None


def _smaller(picture: np.ndarray) -> np.ndarray:
    scale = min(1.0, MEASURED_SIDE / max(picture.shape[:2]))
    size = [max(1, round(side * scale)) for side in picture.shape[1::-1]]
    return cv2.resize(picture, size, interpolation=cv2.INTER_AREA)


def _reader() -> PoseNetworks | None:
    try:
        return load_blazepose()
    except InputError as error:
        logger.warning("pck is not measured: %s", error)
        return None


def _pose_of(clip: Path, reader: PoseNetworks | None) -> Pose:
    assert reader is not None, "the pose-based variant does not begin without"
    frames = [frame.image for frame in read_file(clip)]
    return _seen(frames, probe(clip).times, reader)


def _seen(frames: list[np.ndarray], times: tuple[float, ...], reader: PoseNetworks) -> Pose:
    return detect_pose(frames, times, reader, DetectSettings("people", max_subjects=1)).pose


def _row(
    score: OwnScore,
    reference: list[np.ndarray],
    driver: list[np.ndarray],
    made: list[np.ndarray],
) -> np.ndarray:
    """The reference, then moments of driver and result in turn, under a line of words."""
    cells = [*reference, *_moments(driver, made)]
    blank = np.full((SHEET_CELL, SHEET_CELL, 3), 255, np.uint8)
    cells = [to_uint8(fit(cell, SHEET_CELL, SHEET_CELL, 1.0)) for cell in cells]
    cells += [blank] * (1 + 2 * SHEET_MOMENTS - len(cells))
    words = np.full((18, SHEET_CELL * len(cells), 3), 255, np.uint8)
    figures = ", ".join(f"{name} {in_figures(value)}" for name, value in score.figures.items())
    text = f"{score.reference} x {score.driver}: {score.error or figures}"
    text = text.encode("ascii", "replace").decode()
    cv2.putText(words, text, (4, 13), cv2.FONT_HERSHEY_SIMPLEX, 0.42, (0, 0, 0), 1, cv2.LINE_AA)
    return np.concatenate([words, np.concatenate(cells, axis=1)])


def _moments(driver: list[np.ndarray], made: list[np.ndarray]) -> Iterator[np.ndarray]:
    for share in np.linspace(0, 1, SHEET_MOMENTS + 2)[1:-1]:
        for frames in (driver, made):
            if frames:
                yield frames[round(share * (len(frames) - 1))]
