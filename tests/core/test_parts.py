"""Single files of autoencoders and encoders in the place of a pipeline folder's own."""

import json
import shutil

import pytest
import torch
from diffusers import AutoencoderKLHunyuanVideo15, AutoencoderKLWan
from safetensors.torch import save_file

from dreamactor_core.backbones import hunyuan15, wan
from dreamactor_core.backbones.placement import Placement
from dreamactor_core.errors import InputError
from dreamactor_core.models import find
from dreamactor_core.models.loading import load_backbone
from dreamactor_core.weight_files.files import Files
from dreamactor_core.weight_files.part_kinds import PART_KINDS
from dreamactor_core.weight_files.parts import load_part, recognise_parts

from .stored import EXACT, Bomb, published, scaled_file
from .tiny import (
    tiny_backbone,
    tiny_hunyuan_pipeline,
    tiny_vae,
    tiny_wan,
    tiny_wan_pipeline,
    tiny_wan_vae,
)

WAN_2_2 = {
    "base_dim": 160,
    "decoder_base_dim": 256,
    "z_dim": 48,
    "is_residual": True,
    "in_channels": 12,
    "out_channels": 12,
    "patch_size": 2,
    "latents_mean": [0.0] * 48,
    "latents_std": [1.0] * 48,
}
VAES = {  # list of keys -> class, config, whose autoencoder it is
    "wan-2.1": (AutoencoderKLWan, {}, "Wan 2.1"),
    "wan-2.2": (AutoencoderKLWan, WAN_2_2, "Wan 2.2 5B"),
    "hunyuanvideo-1.5": (AutoencoderKLHunyuanVideo15, {}, "HunyuanVideo-1.5"),
}


def kind_of(tensors):
    return next(kind for kind in PART_KINDS if kind.owns(tensors))


@pytest.mark.parametrize("name", VAES)
def test_every_key_of_a_published_autoencoder_has_its_place(name):
    cls, config, model = VAES[name]
    with torch.device("meta"):
        want = cls(**config).state_dict()
    tensors = published(f"vae/{name}")
    kind = kind_of(tensors)
    assert kind.title == f"the autoencoder of {model}" and kind_of(want) == kind
    have = kind.convert(tensors)
    assert {key: t.shape for key, t in have.items()} == {key: t.shape for key, t in want.items()}


@pytest.mark.parametrize(
    ("name", "native", "ours"),
    [
        ("wan-2.1", "decoder.upsamples.4.residual.2.bias", "decoder.up_blocks.1.resnets.0.conv1"),
        ("wan-2.2", "encoder.downsamples.1.downsamples.2.time_conv.bias", "down_blocks.1.downsamp"),
        ("wan-2.2", "decoder.upsamples.3.upsamples.1.residual.6.bias", "blocks.3.resnets.1.conv2"),
        ("wan-2.2", "decoder.upsamples.2.upsamples.0.shortcut.bias", "resnets.0.conv_shortcut"),
        ("hunyuanvideo-1.5", "encoder.mid.attn_1.k.bias", "mid_block.attentions.0.to_k.bias"),
        ("hunyuanvideo-1.5", "decoder.mid.block_2.norm2.gamma", "mid_block.resnets.1.norm2.gamma"),
        ("hunyuanvideo-1.5", "decoder.up.4.block.2.conv1.conv.bias", "up_blocks.4.resnets.2.conv1"),
    ],
)
def test_layers_that_shapes_cannot_tell_apart_keep_their_places(name, native, ours):
    tensors = {key: torch.zeros(1) for key in published(f"vae/{name}")}
    tensors[native] = torch.ones(1)
    (place,) = [key for key, t in kind_of(tensors).convert(tensors).items() if t.item()]
    assert ours in place and place.endswith(native.rpartition(".")[2])


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Kind -> (pipeline, its folder, the same folder without any weights but the transformer's)."""
    pytest.importorskip("ftfy", reason="diffusers cleans Wan's prompts with ftfy")
    folders = {}
    for kind in ("hunyuan", "i2v", "ti2v"):
        folder = tmp_path_factory.mktemp(kind) / "whole"
        if kind == "hunyuan":
            backbone = tiny_backbone(head=128)
            backbone.vae = tiny_vae(2)
            pipeline = tiny_hunyuan_pipeline(backbone)
        else:
            backbone = tiny_wan(kind, head=128)
            backbone.vae = tiny_wan_vae(backbone.geometry.latent_channels, 2)
            pipeline = tiny_wan_pipeline(backbone)
        pipeline.save_pretrained(folder)
        bare = folder.parent / "bare"
        shutil.copytree(folder, bare)
        for path in bare.glob("*/*.safetensors"):
            if path.parent.name != "transformer":
                path.unlink()
        folders[kind] = pipeline, folder, bare
    return folders


def native_vae(vae, name: str) -> dict[str, torch.Tensor]:
    """The weights of a small autoencoder under the keys of a published one."""
    keys = list(published(f"vae/{name}"))
    marks = {key: torch.full((1,), float(n)) for n, key in enumerate(keys)}
    places = {keys[int(mark)]: place for place, mark in kind_of(marks).convert(marks).items()}
    state = vae.state_dict()
    return {key: state[places[key]] for key in keys}


def t5(encoder) -> dict[str, torch.Tensor]:
    """As the files have it: the embedding once, the tokenizer beside it."""
    tensors = encoder.state_dict()
    del tensors["encoder.embed_tokens.weight"]
    return tensors | {"spiece_model": torch.zeros(7, dtype=torch.uint8)}


def qwen(encoder) -> dict[str, torch.Tensor]:
    tensors = {f"model.{key}": tensor for key, tensor in encoder.state_dict().items()}
    return tensors | {
        "visual.patch_embed.proj.weight": torch.ones(3),
        "lm_head.weight": torch.ones(2),
    }


def bare(encoder) -> dict[str, torch.Tensor]:
    """Its weights without the prefix that transformers 4 puts before each."""
    return {key.removeprefix("vision_model."): t for key, t in encoder.state_dict().items()}


def vision(encoder, head: bool = True) -> dict[str, torch.Tensor]:
    tensors = {
        f"vision_model.{key}": tensor
        for key, tensor in bare(encoder).items()
        if head or not key.startswith("head.")
    }
    ids = torch.arange(5)[None]
    return tensors | {"vision_model.embeddings.position_ids": ids, "logit_scale": torch.ones(())}


def open_clip(encoder) -> dict[str, torch.Tensor]:
    names = {
        "embeddings.class_embedding": "class_embedding",
        "embeddings.patch_embedding.weight": "conv1.weight",
        "embeddings.position_embedding.weight": "positional_embedding",
    }
    tensors = {}
    for key, tensor in bare(encoder).items():
        layer, _, leaf = key.rpartition(".")
        if layer.endswith("k_proj"):  # the first of the three
            stem = layer.removesuffix("k_proj")
            parts = [bare(encoder)[f"{stem}{name}_proj.{leaf}"] for name in "qkv"]
            stem = stem.replace("encoder.layers", "transformer.resblocks").replace(
                "self_attn", "attn"
            )
            tensors[f"visual.{stem}in_proj_{leaf}"] = torch.cat(parts)
        elif not layer.endswith(("q_proj", "v_proj")):
            for old, new in (
                ("encoder.layers", "transformer.resblocks"),
                ("self_attn.out_proj", "attn.out_proj"),
                ("layer_norm", "ln_"),
                ("mlp.fc1", "mlp.c_fc"),
                ("mlp.fc2", "mlp.c_proj"),
                ("pre_layrnorm", "ln_pre"),
                ("post_layernorm", "ln_post"),
            ):
                key = key.replace(old, new)
            tensors[f"visual.{names.get(key, key)}"] = tensor
    return tensors | {"visual.proj": torch.ones(8, 4)}


def write(folder, **files) -> dict:
    paths = {}
    for name, tensors in files.items():
        paths[name] = folder / f"{name} of any name.safetensors"
        save_file({key: tensor.contiguous() for key, tensor in tensors.items()}, paths[name])
    return paths


@torch.no_grad()
def seen(backbone) -> list[torch.Tensor]:
    """What autoencoder and encoders say."""
    generator = torch.Generator().manual_seed(0)
    reference = torch.rand(1, 32, 32, 3, generator=generator)
    clip = torch.rand(5, 64, 64, 3, generator=generator)
    latents = backbone.encode_video(clip)
    return [
        *backbone.encode_text(['waves "hello"'], reference),
        latents,
        backbone.decode_video(latents),
    ]


def assert_same(left, right) -> None:
    assert all(torch.equal(a, b) for a, b in zip(seen(left), seen(right), strict=True))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_hunyuan_from_single_files_is_the_folder_to_the_last_bit(made, dtype, tmp_path):
    pipeline, whole, bare = made["hunyuan"]
    paths = write(
        tmp_path,
        vae=native_vae(pipeline.vae, "hunyuanvideo-1.5"),
        byt5=t5(pipeline.text_encoder_2),
        qwen=qwen(pipeline.text_encoder),
        sigclip=vision(pipeline.image_encoder),
    )
    files = Files((), paths["vae"], (paths["byt5"], paths["qwen"]), paths["sigclip"])
    placement = Placement(dtype=dtype)
    loaded = load_backbone(bare, placement, files)
    assert_same(loaded, load_backbone(whole, placement))
    encoder = loaded.text_encoder.pipeline.text_encoder
    assert encoder.dtype == dtype and not encoder.training
    assert not any(parameter.requires_grad for parameter in encoder.parameters())


@pytest.mark.parametrize(("kind", "vae"), [("i2v", "wan-2.1"), ("ti2v", "wan-2.2")])
def test_wan_from_single_files_is_the_folder_to_the_last_bit(made, kind, vae, tmp_path):
    pipeline, whole, bare = made[kind]
    image = {} if kind == "ti2v" else {"clip": vision(pipeline.image_encoder)}
    paths = write(
        tmp_path, vae=native_vae(pipeline.vae, vae), umt5=t5(pipeline.text_encoder), **image
    )
    files = Files((), paths["vae"], (paths["umt5"],), paths.get("clip"))
    assert_same(load_backbone(bare, EXACT, files), load_backbone(whole, EXACT))


def test_a_file_may_stand_for_one_part_alone_and_have_other_names(made, tmp_path):
    pipeline, whole, _ = made["i2v"]
    paths = write(
        tmp_path,
        vae=pipeline.vae.state_dict(),
        clip=open_clip(pipeline.image_encoder),
        umt5=t5(pipeline.text_encoder),
    )
    want = load_backbone(whole, EXACT)
    for files in (
        Files(vae=paths["vae"]),
        Files(image_encoder=paths["clip"]),
        Files(text_encoders=(paths["umt5"],)),
    ):
        assert_same(load_backbone(whole, EXACT, files), want)


def test_a_siglip_file_without_the_head_that_nothing_asks_for(made, tmp_path):
    pipeline, whole, _ = made["hunyuan"]
    paths = write(tmp_path, siglip=vision(pipeline.image_encoder, head=False))
    files = Files(image_encoder=paths["siglip"])
    assert_same(load_backbone(whole, EXACT, files), load_backbone(whole, EXACT))


@pytest.mark.parametrize("layout", ["old", "new"])
def test_a_scaled_text_encoder_is_read_as_its_multiplied_weights(made, layout, tmp_path):
    pipeline, _, bare = made["hunyuan"]
    tensors = {k: t.contiguous() for k, t in qwen(pipeline.text_encoder).items()}
    meant = scaled_file(tensors, tmp_path / "scaled.safetensors", layout)
    plain = write(tmp_path, plain=meant)["plain"]
    parts = (
        recognise_parts(bare, Files(text_encoders=(path,)))["text_encoder"]
        for path in (tmp_path / "scaled.safetensors", plain)
    )
    scaled, want = (load_part(part, torch.bfloat16).state_dict() for part in parts)
    assert scaled.keys() == pipeline.text_encoder.state_dict().keys()
    assert all(torch.equal(scaled[key], want[key]) for key in want)


def narrow(tensors, width: int = 12):
    return {key: t[:width] if key == "shared.weight" else t for key, t in tensors.items()}


def test_a_wrong_file_is_told_in_one_sentence_before_anything_is_read(made, tmp_path, monkeypatch):
    pipeline, _, bare = made["i2v"]
    whole_t5 = t5(pipeline.text_encoder)
    paths = write(
        tmp_path,
        umt5=whole_t5,
        narrow=narrow(whole_t5),
        lacking={key: t for key, t in whole_t5.items() if "final" not in key},
        vae=native_vae(pipeline.vae, "wan-2.1"),
        vae_2=native_vae(tiny_wan_vae(48, 2), "wan-2.2"),
        network=pipeline.transformer.state_dict(),
        other={"a.weight": torch.ones(2)},
        qwen=qwen(made["hunyuan"][0].text_encoder),
    )
    cut = tmp_path / "cut.safetensors"
    cut.write_bytes(paths["vae"].read_bytes()[:-100])
    torch.save({"a": Bomb()}, tmp_path / "bomb.pth")
    monkeypatch.setattr("dreamactor_core.models.pipeline._load_network", None)  # never met
    for files, words in (
        (
            Files(vae=paths["umt5"]),
            r"vae .*: got a T5 text encoder, need the autoencoder of Wan 2.1",
        ),
        (
            Files(vae=paths["vae_2"]),
            "got the autoencoder of Wan 2.2 5B, need the autoencoder of Wan",
        ),
        (
            Files(vae=paths["network"]),
            "got the network of Wan image-to-video, need the autoencoder",
        ),
        (Files(vae=paths["other"]), "got the network of something else, need"),
        (Files(text_encoders=(paths["qwen"],)), "text_encoder .*: got a Qwen2.5-VL .* need a T5"),
        (Files(text_encoders=(paths["umt5"],) * 2), "text_encoder .*: got a T5 .* once more"),
        (Files(image_encoder=paths["vae"]), "image_encoder .* need a CLIP image encoder"),
        (
            Files(text_encoders=(paths["narrow"],)),
            r"a T5 text encoder with other shapes of .*, \(12, 16\) instead of \(128, 16\), and",
        ),
        (
            Files(text_encoders=(paths["lacking"],)),
            r"got a T5 text encoder without encoder\.final_layer_norm\.weight and 0 more",
        ),
        (Files(vae=cut), r"need a whole \.safetensors"),
        (Files(vae=tmp_path / "bomb.pth"), "a pickle that holds more than weights"),
        (Files(vae=tmp_path / "gone.safetensors"), "got no such file"),
    ):
        with pytest.raises(InputError, match=words) as caught:
            find(bare, files)
        assert "\n" not in str(caught.value)


def test_a_part_that_the_pipeline_lacks_and_configs_that_are_missing(made, tmp_path):
    pipeline, whole, _ = made["ti2v"]
    paths = write(
        tmp_path, clip=vision(made["i2v"][0].image_encoder), umt5=t5(pipeline.text_encoder)
    )
    with pytest.raises(InputError, match="got a CLIP image encoder, need none: whole has no such"):
        load_backbone(whole, EXACT, Files(image_encoder=paths["clip"]))
    folder = tmp_path / "model"
    shutil.copytree(whole, folder)
    (folder / "vae" / "config.json").unlink()
    with pytest.raises(InputError, match=r"vae in .*: got none, need width 48"):
        load_backbone(folder, EXACT)
    path = folder / "vae" / "config.json"
    config = json.loads((whole / "vae" / "config.json").read_text())
    path.write_text(json.dumps(config | {"z_dim": 16}))
    with pytest.raises(InputError, match=r"vae in .*: got width 16, need width 48, which wan-ti2v"):
        load_backbone(folder, EXACT)


def test_a_preflight_counts_files_in_the_place_of_the_folder(made, tmp_path):
    pipeline, whole, bare = made["i2v"]
    path = write(tmp_path, umt5=t5(pipeline.text_encoder))["umt5"]
    ask = EXACT, (32, 32), 80, 0.0
    counted = find(bare, Files(text_encoders=(path,))).estimate(*ask)
    without = find(bare).estimate(*ask)
    tensors = t5(pipeline.text_encoder)
    assert counted.weights - without.weights == 4 * sum(t.numel() for t in tensors.values())
    assert counted.seconds > 0 and "a call and step" in str(counted)
    assert find(whole).estimate(*ask).weights > counted.weights  # CLIP, too


def test_more_than_two_networks_are_refused(tmp_path):
    with pytest.raises(InputError, match="weights: got 3 files, need 1 or 2"):
        Files((tmp_path,) * 3)


def test_families_own_none_of_the_parts():
    for name in VAES:
        tensors = published(f"vae/{name}")
        assert not (wan.FAMILY.owns(tensors) or hunyuan15.FAMILY.owns(tensors))
