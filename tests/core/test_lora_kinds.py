"""LoRA files as trainers, extractors and damaged downloads give them."""

from __future__ import annotations

import json

import pytest
import torch
from safetensors.torch import save_file

from dreamactor_core.errors import InputError
from dreamactor_core.lora.adapters import (
    load_lora,
    load_plain_lora,
    lora_strengths,
    set_lora_strengths,
)
from dreamactor_core.lora.files import read_lora
from dreamactor_core.lora.names import family_of, read_adapters, write_adapters
from dreamactor_core.lora.trainers import layer_of, split_experts

from .test_lora_keys import HUNYUAN, WAN, output, random_adapters, styles
from .tiny import tiny_backbone, tiny_wan

LAYER = "blocks.1.self_attn.q"


@pytest.mark.parametrize(
    "name",
    [
        f"diffusion_model.{LAYER}",
        f"pipe.dit.{LAYER}",
        f"dit.{LAYER}",
        f"base_model.model.diffusion_model.{LAYER}",
        f"base_model.model.model.{LAYER}",
        f"model.diffusion_model.{LAYER}",
        f"module.{LAYER}",
        f"_orig_mod.{LAYER}",
        "transformer._orig_mod.blocks.1.attn1.to_q",
        "blocks.1._fsdp_wrapped_module.self_attn.q",
        "blocks.1._checkpoint_wrapped_module.self_attn.q",
        "lora_unet_blocks_1_self_attn_q",
        "lora_unet__blocks_1_self_attn_q",
        "lora_unet_blocks_1.self_attn.q",  # flat before the number, dotted behind it
        "lora_unet_blocks.1.self_attn.q",
        "lora_transformer_blocks_1_attn1_to_q",
        "lycoris_blocks_1_self_attn_q",
        f"unet.{LAYER}",
        f"net.{LAYER}",
        "transformer.blocks.1.attn1.to_q",
    ],
)
@pytest.mark.parametrize(
    "ending", [".lora_A.weight", ".lora_down.weight", ".lora_A", ".lora.down.weight"]
)
def test_every_trainers_name_for_a_layer_is_known(name, ending):
    up = ending.replace("A", "B").replace("down", "up")
    down = torch.randn(2, 24)
    adapters = read_adapters({name + ending: down, name + up: torch.randn(24, 2)}, WAN)
    assert list(adapters) == ["blocks.1.attn1.to_q"]
    assert torch.equal(adapters["blocks.1.attn1.to_q"].down, down)
    assert family_of({name + ending: down, name + up: down}) == "wan"


@pytest.mark.parametrize(("make", "names"), [(tiny_backbone, HUNYUAN), (tiny_wan, WAN)])
def test_names_half_flat_half_dotted_equal_the_native_file(make, names):
    native = styles(make)["comfyui-down-up"]
    mixed = {}
    for key, tensor in native.items():
        name = key.removeprefix("diffusion_model.")
        mixed["lora_unet_" + name.replace("blocks.", "blocks_", 1)] = tensor
    want, got = read_adapters(native, names), read_adapters(mixed, names)
    assert want.keys() == got.keys()
    assert all(torch.equal(want[layer].delta(), got[layer].delta()) for layer in want)


def image_layers() -> dict[str, torch.Tensor]:
    """As a few-step LoRA extracted from Wan 2.1 has them: native names, with image layers."""
    return write_adapters(random_adapters(tiny_wan()), WAN, "comfyui")


def test_layers_that_another_wan_has_are_left_out_with_one_line(tmp_path, caplog):
    tensors = image_layers()
    extra = {
        "diffusion_model.vace_blocks.0.ffn.0": (24, 32),
        "diffusion_model.face_adapter.q": (8, 8),
    }
    for name, (width, out) in extra.items():
        tensors[f"{name}.lora_A.weight"] = torch.ones(2, width)
        tensors[f"{name}.lora_B.weight"] = torch.ones(out, 2)
    save_file(tensors, tmp_path / "fast.safetensors")
    backbone = tiny_wan("ti2v")
    with pytest.raises(InputError, match=r"patch_embedding\.lora_A"):  # truly another size
        load_plain_lora(backbone, tmp_path / "fast.safetensors")
    backbone = tiny_wan("a14b")
    caplog.clear()
    count = load_plain_lora(backbone, tmp_path / "fast.safetensors", expert="high")
    left_out = {
        layer for layer in random_adapters(tiny_wan()) if "add_" in layer or "image" in layer
    }
    assert len(left_out) == 6
    assert count == len(random_adapters(tiny_wan())) - 6 == len(random_adapters(tiny_wan("a14b")))
    lines = [record.message for record in caplog.records if "left out" in record.message]
    assert len(lines) == 2
    assert lines[0].startswith(
        "LoRA: 2 layers left out (face_adapter.q, vace_blocks.*.ffn.0): only"
    )
    assert lines[1].startswith(
        "LoRA: 6 layers left out (blocks.*.attn2.add_k_proj, blocks.*.attn2."
    )
    assert lines[1].endswith("this model has no such layers")


def test_on_the_wan_that_has_them_they_load(tmp_path, caplog):
    save_file(image_layers(), tmp_path / "fast.safetensors")
    count = load_plain_lora(tiny_wan(), tmp_path / "fast.safetensors")
    assert count == len(random_adapters(tiny_wan()))
    assert caplog.text == ""


def test_a_file_of_nothing_but_other_layers_is_refused(tmp_path):
    tensors = {"blocks.0.cross_attn.k_img.lora_A.weight": torch.ones(2, 24),
               "blocks.0.cross_attn.k_img.lora_B.weight": torch.ones(24, 2)}  # fmt: skip
    save_file(tensors, tmp_path / "a.safetensors")
    with pytest.raises(InputError, match="no layer to adapt"):
        load_plain_lora(tiny_wan("a14b"), tmp_path / "a.safetensors", expert="high")


def test_text_encoders_and_norms_are_left_out_in_one_line_each(caplog):
    tensors = image_layers()
    for k in range(3):
        tensors[f"lora_te_layers_{k}_q.lora_down.weight"] = torch.ones(2, 2)
        tensors[f"diffusion_model.blocks.{k}.norm3.diff"] = torch.ones(24)
        tensors[f"diffusion_model.blocks.{k}.self_attn.norm_q.diff_b"] = torch.ones(24)
        tensors[f"lycoris_blocks_{k}_norm3.w_norm"] = torch.ones(24)
        tensors[f"text_encoders.umt5xxl.layers.{k}.q.lora_A.weight"] = torch.ones(2, 2)
    assert read_adapters(tensors, WAN).keys() == random_adapters(tiny_wan()).keys()
    assert len(caplog.records) == 2


# ---------------------------------------------------------------- both experts in one file

PAIRS = [
    ("transformer.", "transformer_2."),
    ("pipe.dit.", "pipe.dit2."),
    ("high_noise_model.", "low_noise_model."),
    ("diffusion_model.high_noise.", "diffusion_model.low_noise."),
]


@pytest.mark.parametrize(("high", "low"), PAIRS)
def test_both_experts_in_one_file_go_to_both(tmp_path, high, low):
    adapters = random_adapters(tiny_wan("a14b"))
    one = write_adapters(adapters, WAN, "comfyui")
    bare = {key.removeprefix("diffusion_model."): tensor for key, tensor in one.items()}
    tensors = {high + key: tensor for key, tensor in bare.items()}
    tensors |= {low + key: tensor * 2 for key, tensor in bare.items()}
    assert split_experts(tensors).keys() == {"high", "low"}
    path = tmp_path / "both.safetensors"
    save_file(tensors, path)
    backbone = tiny_wan("a14b")
    before = {sigma: output(backbone, sigma) for sigma in (0.95, 0.5)}
    assert load_plain_lora(backbone, path, strength=0.5) == 2 * len(adapters)
    assert lora_strengths(backbone) == {"both-high": 0.5, "both-low": 0.5}
    for expert, sigma in (("high", 0.95), ("low", 0.5)):
        alone = tiny_wan("a14b")
        assert load_plain_lora(alone, path, 0.5, expert=expert) == len(adapters)
        assert torch.equal(output(alone, sigma), output(backbone, sigma))
        assert not torch.allclose(output(alone, sigma), before[sigma], atol=1e-2)
    set_lora_strengths(backbone, {"both-high": 0, "both-low": 0})
    assert all(torch.equal(output(backbone, sigma), was) for sigma, was in before.items())
    with pytest.raises(InputError, match="layers of both experts in one file, need those of one"):
        load_plain_lora(tiny_wan(), path)
    with pytest.raises(InputError, match="both experts"):
        read_adapters(tensors, WAN)


def test_a_file_of_one_expert_says_so_itself(tmp_path):
    one = write_adapters(random_adapters(tiny_wan("a14b")), WAN, "diffusers")
    tensors = {key.replace("transformer.", "transformer_2."): value for key, value in one.items()}
    save_file(tensors, tmp_path / "low.safetensors")
    backbone = tiny_wan("a14b")
    before = output(backbone, 0.95)
    load_plain_lora(backbone, tmp_path / "low.safetensors")
    assert torch.equal(output(backbone, 0.95), before)
    with pytest.raises(InputError, match=r"expert of the LoRA: got 'high', need 'low'"):
        load_plain_lora(tiny_wan("a14b"), tmp_path / "low.safetensors", expert="high")


def test_the_name_of_a_layer_is_all_that_is_left():
    assert layer_of("transformer_2.blocks.0.ffn.net.2") == "blocks.0.ffn.net.2"
    assert layer_of("transformer_blocks.1.attn.to_q") == "transformer_blocks.1.attn.to_q"
    assert layer_of("double_blocks.3.img_attn.qkv") == "double_blocks.3.img_attn.qkv"


# ---------------------------------------------------------------- numbers that cannot be


def one_layer(alpha=None, down=None, up=None) -> dict[str, torch.Tensor]:
    tensors = {
        f"{LAYER}.lora_A.weight": torch.ones(2, 24) if down is None else down,
        f"{LAYER}.lora_B.weight": torch.ones(24, 2) if up is None else up,
    }
    return tensors if alpha is None else tensors | {f"{LAYER}.alpha": torch.as_tensor(alpha)}


NAN = float("nan")


@pytest.mark.parametrize(
    ("tensors", "words"),
    [
        (one_layer(NAN), "alpha .* got nan at rank 2"),
        (one_layer(float("inf")), "alpha .* got inf"),
        (one_layer(torch.tensor(1e308, dtype=torch.float64)), r"alpha .* got 1e\+308"),
        (one_layer(-1e6), "alpha .* at most 1000 times the rank"),
        (one_layer(torch.ones(3)), "alpha .* got 3 numbers, need one"),
        (one_layer(down=torch.full((2, 24), NAN)), "NaN or infinity in its down"),
        (one_layer(up=torch.full((24, 2), float("inf"))), "NaN or infinity in its up"),
        (one_layer(down=torch.ones(0, 24), up=torch.ones(24, 0)), r"got \[0, 24\], need"),
        (one_layer(down=torch.ones(24)), r"got \[24\], need"),
        (one_layer(up=torch.tensor(1.0)), r"got \[\], need"),
        ({f"{LAYER}.diff": torch.ones(24)}, r"got \[24\], need"),
    ],
)
def test_numbers_that_no_training_gives_are_refused(tmp_path, tensors, words):
    save_file(tensors, tmp_path / "a.safetensors")
    backbone = tiny_wan()
    with pytest.raises(InputError, match=words):
        load_plain_lora(backbone, tmp_path / "a.safetensors")
    assert lora_strengths(backbone) == {}


def test_numbers_of_8_bits_are_read(tmp_path):
    layer, small = one_layer(2.0), torch.float8_e4m3fn
    eight = {name: t.to(small) if t.ndim == 2 else t for name, t in layer.items()}
    save_file(eight, tmp_path / "a.safetensors")
    assert load_plain_lora(tiny_wan(), tmp_path / "a.safetensors") == 1
    eight[f"{LAYER}.lora_A.weight"] = torch.full((2, 24), NAN).to(small)
    save_file(eight, tmp_path / "b.safetensors")
    with pytest.raises(InputError, match="NaN or infinity in its down"):
        load_plain_lora(tiny_wan(), tmp_path / "b.safetensors")


def test_alpha_0_changes_nothing_and_alone_is_refused(tmp_path):
    other = {key.replace("blocks.1", "blocks.0"): value for key, value in one_layer(2.0).items()}
    save_file(one_layer(0.0), tmp_path / "nothing.safetensors")
    save_file(one_layer(0.0) | other, tmp_path / "some.safetensors")
    backbone = tiny_wan()
    assert load_plain_lora(backbone, tmp_path / "some.safetensors") == 1
    with pytest.raises(InputError, match="no layer to adapt"):
        load_plain_lora(tiny_wan(), tmp_path / "nothing.safetensors")


@pytest.mark.parametrize(
    "text", ["[]", "{", "7", '{"r": 0, "lora_alpha": 8}', '{"lora_alpha": "much"}',
             '{"r": 8, "lora_alpha": NaN}', '{"r": 8, "lora_alpha": 1e999}', "[" * 100_000,
             '{"r": 8, "lora_alpha": [1]}', '{"r": "8", "lora_alpha": 8}'])  # fmt: skip
def test_broken_words_of_peft_are_refused(tmp_path, text):
    save_file(one_layer(), tmp_path / "a.safetensors", metadata={"lora_adapter_metadata": text})
    if text == '{"r": 0, "lora_alpha": 8}':  # r is not needed: the tensors have it
        assert load_plain_lora(tiny_wan(), tmp_path / "a.safetensors") == 1
        return
    with pytest.raises(InputError):
        load_plain_lora(tiny_wan(), tmp_path / "a.safetensors")
    save_file(one_layer(), tmp_path / "a.safetensors")
    (tmp_path / "adapter_config.json").write_text(text)
    with pytest.raises(InputError):
        load_plain_lora(tiny_wan(), tmp_path / "a.safetensors")


SAID = {
    "method": "dreamactor-m2", "variant": "pose-based", "blank": "grey", "lead_in_seconds": "1.0",
    "fps": "8.0", "base": "tiny", "rank": "2", "alpha": "2.0", "side": "reference-left",
}  # fmt: skip


@pytest.mark.parametrize(
    ("key", "value"),
    [("lead_in_seconds", "nan"), ("lead_in_seconds", "1e308"), ("lead_in_seconds", "-1"),
     ("fps", "nan"), ("fps", "0"), ("rank", "0"), ("rank", "-4"), ("alpha", "nan"),
     ("alpha", "1e308"), ("alpha", "0"), ("alpha", "inf")],
)  # fmt: skip
def test_metadata_of_ours_with_impossible_numbers_are_refused(tmp_path, key, value):
    path = tmp_path / "a.safetensors"
    save_file(one_layer(), path, metadata=SAID)
    assert read_lora(path).info.rank == 2  # the case is otherwise whole
    save_file(one_layer(), path, metadata=SAID | {key: value})
    with pytest.raises(InputError, match=r"metadata of .*a\.safetensors"):
        load_lora(tiny_wan(), path)


def test_metadata_without_end_is_refused(tmp_path):
    path = tmp_path / "a.safetensors"
    header = json.dumps({"__metadata__": {"a": "b"}}).encode()
    path.write_bytes((1 << 62).to_bytes(8, "little") + header)
    with pytest.raises(InputError, match="LoRA file"):
        load_plain_lora(tiny_wan(), path)
