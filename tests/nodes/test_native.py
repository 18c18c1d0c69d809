"""The native nodes on every host: what they make, to the last number, and what they refuse."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import save_file

from .native_models import PoolingVae
from .published import network_of, patcher_of, published_shapes

FILES = {
    "hunyuan": "hunyuanvideo-1.5-comfyui",
    "i2v": "wan2.1-i2v-14b",
    "inp": "wan2.1-fun-inp-1.3b",
    "a14b": "wan2.2-i2v-a14b",
    "ti2v": "wan2.2-ti2v-5b",
}
VAES = {"inp": "i2v"}
BASES = {
    "hunyuan": "hunyuanvideo-1.5",
    "i2v": "wan-i2v-14b",
    "inp": "wan-i2v-1.3b",
    "a14b": "wan-i2v-a14b",
    "ti2v": "wan-ti2v-5b",
}
SIDE, LEAD = 32, 5
WORDS = [[torch.zeros(1, 2, 4), {"kept": 1}]]


def flat(*levels: float, side: int = SIDE) -> torch.Tensor:
    """IMAGE with one grey frame for each level."""
    return torch.tensor(levels).view(-1, 1, 1, 1).expand(-1, side, side, 3).clone()


@pytest.fixture(scope="module")
def models(folders) -> dict:
    return {kind: patcher_of(network_of(published_shapes(name))) for kind, name in FILES.items()}


@pytest.fixture
def condition(run, models):
    """The conditioning node on four driving frames behind a lead of five."""

    def condition(kind: str, **changes):
        inputs = {
            "model": models[kind],
            "vae": PoolingVae(VAES.get(kind, kind)),
            "positive": WORDS,
            "negative": WORDS,
            "reference": flat(0.8),
            "driving": flat(0.1, 0.2, 0.3, 0.4),
            "lead_in": 0.25 if kind in ("i2v", "inp", "a14b") else 0.17,
        }
        return run("NativeConditioning", **inputs | changes).args

    return condition


def panels(left: list[float], right: list[float]) -> torch.Tensor:
    """One number for each panel and latent frame -> (t', 2), to compare a corner of each with."""
    return torch.tensor([left, right]).T


def corners(latents: torch.Tensor) -> torch.Tensor:
    """(1, c, t', h', 2w') whose panels are flat -> (t', 2) of its first channel."""
    left, right = latents[0, 0].chunk(2, dim=-1)
    for half in (left, right):
        assert torch.equal(half, half[:, :1, :1].expand_as(half))
    return torch.stack([left[:, 0, 0], right[:, 0, 0]], dim=1)


# ---------------------------------------------------------------- what is made


@pytest.mark.parametrize(
    ("kind", "fps", "panel"),
    [("hunyuan", 24, (624, 624)), ("inp", 16, (624, 624)), ("ti2v", 24, (672, 672))],
)
def test_fit_takes_rate_and_area_of_the_model_and_the_aspect_of_the_reference(
    run, models, kind, fps, panel
):
    inputs = {"fps": 8.0, "size": 0, "start": 0.0, "length": 0.0}
    driving = flat(0.1, 0.2, 0.3, 0.4)
    reference, frames, rate, audio = run(
        "NativeFit", model=models[kind], reference=flat(0.8), driving=driving, **inputs
    ).args
    assert reference.shape == (1, *panel, 3) and frames.shape == (4 * fps // 8, *panel, 3)
    assert (rate, audio) == (fps, None)
    middle = frames[:, panel[0] // 2, panel[1] // 2, 0]
    want = torch.tensor([0.1, 0.2, 0.3, 0.4]).repeat_interleave(fps // 8)
    assert torch.allclose(middle, want)


def test_hunyuan_gets_zero_latents_where_it_must_draw(condition):
    _, positive, negative, latent = condition("hunyuan")
    for ((words, options),) in (positive, negative):
        assert words is WORDS[0][0] and options["kept"] == 1
        image, mask = options["concat_latent_image"], options["concat_mask"]
        assert image.shape == (1, 32, 3, 2, 4) and mask.shape == (1, 1, 3, 2, 4)
        assert torch.allclose(corners(image), panels([0.8, 0, 0], [0, 0, 0.25]))
        assert torch.equal(image[:, 31], image[:, 0] * 32)
        assert torch.equal(corners(mask), panels([0.0, 1, 1], [0.0, 0, 0]))  # 0 is known
    assert latent["samples"].shape == (1, 32, 3, 2, 4) and not latent["samples"].any()
    assert "noise_mask" not in latent and "concat_mask" not in WORDS[0][1]


@pytest.mark.parametrize("kind", ["i2v", "inp", "a14b"])
def test_wan_gets_encoded_grey_and_a_mask_for_each_frame(condition, kind):
    _, ((_, options),), _, latent = condition(kind)
    image, mask = options["concat_latent_image"], options["concat_mask"]
    assert image.shape == (1, 16, 3, 4, 8) and mask.shape == (1, 4, 3, 4, 8)
    assert torch.allclose(corners(image), panels([0.8, 0.5, 0.5], [0, 0, 0.25]))
    for channel in range(4):
        found = corners(mask[:, channel : channel + 1])
        assert torch.equal(found, panels([0.0, 1, 1], [0.0, 0, 0]))
    assert latent["samples"].shape == (1, 16, 3, 4, 8) and not latent["samples"].any()


def test_a_kept_scene_is_known_frame_by_frame_in_wans_mask(condition):
    keep = torch.zeros(4, SIDE, SIDE)
    keep[2, :8, :16] = 1  # two cells of the third driving frame
    keep[3, :7] = 1  # no whole cell
    scene = flat(0.6, 0.7, 0.8, 0.9)
    _, ((_, options),), _, _ = condition("i2v", scene=scene, keep=keep)
    known = 1 - options["concat_mask"][0, :, 1:, :, :4]  # left panel behind the slot
    want = torch.zeros_like(known)
    want[2, 1, 0, :2] = 1
    assert torch.equal(known, want)


def test_ti2v_gets_clean_latents_and_a_timestep_for_each_token(condition, models):
    model, ((_, options),), _, latent = condition("ti2v")
    assert "concat_mask" not in options
    assert latent["samples"].shape == (1, 48, 3, 2, 4)
    assert torch.allclose(corners(latent["samples"]), panels([0.8, 0.5, 0.5], [0, 0, 0.25]))
    assert torch.equal(corners(latent["noise_mask"]), panels([0.0, 1, 1], [0.0, 0, 0]))
    patch = model.get_model_object("process_timestep")
    mask = latent["noise_mask"].expand(2, 48, -1, -1, -1)
    got = patch(torch.tensor([1000.0, 40.0]), x=mask, denoise_mask=mask, other=1)
    assert got.tolist() == [[0, 0, 1000, 0, 1000, 0], [0, 0, 40, 0, 40, 0]]
    alone = torch.tensor([7.0])
    assert patch(alone, x=mask) is alone
    assert not models["ti2v"].object_patches


def test_a_token_of_ti2v_is_known_only_as_a_whole(condition):
    keep = torch.zeros(1, 64, 64)
    keep[:, :32, :48] = 1  # one token of two by two cells, and half of another
    scene, driving = flat(*[0.6] * 4, side=64), flat(*[0.1] * 4, side=64)
    big = {"reference": flat(0.8, side=64), "driving": driving}
    _, _, _, latent = condition("ti2v", scene=scene, keep=keep, **big)
    known = 1 - latent["noise_mask"][0, 0, 2, :, :4]
    assert known.tolist() == [[1, 1, 0, 0], [1, 1, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]]


def test_a_prefix_takes_the_place_of_the_lead_in(condition):
    before = {"prefix": flat(0.6, 0.6, 0.6, 0.6), "prefix_driving": flat(0.7, 0.7, 0.7, 0.7)}
    _, ((_, options),), _, _ = condition("hunyuan", **before)
    image, mask = options["concat_latent_image"], options["concat_mask"]
    assert torch.allclose(corners(image), panels([0.8, 0.6, 0], [0, 0.7, 0.25]))
    assert torch.equal(corners(mask), panels([0.0, 0, 1], [0.0, 0, 0]))


def test_the_picture_goes_to_models_that_read_one(condition):
    for kind, width in (("hunyuan", 1152), ("i2v", 1280), ("a14b", 1280)):
        tokens = torch.zeros(1, 5, width)
        seen = SimpleNamespace(last_hidden_state=tokens, penultimate_hidden_states=tokens)
        _, ((_, told),), ((_, other),), _ = condition(kind, clip_vision_output=seen)
        assert told["clip_vision_output"] is seen and other["clip_vision_output"] is seen


# ---------------------------------------------------------------- crop


def test_crop_gives_the_left_half_and_exactly_the_driving_frames(run, condition):
    latent = condition("i2v", driving=flat(0.1, 0.2, 0.3))[3]
    torch.manual_seed(0)
    latent = latent | {"samples": torch.randn(latent["samples"].shape)}
    frames = torch.rand(9, SIDE, 2 * SIDE, 3)
    half, images = run("NativeCrop", latent=latent, images=frames, keep_lead_in=False).args
    assert torch.equal(half["samples"], latent["samples"][..., :4])
    assert torch.equal(images, frames[LEAD : LEAD + 3, :, :SIDE])
    left = frames[:, :, :SIDE].contiguous()
    again, images = run("NativeCrop", latent=half, images=left, keep_lead_in=True).args
    assert torch.equal(again["samples"], half["samples"])
    assert torch.equal(images, left[: LEAD + 3])


def test_crop_takes_the_half_of_the_noise_mask_too(run, condition):
    latent = condition("ti2v")[3]
    half, blocked = run("NativeCrop", latent=latent, keep_lead_in=False).args
    assert torch.equal(half["noise_mask"], latent["noise_mask"][..., :2])
    assert blocked.message.startswith("DreamActor Native Crop has no images to crop")


def test_kept_pixels_come_back_untouched(run, condition):
    keep = torch.zeros(1, SIDE, SIDE)
    keep[:, :, :10] = 1
    scene = torch.rand(4, SIDE, SIDE, 3, generator=torch.Generator().manual_seed(1))
    latent = condition("i2v", scene=scene, keep=keep)[3]
    drawn = torch.rand(9, SIDE, SIDE, 3, generator=torch.Generator().manual_seed(2))
    images = run("NativeCrop", latent=latent, images=drawn, keep_lead_in=False).args[1]
    assert torch.equal(images[:, :, :10], scene[:, :, :10])
    assert torch.equal(images[:, :, 10:], drawn[LEAD:, :, 10:])


def test_a_latent_does_not_hold_the_frames_it_does_not_need(condition):
    latent = condition("i2v")[3]
    held = [part for part in latent["dreamactor_native"] if isinstance(part, torch.Tensor)]
    assert [tuple(part.shape) for part in held] == [(9, 32, 64, 3), (9, 32, 64, 1)]
    assert all(part.untyped_storage().nbytes() <= 4 for part in held)


# ---------------------------------------------------------------- what is refused


def shapes_with(kind: str, **changes: tuple[int, ...]) -> dict:
    return published_shapes(FILES[kind]) | {key.replace("__", "."): s for key, s in changes.items()}


@pytest.mark.parametrize(
    ("shapes", "said"),
    [
        (
            shapes_with("a14b", patch_embedding__weight=(5120, 16, 1, 2, 2)),
            "Wan checkpoint: got a text-to-video model (16 channels in, 16 out)",
        ),
        (shapes_with("a14b", vace_patch_embedding__weight=(5120, 96, 1, 2, 2)), "got a VACE model"),
        (
            shapes_with("i2v", patch_embedding__weight=(5120, 48, 1, 2, 2)),
            "got a 48-channel model",
        ),
        (
            shapes_with("hunyuan", img_in__proj__weight=(2048, 98, 1, 1, 1)),
            "HunyuanVideo-1.5 checkpoint: got 98 channels in and 32 out",
        ),
        (
            {"input_blocks.0.0.weight": (320, 4, 3, 3)},
            "model: got Module, need HunyuanVideo-1.5 or",
        ),
    ],
)
def test_other_models_are_refused(condition, shapes, said):
    with pytest.raises(ValueError) as refused:
        condition("i2v", model=patcher_of(network_of(shapes)))
    assert said in str(refused.value)


def windows(cond: list[int], latent: list[int]) -> SimpleNamespace:
    return SimpleNamespace(cond_retain_index_list=cond, latent_retain_index_list=latent)


@pytest.mark.parametrize(
    ("kind", "changes", "said"),
    [
        ("a14b", {"vae": PoolingVae("ti2v")}, "VAE: got (48, 16, 4) (channels, pixels a cell"),
        ("hunyuan", {"vae": PoolingVae("i2v")}, "need (32, 16, 4) for hunyuanvideo-1.5"),
        ("i2v", {"reference": flat(0.5, side=48)}, "reference size (height, width): got (48, 48)"),
        ("i2v", {"reference": flat(0.5, 0.5)}, "reference and driving frames: got 2 and 4"),
        ("i2v", {"driving": flat(0.5)}, "reference and driving frames: got 1 and 1"),
        ("i2v", {"driving": torch.zeros(0, SIDE, SIDE, 3)}, "driving frames: got a batch of shape"),
        ("i2v", {"driving": flat(*[0.5] * 77)}, "driving frames: got 77 behind a lead of 5, need"),
        (
            "ti2v",
            {"driving": flat(0.1, 0.2, side=48), "reference": flat(0.1, side=48)},
            "height: got 48, need a multiple of 32",
        ),
        ("i2v", {"scene": flat(0.5)}, "scene and keep mask: got only one of them"),
        ("i2v", {"prefix": flat(0.5, 0.5)}, "known prefix length: got 2 frames"),
        ("i2v", {"clip_vision_output": 1152}, "clip_vision_output: got tokens of width 1152, need"),
        ("hunyuan", {"clip_vision_output": 1280}, "need 1152, as hunyuanvideo-1.5 reads them"),
    ],
)
def test_what_the_host_would_crop_or_ignore_is_refused(condition, kind, changes, said):
    if width := changes.get("clip_vision_output"):
        tokens = torch.zeros(1, 3, width)
        seen = SimpleNamespace(last_hidden_state=tokens, penultimate_hidden_states=tokens)
        changes = {"clip_vision_output": seen}
    with pytest.raises(ValueError) as refused:
        condition(kind, **changes)
    assert said in str(refused.value)


@pytest.mark.parametrize(
    ("kind", "handler", "refused"),
    [
        ("i2v", windows([0], []), False),
        ("i2v", windows([], [0]), True),
        ("ti2v", windows([0], []), True),
        ("ti2v", windows([0], [0]), False),
    ],
)
def test_long_clips_need_windows_that_keep_the_reference(condition, models, kind, handler, refused):
    model = models[kind].clone()
    model.model_options["context_handler"] = handler
    long = flat(*[0.5] * 160)
    if refused:
        with pytest.raises(ValueError, match=r"^context windows of the model: got windows without"):
            condition(kind, model=model, driving=long)
    else:
        assert condition(kind, model=model, driving=long)[3]["samples"].shape[2] == 1 + 1 + 40


def test_another_latent_is_refused_when_it_is_sampled(condition):
    for kind in ("i2v", "ti2v"):
        model, _, _, latent = condition(kind)
        (check,) = model.get_wrappers("outer_sample", "dreamactor_native")
        right = latent["samples"]

        def sampler(noise, *rest, **named):
            return noise, rest, named

        mask = latent.get("noise_mask")
        assert check(sampler, right, right, "sampler", "sigmas", mask, seed=1)[2] == {"seed": 1}
        with pytest.raises(
            ValueError, match=r"^latent_image of the sampler: got \(3, .* cells, need"
        ):
            check(sampler, right[..., :2], right, "sampler", "sigmas", mask)
        if kind == "ti2v":
            with pytest.raises(ValueError, match="cells without a noise mask"):
                check(sampler, right, right, "sampler", "sigmas")
        again = condition(kind, model=model)[0]  # its own check alone, not that of before, too
        assert len(again.get_wrappers("outer_sample", "dreamactor_native")) == 1


def test_below_zero_the_lead_in_is_as_the_lora_was_trained(lora, condition):
    """4k + 1 frames of a lead, and then four: latent frames."""
    one = lora()[0]
    half = lora(lead_in_seconds="0.5")[0]
    lengths = [
        condition("inp", model=model, lead_in=-1.0)[3]["samples"].shape[2] for model in (one, half)
    ]
    assert lengths == [1 + 4 + 1, 1 + 2 + 1]
    assert condition("inp", lead_in=-1.0)[3]["samples"].shape[2] == 1 + 4 + 1


def test_crop_refuses_what_the_conditioning_did_not_begin(run, condition):
    with pytest.raises(
        ValueError, match=r"^latent: got one of shape \(1, 16, 3, 4, 8\) that knows"
    ):
        run("NativeCrop", latent={"samples": torch.zeros(1, 16, 3, 4, 8)}, keep_lead_in=False)
    latent = condition("i2v")[3]
    for shape in ((8, SIDE, SIDE, 3), (9, SIDE, 48, 3), (9, 16, SIDE, 3)):
        with pytest.raises(ValueError, match=r"^images: got \d frames of"):
            run("NativeCrop", latent=latent, images=torch.zeros(shape), keep_lead_in=False)


# ---------------------------------------------------------------- LoRA


@pytest.fixture
def lora(run, models, folders):
    """The LoRA node on a file of one feed-forward layer of Wan, with our metadata or without."""

    def lora(kind="inp", layer="blocks.0.ffn.0", size=None, model=None, **changes):
        out, width = size or {"inp": (8960, 1536), "a14b": (13824, 5120)}[kind]
        tensors = {
            f"diffusion_model.{layer}.lora_A.weight": torch.ones(4, width),
            f"diffusion_model.{layer}.lora_B.weight": torch.ones(out, 4),
        }
        told = {
            "method": "dreamactor-m2",
            "variant": "end-to-end",
            "side": "reference-left",
            "blank": "grey",
            "lead_in_seconds": "1.0",
            "fps": "16.0",
            "base": BASES[kind],
            "rank": "4",
            "alpha": "4.0",
        }
        path = folders.loras / "mine.safetensors"
        save_file(tensors, path, {key: text for key, text in (told | changes).items() if text})
        try:
            model = models[kind] if model is None else model
            return run("NativeLora", model=model, lora=path.name, strength=0.5).args
        finally:
            path.unlink()

    return lora


def test_a_lora_says_what_it_patched_and_leaves_the_model_alone(lora, models):
    model, report = lora()
    assert report == "mine: 1 layers patched, end-to-end, rank 4, strength 0.5"
    assert list(model.patches) == ["diffusion_model.blocks.0.ffn.0.weight"]
    assert not models["inp"].patches
    assert lora("a14b", expert="low")[1].startswith(
        "mine: 1 layers patched, end-to-end for the low-noise expert, rank 4"
    )
    plain, report = lora(model=model, method=None)
    assert report == "mine: 1 layers patched, no DreamActor LoRA, strength 0.5"
    assert len(plain.patches["diffusion_model.blocks.0.ffn.0.weight"]) == 2


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {"base": "wan-i2v-14b"},
            "base model of mine.safetensors: got 'wan-i2v-14b', need 'wan-i2v",
        ),
        ({"base": "mini"}, "need 'wan-i2v-1.3b', that of the model"),
        ({"blank": "zero"}, "blank of mine.safetensors: got 'zero', need 'grey'"),
        ({"fps": "8.0"}, "frame rate of mine.safetensors: got 8.0, need 16.0"),
        ({"side": "reference-right"}, "side of the reference of mine.safetensors"),
        ({"variant": None}, "metadata of"),
        ({"size": (9000, 1536)}, "LoRA layer blocks.0.ffn.0: got 1536 numbers in and 9000 out"),
        ({"size": (8960, 2048)}, "need 1536 in and 8960 out"),
        ({"layer": "blocks.39.ffn.0"}, "LoRA layer: got blocks.39.ffn.0, need a layer of the"),
        ({"layer": "double_blocks.0.img_mlp.0"}, "need a layer of the backbone"),
    ],
)
def test_a_lora_that_does_not_fit_is_refused_in_words(lora, changes, said):
    with pytest.raises(ValueError) as refused:
        lora(**changes)
    assert said in str(refused.value)


def test_loras_of_two_variants_do_not_go_together(lora):
    model, _ = lora()
    with pytest.raises(
        ValueError, match=r"^variant of mine.safetensors: got 'pose-based', need 'e"
    ):
        lora(model=model, variant="pose-based")
    with pytest.raises(ValueError, match=r"^lead-in of mine.safetensors: got 0.5, need 1.0"):
        lora(model=model, lead_in_seconds="0.5")


def test_a_lora_that_patches_nothing_is_refused(lora):
    hidden = patcher_of(network_of(published_shapes(FILES["inp"])))
    network = hidden.model.diffusion_model
    del hidden.model.diffusion_model  # no longer among the weights that ComfyUI patches
    object.__setattr__(hidden.model, "diffusion_model", network)
    with pytest.raises(ValueError, match="none of which ComfyUI put on the model"):
        lora(model=hidden)


def test_only_files_of_the_list_are_opened(node_classes, folders):
    cls, path = node_classes["DreamActorNativeLora"], folders.loras / "mine.safetensors"
    path.write_bytes(b"no weights")
    assert cls.validate_inputs(lora=path.name) is True
    assert "mine.safetensors" in cls.GET_SCHEMA().inputs[1].options
    before = cls.fingerprint_inputs(lora=path.name)
    path.write_bytes(b"no weights at all")
    assert cls.fingerprint_inputs(lora=path.name) != before
    path.unlink()
    assert "got 'end-to-end (shipped)'" in cls.validate_inputs(lora="end-to-end (shipped)")
    assert "got '../../secret'" in cls.validate_inputs(lora="../../secret")


def test_a_damaged_file_is_refused_in_words(run, models, folders):
    path = folders.loras / "cut.safetensors"
    path.write_bytes(json.dumps({"x": 1}).encode())
    with pytest.raises(ValueError, match=r"^LoRA file .*cut.safetensors: got .* need a whole"):
        run("NativeLora", model=models["inp"], lora=path.name, strength=1.0)
    path.unlink()
