"""The weights in the package: whole, small enough, and of the method they claim to be."""

import numpy as np
import pytest
import torch

from dreamactor_core.animate import animate_pass
from dreamactor_core.bench.batched import animate_cases, still_answer
from dreamactor_core.bench.metrics import foreground
from dreamactor_core.bench.puppets import Selection, bench_puppets, make_case
from dreamactor_core.composite import Known
from dreamactor_core.lora.adapters import load_lora, set_lora_strengths
from dreamactor_core.media import to_frames
from dreamactor_core.models import find
from dreamactor_core.models.loading import load_backbone
from dreamactor_core.options import VARIANTS, WEIGHTS
from dreamactor_core.puppets.triplet import triplet
from dreamactor_core.puppets.world import LEAD_IN
from dreamactor_core.sampling import SampleSettings

SETTINGS = SampleSettings(num_inference_steps=1)


def test_all_weights_together_stay_below_forty_megabytes():
    sizes = [path.stat().st_size for path in WEIGHTS.rglob("*.safetensors")]
    assert len(sizes) == 11  # transformer, autoencoder, text encoder, two LoRAs; a broad eye
    assert sum(sizes) <= 40e6


@pytest.mark.parametrize("name", ["mini", "mini-incontext"])
def test_both_loras_patch_every_feed_forward_layer_of_the_visual_stream(name):
    backbone = load_backbone(name)
    layers = 2 * backbone.transformer.config.num_layers
    for variant in VARIANTS:
        loaded = load_lora(backbone, find(name).lora_beside(variant))
        assert loaded.count == layers
        assert loaded.info.variant == variant and loaded.info.base == name


def test_the_bare_method_draws_by_its_network_its_lora_and_its_noise():
    backbone = load_backbone("mini-incontext")
    load_lora(backbone, find("mini-incontext").lora_beside("pose-based"), name="pose-based")
    cases = [make_case(seed, 64, 17) for seed in range(11_000, 11_004)]

    def drawn(strength: float = 1.0, **asked) -> np.ndarray:
        set_lora_strengths(backbone, {"pose-based": strength})
        return np.stack(animate_cases(backbone, cases, "pose-based", **asked))

    def error(made: np.ndarray) -> float:
        still = sum(abs(case.reference.numpy() - case.truth).mean() for case in cases)
        off = sum(abs(m - case.truth).mean() for m, case in zip(made, cases, strict=True))
        return float(off / still)

    made = drawn()
    assert error(made) < 0.95 < error(drawn(network=still_answer))
    assert error(made) + 0.01 < error(drawn(strength=0.0))
    assert abs(drawn(settings=SampleSettings(seed=1)) - made).mean() > 1e-3


def test_one_pass_is_two_seconds_or_more_behind_the_lead_in():
    geometry = load_backbone("mini").geometry
    assert min(geometry.panel) >= 128 and geometry.fps >= 8
    assert (geometry.num_frames - 9) / geometry.fps >= 2


def test_each_lora_and_the_driver_change_what_is_drawn():
    backbone = load_backbone("mini")
    case = make_case(7001, backbone.geometry.panel[0], 13)  # four frames behind the lead-in
    for variant in VARIANTS:
        load_lora(backbone, find("mini").lora_beside(variant), strength=0.0, name=variant)
    base = animate_pass(backbone, case.reference, case.driving, case.prompt, SETTINGS)
    moved = (base - case.reference).abs().amax(dim=-1) > 0.05
    for variant in VARIANTS:
        set_lora_strengths(backbone, {name: float(name == variant) for name in VARIANTS})
        tuned = animate_pass(backbone, case.reference, case.driving, case.prompt, SETTINGS)
        assert (tuned - base).abs()[moved].mean() > 1e-3  # elsewhere the scene stands still
        backwards = animate_pass(
            backbone, case.reference, case.driving.flip(0), case.prompt, SETTINGS
        )
        assert (tuned - backwards).abs().mean() > 1e-3


def test_the_bench_runs_on_the_shipped_weights_and_the_floor_holds():
    backbone = load_backbone("mini")
    for variant in VARIANTS:
        load_lora(backbone, find("mini").lora_beside(variant), name=variant)
    loras = {variant: [variant] for variant in VARIANTS}
    result = bench_puppets(backbone, 1, 7, SETTINGS, loras, selection=Selection(size=128))
    rows = result.table()["variants"]
    assert rows["still-reference"]["relative_error"] == 1
    assert rows["vae-floor"]["relative_error"] < min(rows[v]["relative_error"] for v in VARIANTS)
    assert all(torch.isfinite(torch.tensor(list(row.values()))).all() for row in rows.values())


def test_a_later_pass_goes_on_from_where_the_tail_of_the_one_before_stands():
    """The clip of each pass has a mean of its own; a body must not jump between them."""
    backbone, shift = load_backbone("mini"), 4
    clips = triplet(7002, "test", 25, 128)
    frames, driver = (to_frames(clip.frames[LEAD_IN:]) for clip in (clips.truth, clips.driver))
    reference, scene = to_frames(clips.truth.frames[:1]), to_frames(clips.truth.scene[:1])
    stands = []
    for tail in (frames[:8], frames[:8].roll(shift, dims=2)):
        known = Known(tail, driver[:8])
        made = animate_pass(backbone, reference, driver[8:12], "", SETTINGS, known=known)
        body = foreground(made.numpy(), scene.numpy())
        stands.append(np.mean(body.nonzero()[1:], axis=1))
    down, right = stands[1] - stands[0]
    assert abs(right - shift) < 0.75 and abs(down) < 0.75


def test_two_looks_find_joints_better_than_one():
    backbone = load_backbone("mini")
    eye, size = backbone.transformer.eye, backbone.transformer.config.target_size
    errors = []
    for seed in range(7000, 7008):
        clip = triplet(seed, "test", 25, size, transition=False).truth
        frames = to_frames(clip.frames[[0, 12, 20]]).permute(0, 3, 1, 2) * 2 - 1
        joints = torch.from_numpy(clip.pose.body[[0, 12, 20]][:, [0, -1], :, :2] * size)
        frames = frames.to(eye.dtype)
        errors.append(
            [
                (look(frames, labels=False).joints - joints).abs().mean().item()
                for look in (eye, eye.averaged)
            ]
        )
    once, twice = np.mean(errors, axis=0)
    assert twice < once < 1
