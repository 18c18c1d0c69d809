"""The road of one `animate` on the command line: how deep it is, and what is opened on the way."""

from __future__ import annotations

import sys
from collections import Counter
from functools import partial
from pathlib import Path

import pytest
import torch
from torch import nn

from dreamactor_core import __main__ as cli
from dreamactor_core import models
from dreamactor_core.backbones.hunyuan15 import HunyuanVideo15TextEncoder
from dreamactor_core.jobs import inputs as job_inputs
from dreamactor_core.lora import files as lora_files
from dreamactor_core.lora.adapters import LoraInfo, LoraSpec, add_lora, save_lora
from dreamactor_core.models.in_context import InContext
from dreamactor_core.options import WEIGHTS

from .clips import write_inputs
from .tiny import tiny_backbone, tiny_hunyuan_pipeline

CORE = str(Path(cli.__file__).parent)
HOPS = 8  # calls from main to the network
PICTURE = next(name for name in ("read_picture", "read_image") if hasattr(job_inputs, name))


pytestmark = pytest.mark.usefixtures("sure_eye")


@pytest.fixture
def files(tmp_path) -> Path:
    return write_inputs(tmp_path, 4)


@pytest.fixture
def pipeline(tmp_path) -> list[str]:
    """Options for a folder of HunyuanVideo-1.5 with a LoRA beside it, tiny but for its rate."""
    ours = tiny_backbone(head=128)
    stock = tiny_hunyuan_pipeline(ours)
    ours.text_encoder = HunyuanVideo15TextEncoder(stock)
    stock.save_pretrained(tmp_path / "pipeline")
    add_lora(ours, LoraSpec(rank=2, alpha=2), "x")
    ours.name = "hunyuanvideo-1.5"
    (tmp_path / "pipeline" / "lora").mkdir()
    info = LoraInfo("end-to-end", "zero", 1.0, 24.0, ours.name, 2, 2)
    save_lora(ours, "x", tmp_path / "pipeline" / "lora" / "end-to-end.safetensors", info)
    return ["--model", str(tmp_path / "pipeline"), "--size", "32", "--steps", "2"]


def animate(files: Path, *options: str) -> int:
    given = {"--reference": "picture.png", "--driving": "clip.mp4", "--output": "out.mp4"}
    paths = [part for name, file in given.items() for part in (name, str(files / file))]
    return cli.main(["animate", *paths, *options])


def hops() -> int:
    """How many of our functions are running between cli.main and the caller's caller, which is the
    last of them and counts.
    """
    names, frame = [], sys._getframe(1)
    while frame is not None:
        if frame.f_code.co_filename.startswith(CORE):
            names.append(frame.f_code.co_name)
        frame = frame.f_back
    return names.index("main")


@pytest.fixture
def depths(monkeypatch) -> list[int]:
    """Of every call of the transformer: the calls from main to it."""
    found: list[int] = []
    frames = InContext.frames

    def watched(self: InContext, *arguments):
        def hear(module: nn.Module, given: tuple) -> None:
            found.append(hops() + 1)

        self.backbone.transformer.register_forward_pre_hook(hear)
        return frames(self, *arguments)

    monkeypatch.setattr(InContext, "frames", watched)
    return found


def test_a_full_size_model_is_eight_calls_away(files, pipeline, depths):
    assert animate(files, *pipeline, "--guidance", "2") == 0
    assert len(depths) == 4
    (guided,) = set(depths)
    assert guided <= HOPS
    depths.clear()
    assert animate(files, *pipeline, "--guidance", "1", "--overwrite") == 0
    assert set(depths) == {guided - 1}


def test_the_small_model_is_eight_calls_away(files, depths):
    assert animate(files) == 0
    (depth,) = depths
    assert depth <= HOPS


def counted(monkeypatch, calls: Counter, module: object, *names: str) -> None:
    for name in names:
        monkeypatch.setattr(module, name, partial(_count, calls, name, getattr(module, name)))


def _count(calls: Counter, name: str, call, *arguments, **named):
    calls[name] += 1
    return call(*arguments, **named)


def test_a_model_is_found_once_and_each_input_opened_once(files, monkeypatch):
    monkeypatch.setenv("DREAMACTOR_MODELS", str(files))  # no BlazePose
    calls: Counter[str] = Counter()
    counted(monkeypatch, calls, models, "find")
    counted(monkeypatch, calls, lora_files, "read_lora_file")
    names = (PICTURE, "probe", "read_frames", "load_keypoints")
    counted(monkeypatch, calls, job_inputs, *names)
    lora = WEIGHTS / "mini" / "lora" / "pose-based.safetensors"
    pose = ["--variant", "pose-based", "--pose", str(files / "pose.json"), "--lora", f"{lora}:0.5"]
    assert animate(files, *pose) == 0
    # The pose is drawn instead of the driver, whose frames nobody asks for.
    assert calls == dict.fromkeys(("find", "read_lora_file", PICTURE, "probe", "load_keypoints"), 1)
    calls.clear()
    assert animate(files, "--overwrite") == 0
    # Its frames are read twice: to know who is in it, and for the network.
    once = dict.fromkeys(("find", "read_lora_file", PICTURE, "probe"), 1)
    assert calls == {**once, "read_frames": 2}
    assert torch.is_grad_enabled()
