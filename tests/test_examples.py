"""The examples run, and the README shows them as they are."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from dreamactor_core.media import probe, write_image, write_video

ROOT = Path(__file__).resolve().parents[1]
EXAMPLES = sorted((ROOT / "docs" / "examples").glob("*.py"))


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_the_readme_shows_the_example_as_it_is(path):
    code = path.read_text(encoding="utf-8").partition('"""\n')[2].strip()
    assert f"```python\n{code}\n```" in (ROOT / "README.md").read_text(encoding="utf-8")


def test_a_picture_is_animated(tmp_path):
    ramp = np.linspace(0, 255, 64, dtype=np.uint8)
    picture = np.stack(np.broadcast_arrays(ramp[:, None], ramp, np.uint8(128)), axis=-1)
    write_image(tmp_path / "hero.png", picture)
    write_video(tmp_path / "dance.mp4", [picture, np.ascontiguousarray(picture[::-1]), picture], 8)
    names = [str(tmp_path / name) for name in ("hero.png", "dance.mp4", "out.mp4")]
    made = subprocess.run(
        [sys.executable, str(ROOT / "docs" / "examples" / "animate_picture.py"), *names],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert made.returncode == 0, made.stderr
    assert made.stdout == f"{names[2]}: 3 frames, 0.38 s\n"
    assert probe(Path(names[2])).num_frames == 3
