"""Shared by the tests of the core."""

from __future__ import annotations

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
