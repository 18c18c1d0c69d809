"""The drawn world as footage, for bases whose rate is not its own: clips, poses and pictures.

Each seed gives a clip of one character and a picture of another; the clips are re-timed to the base
as any footage is.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from ..footage.listing import CLIPS_FILE, write_lines
from ..geometry import Geometry
from ..media import write_image, write_video
from ..pose.keypoints import save_keypoints
from ..puppets.triplet import triplet
from ..puppets.world import FPS

SIDE = 256  # pixels of the drawn clips and pictures


def write_puppet_footage(
    seeds: Sequence[int], geometry: Geometry, folder: Path
) -> tuple[Path, Path]:
    """As long as a pass of the base each; what is there already stays.

    Returns the list of clips and the folder of pictures, as bootstrap.footage reads them.
    """
    pictures = folder / "pictures"
    pictures.mkdir(parents=True, exist_ok=True)
    num_frames = 4 * math.ceil(geometry.num_frames / geometry.fps * FPS / 4) + 1
    rows = []
    for seed in seeds:
        name = f"{seed:07d}"
        clip, pose, picture = folder / f"{name}.mp4", folder / f"{name}.json", pictures / name
        clips = triplet(seed, "train", num_frames, SIDE)
        looks, _, _ = clips.truth.caption.partition(" is ")
        _, _, does = clips.driver.caption.partition(" is ")
        if not picture.with_suffix(".txt").exists():  # the last of the four
            write_video(clip, clips.driver.frames, FPS, overwrite=True, crf=12)
            save_keypoints(pose, clips.driver.pose, SIDE, SIDE)
            write_image(picture.with_suffix(".png"), clips.truth.frames[0], overwrite=True)
            picture.with_suffix(".txt").write_text(f"{looks}.", encoding="utf-8")
        rows.append(
            {
                "target": clip.name,
                "pose": pose.name,
                "caption": clips.driver.caption,
                "motion": f"The subject is {does}." if does else "",
            }
        )
    write_lines(folder / CLIPS_FILE, rows)
    return folder / CLIPS_FILE, pictures
