"""benchmarks/arms.py: the ablation's arms differ in what they name, and in nothing else."""

import json
from dataclasses import replace

import pytest
import torch
from accelerate.state import AcceleratorState, GradientState

from benchmarks import arms
from dreamactor_core.backbones import Context
from dreamactor_core.backbones.loading import save_backbone
from dreamactor_core.backbones.mini_vae import MiniVAE
from dreamactor_core.train.cache import puppet_samples, write_cache
from dreamactor_core.train.mini import MiniConfig, create_mini

SIZES = MiniConfig(2, 16, 1, (4, 6, 6), 16, 1, 32)


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    folder = tmp_path_factory.mktemp("base")
    torch.manual_seed(0)
    vae = MiniVAE(latent_channels=8, channels=(8, 8, 8, 8), blocks=(1, 1, 1, 1))
    backbone = create_mini(vae.requires_grad_(False), SIZES)
    torch.nn.init.normal_(backbone.transformer.proj_out.weight, std=0.1)
    save_backbone(backbone, folder / "model", torch.float32)
    write_cache(backbone, puppet_samples(range(2), 25, 32), folder / "cache", "puppets", 4)
    return folder


def test_panels_lie_end_to_end():
    left, right = torch.rand(2, 3, 5, 2, 2), torch.rand(2, 3, 5, 2, 2)
    laid = arms.end_to_end(torch.cat([left, right], dim=-1))
    assert torch.equal(laid[:, :, :5], left) and torch.equal(laid[:, :, 5:], right)


def test_in_time_the_network_sees_a_sequence_and_answers_side_by_side(base):
    plain, in_time = (
        arms.backbone_of(arms.Arm(in_time=each), base / "model") for each in (False, True)
    )
    latents, text = torch.randn(1, 8, 7, 2, 4), plain.encode_text(["a cat waves"], None)
    context = Context(torch.randn(1, 8, 7, 2, 4), torch.zeros(1, 1, 7, 2, 4))
    sigma = torch.ones(1)
    laid = Context(*map(arms.end_to_end, context))
    with torch.inference_mode():
        answer = in_time.velocity(latents, sigma, context, text)
        sequence = plain.velocity(arms.end_to_end(latents), sigma, laid, text)
        beside = plain.velocity(latents, sigma, context, text)
    assert torch.equal(answer[..., :2], sequence[:, :, :7])
    assert torch.equal(answer[..., 2:], sequence[:, :, 7:])
    assert not torch.allclose(answer, beside)


def test_an_arm_changes_what_it_names():
    full, others = arms.config_of(arms.ARMS["full"], 7), arms.ARMS.copy()
    assert full.steps == 7 and full.phases[0].tasks == {"skeleton": 1.0}
    assert arms.config_of(others["in-time"], 7) == full
    (phase,) = full.phases
    own = replace(full, phases=(replace(phase, tasks={"pose": 1.0}),))
    assert arms.config_of(others["no-augmentation"], 7) == own
    silent = replace(phase, conditions=replace(phase.conditions, text_dropout=1.0))
    assert arms.config_of(others["no-text"], 7) == replace(full, phases=(silent,))


def test_every_arm_is_trained_and_scored(base, tmp_path, capsys):
    AcceleratorState._reset_state(True)
    GradientState._reset_state()
    options = ["--cache", base / "cache", "--base", base / "model", "--out", tmp_path]
    options += ["--steps", 1, "--cases", 1, "--seed", 7, "--seed", 8, "--threads", 1]
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
