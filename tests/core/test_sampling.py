from itertools import pairwise

import numpy as np
import pytest
import torch
from diffusers import FlowMatchEulerDiscreteScheduler

from dreamactor_core.errors import InputError
from dreamactor_core.sampling import (
    SAMPLERS,
    Cancelled,
    SampleSettings,
    flow_loss,
    flow_sigmas,
    sample,
    with_guidance,
)

SHAPE = (2, 3, 2, 4, 5)


def test_sigmas_fall_from_1_to_0_and_shift_lifts_them():
    assert flow_sigmas(4).tolist() == [1, 0.75, 0.5, 0.25, 0]
    # 3 * 0.5 / (1 + 2 * 0.5) = 0.75
    assert flow_sigmas(2, 3.0).tolist() == [1, 0.75, 0]
    assert flow_sigmas(1, 7.0).tolist() == [1, 0]


@pytest.mark.parametrize("shift", [1.0, 3.0, 5.0, 7.0])
def test_sigmas_are_those_of_diffusers_to_the_last_bit(shift):
    for steps in range(1, 61):
        scheduler = FlowMatchEulerDiscreteScheduler(shift=shift)
        scheduler.set_timesteps(sigmas=np.linspace(1, 0, steps + 1)[:-1])
        assert torch.equal(flow_sigmas(steps, shift), scheduler.sigmas)


@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize("steps", [1, 2, 3, 10])
def test_samplers_are_exact_on_straight_paths(sampler, steps):
    torch.manual_seed(0)
    noise, target = torch.randn(SHAPE), torch.randn(SHAPE)
    sigmas = flow_sigmas(steps, 5.0)
    constant = sample(lambda x, sigma: noise - target, noise, sigmas, sampler)
    assert torch.allclose(constant, target, atol=1e-4)
    pointing = sample(lambda x, sigma: (x - target) / sigma, noise, sigmas, sampler)
    assert torch.allclose(pointing, target, atol=1e-4)


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_the_network_is_asked_at_our_sigmas(sampler):
    sigmas, asked = flow_sigmas(4, 5.0), []
    sample(lambda x, s: asked.append(s.item()) or torch.zeros_like(x), torch.ones(SHAPE), sigmas,
           sampler)  # fmt: skip
    levels = sigmas[:-1].tolist()
    if sampler == "heun":  # every level but the first twice: as an end and as a start
        levels = [levels[0]] + [level for level in levels[1:] for _ in range(2)]
    assert asked == pytest.approx(levels, abs=2e-6)  # unipc backs off from 1 by 1e-6


def test_euler_is_euler_and_the_others_are_of_higher_order():
    # dx/dsigma = x from 1 to 0 takes x to x / e.
    start, sigmas = torch.ones(SHAPE, dtype=torch.float32), flow_sigmas(12, 2.0)
    by_hand = start
    for sigma, sigma_next in pairwise(sigmas):
        by_hand = by_hand + (sigma_next - sigma) * by_hand
    ends = {name: sample(lambda x, sigma: x, start, sigmas, name) for name in SAMPLERS}
    assert torch.allclose(ends["euler"], by_hand, atol=1e-6)
    error = {name: (end - torch.e**-1).abs().max().item() for name, end in ends.items()}
    assert error["heun"] < error["euler"] / 2 and error["unipc"] < error["euler"] / 2


def test_on_step_hears_every_step_with_the_clean_latents_of_the_moment():
    noise, target, heard = torch.randn(SHAPE), torch.randn(SHAPE), []
    sample(lambda x, s: (x - target) / s, noise, flow_sigmas(4), "euler", heard.append)
    assert [(step.index, step.total, step.sigma) for step in heard] == [
        (0, 4, 1.0),
        (1, 4, 0.75),
        (2, 4, 0.5),
        (3, 4, 0.25),
    ]
    assert torch.equal(heard[0].latents, noise)
    for step in heard:
        assert torch.allclose(step.denoised, target, atol=1e-5)
        along = (1 - step.sigma) * target + step.sigma * noise
        assert torch.allclose(step.latents, along, atol=1e-5)


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_cancel_stops_within_the_step(sampler):
    calls = []

    def velocity(latents, sigma):
        calls.append(sigma)
        return torch.zeros_like(latents)

    def cancel(step):
        if step.index == 1:
            raise Cancelled

    with pytest.raises(Cancelled):
        sample(velocity, torch.randn(SHAPE), flow_sigmas(6), sampler, cancel)
    assert len(calls) == 2


@pytest.mark.parametrize(
    ("text_scale", "driving_scale", "called", "want"),
    [
        (1, 1, ["full"], 10),
        (3, 1, ["full", "no_text"], 10 + 2 * (10 - 4)),
        (1, 2, ["full", "no_driving"], 10 + 1 * (10 - 7)),
        (3, 2, ["full", "no_text", "no_driving"], 10 + 2 * (10 - 4) + 1 * (10 - 7)),
        (0, 1, ["full", "no_text"], 4),
    ],
)
def test_guidance_formula_and_calls(text_scale, driving_scale, called, want):
    calls = []

    def constant(name, value):
        return lambda latents, sigma: calls.append(name) or torch.full_like(latents, value)

    guided = with_guidance(
        constant("full", 10),
        constant("no_text", 4),
        constant("no_driving", 7),
        text_scale=text_scale,
        driving_scale=driving_scale,
    )
    assert torch.equal(guided(torch.zeros(SHAPE), torch.tensor(1.0)), torch.full(SHAPE, want * 1.0))
    assert calls == called


def test_loss_is_zero_for_the_true_velocity_and_the_net_sees_the_mix():
    target, noise, sigma = torch.randn(SHAPE), torch.randn(SHAPE), torch.tensor([0.25, 1.0])
    seen = []

    def true(noisy, level):
        seen.append((noisy, level))
        return noise - target

    weight = torch.ones(1)
    assert flow_loss(true, target, noise, sigma, weight) == 0
    noisy, level = seen[0]
    assert torch.allclose(noisy[0], 0.75 * target[0] + 0.25 * noise[0], atol=1e-6)
    assert torch.equal(noisy[1], noise[1]) and torch.equal(level, sigma)
    # One step from what the net saw at sigma 1 lands on the target: the sign is that of sampling.
    landed = sample(lambda x, s: (noise - target)[1:], noisy[1:], flow_sigmas(1))
    assert torch.allclose(landed, target[1:], atol=1e-6)


def test_loss_counts_only_weighted_cells():
    target, noise = torch.zeros(1, 2, 1, 1, 4), torch.zeros(1, 2, 1, 1, 4)
    weight = torch.zeros(1, 1, 1, 1, 4)
    weight[..., 0] = 1
    wrong = torch.zeros_like(target)
    wrong[:, 0, ..., 0], wrong[..., 1:] = 3.0, 100.0
    loss = flow_loss(lambda x, s: wrong, target, noise, torch.ones(1), weight)
    assert loss == 4.5  # (9 + 0) / 2 channels


def test_a_distance_sees_the_clean_errors_of_unknown_cells():
    target = torch.zeros(2, 2, 1, 1, 4)
    weight = torch.zeros(2, 1, 1, 1, 4)
    weight[..., 0] = 1
    wrong = torch.zeros_like(target)
    wrong[:, 0, ..., 0], wrong[..., 1:] = 3.0, 100.0
    seen = []

    def distance(cells):
        seen.append(cells)
        return cells.abs().sum(-1)

    sigma = torch.tensor([1.0, 0.5])
    loss = flow_loss(lambda x, s: wrong, target, target, sigma, weight, distance=distance)
    # sigma times the velocity's error
    assert seen[0][..., 0, :].flatten(0, 2).tolist() == [[3, 0], [1.5, 0]]
    assert loss == 2.25
    known = torch.zeros_like(weight)
    assert flow_loss(lambda x, s: wrong, target, target, sigma, known, distance=distance) == 0


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("num_inference_steps", 0, "num_inference_steps: got 0, need at least 1"),
        ("num_inference_steps", 10**9, "num_inference_steps: got 1000000000, need at most 10000"),
        ("guidance_scale", float("nan"), "guidance_scale: got nan, need a finite number"),
        ("driving_guidance_scale", float("inf"), "driving_guidance_scale: got inf"),
        ("shift", 0.0, "shift: got 0.0, need a finite number above 0"),
        ("shift", float("nan"), "shift: got nan"),
        ("sampler", "ddim", "sampler: got 'ddim', need one of euler, unipc, heun"),
        ("seed", -1, "seed: got -1"),
        ("seed", 2**64, "seed: got 18446744073709551616"),
    ],
)
def test_settings_are_checked_when_made(field, value, message):
    with pytest.raises(InputError) as caught:
        SampleSettings(**{field: value})
    assert str(caught.value).startswith(message)
