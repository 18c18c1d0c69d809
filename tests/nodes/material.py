"""What the example node draws, as files, and what the core makes of it without ComfyUI.

The server test runs this with ComfyUI's Python, so that both sides compute alike:

    python -m tests.nodes.material FOLDER
"""

from __future__ import annotations

import json
import shutil
import sys
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from dreamactor_core.animate import animate_pass
from dreamactor_core.media import to_frames, write_image
from dreamactor_core.models import find
from dreamactor_core.models.loading import load_animator
from dreamactor_core.options import VARIANTS, WEIGHTS
from dreamactor_core.pose.draw import draw_pose, fit_box
from dreamactor_core.pose.keypoints import parse_keypoints
from dreamactor_core.puppets.example import PuppetExample, example
from dreamactor_core.puppets.world import FPS
from dreamactor_core.sampling import SampleSettings

TWINS = Path(__file__).parent / "api"
SETTINGS = SampleSettings(num_inference_steps=1, seed=0)  # as in the workflows
LONG = 49  # frames of the long driver


def main(folder: Path) -> None:
    """Write the files below FOLDER/input and FOLDER/models, and the answers beside them."""
    inputs, models = folder / "input", folder / "models"
    shown = drawn("Start here (3 nodes)")
    write_image(inputs / "reference.png", shown.reference)
    frames = (shown.driving * 255).round().byte().numpy()
    write_lossless(inputs / "driving.mkv", frames)
    turned = np.concatenate([frames, frames[::-1]])
    write_lossless(inputs / "long.mkv", np.concatenate([turned, turned])[:LONG])
    (inputs / "keypoints.json").write_text(json.dumps(shown.keypoints))
    (inputs / "short.json").write_text(json.dumps(shown.keypoints[:5]))
    (folder / "caption.txt").write_text(shown.caption)
    for variant in VARIANTS:
        np.save(folder / f"{variant}.npy", answer(variant, drawn(f"DreamActor-M2 {variant}")))
    write_strangers(models)


def write_lossless(path: Path, frames: np.ndarray) -> None:
    """(t, h, w, 3) uint8 -> a video that is read back bit for bit."""
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx264rgb", rate=Fraction(FPS), options={"qp": "0"})
        stream.height, stream.width, stream.pix_fmt = *frames.shape[1:3], "rgb24"
        for frame in frames:
            out.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        out.mux(stream.encode(None))


def drawn(workflow: str) -> PuppetExample:
    """What the example node of a workflow gives."""
    prompt = json.loads((TWINS / f"{workflow}.json").read_text(encoding="utf-8"))
    (node,) = (one for one in prompt.values() if one["class_type"] == "DreamActorExample")
    assert node["inputs"]["kind"] == "random"
    return example(node["inputs"]["seed"])


def answer(variant: str, shown: PuppetExample) -> np.ndarray:
    """animate_pass's frames (t, h, w, 3), float32."""
    driver = shown.driving
    if variant == "pose-based":
        pose = fit_box(parse_keypoints(shown.keypoints))
        driver = to_frames(draw_pose(pose, *shown.reference.shape[1:3]))
    backbone = load_animator("mini", variant).backbone
    return animate_pass(backbone, shown.reference, driver, shown.caption, SETTINGS).numpy()


def write_strangers(models: Path) -> None:
    """A LoRA that says it is of another base, and a model of which a part has been deleted."""
    shipped = find("mini").lora_beside("end-to-end")
    with safe_open(shipped, "pt") as file:
        metadata = {**file.metadata(), "base": "other"}
    (models / "loras").mkdir(parents=True, exist_ok=True)
    save_file(load_file(shipped), models / "loras" / "stranger.safetensors", metadata)
    broken = models / "dreamactor" / "broken"
    shutil.copytree(WEIGHTS / "mini", broken)
    (broken / "vae" / "diffusion_pytorch_model.safetensors").unlink()


if __name__ == "__main__":
    torch.set_num_threads(1)  # as the server's
    main(Path(sys.argv[1]))
