import re
from dataclasses import replace

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from dreamactor_core.backbones import Context
from dreamactor_core.errors import InputError
from dreamactor_core.lora.adapters import (
    LoraInfo,
    LoraSpec,
    add_lora,
    load_lora,
    lora_strengths,
    read_lora,
    remove_lora,
    save_lora,
    set_lora_strengths,
)

from .tiny import tiny_backbone, tiny_wan

INFO = LoraInfo(
    variant="pose-based",
    blank="zero",
    lead_in_seconds=1.0,
    fps=8.0,
    base="tiny",
    rank=4,
    alpha=8.0,
)


@pytest.fixture
def backbone():
    return tiny_backbone()


@torch.no_grad()
def output(backbone) -> torch.Tensor:
    generator = torch.Generator().manual_seed(7)
    latents = torch.randn(1, 8, 2, 2, 4, generator=generator)
    context = Context(torch.randn(1, 8, 2, 2, 4, generator=generator), torch.ones(1, 1, 2, 2, 4))
    return backbone.velocity(latents, torch.tensor(0.5), context, backbone.encode_text(["a"], None))


def train(backbone, seed: int) -> None:
    """Random weights in the place of training."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in backbone.transformer.parameters():
            if parameter.requires_grad:
                parameter.copy_(torch.randn(parameter.shape, generator=generator) / 4)


def lora_file(path, seed=0, info=INFO, spec=LoraSpec(4, 8.0), dtype=torch.float32):  # noqa: B008
    maker = tiny_backbone()
    add_lora(maker, spec, "made")
    train(maker, seed)
    save_lora(maker, "made", path, info, dtype)
    return output(maker)


def test_only_visual_feed_forward_layers_are_adapted(backbone):
    assert add_lora(backbone, LoraSpec(4, 4), "x") == 4  # 2 blocks of 2 layers
    trainable = {
        name.split(".lora_")[0]
        for name, parameter in backbone.transformer.named_parameters()
        if parameter.requires_grad
    }
    assert trainable == {
        f"transformer_blocks.{block}.ff.net.{layer}" for block in (0, 1) for layer in ("0.proj", 2)
    }


def test_switches_add_visual_attention_and_the_patch_embedding(backbone):
    assert add_lora(backbone, LoraSpec(4, 4, attention=True, patch_embedding=True), "x") == 13
    names = {name for name, _ in backbone.transformer.named_parameters() if "lora_A" in name}
    want = {f"transformer_blocks.{b}.attn.to_{p}" for b in (0, 1) for p in ("q", "k", "v", "out.0")}
    got = {name.split(".lora_")[0] for name in names}
    assert want | {"x_embedder.proj"} <= got
    assert not [name for name in got if re.search("add_|context|refiner", name)]


def test_no_layer_to_adapt_is_an_error(backbone):
    backbone.transformer.transformer_blocks = torch.nn.ModuleList()
    with pytest.raises(InputError, match="no layer to adapt in tiny, need at least 1"):
        add_lora(backbone, LoraSpec(4, 4), "x")


def test_a_new_lora_changes_nothing_and_a_removed_one_leaves_nothing(backbone):
    before, weights = output(backbone), backbone.transformer.state_dict()
    add_lora(backbone, LoraSpec(4, 4, attention=True, patch_embedding=True), "x")
    assert torch.equal(output(backbone), before)
    train(backbone, 0)
    assert not torch.allclose(output(backbone), before, atol=1e-2)
    remove_lora(backbone, "x")
    assert torch.equal(output(backbone), before)
    after = backbone.transformer.state_dict()
    assert after.keys() == weights.keys()
    assert all(torch.equal(after[key], weights[key]) for key in weights)


@pytest.mark.parametrize("spec", [LoraSpec(4, 8.0), LoraSpec(4, 8.0, True, True)])
def test_a_saved_lora_does_the_same_when_loaded(backbone, tmp_path, spec):
    trained = lora_file(tmp_path / "a.safetensors", spec=spec)
    loaded = load_lora(backbone, tmp_path / "a.safetensors")
    assert loaded.count == (13 if spec.attention else 4)
    assert (loaded.name, loaded.info) == ("a", INFO)
    assert torch.equal(output(backbone), trained)


def test_half_precision_is_stored_on_request(tmp_path):
    lora_file(tmp_path / "half.safetensors", dtype=torch.float16)
    tensors = load_file(tmp_path / "half.safetensors")
    assert {tensor.dtype for tensor in tensors.values()} == {torch.float16}
    assert set(tensors) == {
        f"transformer.transformer_blocks.{block}.ff.net.{layer}.lora_{part}.weight"
        for block in (0, 1)
        for layer in ("0.proj", "2")
        for part in "AB"
    }


def test_metadata_says_how_to_use_the_file(tmp_path):
    path = tmp_path / "a.safetensors"
    lora_file(path)
    with safe_open(path, "pt") as file:
        assert file.metadata() == {
            "method": "dreamactor-m2",
            "variant": "pose-based",
            "side": "reference-left",
            "blank": "zero",
            "lead_in_seconds": "1.0",
            "fps": "8.0",
            "base": "tiny",
            "rank": "4",
            "alpha": "8.0",
            "layout": "panels",
        }
    assert read_lora(path).info == INFO


@torch.no_grad()
def test_strength_scales_the_change_of_the_weights(backbone, tmp_path):
    lora_file(tmp_path / "a.safetensors")
    layer_input = torch.randn(3, 32)
    base = backbone.transformer.transformer_blocks[0].ff.net[0].proj(layer_input)
    load_lora(backbone, tmp_path / "a.safetensors", strength=0.5)
    layer = backbone.transformer.transformer_blocks[0].ff.net[0].proj
    a, b = layer.lora_A["a"].weight, layer.lora_B["a"].weight
    want = base + 0.5 * (8.0 / 4) * (layer_input @ a.T @ b.T)
    assert torch.allclose(layer(layer_input), want, atol=1e-5)


def test_several_loras_with_strengths_of_their_own(backbone, tmp_path):
    before = output(backbone)
    first, second = tmp_path / "first.safetensors", tmp_path / "v1.2.safetensors"
    only_first, only_second = lora_file(first, 1), lora_file(second, 2)
    load_lora(backbone, first)
    load_lora(backbone, second, strength=0.25)
    assert lora_strengths(backbone) == {"first": 1.0, "v1_2": 0.25}
    both = output(backbone)
    set_lora_strengths(backbone, {"v1_2": 0})
    assert lora_strengths(backbone) == {"first": 1.0, "v1_2": 0.0}
    assert torch.allclose(output(backbone), only_first, atol=1e-5)
    set_lora_strengths(backbone, {"first": 0, "v1_2": 1})
    assert torch.allclose(output(backbone), only_second, atol=1e-5)
    assert not torch.allclose(both, only_first, atol=1e-3)
    remove_lora(backbone, "v1_2")
    set_lora_strengths(backbone, {"first": 1})
    assert torch.equal(output(backbone), only_first)
    remove_lora(backbone, "first")
    assert torch.equal(output(backbone), before)


def test_files_of_one_name_serve_two_experts(tmp_path):
    experts = tiny_wan("a14b")
    paths = [tmp_path / expert / "lora.safetensors" for expert in ("high", "low")]
    for path in paths:
        path.parent.mkdir()
        add_lora(experts, LoraSpec(2, 2), "x", path.parent.name)
        told = replace(INFO, base="tiny", blank=experts.blank, fps=experts.geometry.fps, rank=2)
        save_lora(experts, "x", path, replace(told, alpha=2.0, expert=path.parent.name))
        remove_lora(experts, "x")
    assert [load_lora(experts, path).name for path in paths] == ["lora", "lora-low"]
    with pytest.raises(InputError, match="LoRA name: got 'lora', need a name that is not loaded"):
        load_lora(experts, paths[0])


def test_a_name_is_used_once_and_unknown_names_are_refused(backbone, tmp_path):
    lora_file(tmp_path / "a.safetensors")
    load_lora(backbone, tmp_path / "a.safetensors")
    with pytest.raises(InputError, match="LoRA name: got 'a', need a name that is not loaded"):
        load_lora(backbone, tmp_path / "a.safetensors")
    load_lora(backbone, tmp_path / "a.safetensors", name="again")
    with pytest.raises(InputError, match=r"got \['b'\], need one of \['a', 'again'\]"):
        set_lora_strengths(backbone, {"b": 1.0})
    with pytest.raises(InputError, match="strength of a: got nan"):
        set_lora_strengths(backbone, {"a": float("nan")})
    with pytest.raises(InputError, match="got 'b'"):
        remove_lora(backbone, "b")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"base": "other"}, "base model of the LoRA: got 'other', need 'tiny'"),
        ({"side": "reference-right"}, "side .* got 'reference-right', need 'reference-left'"),
        ({"blank": "grey"}, "blank of the LoRA: got 'grey', need 'zero'"),
        ({"variant": "voice"}, "variant .* got 'voice', need 'pose-based' or 'end-to-end'"),
        ({"rank": "8"}, r"lora_A: got \[4, 32\], need \[8, 32\] \(rank 8\)"),
        ({"rank": "four"}, "metadata of .* got ValueError"),
        ({"method": "other"}, "got method 'other' in its metadata"),
    ],
)
def test_metadata_that_does_not_fit_is_refused(backbone, tmp_path, change, message):
    lora_file(tmp_path / "a.safetensors")
    tensors = load_file(tmp_path / "a.safetensors")
    metadata = {key: str(value) for key, value in vars(INFO).items()} | change
    save_file(tensors, tmp_path / "b.safetensors", metadata=metadata)
    refuse(backbone, tmp_path / "b.safetensors", message)


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda tensors: tensors.clear(), "no layer to adapt"),
        (lambda tensors: tensors.pop(min(tensors)), "lora_A: got nothing"),
        (lambda tensors: tensors.update({"x.lora_A.weight": torch.ones(4, 4)}), "got x, need a"),
        (lambda tensors: tensors.update({min(tensors): torch.ones(4, 33)}), r"got \[4, 33\]"),
    ],
)
def test_tensors_that_do_not_fit_are_refused(backbone, tmp_path, edit, message):
    lora_file(tmp_path / "a.safetensors")
    tensors = load_file(tmp_path / "a.safetensors")
    edit(tensors)
    metadata = {key: str(value) for key, value in vars(INFO).items()}
    save_file(tensors, tmp_path / "b.safetensors", metadata=metadata)
    refuse(backbone, tmp_path / "b.safetensors", message)


def test_files_that_are_no_whole_safetensors_are_refused(backbone, tmp_path):
    lora_file(tmp_path / "a.safetensors")
    data = (tmp_path / "a.safetensors").read_bytes()
    for name, content in (("cut", data[:-100]), ("text", b"not a file of ours"), ("empty", b"")):
        (tmp_path / f"{name}.safetensors").write_bytes(content)
        refuse(backbone, tmp_path / f"{name}.safetensors", "need a whole safetensors file")
    refuse(backbone, tmp_path / "absent.safetensors", "need a whole safetensors file")
    save_file(load_file(tmp_path / "a.safetensors"), tmp_path / "bare.safetensors")
    refuse(backbone, tmp_path / "bare.safetensors", "got method None in its metadata")


def refuse(backbone, path, message):
    """It is refused in words, and the backbone is as it was."""
    before = output(backbone)
    with pytest.raises(InputError, match=message):
        load_lora(backbone, path)
    assert lora_strengths(backbone) == {} and torch.equal(output(backbone), before)


def test_spec_and_info_are_checked(backbone, tmp_path):
    with pytest.raises(InputError, match="LoRA rank: got 0"):
        LoraSpec(0, 1)
    with pytest.raises(InputError, match="LoRA alpha: got nan"):
        LoraSpec(1, float("nan"))
    add_lora(backbone, LoraSpec(4, 4), "x")
    with pytest.raises(AssertionError):  # our own mistake: another rank than was trained
        save_lora(backbone, "x", tmp_path / "a.safetensors", replace(INFO, rank=8))
