"""The graph that `make-lora` hands over, posted to a real ComfyUI with the files of its job.

Runs when COMFYUI_DIR names a ComfyUI, as test_server_host.py does. The job is done by the command
line in the tests' own Python, on a tiny base of the real classes. Two things of the graph are
changed: fewer steps, and drawn squares, in which no detector finds people, bring their keypoints.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import av
import numpy as np
import pytest

from .real_server import ALIKE, FOLDERS, ROOT, comfyui_from_environment, running_server

HOST = comfyui_from_environment()
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(HOST is None, reason="COMFYUI_DIR is not set: the graph was not posted"),
]
STEPS = 4  # of sampling; the model's own 50 say no more on random weights
RECIPE = {
    "lora": {"rank": 2, "alpha": 2}, "steps": 2, "batch_size": 1, "learning_rate": 1e-2,
    "held_out": 0, "save_steps": 2, "cache": {"shortest": 33, "longest": 33, "variants": 1},
}  # fmt: skip
MATERIAL = """
import sys
from pathlib import Path
from tests.core.clips_on_disk import write_clips
from tests.core.full_size import full_size_folder
name, base, clips = sys.argv[1:]
full_size_folder(name, Path(base))
Path(clips).mkdir()
write_clips(Path(clips), 2)
"""


@pytest.fixture(scope="module")
def comfyui(tmp_path_factory) -> Path:
    """A base directory without models."""
    folder = tmp_path_factory.mktemp("comfyui")
    for name in FOLDERS:
        (folder / name).mkdir()
    return folder


def python(*arguments: object) -> None:
    command = [sys.executable, *map(str, arguments)]
    done = subprocess.run(command, cwd=ROOT, env=ALIKE, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def job_of(name: str, folder: Path, base: Path) -> Path:
    """A finished job on the tiny base of this name, which is written to `base`."""
    out, clips = folder / "fox", folder / "clips"
    python("-c", MATERIAL, name, base, clips)
    recipes = []
    for variant in ("pose-based", "end-to-end"):
        path = folder / f"{variant}.json"
        path.write_text(json.dumps(RECIPE | {"variant": variant}))
        recipes += [f"--{variant.replace('-based', '')}-recipe", path]
    few = ["--size", 32, "--sampling-steps", 1, "--frames", 33, "--threshold", 0, "--looks", 1]
    command = ["make-lora", clips / "clips.jsonl", "--base", base, "--out", out]
    python("-m", "dreamactor_core", *command, *few, *recipes)
    return out


@pytest.mark.parametrize("name", ["hunyuanvideo-1.5", "wan-2.2-a14b"])
def test_the_graph_makes_two_videos_with_the_files_of_the_job(comfyui, tmp_path, name):
    out = job_of(name, tmp_path, comfyui / "models" / "dreamactor" / name)
    loras = sorted(out.glob("fox-*.safetensors"))
    assert len(loras) == (4 if name == "wan-2.2-a14b" else 2)
    (comfyui / "models" / "loras").mkdir(exist_ok=True)
    for file in loras:
        shutil.copy(file, comfyui / "models" / "loras")
    for file in (out / "fox-reference.png", out / "fox-driving.mp4"):
        shutil.copy(file, comfyui / "input")
    graph = json.loads((out / "graph.json").read_text())
    kinds = {key: node["class_type"] for key, node in graph.items()}
    shutil.copy(tmp_path / "clips" / "clip1.json", comfyui / "input")
    for key, kind in kinds.items():
        if kind == "DreamActorAnimate":
            graph[key]["inputs"]["steps"] = STEPS
        elif kind == "DreamActorDetectPose":
            poses = {"class_type": "DreamActorLoadPose", "inputs": {"file": "clip1.json"}}
            graph[key] = poses
    with running_server(*HOST, comfyui) as server:
        outcome = server.run(graph)
        assert outcome.kind == "execution_success", f"{outcome.last}\n{server.log_tail()}"
        saves = [key for key, kind in kinds.items() if kind == "SaveVideo"]
        assert len(saves) == 2
        for key in saves:
            (shown,) = outcome.outputs[key]["images"]
            with av.open(str(server.fetch(shown, tmp_path))) as video:
                frames = list(video.decode(video=0))
            assert (frames[0].height, frames[0].width) == (24, 32)  # of 48 x 64, in panels of 32
            assert len(frames) == 69 and not np.array_equal(
                *(frame.to_ndarray(format="rgb24") for frame in (frames[0], frames[-1]))
            )
