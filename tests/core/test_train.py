"""Training: what a batch holds, that a run resumes to the last bit, and that it learns."""

import csv
import functools
import hashlib
import json
import math
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from accelerate.state import AcceleratorState, GradientState
from safetensors.torch import load_file, save_file

from dreamactor_core.errors import InputError
from dreamactor_core.lora.adapters import LoraSpec, add_lora
from dreamactor_core.mini.vae import PATCH, MiniVAE, join_frames, split_frames
from dreamactor_core.train import cache as caches
from dreamactor_core.train.batches import draw_sigma
from dreamactor_core.train.cache import Cache, puppet_samples, read_cache, write_cache
from dreamactor_core.train.curve import Curve
from dreamactor_core.train.loop import (
    Trainee,
    learning_rate,
    read_config,
    train,
)
from dreamactor_core.train.mini import vae as vae_training
from dreamactor_core.train.mini.batches import (
    MOVED,
    PuppeteerBatches,
    PuppeteerConditions,
    PuppeteerPhase,
)
from dreamactor_core.train.mini.create import MiniConfig, create_mini
from dreamactor_core.train.mini.objective import PuppeteerObjective, PuppeteerTrainConfig
from dreamactor_core.train.mini.vae import VaeConfig, fit_code, train_clean
from dreamactor_core.train.optimizers import optimizers_of

SHIPPED = sorted((Path(caches.__file__).parent / "configs").glob("*.json"))
NUM_FRAMES, GROUPS, LEAD = 13, 3, 2  # latent groups after frame 0; of the lead-in
SIDE = 4  # cells of a panel
NEVER = {"text_dropout": 0, "driving_dropout": 0, "reference_dropout": 0, "prefix": 0, "keep": 0}
ALWAYS = PuppeteerConditions(**NEVER)
MINI = MiniConfig(
    num_attention_heads=2,
    attention_head_dim=16,
    num_layers=2,
    rope_axes_dim=(4, 6, 6),
    text_dim=16,
    text_layers=1,
    size=32,
    num_frames=NUM_FRAMES,
)
CONFIG = PuppeteerTrainConfig(
    phases=(
        PuppeteerPhase(4, 2, 2, 1.0),
        PuppeteerPhase(4, 4, 2, 0.5, {"driving": 0.5, "single": 0.5}),
    ),
    warm_up=3,
    mixed_precision="no",
    learning_rate=1e-3,
    validate_every=100,
)


@pytest.fixture(autouse=True)
def _one_precision_a_test():
    """accelerate keeps the first precision asked for as a state of the process."""
    AcceleratorState._reset_state(True)
    GradientState._reset_state()


def tiny_mini(seed: int = 0):
    torch.manual_seed(0)
    vae = MiniVAE(latent_channels=8, channels=(8, 8, 8), blocks=(1, 1, 1))
    light = torch.ones(3, PATCH, PATCH)
    slope = torch.linspace(-1, 1, PATCH).expand_as(light)
    components = torch.stack([part.flatten() / part.norm() for part in (light, slope)], dim=1)
    vae.set_linear_code(torch.zeros(len(components)), components, torch.ones(2))
    return create_mini(vae.requires_grad_(False), replace(MINI, seed=seed))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("cache")
    write_cache(tiny_mini(), puppet_samples(range(3), NUM_FRAMES, 32), path, "puppets", 4)
    return path


@pytest.fixture(scope="module")
def cache(folder):
    return read_cache(tiny_mini(), folder)


@functools.cache
def drawing():
    """A model that draws batches and learns nothing, built once."""
    return tiny_mini()


def one(backbone, cache, phase, conditions=ALWAYS, seed=0):
    phase = replace(phase, conditions=conditions)
    return PuppeteerBatches(backbone, cache).draw(phase, np.random.default_rng(seed))


def digest(module: torch.nn.Module) -> str:
    sha = hashlib.sha256()
    for name, value in sorted(module.state_dict().items()):
        sha.update(name.encode() + value.contiguous().numpy().tobytes())
    return sha.hexdigest()


def train_mini(backbone, clips, config, folder, **options) -> int:
    batches, objective = PuppeteerBatches(backbone, clips), PuppeteerObjective(backbone, config)
    return train(backbone, batches, objective, config, folder, **options)


def run(folder, cache, config=CONFIG, **options):
    """Train a new tiny model in a folder; returns it with EMA weights, as train() leaves it."""
    AcceleratorState._reset_state(True)
    GradientState._reset_state()
    backbone = tiny_mini()
    train_mini(backbone, cache, config, folder, **options)
    return backbone


@pytest.fixture(scope="module")
def finished(tmp_path_factory, cache):
    """Folder and model of one run by CONFIG, to compare others with."""
    folder = tmp_path_factory.mktemp("finished")
    return folder, run(folder, cache)


# The latent cache


def test_a_cache_holds_what_the_encoder_makes_of_the_samples(folder, cache):
    backbone, samples = tiny_mini(), list(puppet_samples(range(3), NUM_FRAMES, 32))
    assert len(cache) == 6
    assert sorted(path.name for path in folder.glob("*.safetensors")) == [
        "puppets-00000.safetensors",
        "puppets-00001.safetensors",
    ]
    assert cache.captions == [sample.caption for sample in samples]
    with torch.no_grad():
        for row, sample in enumerate(samples):
            for key in ("target", "driving", "skeleton"):
                frames = torch.from_numpy(getattr(sample, key)).float() / 255
                want = backbone.encode_video(frames)[0].transpose(0, 1).half()
                assert torch.equal(cache.rows[key][row], want)
        assert torch.equal(cache.black, backbone.encode_video(torch.zeros(NUM_FRAMES, 32, 32, 3)))


def test_both_identities_of_a_seed_are_the_target_once():
    first, second = puppet_samples(range(1), NUM_FRAMES, 32)
    assert np.array_equal(first.target, second.driving)
    assert np.array_equal(first.driving, second.target)


def test_making_a_shorter_cache_again_leaves_nothing_of_the_longer_one(tmp_path):
    for seeds, rows in ((3, 6), (1, 2)):
        samples = puppet_samples(range(seeds), NUM_FRAMES, 32)
        assert write_cache(tiny_mini(), samples, tmp_path, "puppets", shard_size=2) == rows
        assert len(read_cache(tiny_mini(), tmp_path)) == rows


def test_latents_of_another_encoder_or_size_are_refused(folder):
    other = tiny_mini()
    with torch.no_grad():
        other.vae.code.weight += 0.1
    with pytest.raises(InputError, match="latents of"):
        read_cache(other, folder)
    with pytest.raises(InputError, match="another folder"):  # nor mixed in
        write_cache(other, puppet_samples(range(1), NUM_FRAMES, 32), folder, "more")
    larger = tiny_mini()
    larger.geometry = replace(larger.geometry, panel=(64, 64))
    with pytest.raises(InputError, match=r"\[64, 64\]"):
        read_cache(larger, folder)


def test_a_folder_without_a_cache_is_refused(tmp_path):
    with pytest.raises(InputError, match="train cache"):
        read_cache(tiny_mini(), tmp_path)


# Batches


def mean_of(driven: torch.Tensor) -> torch.Tensor:
    """Latents (1, c, t', h', w') -> of one group, (1, c, h', w'): each frame the mean of all."""
    return join_frames(split_frames(driven).mean(dim=2, keepdim=True).repeat(1, 1, 4, 1, 1))[
        :, :, 0
    ]


@pytest.mark.parametrize("task", ["driving", "skeleton"])
def test_a_whole_clip_is_the_composite_of_inference(cache, task):
    batch = one(drawing(), cache, PuppeteerPhase(1, GROUPS + 1, 1, 1.0, {task: 1.0}))
    row = cache.captions.index(batch.prompts[0])
    left, right = batch.target[..., :SIDE], batch.target[..., SIDE:]
    assert batch.target.shape == (1, 8, GROUPS + 1, SIDE, 2 * SIDE)
    assert torch.equal(left[0], cache.rows["target"][row].float().transpose(0, 1))
    blank = 1 + LEAD  # the reference slot and the lead-in
    assert torch.equal(right[:, :, :blank], cache.black[:, :, :blank])
    driven = cache.rows[task][row].float().transpose(0, 1)[None]
    assert torch.equal(right[:, :, blank:], driven[:, :, blank:])

    known = torch.zeros(1, 1, GROUPS + 1, SIDE, 2 * SIDE)
    known[:, :, 0], known[..., SIDE:] = 1, 1
    assert torch.equal(batch.context.known, known)
    given = batch.target * known
    given[:, :, 0, :, SIDE:] = mean_of(driven[:, :, blank:])  # see MiniBackbone.summarise
    torch.testing.assert_close(batch.context.latents, given)
    assert torch.equal(batch.weight, 1 - known)


def test_a_short_window_starts_anywhere_and_has_no_lead_in(cache):
    starts = set()
    for seed in range(30):
        batch = one(drawing(), cache, PuppeteerPhase(1, 2, 1, 1.0), seed=seed)
        row = cache.captions.index(batch.prompts[0])
        target, driving = (cache.rows[key][row].float() for key in ("target", "driving"))
        assert torch.equal(batch.target[0, :, 0, :, :SIDE], target[0])
        assert torch.equal(batch.target[0, :, 0, :, SIDE:], cache.black[0, :, 0])
        same = [
            k
            for k in range(1, GROUPS + 1)
            if torch.equal(batch.target[0, :, 1, :, :SIDE], target[k])
        ]
        assert any(torch.equal(batch.target[0, :, 1, :, SIDE:], driving[k]) for k in same)
        starts |= set(same)
    assert starts == {1, 2, 3}


def test_a_prefix_is_known_and_takes_the_place_of_the_lead_in(cache):
    batch = one(
        drawing(), cache, PuppeteerPhase(1, GROUPS + 1, 1, 1.0), replace(ALWAYS, prefix=1.0)
    )
    row = cache.captions.index(batch.prompts[0])
    known = batch.context.known[0, 0]
    assert (known[: 1 + LEAD, :, :SIDE] == 1).all()
    assert (known[1 + LEAD :, :, :SIDE] == 0).all()
    assert torch.equal(batch.weight[..., :SIDE], 1 - batch.context.known[..., :SIDE])
    driven = cache.rows["driving"][row].float().transpose(0, 1)
    assert torch.equal(batch.target[0, :, 1:, :, SIDE:], driven[:, 1:])


@pytest.mark.parametrize("groups", [1, 2, 3])
def test_a_prefix_always_leaves_something_to_draw(cache, groups):
    conditions = replace(ALWAYS, prefix=1.0)
    batch = one(drawing(), cache, PuppeteerPhase(1, groups + 1, 1, 1.0), conditions)
    assert batch.weight[0, 0, -1, :, :SIDE].all()


def test_known_and_weight_are_complements_on_the_left_and_the_right_never_counts(cache):
    conditions = PuppeteerConditions(0.5, 0.5, 0.5, 0.5, keep=1.0)
    partly = 0
    for seed in range(20):
        batch = one(drawing(), cache, PuppeteerPhase(1, GROUPS + 1, 2, 0.5), conditions, seed)
        known, weight = batch.context.known, batch.weight
        assert set(known.unique().tolist()) <= {0.0, 1.0}
        assert torch.equal(weight[..., :SIDE], 1 - known[..., :SIDE])
        assert (weight[..., SIDE:] == 0).all()
        assert (known[..., SIDE:] == 1).all()
        given = batch.target * known
        assert torch.equal(batch.context.latents[:, :, 1:], given[:, :, 1:])
        partly += int(0 < known[:, :, -1, :, :SIDE].mean() < 1)
    assert partly > 5  # keep masks are boxes


def test_conditions_at_probability_one_are_always_left_out(cache):
    phase = PuppeteerPhase(1, GROUPS + 1, 3, 1.0)
    batch = one(drawing(), cache, phase, replace(ALWAYS, text_dropout=1.0))
    assert batch.prompts == [""] * 3
    batch = one(drawing(), cache, phase, replace(ALWAYS, driving_dropout=1.0))
    assert torch.equal(batch.target[..., SIDE:], cache.black.expand(3, -1, -1, -1, -1))
    assert (batch.context.known[..., SIDE:] == 1).all()
    batch = one(drawing(), cache, phase, replace(ALWAYS, reference_dropout=1.0))
    assert (batch.context.known[..., :SIDE] == 0).all()
    assert (batch.weight[..., :SIDE] == 1).all()


def test_single_is_plain_image_to_video_without_a_right_panel(cache):
    batch = one(drawing(), cache, PuppeteerPhase(1, GROUPS + 1, 1, 1.0, {"single": 1.0}))
    row = cache.captions.index(batch.prompts[0])
    assert torch.equal(batch.target[0], cache.rows["target"][row].float().transpose(0, 1))
    assert batch.context.known[0, 0, :, 0, 0].tolist() == [1, 0, 0, 0]
    assert torch.equal(batch.weight, 1 - batch.context.known)


def test_tasks_stand_side_by_side_in_a_batch_but_single_is_alone(cache):
    phase = PuppeteerPhase(1, GROUPS + 1, 12, 1.0, {"pose": 0.4, "driving": 0.4, "single": 0.2})
    widths = set()
    for seed in range(12):
        batch = one(drawing(), cache, phase, seed=seed)
        widths.add(batch.target.shape[-1])
        if batch.target.shape[-1] == 2 * SIDE:
            right = batch.target[..., SIDE:]
            found = [
                {
                    task
                    for task in ("pose", "driving")
                    for row in cache.rows[task][:, -1].float()
                    if torch.equal(row, sample[:, -1])
                }
                for sample in right
            ]
            assert {"pose"} in found and {"driving"} in found
    assert widths == {SIDE, 2 * SIDE}


def test_a_missing_driver_has_no_mean_either(cache):
    phase = PuppeteerPhase(1, 2, 3, 1.0)
    batch = one(drawing(), cache, phase, replace(ALWAYS, driving_dropout=1.0))
    black = mean_of(cache.black).expand(3, -1, -1, -1)
    torch.testing.assert_close(batch.context.latents[:, :, 0, :, SIDE:], black)


def test_a_short_window_knows_the_mean_of_the_whole_driver(cache):
    batch = one(drawing(), cache, PuppeteerPhase(1, 2, 1, 1.0))
    row = cache.captions.index(batch.prompts[0])
    driven = cache.rows["driving"][row].float().transpose(0, 1)[None, :, 1 + LEAD :]
    torch.testing.assert_close(batch.context.latents[:, :, 0, :, SIDE:], mean_of(driven))


def test_any_frame_of_the_clip_can_be_the_reference(cache):
    phase, seen = PuppeteerPhase(1, 2, 1, 1.0), set()
    for seed in range(120):
        batch = one(drawing(), cache, phase, replace(ALWAYS, any_reference=1.0), seed=seed)
        row = cache.captions.index(batch.prompts[0])
        clip = split_frames(cache.rows["target"][row].float().transpose(0, 1)[None])
        frames = split_frames(batch.target[:, :, :1, :, :SIDE])
        assert all(torch.equal(frames[:, :, k], frames[:, :, 0]) for k in range(4))
        seen |= {t for t in range(16) if torch.equal(clip[:, :, t], frames[:, :, 0])}
    assert seen == set(range(12, 16))  # those that are driven


def test_frames_from_all_over_the_clip_with_their_drivers(cache):
    """GROUPS and LEAD leave one driven group: its frames come in any order."""
    phase, orders = PuppeteerPhase(1, 2, 1, 1.0), set()
    for seed in range(8):
        batch = one(drawing(), cache, phase, replace(ALWAYS, any_frames=1.0), seed=seed)
        row = cache.captions.index(batch.prompts[0])
        order = []
        for key, panel in (("target", slice(SIDE)), ("driving", slice(SIDE, None))):
            clip = split_frames(cache.rows[key][row].float().transpose(0, 1)[None])
            frames = split_frames(batch.target[:, :, 1:, :, panel])
            order.append(
                tuple(
                    next(t for t in range(12, 16) if torch.equal(clip[:, :, t], frames[:, :, k]))
                    for k in range(4)
                )
            )
        assert order[0] == order[1] and sorted(order[0]) == [12, 13, 14, 15]
        orders.add(order[0])
    assert len(orders) > 3


def test_tokens_are_where_something_moves_and_the_loss_counts_there_alone(cache):
    phase = PuppeteerPhase(1, 2, 2, 1.0, {"skeleton": 1.0}, tokens=6)
    batch = one(drawing(), cache, phase)
    assert batch.tokens.shape == (2, 1, 3 * 6)
    for sample, prompt in enumerate(batch.prompts):
        clip = cache.rows["target"][cache.captions.index(prompt)].float()
        moves = (clip - clip[:1]).abs().mean(1).amax(0) > MOVED
        frame, row, column = torch.unravel_index(batch.tokens[sample, 0], (2, SIDE, 2 * SIDE))
        assert frame.tolist() == [0] * 6 + [1] * 12
        assert (column[:12] < SIDE).all() and (column[12:] >= SIDE).all()
        assert torch.equal(row[:6], row[6:12]) and torch.equal(column[:6], column[6:12])
        near = torch.nn.functional.max_pool2d(moves[None].float(), 3, 1, 1)[0] > 0
        assert near[row[:6], column[:6]].sum() == min(6, near.sum())
        counts = torch.zeros(SIDE, SIDE)
        counts[row[:6], column[:6]] = 1
        assert torch.equal(batch.weight[sample, 0, 1, :, :SIDE], counts)
    assert (batch.weight[..., SIDE:] == 0).all()


def test_a_batch_depends_on_the_generator_alone(cache):
    phase = CONFIG.phases[1]
    a, b = (one(drawing(), cache, phase, PuppeteerConditions(), seed=4) for _ in range(2))
    assert all(torch.equal(x, y) for x, y in ((a.noise, b.noise), (a.sigma, b.sigma)))
    assert torch.equal(a.target, b.target) and a.prompts == b.prompts
    assert not torch.equal(
        a.noise, one(drawing(), cache, phase, PuppeteerConditions(), seed=5).noise
    )


def test_noise_levels():
    generator = torch.Generator().manual_seed(0)
    sigma = draw_sigma(4000, 0.4, generator)
    assert sigma.min() >= 0.05 and sigma.max() == 1
    assert (sigma == 1).float().mean() == pytest.approx(0.4, abs=0.03)
    # The median of a logit-normal is 1/2; shifted by 2 it is 2/3.
    assert sigma[sigma < 1].median() == pytest.approx(2 / 3, abs=0.03)
    assert (draw_sigma(100, 1.0, generator) == 1).all()


@pytest.mark.parametrize(
    ("change", "message"),
    [({"tasks": {"sideways": 1.0}}, "sideways"), ({"latent_frames": 1}, "at least 2")],
)
def test_a_phase_that_cannot_be_is_refused(change, message):
    with pytest.raises(InputError, match=message):
        replace(CONFIG.phases[0], **change)


# Configuration and schedule


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_shipped_configurations_are_read_whole(path):
    config = read_config(path, PuppeteerTrainConfig)
    data = json.loads(path.read_text())
    assert config.steps == sum(phase["steps"] for phase in data["phases"])
    assert config.learning_rate == data["learning_rate"]
    assert config.phases[0].tasks == data["phases"][0]["tasks"]
    assert (config.lora is None) == (path.stem == "foundation")
    assert config.variant == data.get("variant", "")


def test_there_is_a_configuration_for_each_stage():
    assert [path.stem for path in SHIPPED] == ["end_to_end", "foundation", "pose_based"]


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"learning_rat": 1}, "learning_rat"),
        ({"phases": [{"steps": 1, "latent_frame": 2}]}, "latent_frame"),
        (
            {
                "phases": [
                    {
                        "steps": 1,
                        "latent_frames": 2,
                        "batch_size": 1,
                        "pure_noise": 1,
                        "conditions": {"dropout": 1},
                    }
                ]
            },
            "dropout",
        ),
        ({"lora": {"rank": 0, "alpha": 1}}, "rank"),
    ],
)
def test_unknown_keys_are_refused_by_name(tmp_path, change, name):
    phases = [{"steps": 1, "latent_frames": 2, "batch_size": 1, "pure_noise": 1.0}]
    path = tmp_path / "config.json"
    path.write_text(json.dumps({"phases": phases} | change))
    with pytest.raises(InputError, match=name):
        read_config(path, PuppeteerTrainConfig)


@pytest.mark.parametrize("text", ["", "[]", "{", "{}"])
def test_a_broken_configuration_is_refused(tmp_path, text):
    path = tmp_path / "config.json"
    path.write_text(text)
    with pytest.raises(InputError, match=r"config\.json"):
        read_config(path, PuppeteerTrainConfig)


def test_learning_rate():
    config = replace(
        CONFIG, phases=(PuppeteerPhase(110, 2, 1, 1.0),), warm_up=10, learning_rate=1.0,
        final_learning_rate=0.2,
    )  # fmt: skip
    assert learning_rate(config, 1) == pytest.approx(0.1)
    assert learning_rate(config, 9) == pytest.approx(0.9)
    assert learning_rate(config, 10) == 1.0
    assert learning_rate(config, 60) == pytest.approx(0.6)  # half-way down the cosine
    assert learning_rate(config, 35) == pytest.approx(0.2 + 0.8 * (0.5 + math.sqrt(0.5) / 2))
    assert learning_rate(config, 110) == pytest.approx(0.2)


def test_phases_follow_one_another():
    a, b = CONFIG.phases
    assert [CONFIG.phase_at(step) for step in (1, 4, 5, 8)] == [a, a, b, b]
    assert CONFIG.steps == 8


def test_a_cache_of_an_older_version_is_refused_by_the_rows_it_lacks(folder, tmp_path):
    copy = tmp_path / "old"
    shutil.copytree(folder, copy)
    for path in copy.glob("*.safetensors"):
        rows = load_file(path)
        del rows["pose"]
        save_file(rows, path)
    with pytest.raises(InputError, match="no rows named pose"):
        read_cache(tiny_mini(), copy)


# The loop


def test_it_learns(tmp_path, cache):
    """One clip by heart. It starts from the reference standing still, so half of that is far."""
    cache = Cache({key: rows[:1] for key, rows in cache.rows.items()}, ["a clip"], cache.black)
    losses = []
    config = replace(
        CONFIG, phases=(PuppeteerPhase(60, 2, 2, 1.0, conditions=ALWAYS),), learning_rate=1e-2,
        final_learning_rate=1e-3, ema_decay=0.9,
    )  # fmt: skip
    run(tmp_path, cache, config, on_step=lambda step, loss: losses.append(loss))
    assert np.mean(losses[-10:]) < 0.5 * np.mean(losses[:5])


def test_the_loss_of_a_model_that_predicts_clean_latents_does_not_grow_as_the_noise_falls(cache):
    backbone = tiny_mini()
    batch = one(backbone, cache, PuppeteerPhase(1, GROUPS + 1, 3, 1.0))
    objective = PuppeteerObjective(backbone, CONFIG)
    trainee = Trainee(backbone, objective)
    text = backbone.encode_text(batch.prompts, None)
    predicted = batch.noise - backbone.velocity(batch.noise, torch.ones(3), batch.context, text)
    weight = (batch.weight * objective.channel_weight).expand_as(batch.target)
    expected = ((predicted - batch.target).square() * weight).sum() / weight.sum()
    for sigma in (1.0, 0.3, 0.05):
        loss = trainee(replace(batch, sigma=torch.full((3,), sigma)))
        assert torch.allclose(loss, expected, rtol=0.03), sigma


def test_a_run_is_the_same_twice(tmp_path, cache, finished):
    assert digest(run(tmp_path, cache).transformer) == digest(finished[1].transformer)


class Killed(Exception):  # noqa: N818 - not an error
    pass


@pytest.mark.parametrize(("accumulation", "optimizer"), [(1, "adamw"), (2, "adamw"), (1, "muon")])
def test_a_killed_run_resumes_to_the_last_bit(tmp_path, cache, finished, accumulation, optimizer):
    """Checkpoints after every step; the kill comes in the middle of step 6, which is lost."""
    config = replace(CONFIG, gradient_accumulation_steps=accumulation, optimizer=optimizer)

    def kill(step, loss):
        if step == 6:
            raise Killed

    folder, whole = finished
    if config != CONFIG:
        folder = tmp_path / "whole"
        whole = run(folder, cache, config)
    config = replace(config, checkpoint_minutes=0)
    with pytest.raises(Killed):
        run(tmp_path / "killed", cache, config, on_step=kill)
    assert torch.load(tmp_path / "killed" / "checkpoint.pt")["step"] == 5
    steps = []
    resumed = run(tmp_path / "killed", cache, config, on_step=lambda step, loss: steps.append(step))
    assert steps == [6, 7, 8]
    assert digest(resumed.transformer) == digest(whole.transformer)  # averaged weights
    assert digest(resumed.text_encoder) == digest(whole.text_encoder)
    runs = folder, tmp_path / "killed"
    a, b = (torch.load(each / "checkpoint.pt") for each in runs)
    assert all(torch.equal(x, y) for x, y in zip(a["weights"], b["weights"], strict=True))
    assert all(
        torch.equal(x, y)
        for x, y in zip(a["ema"]["shadow_params"], b["ema"]["shadow_params"], strict=True)
    )
    curves = []
    for each in runs:
        rows = csv.DictReader((each / "loss.csv").read_text().splitlines())
        curves.append([(row["step"], row["loss"]) for row in rows])
    assert curves[0] == curves[1] and len(curves[0]) == 8


def test_a_finished_run_gives_its_averaged_weights_again(cache, finished):
    folder, first = finished
    assert digest(run(folder, cache).transformer) == digest(first.transformer)
    state = torch.load(folder / "checkpoint.pt")
    averaged = state["ema"]["shadow_params"]
    every = (*first.transformer.parameters(), *first.text_encoder.parameters())
    learned = [parameter for parameter in every if parameter.requires_grad]
    assert all(torch.equal(x, y) for x, y in zip(learned, averaged, strict=True))
    assert not all(torch.equal(x, y) for x, y in zip(state["weights"], averaged, strict=True))


def test_it_stops_after_its_minutes_with_a_checkpoint(tmp_path, cache):
    backbone = tiny_mini()
    assert train_mini(backbone, cache, CONFIG, tmp_path, minutes=0) == 1
    assert torch.load(tmp_path / "checkpoint.pt")["step"] == 1


def test_validation_sees_averaged_weights_and_training_goes_on_with_its_own(
    tmp_path, cache, finished
):
    backbone, seen = tiny_mini(), []
    parameter = next(backbone.transformer.parameters())

    def look(step):
        seen.append((step, parameter.detach().clone(), backbone.transformer.training))

    config = replace(CONFIG, validate_every=4)
    train_mini(backbone, cache, config, tmp_path, validate=look)
    assert [(step, training) for step, _, training in seen] == [(4, False), (8, False)]
    assert torch.equal(seen[1][1], parameter)  # what is left at the end
    assert digest(finished[1].transformer) == digest(backbone.transformer)


def test_muon_takes_the_matrices_of_the_visual_stream_and_adamw_the_rest():
    backbone = tiny_mini()
    trainee = Trainee(backbone, PuppeteerObjective(backbone, CONFIG))
    adamw, muon = optimizers_of(trainee, 1e-3, muon=True)
    names = {id(p): name for name, p in trainee.named_parameters() if p.requires_grad}
    mine, rest = (
        {names.pop(id(p)) for group in optimizer.param_groups for p in group["params"]}
        for optimizer in (muon, adamw)
    )
    assert not names  # each once
    assert "transformer.transformer_blocks.1.ff.net.2.weight" in mine
    assert all(".transformer_blocks." in name and name.endswith(".weight") for name in mine)
    assert "transformer.transformer_blocks.0.attn.to_out.0.weight" in mine
    assert {"transformer.proj_out.weight", "transformer.transformer_blocks.1.ff.net.2.bias"} <= rest
    assert not [name for name in mine if "norm" in name or "context" in name or "add_" in name]


def test_a_loss_in_pixels_needs_a_linear_code():
    backbone = tiny_mini()
    backbone.vae = torch.nn.Identity()
    with pytest.raises(InputError, match="loss: got 'pixels' for mini, need the small model"):
        PuppeteerObjective(backbone, replace(CONFIG, loss="pixels"))


@pytest.mark.parametrize("change", ["size", "variant", "lora", "optimizer"])
def test_a_checkpoint_of_another_configuration_is_refused(cache, finished, change):
    backbone, config = tiny_mini(), CONFIG
    if change == "size":
        backbone = create_mini(backbone.vae, replace(MINI, num_layers=1))
    elif change == "variant":
        config = replace(CONFIG, variant="end-to-end")
    elif change == "optimizer":
        config = replace(CONFIG, optimizer="muon")
    else:
        config = replace(CONFIG, lora=LoraSpec(2, 2), variant="pose-based")
        add_lora(backbone, config.lora, "learning")
    with pytest.raises(InputError, match=r"checkpoint\.pt.*another --out folder"):
        train_mini(backbone, cache, config, finished[0])


def test_a_loss_that_is_no_number_stops_the_run_and_keeps_the_checkpoint(tmp_path, cache):
    config = replace(CONFIG, checkpoint_minutes=0)
    backbone = tiny_mini()

    def poison(step, loss):
        if step == 5:
            with torch.no_grad():
                next(backbone.transformer.parameters()).fill_(math.nan)

    with pytest.raises(InputError, match=r"loss at step 6: got nan.*lower learning rate"):
        train_mini(backbone, cache, config, tmp_path, on_step=poison)
    # step 5 was saved after on_step had spoilt it; what step 6 made of it was not
    assert torch.load(tmp_path / "checkpoint.pt")["step"] == 5


def test_clips_longer_than_the_cached_ones_are_refused(tmp_path, cache):
    config = replace(CONFIG, phases=(PuppeteerPhase(1, 5, 1, 1.0),))
    with pytest.raises(InputError, match="got 5, need at most 4"):
        train_mini(tiny_mini(), cache, config, tmp_path)


def test_a_lora_stage_leaves_the_base_as_it_was(tmp_path, cache):
    backbone = tiny_mini()
    torch.nn.init.normal_(backbone.transformer.proj_out.weight, std=0.1)  # as if it had learned
    before = {k: v.clone() for k, v in backbone.transformer.state_dict().items()}
    text = digest(backbone.text_encoder)
    config = replace(CONFIG, lora=LoraSpec(2, 2), variant="pose-based")
    count = add_lora(backbone, config.lora, "learning")
    backbone.text_encoder.requires_grad_(False)
    train_mini(backbone, cache, config, tmp_path)
    after = backbone.transformer.state_dict()
    assert count == 4  # two layers of each of two blocks
    lora = {key for key in after if "lora_" in key}
    assert len(lora) == 2 * count
    assert all(after[key].any() for key in lora)  # B starts at zero
    base = {
        key.replace(".base_layer", ""): value for key, value in after.items() if key not in lora
    }
    assert base.keys() == before.keys()
    assert all(torch.equal(base[key], before[key]) for key in before)
    assert digest(backbone.text_encoder) == text
    assert len(torch.load(tmp_path / "checkpoint.pt")["weights"]) == 2 * count


def test_half_precision_runs_and_keeps_full_weights(tmp_path, cache):
    backbone = run(tmp_path, cache, replace(CONFIG, mixed_precision="bf16"))
    assert {p.dtype for p in backbone.transformer.parameters()} == {torch.float32}


# The curve


def test_a_curve_goes_on_behind_a_checkpoint(tmp_path):
    curve = Curve(tmp_path / "loss.csv")
    for step, loss in ((1, 4.0), (2, 3.0), (3, 2.0)):
        curve.add(step, loss, 10.0 * step)
    curve.draw()
    again = Curve(tmp_path / "loss.csv")
    again.add(3, 2.5, 5.0)
    again.add(4, 1.0, 10.0)
    again.draw()
    with (tmp_path / "loss.csv").open(newline="") as file:
        rows = [tuple(float(row[key]) for key in row) for row in csv.DictReader(file)]
    assert rows == [(1, 4, 10), (2, 3, 20), (3, 2.5, 35), (4, 1, 40)]
    assert (tmp_path / "loss.png").stat().st_size > 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["loss.csv", "loss.png"]


# The autoencoder

VAE = VaeConfig(
    size=32, num_frames=5, latent_channels=16, code_triplets=2, triplets=1, steps=6, batch_size=2,
    save_every=2, seed=50,
)  # fmt: skip


def tiny_code() -> MiniVAE:
    vae = MiniVAE(latent_channels=16, channels=(8, 8, 8), blocks=(1, 1, 1))
    with torch.no_grad():
        generator = torch.Generator().manual_seed(0)
        for parameter in vae.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.05)
    return vae


def test_the_clean_up_resumes_to_the_last_bit(tmp_path):
    whole, killed, resumed = tiny_code(), tiny_code(), tiny_code()
    code = whole.code.weight.clone()
    for name in ("whole", "killed"):
        (tmp_path / name).mkdir()
    losses = {}
    train_clean(whole, VAE, tmp_path / "whole", losses.__setitem__)

    def kill(step, loss):
        if step == 5:
            raise Killed

    with pytest.raises(Killed):
        train_clean(killed, VAE, tmp_path / "killed", kill)
    torch.manual_seed(99)  # another process
    again = {}
    train_clean(resumed, VAE, tmp_path / "killed", again.__setitem__)
    assert again == {step: losses[step] for step in (5, 6)}
    assert digest(resumed) == digest(whole)
    assert torch.equal(whole.code.weight, code)  # the encoder is done before
    saved = MiniVAE.from_pretrained(tmp_path / "killed" / "vae")
    assert digest(saved) == digest(whole)


def test_the_linear_code_is_the_best_of_its_size():
    """Unit mean square over channels, no correlation between them, and the PCA's error."""
    videos = [vae_training.render_videos(seed, VAE) for seed in (50, 51)]
    groups = torch.cat([vae_training.to_groups(video) for clip in videos for video in clip])
    frames = groups.unflatten(1, (4, 3)).flatten(0, 1)
    patches = frames.unfold(2, 8, 8).unfold(3, 8, 8).permute(0, 2, 3, 1, 4, 5).flatten(3)
    patches = patches.flatten(0, 2)
    vae = fit_code(VAE)
    with torch.no_grad():
        codes = vae.code(frames).movedim(1, -1).flatten(0, 2)
    assert codes.mean(0).abs().max() < 0.02
    covariance = codes.T @ codes / len(codes)
    assert covariance.diagonal().mean() == pytest.approx(1, abs=0.02)
    off = covariance - covariance.diagonal().diag()
    assert off.abs().max() < 0.02
    weight = vae.uncode.weight.detach().flatten(1).double()
    made = codes.double() @ weight + patches.double().mean(0)
    values = torch.linalg.svdvals(patches.double() - patches.double().mean(0)).square()
    error = (made - patches).square().sum()
    assert error == pytest.approx(values[4:].sum().item(), rel=0.01)
