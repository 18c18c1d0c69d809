"""Configs that ask for what no model has: refused before anything is built."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch

from dreamactor_core.errors import InputError
from dreamactor_core.mini.folder import save_backbone
from dreamactor_core.models.loading import load_backbone
from dreamactor_core.weight_files.configs import check_configs, read_json

from .tiny import GEOMETRY, tiny_backbone


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"panel": (0, 0)}, "side of the panel: got 0"),
        ({"panel": (-256, 256)}, "side of the panel: got -256"),
        ({"panel": (10**6, 10**6)}, "side of the panel: got 1000000"),
        ({"panel": (256,)}, "need a height and a width"),
        ({"panel": ("256", "256")}, "got \"'256'\"|got '256'"),
        ({"size_multiple": 0}, "size_multiple: got 0"),
        ({"temporal_stride": 0}, "temporal_stride: got 0"),
        ({"spatial_stride": 0}, "spatial_stride: got 0"),
        ({"spatial_stride": 2.5}, "spatial_stride: got 2.5"),
        ({"latent_channels": True}, "latent_channels: got True"),
        ({"fps": float("nan")}, "fps: got nan"),
        ({"fps": 0}, "fps: got 0"),
        ({"num_frames": -1}, "num_frames: got -1"),
        ({"num_frames": "25"}, "num_frames: got '25'"),
    ],
)
def test_sizes_that_cannot_be_are_refused(change, words):
    with pytest.raises(InputError, match=words):
        replace(GEOMETRY, **change)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models") / "tiny"
    save_backbone(tiny_backbone(), folder, torch.float32)
    return folder


@pytest.mark.parametrize(
    ("file", "change", "words"),
    [
        ("transformer/config.json", {"num_layers": 10**6}, "num_layers in .* got 1000000"),
        ("transformer/config.json", {"num_attention_heads": 10**9}, "num_attention_heads in"),
        ("transformer/config.json", {"patch_size": 0}, "patch_size in .* need 1 to 1024"),
        ("transformer/config.json", {"attention_head_dim": -4}, "attention_head_dim in"),
        ("vae/config.json", {"layers_per_block": 10**9}, "layers_per_block in"),
        ("vae/config.json", {"block_out_channels": [8, 10**400]}, "a number of many digits"),
        ("text_encoder/config.json", {"num_layers": 10**6}, "num_layers in"),
        ("text_encoder/config.json", {"vocab_size": 10**12}, "vocab_size in"),
        ("model.json", {"geometry": {"spatial_stride": 0}}, "model folder"),
        ("model.json", {"geometry": 7}, "model folder"),
    ],
)
def test_counts_that_no_model_has_are_refused_before_it_is_built(folder, file, change, words):
    text = (folder / file).read_text()
    told = json.loads(text)
    for key, value in change.items():
        told[key] = told[key] | value if isinstance(value, dict) else value
    try:
        (folder / file).write_text(json.dumps(told))
        with pytest.raises(InputError, match=words):
            load_backbone(folder)
    finally:
        (folder / file).write_text(text)
    assert load_backbone(folder).name == "tiny"  # whole again


def test_json_without_end_or_of_another_kind_is_refused(tmp_path):
    for text in ("[" * 100_000, '{"a":' * 100_000, "[]", "7", "", "{", "\xff"):
        (tmp_path / "config.json").write_text(text, encoding="latin-1")
        with pytest.raises(InputError, match="model file"):
            read_json(tmp_path / "config.json")
        with pytest.raises(InputError, match="model file"):
            check_configs(tmp_path)


def test_the_shipped_models_and_common_configs_pass(tmp_path):
    from dreamactor_core.options import WEIGHTS

    for model in WEIGHTS.glob("*/model.json"):
        check_configs(model.parent)
    qwen = {"hidden_size": 3584, "num_hidden_layers": 28, "vocab_size": 152_064, "eos_token_id": -1,
            "max_position_embeddings": 128_000, "rope_theta": 1_000_000,
            "vision_config": {"depth": 32, "patch_size": 14, "window_size": 112}}  # fmt: skip
    (tmp_path / "config.json").write_text(json.dumps(qwen))
    check_configs(tmp_path)
