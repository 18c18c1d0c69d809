"""benchmarks/arms.py: the ablation's arms differ in what they name, and in nothing else."""

import json
from dataclasses import replace
from functools import partial

import pytest
import torch
from accelerate.state import AcceleratorState, GradientState

from benchmarks import arms
from dreamactor_core.backbones import Context
from dreamactor_core.mini.folder import save_backbone
from dreamactor_core.mini.vae import MiniVAE
from dreamactor_core.train.cache import puppet_samples, write_cache
from dreamactor_core.train.mini.create import MiniConfig, create_mini

SIZES = MiniConfig(2, 16, 1, (4, 6, 6), 16, 1, 32)


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    folder = tmp_path_factory.mktemp("base")
    torch.manual_seed(0)
    vae = MiniVAE(latent_channels=8, channels=(8, 8, 8), blocks=(1, 1, 1))
    backbone = create_mini(vae.requires_grad_(False), SIZES)
    torch.nn.init.normal_(backbone.transformer.proj_out.weight, std=0.1)
    save_backbone(backbone, folder / "model", torch.float32)
    write_cache(backbone, puppet_samples(range(2), 25, 32), folder / "cache", "puppets", 4)
    return folder


def test_in_time_the_network_is_told_that_the_panels_follow_each_other(base):
    plain, in_time = (
        arms.backbone_of(arms.Arm(in_time=each), base / "model") for each in (False, True)
    )
    pixels = torch.arange(2 * 4 * 8).view(2, 4, 8)
    grid, tokens = in_time.grid_of((2, 4, 8), pixels.flatten())
    laid = torch.empty(4, 4, 4, dtype=torch.long)
    laid.view(-1)[tokens] = pixels.flatten()
    assert grid == (4, 4, 4)
    assert torch.equal(laid, torch.cat([pixels[..., :4], pixels[..., 4:]]))

    latents, text = torch.randn(1, 8, 7, 4, 8), plain.encode_text(["a cat waves"], None)
    known = torch.zeros(1, 1, 7, 4, 8)
    known[:, :, 0], known[..., 4:] = 1, 1
    context = Context(torch.randn(1, 8, 7, 4, 8), known)
    with torch.inference_mode():
        answers = [
            each.velocity(latents, torch.ones(1), context, text) for each in (plain, in_time)
        ]
    assert not torch.allclose(*answers)
    in_time.grid_of = plain.grid_of
    with torch.inference_mode():
        torch.testing.assert_close(
            in_time.velocity(latents, torch.ones(1), context, text), answers[0]
        )


def test_an_arm_changes_what_it_names():
    config_of = partial(arms.arm_config, steps=7)
    full, others = config_of(arms.ARMS["full"]), arms.ARMS.copy()
    assert full.steps == 7 and full.phases[0].tasks == {"skeleton": 1.0}
    assert config_of(others["in-time"]) == full
    (phase,) = full.phases
    own = replace(full, phases=(replace(phase, tasks={"pose": 1.0}),))
    assert config_of(others["no-augmentation"]) == own
    silent = replace(phase, conditions=replace(phase.conditions, text_dropout=1.0))
    assert config_of(others["no-text"]) == replace(full, phases=(silent,))


def test_every_arm_is_trained_and_scored(base, tmp_path, capsys):
    AcceleratorState._reset_state(True)
    GradientState._reset_state()
    options = ["--cache", base / "cache", "--base", base / "model", "--out", tmp_path]
    options += ["--steps", 4, "--cases", 1, "--seed", 7, "--seed", 8, "--threads", 1]
    arms.main([*map(str, options)])
    tables = {name: json.loads((tmp_path / f"{name}.json").read_text()) for name in arms.ARMS}
    for name, table in tables.items():
        assert table["seeds"] == [7, 8]
        assert table["text"] == ("none" if name == "no-text" else "true")
        assert table["deviations"]["pose-based"]["relative_error"] > 0
    errors = {t["variants"]["pose-based"]["relative_error"] for t in tables.values()}
    assert len(errors) == 4
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "| arm | relative_error | silhouette_iou | identity_error |"
    assert [line.split(" | ")[0] for line in lines[2:]] == [f"| {name}" for name in arms.ARMS]
