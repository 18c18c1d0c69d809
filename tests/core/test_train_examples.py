"""What training gives the network is what inference gives it, on every base, bit for bit."""

from functools import cache

import numpy as np
import pytest
import torch

from dreamactor_core.animate import encode_composite, without_driving
from dreamactor_core.composite import Known, build_composite
from dreamactor_core.errors import InputError
from dreamactor_core.train.examples import (
    Draws,
    Pair,
    draw_example,
    encode_example,
    flow_target,
)

from .full_size import BASES, full_size_folder, open_base

SHORT, PLAIN = 49, Draws(0, 0, 0)
LEAD = {24.0: 25, 16.0: 17}


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return cache(lambda name: open_base(full_size_folder(name, tmp_path_factory.mktemp(name))))


def pair(seed: int, num_frames: int = SHORT, side: int = 32, since: int = 0) -> Pair:
    """Smooth random frames, no two alike."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(2, 3, num_frames, 4, 4, generator=generator)
    frames = torch.nn.functional.interpolate(coarse, (num_frames, side, side), mode="trilinear")
    return Pair(*frames.movedim(1, -1), "a crane bows", since)


def drawn(backbone, sample, draws=PLAIN, num_frames=SHORT, seed=0):
    return draw_example(sample, num_frames, draws, backbone.geometry, np.random.default_rng(seed))


def context_of(backbone, encoded):
    return backbone.context(encoded.latents, encoded.known)


@pytest.mark.parametrize("name", BASES)
@torch.no_grad()
def test_the_context_of_a_first_pass_is_that_of_inference(base, name):
    backbone, sample = base(name), pair(0)
    lead = LEAD[backbone.geometry.fps]
    want = build_composite(sample.target[:1], sample.driving[lead:], lead_in=lead)
    got = context_of(backbone, encode_example(backbone, drawn(backbone, sample)))
    for mine, theirs in zip(got, encode_composite(backbone, want).context, strict=True):
        assert torch.equal(mine, theirs)


@pytest.mark.parametrize("name", BASES)
@torch.no_grad()
def test_the_contexts_of_later_passes_kept_pixels_and_no_driver_are_those_of_inference(base, name):
    backbone, sample = base(name), pair(1)
    target, driving = sample.target[1:], sample.driving[1:]
    later = build_composite(
        sample.target[:1], driving[8:], lead_in=1, known=Known(target[:8], driving[:8])
    )
    lead = LEAD[backbone.geometry.fps]
    first = build_composite(sample.target[:1], sample.driving[lead:], lead_in=lead)
    kept = drawn(backbone, sample, Draws(0, 0, 1), seed=3).composite
    masked = build_composite(
        sample.target[:1],
        sample.driving[lead:],
        lead_in=lead,
        known=Known(scene=sample.target[lead:], keep=kept.known[lead:, :, :32]),
    )
    assert 0 < kept.known[-1, :, :32].mean() < 1
    for draws, want in (
        (Draws(0, 1, 0), later),
        (Draws(1, 0, 0), without_driving(first)),
        (Draws(0, 0, 1), masked),
    ):
        got = context_of(backbone, encode_example(backbone, drawn(backbone, sample, draws, seed=3)))
        for mine, theirs in zip(got, encode_composite(backbone, want).context, strict=True):
            assert torch.equal(mine, theirs)


@pytest.mark.parametrize("name", BASES)
@torch.no_grad()
def test_prompt_and_image_stream_are_those_of_inference(base, name):
    backbone, sample = base(name), pair(2)
    got = encode_example(backbone, drawn(backbone, sample)).text
    want = backbone.encode_text(["a crane bows"], sample.target[:1])
    assert all(torch.equal(mine, theirs) for mine, theirs in zip(got, want, strict=True))
    assert (got.image_embeds.shape[1] > 0) == ("2.2" not in name)
    # Text dropout is derived: only the image stream of the empty prompt belongs to the sample.
    derived = backbone.encode_text([""], None)._replace(image_embeds=got.image_embeds)
    empty = backbone.encode_text([""], sample.target[:1])
    assert all(torch.equal(mine, theirs) for mine, theirs in zip(derived, empty, strict=True))


def network_input(backbone, encoded, noise, sigma=0.7):
    """All that the network reads beside the text (1, m, t', h', 2w'), the noisy latents, the mask
    of unknown cells (1, t', h', 2w'), and the velocity to be found."""
    context = context_of(backbone, encoded)
    target = flow_target(encoded.answer, encoded.latents, context.known)
    noisy = target.lerp(noise, sigma)
    read = torch.cat([noisy, *context], dim=1)
    if getattr(backbone, "by_token", False):  # it holds the condition where that is known
        read = torch.where(context.known == 1, context.latents, noisy)
    return read, noisy, context.known.amin(dim=1) == 0, noise - target


def noise_like(latents, seed):
    return torch.randn(latents.shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("name", BASES)
@torch.no_grad()
def test_beside_the_noisy_unknown_cells_nothing_depends_on_the_answer(base, name):
    backbone, one, other = base(name), pair(8), pair(9)
    other = one._replace(target=torch.cat([one.target[:1], other.target[1:]]))
    a, b = (encode_example(backbone, drawn(backbone, sample)) for sample in (one, other))
    noise = noise_like(a.answer, 0)
    (read, noisy, unknown, _), (read_b, noisy_b, _, _) = (
        network_input(backbone, encoded, noise) for encoded in (a, b)
    )
    channels = noisy.shape[1]
    assert torch.equal(read[:, channels:], read_b[:, channels:])
    assert torch.equal(noisy.movedim(1, -1)[~unknown], noisy_b.movedim(1, -1)[~unknown])
    assert not torch.equal(noisy.movedim(1, -1)[unknown], noisy_b.movedim(1, -1)[unknown])


def left_over(inputs, velocities) -> float:
    """Share of the velocities' variance that a linear map of the inputs misses, fitted on all but
    the last pair. Both (pairs, noises, cells, channels), less each cell's mean: where a cell lies
    may be known."""
    x, y = (part.double() - part.double().mean((0, 1)) for part in (inputs, velocities))
    fit = torch.linalg.lstsq(x[:-1].flatten(0, 2), y[:-1].flatten(0, 2), driver="gelsd").solution
    return ((x[-1] @ fit - y[-1]).square().sum() / y[-1].square().sum()).item()


@pytest.mark.parametrize("name", BASES)
@torch.no_grad()
def test_a_linear_map_of_all_input_finds_no_more_of_the_velocity_than_one_of_the_noise(base, name):
    backbone, rows = base(name), []
    for index in range(5):
        # One reference and one driver for all: what they tell of the answer is no leak.
        sample, other = pair(9), pair(10 + index)
        sample = sample._replace(target=torch.cat([sample.target[:1], other.target[1:]]))
        encoded = encode_example(backbone, drawn(backbone, sample))
        for given in (encoded, encoded._replace(latents=encoded.answer)):  # right, and a leak
            parts = []
            for seed in range(8):
                noise = noise_like(encoded.answer, 100 * index + seed)
                read, noisy, unknown, velocity = network_input(backbone, given, noise)
                cells = (part.movedim(1, -1)[unknown] for part in (read, noisy, velocity))
                parts.append(list(cells))
            rows.append([torch.stack(part) for part in zip(*parts, strict=True)])
    right, leak = (
        [torch.stack(part) for part in zip(*rows[start::2], strict=True)] for start in (0, 1)
    )
    from_noise = left_over(right[1], right[2])
    assert left_over(right[0], right[2]) > 0.9 * from_noise > 1e-4
    if backbone.blank == "grey" and not backbone.by_token:  # the probe does see a leak
        assert left_over(leak[0], leak[2]) < 1e-8


@pytest.mark.parametrize("name", ["hunyuanvideo-1.5", "wan-2.1"])
@pytest.mark.parametrize("num_frames", [49, 61, 77])
def test_a_window_of_any_length_has_its_lead_in(base, name, num_frames):
    geometry = base(name).geometry
    lead = geometry.lead_frames()
    composite, answer, prompt = drawn(base(name), pair(4, 81), num_frames=num_frames)
    assert len(composite.frames) == num_frames and prompt == "a crane bows"
    right = composite.frames[:, :, 32:]
    assert not right[:lead].any() and right[lead:].flatten(1).any(dim=1).all()
    assert composite.known[..., 0][:, 0, [0, 32]].tolist() == [[1, 1], *[[0, 1]] * (num_frames - 1)]
    assert torch.equal(answer[:, :, 32:], right)  # the same right panel on both
    assert torch.equal(answer[:1], composite.frames[:1])
    starts, sample = set(), pair(4, 81)
    for seed in range(40):
        first = drawn(base(name), sample, num_frames=num_frames, seed=seed).answer[0, :, :32]
        starts |= {k for k in range(81) if torch.equal(first, sample.target[k])}
    assert min(starts) == 0 and max(starts) == 81 - num_frames


def test_a_prefix_follows_a_reference_that_is_long_past(base):
    backbone, sample = base("wan-2.1"), pair(5, 81)
    starts = set()
    for seed in range(20):
        example = drawn(backbone, sample, Draws(0, 1, 0), seed=seed)
        assert torch.equal(example.answer[0, :, :32], sample.target[0])
        assert example.composite.lead == 9 and example.composite.length == 40
        known = example.composite.known[:, 0, 0, 0]
        assert known[:9].all() and not known[9:].any()
        start = next(
            k for k in range(81) if torch.equal(example.answer[1, :, :32], sample.target[k])
        )
        assert torch.equal(example.answer[1:, :, :32], sample.target[start : start + 48])
        assert torch.equal(example.answer[1:, :, 32:], sample.driving[start : start + 48])
        starts.add(start)
    assert min(starts) == 1 and max(starts) > 20


def test_a_driver_that_begins_later_is_never_shown_before_it_begins(base):
    backbone = base("wan-2.1")
    for draws in (PLAIN, Draws(0, 1, 0)):
        for seed in range(20):
            sample = pair(6, 81, since=25)
            sample.driving[:25] = 7.0  # of no meaning
            assert drawn(backbone, sample, draws, seed=seed).answer.max() <= 1


@pytest.mark.parametrize(
    ("num_frames", "length", "message"),
    [(17, 49, "need at least 21"), (49, 45, "need at least 49"), (49, 49, "driver from frame 30")],
)
def test_windows_and_clips_that_are_too_short_are_refused(base, num_frames, length, message):
    with pytest.raises(InputError, match=message):
        drawn(
            base("wan-2.1"),
            pair(7, length, since=30 if "driver" in message else 0),
            num_frames=num_frames,
        )


def test_a_target_of_the_flow_is_the_answer_where_it_is_unknown_and_the_condition_elsewhere():
    answer, latents = torch.ones(1, 2, 1, 1, 2), torch.zeros(1, 2, 1, 1, 2)
    known = torch.tensor([[1.0, 0.0], [1.0, 1.0]]).view(1, 2, 1, 1, 2)  # in part is not known
    assert flow_target(answer, latents, known).flatten().tolist() == [0, 1, 0, 1]
