import json
import shutil
from dataclasses import replace

import pytest
import torch
from safetensors.torch import save_file

from dreamactor_core.backbones import Context
from dreamactor_core.backbones.placement import Placement, place
from dreamactor_core.errors import InputError
from dreamactor_core.lora.adapters import LoraSpec, add_lora
from dreamactor_core.mini.folder import save_backbone
from dreamactor_core.mini.vae import MiniVAE
from dreamactor_core.models import find, pipeline
from dreamactor_core.models.loading import load_backbone
from dreamactor_core.weight_files.files import Files

from .stored import BASES, EXACT, answers, native_state, same
from .tiny import (
    GEOMETRY,
    tiny_backbone,
    tiny_vae,
)


def tiny_mini_vae():
    torch.manual_seed(4)
    return MiniVAE(8, (8, 8, 8), (1, 1, 1), scaling_factor=0.5).eval()


@pytest.fixture
def folder(tmp_path):
    save_backbone(
        tiny_backbone(), tmp_path / "model", torch.float32, description="d", trained_on="t"
    )
    return tmp_path / "model"


def test_a_saved_backbone_does_not_tell_where_it_was_opened(tmp_path):
    save_backbone(tiny_backbone(), tmp_path / "first")
    save_backbone(load_backbone(tmp_path / "first"), tmp_path / "second")
    told = [path.read_text() for path in (tmp_path / "second").rglob("*.json")]
    assert len(told) >= 4 and not any(str(tmp_path) in text for text in told)


@torch.no_grad()
@pytest.mark.parametrize("vae", [tiny_vae, tiny_mini_vae])
def test_a_saved_backbone_is_the_same_when_loaded(vae, tmp_path):
    ours = tiny_backbone()
    ours.vae = vae()
    save_backbone(ours, tmp_path, torch.float32)
    loaded = load_backbone(tmp_path)
    assert type(loaded.vae) is type(ours.vae)
    assert (loaded.name, loaded.geometry, loaded.blank) == ("tiny", GEOMETRY, "zero")
    latents = torch.randn(1, 8, 2, 2, 4)
    context = Context(torch.randn(1, 8, 2, 2, 4), torch.ones(1, 1, 2, 2, 4))
    frames, results = torch.rand(5, 32, 64, 3), []
    for backbone in (ours, loaded):
        text = backbone.encode_text(["waves"], None)
        results.append(backbone.velocity(latents, torch.tensor(0.5), context, text))
        results.append(backbone.decode_video(backbone.encode_video(frames)))
    assert torch.equal(results[0], results[2]) and torch.equal(results[1], results[3])


def test_a_save_that_fails_leaves_each_part_as_it_was_or_new(tmp_path):
    save_backbone(tiny_backbone(), tmp_path)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    broken = tiny_backbone()
    broken.vae = torch.nn.Identity()  # which nobody can save
    with pytest.raises(AttributeError):
        save_backbone(broken, tmp_path)
    after = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert after.keys() == before.keys()  # no part that is half written, hidden ones included
    new = {path.relative_to(tmp_path).parts[0] for path in after if after[path] != before[path]}
    assert new <= {"transformer"}
    load_backbone(tmp_path)


def test_half_files_are_loaded_to_the_wanted_precision_and_saving_changes_nothing(tmp_path):
    backbone = tiny_backbone()
    before = backbone.transformer.proj_out.weight.clone()
    save_backbone(backbone, tmp_path)
    assert torch.equal(backbone.transformer.proj_out.weight, before)
    sizes = [path.stat().st_size for path in tmp_path.rglob("*.safetensors")]
    parameters = sum(
        parameter.numel()
        for module in (backbone.transformer, backbone.vae, backbone.text_encoder)
        for parameter in module.parameters()
    )
    assert sum(sizes) < 2.2 * parameters
    loaded = load_backbone(tmp_path)
    for module in (loaded.transformer, loaded.vae, loaded.text_encoder):
        assert {parameter.dtype for parameter in module.parameters()} == {torch.float32}
        assert not module.training
    assert torch.equal(loaded.transformer.proj_out.weight, before.half().float())
    assert (
        load_backbone(tmp_path, Placement(dtype=torch.bfloat16)).transformer.dtype == torch.bfloat16
    )


def test_model_json_describes_the_model(folder):
    info = json.loads((folder / "model.json").read_text(encoding="utf-8"))
    assert (info["description"], info["trained_on"], info["blank"]) == ("d", "t", "zero")
    assert info["geometry"]["num_frames"] == 25 and info["geometry"]["panel"] == [32, 32]


def test_a_network_that_predicts_something_else_is_refused_in_words(folder):
    info = json.loads((folder / "model.json").read_text(encoding="utf-8"))
    (folder / "model.json").write_text(json.dumps(info | {"prediction_type": "sample"}))
    with pytest.raises(InputError, match=r"prediction_type is 'sample', .* knows only 'flow'"):
        load_backbone(folder)


def test_an_unknown_name_lists_what_there_is(tmp_path):
    with pytest.raises(InputError, match="model: got 'nothing-like-it', need one of "):
        load_backbone("nothing-like-it")
    with pytest.raises(InputError, match=r"or a folder with a model\.json"):
        load_backbone(tmp_path)


def cut(path):
    path.write_bytes(path.read_bytes()[:-1000])


def replace_text(old, new):
    return lambda path: path.write_text(path.read_text().replace(old, new))


@pytest.mark.parametrize(
    ("file", "damage"),
    [
        ("model.json", lambda path: path.write_text("{")),
        ("model.json", replace_text('"name"', '"nom"')),
        ("model.json", replace_text('"zero"', '"grey"')),
        ("model.json", replace_text('"flow"', '"guess"')),
        ("model.json", replace_text('"latent_channels": 8', '"latent_channels": 9')),
        ("transformer/config.json", lambda path: path.unlink()),
        ("transformer/diffusion_pytorch_model.safetensors", cut),
        ("transformer/diffusion_pytorch_model.safetensors", lambda path: path.unlink()),
        ("transformer/config.json", replace_text('"num_layers": 2', '"num_layers": 3')),
        ("vae/config.json", replace_text("AutoencoderKLHunyuanVideo15", "NoSuchVAE")),
        ("vae/diffusion_pytorch_model.safetensors", cut),
        ("text_encoder/model.safetensors", cut),
        ("text_encoder/config.json", replace_text('"num_layers": 1', '"num_layers": 2')),
    ],
)
def test_a_broken_folder_is_refused(folder, file, damage):
    damage(folder / file)
    with pytest.raises(InputError, match=r"model folder .* Copy or download the folder again"):
        load_backbone(folder)


@pytest.mark.parametrize("kind", BASES)
def test_a_diffusers_folder_is_loaded_as_it_was_saved(pipelines, kind):
    ours, folder = pipelines[kind]
    loaded = load_backbone(folder)
    assert same(loaded, ours)
    assert loaded.blank == ours.blank and type(loaded) is type(ours)
    assert loaded.geometry.latent_channels == ours.geometry.latent_channels
    assert loaded.geometry.fps == (16 if kind in ("i2v", "a14b") else 24)
    if kind == "a14b":
        assert loaded.boundary_ratio == 0.8  # the folder's word, not the default
    assert not any(parameter.requires_grad for parameter in loaded.transformer.parameters())


@pytest.mark.parametrize(
    ("kind", "layout"),
    [
        ("hunyuan", "hunyuanvideo-1.5-original"),
        ("hunyuan", "hunyuanvideo-1.5-comfyui"),
        ("i2v", "wan2.1-i2v-14b"),
        ("a14b", "wan2.2-i2v-a14b"),
        ("ti2v", "wan2.2-ti2v-5b"),
    ],
)
def test_a_single_file_in_the_original_or_comfyui_layout_gives_the_same_model(
    pipelines, kind, layout, tmp_path
):
    ours, folder = pipelines[kind]
    files = []
    for part in filter(None, (ours.transformer, ours.transformer_2)):
        files.append(tmp_path / f"{len(files)}.safetensors")
        tensors = native_state(layout, part)
        save_file({f"model.diffusion_model.{key}": t for key, t in tensors.items()}, files[-1])
    companions = tmp_path / "companions"
    shutil.copytree(folder, companions, ignore=shutil.ignore_patterns("transformer*"))
    assert same(load_backbone(companions, EXACT, Files(tuple(files))), ours)


@pytest.mark.parametrize(
    ("kind", "layout"), [("hunyuan", "hunyuanvideo-1.5-comfyui"), ("i2v", "wan2.1-i2v-14b")]
)
def test_a_gguf_file_gives_nearly_the_same_model_and_takes_a_lora(
    pipelines, kind, layout, tmp_path
):
    gguf = pytest.importorskip("gguf", reason="GGUF files need the package gguf")
    ours, folder = pipelines[kind]
    writer = gguf.GGUFWriter(tmp_path / "model.gguf", "video")
    kinds = set()
    for key, tensor in native_state(layout, ours.transformer).items():
        exact = tensor.ndim != 2 or tensor.shape[1] % 32 or "embed" in key
        form = gguf.GGMLQuantizationType.F32 if exact else gguf.GGMLQuantizationType.Q8_0
        kinds.add(form)
        writer.add_tensor(key, gguf.quants.quantize(tensor.numpy(), form), raw_dtype=form)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    assert len(kinds) == 2
    loaded = load_backbone(folder, EXACT, Files((tmp_path / "model.gguf",)))
    for mine, want in zip(answers(loaded), answers(ours), strict=True):
        assert not torch.equal(mine, want)
        assert (mine - want).norm() < 0.02 * want.norm()
    before = answers(loaded)[0]
    waiting = load_backbone(
        folder, replace(EXACT, offload="block"), Files((tmp_path / "model.gguf",))
    )
    assert torch.equal(answers(waiting)[0], before)
    add_lora(loaded, LoraSpec(4, 4.0), "x")
    assert torch.equal(answers(loaded)[0], before)
    with pytest.raises(InputError, match="GGUF file: got storage 'int8', need ''"):
        load_backbone(folder, replace(EXACT, storage="int8"), Files((tmp_path / "model.gguf",)))


def test_an_expert_is_stored_small_before_the_next_is_read(pipelines, monkeypatch):
    ours, folder = pipelines["a14b"]
    fp8, read, found = replace(EXACT, storage="fp8"), pipeline._load_network, []

    def watched(checkpoint, placement):
        found.extend([model.blocks[0].ffn.net[2].weight.dtype for model in models])
        models.append(read(checkpoint, placement))
        return models[-1]

    models: list[torch.nn.Module] = []
    monkeypatch.setattr(pipeline, "_load_network", watched)
    loaded = load_backbone(folder, fp8)
    assert found == [torch.float8_e4m3fn] and len(models) == 2
    afterwards = load_backbone(folder, EXACT)
    place(afterwards, fp8, [])
    for mine, want, exact in zip(*map(answers, (loaded, afterwards, ours)), strict=True):
        assert torch.equal(mine, want) and not torch.equal(mine, exact)


def test_one_expert_alone_or_two_of_different_models_are_refused(pipelines):
    a14b, i2v = pipelines["a14b"][1], pipelines["i2v"][1]
    high, low = a14b / "transformer", a14b / "transformer_2"
    with pytest.raises(InputError, match="got one expert, need two"):
        load_backbone(a14b, EXACT, Files((high,)))
    with pytest.raises(InputError, match=r"second expert: got wan-i2v-128, need the low-noise"):
        load_backbone(a14b, EXACT, Files((high, i2v / "transformer")))
    assert load_backbone(a14b, EXACT, Files((high, low))).transformer_2 is not None


def test_encoders_of_another_model_and_missing_ones_are_refused(pipelines, tmp_path):
    folder = tmp_path / "model"
    shutil.copytree(pipelines["hunyuan"][1], folder)
    path = folder / "text_encoder" / "config.json"
    path.write_text(path.read_text().replace('"hidden_size": 24', '"hidden_size": 32'))
    with pytest.raises(
        InputError, match=r"text_encoder in .*: got width 32, need width 24, which h"
    ):
        load_backbone(folder)
    shutil.rmtree(folder / "text_encoder")
    with pytest.raises(InputError, match=r"text_encoder in .*: got none, need width 24"):
        load_backbone(folder)
    with pytest.raises(InputError, match=r"or a folder with a model\.json or model_index\.json"):
        load_backbone(tmp_path, EXACT)


@pytest.mark.parametrize("file", ["vae/config.json", "tokenizer/tokenizer.json"])
def test_a_broken_pipeline_folder_is_refused(pipelines, tmp_path, file):
    folder = tmp_path / "model"
    shutil.copytree(pipelines["i2v"][1], folder)
    (folder / file).write_text("{")
    with pytest.raises(InputError, match="Copy or download the folder again"):
        load_backbone(folder)


def test_too_little_memory_is_said_before_anything_is_read(pipelines, monkeypatch):
    folder = pipelines["i2v"][1]
    monkeypatch.setattr(
        "dreamactor_core.models.estimate.psutil.virtual_memory",
        lambda: type("Memory", (), {"available": 1000}),
    )
    monkeypatch.setattr("dreamactor_core.models.pipeline._load_network", None)  # must not be met
    with pytest.raises(InputError, match=r"RAM: got 0\.0 GiB free, need .* for the weights"):
        load_backbone(folder)
    with pytest.raises(InputError, match=r"RAM: got .* for \d+ tokens"):
        find(folder).estimate(EXACT, (32, 32), 4, 0.0)


def test_a_preflight_reads_tokens_from_the_header_alone(pipelines):
    folder = pipelines["i2v"][1]
    source = find(folder)
    estimated = source.estimate(EXACT, (32, 64), 8, 0.0)
    assert estimated.tokens == 3 * 2 * 8 and estimated.ram > estimated.weights > 0
    whole = source.estimate(EXACT, (416, 240), 900, 1.0)
    named = find(folder, Files((folder / "transformer",)))
    assert whole == named.estimate(EXACT, (416, 240), 900, 1.0)
    assert whole.tokens == 21 * 416 * 480 // 256


def test_an_estimate_is_of_the_clip_and_not_of_a_full_pass(pipelines):
    source = find(pipelines["i2v"][1])  # 16 fps: 17 frames of lead-in, then 64 of the clip
    frames = {n: source.estimate(EXACT, (32, 32), n, 1.0).tokens // 8 for n in (1, 16, 64, 65)}
    assert frames == {1: 6, 16: 9, 64: 21, 65: 21}


def test_a_model_of_any_kind_is_opened_and_what_does_not_apply_is_refused(pipelines, folder):
    backbone, there = pipelines["a14b"]
    files = Files((there / "transformer", there / "transformer_2"))
    assert same(find(there, files).open(EXACT).backbone, backbone)
    assert find(folder).open(replace(EXACT, drop_padding=True)).name == "tiny"
    for placement, named in (
        (replace(EXACT, offload="block"), None),
        (replace(EXACT, storage="fp8"), None),
        (replace(EXACT, vae_tiling=True), None),
        (EXACT, files),
        (EXACT, Files(vae=there / "vae")),
    ):
        with pytest.raises(InputError, match=r"got weights, storage, .* it is small"):
            find(folder, named).open(placement)
