import json

import pytest
import torch

from dreamactor_core.backbones import Context
from dreamactor_core.backbones.loading import load_backbone, save_backbone
from dreamactor_core.backbones.mini_vae import MiniVAE
from dreamactor_core.errors import InputError

from .tiny import GEOMETRY, tiny_backbone, tiny_vae


def tiny_mini_vae():
    torch.manual_seed(4)
    return MiniVAE(8, (8, 8, 8, 8), (1, 1, 1, 1), scaling_factor=0.5).eval()


@pytest.fixture
def folder(tmp_path):
    save_backbone(
        tiny_backbone("sample"), tmp_path / "model", torch.float32, description="d", trained_on="t"
    )
    return tmp_path / "model"


@torch.no_grad()
@pytest.mark.parametrize("vae", [tiny_vae, tiny_mini_vae])
def test_a_saved_backbone_is_the_same_when_loaded(vae, tmp_path):
    ours = tiny_backbone("sample")
    ours.vae = vae()
    save_backbone(ours, tmp_path, torch.float32)
    loaded = load_backbone(tmp_path)
    assert type(loaded.vae) is type(ours.vae)
    assert (loaded.name, loaded.geometry, loaded.prediction_type, loaded.blank) == (
        "tiny",
        GEOMETRY,
        "sample",
        "zero",
    )
    latents = torch.randn(1, 8, 2, 2, 4)
    context = Context(torch.randn(1, 8, 2, 2, 4), torch.ones(1, 1, 2, 2, 4))
    frames, results = torch.rand(5, 32, 64, 3), []
    for backbone in (ours, loaded):
        text = backbone.encode_text(["waves"], None)
        results.append(backbone.velocity(latents, torch.tensor(0.5), context, text))
        results.append(backbone.decode_video(backbone.encode_video(frames)))
    assert torch.equal(results[0], results[2]) and torch.equal(results[1], results[3])


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
    assert load_backbone(tmp_path, dtype=torch.bfloat16).transformer.dtype == torch.bfloat16


def test_model_json_describes_the_model(folder):
    info = json.loads((folder / "model.json").read_text(encoding="utf-8"))
    assert (info["description"], info["trained_on"], info["blank"]) == ("d", "t", "zero")
    assert info["geometry"]["num_frames"] == 25 and info["geometry"]["panel"] == [32, 32]


def test_an_unknown_name_lists_what_there_is(tmp_path):
    with pytest.raises(InputError, match="backbone: got 'nothing-like-it', need one of "):
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
        ("model.json", replace_text('"sample"', '"guess"')),
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
