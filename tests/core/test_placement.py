"""Every placement on every family: what it costs in exactness, with and without a LoRA."""

import warnings
from dataclasses import replace
from functools import cache, partial
from pathlib import Path

import pytest
import torch

from benchmarks import placement as tables
from dreamactor_core.backbones.placement import Placement, place
from dreamactor_core.errors import InputError
from dreamactor_core.lora.adapters import LoraSpec, add_lora, remove_lora
from dreamactor_core.models.estimate import (
    Estimate,
    check_memory,
    estimate,
    measure_speed,
    with_seconds,
)
from dreamactor_core.models.pipeline import FAMILIES
from dreamactor_core.sampling import flow_sigmas, sample
from dreamactor_core.weight_files.checkpoint import Header, recognise

from .stored import published
from .tiny import tiny_backbone, tiny_wan

PLAIN = Placement(dtype=torch.float32)
STEPS = 5
FAMILY = pytest.mark.parametrize("make", [tiny_backbone, tiny_wan], ids=["hunyuan", "wan"])


def add_random_lora(backbone) -> None:
    add_lora(backbone, LoraSpec(4, 4.0), "x")
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in backbone.transformer.parameters():
            if parameter.requires_grad:
                parameter.copy_(torch.randn(parameter.shape, generator=generator) / 4)


@torch.no_grad()
def clip(backbone, seed: int = 0) -> torch.Tensor:
    """Five steps along two guidance branches, as sampling takes them."""
    generator = torch.Generator().manual_seed(seed)
    shape = (1, backbone.geometry.latent_channels, 2, 4, 8)
    context = backbone.context(torch.randn(shape, generator=generator), torch.zeros(5, 4, 8, 1))
    branches = [
        partial(backbone.velocity, context=context, text=backbone.encode_text([prompt], None))
        for prompt in ("walks", "")
    ]

    def velocity(latents, sigma):
        return 2 * branches[0](latents, sigma) - branches[1](latents, sigma)

    noise = torch.randn(shape, generator=generator)
    return sample(velocity, noise, flow_sigmas(STEPS, 5.0), "euler")


def placed(make, placement, lora=False):
    backbone = make()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        place(backbone, placement, [])
    if lora:
        add_random_lora(backbone)
    return backbone


@cache
def plain_clip(make, lora: bool) -> torch.Tensor:
    return clip(placed(make, PLAIN, lora))


@FAMILY
@pytest.mark.parametrize("lora", [False, True], ids=["bare", "lora"])
@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"offload": "block"}, 0),
        ({"offload": "leaf"}, 0),
        ({"drop_padding": True}, 1e-5),
        ({"storage": "fp8"}, 0.02),
        ({"storage": "fp8", "offload": "block"}, 0.02),
    ],
    ids=lambda value: "+".join(map(str, value.values())) if isinstance(value, dict) else "",
)
def test_a_placement_changes_no_more_than_it_may(make, lora, change, error):
    want = plain_clip(make, lora)
    got = clip(placed(make, replace(PLAIN, **change), lora))
    if error == 0:
        assert torch.equal(got, want)
    else:
        assert (got - want).norm() <= error * want.norm()
        assert error < 1e-4 or not torch.equal(got, want)


@FAMILY
def test_a_lora_comes_and_goes_on_an_offloaded_fp8_network(make):
    backbone = placed(make, replace(PLAIN, storage="fp8", offload="block"))
    before = clip(backbone)
    add_random_lora(backbone)
    adapters = [
        parameter.dtype
        for name, parameter in backbone.transformer.named_parameters()
        if "lora_" in name
    ]
    assert set(adapters) == {torch.float32}  # never the type that only stores
    assert not torch.allclose(clip(backbone), before, atol=1e-3)
    remove_lora(backbone, "x")
    assert torch.equal(clip(backbone), before)


def through_tiles(make, **change) -> tuple[torch.Tensor, torch.Tensor]:
    """Latents and frames of a clip by an autoencoder that works in tiles of 64 pixels."""
    backbone = placed(make, replace(PLAIN, vae_tiling=True, **change))
    for side in ("height", "width"):
        setattr(backbone.vae, f"tile_sample_min_{side}", 64)
        setattr(backbone.vae, f"tile_sample_stride_{side}", 48)
        setattr(backbone.vae, f"tile_latent_min_{side}", 64 // backbone.geometry.spatial_stride)
    with torch.no_grad():
        frames = torch.rand(5, 96, 96, 3, generator=torch.Generator().manual_seed(0))
        latents = backbone.encode_video(frames)
        return latents, backbone.decode_video(latents)


@FAMILY
def test_an_autoencoder_in_tiles_is_the_same_when_its_weights_wait_in_ram(make):
    want, got = (through_tiles(make, **change) for change in ({}, {"offload": "block"}))
    assert all(torch.equal(a, b) for a, b in zip(got, want, strict=True))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"storage": "int4"}, "storage: got 'int4', need one of"),
        ({"offload": "all"}, "offload: got 'all', need one of"),
        ({"storage": "nf4"}, "storage nf4: got cpu, need device cuda"),
    ],
)
def test_what_does_not_go_together_is_refused_when_it_is_written_down(change, message):
    with pytest.raises(InputError, match=message):
        replace(PLAIN, **change)


def test_the_tables_of_the_page_are_what_the_estimator_says():
    page = tables.PAGE.read_text(encoding="utf-8")
    printed = page.partition(tables.BEGIN)[2].partition(tables.END)[0]
    assert printed.splitlines() == tables.lines()  # else: python -m benchmarks.placement --write


def checkpoint(name: str):
    return recognise(Header(Path(name), published(name)), FAMILIES)


@pytest.mark.parametrize(
    ("name", "panel", "frames", "tokens"),
    [
        ("hunyuanvideo-1.5-comfyui", (832, 480), 81, 65_520),
        ("wan2.1-i2v-14b", (832, 480), None, 65_520),
        ("wan2.2-ti2v-5b", (704, 640), 121, 27_280),
    ],
)
def test_tokens_of_a_pair_are_those_of_the_paper(name, panel, frames, tokens):
    assert estimate(checkpoint(name), PLAIN, panel, frames).tokens == tokens


def test_the_estimate_says_where_the_weights_lie_and_what_saves_memory():
    bf16 = Placement(device="cuda")
    wan = checkpoint("wan2.1-i2v-14b")
    pair = (832, 480)
    whole = estimate(wan, bf16, pair)
    assert whole.weights == 2 * wan.header.num_parameters() and whole.ram == 0
    assert whole.vram > whole.weights
    assert whole.petaflops == pytest.approx(5.7, abs=0.2)
    fp8 = estimate(wan, replace(bf16, storage="fp8"), pair)
    assert fp8.weights == whole.weights / 2
    offloaded = estimate(wan, replace(bf16, offload="block", vae_tiling=True), pair)
    assert offloaded.vram < 0.3 * whole.vram and offloaded.ram == whole.weights
    assert estimate(wan, bf16, pair, experts=2).weights == 2 * whole.weights
    assert estimate(wan, Placement(), pair).vram == 0
    hunyuan = checkpoint("hunyuanvideo-1.5-comfyui")
    tiled = replace(bf16, vae_tiling=True)
    masked, dropped = (
        estimate(hunyuan, replace(tiled, drop_padding=drop), pair, 81) for drop in (False, True)
    )
    assert masked.vram - dropped.vram > 4 * 2**30
    assert "65520 tokens" in str(whole) and "PFLOP a call, weights" in str(whole)


def test_the_estimate_says_seconds_when_the_device_was_timed():
    counted = estimate(checkpoint("wan2.2-ti2v-5b"), PLAIN, (704, 640))
    timed = with_seconds(counted, PLAIN)
    assert timed == counted and timed.seconds > 0 and counted.seconds is None
    assert "PFLOP a call, about " in str(timed)
    for seconds, words in ((2.34, "about 2.3 s a call"), (1234.0, "about 21 min a call")):
        assert words in str(replace(counted, seconds=seconds))
    assert 1e8 < measure_speed("cpu", torch.float32) < 1e15


def test_too_little_memory_names_what_to_change(monkeypatch):
    monkeypatch.setattr(
        "dreamactor_core.models.estimate.psutil.virtual_memory",
        lambda: type("Memory", (), {"available": 2**30}),
    )
    with pytest.raises(
        InputError, match=r"RAM: got 1\.0 GiB free, .* Try storage='fp8' or 'int8', a"
    ):
        check_memory(estimate(checkpoint("wan2.2-ti2v-5b"), Placement()), Placement())


@pytest.mark.parametrize(
    ("changes", "advice"),
    [
        (
            {},
            "offload='block', vae_tiling=True, storage='fp8' or 'int8', a GGUF file, "
            "a smaller panel, fewer frames",
        ),
        (
            {"offload": "block"},
            "vae_tiling=True, storage='fp8' or 'int8', a GGUF file, a smaller panel, fewer frames",
        ),
        (
            {"vae_tiling": True, "storage": "fp8"},
            "offload='block', a smaller panel, fewer frames",
        ),
        (
            {"offload": "leaf", "vae_tiling": True, "storage": "int8"},
            "a smaller panel, fewer frames",
        ),
    ],
    ids=["nothing", "offload", "tiling-fp8", "all"],
)
def test_too_little_gpu_memory_names_what_is_not_yet_done(monkeypatch, changes, advice):
    free = 2**30  # of 80 GiB
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (free, 80 * free))
    placement = Placement(device="cuda", **changes)
    needed = Estimate(tokens=100, petaflops=1.0, weights=free, ram=0, vram=2 * free)
    with pytest.raises(InputError) as refused:
        check_memory(needed, placement)
    assert "GPU memory: got 1.0 GiB free, need about 2.0 GiB for 100 tokens" in str(refused.value)
    assert str(refused.value).endswith(f"Try {advice}.")


def test_weights_that_do_not_fit_are_not_helped_by_fewer_frames(monkeypatch):
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (2**30, 2**35))
    needed = Estimate(tokens=0, petaflops=0.0, weights=2**31, ram=0, vram=2**31)
    with pytest.raises(InputError) as refused:
        check_memory(needed, Placement(device="cuda", offload="block", vae_tiling=True))
    assert str(refused.value).endswith(
        "for the weights alone. Try storage='fp8' or 'int8', a GGUF file."
    )
