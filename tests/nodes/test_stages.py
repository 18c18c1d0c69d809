"""The nodes of the opened-up graph, each on the real embedded model, with exact values."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from .conftest import encoded

EMBEDDED = ["mini (embedded)", "mini-incontext (64 px, the bare method)"]
PANEL = (256, 256)
SIDE = 64  # of the frames of `example`
SETTINGS = {"steps": 1, "cfg": 1.0, "driving_cfg": 1.0, "shift": 1.0, "sampler": "euler"}


def grey(*levels: float, height: int = 256, width: int = 256) -> torch.Tensor:
    """IMAGE with one flat frame for each level."""
    return torch.tensor(levels).view(-1, 1, 1, 1).expand(-1, height, width, 3).clone()


@pytest.fixture(scope="module")
def context(run, model, example):
    """All branches may read this one."""
    return encoded(run, model, example)


@pytest.fixture(scope="module")
def chain(run, context, example):
    """Sampler on a model and the encoded example: what it gives."""

    def chain(model, prompt: str = "", negative: str = "", seed: int = 3, **changes):
        words = {"prompt": prompt or example.caption, "negative": negative, "seed": seed}
        (latent,) = run("Sampler", model=model, context=context, **words, **SETTINGS | changes).args
        return latent

    return chain


@pytest.fixture(scope="module")
def decode(run):
    def decode(model, latent, crop: str = "result", keep_lead_in: bool = False) -> torch.Tensor:
        return run("Decode", model=model, latent=latent, crop=crop, keep_lead_in=keep_lead_in).args[
            0
        ]

    return decode


@pytest.fixture(scope="module")
def alone(core, example):
    """The core without ComfyUI: the frames of one pass on a freshly opened model."""

    def alone(variant: str | None, settings=None, strength: float = 1.0, **options):
        backbone = core("models.loading").load_backbone("mini")
        if variant:
            file = core("models").find("mini").lora_beside(variant)
            core("lora.adapters").load_lora(backbone, file, strength)
        settings = settings or core("sampling").SampleSettings(num_inference_steps=1, seed=3)
        return core("animate").animate_pass(
            backbone, example.reference, example.driving, example.caption, settings, **options
        )

    return alone


# ---------------------------------------------------------------- material


def test_the_example_is_drawn_from_its_seed(run, core):
    one, again, other = (run("Example", kind="random", seed=seed) for seed in (1, 1, 2))
    reference, driving, keypoints, fps, caption = one.args
    assert (reference.shape, driving.shape) == ((1, 256, 256, 3), (16, 256, 256, 3))
    assert (len(keypoints), fps) == (16, 8.0) and isinstance(fps, float)
    assert torch.equal(driving, again.args[1]) and not torch.equal(driving, other.args[1])
    truth = core("puppets.triplet").triplet(1, "test", 25, 256)
    assert torch.equal((reference[0] * 255).byte(), torch.from_numpy(truth.truth.frames[0]))
    assert torch.equal((driving * 255).byte(), torch.from_numpy(truth.driver.frames[9:]))
    assert caption == truth.truth.caption


@pytest.mark.parametrize("kind", ["bird", "robot", "quadruped", "blob"])
def test_the_example_draws_the_kind_that_was_asked_for(run, kind):
    assert kind in run("Example", kind=kind, seed=5).args[4]


def test_draw_pose_draws_what_the_pose_based_variant_was_trained_on(run, core, example):
    drawn = run("DrawPose", keypoints=example.keypoints, width=96, height=64, fit="box").args[0]
    pose = core("pose.keypoints").parse_keypoints(example.keypoints)
    draw = core("pose.draw")
    want = torch.from_numpy(draw.draw_pose(draw.fit_box(pose), 64, 96)).float() / 255
    assert torch.equal(drawn, want) and drawn.shape == (5, 64, 96, 3)
    plain = run("DrawPose", keypoints=example.keypoints, width=96, height=64, fit="none").args[0]
    assert torch.equal(plain, torch.from_numpy(draw.draw_pose(pose, 64, 96)).float() / 255)
    assert not torch.equal(plain, drawn)


@pytest.mark.parametrize("wrap", [lambda frames: frames, lambda frames: {"frames": frames}])
def test_load_pose_gives_the_frames_of_the_file(run, folders, example, wrap):
    (folders.input / "dance.json").write_text(json.dumps(wrap(example.keypoints)))
    assert run("LoadPose", file="dance.json").args == (example.keypoints, 5)


def test_fit_media_letterboxes_and_retimes(run, actor):
    tall = grey(0.6, height=64, width=32)
    driving = grey(*(k / 20 for k in range(20)), height=36, width=64)
    reference, frames, fps, audio = run(
        "FitMedia",
        model=actor,
        reference=tall,
        driving=driving,
        fps=20.0,
        size=0,
        start=0.25,
        length=0.5,
    ).args
    assert reference.shape == (1, *PANEL, 3) and frames.shape == (4, *PANEL, 3)
    assert (fps, audio) == (8.0, None)
    assert reference[0, :, 64:192].sub(0.6).abs().max() < 1e-6 and reference[0, :, :64].max() == 0
    shown = [int((0.25 + k / 8) * 20 + 1e-6) / 20 for k in range(4)]  # on screen at k / 8 s
    assert frames[:, 128, 128, 0].tolist() == pytest.approx(shown, abs=1e-6)
    assert frames[:, :56].max() == 0  # bars of 256 - 144 rows


def test_fit_media_takes_the_aspect_of_the_reference(run, actor):
    outputs = run(
        "FitMedia",
        model=actor,
        reference=grey(0.5, height=60, width=120),
        driving=grey(0.1, 0.2, height=20, width=20),
        fps=8.0,
        size=64,
        start=0.0,
        length=0.0,
    ).args
    assert outputs[0].shape == (1, 48, 96, 3) and outputs[1].shape == (2, 48, 96, 3)


@pytest.mark.parametrize(
    ("motion", "appearance", "fused", "prompt"),
    [
        ("is waving", "a red bird", "", "a red bird is waving"),
        ("is waving", "", " ", "is waving"),
        ("  ", "a red bird\n", "", "a red bird"),
        ("is waving", "a bird", " the bird waves its wings ", "the bird waves its wings"),
        ("", "", "", ""),
    ],
)
def test_caption_joins_unless_fused_is_written(run, motion, appearance, fused, prompt):
    assert run("Caption", motion=motion, appearance=appearance, fused=fused).args[0] == prompt


# ---------------------------------------------------------------- composite and mask


def test_composite_places_reference_and_driving_behind_a_second(run, actor):
    frames, _ = run("Composite", model=actor, reference=grey(0.7), driving=grey(0.1, 0.2, 0.3)).args
    assert frames.shape == (13, 256, 512, 3)
    left, right = frames[:, 0, 0, 0].tolist(), frames[:, 0, 511, 0].tolist()
    assert left == pytest.approx([0.7] + [0] * 12)
    assert right == pytest.approx([0] * 9 + [0.1, 0.2, 0.3, 0.3])


def test_motion_mask_says_what_is_known(run, actor, folders):
    _, composite = run("Composite", model=actor, reference=grey(0.7), driving=grey(0.1, 0.2)).args
    output = run("MotionMask", composite=composite, lead_in=0.5)
    _, mask, image = output.args
    assert mask.shape == (9, 256, 512) and image.shape == (9, 256, 512, 3)
    assert mask[0].min() == 1 and mask[1:, :, :256].max() == 0 and mask[:, :, 256:].min() == 1
    assert image[:, 0, 511, 0].tolist() == pytest.approx([0] * 5 + [0.1, 0.2, 0.2, 0.2])
    (shown,) = output.ui["dreamactor_mask"]
    assert (shown["lead"], shown["length"]) == (5, 2)
    for part in ("composite", "mask"):
        view = shown[part]
        assert view["type"] == "temp"
        assert (folders.temp / view["subfolder"] / view["filename"]).stat().st_size > 0


def test_one_keep_mask_serves_all_frames_and_kept_pixels_come_back(run, actor, example, decode):
    _, composite = run(
        "Composite", model=actor, reference=example.reference, driving=example.driving
    ).args
    scene = torch.rand(example.driving.shape, generator=torch.Generator().manual_seed(0))
    keep = torch.zeros(1, SIDE, SIDE)
    keep[:, :, :16] = 1
    kept, mask, _ = run("MotionMask", composite=composite, lead_in=1.0, scene=scene, keep=keep).args
    assert torch.equal(mask[9:14, :, :SIDE], keep.expand(5, -1, -1))
    (context,) = run("Encode", model=actor, composite=kept).args
    (latent,) = run(
        "Sampler", model=actor, context=context, prompt="", negative="", seed=0, **SETTINGS
    ).args
    frames = decode(actor, latent)
    assert torch.equal(frames[:, :, :16], scene[:, :, :16])
    assert not torch.equal(frames[:, :, 16:], scene[:, :, 16:])


def test_a_prefix_takes_the_place_of_the_lead_in(run, actor):
    _, composite = run("Composite", model=actor, reference=grey(0.7), driving=grey(0.1, 0.2)).args
    before, drove = grey(0.4, 0.5, 0.6, 0.8), grey(0.01, 0.02, 0.03, 0.04)
    _, mask, image = run(
        "MotionMask", composite=composite, lead_in=1.0, prefix=before, prefix_driving=drove
    ).args
    left, right = image[:, 0, 0, 0].tolist(), image[:, 0, 511, 0].tolist()
    assert left == pytest.approx([0.7, 0.4, 0.5, 0.6, 0.8, 0, 0, 0, 0])
    assert right == pytest.approx([0, 0.01, 0.02, 0.03, 0.04, 0.1, 0.2, 0.2, 0.2])
    assert mask[:, 0, 0].tolist() == [1] * 5 + [0] * 4


def test_below_zero_the_lead_in_is_as_the_lora_was_trained(run, actor, caplog):
    (lora,) = actor.loras
    info = replace(lora.info, lead_in_seconds=0.5)
    short = replace(actor, loras=(replace(lora, info=info),))
    frames, composite = run(
        "Composite", model=short, reference=grey(0.7), driving=grey(0.1, 0.2)
    ).args
    assert len(frames) == 5 + 4
    same, _, image = run("MotionMask", composite=composite, lead_in=-1.0).args
    assert same is composite and torch.equal(image, frames)  # nothing is built again
    asked = run("MotionMask", composite=composite, lead_in=1.0).args
    assert len(asked[2]) == 9 + 4
    assert "A lead-in of 1 s; the model was trained with one of 0.5 s." in caplog.text
    back, _, image = run("MotionMask", composite=asked[0], lead_in=-1.0).args
    assert torch.equal(image, frames) and back.composite.lead == 5
    prefix = {"prefix": grey(0.4, 0.5, 0.6, 0.8), "prefix_driving": grey(0.01, 0.02, 0.03, 0.04)}
    (known, *_) = run("MotionMask", composite=composite, lead_in=-1.0, **prefix).args
    _, mask, image = run("MotionMask", composite=known, lead_in=-1.0).args
    assert torch.equal(image, frames) and mask[1:, :, :256].max() == 0


# ---------------------------------------------------------------- the chain


@pytest.fixture(scope="module")
def latent(chain, actor):
    return chain(actor)


def test_the_chain_of_nodes_is_one_pass_of_the_core(actor, latent, decode, alone, core):
    assert latent["samples"].shape == (1, 384, 5, SIDE // 8, 2 * SIDE // 8)
    want = alone("end-to-end", lead_in=core("composite").LeadIn(keep=True))
    assert torch.equal(decode(actor, latent, keep_lead_in=True), want)
    assert torch.equal(decode(actor, latent), want[9:])


def test_every_setting_reaches_the_core(actor, chain, decode, alone, core):
    changes = {"steps": 2, "cfg": 2.0, "driving_cfg": 1.5, "shift": 2.0, "sampler": "unipc"}
    latent = chain(actor, negative="a horse", seed=8, **changes)
    settings = core("sampling").SampleSettings(2, 2.0, 1.5, 2.0, "unipc", 8, "a horse")
    assert torch.equal(decode(actor, latent), alone("end-to-end", settings))


def test_the_whole_composite_is_the_result_beside_its_driver(actor, latent, decode, example):
    frames = decode(actor, latent, "whole composite")
    assert torch.equal(frames[:, :, :SIDE], decode(actor, latent))
    assert torch.equal(frames[:, :, SIDE:], example.driving)
    lead = decode(actor, latent, "whole composite", keep_lead_in=True)
    assert lead.shape == (14, SIDE, 2 * SIDE, 3) and lead[:9, :, SIDE:].max() == 0


# ---------------------------------------------------------------- LoRA


def test_load_lora_says_how_many_layers_it_patched(run, model):
    _, report = run("LoadLora", model=model, lora="pose-based (shipped)", strength=0.5).args
    assert report == "pose-based: 12 layers patched, pose-based, rank 16, strength 0.5"


def test_branches_with_other_loras_do_not_see_each_other(run, model, actor, chain, core):
    pose = run("LoadLora", model=model, lora="pose-based (shipped)", strength=1.0).args[0]
    half = run("LoadLora", model=model, lora="end-to-end (shipped)", strength=0.5).args[0]
    made = {}
    for name in ("actor", "pose", "bare", "half", "actor", "bare", "half", "pose"):
        branch = {"actor": actor, "pose": pose, "bare": model, "half": half}[name]
        samples = chain(branch)["samples"]
        assert torch.equal(made.setdefault(name, samples), samples), name
    kinds = list(made.values())
    assert all(not torch.equal(a, b) for i, a in enumerate(kinds) for b in kinds[:i])
    assert model.loras == () and len(actor.loras) == 1
    assert actor.weights is pose.weights is model.weights  # the weights are there once


@pytest.mark.parametrize("variant", [None, "pose-based"])
def test_a_branch_is_what_the_core_alone_makes(run, model, chain, decode, alone, variant):
    branch = model
    if variant:
        lora = f"{variant} (shipped)"
        branch = run("LoadLora", model=model, lora=lora, strength=0.7).args[0]
    assert torch.equal(decode(branch, chain(branch)), alone(variant, strength=0.7))


def test_a_lora_may_be_stacked_on_itself(run, actor, model, chain):
    twice = run("LoadLora", model=actor, lora="end-to-end (shipped)", strength=0.5).args[0]
    strong = run("LoadLora", model=model, lora="end-to-end (shipped)", strength=1.5).args[0]
    stacked, single = chain(twice)["samples"], chain(strong)["samples"]
    assert torch.allclose(stacked, single, atol=1e-3) and len(twice.loras) == 2


def test_a_lora_from_a_folder_is_found_and_read_again_when_it_changes(
    run, node_classes, folders, core, model, chain
):
    source = core("options").WEIGHTS / "mini" / "lora" / "end-to-end.safetensors"
    fingerprint = node_classes["DreamActorLoadLora"].fingerprint_inputs
    for folder, name in (("loras", "my.lora.safetensors"), ("dreamactor", "sub/it.safetensors")):
        path = getattr(folders, folder) / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(source.read_bytes())
        choice = name if folder == "loras" else f"models/dreamactor/{name}"
        stamps, made = [], []
        for other in (source, source.with_name("pose-based.safetensors")):
            path.write_bytes(other.read_bytes())
            stamps.append(fingerprint(model=None, lora=choice, strength=1.0))
            branch = run("LoadLora", model=model, lora=choice, strength=1.0).args[0]
            made.append(chain(branch)["samples"])
        assert stamps[0] != stamps[1] and not torch.equal(*made)
        path.unlink()


# ---------------------------------------------------------------- models of one's own


def test_a_model_of_a_folder_is_found_and_noticed_when_it_changes(
    run, node_classes, folders, core, tmp_path
):
    cls, options = node_classes["DreamActorLoadModel"], core("options")
    mine = folders.dreamactor / "group" / "mine"
    mine.mkdir(parents=True)
    for path in (options.WEIGHTS / "mini").rglob("*.*"):
        if path.is_file():
            target = mine / path.relative_to(options.WEIGHTS / "mini")
            target.parent.mkdir(parents=True, exist_ok=True)
            target.symlink_to(path)
    options = cls.GET_SCHEMA().inputs[0].options
    assert options == [*EMBEDDED, "group/mine"]
    lora = node_classes["DreamActorLoadLora"].GET_SCHEMA().inputs[1].options
    assert lora[2:] == [
        f"models/dreamactor/group/mine/lora/{name}.safetensors"
        for name in ("end-to-end", "pose-based")
    ]
    choice = {"model": "group/mine", "precision": "bf16", "placement": "cpu"}
    before = cls.fingerprint_inputs(**choice)
    assert before == cls.fingerprint_inputs(**choice)
    opened = run("LoadModel", **choice).args[0]
    assert opened.weights.opened.backbone.transformer.dtype == torch.bfloat16
    assert (opened.name, opened.geometry.panel) == ("mini", PANEL)
    (mine / "lora" / "new.safetensors").write_bytes(b"x")
    assert cls.fingerprint_inputs(**choice) != before
    for path in sorted(mine.rglob("*"), reverse=True):
        path.unlink() if path.is_file() else path.rmdir()
    mine.rmdir()


def test_the_bare_method_is_in_the_list_and_hears_its_seed(
    run, refused, node_classes, folders, core, example
):
    label = EMBEDDED[1]
    assert label in node_classes["DreamActorLoadModel"].GET_SCHEMA().inputs[0].options
    opened = run("LoadModel", model=label, precision="auto", placement="cpu").args[0]
    assert (opened.geometry.panel, opened.defaults.ignored) == ((64, 64), ())
    lora = folders.loras / "of-mini.safetensors"
    lora.symlink_to(core("options").WEIGHTS / "mini" / "lora" / "end-to-end.safetensors")
    choice = {"model": opened, "lora": lora.name, "strength": 1.0}
    refused("LoadLora", "base model", "'mini'", "'mini-incontext'", **choice)
    lora.unlink()
    opened = run("LoadLora", model=opened, lora="end-to-end (shipped)", strength=1.0).args[0]
    context = encoded(run, opened, example)
    words = {"prompt": "a bird", "negative": "", **SETTINGS}
    drawn = [run("Sampler", model=opened, context=context, seed=seed, **words) for seed in (0, 1)]
    first, second = (latent.args[0]["samples"] for latent in drawn)
    assert first.shape == second.shape and not torch.equal(first, second)  # the seed is heard


def test_links_in_a_circle_end(pack, tmp_path):
    import importlib

    files = importlib.import_module("pack.nodes.host.files")
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "b" / "model.json").write_text("{}")
    for name in ("one", "two"):
        (tmp_path / "a" / name).symlink_to(tmp_path / "a", target_is_directory=True)
        (tmp_path / "a" / "b" / name).symlink_to("..", target_is_directory=True)
    (tmp_path / "a" / "nowhere").symlink_to(tmp_path / "absent")
    assert files._below(tmp_path, ".json") == [tmp_path / "a" / "b" / "model.json"]


def test_models_and_loras_of_extra_model_paths_are_found(node_classes, folders, tmp_path):
    """extra_model_paths.yaml adds folders to the names of folder_paths, linked ones included."""
    import folder_paths

    (tmp_path / "far" / "model").mkdir(parents=True)
    (tmp_path / "far" / "model" / "model.json").write_text("{}")
    (tmp_path / "far" / "extra.safetensors").write_text("")
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "link").symlink_to(tmp_path / "far", target_is_directory=True)
    unet = folders.diffusion_models / "big"
    unet.mkdir()
    (unet / "model.json").write_text("{}")
    folder_paths.add_model_folder_path("dreamactor", str(tmp_path / "root"))
    models = node_classes["DreamActorLoadModel"].GET_SCHEMA().inputs[0].options
    loras = node_classes["DreamActorLoadLora"].GET_SCHEMA().inputs[1].options
    folder_paths.folder_names_and_paths["dreamactor"][0].remove(str(tmp_path / "root"))
    (unet / "model.json").unlink()
    assert models == [*EMBEDDED, "link/model", "big"]
    assert loras[2:] == ["models/dreamactor/link/extra.safetensors"]


def test_the_precision_is_that_of_the_weights(run):
    for precision, dtype in (("fp32", torch.float32), ("fp16", torch.float16)):
        model = run("LoadModel", model="mini (embedded)", precision=precision, placement="auto")
        backbone = model.args[0].weights.opened.backbone
        assert backbone.transformer.dtype == backbone.vae.dtype == dtype


def test_numbers_of_an_image_are_not_rounded_on_the_way(run, core):
    """Composite and Decode pass float pixels: nothing is written to 8 bits in between."""
    fine = torch.from_numpy(np.linspace(0, 1, 256 * 256 * 3, dtype=np.float32))
    fine = fine.view(1, 256, 256, 3)
    model = run("LoadModel", model="mini (embedded)", precision="fp32", placement="cpu").args[0]
    frames, _ = run("Composite", model=model, reference=fine, driving=fine.repeat(2, 1, 1, 1)).args
    assert torch.equal(frames[0, :, :256], fine[0]) and torch.equal(frames[9, :, 256:], fine[0])


def test_a_composite_carries_what_is_told_of_the_reference(run, model, example):
    mask = torch.zeros(1, SIDE, SIDE)
    mask[:, 15:50, 20:45] = 1
    given = {"model": model, "reference": example.reference, "driving": example.driving}
    value = run("Composite", **given, reference_mask=mask).args[1]
    assert np.array_equal(value.guides.mask, mask[0].numpy()) and value.guides.joints is None
    assert run("MotionMask", composite=value, lead_in=1.0).args[0].guides is value.guides
    assert run("Composite", **given).args[1].guides is None
    with pytest.raises(ValueError, match="reference keypoints: got 5 frames, need 1"):
        run("Composite", **given, reference_keypoints=example.keypoints)
