"""`train cache` and `train lora` by the command line on the five bases, from their folders."""

import csv
import json
import math
import os
import shutil
import sqlite3
import sys
from dataclasses import replace
from functools import cache

import pytest
import torch
from accelerate.state import AcceleratorState, GradientState
from safetensors.torch import load_file

from dreamactor_core.__main__ import main
from dreamactor_core.animate import animate_pass, encode_composite
from dreamactor_core.backbones import hunyuan15, placement, wan
from dreamactor_core.backbones.placement import Placement
from dreamactor_core.errors import InputError
from dreamactor_core.lora.adapters import load_lora
from dreamactor_core.lora.files import read_lora
from dreamactor_core.media import probe
from dreamactor_core.sampling import SampleSettings
from dreamactor_core.train import lora, optimise
from dreamactor_core.train.base import open_network
from dreamactor_core.train.clips import pair_of, read_clip, read_rows, rng_of
from dreamactor_core.train.examples import draw_example
from dreamactor_core.train.lora import Examples
from dreamactor_core.train.network import LoraTrainee, draw_lora_sigma, prepare_network, sigma_range
from dreamactor_core.train.recipe import available_recipes, read_recipe
from dreamactor_core.train.store import open_store

from .clips_on_disk import WINDOW, WINDOWS
from .full_size import BASES, open_base

RECIPE = {
    "variant": "pose-based",
    "lora": {"rank": 2, "alpha": 2},
    "steps": 3,
    "batch_size": 2,
    "learning_rate": 1e-2,
    "held_out": 0,
    "save_steps": 100,
    "cache": WINDOWS,
}
EXACT = Placement(dtype=torch.float32)


pytestmark = pytest.mark.usefixtures("fresh_accelerate")


def write_recipe(folder, **changes):
    path = folder / "recipe.json"
    path.write_text(json.dumps(RECIPE | changes))
    return path


def call(*arguments) -> int:
    AcceleratorState._reset_state(True)
    GradientState._reset_state()
    return main(["train", *map(str, arguments)])


def make_cache(base, clips, folder, *options, **changes):
    recipe = write_recipe(folder, **changes)
    out = folder / "cache"
    command = ["cache", "--base", base, "--pairs", clips, "--config", recipe, "--out", out]
    assert call(*command, "--size", "32", *options) == 0
    return recipe, out


@pytest.fixture(scope="module")
def made(base, clips, tmp_path_factory):
    """Name of a base -> recipe and cache by RECIPE, made once; tests read them and no more."""
    return cache(lambda name: make_cache(base(name), clips, tmp_path_factory.mktemp(name)))


def train(base, cached, recipe, out, *options) -> int:
    command = ["lora", "--base", base, "--cache", cached, "--config", recipe, "--out", out]
    return call(*command, *options)


@pytest.mark.parametrize("name", BASES)
def test_from_clips_to_a_lora_that_animates(base, tmp_path, made, name):
    folder = base(name)
    recipe, cached = made(name)
    assert len(open_store(cached).names) == 3
    for expert in ("high", "low") if name == "wan-2.2-a14b" else ("",):
        out = tmp_path / f"run{expert}"
        options = ["--expert", expert] if expert else []
        assert train(folder, cached, recipe, out, *options) == 0
        lines = [json.loads(line) for line in (out / "steps.jsonl").read_text().splitlines()]
        assert [line["step"] for line in lines] == [1, 2, 3]
        assert all(math.isfinite(line["loss"]) and line["norm"] > 0 for line in lines)
        assert (out / "loss.csv").is_file() and (out / "loss.png").is_file()
        info = read_lora(out / "lora.safetensors").info
        assert (info.variant, info.expert, info.rank) == ("pose-based", expert, 2)
        for file in ("lora.safetensors", "lora-comfyui.safetensors"):
            backbone = open_base(folder)
            loaded = load_lora(backbone, out / file)
            assert loaded.count == 4  # two layers of each of two blocks
        tensors = load_file(out / "lora.safetensors")
        assert all(value.any() for value in tensors.values())  # the ups began at zero
    reference, driving = torch.rand(1, 32, 32, 3), torch.rand(24, 32, 32, 3)
    two_steps = SampleSettings(num_inference_steps=2)
    video = animate_pass(backbone, reference, driving, "waves", two_steps)
    assert video.shape == driving.shape


@pytest.mark.parametrize("name", ["hunyuanvideo-1.5", "wan-2.1", "wan-2.2-ti2v"])
@torch.no_grad()
def test_what_a_cache_gives_the_network_is_what_inference_gives_it(base, clips, made, name):
    """To the last bit, over the disk and another process's model."""
    recipe, cached = made(name)
    store, plan = open_store(cached), read_recipe(recipe)
    whole = open_base(base(name))
    network = open_network(base(name), EXACT)
    for row in read_rows(clips, "pose-based")[0]:
        rng = rng_of(0, row.name, 0)
        clip = read_clip(row, whole.geometry, 32, WINDOW, "pose-based")
        pair = pair_of(clip, 0.5, rng)
        assert int(rng.choice([WINDOW])) == WINDOW
        example = draw_example(pair, WINDOW, plan.cache.draws, whole.geometry, rng)
        encoded = store.read(f"{row.name}-000")
        want = encode_composite(whole, example.composite).context
        for mine, theirs in zip(network.context(encoded.latents, encoded.known), want, strict=True):
            assert torch.equal(mine, theirs)
        width = example.composite.frames.shape[2] // 2
        text = whole.encode_text([example.prompt], example.composite.frames[:1, :, :width])
        assert all(torch.equal(a, b) for a, b in zip(encoded.text, text, strict=True))


def test_the_base_is_frozen_and_half_as_wide_and_the_lora_whole(base):
    backbone = open_network(base("wan-2.1"), Placement())
    network = prepare_network(backbone, read_recipe("small_data_pose_based").lora)
    kinds = {(p.requires_grad, p.dtype) for p in network.parameters() if p.is_floating_point()}
    assert (True, torch.float32) in kinds and (False, torch.bfloat16) in kinds
    assert all(dtype == torch.float32 for learns, dtype in kinds if learns)
    assert network.is_gradient_checkpointing
    assert backbone.vae is None and backbone.text_encoder.pipeline.text_encoder is None
    assert all("lora_" in name for name, p in network.named_parameters() if p.requires_grad)


def test_an_expert_meets_the_noise_levels_it_works_at(base):
    backbone = open_network(base("wan-2.2-a14b"), EXACT, "low")
    assert sigma_range(backbone, "high") == (0.9, 1.0)
    generator = torch.Generator().manual_seed(0)
    for expert in ("high", "low"):
        limits = sigma_range(backbone, expert)
        levels = torch.stack([draw_lora_sigma(5.0, limits, generator) for _ in range(200)])
        assert ((levels >= 0.9) == (expert == "high")).all()
        assert levels.std() > 0.01
    whole = torch.stack([draw_lora_sigma(2.0, (0, 1), generator) for _ in range(4000)])
    assert whole.median() == pytest.approx(2 / 3, abs=0.02)  # of a logit-normal, shifted


def run_again(base, cached, recipe, out, kill_at=None):
    """Train; die without a word behind a step."""
    if kill_at is None:
        return train(base, cached, recipe, out)
    child = os.fork()
    if child == 0:
        note = optimise.Run._note

        def die(self, step, *rest):
            if step == kill_at:
                os._exit(9)
            note(self, step, *rest)

        optimise.Run._note = die
        train(base, cached, recipe, out)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def test_a_killed_run_resumes_to_the_last_bit(base, tmp_path, made):
    recipe, cached = made("wan-2.1")
    recipe = write_recipe(tmp_path, save_steps=2, steps=6, ema_decay=0.5)
    assert run_again(base("wan-2.1"), cached, recipe, tmp_path / "whole") == 0
    assert run_again(base("wan-2.1"), cached, recipe, tmp_path / "killed", kill_at=5) == 9
    assert torch.load(tmp_path / "killed" / "checkpoint.pt")["step"] == 4
    assert (tmp_path / "killed" / "lora.safetensors").is_file()  # of step 4
    assert run_again(base("wan-2.1"), cached, recipe, tmp_path / "killed") == 0
    for file in ("lora.safetensors", "lora-comfyui.safetensors"):
        a, b = (load_file(tmp_path / run / file) for run in ("whole", "killed"))
        assert all(torch.equal(a[key], b[key]) for key in a)
    losses = []
    for run in ("whole", "killed"):
        lines = (tmp_path / run / "steps.jsonl").read_text().splitlines()
        losses.append([(line["step"], line["loss"]) for line in map(json.loads, lines)])
    assert losses[0] == losses[1] and len(losses[0]) == 6


def test_it_stops_after_its_minutes_with_files_and_goes_on(base, tmp_path, made):
    recipe, cached = made("wan-2.1")
    assert train(base("wan-2.1"), cached, recipe, tmp_path / "run", "--minutes", "0") == 0
    assert torch.load(tmp_path / "run" / "checkpoint.pt")["step"] == 1
    assert (tmp_path / "run" / "lora-comfyui.safetensors").is_file()
    assert train(base("wan-2.1"), cached, recipe, tmp_path / "run") == 0
    assert torch.load(tmp_path / "run" / "checkpoint.pt")["step"] == 3


def test_a_failing_validation_costs_nothing(base, tmp_path, made, monkeypatch, caplog):
    recipe, cached = made("wan-2.1")
    recipe = write_recipe(tmp_path, held_out=1, validate_steps=1)

    def fail(self, step):
        raise ZeroDivisionError("no such luck")

    monkeypatch.setattr(lora.Watch, "__call__", fail)
    halves = lambda self: (self.store.names[1:], self.store.names[:1])  # noqa: E731
    monkeypatch.setattr(lora.Examples, "split", halves)
    assert train(base("wan-2.1"), cached, recipe, tmp_path / "run") == 0
    assert "validation at step 1 failed: ZeroDivisionError: no such luck" in caplog.text
    assert (tmp_path / "run" / "lora.safetensors").is_file()


def test_held_out_clips_are_validated_on_and_never_trained_on(base, clips, tmp_path):
    two = RECIPE["cache"] | {"variants": 2}
    recipe, cached = make_cache(base("wan-2.1"), clips, tmp_path, cache=two)
    examples = cached / "examples"
    for path in sorted(examples.iterdir()):  # twelve clips
        for k in range(3):
            shutil.copy(path, examples / f"{k}{path.name}")
    store, plan = open_store(cached), replace(read_recipe(recipe), held_out=8, steps=40)
    backbone = open_network(base("wan-2.1"), EXACT)
    train_names, held = Examples(backbone, store, plan, (0.0, 1.0)).split()
    held_clips = {store.clip_of(name) for name in held}
    assert len(held) == 2 and len(held_clips) == 1  # a tenth of 12
    assert not held_clips & {store.clip_of(name) for name in train_names}
    recipe = write_recipe(tmp_path, held_out=8, validate_steps=2)
    out = tmp_path / "run"
    assert train(base("wan-2.1"), cached, recipe, out) == 0
    lines = [json.loads(line) for line in (out / "steps.jsonl").read_text().splitlines()]
    figures = {line["step"]: line["validation"] for line in lines if "validation" in line}
    assert list(figures) == [2, 3]
    card = (out / "README.md").read_text()
    assert card.startswith("---\nlicense: apache-2.0\nbase_model: wan-i2v-128\n")
    assert "| trained on | 11 clips, 24 examples; panels of about 32x32 |" in card
    assert "| steps | 3 of 3, 2 examples a device each |" in card
    best = json.loads((out / "best.json").read_text())
    assert f"clips: {best['validation']:.4f} at step {best['step']} (best" in card
    assert best["validation"] == min(figures.values())
    assert (out / "best.safetensors").is_file()


def test_two_processes_read_what_one_of_twice_the_batch_does(base, made):
    recipe, cached = made("wan-2.1")
    store, plan = open_store(cached), read_recipe(recipe)
    backbone = open_network(base("wan-2.1"), EXACT)
    one = list(Examples(backbone, store, replace(plan, batch_size=4), (0, 1)).batches(1, 0, 1))
    two = [list(Examples(backbone, store, plan, (0, 1)).batches(1, p, 2)) for p in (0, 1)]
    order = [two[k // 2 % 2][k // 4 * 2 + k % 2] for k in range(12)]
    for a, b in zip(one, order, strict=True):
        assert torch.equal(a.noise, b.noise) and torch.equal(a.target, b.target)
    # An epoch has every example once.
    firsts = {tuple(example.target.flatten()[:4].tolist()) for example in one[:3]}
    assert len(firsts) == 3


def test_the_same_call_makes_what_is_missing_and_nothing_else(base, clips, tmp_path):
    _, cached = make_cache(base("wan-2.1"), clips, tmp_path)
    paths = sorted((cached / "examples").iterdir())
    before = {path: path.stat().st_mtime_ns for path in paths}
    whole = load_file(paths[1])
    paths[1].unlink()
    make_cache(base("wan-2.1"), clips, tmp_path)
    again = load_file(paths[1])
    assert all(torch.equal(again[key], whole[key]) for key in whole)
    assert all(path.stat().st_mtime_ns == before[path] for path in (paths[0], paths[2]))


def test_machines_share_a_folder(base, clips, tmp_path):
    _, cached = make_cache(base("wan-2.1"), clips, tmp_path, "--part", "1/2")
    assert len(open_store(cached).names) == 1
    make_cache(base("wan-2.1"), clips, tmp_path, "--part", "0/2")
    assert len(open_store(cached).names) == 3


def test_bad_clips_are_named_and_left_out(base, clips, tmp_path, caplog):
    shutil.copytree(clips.parent, tmp_path / "clips")
    rows = clips.read_text().splitlines()
    broken = [json.loads(rows[0]) | change for change in ({"pose": None}, {"target": "none.mp4"})]
    lines = ["{", *map(json.dumps, broken), *rows]
    path = tmp_path / "clips" / "mixed.jsonl"
    path.write_text("\n".join(lines))
    _, cached = make_cache(base("wan-2.1"), path, tmp_path)
    assert len(open_store(cached).names) == 3
    assert "line 1 of" in caplog.text and "no text under 'pose'" in caplog.text
    assert "none.mp4" in caplog.text


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--config", "small_data_end_to_end"], "those of end-to-end, which the recipe trains"),
        (["--config", "nothing"], "paper_pose_based"),
        (["--expert", "low"], "wan-i2v-128 is one network"),
        (["--init", "none.safetensors"], "none.safetensors"),
        (["--style", "kohya"], "need diffusers, comfyui or both"),
    ],
)
def test_what_cannot_be_trained_is_said_in_one_sentence(
    base, tmp_path, made, capsys, options, message
):
    recipe, cached = made("wan-2.1")
    assert train(base("wan-2.1"), cached, recipe, tmp_path / "run", *options) == 2
    said = capsys.readouterr().err.strip().splitlines()[-1]
    assert message in said


def test_an_expert_must_be_chosen_and_a_cache_be_the_base_s(base, tmp_path, made, capsys):
    recipe, cached = made("wan-2.1")
    assert train(base("wan-2.2-a14b"), cached, recipe, tmp_path / "run") == 2
    assert "expert: got '', need high or low" in capsys.readouterr().err
    assert train(base("hunyuanvideo-1.5"), cached, recipe, tmp_path / "run") == 2
    assert "examples for wan-i2v-128, need examples for hunyuanvideo-1.5" in capsys.readouterr().err


def test_end_to_end_clips_begin_from_the_lora_of_stage_one(base, clips, tmp_path, made):
    folder = base("wan-2.1")
    recipe, cached = made("wan-2.1")
    assert train(folder, cached, recipe, tmp_path / "one") == 0
    (tmp_path / "two").mkdir()
    recipe, cached = make_cache(folder, clips, tmp_path / "two", variant="end-to-end")
    start = tmp_path / "one" / "lora.safetensors"
    assert train(folder, cached, recipe, tmp_path / "two" / "run", "--init", start) == 0
    assert read_lora(tmp_path / "two" / "run" / "lora.safetensors").info.variant == "end-to-end"


@pytest.mark.parametrize("name", ["wan-2.1", "hunyuanvideo-1.5"])
def test_training_s_velocity_is_that_of_inference(base, made, name):
    """The prepared network, its LoRA still nothing, answers as the opened base does."""
    recipe, cached = made(name)
    store, plan = open_store(cached), read_recipe(recipe)
    backbone = open_network(base(name), EXACT)
    network = prepare_network(backbone, plan.lora)
    example = Examples(backbone, store, plan, (0, 1)).draw(store.names[0], 5)
    whole = open_base(base(name))
    if name == "hunyuanvideo-1.5":
        whole.drop_padding()
    noisy = example.target.lerp(example.noise, example.sigma.view(-1, 1, 1, 1, 1))
    with torch.no_grad():
        got = backbone.velocity(noisy, example.sigma, example.context, example.text)
        want = whole.velocity(noisy, example.sigma, example.context, example.text)
    assert torch.equal(got, want)
    LoraTrainee(backbone, network)(example).backward()
    grads = [p.grad for p in network.parameters() if p.requires_grad]
    assert all(g is not None for g in grads) and any(g.any() for g in grads)


# Recipes

SHIPPED = {
    f"{size}_{variant.replace('-', '_')}": variant
    for size in ("paper", "small_data")
    for variant in ("end-to-end", "pose-based")
}
ARGUED = ("variant", "lora", "steps", "batch_size", "learning_rate", "sigma_shift", "cache")


def test_there_are_recipes_of_the_paper_and_for_little_data():
    assert available_recipes() == sorted(SHIPPED)


@pytest.mark.parametrize(("name", "variant"), SHIPPED.items())
def test_a_shipped_recipe_argues_its_choices(name, variant):
    recipe = read_recipe(name)
    assert recipe.variant == variant
    assert all(len(recipe.about[choice]) > 20 for choice in ARGUED)
    if name.startswith("paper"):
        sizes = recipe.lora.rank, recipe.learning_rate, recipe.steps, recipe.batch_size
        assert sizes == (256, 5e-5, 50_000, 2)
        assert recipe.rate(40_000) == 5e-5


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"learning_rat": 1}, "learning_rat"),
        ({"variant": "both"}, "variant"),
        ({"lora": {"rank": 0, "alpha": 1}}, "rank"),
        ({"cache": {"variant": 2}}, "unknown keys variant"),
        ({"steps": 0}, "more than 0"),
    ],
)
def test_a_recipe_that_cannot_be_is_refused(tmp_path, change, message):
    path = write_recipe(tmp_path, **change)
    with pytest.raises(InputError, match=message):
        read_recipe(path)


def test_lengths_of_windows_are_a_second_apart_up_to_the_base_s_own():
    cached = read_recipe("paper_pose_based").cache
    assert cached.lengths(hunyuan15.GEOMETRY) == [49, 73, 97, 121]
    assert cached.lengths(wan.I2V_GEOMETRY) == [49, 65, 81]


@pytest.mark.parametrize("name", ["hunyuanvideo-1.5", "wan-2.1"])
@pytest.mark.parametrize("storage", ["", "fp8"])
def test_a_half_wide_or_fp8_base_trains(base, tmp_path, made, name, storage):
    recipe, cached = made(name)
    options = ["--dtype", "bf16", "--storage", storage, "--device", "cpu"]
    assert train(base(name), cached, recipe, tmp_path / "run", *options) == 0
    tensors = load_file(tmp_path / "run" / "lora.safetensors")
    assert all(value.any() and value.isfinite().all() for value in tensors.values())
    learned = torch.load(tmp_path / "run" / "checkpoint.pt")["weights"]
    assert {value.dtype for value in learned} == {torch.float32}


def test_a_package_that_is_not_there_is_said_as_such(base, made, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(placement.importlib.util, "find_spec", lambda package: None)
    recipe, cached = made("wan-2.1")
    assert train(base("wan-2.1"), cached, recipe, tmp_path / "run", "--storage", "int8") == 2
    said = capsys.readouterr().err.splitlines()[-1]
    assert said == "storage int8: got no package torchao, need it. pip install torchao."


def test_trackio_is_told_of_steps_and_says_when_it_is_missing(
    base, made, tmp_path, monkeypatch, capsys
):
    recipe, cached = made("wan-2.1")
    lora_of = base("wan-2.1"), cached, recipe, tmp_path / "run", "--trackio", "foxes"
    monkeypatch.setitem(sys.modules, "trackio", None)
    assert train(*lora_of) == 2
    assert "tracker trackio, project foxes: got no package trackio" in capsys.readouterr().err
    assert not (tmp_path / "run" / "checkpoint.pt").exists()
    monkeypatch.undo()
    monkeypatch.setenv("TRACKIO_DIR", str(tmp_path / "trackio"))
    pytest.importorskip("trackio", reason="its wheels are not part of the tests' environment")
    assert train(*lora_of) == 0
    told = sqlite3.connect(tmp_path / "trackio" / "foxes.db").execute(
        "SELECT step, metrics FROM metrics WHERE run_name = 'run' ORDER BY step"
    )
    lines = (tmp_path / "run" / "steps.jsonl").read_text().splitlines()
    assert [{"step": s} | json.loads(m) for s, m in told] == [json.loads(line) for line in lines]


def test_gradients_behind_fp8_weights_are_those_of_the_same_weights_in_bf16(base, made):
    """Stored weights are cast for each block and back again, also while it is recomputed."""
    recipe, cached = made("wan-2.1")
    store, plan = open_store(cached), read_recipe(recipe)
    gradients = []
    for storage in ("fp8", ""):
        backbone = open_network(base("wan-2.1"), Placement(storage=storage))
        if not storage:
            for module in backbone.transformer.blocks.modules():
                if isinstance(module, torch.nn.Linear):
                    for values in module.parameters():
                        values.data = values.data.to(torch.float8_e4m3fn).to(torch.bfloat16)
        network = prepare_network(backbone, plan.lora)
        for name, parameter in network.named_parameters():
            if "lora_B" in name:
                torch.nn.init.constant_(parameter, 0.01)
        example = Examples(backbone, store, plan, (0, 1)).draw(store.names[0], 5)
        with torch.autocast("cpu", torch.bfloat16):
            LoraTrainee(backbone, network)(example).backward()
        learning = [p for p in network.parameters() if p.requires_grad]
        gradients.append(torch.cat([p.grad.flatten() for p in learning]))
    assert gradients[0].any()
    assert torch.nn.functional.cosine_similarity(*gradients, dim=0) > 0.99


def test_a_lora_is_checked_on_clips_whose_truth_is_known(base, clips, tmp_path, made, caplog):
    recipe, cached = made("wan-2.1")
    assert train(base("wan-2.1"), cached, recipe, tmp_path / "run") == 0
    out = tmp_path / "check"
    command = ["check", "--base", base("wan-2.1"), "--pairs", clips, "--config", recipe]
    command += ["--lora", tmp_path / "run" / "lora.safetensors", "--out", out, "--size", "32"]
    caplog.set_level("INFO")
    few = ["--steps", "2", "--count", "2", "--frames", str(WINDOW)]
    assert call(*command, *few) == 0
    rows = list(csv.DictReader((out / "scores.csv").open()))
    assert [row["clip"] for row in rows] == ["000001-clip0", "000002-clip1"]
    for row in rows:
        # A square wanders over its ground: standing still is no bad answer, a random base is one.
        assert 10 < float(row["PSNR in dB of the still reference"]) < 40
        assert float(row["PSNR in dB"]) < float(row["PSNR in dB of the still reference"])
        info = probe(out / f"{row['clip']}.mp4")
        assert (info.width, info.height, info.num_frames) == (4 * 32, 32, 16)  # less the lead
    assert "000002-clip1: PSNR in dB" in caplog.text
    crossed = list(csv.DictReader((out / "cross.csv").open()))
    names = ["000001-clip0", "000002-clip1"]
    assert [(row["reference"], row["driver"]) for row in crossed] == [
        (names[0], names[1]),
        (names[1], names[0]),
    ]
    assert all(1 <= float(row[name]) <= 5 for row in crossed for name in ("identity", "motion"))
    assert all(0 <= float(row["leak"]) <= 1 for row in crossed)
    info = probe(out / "000001-clip0-driven-by-000002-clip1.mp4")
    assert (info.width, info.height, info.num_frames) == (3 * 32, 32, 16)
    assert call(*command, "--cache", cached) == 2  # three clips: none was held out


def test_without_its_package_an_8_bit_optimizer_is_refused_in_words(
    base, made, tmp_path, monkeypatch, capsys
):
    _, cached = made("wan-2.1")
    monkeypatch.setitem(sys.modules, "bitsandbytes.optim", None)
    recipe = write_recipe(tmp_path, optimizer="adamw8bit")
    assert train(base("wan-2.1"), cached, recipe, tmp_path / "run") == 2
    said = capsys.readouterr().err.splitlines()[-1]
    assert said.startswith("optimizer adamw8bit: got no package bitsandbytes, need it.")


def test_moments_of_eight_bits_are_saved_and_gone_on_from(base, made, tmp_path):
    pytest.importorskip("bitsandbytes", reason="bitsandbytes has the 8-bit AdamW")
    _, cached = made("wan-2.1")
    large = {"lora": {"rank": 64, "alpha": 64}, "optimizer": "adamw8bit"}  # of small ones 32 bits
    recipe = write_recipe(tmp_path, batch_size=1, **large)
    for run, bites in (("whole", [[]]), ("resumed", [["--minutes", "0"], []])):
        for options in bites:
            assert train(base("wan-2.1"), cached, recipe, tmp_path / run, *options) == 0
    made_by = [torch.load(tmp_path / run / "checkpoint.pt") for run in ("whole", "resumed")]
    for checkpoint in made_by:
        state, *_ = checkpoint["optimizers"][0]["state"].values()
        moments = state.get("__bnb_optimizer_quant_state__", state)  # of later versions
        assert moments["state1"].dtype == moments["state2"].dtype == torch.uint8
    assert all(map(torch.equal, made_by[0]["weights"], made_by[1]["weights"]))
