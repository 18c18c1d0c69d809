"""Files whose weights have a scale of their own, in ComfyUI's layouts."""

from dataclasses import replace

import pytest
import torch
from safetensors.torch import save_file

from dreamactor_core.backbones.placement import Placement
from dreamactor_core.errors import InputError
from dreamactor_core.models.loading import load_backbone
from dreamactor_core.weight_files.checkpoint import read_header, read_weights
from dreamactor_core.weight_files.files import Files
from dreamactor_core.weight_files.scaled import store_scaled, unscale

from .stored import EXACT, FP8, answers, native_state, said, same, scaled_file


def test_a_weight_is_what_is_stored_times_its_scale():
    stored = torch.tensor([[1.5, -448.0], [0.25, 3.5]]).to(FP8)
    scale = torch.tensor(0.3)
    assert torch.equal(unscale(stored, scale, torch.float32), stored.float() * scale)
    half = unscale(stored, scale, torch.bfloat16)
    assert torch.equal(half, (stored.float() * scale).bfloat16())  # rounded once
    rows = torch.tensor([[0.5], [2.0]])
    want = torch.tensor([[0.75, -224.0], [0.5, 7.0]])
    assert torch.equal(unscale(stored, rows, torch.float32), want)
    assert torch.equal(unscale(stored, rows.flatten(), torch.float32), want)
    patches = torch.ones(2, 3, 1, 2, 2)
    assert unscale(patches, rows.flatten(), torch.float32)[:, 0, 0, 0, 0].tolist() == [0.5, 2.0]


@pytest.mark.parametrize("layout", ["old", "new", "metadata"])
def test_every_layout_of_scaled_fp8_is_read_exactly(layout, tmp_path):
    generator = torch.Generator().manual_seed(0)
    tensors = {
        "blocks.0.ffn.0.weight": torch.randn(6, 4, generator=generator),
        "blocks.0.ffn.0.bias": torch.randn(6, generator=generator),
        "blocks.1.ffn.0.weight": 50 * torch.randn(6, 4, generator=generator),
    }
    path = tmp_path / "any name.safetensors"
    meant = scaled_file(tensors, path, layout, "model.diffusion_model.")
    header = read_header(path)
    assert header.tensors.keys() == tensors.keys() and header.num_parameters() == 54
    read = read_weights(header, torch.float32)
    assert read.keys() == meant.keys()
    assert all(torch.equal(read[key], meant[key]) for key in meant)
    half = read_weights(header, torch.bfloat16, lambda key: key.startswith("blocks.1"))
    assert half.keys() == {"blocks.1.ffn.0.weight"}
    assert torch.equal(half["blocks.1.ffn.0.weight"], meant["blocks.1.ffn.0.weight"].bfloat16())


def test_plain_fp8_and_int8_with_a_scale_are_read(tmp_path):
    numbers = torch.tensor([[-127, 5], [64, 0]], dtype=torch.int8)
    file = {
        "a.weight": numbers,
        "a.weight_scale": torch.tensor(0.01),
        "a.comfy_quant": said(format="int8_tensorwise"),
        "b.weight": numbers.clone(),
        "b.weight_scale": torch.tensor([[0.01], [2.0]]),
        "b.comfy_quant": said(format="int8_tensorwise", convrot=False),
        "c.weight": torch.tensor([[1.5, -2.0]]).to(torch.float8_e5m2),
        "c.weight_scale": torch.tensor([0.5]),
        "c.comfy_quant": said(format="float8_e5m2"),
        "d.weight": torch.tensor([[1.5, -2.0]]).to(FP8),
    }
    save_file(file, tmp_path / "x.safetensors")
    read = read_weights(read_header(tmp_path / "x.safetensors"), torch.float32)
    assert torch.equal(read["a.weight"], numbers.float() * 0.01)
    assert torch.equal(read["b.weight"], numbers.float() * torch.tensor([[0.01], [2.0]]))
    assert read["c.weight"].tolist() == [[0.75, -1.0]]
    assert read["d.weight"].tolist() == [[1.5, -2.0]]


PACKED, INT8 = torch.ones(4, 8, dtype=torch.uint8), torch.ones(4, 16, dtype=torch.int8)
OTHER = {  # layer's tensors -> what the error calls them
    "nvfp4": (
        {"weight": PACKED, "weight_scale": PACKED[:, :1].clone()},
        said(format="nvfp4"),
        "nvfp4",
    ),
    "mxfp8": ({"weight": PACKED.to(FP8)}, said(format="mxfp8"), "mxfp8"),
    "convrot": (
        {"weight": INT8, "weight_scale": torch.ones(4, 1)},
        said(format="int8_tensorwise", convrot=True, convrot_groupsize=16),
        "int8_tensorwise with convrot",
    ),
    "older convrot": (
        {"weight": INT8, "weight_scale": torch.ones(4, 1)},
        said(format="int8_tensorwise", params={"convrot": True}),
        "int8_tensorwise with convrot",
    ),
    "w4a4": ({"weight": INT8}, said(format="convrot_w4a4"), "convrot_w4a4"),
    "blocks": (
        {"weight": PACKED.to(FP8), "weight_scale": torch.ones(4, 2)},
        None,
        r"numbers with block scales \(4, 2\)",
    ),
    "int8 of unknown kind": (
        {"weight": INT8, "weight_scale": torch.ones(())},
        None,
        "int8 without format and scale",
    ),
    "4 bits of unknown kind": ({"weight": PACKED}, None, "uint8 without format and scale"),
}


@pytest.mark.parametrize("name", OTHER)
def test_other_formats_are_refused_by_name(name, tmp_path):
    layer, how, words = OTHER[name]
    file = {f"a.{leaf}": tensor for leaf, tensor in layer.items()}
    save_file(file | ({} if how is None else {"a.comfy_quant": how}), tmp_path / "x.safetensors")
    with pytest.raises(InputError, match=rf"got weights stored as {words} \(a\.weight\), need"):
        read_header(tmp_path / "x.safetensors")


def test_notes_that_are_no_json_and_scaled_shards_are_refused(tmp_path):
    weight = {"a.weight": torch.ones(2, 2).to(FP8), "a.weight_scale": torch.ones(())}
    (tmp_path / "folder").mkdir()
    save_file(weight, tmp_path / "folder" / "x.safetensors")
    with pytest.raises(InputError, match=r"got a folder with scaled weights \(x\.safetensors\)"):
        read_header(tmp_path / "folder")
    note = {"a.comfy_quant": torch.tensor([123], dtype=torch.uint8)}
    save_file(weight | note, tmp_path / "y.safetensors")
    with pytest.raises(InputError, match=r"need a whole \.safetensors or \.gguf file"):
        read_header(tmp_path / "y.safetensors")


@pytest.mark.parametrize(
    ("kind", "layout", "form"),
    [("hunyuan", "hunyuanvideo-1.5-comfyui", "old"), ("i2v", "wan2.1-i2v-14b", "new")],
)
def test_a_scaled_file_gives_the_model_of_its_multiplied_weights(
    pipelines,
    kind,
    layout,
    form,
    tmp_path,
):
    ours, folder = pipelines[kind]
    scaled, plain = (Files((tmp_path / f"{name}.safetensors",)) for name in ("scaled", "plain"))
    tensors = native_state(layout, ours.transformer)
    meant = scaled_file(tensors, scaled.transformers[0], form, "model.diffusion_model.")
    save_file({key: tensor.contiguous() for key, tensor in meant.items()}, plain.transformers[0])
    loaded = load_backbone(folder, EXACT, scaled)
    assert same(loaded, load_backbone(folder, EXACT, plain))
    for mine, want in zip(answers(loaded), answers(ours), strict=True):
        assert 0 < (mine - want).norm() < 0.1 * want.norm()
    half = load_backbone(folder, Placement(dtype=torch.bfloat16), scaled)
    assert half.transformer.proj_out.weight.dtype == torch.bfloat16
    stored = load_backbone(folder, replace(EXACT, storage="fp8"), scaled)
    assert FP8 in {parameter.dtype for parameter in stored.transformer.parameters()}
    for mine, want in zip(answers(stored), answers(loaded), strict=True):
        assert (mine - want).norm() < 0.1 * want.norm()


def test_weights_stored_with_a_scale_for_each_row_are_half_a_step_off_at_most(tmp_path):
    generator = torch.Generator().manual_seed(0)
    weights = {
        "a.weight": torch.randn(64, 16, 2, 2, generator=generator)
        * torch.logspace(-3, 3, 64)[:, None, None, None],
        "a.bias": torch.randn(64, generator=generator).half(),
        "b.weight": torch.randn(8, 8, generator=generator).half(),  # of few numbers
        "table": torch.randn(64, 64, generator=generator).half(),  # no layer's weight
    }
    weights["a.weight"][5] = 0
    store_scaled(path := tmp_path / "small.safetensors", weights)
    header = read_header(path)
    assert list(header.scales) == ["a.weight"]
    read = read_weights(header, torch.float32)
    assert read.keys() == weights.keys()
    assert all(torch.equal(read[name], weights[name]) for name in weights if name != "a.weight")
    step = weights["a.weight"].flatten(1).abs().amax(dim=1)[:, None] / 127
    off = (read["a.weight"] - weights["a.weight"]).flatten(1).abs()
    assert (off <= 0.5001 * step).all() and off.max() > 0 and not off[5].any()
    assert path.stat().st_size < 64 * 64 + 4 * 64 + 2 * (64 + 64 + 64 * 64) + 1000
