"""Shared by the tests of the core."""

from __future__ import annotations

from functools import cache

import pytest


@pytest.fixture(scope="session")
def pipelines(tmp_path_factory):
    """Kind -> (backbone, the diffusers folder of the stock pipeline around it)."""
    pytest.importorskip("ftfy", reason="diffusers cleans Wan's prompts with ftfy")
    from dreamactor_core.backbones import hunyuan15, wan

    from .stored import BASES
    from .tiny import tiny_backbone, tiny_hunyuan_pipeline, tiny_wan, tiny_wan_pipeline

    made = {}
    for kind in BASES:
        folder = tmp_path_factory.mktemp(kind) / "pipeline"
        if kind == "hunyuan":
            ours = tiny_backbone(head=128)
            pipeline = tiny_hunyuan_pipeline(ours)
            ours.text_encoder = hunyuan15.HunyuanVideo15TextEncoder(pipeline)
        else:
            ours = tiny_wan(kind, head=128)
            ours.boundary_ratio = 0.8
            pipeline = tiny_wan_pipeline(ours)
            ours.text_encoder = wan.WanTextEncoder(pipeline)
        pipeline.save_pretrained(folder)
        made[kind] = ours, folder
    return made


@pytest.fixture
def sure_eye(monkeypatch):
    """The embedded model's eye believes whatever it sees, so that the network draws pictures of
    nothing, too."""
    from dreamactor_core.mini import recognise, sight

    monkeypatch.setattr(sight, "SURE", 0.0)
    monkeypatch.setattr(recognise, "CONFIDENT", 0.0)


@pytest.fixture
def fresh_accelerate():
    """accelerate keeps the first precision asked for as a state of the process."""
    from accelerate.state import AcceleratorState, GradientState

    AcceleratorState._reset_state(True)
    GradientState._reset_state()


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    """Name -> the tiny pipeline folder of a full-size base, made once a module."""
    from .full_size import full_size_folder

    return cache(lambda name: full_size_folder(name, tmp_path_factory.mktemp(name)))


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    """The list of three drawn clips, which lie beside it."""
    from .clips_on_disk import write_clips

    return write_clips(tmp_path_factory.mktemp("clips"), 3)
