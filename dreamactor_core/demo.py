"""The demonstration: one character of the puppet world performs another's motion, both ways.

Everything goes through files, as a user's own pictures and clips would.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

from .errors import InputError
from .jobs.job import Job
from .jobs.run import animate_file
from .media import fit, read_frames, to_uint8, write_image, write_video
from .models import find
from .models.loras import choose_loras
from .options import VARIANTS
from .pose.draw import draw_pose, fit_box
from .pose.keypoints import save_keypoints
from .puppets.triplet import triplet
from .puppets.world import FPS, LEAD_IN
from .sampling import SampleSettings, Step

CELL, LABEL, COLUMNS = 256, 104, 6  # of the contact sheet: pixels, pixels, times


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
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            str(folder),
            got=f"'{error.strerror}' on making the folder",
            need="a folder you may write to",
            fix="Choose another one with --output.",
        ) from error
    reference, driving = folder / "reference.png", folder / "driving.mp4"
    keypoints, caption = folder / "keypoints.json", folder / "caption.txt"
    written, results = [reference, driving, keypoints, caption], {}
    source = find(model)
    animator = source.open()
    for variant in VARIANTS:
        animator = animator.wearing(choose_loras(source, variant, []))
        if not results:  # the first time around: the model says how large and how long
            size = animator.geometry.panel[0]
            clips = triplet(puppets, "test", animator.geometry.num_frames, size)
            driver, truth = clips.driver.frames[LEAD_IN:], clips.truth.frames[LEAD_IN:]
            pose = clips.driver.pose.map(lambda points: points[LEAD_IN:])
            write_image(reference, clips.truth.frames[0], overwrite=True)
            write_video(driving, driver, FPS, overwrite=True)
            save_keypoints(keypoints, pose, size, size)
            caption.write_text(clips.truth.caption + "\n", encoding="utf-8")
        output = folder / f"{variant.replace('-', '_')}.mp4"
        job = Job(
            reference,
            driving,
            output,
            variant,
            keypoints=keypoints if variant == "pose-based" else None,
            prompt=clips.truth.caption,
            settings=settings,
            overwrite=True,
        )
        animate_file(animator, job, on_step=on_step)
        results[variant] = [frame.image for frame in read_frames(output)]
        written.append(output)
    sheet = contact_sheet(
        {
            "reference": clips.truth.frames[:1],
            "driver": driver,
            "end-to-end": results["end-to-end"],
            "its pose": draw_pose(fit_box(pose), size, size),
            "pose-based": results["pose-based"],
            "truth": truth,
        }
    )
    write_image(folder / "contact_sheet.png", sheet, overwrite=True)
    return [*written, folder / "contact_sheet.png"]


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
