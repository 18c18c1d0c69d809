"""The examples run, and the README shows them as they are."""

import runpy
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


@pytest.fixture
def example(monkeypatch):
    """Runs an example as a script, in this process, with these words behind its name."""

    def call(name, *words):
        path = ROOT / "docs" / "examples" / name
        monkeypatch.setattr(sys, "argv", [str(path), *words])
        runpy.run_path(str(path), run_name="__main__")

    return call


def test_a_picture_is_animated(example, tmp_path, capsys):
    ramp = np.linspace(0, 255, 64, dtype=np.uint8)
    picture = np.stack(np.broadcast_arrays(ramp[:, None], ramp, np.uint8(128)), axis=-1)
    write_image(tmp_path / "hero.png", picture)
    write_video(tmp_path / "dance.mp4", [picture, np.ascontiguousarray(picture[::-1]), picture], 8)
    names = [str(tmp_path / name) for name in ("hero.png", "dance.mp4", "out.mp4")]
    example("animate_picture.py", *names)
    assert capsys.readouterr().out == f"{names[2]}: 3 frames, 0.38 s\n"
    assert probe(Path(names[2])).num_frames == 3


def test_an_example_says_what_it_needs(example):
    with pytest.raises(SystemExit, match="Name three files"):
        example("animate_picture.py")
