"""What goes wrong turns the node red with one sentence: what was got, needed, how to mend it."""

from __future__ import annotations

import json

import pytest
import torch

SETTINGS = {"steps": 1, "cfg": 1.0, "driving_cfg": 1.0}
FIT = {"fps": 8.0, "size": 0, "start": 0.0, "length": 0.0}


def frames(count: int, height: int = 256, width: int = 256) -> torch.Tensor:
    return torch.full((count, height, width, 3), 0.5)


@pytest.fixture
def composite(run, actor):
    return run("Composite", model=actor, reference=frames(1), driving=frames(4)).args[1]


# ---------------------------------------------------------------- names out of a workflow


@pytest.mark.parametrize(
    "name", ["../mini", "/etc", "mini", "", "gone", "..", "mini (embedded)/../../.."]
)
def test_a_model_outside_the_folders_is_refused(refused, node_classes, name):
    words = (repr(name), "below models/dreamactor", "Choose one of the list")
    refused("LoadModel", *words, model=name, precision="auto", placement="auto")
    assert "Choose one" in node_classes["DreamActorLoadModel"].validate_inputs(model=name)


@pytest.mark.parametrize("name", ["../secret.safetensors", "/tmp/x.safetensors", "pose-based", ""])
def test_a_lora_outside_the_folders_is_refused(refused, node_classes, folders, actor, name):
    (folders.loras.parent / "secret.safetensors").write_bytes(b"x")
    refused("LoadLora", repr(name), "models/loras", model=actor, lora=name, strength=1.0)
    assert "need a .safetensors" in node_classes["DreamActorLoadLora"].validate_inputs(lora=name)


@pytest.mark.parametrize("name", ["../secret.json", "/tmp/x.json", "none.json"])
def test_a_pose_file_outside_the_input_folder_is_refused(refused, node_classes, folders, name):
    (folders.input.parent / "secret.json").write_text("[]")
    refused("LoadPose", repr(name), "input folder", file=name)
    assert "input folder" in node_classes["DreamActorLoadPose"].validate_inputs(file=name)


def test_good_names_pass_and_linked_ones_are_left_to_the_run(node_classes):
    checks = {"LoadModel": "model", "LoadLora": "lora", "LoadPose": "file"}
    for node, name in checks.items():
        assert node_classes[f"DreamActor{node}"].validate_inputs(**{name: None}) is True
    good = {"LoadModel": "mini (embedded)", "LoadLora": "pose-based (shipped)"}
    for node, value in good.items():
        cls = node_classes[f"DreamActor{node}"]
        assert cls.validate_inputs(**{checks[node]: value}) is True


# ---------------------------------------------------------------- files


def test_a_model_with_a_file_deleted_or_cut_off_is_refused(refused, folders, core):
    whole, mine = core("options").WEIGHTS / "mini", folders.dreamactor / "broken"
    for path in whole.rglob("*.*"):
        if path.is_file() and "lora" not in path.parts:
            target = mine / path.relative_to(whole)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.symlink_to(path)
    lost = mine / "transformer" / "diffusion_pytorch_model.safetensors"
    lost.unlink()
    choice = {"model": "broken", "precision": "fp32", "placement": "auto"}
    refused("LoadModel", "broken", "Copy or download the folder again", **choice)
    lost.write_bytes((whole / lost.relative_to(mine)).read_bytes()[:5000])
    refused("LoadModel", "broken", "Copy or download the folder again", **choice)
    for path in sorted(mine.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    mine.rmdir()
    refused("LoadModel", "'broken'", "Choose one of the list", **choice)


def test_a_lora_of_another_base_or_damaged_is_refused(refused, folders, actor, core):
    from safetensors import safe_open
    from safetensors.torch import save_file

    shipped = core("options").WEIGHTS / "mini" / "lora" / "end-to-end.safetensors"
    with safe_open(shipped, "pt") as file:
        metadata = file.metadata()
        tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 - no dict
    path = folders.loras / "other.safetensors"
    choice = {"model": actor, "lora": "other.safetensors", "strength": 1.0}
    save_file(tensors, path, metadata | {"base": "wan"})
    refused("LoadLora", "'wan'", "'mini'", **choice)
    save_file(tensors, path, metadata | {"variant": "pose-based"})
    refused("LoadLora", "variant", "'end-to-end'", "one variant only", **choice)
    save_file(tensors, path)
    refused("LoadLora", "method None", **choice)
    path.write_bytes(b"not a safetensors file")
    refused("LoadLora", "a whole safetensors file", **choice)
    path.unlink()
    refused("LoadLora", "'other.safetensors'", **choice)


def test_a_graph_goes_on_after_a_lora_was_refused(run, folders, actor, refused, composite):
    before = run("Encode", model=actor, composite=composite).args[0]
    refused("LoadLora", "gone", model=actor, lora="gone", strength=1.0)
    words = {"prompt": "", "negative": "", "seed": 0, "shift": 1.0, "sampler": "euler"}
    given = {"model": actor, "context": before}
    assert run("Sampler", **given, **words, **SETTINGS).args[0]["samples"].isfinite().all()


SHORT = {"people": [{"pose_keypoints_2d": [1, 2]}], "canvas_width": 9, "canvas_height": 9}


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("no json", "text that is not JSON"),
        ("[]", "an empty list"),
        ("[1]", "a list of people"),
        (json.dumps([SHORT]), "2 values"),
    ],
)
def test_a_file_that_holds_no_pose_is_refused(refused, folders, text, word):
    (folders.input / "bad.json").write_text(text)
    refused("LoadPose", word, file="bad.json")


def test_a_gpu_that_is_not_there_is_refused(refused):
    choice = {"model": "mini (embedded)", "precision": "auto", "placement": "gpu"}
    refused("LoadModel", "placement", "runs without one", "Choose auto", **choice)


# ---------------------------------------------------------------- pictures


NAN = frames(4).index_fill(0, torch.tensor([2]), float("nan"))
EMPTY = frames(0)
ALPHA = torch.zeros(1, 256, 256, 4)


@pytest.mark.parametrize(
    ("reference", "driving", "words"),
    [
        (EMPTY, frames(4), ("reference", "at least 1 picture")),
        (frames(1), EMPTY, ("driving", "at least 1 picture")),
        (frames(1), frames(1), ("at least 2", "no motion")),
        (frames(3), frames(4), ("reference", "3")),
        (frames(1), NAN, ("driving frames", "NaN or infinity in picture 2")),
        (NAN[2:3], frames(4), ("reference", "NaN or infinity in picture 0")),
        (ALPHA, frames(4), ("(1, 256, 256, 4)", "alpha")),
    ],
)
def test_pictures_that_cannot_be_used_are_refused(refused, actor, reference, driving, words):
    given = {"model": actor, "reference": reference, "driving": driving}
    refused("Composite", *words, **given)
    refused("FitMedia", words[0].split()[0], **given, **FIT)
    more = {"prompt": "", "seed": 0, "fps": 8.0}
    refused("Animate", words[0].split()[0], **given, **more, **SETTINGS)


@pytest.mark.parametrize(
    ("reference", "driving", "words"),
    [
        (frames(1, 256, 96), frames(4), ("reference size", "(256, 96)", "(256, 256)", "Fit")),
        (frames(1, 100, 256), frames(4, 100, 256), ("height", "100", "Use 96")),
        (frames(1), frames(17), ("17 behind a lead of 9", "at most 16", "2 s", "Animate")),
    ],
)
def test_a_composite_that_does_not_fit_is_refused(refused, actor, reference, driving, words):
    refused("Composite", *words, model=actor, reference=reference, driving=driving)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"fps": 0.0}, ("rate of the driving frames", "0.0")),
        ({"fps": float("nan")}, ("rate of the driving frames", "nan")),
        ({"size": 100}, ("100", "a multiple of 16")),
        ({"start": 9.0}, ("9 s", "0.500 s", "start earlier")),
        ({"start": float("nan")}, ("nan",)),
        ({"length": 0.1}, ("1 frame in the part",)),
        ({"reference": frames(1, 4, 256)}, ("256 x 4 pixels",)),
    ],
)
def test_fit_media_refuses_what_it_cannot_fit(refused, actor, changes, words):
    given = {"model": actor, "reference": frames(1), "driving": frames(4)} | FIT
    refused("FitMedia", *words, **given | changes)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"prefix": frames(3), "prefix_driving": frames(3)}, ("known prefix length", "3 frames")),
        ({"prefix": frames(4)}, ("driving frames of the prefix", "None")),
        ({"prefix": frames(4, 64, 64), "prefix_driving": frames(4)}, ("prefix size",)),
        ({"scene": frames(4)}, ("scene and keep mask", "only one")),
        ({"keep": torch.ones(1, 256, 256)}, ("scene and keep mask", "only one")),
        ({"scene": frames(3), "keep": torch.ones(4, 256, 256)}, ("scene length", "3", "4")),
        ({"scene": frames(4), "keep": torch.ones(2, 256, 256)}, ("keep mask length", "2", "4")),
        ({"scene": frames(4), "keep": torch.ones(1, 64, 64)}, ("keep mask size",)),
        ({"scene": NAN, "keep": torch.ones(1, 256, 256)}, ("scene", "NaN")),
        ({"lead_in": 9.0}, ("4 behind a lead of 73", "shorten lead_in")),
    ],
)
def test_a_mask_that_does_not_fit_is_refused(refused, composite, changes, words):
    refused("MotionMask", *words, **{"composite": composite, "lead_in": 1.0} | changes)


# ---------------------------------------------------------------- the wrong wire


def test_a_latent_of_another_node_is_refused(refused, actor):
    latent = {"samples": torch.zeros(1, 4, 64, 64)}
    words = ("latent", "(1, 4, 64, 64)", "DreamActor Sampler")
    refused("Decode", *words, model=actor, latent=latent, crop="result", keep_lead_in=False)


def test_a_latent_that_was_changed_is_refused(refused, run, actor, composite):
    context = run("Encode", model=actor, composite=composite).args[0]
    words = {"prompt": "", "negative": "", "seed": 0, "shift": 1.0, "sampler": "euler"}
    latent = run("Sampler", model=actor, context=context, **words, **SETTINGS).args[0]
    smaller = latent | {"samples": latent["samples"][..., :16]}
    got, need = "(1, 384, 4, 32, 16)", "(1, 384, 4, 32, 64)"
    given = {"model": actor, "crop": "result", "keep_lead_in": False}
    refused("Decode", got, need, latent=smaller, **given)


def test_things_made_for_another_model_are_refused(refused, run, actor, composite):
    from dataclasses import replace

    foreign = replace(composite, base="wan")
    refused("Encode", "'wan'", "'mini'", "same Load Model", model=actor, composite=foreign)
    context = replace(run("Encode", model=actor, composite=composite).args[0], base="wan")
    words = {"prompt": "", "negative": "", "seed": 0, "shift": 1.0, "sampler": "euler"}
    refused("Sampler", "'wan'", "'mini'", model=actor, context=context, **words, **SETTINGS)


def test_keypoints_of_another_video_are_refused(refused, run, model, actor):
    _, _, keypoints, *_ = run("Example", kind="random", seed=1).args
    given = {"reference": frames(1), "driving": frames(4), "keypoints": keypoints}
    more = {"prompt": "", "seed": 0, "fps": 8.0}
    refused("Animate", "16 frames", "need 4", model=model, **given, **more, **SETTINGS)
    given["keypoints"] = keypoints[:4]
    words = ("end-to-end variant and keypoints", "wire keypoints for pose-based")
    refused("Animate", *words, model=actor, **given, **more, **SETTINGS)
    given["keypoints"] = [{"nobody": []}]
    refused("Animate", "a list of people", model=model, **given, **more, **SETTINGS)


def test_a_pose_based_lora_without_keypoints_is_refused(refused, run, model):
    pose = run("LoadLora", model=model, lora="pose-based (shipped)", strength=1.0).args[0]
    given = {"reference": frames(1), "driving": frames(4), "prompt": "", "seed": 0, "fps": 8.0}
    refused("Animate", "pose-based variant and no keypoints", model=pose, **given, **SETTINGS)


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"steps": -1}, "num_inference_steps"),
        ({"cfg": float("nan")}, "guidance_scale"),
        ({"shift": -0.5}, "shift"),
        ({"sampler": "dpm"}, "sampler"),
        ({"seed": -1}, "seed"),
    ],
)
def test_settings_out_of_range_are_refused(refused, run, actor, composite, changes, word):
    context = run("Encode", model=actor, composite=composite).args[0]
    words = {"prompt": "", "negative": "", "seed": 0, "shift": 1.0, "sampler": "euler"}
    refused("Sampler", word, **{"model": actor, "context": context} | words | SETTINGS | changes)
