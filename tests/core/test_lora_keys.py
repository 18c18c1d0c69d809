import json
from dataclasses import replace
from functools import cache

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from dreamactor_core.__main__ import main
from dreamactor_core.backbones import hunyuan15, wan
from dreamactor_core.errors import InputError
from dreamactor_core.lora.adapters import (
    LoraInfo,
    LoraSpec,
    add_lora,
    load_lora,
    load_plain_lora,
    lora_strengths,
    read_lora,
    remove_lora,
    save_lora,
    set_lora_strengths,
)
from dreamactor_core.lora.names import Adapter, family_of, read_adapters, write_adapters

from .tiny import tiny_backbone, tiny_wan

HUNYUAN, WAN = hunyuan15.KEY_NAMES, wan.KEY_NAMES
INFO = LoraInfo("pose-based", "grey", 1.0, 8.0, "tiny", rank=4, alpha=8.0)
FAMILY = pytest.mark.parametrize(
    ("make", "names"), [(tiny_backbone, HUNYUAN), (tiny_wan, WAN)], ids=["hunyuan", "wan"]
)


def random_adapters(backbone, rank=4, alpha=8.0) -> dict[str, Adapter]:
    """One for every layer of the network that a LoRA can sit on."""
    generator = torch.Generator().manual_seed(0)

    def random(*shape):
        return torch.randn(shape, generator=generator)

    adapters = {}
    for name, layer in backbone.transformer.named_modules():
        if isinstance(layer, torch.nn.Linear | torch.nn.Conv3d):
            out, *rest = layer.weight.shape
            ones = [1] * (len(rest) - 1)
            adapters[name] = Adapter(random(rank, *rest), random(out, rank, *ones) / 8, alpha)
    return adapters


@torch.no_grad()
def output(backbone, sigma=0.95) -> torch.Tensor:
    geometry = backbone.geometry
    generator = torch.Generator().manual_seed(7)
    shape = (1, geometry.latent_channels, 2, 2, 4)
    context = backbone.context(torch.randn(shape, generator=generator), torch.zeros(5, 2, 4, 1))
    latents = torch.randn(shape, generator=generator)
    return backbone.velocity(
        latents, torch.tensor(sigma), context, backbone.encode_text(["a"], None)
    )


@FAMILY
def test_writing_for_comfyui_and_reading_back_changes_no_number(make, names):
    adapters = random_adapters(make())
    back = read_adapters(write_adapters(adapters, names, "comfyui"), names)
    assert back.keys() == adapters.keys()
    for layer, adapter in adapters.items():
        assert torch.equal(back[layer].down, adapter.down), layer
        assert torch.equal(back[layer].up, adapter.up), layer
        assert back[layer].alpha == adapter.alpha, layer


@FAMILY
def test_a_bias_comes_back_in_either_style(make, names):
    layer = next(layer for layer in random_adapters(make()) if "attn" in layer and "to_k" in layer)
    adapter = random_adapters(make())[layer]
    adapter = adapter._replace(bias=torch.randn(len(adapter.up)))
    for style in ("comfyui", "diffusers"):
        back = read_adapters(write_adapters({layer: adapter}, names, style), names, alpha=8.0)
        assert back.keys() == {layer}
        assert torch.allclose(back[layer].bias, adapter.bias, atol=1e-6)


def test_q_k_and_v_of_hunyuan_become_one_layer_of_three_times_the_rank():
    adapters = random_adapters(tiny_backbone())
    tensors = write_adapters(adapters, HUNYUAN, "comfyui")
    name = "diffusion_model.double_blocks.1.img_attn.qkv"
    assert tensors[f"{name}.lora_A.weight"].shape == (12, 32)
    assert tensors[f"{name}.lora_B.weight"].shape == (96, 12)
    assert tensors[f"{name}.alpha"] == 24  # alpha / rank stays 2
    change = 2 * tensors[f"{name}.lora_B.weight"] @ tensors[f"{name}.lora_A.weight"]
    parts = [adapters[f"transformer_blocks.1.attn.to_{part}"].delta() for part in "qkv"]
    assert torch.allclose(change, torch.cat(parts), atol=1e-5)
    txt = "diffusion_model.double_blocks.0.txt_attn.qkv.lora_B.weight"
    assert txt in tensors and "diffusion_model.double_blocks.0.img_mlp.2.alpha" in tensors
    # diffusers keeps scale before shift in the last norm, ComfyUI shift before scale
    final = tensors["diffusion_model.final_layer.adaLN_modulation.1.lora_B.weight"]
    assert torch.equal(final[:32], adapters["norm_out.linear"].up[32:])


def test_only_q_and_v_adapted_or_with_other_ranks_still_give_the_same_change():
    adapters = random_adapters(tiny_backbone())
    q, v = (f"transformer_blocks.0.attn.to_{part}" for part in "qv")
    two = {q: adapters[q], v: adapters[v]}
    assert read_adapters(write_adapters(two, HUNYUAN, "comfyui"), HUNYUAN).keys() == two.keys()
    wider = random_adapters(tiny_backbone(), rank=7, alpha=3.5)
    uneven = {q: adapters[q], v: wider[v]}
    back = read_adapters(write_adapters(uneven, HUNYUAN, "comfyui"), HUNYUAN)
    for layer in uneven:
        assert torch.allclose(back[layer].delta(), uneven[layer].delta(), atol=1e-5)


def test_a_joint_lora_of_another_trainer_is_cut_into_q_k_and_v():
    name = "diffusion_model.double_blocks.0.img_attn.qkv"
    down, up = torch.randn(5, 32), torch.randn(96, 5)
    adapters = read_adapters(
        {f"{name}.lora_down.weight": down, f"{name}.lora_up.weight": up}, HUNYUAN
    )
    change = torch.cat([adapters[f"transformer_blocks.0.attn.to_{part}"].delta() for part in "qkv"])
    assert torch.allclose(change, up @ down, atol=1e-5)


@cache
def styles(make) -> dict[str, dict[str, torch.Tensor]]:
    """The same LoRA under the names of five programs; alpha is 8 where none is stored."""
    backbone = make()
    names = backbone.key_names
    adapters = random_adapters(backbone)
    native = write_adapters(adapters, names, "comfyui")
    plain = write_adapters(adapters, names, "diffusers")
    dotted = {key.removeprefix("diffusion_model."): value for key, value in native.items()}

    def flat(key):
        layer, _, kind = key.partition(".alpha" if key.endswith(".alpha") else ".lora_")
        kind = ".alpha" if key.endswith(".alpha") else f".lora_{kind}"
        return "lora_unet_" + layer.replace(".", "_") + kind

    def down_up(key):
        return key.replace("lora_A", "lora_down").replace("lora_B", "lora_up")

    bare = {key.removeprefix("transformer."): value for key, value in plain.items()}
    return {
        "diffusers": plain,
        "comfyui": native,
        "comfyui-down-up": {down_up(key): value for key, value in native.items()},
        "comfyui-default": {
            key.replace("A.weight", "A.default.weight").replace("B.weight", "B.default.weight"): v
            for key, v in native.items()
        },
        "kohya": {flat(down_up(key)): value for key, value in dotted.items()},
        "peft": {f"base_model.model.{key}": value for key, value in bare.items()},
        "peft-native": {f"base_model.model.{key}": value for key, value in dotted.items()},
        "diffsynth": dotted,
    }


@pytest.mark.parametrize("make", [tiny_backbone, tiny_wan], ids=["hunyuan", "wan"])
def test_every_style_loads_and_changes_the_output_equally(make, tmp_path):
    outputs = {}
    for style, tensors in styles(make).items():
        backbone = make()
        before = output(backbone)
        (tmp_path / style).mkdir()
        path = tmp_path / style / "lora.safetensors"
        metadata = {"lora_adapter_metadata": json.dumps({"transformer.lora_alpha": 8})}
        save_file(tensors, path, metadata=metadata if style == "diffusers" else None)
        if style == "peft":
            config = json.dumps({"r": 4, "lora_alpha": 8})
            (path.parent / "adapter_config.json").write_text(config)
        count = load_plain_lora(backbone, path, strength=0.5)
        assert count == len(random_adapters(make())), style
        outputs[style] = output(backbone)
        assert not torch.allclose(outputs[style], before, atol=1e-2)
        set_lora_strengths(backbone, {"lora": 0})
        assert torch.equal(output(backbone), before)
    for style, result in outputs.items():
        assert torch.equal(result, outputs["diffusers"]), style


def test_names_of_tencent_and_musubi_are_read_too():
    adapters = random_adapters(tiny_backbone())
    originals = {
        "transformer_blocks.1.attn.to_k": "double_blocks.1.img_attn_k",
        "transformer_blocks.1.attn.add_v_proj": "double_blocks.1.txt_attn_v",
        "transformer_blocks.0.ff.net.0.proj": "double_blocks.0.img_mlp.fc1",
        "transformer_blocks.0.norm1.linear": "double_blocks.0.img_mod.linear",
        "context_embedder.time_text_embed.text_embedder.linear_2": "txt_in.c_embedder.linear_2",
    }
    tensors = {}
    for layer, name in originals.items():
        flat = f"lora_unet_{name.replace('.', '_')}"
        tensors[f"{flat}.lora_down.weight"] = adapters[layer].down
        tensors[f"{flat}.lora_up.weight"] = adapters[layer].up
        tensors[f"{flat}.alpha"] = torch.tensor(8.0)
    back = read_adapters(tensors, HUNYUAN)
    assert back.keys() == originals.keys()
    assert all(torch.equal(back[layer].up, adapters[layer].up) for layer in originals)


def test_a_few_step_lora_with_whole_differences_loads_over_ours(tmp_path):
    """As lightx2v writes: lora, changes of biases and of norms, one whole weight."""
    backbone = tiny_wan()
    generator = torch.Generator().manual_seed(1)
    head = torch.randn(64, 24, generator=generator)
    tensors = {
        "diffusion_model.blocks.0.ffn.0.lora_down.weight": torch.randn(2, 24, generator=generator),
        "diffusion_model.blocks.0.ffn.0.lora_up.weight": torch.randn(32, 2, generator=generator),
        "diffusion_model.blocks.0.ffn.0.alpha": torch.tensor(1.0),
        "diffusion_model.blocks.0.ffn.0.diff_b": torch.randn(32, generator=generator),
        "diffusion_model.blocks.0.norm3.diff": torch.zeros(24),
        "diffusion_model.head.head.diff": head,
    }
    save_file(tensors, tmp_path / "fast.safetensors")
    layers = backbone.transformer
    first, last = layers.blocks[0].ffn.net[0].proj, layers.proj_out
    weight, bias, final = first.weight.clone(), first.bias.clone(), last.weight.clone()
    add_lora(backbone, LoraSpec(4, 4), "ours")
    assert load_plain_lora(backbone, tmp_path / "fast.safetensors", strength=0.5) == 2
    assert lora_strengths(backbone) == {"ours": 1.0, "fast": 0.5}
    x, y = torch.randn(3, 24), torch.randn(3, 24)
    up = tensors["diffusion_model.blocks.0.ffn.0.lora_up.weight"]
    down = tensors["diffusion_model.blocks.0.ffn.0.lora_down.weight"]
    change = tensors["diffusion_model.blocks.0.ffn.0.diff_b"]
    want = x @ (weight + 0.25 * up @ down).T + bias + 0.5 * change
    assert torch.allclose(layers.blocks[0].ffn.net[0].proj(x), want, atol=1e-4)
    want = y @ (final + 0.5 * head).T + last.bias
    assert torch.allclose(layers.proj_out(y), want, atol=1e-4)


def train(backbone, seed):
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for network in filter(None, (backbone.transformer, backbone.transformer_2)):
            for parameter in network.parameters():
                if parameter.requires_grad:
                    parameter.copy_(torch.randn(parameter.shape, generator=generator) / 4)


def trained_wan_lora(path, style, kind="i2v", info=INFO):
    maker = tiny_wan(kind)
    for network in filter(None, (maker.transformer, maker.transformer_2)):
        network.requires_grad_(False)
    add_lora(maker, LoraSpec(4, 8.0, attention=True, patch_embedding=True), "x", info.expert)
    train(maker, 0)
    save_lora(maker, "x", path, info, torch.float32, style)
    return maker


@pytest.mark.parametrize("style", ["diffusers", "comfyui"])
def test_a_wan_lora_saved_in_either_style_does_the_same_when_loaded(style, tmp_path):
    path = tmp_path / "a.safetensors"
    want = output(trained_wan_lora(path, style))
    backbone = tiny_wan()
    assert load_lora(backbone, path).count == 2 * (2 + 4) + 1
    assert torch.equal(output(backbone), want)
    assert read_lora(path).info == INFO


def test_converting_a_file_there_and_back_keeps_every_number_and_the_metadata(tmp_path):
    source, there, back = (tmp_path / f"{name}.safetensors" for name in "abc")
    maker = tiny_backbone()
    info = replace(INFO, blank="zero")
    add_lora(maker, LoraSpec(4, 8.0, attention=True, patch_embedding=True), "x")
    train(maker, 3)
    save_lora(maker, "x", source, info)
    assert main(["lora", "convert", str(source), str(there)]) == 0
    assert main(["lora", "convert", str(there), str(back), "--style", "diffusers"]) == 0
    first, last = load_file(source), load_file(back)
    assert first.keys() == last.keys() and first.keys() != load_file(there).keys()
    assert all(torch.equal(first[key], last[key]) for key in first)
    metadata = [safe_open(path, "pt").metadata() for path in (source, there, back)]
    assert metadata[0] == metadata[1] == metadata[2]


def test_a_foreign_alpha_is_kept_in_either_style(tmp_path):
    """kohya's names, an alpha of a quarter of the rank: the same change of each weight."""
    generator = torch.Generator().manual_seed(0)
    stem, file = "lora_unet_blocks_0_ffn_2", tmp_path / "foreign.safetensors"
    down, up = torch.randn(8, 32, generator=generator), torch.randn(24, 8, generator=generator)
    tensors = {f"{stem}.lora_down.weight": down, f"{stem}.lora_up.weight": up}
    save_file(tensors | {f"{stem}.alpha": torch.tensor(2.0)}, file)
    for style in ("comfyui", "diffusers"):
        out = tmp_path / f"{style}.safetensors"
        assert main(["lora", "convert", str(file), str(out), "--style", style]) == 0
        (adapter,) = read_adapters(load_file(out), wan.KEY_NAMES).values()
        torch.testing.assert_close(adapter.delta(), 0.25 * up @ down)
    half = ["--strength", "0.5", "--overwrite"]
    assert main(["lora", "convert", str(file), str(out), *half]) == 0
    (adapter,) = read_adapters(load_file(out), wan.KEY_NAMES).values()
    torch.testing.assert_close(adapter.delta(), 0.125 * up @ down)
    assert main(["lora", "convert", str(file), str(out)]) == 2  # it exists


def test_two_experts_take_one_lora_each(tmp_path):
    paths = {expert: tmp_path / f"{expert}.safetensors" for expert in ("high", "low")}
    for expert, path in paths.items():
        trained_wan_lora(path, "diffusers", "a14b", replace(INFO, expert=expert))
    backbone = tiny_wan("a14b")
    before = {sigma: output(backbone, sigma) for sigma in (0.95, 0.5)}
    load_lora(backbone, paths["high"])
    assert not torch.allclose(output(backbone, 0.95), before[0.95], atol=1e-3)
    assert torch.equal(output(backbone, 0.5), before[0.5])
    load_lora(backbone, paths["low"], strength=0.7)
    assert lora_strengths(backbone) == {"high": 1.0, "low": pytest.approx(0.7)}
    assert not torch.allclose(output(backbone, 0.5), before[0.5], atol=1e-3)
    set_lora_strengths(backbone, {"high": 0.25})
    assert lora_strengths(backbone) == {"high": 0.25, "low": pytest.approx(0.7)}
    for name in paths:
        remove_lora(backbone, name)
    assert all(torch.equal(output(backbone, sigma), want) for sigma, want in before.items())
    with pytest.raises(InputError, match=r"expert .* got 'high', need ''"):
        load_lora(tiny_wan(), paths["high"])
    with pytest.raises(InputError, match=r"expert .* got '', need 'high' or 'low'"):
        add_lora(backbone, LoraSpec(4, 4), "x")


def test_the_family_of_a_file_is_read_from_its_layers():
    for make, family in ((tiny_backbone, "hunyuanvideo-1.5"), (tiny_wan, "wan")):
        assert {family_of(tensors) for tensors in styles(make).values()} == {family}
    with pytest.raises(InputError, match=r"got layers like single_blocks\.0\.linear1, need"):
        family_of({"diffusion_model.single_blocks.0.linear1.lora_A.weight": torch.ones(1, 1)})


@pytest.mark.parametrize(
    ("tensors", "message"),
    [
        ({"diffusion_model.double_blocks.0.img_mlp.0.lora_A.weight": (4, 24)}, "LoRA layer: got"),
        ({"blocks.0.ffn.0.lora_A.weight": (4, 24)}, r"net.0.proj.lora_B: got nothing"),
        ({"blocks.0.ffn.0.hada_w1_a": (4, 24)}, "LoHa, LoKr and DoRA files are not read"),
        (
            {"blocks.0.ffn.0.lora_A.weight": (4, 48), "blocks.0.ffn.0.lora_B.weight": (32, 4)},
            r"lora_A: got \[4, 48\], need \[4, 24\]",
        ),
        (
            {"blocks.0.ffn.0.lora_A.weight": (4, 24), "blocks.0.ffn.0.lora_B.weight": (32, 8)},
            r"lora_B: got \[32, 8\], need \[32, 4\] \(rank 4\)",
        ),
        (
            {"blocks.9.ffn.0.lora_A.weight": (4, 24), "blocks.9.ffn.0.lora_B.weight": (32, 4)},
            "LoRA layer: got blocks.9.ffn.net.0.proj, need a layer of the backbone",
        ),
        ({}, "no layer to adapt in tiny"),
    ],
)
def test_what_does_not_fit_is_refused_and_the_backbone_left_alone(tensors, message, tmp_path):
    path = tmp_path / "lora.safetensors"
    save_file({key: torch.ones(shape) for key, shape in tensors.items()}, path)
    backbone = tiny_wan()
    with pytest.raises(InputError, match=message):
        load_plain_lora(backbone, path)
    assert lora_strengths(backbone) == {}


def test_an_unknown_style_is_refused():
    with pytest.raises(InputError, match="LoRA style: got 'a1111', need diffusers or comfyui"):
        write_adapters({}, WAN, "a1111")
