"""A LoRA of the layouts of tokens: trained, written, loaded and refused in words."""

import json
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file, save_file

from dreamactor_core.__main__ import main
from dreamactor_core.animate import animate_pass, encode_composite
from dreamactor_core.backbones.placement import Placement
from dreamactor_core.errors import InputError
from dreamactor_core.lora.adapters import LoraInfo, LoraSpec, add_lora, load_lora, save_lora
from dreamactor_core.lora.files import WantedLora, check_together, read_lora
from dreamactor_core.models.in_context import InContext
from dreamactor_core.options import LAYOUTS
from dreamactor_core.sampling import SampleSettings
from dreamactor_core.train.base import open_network
from dreamactor_core.train.clips import pair_of, read_clip, read_rows, rng_of
from dreamactor_core.train.examples import draw_example
from dreamactor_core.train.lora import Examples
from dreamactor_core.train.network import LatentExample, LoraTrainee, prepare_network
from dreamactor_core.train.recipe import read_recipe
from dreamactor_core.train.store import open_store

from .clips_on_disk import WINDOW, WINDOWS
from .full_size import open_base
from .streams import Given
from .tiny import tiny_backbone, tiny_wan

PANELS, TOKENS, ONE_WAY = LAYOUTS
RECIPE = {
    "variant": "pose-based",
    "lora": {"rank": 2, "alpha": 2},
    "steps": 2,
    "batch_size": 1,
    "learning_rate": 1e-2,
    "held_out": 0,
    "save_steps": 100,
    "cache": WINDOWS,
}
INFO = LoraInfo("pose-based", "grey", 1.0, 8.0, "tiny", 2, 2.0, layout=TOKENS)

pytestmark = pytest.mark.usefixtures("fresh_accelerate")


def call(*arguments) -> int:
    return main(["train", *map(str, arguments)])


@pytest.fixture(scope="module")
def cached(base, clips, tmp_path_factory):
    """HunyuanVideo-1.5's folder, the options that all stages share, and a cache of one clip."""
    folder = tmp_path_factory.mktemp("tokens")
    (folder / "recipe.json").write_text(json.dumps(RECIPE))
    one = clips.with_name("one.jsonl")
    one.write_text(clips.read_text().splitlines()[0])
    common = ["--base", base("hunyuanvideo-1.5"), "--config", folder / "recipe.json"]
    out = ["--out", folder / "cache", "--size", "32", "--layout", TOKENS]
    assert call("cache", *common, "--pairs", one, *out) == 0
    return base("hunyuanvideo-1.5"), common, folder / "cache", one


def test_from_clips_to_a_lora_that_animates_one_way(cached, tmp_path, capsys):
    folder, common, cache, one = cached
    run = ["lora", *common, "--cache", cache, "--out", tmp_path / "run"]
    assert call(*run) == 2
    assert "panels encoded apart, need panels encoded together" in capsys.readouterr().err
    assert call(*run, "--layout", "token") == 2
    assert "panels or tokens or tokens-one-way" in capsys.readouterr().err
    assert call(*run, "--layout", ONE_WAY) == 0
    file = tmp_path / "run" / "lora.safetensors"
    assert read_lora(file).info.layout == ONE_WAY
    assert all(value.any() for value in load_file(file).values())
    assert f"| layout | {ONE_WAY} |" in (tmp_path / "run" / "README.md").read_text()

    animator = InContext(open_base(folder)).wearing([WantedLora(read_lora(file))])
    whole = animator.backbone
    assert whole.layout == ONE_WAY
    reference, driving = torch.rand(1, 32, 32, 3), torch.rand(24, 32, 32, 3)
    made = animate_pass(whole, reference, driving, "waves", SampleSettings(2, 1.0))
    assert made.shape == driving.shape

    # What the cache holds is what inference encodes, to the last bit.
    store, plan = open_store(cache), read_recipe(common[-1])
    row = read_rows(one, "pose-based")[0][0]
    rng = rng_of(0, row.name, 0)
    pair = pair_of(read_clip(row, whole.geometry, 32, WINDOW, "pose-based"), 0.5, rng)
    rng.choice([WINDOW])
    example = draw_example(pair, WINDOW, plan.cache.draws, whole.geometry, rng)
    encoded = store.read(store.names[0])
    want = encode_composite(whole, example.composite).context
    network = open_network(folder, Placement(dtype=torch.float32))
    for mine, theirs in zip(network.context(encoded.latents, encoded.known), want, strict=True):
        assert torch.equal(mine, theirs)
    # And the network in training answers as at inference.
    load_lora(network, file)
    example = Examples(network, store, plan, (0, 1)).draw(store.names[0], 5)
    noisy = example.target.lerp(example.noise, example.sigma.view(-1, 1, 1, 1, 1))
    inputs = noisy, example.sigma, example.context, example.text
    with torch.no_grad():
        assert torch.equal(network.velocity(*inputs), whole.velocity(*inputs))
    animator.wearing([])
    assert whole.layout == PANELS


@pytest.mark.parametrize("layout", [TOKENS, ONE_WAY])
@pytest.mark.parametrize("kind", ["hunyuan", "a14b", "ti2v"])
def test_blocks_recomputed_give_the_gradients_of_blocks_kept(kind, layout):
    gradients = []
    for again in (True, False):
        given = Given(kind, layout)
        network = prepare_network(given.backbone, LoraSpec(2, 2), "high" if kind == "a14b" else "")
        if not again:
            network.disable_gradient_checkpointing()
        learning = [(n, p) for n, p in network.named_parameters() if p.requires_grad]
        for name, parameter in learning:
            if "lora_B" in name:
                torch.nn.init.constant_(parameter, 0.01)
        noise = torch.randn(given.latents.shape, generator=torch.Generator().manual_seed(3))
        example = LatentExample(
            given.latents.clone(), given.context, given.text, noise, torch.tensor([0.95])
        )
        trainee = LoraTrainee(given.backbone, network)
        loss = trainee(example)
        loss.backward()
        gradients.append(torch.cat([p.grad.flatten() for _, p in learning]))
        assert gradients[-1].any()
        # The loss is on what is to be drawn, left alone.
        other = given.latents.clone()
        other[..., given.half :] += 1
        assert torch.equal(trainee(example._replace(target=other)), loss)
    assert torch.equal(*gradients)


def lora_of(path, layout, maker=tiny_wan):
    backbone = maker("i2v") if maker is tiny_wan else maker()
    add_lora(backbone, LoraSpec(2, 2.0), "made")
    info = replace(INFO, layout=layout, blank=backbone.blank)
    save_lora(backbone, "made", path, info)
    return path


def test_a_lora_of_another_layout_is_refused_in_words(tmp_path):
    files = {layout: lora_of(tmp_path / f"{layout}.safetensors", layout) for layout in LAYOUTS}
    backbone = tiny_wan("i2v")
    load_lora(backbone, files[TOKENS])
    with pytest.raises(InputError, match="layout of the LoRA: got 'panels', need 'tokens'"):
        load_lora(backbone, files[PANELS])
    loras = [WantedLora(read_lora(files[layout])) for layout in (ONE_WAY, TOKENS)]
    with pytest.raises(InputError, match="got 'tokens', need 'tokens-one-way'"):
        check_together(loras, "pose-based")
    with pytest.raises(InputError, match=r"layout panels, need .* layout tokens, as asked for"):
        start = tiny_wan("i2v")
        start.lay_out(TOKENS)
        prepare_network(start, LoraSpec(2, 2), init=files[PANELS])
    mini = tiny_backbone()
    mini.layouts = (PANELS,)  # as the small models'
    own = lora_of(tmp_path / "own.safetensors", TOKENS, tiny_backbone)
    with pytest.raises(InputError, match="got 'tokens', need 'panels', that of the model"):
        load_lora(mini, own)


def test_a_file_that_says_no_layout_is_of_panels(tmp_path):
    path = lora_of(tmp_path / "old.safetensors", TOKENS)
    metadata = read_lora(path).metadata
    del metadata["layout"]
    save_file(load_file(path), path, metadata=metadata)
    assert read_lora(path).info.layout == PANELS
    metadata["layout"] = "sideways"
    save_file(load_file(path), path, metadata=metadata)
    with pytest.raises(InputError, match="got 'sideways', need 'panels' or 'tokens' or"):
        load_lora(tiny_wan("i2v"), path)
