"""The pack in a real ComfyUI, over HTTP and its websocket, against what the core makes alone.

Runs when COMFYUI_DIR names a ComfyUI; COMFYUI_PYTHON is its Python (by default the tests' own).
"""

from __future__ import annotations

import copy
import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from .real_server import (
    ALIKE,
    FOLDERS,
    ROOT,
    Outcome,
    RefusedError,
    Server,
    comfyui_from_environment,
    running_server,
)

HOST = comfyui_from_environment()
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        HOST is None,
        reason="COMFYUI_DIR is not set: nothing was tried on a real ComfyUI server",
    ),
]
TWINS = ROOT / "tests" / "nodes" / "api"
START, VARIANTS = "Start here (3 nodes)", ("end-to-end", "pose-based")
SENTENCES = re.compile(r".+: got .+, need .+\. .+\.")  # what InputError says
FILES = {
    "image": {"class_type": "LoadImage", "inputs": {"image": "reference.png"}},
    "video": {"class_type": "LoadVideo", "inputs": {"file": "driving.mkv"}},
}


@pytest.fixture(scope="module")
def base(tmp_path_factory) -> Path:
    """A base directory with pictures, clips, models, and the core's own answers."""
    folder = tmp_path_factory.mktemp("comfyui")
    for name in FOLDERS:
        (folder / name).mkdir()
    python(["-m", "tests.nodes.material", str(folder)])
    return folder


@pytest.fixture(scope="module")
def server(base) -> Iterator[Server]:
    with running_server(*HOST, base) as server:
        yield server


def python(arguments: list[str]) -> None:
    """Run ComfyUI's Python in the repository."""
    done = subprocess.run(
        [HOST[1], *arguments], cwd=ROOT, env=ALIKE, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


def twin(name: str) -> dict:
    return json.loads((TWINS / f"{name}.json").read_text(encoding="utf-8"))


def node(prompt: dict, kind: str) -> str:
    """The id of the one node of a kind."""
    (found,) = (key for key, one in prompt.items() if one["class_type"] == kind)
    return found


def changed(prompt: dict, kind: str, /, **inputs: object) -> dict:
    """The same prompt with other inputs at the one node of a kind."""
    prompt = copy.deepcopy(prompt)
    prompt[node(prompt, kind)]["inputs"].update(inputs)
    return prompt


def from_files(base: Path) -> dict:
    """Start here, with a picture, a clip and a prompt of one's own."""
    prompt = twin(START) | copy.deepcopy(FILES)
    del prompt[node(prompt, "DreamActorExample")]
    return changed(
        prompt,
        "DreamActorAnimate",
        reference=["image", 0],
        driving=["video", 0],
        prompt=(base / "caption.txt").read_text(),
        fps=8.0,
    )


def after(prompt: dict, first: str) -> set[str]:
    """The node and everything that follows from it."""
    found = {first}
    while more := {
        key
        for key, one in prompt.items()
        if key not in found
        and any(isinstance(value, list) and value[0] in found for value in one["inputs"].values())
    }:
        found |= more
    return found


def run(server: Server, prompt: dict) -> Outcome:
    outcome = server.run(prompt)
    assert outcome.kind == "execution_success", f"{outcome.last}\n{server.log_tail()}"
    return outcome


def saved(server: Server, prompt: dict, outcome: Outcome, folder: Path) -> Path:
    """The video that Save Video wrote."""
    (shown,) = outcome.outputs[node(prompt, "SaveVideo")]["images"]
    return server.fetch(shown, folder)


def decoded(path: Path) -> tuple[np.ndarray, list[float]]:
    """Frames (t, h, w, 3) uint8, and their times in seconds."""
    with av.open(str(path)) as video:
        frames = list(video.decode(video=0))
    return np.stack([one.to_ndarray(format="rgb24") for one in frames]), [
        one.time for one in frames
    ]


def test_the_pack_loads_without_a_word_of_complaint_and_shows_its_nodes(server):
    log = server.log_tail(100_000)
    assert "IMPORT FAILED" not in log
    assert not [line for line in log.splitlines() if "DreamActor" in line and "WARN" in line]
    known = json.loads(server.get("/object_info"))
    assert len([name for name in known if name.startswith("DreamActor")]) >= 14


def test_the_templates_are_listed_and_served_with_their_thumbnails(server):
    listed = json.loads(server.get("/workflow_templates"))["ComfyUI-DreamActor-M2"]
    assert sorted(listed) == sorted(path.stem for path in TWINS.glob("*.json"))
    for name in listed:
        folder = "/api/workflow_templates/ComfyUI-DreamActor-M2/"
        url = folder + name.replace(" ", "%20")
        assert json.loads(server.get(f"{url}.json"))["nodes"]
        assert server.get(f"{url}.jpg")[:2] == b"\xff\xd8"


@pytest.mark.parametrize("own_files", [False, True])
def test_three_nodes_make_the_very_video_of_the_command_line(server, base, tmp_path, own_files):
    prompt = from_files(base) if own_files else twin(START)
    result = saved(server, prompt, run(server, prompt), tmp_path)
    alone = tmp_path / "alone.mp4"
    python(
        [
            *("-m", "dreamactor_core", "animate", "--steps", "1", "--seed", "0"),
            *("--reference", str(base / "input" / "reference.png")),
            *("--driving", str(base / "input" / "driving.mkv")),
            *("--prompt", (base / "caption.txt").read_text(), "--output", str(alone)),
        ]
    )
    frames, times = decoded(result)
    expected, expected_times = decoded(alone)
    assert frames.shape == (16, 256, 256, 3) and times == expected_times
    assert np.array_equal(frames, expected)


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_opened_up_graph_makes_the_very_frames_of_animate_pass(server, base, tmp_path, variant):
    prompt = twin(f"DreamActor-M2 {variant}")
    frames = [node(prompt, "DreamActorDecode"), 0]
    prompt["png"] = {
        "class_type": "SaveImage",
        "inputs": {"images": frames, "filename_prefix": variant},
    }
    outcome = run(server, prompt)
    pictures = [server.fetch(one, tmp_path) for one in outcome.outputs["png"]["images"]]
    got = np.stack([np.asarray(Image.open(path).convert("RGB")) for path in pictures])
    expected = (np.load(base / f"{variant}.npy") * 255).clip(0, 255).astype(np.uint8)
    assert np.array_equal(got, expected)
    video, times = decoded(saved(server, prompt, outcome, tmp_path))
    assert times == [k / 8 for k in range(16)]
    assert np.abs(video.astype(int) - expected).mean() < 6  # H.264


def test_queued_twice_nothing_runs_again(server):
    prompt = twin("DreamActor-M2 end-to-end")
    run(server, prompt)
    again = run(server, prompt)
    assert again.cached == set(prompt) and again.ran == []


def test_another_seed_runs_the_sampler_and_what_follows(server):
    prompt = twin("DreamActor-M2 end-to-end")
    run(server, prompt)
    other = run(server, changed(prompt, "DreamActorSampler", seed=5))
    follow = after(prompt, node(prompt, "DreamActorSampler"))
    assert set(other.ran) == follow and other.cached == set(prompt) - follow


def test_cancel_stops_within_a_step_and_the_next_prompt_runs(server):
    prompt = twin("DreamActor-M2 end-to-end")
    long = changed(prompt, "DreamActorSampler", steps=150, seed=6)
    steps: list[int] = []

    def on_message(kind: str, data: dict) -> None:
        if kind == "progress" and data["node"] == node(prompt, "DreamActorSampler"):
            steps.append(data["value"])
            if data["value"] == 3:
                server.post("/interrupt", {})

    outcome = server.wait(server.queue(long), on_message)
    assert outcome.kind == "execution_interrupted"
    assert 3 in steps and max(steps) <= 5  # one step under way, one told of while we spoke
    run(server, changed(prompt, "DreamActorSampler", seed=7))


def test_cancel_stops_the_one_node_too(server):
    prompt = changed(twin(START), "DreamActorAnimate", steps=150, seed=6)
    heard: list[int] = []

    def on_message(kind: str, data: dict) -> None:
        if kind == "progress" and data["node"] == node(prompt, "DreamActorAnimate"):
            heard.append(data["value"])
            if len(heard) == 3:
                server.post("/interrupt", {})

    assert server.wait(server.queue(prompt), on_message).kind == "execution_interrupted"
    assert len(heard) <= 5
    run(server, twin(START))


def test_a_server_that_is_killed_goes_on_with_the_passes_that_it_had(tmp_path):
    """And gives the very file of a run that nobody stopped."""
    prompt = twin(START)
    example = node(prompt, "DreamActorExample")
    repeated = {"image": [example, 1], "amount": 3}  # three passes
    prompt["x"] = {"class_type": "RepeatImageBatch", "inputs": repeated}
    prompt = changed(prompt, "DreamActorAnimate", driving=["x", 0], painter="network", size=64)
    base = tmp_path / "comfyui"

    def kept() -> list[Path]:
        return list(base.glob("user/__dreamactor/passes/.animate-*.passes/*.safetensors"))

    with running_server(*HOST, base) as server:

        def kill(*_) -> None:
            if kept():
                server.process.kill()

        with pytest.raises((AssertionError, OSError)):
            server.wait(server.queue(prompt), kill)
        assert len(kept()) in (1, 2)
    with running_server(*HOST, base) as server:
        resumed = saved(server, prompt, run(server, prompt), tmp_path).read_bytes()
        assert "pass 1: taken from a run that was stopped" in server.log_tail(100_000)
        assert not kept()
        server.post("/free", {"free_memory": True, "unload_models": True})
        run(server, changed(prompt, "DreamActorAnimate", length=1.0))  # the node remembers that now
        again = run(server, prompt)
        assert node(prompt, "DreamActorAnimate") in again.ran
        assert saved(server, prompt, again, tmp_path).read_bytes() == resumed


def test_ten_prompts_leave_memory_flat(server, pytestconfig, capfd):
    prompt = twin("DreamActor-M2 end-to-end")
    run(server, changed(prompt, "DreamActorSampler", seed=100))  # everything is loaded
    held = [server.rss()]
    for seed in range(101, 111):
        run(server, changed(prompt, "DreamActorSampler", seed=seed))
        held.append(server.rss())
    words = f"RSS of the server in MB, after each prompt: {[size >> 20 for size in held]}"
    with capfd.disabled():
        pytestconfig.pluginmanager.get_plugin("terminalreporter").write_line(words)
    assert held[-1] - held[0] < 150 << 20


def test_both_variants_in_turn_share_the_weights_and_stay_themselves(server, tmp_path):
    """One Load Model, two LoRAs in turn: each result is that of a fresh start."""
    prompts = [twin(f"DreamActor-M2 {variant}") for variant in VARIANTS]
    seen = []
    for seed in (0, 0):
        for prompt in prompts:
            server.post("/free", {"free_memory": True})
            outcome = run(server, changed(prompt, "DreamActorSampler", seed=seed))
            seen.append(decoded(saved(server, prompt, outcome, tmp_path))[0])
    assert np.array_equal(seen[0], seen[2]) and np.array_equal(seen[1], seen[3])
    assert not np.array_equal(seen[0], seen[1])


def blank(batch: int, side: int) -> dict:
    return {
        "class_type": "EmptyImage",
        "inputs": {"width": side, "height": side, "batch_size": batch, "color": 0},
    }


def pose(file: str) -> dict:
    return {"class_type": "DreamActorLoadPose", "inputs": {"file": file}}


STAGES = "DreamActor-M2 end-to-end"
WRONG = {  # what is done: (workflow, node, its inputs, further nodes, what the message says)
    "mismatched sizes": (
        (STAGES, "DreamActorComposite", {"reference": ["x", 0]}, {"x": blank(1, 64)}),
        r"reference size.*\(64, 64\).*\(256, 256\)",
    ),
    "nothing left of the clip": (
        (STAGES, "DreamActorFitMedia", {"start": 100.0}, {}),
        r"start|seconds",
    ),
    "one frame": (
        (START, "DreamActorAnimate", {"driving": ["x", 0]}, {"x": blank(1, 256)}),
        r"got 1 frame.*need at least 2",
    ),
    "too many frames for one pass": (
        (STAGES, "DreamActorComposite", {"driving": ["x", 0]}, {"x": blank(49, 256)}),
        r"49.*16",
    ),
    "two references": (
        (START, "DreamActorAnimate", {"reference": ["x", 0]}, {"x": blank(2, 256)}),
        r"2 pictures.*need 1",
    ),
    "keypoints of another video": (
        (START, "DreamActorAnimate", {"keypoints": ["x", 0]}, {"x": pose("short.json")}),
        r"5.*16",
    ),
    "LoRA of another base": (
        (STAGES, "DreamActorLoadLora", {"lora": "stranger.safetensors"}, {}),
        r"'?other'?.*'?mini'?",
    ),
    "a deleted model file": (
        (STAGES, "DreamActorLoadModel", {"model": "broken"}, {}),
        r"broken.*need model\.json",
    ),
    "text where a number belongs": (
        (START, "DreamActorAnimate", {"seed": "seven"}, {}),
        r"seed.*(?:INT|int)",
    ),
    "a wire of another type": (
        (START, "DreamActorAnimate", {"model": ["x", 0]}, {"x": blank(1, 256)}),
        r"model.*IMAGE.*DREAMACTOR_MODEL",
    ),
    "a model outside of the folders": (
        (STAGES, "DreamActorLoadModel", {"model": "../../secret"}, {}),
        r"\.\./\.\./secret",
    ),
    "a LoRA outside of the folders": (
        (STAGES, "DreamActorLoadLora", {"lora": "/etc/passwd"}, {}),
        r"/etc/passwd",
    ),
    "keypoints outside of the folder": (
        (START, "DreamActorAnimate", {"keypoints": ["x", 0]}, {"x": pose("../short.json")}),
        r"\.\./short\.json",
    ),
}


@pytest.mark.parametrize(("wrong", "says"), WRONG.values(), ids=WRONG)
def test_a_wrong_input_is_told_in_one_sentence_and_the_queue_goes_on(server, wrong, says):
    name, kind, inputs, more = wrong
    prompt = changed(twin(name), kind, **inputs) | more
    told = _refusal(server, prompt)
    assert re.search(says, told), told
    assert "Traceback" not in told and "\n" not in told.strip(), told
    assert run(server, twin(START)).kind == "execution_success"


def test_the_hosted_node_tells_its_price_before_anything_is_sent(server):
    asked = {"service": "fal", "agree": False, "fps": 8.0}
    asked |= {"reference": ["picture", 0], "driving": ["clip", 0]}
    ask = {"class_type": "DreamActorHosted", "inputs": asked}
    save = {"filename_prefix": "hosted", "format": "auto", "codec": "auto", "video": ["ask", 0]}
    prompt = {"picture": blank(1, 256), "clip": blank(8, 256), "ask": ask}
    prompt |= {"save": {"class_type": "SaveVideo", "inputs": save}}
    told = _refusal(server, prompt)
    assert "got no agreement to 1.0 s of video for 0.05 US dollars (0.05 a second)" in told
    assert "nothing has been sent" in told and "\n" not in told.strip(), told


def _refusal(server: Server, prompt: dict) -> str:
    """What an artist reads at the red node: by the host before the run, or by us during it."""
    try:
        outcome = server.run(prompt)
    except RefusedError as refused:
        (answer,) = refused.args
        errors = [one for node in answer["node_errors"].values() for one in node["errors"]]
        return "; ".join(f"{one['message']}: {one['details']}" for one in errors)
    assert outcome.kind == "execution_error", outcome
    assert outcome.last["exception_type"].endswith("InputError"), outcome.last
    message = outcome.last["exception_message"].strip()
    assert SENTENCES.fullmatch(message), message
    return message
