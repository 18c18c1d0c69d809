"""Recognising weights files by keys and shapes, before anything large is read."""

import re
import struct
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from dreamactor_core.errors import InputError
from dreamactor_core.models.pipeline import FAMILIES
from dreamactor_core.weight_files.checkpoint import Header, read_header, recognise
from dreamactor_core.weight_files.files import Files, find_file

from .stored import KEYS, Bomb, published
from .tiny import tiny_transformer, tiny_wan_transformer

PUBLISHED = {  # list -> name, parameters in billions, what the class must be told
    "hunyuanvideo-1.5-original": ("hunyuanvideo-1.5", 8.33, {"use_meanflow": False}),
    "hunyuanvideo-1.5-comfyui": ("hunyuanvideo-1.5", 8.33, {"use_meanflow": False}),
    "hunyuanvideo-1.5-step-distilled-original": ("hunyuanvideo-1.5", 8.33, {"use_meanflow": True}),
    "hunyuanvideo-1.5-step-distilled-comfyui": ("hunyuanvideo-1.5", 8.33, {"use_meanflow": True}),
    "wan2.1-i2v-14b": ("wan-i2v-14b", 16.39, {"in_channels": 36, "image_dim": 1280}),
    "wan2.1-fun-inp-1.3b": ("wan-i2v-1.3b", 1.56, {"num_attention_heads": 12, "num_layers": 30}),
    "wan2.2-i2v-a14b": ("wan-i2v-a14b", 14.29, {"image_dim": None, "added_kv_proj_dim": None}),
    "wan2.2-ti2v-5b": ("wan-ti2v-5b", 5.00, {"in_channels": 48, "ffn_dim": 14336}),
}


def test_every_list_is_tested():
    assert {path.stem for path in KEYS.glob("*.txt")} == PUBLISHED.keys()


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_published_checkpoint_loads_without_a_missing_or_unexpected_key(name):
    checkpoint = recognise(Header(Path(name), published(name)), FAMILIES)
    base, billions, config = PUBLISHED[name]
    assert checkpoint.found.name == base
    assert checkpoint.header.num_parameters() / 1e9 == pytest.approx(billions, abs=0.01)
    assert config.items() <= checkpoint.found.config.items()
    assert checkpoint.found.two_experts == (base == "wan-i2v-a14b")


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda t: t.pop("head.head.bias"), "without proj_out.bias and 0 more"),
        (lambda t: t.update(odd=t["head.head.bias"]), "with unknown odd and 0 more"),
        (
            lambda t: t.update({"blocks.3.ffn.0.bias": t["head.head.bias"]}),
            r"with other shapes of blocks\.3\.ffn\.net\.0\.proj\.bias",
        ),
        (
            lambda t: t.update({"patch_embedding.weight": torch.empty(5120, 16, 1, 2, 2)}),
            r"got a text-to-video model \(16 channels in, 16 out\), need an image-to-video model",
        ),
        (
            lambda t: t.update({"vace_blocks.0.x": t["head.head.bias"]}),
            "got a VACE model",
        ),
        (lambda t: t.update({"ref_conv.weight": t["head.head.bias"]}), "got a Fun-Control model"),
    ],
)
def test_relatives_and_damaged_lists_are_refused_in_words(edit, message):
    tensors = published("wan2.1-i2v-14b")
    edit(tensors)
    with pytest.raises(InputError, match=message):
        recognise(Header(Path("x"), tensors), FAMILIES)


def test_a_super_resolution_model_of_hunyuan_is_refused():
    tensors = published("hunyuanvideo-1.5-comfyui")
    tensors["img_in.proj.weight"] = torch.empty(2048, 98, 1, 1, 1, device="meta")
    with pytest.raises(InputError, match="got 98 channels in and 32 out, need 65 in and 32 out"):
        recognise(Header(Path("x"), tensors), FAMILIES)


def test_an_unknown_kind_says_what_its_shapes_look_like_and_what_is_supported(tmp_path):
    save_file({"model.layers.0.weight": torch.ones(3, 2)}, tmp_path / "wan2.1_i2v.safetensors")
    with pytest.raises(InputError) as caught:
        recognise(read_header(tmp_path / "wan2.1_i2v.safetensors"), FAMILIES)
    assert re.search(
        r"got 1 tensors such as layers\.0\.weight \(3, 2\), "
        r"need HunyuanVideo-1\.5 or Wan image-to-video",
        str(caught.value),
    )


@pytest.mark.parametrize("prefix", ["", "model.diffusion_model.", "diffusion_model."])
def test_the_prefix_of_a_file_does_not_matter(prefix, tmp_path):
    state = tiny_wan_transformer(image_dim=8, head=128).state_dict()
    path = tmp_path / "anything.safetensors"
    save_file({prefix + key: value for key, value in state.items()}, path)
    found = recognise(read_header(path), FAMILIES).found
    assert found.name == "wan-i2v-128" and found.config["num_layers"] == 2


def test_a_folder_of_shards_is_one_header(tmp_path):
    model = tiny_transformer(head=128)
    model.save_pretrained(tmp_path, max_shard_size="4MB")
    assert len(list(tmp_path.glob("*.safetensors"))) > 1
    found = recognise(read_header(tmp_path), FAMILIES).found
    assert found.config["text_embed_dim"] == 24 and found.geometry.latent_channels == 8


def test_broken_missing_and_dangerous_files_are_refused(tmp_path, capsys):
    save_file({"a": torch.ones(100)}, tmp_path / "whole.safetensors")
    data = (tmp_path / "whole.safetensors").read_bytes()
    (tmp_path / "cut.safetensors").write_bytes(data[:-50])
    (tmp_path / "text.safetensors").write_bytes(b"not a file of ours at all")
    (tmp_path / "huge.safetensors").write_bytes(struct.pack("<Q", 2**60) + b"{}")
    (tmp_path / "model.onnx").write_bytes(b"x")
    (tmp_path / "empty").mkdir()
    for name in ("cut.safetensors", "text.safetensors", "huge.safetensors", "model.onnx", "empty"):
        with pytest.raises(InputError, match=r"need a whole \.safetensors or \.gguf file"):
            read_header(tmp_path / name)
    with pytest.raises(InputError, match="got no such file"):
        read_header(tmp_path / "absent.safetensors")
    torch.save({"a": Bomb()}, tmp_path / "bomb.pt")
    with pytest.raises(InputError, match=r"got a pickle that holds more than weights"):
        read_header(tmp_path / "bomb.pt")
    assert "boom" not in capsys.readouterr().out
    torch.save({"state_dict": {"model.a": torch.ones(3, 2)}}, tmp_path / "plain.ckpt")
    assert read_header(tmp_path / "plain.ckpt").tensors["a"].shape == (3, 2)


def test_files_are_found_by_name_in_the_folders_of_a_host(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "b" / "wan").mkdir(parents=True)
    (tmp_path / "b" / "wan" / "x.gguf").write_bytes(b"")
    folders = [tmp_path / "a", tmp_path / "b"]
    assert find_file("wan/x.gguf", folders) == tmp_path / "b" / "wan" / "x.gguf"
    with pytest.raises(InputError, match=r"got 'y', need one of \['wan"):
        find_file("y", folders)
    with pytest.raises(InputError, match=r"got '\.\./b/wan/x\.gguf', need one of"):
        find_file("../b/wan/x.gguf", folders)
    with pytest.raises(InputError, match="the folders are empty"):
        find_file("y", folders[:1])


def test_files_are_looked_for_in_the_folders_of_comfyui(tmp_path):
    """By the folder's new name and its old one; what is a file as it stands stays."""
    here = tmp_path / "here.safetensors"
    named = ("diffusion_models/wan/high.gguf", "unet/low.gguf", "vae/v.safetensors")
    named += ("clip/umt5.safetensors", "clip_vision/h.safetensors")
    for path in (*(tmp_path / "models" / name for name in named), here):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    files = Files(("wan/high.gguf", "low.gguf"), "v.safetensors", ("umt5.safetensors", here))
    models = tmp_path / "models"
    high, low, vae, umt5, vision = (models / name for name in named)
    assert files.found_in(models) == Files((high, low), vae, (umt5, here))
    assert Files(image_encoder="h.safetensors").found_in(models).image_encoder == vision
    with pytest.raises(InputError, match=r"got 'v.gguf', need one of \['v.safetensors'\]"):
        Files(vae="v.gguf").found_in(models)
    with pytest.raises(InputError, match="the folders are empty"):
        Files(vae="v.safetensors").found_in(tmp_path / "nothing")
