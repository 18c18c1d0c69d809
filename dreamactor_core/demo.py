"""The demonstration: one character of the puppet world performs another's motion, both ways.

Everything goes through files, as a user's own pictures and clips would.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from .errors import InputError
from .geometry import Geometry
from .jobs.job import Job
from .jobs.run import animate_file
from .media import fit, read_frames, to_uint8, write_image, write_video
from .models import find
from .models.loras import choose_loras
from .options import VARIANTS
from .pose.draw import draw_pose, fit_box
from .pose.keypoints import Pose, save_keypoints
from .puppets.triplet import triplet
from .puppets.world import FPS, LEAD_IN, Triplet
from .sampling import SampleSettings, Step

CELL, LABEL, COLUMNS = 256, 104, 6  # of the contact sheet: pixels, pixels, times


class Material(NamedTuple):
    """What the demonstration begins with: files, and what they were made from."""

    reference: Path
    driving: Path
    keypoints: Path
    caption: Path
    clips: Triplet
    pose: Pose  # of the driver, behind the lead-in
    size: int  # pixels a side


def run_demo(
    folder: Path,
    model: str | Path,
    settings: SampleSettings,
    puppets: int,
    on_step: Callable[[Step], None] | None = None,
) -> list[Path]:
    """Make two unseen puppets, animate one after the other by both variants, compare with truth.

    puppets: seed of the pair. Returns the files written, older ones of the same names replaced.
    Raises InputError when the folder cannot be written or the model cannot be loaded.
    """
    source = find(model)
    loras = {variant: choose_loras(source, variant, []) for variant in VARIANTS}
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            str(folder),
            got=f"'{error.strerror}' on making the folder",
            need="a folder you may write to",
            fix="Choose another one with {option}.",
            option="output",
        ) from error
    animator = source.open()
    made = _material(folder, animator.geometry, puppets)
    outputs = {variant: folder / f"{variant.replace('-', '_')}.mp4" for variant in VARIANTS}
    for variant, output in outputs.items():
        job = Job(
            made.reference,
            made.driving,
            output,
            variant,
            keypoints=made.keypoints if variant == "pose-based" else None,
            prompt=made.clips.truth.caption,
            settings=settings,
            overwrite=True,
        )
        animate_file(animator.wearing(loras[variant]), job, on_step=on_step)
    sheet = folder / "contact_sheet.png"
    write_image(sheet, contact_sheet(_sheet_rows(made, outputs)), overwrite=True)
    return [*made[:4], *outputs.values(), sheet]


def _material(folder: Path, geometry: Geometry, puppets: int) -> Material:
    """Two puppets that the model has not seen, as large and as long as it wants them, written."""
    size = geometry.panel[0]
    clips = triplet(puppets, "test", geometry.num_frames, size)
    pose = clips.driver.pose.map(lambda points: points[LEAD_IN:])
    made = Material(
        folder / "reference.png",
        folder / "driving.mp4",
        folder / "keypoints.json",
        folder / "caption.txt",
        clips,
        pose,
        size,
    )
    write_image(made.reference, clips.truth.frames[0], overwrite=True)
    write_video(made.driving, clips.driver.frames[LEAD_IN:], FPS, overwrite=True)
    save_keypoints(made.keypoints, pose, size, size)
    made.caption.write_text(clips.truth.caption + "\n", encoding="utf-8")
    return made


def _sheet_rows(
    made: Material, outputs: dict[str, Path]
) -> dict[str, np.ndarray | list[np.ndarray]]:
    """Of the contact sheet: what went in, what came out, and the truth."""
    driver, truth = made.clips.driver, made.clips.truth
    results = {name: [frame.image for frame in read_frames(path)] for name, path in outputs.items()}
    return {
        "reference": truth.frames[:1],
        "driver": driver.frames[LEAD_IN:],
        "end-to-end": results["end-to-end"],
        "its pose": draw_pose(fit_box(made.pose), made.size, made.size),
        "pose-based": results["pose-based"],
        "truth": truth.frames[LEAD_IN:],
    }


def contact_sheet(rows: dict[str, np.ndarray | list[np.ndarray]]) -> np.ndarray:
    """A labelled row for each clip, frames (h, w, 3) uint8 at even times, as one uint8 picture."""
    strips = []
    for label, frames in rows.items():
        strip = np.full((CELL + 6, LABEL + COLUMNS * (CELL + 6), 3), 255, np.uint8)
        place, font = (6, CELL // 2 + 4), cv2.FONT_HERSHEY_SIMPLEX
        cv2.putText(strip, label, place, font, 0.45, (0, 0, 0), 1, cv2.LINE_AA)
        times = np.unique(np.linspace(0, len(frames) - 1, COLUMNS).round().astype(int))
        for column, k in enumerate(times):
            cell = to_uint8(fit(frames[k], CELL, CELL))
            left = LABEL + column * (CELL + 6)
            strip[3 : 3 + CELL, left : left + CELL] = cell
        strips.append(strip)
    return np.concatenate(strips)
