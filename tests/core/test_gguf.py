"""GGUF files of quantisers that pack more than linear weights, or fold what has five dimensions."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from dreamactor_core.errors import InputError
from dreamactor_core.models.loading import load_backbone
from dreamactor_core.models.pipeline import FAMILIES
from dreamactor_core.weight_files.checkpoint import (
    linear_keys,
    read_header,
    read_weights,
    recognise,
)
from dreamactor_core.weight_files.parts import Files

from .stored import EXACT, answers, native_state

gguf = pytest.importorskip("gguf", reason="GGUF files need the package gguf")
Q8, BF16, F32 = (gguf.GGMLQuantizationType[name] for name in ("Q8_0", "BF16", "F32"))


def form_of(key: str, tensor: torch.Tensor, pack: str) -> gguf.GGMLQuantizationType:
    """What a careless quantiser makes of a tensor."""
    if pack == "bf16":
        return BF16
    return Q8 if tensor.shape[-1] % 32 == 0 and tensor.ndim < 5 else F32


def write_gguf(path, tensors, pack, fold=False, prefix=""):
    """Every tensor packed. fold: five dimensions as two, with a word on what they were."""
    writer = gguf.GGUFWriter(path, "video")
    forms = {}
    for key, tensor in tensors.items():
        values = tensor.numpy()
        if fold and tensor.ndim > 4:
            writer.add_array(f"comfy.gguf.orig_shape.{prefix}{key}", list(tensor.shape))
            values = values.reshape(len(values), -1)
        forms[key] = form_of(key, torch.from_numpy(values), pack)
        packed = gguf.quants.quantize(values, forms[key])
        writer.add_tensor(prefix + key, packed, raw_dtype=forms[key])
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return forms


def shapes(tensors) -> dict[str, tuple[int, ...]]:
    return {key: tuple(tensor.shape) for key, tensor in tensors.items()}


@pytest.mark.parametrize("pack", ["q8", "bf16"])
@pytest.mark.parametrize(
    ("kind", "layout"), [("hunyuan", "hunyuanvideo-1.5-comfyui"), ("i2v", "wan2.1-i2v-14b")]
)
def test_everything_but_linear_weights_is_unpacked(pipelines, kind, layout, pack, tmp_path):
    ours, folder = pipelines[kind]
    tensors = native_state(layout, ours.transformer)
    path = tmp_path / "model.gguf"
    forms = write_gguf(path, tensors, pack, fold=True)
    packed_others = [
        key for key, form in forms.items() if form is not F32 and tensors[key].ndim != 2
    ]
    assert any(key.endswith("bias") for key in packed_others)
    header = read_header(path)
    assert {key: t.shape for key, t in header.tensors.items()} == {
        k: t.shape for k, t in tensors.items()
    }
    linear = linear_keys(recognise(header, FAMILIES))
    weights = read_weights(header, torch.float32, packed=linear)
    for key, weight in weights.items():
        is_packed = hasattr(weight, "quant_type")
        assert is_packed == (key in linear and forms[key] is not F32), key
        if not is_packed:
            assert weight.shape == tensors[key].shape and weight.dtype == torch.float32
            assert torch.allclose(weight, tensors[key], atol=0.02 * tensors[key].abs().max() + 1e-6)
    loaded = load_backbone(folder, EXACT, Files((path,)))
    for mine, want in zip(answers(loaded), answers(ours), strict=True):
        assert (mine - want).norm() < 0.05 * want.norm()


def test_embeddings_are_no_linear_weights(pipelines, tmp_path):
    for kind, layout in (("hunyuan", "hunyuanvideo-1.5-comfyui"), ("i2v", "wan2.1-i2v-14b")):
        tensors = native_state(layout, pipelines[kind][0].transformer)
        write_gguf(tmp_path / f"{kind}.gguf", tensors, "bf16", fold=True)
        linear = linear_keys(recognise(read_header(tmp_path / f"{kind}.gguf"), FAMILIES))
        names = {"hunyuan": ("cond_type_embedding.weight", "img_in.proj.weight"),
                 "i2v": ("patch_embedding.weight", "blocks.0.modulation")}[kind]  # fmt: skip
        assert all(name in tensors and name not in linear for name in names)
        assert {"hunyuan": "double_blocks.0.img_attn.qkv.weight", "i2v": "blocks.0.ffn.0.weight"}[
            kind
        ] in linear


def test_a_prefix_and_a_wrong_word_on_a_shape(tmp_path):
    tensors = {"patch_embedding.weight": torch.randn(8, 4, 1, 2, 4)}
    path = tmp_path / "a.gguf"
    write_gguf(path, tensors, "bf16", fold=True, prefix="model.diffusion_model.")
    header = read_header(path)
    assert header.tensors["patch_embedding.weight"].shape == (8, 4, 1, 2, 4)
    weight = read_weights(header, torch.float32)["patch_embedding.weight"]
    assert torch.allclose(weight, tensors["patch_embedding.weight"], atol=0.02)
    writer = gguf.GGUFWriter(tmp_path / "b.gguf", "video")
    writer.add_array("comfy.gguf.orig_shape.w", [7, 7])
    writer.add_tensor("w", torch.ones(4, 4).numpy())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    with pytest.raises(InputError, match=r"w is \(4, 4\) and says that it was \(7, 7\)"):
        read_header(tmp_path / "b.gguf")


def test_numbers_of_other_kinds_are_read_and_what_nobody_unpacks_is_named(tmp_path):
    for kind in ("float64", "int32", "Q8_K"):
        writer = gguf.GGUFWriter(tmp_path / "a.gguf", "video")
        if kind == "Q8_K":
            q8_k = gguf.GGMLQuantizationType.Q8_K
            writer.add_tensor("w", np.zeros((1, 292), np.uint8), raw_dtype=q8_k)
        else:
            writer.add_tensor("w", np.arange(4, dtype=kind))
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
        header = read_header(tmp_path / "a.gguf")
        if kind == "Q8_K":
            with pytest.raises(InputError, match="w packed as Q8_K, which the package gguf does"):
                read_weights(header, torch.float32)
        else:
            assert read_weights(header, torch.float32)["w"].tolist() == [0, 1, 2, 3]


def test_damaged_files_are_refused(tmp_path):
    tensors = {"patch_embedding.weight": torch.randn(8, 64)}
    write_gguf(tmp_path / "a.gguf", tensors, "bf16")
    data = (tmp_path / "a.gguf").read_bytes()
    for k, damage in enumerate(
        (data[:100], data[:20], b"GGUF" + bytes(60), b"\xff" * 300, data[:-40])
    ):
        (tmp_path / f"{k}.gguf").write_bytes(damage)
        with pytest.raises(InputError, match="model file"):
            read_header(tmp_path / f"{k}.gguf")
