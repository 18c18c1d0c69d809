"""What a graphics card refuses, the one that is none refuses; and the road from clips to a video
asks for none of it. Each in a process of its own: torch registers a device for good."""

import json
import os
import subprocess
import sys
from pathlib import Path

from ..core.clips import write_inputs
from ..core.clips_on_disk import WINDOWS, write_clips
from ..core.full_size import full_size_folder

ROOT = Path(__file__).parents[2]
LIMITS = """
import torch
from tests.card import device

device.settle()
with device.Watch():
    layer, x = torch.nn.Linear(3, 2).to("card"), torch.arange(3.0).to("card")
    layer(x + torch.tensor(1.0)).sum().backward()
    assert layer.weight.grad.device == x.device and x.cpu().tolist() == [0, 1, 2]
    assert torch.tensor([1, 2], device="card").sum().item() == 3
    for refused, words in (
        (lambda: x + torch.ones(3), "two devices"),
        (lambda: torch.randn(2, device="card", generator=torch.Generator()), "one of the CPU"),
        (lambda: x.numpy(), "numpy"),
    ):
        try:
            refused()
        except (RuntimeError, TypeError) as error:
            assert words in str(error), error
        else:
            raise AssertionError(words)
"""
BARE_METHOD = """
import torch
from tests.card import device

device.settle()
from dreamactor_core.backbones import Context
from dreamactor_core.mini.aim import aim_heads
from dreamactor_core.mini.incontext import create_incontext

with device.Watch():
    base = create_incontext(layers=2, heads=2)
    torch.nn.init.normal_(base.vae.components, std=0.05)
    for part in (base.transformer, base.vae, base.text_encoder):
        part.to("card")
    aim_heads(base.transformer, across=16)
    latents, known = torch.randn(1, 48, 5, 16, 32).to("card"), torch.zeros(1, 1, 5, 16, 32)
    known[:, :, 0] = 1
    text = base.text_encoder.encode_ids(torch.ones(1, 96, dtype=torch.long).to("card"))
    given = Context(latents, known.to("card"))
    base.velocity(latents, torch.ones(1).to("card"), given, text).square().mean().backward()
"""
RECIPE = {
    "variant": "pose-based", "lora": {"rank": 2, "alpha": 2}, "steps": 1, "batch_size": 1,
    "held_out": 0, "cache": WINDOWS,
}  # fmt: skip
ROAD = """
from tests.card.drive import drive

for line in {lines!r}:
    assert drive(line) == 0, line
"""


def run(script: str, folder: Path) -> None:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]


def test_a_mix_of_devices_is_refused_and_what_a_card_does_is_done(tmp_path):
    run(LIMITS, tmp_path)


def test_the_bare_method_is_aimed_and_learns_there(tmp_path):
    run(BARE_METHOD, tmp_path)


def test_from_clips_to_a_lora_and_a_video_no_devices_are_mixed(tmp_path):
    base, recipe = full_size_folder("wan-2.1", tmp_path / "base"), tmp_path / "recipe.json"
    recipe.write_text(json.dumps(RECIPE))
    clips, inputs = write_clips(tmp_path, 1), write_inputs(tmp_path, 4)
    card = "--device card --dtype fp32"
    lines = [
        f"train cache --out cache --base {base} --pairs {clips} --config {recipe} --size 32 {card}",
        f"train lora --out lora --base {base} --cache cache --config {recipe} {card}",
        f"animate --model {base} --lora lora/lora.safetensors --reference {inputs}/picture.png "
        f"--driving {inputs}/clip.mp4 --pose {inputs}/pose.json --output video.mp4 --size 32 "
        f"--steps 1 {card}",
    ]
    run(ROAD.format(lines=[line.split() for line in lines]), tmp_path)
    assert (tmp_path / "video.mp4").stat().st_size
