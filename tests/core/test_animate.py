"""The method with an oracle in the place of the network: it draws what the right panel asks for."""

from dataclasses import replace

import pytest
import torch

from dreamactor_core.animate import animate, animate_pass, beside_driving, preview_strip
from dreamactor_core.composite import Known, LeadIn, build_composite
from dreamactor_core.errors import InputError
from dreamactor_core.sampling import Cancelled, SampleSettings

from .oracle import SIDE, Oracle

SETTINGS = SampleSettings(num_inference_steps=3)


@pytest.fixture
def oracle():
    return Oracle()


@pytest.fixture
def reference():
    return torch.rand(1, SIDE, SIDE, 3, generator=torch.Generator().manual_seed(1))


def clip(frames: int) -> torch.Tensor:
    return torch.rand(frames, SIDE, SIDE, 3, generator=torch.Generator().manual_seed(2))


def close(frames, want) -> bool:
    return frames.shape == want.shape and torch.allclose(frames, want, atol=1e-4)


@pytest.mark.parametrize("frames", [1, 4, 6, 16])
@pytest.mark.parametrize("sampler", ["euler", "unipc", "heun"])
def test_a_pass_returns_the_left_panel_without_lead_in_and_padding(
    oracle, reference, frames, sampler
):
    driving = clip(frames)
    settings = replace(SETTINGS, sampler=sampler)
    video = animate_pass(oracle, reference, driving, "", settings)
    assert close(video, (reference + driving) / 2)


def test_the_lead_in_is_kept_on_request_and_comes_from_black_driving(oracle, reference):
    driving = clip(6)
    video = animate_pass(oracle, reference, driving, "", SETTINGS, lead_in=LeadIn(keep=True))
    lead = torch.cat([reference, (reference / 2).expand(8, -1, -1, -1)])
    assert close(video, torch.cat([lead, (reference + driving) / 2]))


def test_lead_in_seconds_set_the_number_of_empty_frames(oracle, reference):
    animate_pass(oracle, reference, clip(4), "", SETTINGS, lead_in=LeadIn(0.5))
    frames, _ = oracle.contexts[0]
    assert frames.shape[0] == 5 + 4 and frames[:5, :, SIDE:].abs().max() == 0
    assert close(frames[5:, :, SIDE:], clip(4))


def test_what_must_be_drawn_is_grey_before_encoding_where_the_backbone_wants_it(reference):
    oracle = Oracle()
    oracle.blank = "grey"
    seen = []
    encode = oracle.encode_video
    oracle.encode_video = lambda frames: seen.append(frames) or encode(frames)
    animate_pass(oracle, reference, clip(4), "", SETTINGS)
    frames = seen[0]
    assert (frames[1:, :, :SIDE] == 0.5).all() and close(frames[:1, :, :SIDE], reference)
    assert close(frames[-4:, :, SIDE:], clip(4)) and (frames[:9, :, SIDE:] == 0).all()


def test_prompt_reaches_the_network(oracle, reference):
    driving = clip(4)
    video = animate_pass(oracle, reference, driving, "wave", SETTINGS)
    assert close(video, (reference + driving) / 2 + 4 * Oracle.offset)


def test_a_step_distilled_network_hears_of_the_steps(reference):
    heard = []

    class Distilled(Oracle):
        step_distilled = True

        def velocity(self, latents, sigma, context, text, sigmas):
            heard.append(sigmas.tolist())
            return super().velocity(latents, sigma, context, text)

    settings = replace(SETTINGS, num_inference_steps=2, driving_guidance_scale=2.0)
    animate_pass(Distilled(), reference, clip(4), "", settings)
    assert heard == [[1.0, 0.5, 0.0]] * 4


def test_text_guidance_leaves_the_empty_prompt(oracle, reference):
    driving = clip(4)
    settings = replace(SETTINGS, guidance_scale=3.0)
    video = animate_pass(oracle, reference, driving, "wave", settings)
    assert close(video, (reference + driving) / 2 + 3 * 4 * Oracle.offset)
    assert oracle.calls == 2 * SETTINGS.num_inference_steps and len(oracle.contexts) == 1


def test_text_guidance_leaves_the_negative_prompt_if_there_is_one(oracle, reference):
    driving = clip(4)
    settings = replace(SETTINGS, guidance_scale=3.0, negative_prompt="ab")
    video = animate_pass(oracle, reference, driving, "wave", settings)
    assert close(video, (reference + driving) / 2 + (4 + 2 * (4 - 2)) * Oracle.offset)


def test_driving_guidance_leaves_a_black_known_right_panel(oracle, reference):
    driving = clip(4)
    settings = replace(SETTINGS, driving_guidance_scale=2.0)
    video = animate_pass(oracle, reference, driving, "wave", settings)
    with_driving = (reference + driving) / 2
    assert close(video, with_driving + (with_driving - reference / 2) + 4 * Oracle.offset)
    (full, known), (undriven, known_too) = oracle.contexts
    assert undriven[:, :, SIDE:].abs().max() == 0
    assert torch.equal(undriven[:, :, :SIDE], full[:, :, :SIDE])
    assert torch.equal(known, known_too) and known[:, :, SIDE:].min() == 1


def test_kept_pixels_come_back_untouched_even_within_a_half_known_cell(oracle, reference):
    driving, scene = clip(6), 0.25 * clip(6).flip(0)
    keep = torch.zeros(6, SIDE, SIDE, 1)
    keep[:, :, :1] = 1  # half the width of a latent cell
    video = animate_pass(
        oracle, reference, driving, "", SETTINGS, known=Known(scene=scene, keep=keep)
    )
    assert torch.equal(video[:, :, :1], scene[:, :, :1])
    assert close(video[:, :, 1:], ((reference + driving) / 2)[:, :, 1:])


def test_long_videos_go_on_from_their_own_last_frames(oracle, reference):
    driving = clip(16 + 16 + 3)
    chunks = list(animate(oracle, reference, driving, "", SETTINGS))
    assert [chunk.shape[0] for chunk in chunks] == [16, 16, 3]
    want = (reference + driving) / 2
    assert close(torch.cat(chunks), want)
    for index, (start, end) in enumerate([(0, 16), (16, 32), (32, 35)]):
        frames, known = oracle.contexts[index]
        left, right = frames[:, :, :SIDE], frames[:, :, SIDE:]
        assert close(left[:1], reference) and right[0].abs().max() == 0
        if index == 0:
            assert left[1:].abs().max() == 0 and right[:9].abs().max() == 0
            assert known[1:, :, :SIDE].max() == 0
        else:
            assert close(left[1:9], want[start - 8 : start])
            assert close(right[1:9], driving[start - 8 : start])
            assert known[:9, :, :SIDE].min() == 1 and known[9:, :, :SIDE].max() == 0
        assert close(right[9 : 9 + end - start], driving[start:end])


def test_the_pieces_are_streamed(oracle, reference):
    taken = []
    frames = (taken.append(index) or frame for index, frame in enumerate(clip(40)))
    chunks = animate(oracle, reference, frames, "", SETTINGS)
    assert not taken
    next(chunks)
    assert len(taken) == 16
    next(chunks)
    assert len(taken) == 32


def test_exactly_full_passes_end_there_and_the_lead_in_is_kept_once(oracle, reference):
    chunks = animate(oracle, reference, clip(32), "", SETTINGS, lead_in=LeadIn(keep=True))
    assert [chunk.shape[0] for chunk in chunks] == [9 + 16, 16]


class Noisy(Oracle):
    """Draws half of what it is given as noise, so that the seed shows."""

    def velocity(self, latents, sigma, context, text):
        return latents / 2


def test_a_seed_decides_every_byte_and_each_chunk_has_its_own(reference):
    def run(seed):
        chunks = animate(Noisy(), reference, clip(32), "", replace(SETTINGS, seed=seed))
        return torch.cat(list(chunks))

    assert torch.equal(run(5), run(5))
    assert not torch.allclose(run(5), run(6), atol=1e-3)
    assert torch.equal(run(5)[16:], run(6)[:16])  # chunk 1 of seed 5 has the noise of seed 6
    run(2**64 - 1)  # the last seed wraps around instead of overflowing


def test_cancel_stops_within_one_step(oracle, reference):
    def cancel(step):
        if step.index == 1:
            raise Cancelled

    with pytest.raises(Cancelled):
        list(animate(oracle, reference, clip(32), "", SETTINGS, on_step=cancel))
    assert oracle.calls == 2


def test_results_are_ordinary_tensors(oracle, reference):
    chunk = next(animate(oracle, reference, clip(4), "", SETTINGS))
    chunk.mul_(2)  # an inference tensor would refuse
    assert not chunk.requires_grad


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"driving": clip(17)}, "driving frames: got 17 behind a lead of 9, need at most 16"),
        ({"driving": clip(4)[:, :3], "reference": clip(1)[:, :3]}, "height: got 3, need a mult"),
        ({"reference": clip(1)[:, :2]}, "reference size"),
    ],
)
def test_what_does_not_fit_a_pass_is_refused(oracle, reference, change, message):
    inputs = {"reference": reference, "driving": clip(4)} | change
    with pytest.raises(InputError, match=message):
        animate_pass(oracle, prompt="", settings=SETTINGS, **inputs)


def test_no_frames_and_too_long_a_lead_in_are_refused(oracle, reference):
    with pytest.raises(InputError, match="driving video: got 0 frames"):
        list(animate(oracle, reference, [], "", SETTINGS))
    with pytest.raises(InputError, match="lead-in: got 25 frames, need at most 21"):
        list(animate(oracle, reference, clip(4), "", SETTINGS, lead_in=LeadIn(3)))


def test_the_preview_shows_the_left_panel_at_even_times(oracle):
    frames = torch.rand(25, SIDE, 2 * SIDE, 3, generator=torch.Generator().manual_seed(3))
    strip = preview_strip(oracle, oracle.encode_video(frames))
    left = frames[:, :, :SIDE]
    assert torch.equal(strip, torch.cat([left[8], left[16], left[24]], dim=1))
    short = preview_strip(oracle, oracle.encode_video(frames[:5]))
    assert torch.equal(short, left[4])


def test_the_result_stands_beside_its_driving_frames(reference):
    driving, drawn = clip(5), clip(14)
    composite = build_composite(reference, driving, lead_in=9)
    both = beside_driving(drawn[9:], composite)
    assert torch.equal(both, torch.cat([drawn[9:], driving], dim=2))
    led = beside_driving(drawn, composite, keep_lead_in=True)
    assert torch.equal(led[9:, :, SIDE:], driving) and led[:9, :, SIDE:].max() == 0
