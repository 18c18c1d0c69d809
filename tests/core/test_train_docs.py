"""docs/train.md, followed as it stands: every command of it, in its order, on a tiny base.

What is substituted, and nothing else is: BASE, by the tiny folder; the two recipes, by files of one
step and windows of 33 frames; footage of people, by drawn squares, so `prepare` is told to seek no
poses, which are drawn beside its clips, and to take small pictures; ten clips, from `bootstrap` on
by two; and panels, sampling steps and the judge's threshold, by small ones. `make-lora` is followed
by test_make_lora.py.
"""

from __future__ import annotations

import json

import numpy as np
import pytest
from accelerate.state import AcceleratorState, GradientState

from dreamactor_core.__main__ import main
from dreamactor_core.media import probe, write_image, write_video
from dreamactor_core.pose.keypoints import save_keypoints

from .clips_on_disk import WINDOW, pose_at
from .documented import documented_commands, with_substitutes
from .films import FPS, HEIGHT, WIDTH, scene
from .test_train_lora import RECIPE

CLIPS, CLIP_FRAMES = 10, 18  # so many that one is held out; 1.5 s
SMALL = ["--size", "32"]
FEWER = {  # behind the command: what makes it small
    "prepare": ["--detector", "none", "--min-side", "40", "--min-seconds", "1.4"],
    "train cache": SMALL,
    "train check": [*SMALL, "--steps", "1", "--frames", str(WINDOW)],
    "animate": [*SMALL, "--steps", "1", "--duration", "0.3"],
    "bootstrap": [*SMALL, "--steps", "1", "--threshold", "0"],
}


@pytest.fixture
def workplace(base, tmp_path, monkeypatch):
    """A folder with what the reader of the document has; what stands for BASE and the recipes."""
    monkeypatch.chdir(tmp_path)
    for folder in ("footage", "characters"):
        (tmp_path / folder).mkdir()
    for seed in range(CLIPS):
        write_video(tmp_path / "footage" / f"c{seed}.mp4", scene(seed, CLIP_FRAMES), FPS)
    (tmp_path / "walk.mp4").symlink_to("footage/c0.mp4")
    save_keypoints(tmp_path / "walk.json", _pose(), WIDTH, HEIGHT)
    for path in ("characters/robot.png", "fox.png"):
        write_image(tmp_path / path, scene(20, 1)[0])
    stands_for = {"BASE": str(base("wan-2.2-ti2v")), "--download": ""}
    for variant in ("pose-based", "end-to-end"):
        name = f"small_data_{variant.replace('-', '_')}"
        (tmp_path / f"{name}.json").write_text(
            json.dumps(RECIPE | {"variant": variant, "steps": 1, "batch_size": 1, "held_out": 1})
        )
        stands_for[name] = f"{name}.json"
    return stands_for


def _pose():
    return pose_at(np.linspace([20, 20], [40, 25], CLIP_FRAMES))


def add_poses(clips):
    """As a detector would: keypoints beside the clips, named in their list."""
    rows = [json.loads(line) for line in clips.read_text().splitlines()]
    for row in rows:
        row["pose"] = row["target"].replace(".mp4", ".json")
        save_keypoints(clips.parent / row["pose"], _pose(), WIDTH, HEIGHT)
    clips.write_text("\n".join(map(json.dumps, rows)) + "\n")


def keep_two(clips):
    """As a reader in a hurry would: the rest is the same over again."""
    clips.write_text("".join(clips.read_text().splitlines(keepends=True)[:2]))


def test_the_document_is_followed_to_the_letter(workplace, tmp_path, capsys):
    followed = []
    for command in documented_commands():
        AcceleratorState._reset_state(True)
        GradientState._reset_state()
        name = " ".join(command[: 2 if command[0] in ("train", "lora") else 1])
        if name == "make-lora":
            continue
        assert main(with_substitutes(command, workplace) + FEWER.get(name, [])) == 0, command
        followed.append(name)
        if name in ("prepare", "train check"):
            edit = add_poses if name == "prepare" else keep_two
            edit(tmp_path / "runs" / "clips" / "clips.jsonl")
    assert followed == [
        "train plan", "prepare", "train cache", "train lora", "train check", "animate",
        "lora convert", "bootstrap", "train cache", "train lora",
    ]  # fmt: skip
    assert "Nothing fits" not in capsys.readouterr().out
    assert probe(tmp_path / "fox-walks.mp4").num_frames > 0
    runs = tmp_path / "runs"
    named = [
        "clips/sheet-001.html", "clips/left-out.jsonl", "pose/lora.safetensors",
        "pose/lora-comfyui.safetensors", "pose/best.safetensors", "pose/checkpoint.pt",
        "pose/loss.csv", "pose/loss.png", "pose/steps.jsonl", "check/scores.csv",
        "pairs/sheet-001.html", "pairs/pairs.jsonl", "end-to-end/lora.safetensors",
    ]  # fmt: skip
    assert [name for name in named if not (runs / name).exists()] == []
