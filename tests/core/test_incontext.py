"""mini-incontext: its code, its network, and what it learns from."""

import json
import math

import numpy as np
import pytest
import torch
from diffusers import HunyuanVideo15Transformer3DModel

from dreamactor_core.animate import animate_pass
from dreamactor_core.backbones import Context
from dreamactor_core.bench.batched import animate_cases, still_answer
from dreamactor_core.bench.drivers import draw_set, other_prompts
from dreamactor_core.cli.train_incontext import judge_clips
from dreamactor_core.composite import build_composite
from dreamactor_core.errors import InputError
from dreamactor_core.mini.codec import BLOCK_VALUES, BlockCodec
from dreamactor_core.mini.incontext import create_incontext
from dreamactor_core.mini.incontext_network import cell_places, known_tokens
from dreamactor_core.mini.vae import group_frames, ungroup_frames
from dreamactor_core.puppets.told import TOLD_STATES, UNTOLD, told_triplet
from dreamactor_core.sampling import SampleSettings, flow_sigmas, sample
from dreamactor_core.train.course import Course, OffCourseError
from dreamactor_core.train.mini.incontext_fit import ClockPace, fit_by_clock
from dreamactor_core.train.mini.incontext_model import (
    adapter_state,
    add_adapter,
    fresh_adapter,
    load_adapter,
    loss_of,
    model_state,
    narrowed,
    save_parts,
)
from dreamactor_core.train.mini.incontext_pool import caption_ids
from dreamactor_core.train.mini.incontext_tasks import compose_panels, restyle, warp
from dreamactor_core.train.mini.principal import Moments

GRID = (5, 16, 32)


pytestmark = pytest.mark.usefixtures("fresh_accelerate")


@pytest.fixture
def backbone():
    torch.manual_seed(0)
    made = create_incontext(layers=1, heads=2)
    fill_codec(made.vae)
    return made


def fill_codec(codec: BlockCodec) -> None:
    generator = torch.Generator().manual_seed(0)
    basis, _ = torch.linalg.qr(torch.randn(BLOCK_VALUES, BLOCK_VALUES, generator=generator))
    codec.components.copy_(basis[:, : codec.components.shape[1]])


def random_inputs(backbone, batch=2):
    z = torch.randn(batch, 48, *GRID, generator=torch.Generator().manual_seed(1))
    known = known_tokens(GRID, z.device).view(1, 1, *GRID).expand(batch, -1, -1, -1, -1).float()
    text = backbone.text_encoder(["a bird is jumping"] * batch)
    return z, Context(z * known, known), text


def loud(backbone):
    """Random answers in place of the zeros of a new network."""
    torch.nn.init.normal_(backbone.transformer.proj_out.weight, std=0.1)
    return backbone


def test_groups_are_frame_0_four_times_and_then_fours():
    video = torch.arange(9.0).view(1, 1, 9, 1, 1).expand(1, 3, 9, 8, 8)
    groups = group_frames(video)
    assert groups[0, :, ::3, 0, 0].tolist() == [[0, 0, 0, 0], [1, 2, 3, 4], [5, 6, 7, 8]]
    assert torch.equal(ungroup_frames(groups), video)


def test_a_code_of_all_components_loses_nothing():
    codec = BlockCodec(BLOCK_VALUES, (8, 8), (1, 1))
    fill_codec(codec)
    codec.scale.fill_(2.0)
    groups = torch.rand(1, 2, 12, 16, 16)
    torch.testing.assert_close(codec.uncode(codec.code(groups)), groups, atol=1e-4, rtol=0)


def test_a_new_clean_up_changes_nothing():
    codec = BlockCodec(BLOCK_VALUES, (8, 8), (1, 1))
    fill_codec(codec)
    video = torch.rand(1, 3, 5, 16, 16)
    decoded = codec.decode(codec.encode(video).latent_dist.mode()).sample
    torch.testing.assert_close(decoded, video, atol=1e-4, rtol=0)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_a_codec_of_half_as_many_bits_decodes_the_same(dtype):
    torch.manual_seed(0)
    codec = BlockCodec()
    torch.nn.init.normal_(codec.components, std=0.1)
    torch.nn.init.normal_(codec.leave.weight, std=0.02)
    latents = torch.randn(1, 48, 2, 4, 4)
    exact = codec.decode(latents).sample
    made = codec.to(dtype).decode(latents.to(dtype)).sample
    assert (made.float() - exact).abs().mean() < 0.01 * exact.abs().mean()


def test_the_decoder_reads_nothing_that_comes_later():
    codec = BlockCodec(16, (8, 8), (1, 1))
    fill_codec(codec)
    torch.nn.init.normal_(codec.leave.weight)
    latents = torch.randn(1, 16, 4, 2, 2)
    later = latents.clone()
    later[:, :, 3] += 1
    before, after = (codec.decode(z).sample for z in (latents, later))
    assert torch.equal(before[:, :, :9], after[:, :, :9])
    assert not torch.equal(before[:, :, 9:], after[:, :, 9:])


def test_the_linear_code_has_the_directions_of_the_blocks():
    codec = BlockCodec(2, (8, 8), (1, 1))
    basis = torch.eye(BLOCK_VALUES)[:2] * torch.tensor([[3.0], [1.0]])
    blocks = torch.randn(4000, 2, generator=torch.Generator().manual_seed(0)) @ basis + 0.5
    moments = Moments()
    for half in blocks.chunk(2):
        moments.add(half)
    *code, kept = moments.code(2)
    codec.set_linear_code(*code)
    assert kept == pytest.approx(1, abs=1e-4)
    assert codec.components[0, 0].abs() > 0.99 and codec.components[1, 1].abs() > 0.99
    torch.testing.assert_close(codec.mean, torch.full((BLOCK_VALUES,), 0.5), atol=0.2, rtol=0)


def test_training_reads_what_inference_reads(backbone):
    """Blanking latents is blanking pixels: no block reaches over a border."""
    frames = torch.rand(17, 64, 128, 3)
    composite = build_composite(frames[:1, :, :64], frames[9:, :, 64:], lead_in=9)
    inference = backbone.context(backbone.encode_video(composite.frames), composite.known)
    panels = 2 * frames.movedim(-1, 0)[None] - 1
    left, right = panels[..., :64], panels[..., 64:].clone()
    right[:, :, :9] = -1
    ids = torch.from_numpy(caption_ids("x"))[None]
    training = compose_panels(
        backbone.vae, left, right, ids, torch.Generator().manual_seed(0)
    ).context
    torch.testing.assert_close(training.latents, inference.latents, atol=1e-4, rtol=1e-4)
    assert torch.equal(training.known, inference.known)


def test_it_is_the_stock_network(backbone):
    z, context, text = random_inputs(loud(backbone))
    config = {k: v for k, v in backbone.transformer.config.items() if not k.startswith("_")}
    stock = HunyuanVideo15Transformer3DModel(**config)
    stock.load_state_dict(stock.state_dict() | backbone.transformer.state_dict())
    asked = {
        "hidden_states": torch.cat(
            [z, *context, cell_places(GRID, z.device).expand(2, -1, -1, -1, -1)], 1
        ),
        "timestep": torch.tensor([1000.0, 300.0]),
        "encoder_hidden_states": text.prompt_embeds,
        "encoder_attention_mask": text.prompt_embeds_mask,
    }
    nothing = torch.zeros(2, 0, 1)
    with torch.no_grad():
        ours = backbone.transformer(**asked)[0]
        theirs = stock(
            **asked,
            encoder_hidden_states_2=nothing,
            encoder_attention_mask_2=nothing[..., 0],
            image_embeds=nothing,
            return_dict=False,
        )[0]
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-5)


def test_a_new_network_answers_with_the_still_reference(backbone):
    z, context, text = random_inputs(backbone)
    with torch.no_grad():
        made = sample(
            lambda latents, sigma: backbone.velocity(latents, sigma, context, text),
            z, flow_sigmas(4, 3.0),
        )  # fmt: skip
    torch.testing.assert_close(
        made, context.latents[:, :, :1].expand_as(made), atol=1e-4, rtol=1e-4
    )


def test_clean_tokens_at_no_noise_are_the_same_network(backbone):
    z, context, text = random_inputs(loud(backbone))
    latents, sigma = torch.where(context.known == 1, context.latents, z), torch.zeros(2)
    answers = {}
    for given in ("noisy", "clean", "one-way"):
        backbone.transformer.given = given
        with torch.no_grad():
            answers[given] = backbone.predict(latents, sigma, context, text)
    torch.testing.assert_close(answers["clean"], answers["noisy"], atol=1e-4, rtol=1e-4)
    assert not torch.allclose(answers["one-way"], answers["noisy"], atol=1e-2)


def test_one_way_known_tokens_do_not_feel_the_noise(backbone):
    loud(backbone).transformer.given = "one-way"
    z, context, text = random_inputs(backbone)
    known = context.known.bool().expand_as(z)
    with torch.no_grad():
        answers = [
            backbone.predict(latents, torch.full((2,), 0.7), context, text)
            for latents in (z, z + 1)
        ]
    # The last layer's modulation is of the noise level, which is the same here.
    torch.testing.assert_close(answers[0][known], answers[1][known], atol=1e-5, rtol=1e-5)
    assert not torch.allclose(answers[0][~known], answers[1][~known], atol=1e-3)
    backbone.transformer.kept = []  # filled by one level of noise, read by another
    with torch.no_grad():
        backbone.predict(z, torch.full((2,), 1.0), context, text)
        again = backbone.predict(z, torch.full((2,), 0.7), context, text)
    torch.testing.assert_close(again[~known], answers[0][~known], atol=1e-5, rtol=1e-5)


def test_in_time_puts_the_right_panel_behind_the_left_one(backbone):
    cos, _ = backbone.transformer.rope_of(GRID, torch.device("cpu"))
    backbone.transformer.layout = "in-time"
    turned, _ = backbone.transformer.rope_of(GRID, torch.device("cpu"))
    shape = (*GRID, cos.shape[-1])
    beside, behind = cos.view(shape), turned.view(shape)
    assert torch.equal(behind[:, :, :16], beside[:, :, :16])
    assert torch.equal(behind[..., 16:, 12:], beside[..., :16, 12:])  # the same place in its panel
    assert not torch.equal(behind[..., 16:, :12], beside[..., 16:, :12])  # at another time


def test_text_is_of_one_length_and_silence_is_zero(backbone):
    text = backbone.text_encoder(["", "a red bird is walking"])
    assert text.prompt_embeds.shape == (2, 24, 128)  # of four bytes each
    assert text.prompt_embeds_mask.sum() == 2 * 24
    assert not text.prompt_embeds[0, 1:].any() and text.prompt_embeds[1, 5].any()
    ids = torch.from_numpy(np.stack([caption_ids(""), caption_ids("a red bird is walking")])).long()
    torch.testing.assert_close(
        backbone.text_encoder.encode_ids(ids).prompt_embeds, text.prompt_embeds
    )


def test_a_narrowed_lora_keeps_what_adds_most():
    generator = torch.Generator().manual_seed(0)
    basis = [torch.linalg.qr(torch.randn(n, 3, generator=generator))[0] for n in (6, 5)]
    sizes = torch.tensor([3.0, 2.0, 0.1])
    state = {
        "ff.lora_A.incontext.weight": sizes[:, None] * basis[1].T,
        "ff.lora_B.incontext.weight": basis[0],
    }
    down, up = narrowed(state, 2).values()
    assert down.shape == (2, 5) and up.shape == (6, 2)
    best = (basis[0][:, :2] * sizes[:2]) @ basis[1][:, :2].T
    torch.testing.assert_close(up @ down, best)
    down, up = narrowed(state, 8).values()  # no more directions than there are
    torch.testing.assert_close(up @ down, (basis[0] * sizes) @ basis[1].T)


def test_a_lora_of_fewer_directions_keeps_the_others_at_zero(backbone, tmp_path):
    backbone.transformer.requires_grad_(False)
    add_adapter(backbone, 4)
    load_adapter(backbone, fresh_adapter(backbone, seed=0, rank=2))
    loud(backbone)
    video = torch.rand(1, 3, 17, 64, 64)
    ids = torch.from_numpy(caption_ids("x"))[None]
    generator = torch.Generator().manual_seed(0)
    batch = compose_panels(backbone.vae, video, video.flip(-1), ids, generator)
    pace = ClockPace(60, 1e-2, steps=3)
    fit_by_clock(backbone.transformer, lambda: loss_of(backbone, batch), pace, tmp_path)
    state = adapter_state(backbone)
    ups = [value for name, value in state.items() if ".lora_B." in name]
    downs = [value for name, value in state.items() if ".lora_A." in name]
    assert len(ups) == len(downs) == 2  # feed-forward layers of the visual stream alone
    assert all(not value[:, 2:].any() and value[:, :2].any() for value in ups)
    assert all(not value[2:].any() for value in downs)


def weights(count: int) -> torch.nn.ParameterList:
    return torch.nn.ParameterList([torch.nn.Parameter(torch.ones(count))])


def test_a_loss_that_is_no_number_ends_with_the_last_good_weights(tmp_path):
    (weight,) = module = weights(2)
    rates = []

    def loss() -> torch.Tensor:
        rates.append(1)
        return (weight * math.nan).sum()

    with pytest.raises(InputError, match="loss at step 5: got nan, need a finite number"):
        fit_by_clock(module, loss, ClockPace(60, 0.1, steps=999), tmp_path)
    assert weight.tolist() == [1, 1] and len(rates) == 5  # four times with half the rate


def test_a_loss_far_above_the_lowest_goes_back_and_on_with_half_the_rate(tmp_path):
    (weight,) = module = weights(1)
    drawn = []

    def loss() -> torch.Tensor:
        drawn.append(weight.item())
        far = 100 if 151 <= len(drawn) <= 160 else 1
        return far * (weight - weight.detach() + 1).square().sum()  # never falls

    pace = ClockPace(60, 0.1, steps=200, ema=0)
    fit_by_clock(module, loss, pace, tmp_path)
    lines = [json.loads(line) for line in (tmp_path / "steps.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [k for k in range(1, 201) if k != 160]
    assert drawn[159] < 0 and drawn[160] == 1  # the last good weights are those of the start
    assert lines[158]["rate"] == pytest.approx(pace.rate(159, 158 / 200))
    assert lines[159]["rate"] == pytest.approx(pace.rate(161, 160 / 200) / 2)


def test_a_harder_lesson_is_not_off_course():
    course, strict = Course([], spike=30.0), Course([])
    for step in range(1, 121):
        for each in (course, strict):
            each.look(step, 0.02)
    for step in range(121, 131):
        course.look(step, 0.15)
    with pytest.raises(OffCourseError, match="at most 4 times the lowest"):
        for step in range(121, 131):
            strict.look(step, 0.15)


def test_fit_learns_and_counts(tmp_path):
    (weight,) = module = weights(1)
    pace = ClockPace(60, 0.1, steps=200)
    report = fit_by_clock(module, lambda: weight.square().sum(), pace, tmp_path)
    assert report.steps == 200 and weight.abs() < 0.1
    assert report.curve[-1][0] == 200 and not (tmp_path / "checkpoint.pt").exists()


def test_weights_are_saved_whole_in_small_parts(backbone, tmp_path, monkeypatch):
    from safetensors.torch import load_file

    monkeypatch.setattr("dreamactor_core.train.mini.incontext_model.PART_BYTES", 1_000_000)
    state = model_state(backbone)
    paths = save_parts({"model": state}, tmp_path, "weights")
    assert len(paths) > 1
    read = {k: v for path in paths for k, v in load_file(path).items()}
    assert read.keys() == {f"model:{name}" for name in state}
    name = "transformer.x_embedder.proj.weight"
    assert torch.equal(read[f"model:{name}"], state[name].half())


def test_a_window_of_the_whole_changes_nothing():
    video = torch.rand(2, 3, 4, 8, 8)
    same = warp(video, torch.zeros(2, 2), torch.ones(2, 2))
    torch.testing.assert_close(same, video, atol=1e-5, rtol=0)


@pytest.mark.parametrize("style", ["recoloured", "pieces", "outlines", "blur"])
def test_no_style_looks_like_the_clip(style):
    generator = torch.Generator().manual_seed(0)
    video = 2 * torch.rand(2, 3, 17, 64, 64, generator=generator) - 1
    parts = torch.randint(13, (2, 17, 64, 64), generator=generator)
    made = restyle(style, video, parts, generator)
    assert made.shape == video.shape
    assert made.min() >= -1.001 and made.max() <= 1.001
    assert (made - video).abs().mean() > 0.2


@pytest.mark.parametrize("kind", UNTOLD)
def test_only_the_caption_tells_the_state(kind):
    one, other = (
        told_triplet(3, "train", 11, 32, kind=kind, state=state) for state in TOLD_STATES[kind][:2]
    )
    assert np.array_equal(one.driver.frames, other.driver.frames)
    assert np.array_equal(one.driver.skeleton(), other.driver.skeleton())
    assert np.array_equal(one.truth.frames[0], other.truth.frames[0])
    assert not np.array_equal(one.truth.frames[-1], other.truth.frames[-1])
    assert one.truth.caption != other.truth.caption
    assert one.truth.mask[-1].any()
    # Its own pose must not tell either: it is what the pose-based LoRA learns from.
    assert np.array_equal(one.truth.skeleton(), other.truth.skeleton())


def test_training_asks_for_ways_to_judge_and_measure_and_knows_no_bench():
    """What measures a run comes from above: see cli/train_incontext.py."""
    from inspect import signature

    from dreamactor_core.train.mini.incontext_stages import train_incontext

    assert list(signature(train_incontext).parameters) == ["session", "judge", "measure", "last"]


def case_of(seed):
    from dreamactor_core.bench.cases import make_case

    return make_case(seed, 64, 17)


def test_a_batch_is_animated_as_one_case_after_the_other(backbone):
    loud(backbone)
    cases, settings = [case_of(11_000), case_of(11_001)], SampleSettings(seed=3)
    made = animate_cases(backbone, cases, "pose-based", settings=settings)
    for case, frames in zip(cases, made, strict=True):
        alone = animate_pass(backbone, case.reference, case.skeleton, case.prompt, settings)
        assert frames.shape == case.truth.shape
        np.testing.assert_allclose(frames, alone.numpy(), atol=1e-4)


def test_a_network_that_answers_nothing_shows_the_same_in_every_group(backbone):
    (made,) = animate_cases(loud(backbone), [case_of(11_000)], "end-to-end", network=still_answer)
    np.testing.assert_allclose(made[:4], made[4:], atol=1e-4)
    assert made.std() > 0.01


def test_a_lying_skeleton_changes_the_drawing_and_nothing_else():
    (true,), (lie,) = (draw_set(name, 1, 17, 64) for name in ("plain", "lie-armless"))
    assert torch.equal(true.driving, lie.driving) and np.array_equal(true.truth, lie.truth)
    assert lie.skeleton.sum() < true.skeleton.sum()


def test_another_state_is_said_of_the_same_scene():
    cases = draw_set("told-balloon", 2, 17, 64)
    for case, said in zip(cases, other_prompts(cases), strict=True):
        assert (
            said != case.prompt and said.split(" holding ")[0] == case.prompt.split(" holding ")[0]
        )


def test_a_judge_gives_nothing_for_a_clip_of_other_colours():
    clip = (case_of(11_000).truth * 255).astype(np.uint8)[None]
    same, other = judge_clips(clip, clip, clip[:, 0]), judge_clips(clip, clip, 255 - clip[:, 0])
    assert same[0] > 4.5 > other[0]
