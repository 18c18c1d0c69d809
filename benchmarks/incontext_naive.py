"""What drawers without any network would err by who knew every outline: figures to read
mini-incontext's by.

    python benchmarks/incontext_naive.py --clips 64

Of clips of the test split, each told which part of the body every pixel of the truth shows: it is
painted in the median colour of that part in the reference, or in one colour for the whole body, on
the ground of the reference with its own body filled in (OpenCV's Telea), or on the true ground.
Or it is the true body itself, some pixels from where it should be (mean of four directions): what
a body costs that is drawn to perfection and put a little wrong. Relative error as in `bench`: mean
absolute difference of the driven frames, 1 is the reference standing still.
"""

from __future__ import annotations

import argparse
import sys
from collections import defaultdict
from pathlib import Path

import cv2
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.incontext_reasons import STRANGERS, draw_clips
from dreamactor_core.puppets.world import LEAD_IN

SHIFTS = (0, 1, 2, 3)  # pixels
DRAWERS = ("one colour", "a colour for each part", "the same on the true ground", "ground alone")


def filled_ground(picture: np.ndarray, parts: np.ndarray) -> np.ndarray:
    """A picture (h, w, 3) uint8 with its body filled in; parts (h, w)."""
    hidden = cv2.dilate((parts > 0).astype(np.uint8), np.ones((3, 3), np.uint8))
    return cv2.inpaint(picture, hidden, 3, cv2.INPAINT_TELEA)


def drawn(frames: np.ndarray, parts: np.ndarray) -> dict[str, list[np.ndarray]]:
    """Every drawer's clips; frames (t, h, w, 3) uint8, parts (t, h, w)."""
    reference, shown = frames[0], parts[0]
    ground = np.broadcast_to(filled_ground(reference, shown), frames.shape)
    body = np.median(reference[shown > 0], axis=0).astype(np.uint8)
    colors = np.tile(body, (int(parts.max()) + 1, 1))
    for part in np.unique(shown[shown > 0]):
        colors[part] = np.median(reference[shown == part], axis=0)
    there = (parts > 0)[..., None]
    drawers = (
        np.where(there, body, ground),
        np.where(there, colors[parts], ground),
        np.where(there, colors[parts], frames),
        ground,
    )
    clips = {name: [clip] for name, clip in zip(DRAWERS, drawers, strict=True)}
    for pixels in SHIFTS:
        clips[f"the true body, {pixels} px off"] = [
            np.where(np.roll(there, turn, axis), np.roll(frames, turn, axis), ground)
            for axis in (1, 2)
            for turn in (-pixels, pixels)
        ]
    return clips


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clips", type=int, default=64, help="how many (64)")
    arguments = parser.parse_args(argv)
    rows = draw_clips(STRANGERS, arguments.clips, "test")
    wrong: defaultdict[str, float] = defaultdict(float)
    still = 0.0
    for frames, parts in zip(rows.frames.numpy(), rows.parts.numpy(), strict=True):
        error = lambda clip: np.abs(clip.astype(float) - frames)[LEAD_IN:].mean()  # noqa: B023, E731
        still += error(np.broadcast_to(frames[0], frames.shape))
        for name, clips in drawn(frames, parts).items():
            wrong[name] += float(np.mean([error(clip) for clip in clips]))
    for name, total in wrong.items():
        print(f"{name:<28} {total / still:.3f}")


if __name__ == "__main__":
    main()
