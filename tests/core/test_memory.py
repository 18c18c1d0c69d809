"""The formula of training's memory against bytes that are counted on tiny networks."""

import pytest
import torch
from diffusers import HunyuanVideo15Transformer3DModel, WanTransformer3DModel
from torch.autograd.graph import saved_tensors_hooks

from dreamactor_core.__main__ import main
from dreamactor_core.backbones import Context, Text
from dreamactor_core.backbones.hunyuan15 import GEOMETRY, HunyuanVideo15Backbone
from dreamactor_core.backbones.wan import I2V_GEOMETRY, TI2V_GEOMETRY, WanBackbone
from dreamactor_core.lora.adapters import LoraSpec
from dreamactor_core.train.memory import (
    kept_by_block,
    lora_parameters,
    sizes_of,
    step_flops,
    tokens_of,
    training_memory,
)
from dreamactor_core.train.network import LatentExample, LoraTrainee, prepare_network
from dreamactor_core.train.plan import plan
from dreamactor_core.train.recipe import read_recipe

from .full_size import full_size_folder

# Latent cells; Wan's patch is 2x2. Fun-InP 1.3B is of Wan 2.1's kind, each expert of A14B of "wan".
TOKENS = {"hunyuan": (4, 12, 16)} | dict.fromkeys(("wan", "wan-2.1", "ti2v"), (8, 24, 32))


def tiny(kind: str, heads: int, blocks: int, inner: int):
    """In bf16, as a base is held; two numbers of heads give two widths."""
    torch.manual_seed(0)
    common = {"num_attention_heads": heads, "attention_head_dim": 128, "num_layers": blocks}
    if kind == "hunyuan":
        network = HunyuanVideo15Transformer3DModel(
            in_channels=65, out_channels=32, num_refiner_layers=1, text_embed_dim=24,
            text_embed_2_dim=8, image_embed_dim=8, **common,
        )  # fmt: skip
        backbone = HunyuanVideo15Backbone("hunyuan", GEOMETRY, network, None, None)
    else:
        geometry, channels = I2V_GEOMETRY, (36, 16)
        if kind == "ti2v":
            geometry, channels = TI2V_GEOMETRY, (48, 48)
        if kind == "wan-2.1":
            common |= {"image_dim": 8, "added_kv_proj_dim": 128 * heads}
        network = WanTransformer3DModel(
            in_channels=channels[0], out_channels=channels[1], text_dim=16, freq_dim=8,
            ffn_dim=inner, **common,
        )  # fmt: skip
        backbone = WanBackbone("wan", geometry, network, None, None)
    torch.nn.Module.to(network, torch.bfloat16).requires_grad_(False)
    return backbone


def example(kind: str, words: int) -> LatentExample:
    channels, masks, width = {"hunyuan": (32, 1, 24), "ti2v": (48, 1, 16)}.get(kind, (16, 4, 16))
    seen = 257 if kind == "wan-2.1" else 0
    latents = torch.randn(1, channels, *TOKENS[kind])
    context = Context(torch.randn_like(latents), torch.zeros(1, masks, *TOKENS[kind]))
    text = Text(
        torch.randn(1, words, width), torch.ones(1, words), torch.zeros(1, 0, 8),
        torch.ones(1, 0), torch.zeros(1, seen, 8),
    )  # fmt: skip
    return LatentExample(latents, context, text, torch.randn_like(latents), torch.tensor([0.5]))


def kept(kind: str, heads: int, blocks: int, inner: int, rank: int, words: int, whole: bool) -> int:
    """Bytes that autograd keeps of a forward pass, each storage once, weights left out."""
    backbone = tiny(kind, heads, blocks, inner)
    network = prepare_network(backbone, LoraSpec(rank, rank))
    if whole:
        network.disable_gradient_checkpointing()
    weights = {p.untyped_storage().data_ptr() for p in network.parameters()}
    seen = {}

    def pack(tensor):
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            seen[storage.data_ptr()] = storage.nbytes(), tensor
        return tensor

    with torch.autocast("cpu", torch.bfloat16), saved_tensors_hooks(pack, lambda tensor: tensor):
        LoraTrainee(backbone, network)(example(kind, words))
    return sum(size for size, _ in seen.values())


@pytest.mark.parametrize(
    ("kind", "heads", "inner", "rank", "words"),
    [
        ("hunyuan", 2, 768, 8, 128),
        ("hunyuan", 1, 512, 32, 512),
        ("wan", 2, 768, 8, 512),
        ("wan", 1, 512, 32, 512),
        ("wan-2.1", 1, 768, 8, 512),
        ("ti2v", 1, 768, 8, 512),
    ],
)
def test_what_a_block_keeps_and_what_is_stored_for_it_are_those_counted(
    kind, heads, inner, rank, words
):
    args = kind, heads, inner, rank, words
    counted, whole_step = [], 0
    for whole in (True, False):
        one, two = (kept(kind, heads, n, inner, rank, words, whole) for n in (1, 2))
        counted.append(two - one)
        whole_step = two  # the last: of blocks that are computed again
    backbone = tiny(*args[:2], 1, inner)
    sizes = sizes_of(dict(backbone.transformer.config), 0)
    t, h, w = TOKENS[kind]
    tokens = t * h * w // (1 if kind == "hunyuan" else 4)
    if kind == "wan-2.1":
        assert sizes.text_tokens == 512 + 257
        words = sizes.text_tokens
    assert kept_by_block(sizes, tokens, words, rank) == pytest.approx(counted[0], rel=0.1)
    stored = [training_memory(sizes._replace(blocks=n), tokens, words, rank).stored for n in (1, 2)]
    assert stored[1] - stored[0] == pytest.approx(counted[1], rel=0.1)
    assert stored[1] == pytest.approx(whole_step, rel=0.1)


@pytest.mark.parametrize("kind", ["hunyuan", "wan"])
def test_lora_weights_gradients_and_averages_are_those_counted(kind):
    backbone = tiny(kind, 1, 2, 512)
    parameters = sum(p.numel() for p in backbone.transformer.parameters())
    network = prepare_network(backbone, LoraSpec(8, 8))
    learning = [p for p in network.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(learning, fused=True)
    with torch.autocast("cpu", torch.bfloat16):
        LoraTrainee(backbone, network)(example(kind, 512)).backward()
    optimizer.step()
    state = sum(
        value.nbytes for one in optimizer.state.values() for value in one.values() if value.ndim
    )
    counted = state + sum(p.nbytes + p.grad.nbytes for p in learning)
    sizes = sizes_of(dict(network.config), parameters)
    memory = training_memory(sizes, 100, 10, 8)
    assert lora_parameters(sizes, 8) == sum(p.numel() for p in learning)
    assert memory.lora == counted
    frozen = sum(p.nbytes for p in network.parameters() if not p.requires_grad)
    assert memory.weights == frozen


def test_of_hunyuanvideo_at_native_size():
    """8.3 B parameters: 65,520 tokens and a bit; by hand from the coefficients."""
    config = {"num_attention_heads": 16, "attention_head_dim": 128, "num_layers": 54}
    sizes = sizes_of(config, 8_330_000_000)
    tokens = tokens_of(GEOMETRY, GEOMETRY.panel, 121)
    assert tokens == 31 * 52 * 60 == 96_720
    assert lora_parameters(sizes, 256) == 54 * 10 * 2048 * 256
    memory = training_memory(sizes, tokens, 1000, 256)
    assert memory.stored == 2 * 54 * (tokens + 1000) * 2048 + tokens * (2 * 2048 + 138)
    assert memory.total == sum(memory) and "GiB (weights 15.5," in str(memory)
    smaller = training_memory(sizes, tokens, 1000, 256, weight_bytes=1, state_bytes=2)
    assert smaller.weights * 2 == memory.weights and smaller.lora / memory.lora == 10 / 16
    # Attention over all tokens is most of it: 3 * (2 * 8.33e9 * T + 4 * 54 * T**2 * 2048)
    assert step_flops(sizes, tokens) == pytest.approx(3 * (1.611e15 + 4.138e15), rel=1e-3)


def test_a_plan_says_what_fits_and_how_long_it_takes(tmp_path, capsys):
    folder = full_size_folder("wan-2.1", tmp_path)
    command = ["train", "plan", "--base", str(folder), "--size", "32", "--tflops", "0.001"]
    assert main([*command, "--gpu", "24GB"]) == 0
    *rows, last = capsys.readouterr().out.splitlines()
    assert len(rows) == 3 * 4  # 49, 65 and 81 frames, four sets of switches
    assert rows[0].startswith("49 frames, no --storage, optimizer adamw: 0.0 GiB (weights 0.0,")
    assert all("fits" in row and "does not" not in row for row in rows)
    recipe = read_recipe("small_data_pose_based")
    plans = plan(folder, recipe, 24 * 2**30, 32, 1e9)
    seconds = sum(p.seconds for p in plans[::4]) / 3
    assert f"2000 steps of 1 take about {2000 * seconds / 3600:.3g} hours" in last
    assert "up to 81 frames with no --storage" in last
    # A GPU that holds the weights only as fp8 and the averages only as 8 bits.
    gpu = (plans[2].memory.total + plans[1].memory.total) / 2 / 0.9
    fitting = plan(folder, recipe, gpu, 32, 1e9)
    assert [p.fits for p in fitting[:4]] == [False, False, True, True]
    saved = plans[2].memory.stored - plans[3].memory.stored
    assert saved == 2 * 13 * 2 * 4 * 128  # one block's of two: 13 latent frames of 2 x 4 tokens
    assert "--offload-activations: " in rows[3]
    assert main([*command, "--gpu", "0.0001"]) == 0
    assert capsys.readouterr().out.splitlines()[-1].startswith("Nothing fits 0 GiB")
    assert main([*command, "--gpu", "large"]) == 2
