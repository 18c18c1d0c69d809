"""python docs/examples/animate_picture.py knight.png dance.mp4 knight_dances.mp4"""

import sys
from pathlib import Path

from dreamactor_core.jobs.job import Job
from dreamactor_core.jobs.run import animate_file
from dreamactor_core.models import find
from dreamactor_core.models.loras import choose_loras


def animate_picture(reference: Path, driving: Path, output: Path) -> None:
    """Write a video of the reference's character that moves as the driving video does."""
    source = find("mini")  # or the folder of a full-size model; only headers are read so far
    loras = choose_loras(source, "end-to-end", [])  # the one beside the model, or files of yours
    animator = source.open().wearing(loras)
    report = animate_file(animator, Job(reference, driving, output))
    print(f"{report.output}: {report.frames} frames, {report.duration:.2f} s")


if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.exit("Name three files: a picture, a video, and the video to write.")
    animate_picture(*map(Path, sys.argv[1:]))
