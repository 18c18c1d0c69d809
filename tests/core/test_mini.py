"""The small model: pairs of frames on the stock network, and how it begins before training."""

import math
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from threading import Barrier

import pytest
import torch
from diffusers import HunyuanVideo15Transformer3DModel
from diffusers.models.embeddings import apply_rotary_emb

from dreamactor_core.backbones import Context
from dreamactor_core.mini.backbone import MiniBackbone
from dreamactor_core.mini.brush import PIXELS, answer_channels, blend, magnify
from dreamactor_core.mini.clean import velocity_to
from dreamactor_core.mini.completion import are_wings, complete, inpaint
from dreamactor_core.mini.conditioning import (
    conditioning,
    keypoint_channels,
    nearest_body,
    position_channels,
)
from dreamactor_core.mini.cutout import CutOut, cut_out
from dreamactor_core.mini.folder import save_backbone
from dreamactor_core.mini.panels import magnification, panels_of, reduced
from dreamactor_core.mini.poses import estimate_poses
from dreamactor_core.mini.vae import GROUP, PATCH, MiniVAE, join_frames, split_frames
from dreamactor_core.models.loading import load_backbone
from dreamactor_core.skeleton import PARTS
from dreamactor_core.train.mini.create import MiniConfig, create_mini

SMALL = MiniConfig(num_attention_heads=3, num_layers=1, text_layers=1, size=32)
SIDE = SMALL.size // PATCH


def new_model(trained: bool = False, layers: int = 1) -> MiniBackbone:
    """trained: random where a new model is zero, so that every input matters."""
    vae = MiniVAE(latent_channels=8, channels=(8, 8, 8), blocks=(1, 1, 1))
    backbone = create_mini(vae.requires_grad_(False), replace(SMALL, num_layers=layers))
    if trained:
        torch.manual_seed(1)
        torch.nn.init.normal_(backbone.transformer.proj_out.weight, std=0.3)
    backbone.transformer.requires_grad_(False)
    return backbone


def black_of(backbone: MiniBackbone) -> torch.Tensor:
    """(8,) the latent of a black cell."""
    frames = torch.zeros(1, 2 * PATCH, 2 * PATCH, 3)
    return backbone.encode_video(frames)[0, :, 0, 0, 0].detach()


def composite(groups: int = 3) -> tuple[torch.Tensor, torch.Tensor]:
    """Random latents of two panels, black on the right of frame 0, and which of them are known."""
    generator = torch.Generator().manual_seed(2)
    latents = torch.randn(1, 8, groups, SIDE, 2 * SIDE, generator=generator)
    latents[:, :, 0, :, SIDE:] = black_of(new_model()).view(1, -1, 1, 1)
    latents[:, :, :1] = join_frames(split_frames(latents)[:, :, :1].repeat(1, 1, GROUP, 1, 1))
    known = torch.zeros(GROUP * groups - 3, SIDE, 2 * SIDE, 1)
    known[0], known[:, :, SIDE:] = 1, 1
    return latents, known


def drawn(
    backbone: MiniBackbone,
    latents: torch.Tensor,
    known: torch.Tensor,
    sigma: float = 1.0,
    seed: int = 3,
    **options,
):
    """Clean frames (1, 2, t, h', w') of the left panel that the network sees in noise."""
    noise = torch.randn(latents.shape, generator=torch.Generator().manual_seed(seed))
    text = backbone.encode_text(["a red bird"], None)
    context = backbone.context(latents, known)
    level = torch.full((1,), sigma)
    if options:
        velocity = velocity_to(backbone.paint(context, text, **options).latents, noise, level)
    else:
        velocity = backbone.velocity(noise, level, context, text)
    return split_frames(noise - sigma * velocity)[..., :SIDE]


@torch.no_grad()
def test_head_0_looks_at_the_same_place_of_the_right_panel_and_head_1_at_its_own():
    backbone = new_model()
    transformer, frames = backbone.transformer, 2
    every = torch.arange(frames * SIDE * 2 * SIDE)
    rope = transformer.positions((frames, SIDE, 2 * SIDE), every)
    attention = transformer.transformer_blocks[0].attn
    tokens = torch.zeros(1, frames * SIDE * 2 * SIDE, 192)  # no content: only the constant part
    query, key = (
        apply_rotary_emb(norm(layer(tokens).unflatten(2, (3, -1))), rope, sequence_dim=1)
        for layer, norm in ((attention.to_q, attention.norm_q), (attention.to_k, attention.norm_k))
    )
    scores = torch.einsum("bqhd,bkhd->hqk", query, key).view(3, *[frames, SIDE, 2 * SIDE] * 2)
    t, y, x = 1, 2, 1
    best = scores[0, t, y, x].argmax()
    assert divmod(int(best), 2 * SIDE * SIDE) == (t, y * 2 * SIDE + x + SIDE)
    for time in range(frames):
        assert int(scores[1, t, y, x, time].argmax()) == y * 2 * SIDE + x


@torch.no_grad()
def test_a_frame_is_drawn_from_the_reference_its_own_driver_and_the_whole_clip():
    backbone, (latents, known) = new_model(trained=True), composite()
    before = drawn(backbone, latents, known)
    other = latents.clone()
    of_frame = other.unflatten(1, (GROUP, -1))[:, :, :, 2, :, SIDE:]
    of_frame[:, [1, 2]] = of_frame[
        :, [2, 1]
    ]  # two change places: the clip on the whole is as it was
    made = drawn(backbone, other, known)
    first, second = 2 * GROUP + 1, 2 * GROUP + 2
    differs = (made - before).abs().amax(dim=(0, 1, 3, 4)) > 1e-3
    assert differs.nonzero().flatten().tolist() == [first, second]
    torch.testing.assert_close(made[:, :, first], before[:, :, second], atol=1e-3, rtol=0)
    of_frame[:, 2] += 3  # it is another one now
    differs = (drawn(backbone, other, known) - before).abs().amax(dim=(0, 1, 3, 4)) > 1e-3
    assert differs[GROUP:].all() and not differs[:GROUP].any()


@torch.no_grad()
def test_noise_is_not_read_nor_its_level():
    backbone, (latents, known) = new_model(trained=True), composite()
    want = drawn(backbone, latents, known, 1.0)
    for sigma, seed in ((1.0, 4), (0.5, 3), (0.5, 4)):
        torch.testing.assert_close(
            drawn(backbone, latents, known, sigma, seed), want, atol=1e-4, rtol=1e-4
        )


@torch.no_grad()
def test_black_frames_of_the_driver_do_not_count_in_its_mean():
    backbone, (latents, known) = new_model(), composite()
    shown = backbone.context(latents, known).latents[:, :, 0, :, SIDE:]
    black = latents[:, :, :1].clone()
    black[..., SIDE:] = black_of(backbone).view(1, -1, 1, 1, 1)
    longer = torch.cat([latents[:, :, :1], black, latents[:, :, 1:]], dim=2)
    known = torch.cat([known, known[-GROUP:]])
    torch.testing.assert_close(backbone.context(longer, known).latents[:, :, 0, :, SIDE:], shown)
    mean = split_frames(latents)[:, :, GROUP:, :, SIDE:].mean(dim=2)
    torch.testing.assert_close(split_frames(shown[:, :, None])[:, :, 0], mean)


@torch.no_grad()
def test_a_frame_without_a_driver_is_the_reference_standing_still():
    backbone, (latents, known) = new_model(trained=True), composite()
    before = drawn(backbone, latents, known)
    latents[:, :, 1, :, SIDE:] = black_of(backbone).view(1, -1, 1, 1)
    made = drawn(backbone, latents, known)
    still = split_frames(latents)[:, :, :1, :, :SIDE]
    black = slice(GROUP, 2 * GROUP)
    assert not torch.allclose(before[:, :, black], still.expand_as(before[:, :, black]))
    torch.testing.assert_close(made[:, :, black], still.expand_as(made[:, :, black]))
    latents[:, :, 2, :, SIDE:] = black_of(backbone).view(1, -1, 1, 1)  # and none at all
    made = drawn(backbone, latents, known)
    torch.testing.assert_close(made, still.expand_as(made))


@torch.no_grad()
def test_a_pair_is_what_the_stock_network_makes_of_two_frames():
    """With, beside them, what the eye sees of them."""
    backbone, (latents, known) = new_model(trained=True), composite(2)
    stock = HunyuanVideo15Transformer3DModel.from_config(backbone.transformer.config)
    stock.load_state_dict(backbone.transformer.state_dict(), strict=False)
    context = backbone.context(latents, known)
    frames = split_frames(context.latents)
    black = torch.arange(2 * SIDE * SIDE).view(SIDE, -1)[:, SIDE:].flatten()
    every = torch.arange(4 * SIDE * SIDE).expand(1, 1, -1)
    assert torch.isin(black, every).all()  # with all cells named, none is left out
    made = drawn(backbone, latents, known, tokens=every)
    text = backbone.encode_text(["a red bird"], None)
    reference = frames[:, :, 0, :, :SIDE]
    shown = torch.ones(1, GROUP, dtype=torch.bool)
    poses = estimate_poses(backbone.transformer, backbone.vae, panels_of(context), shown, None)
    read = conditioning(poses, SIDE, SIDE)
    cutout = cut_out(backbone.vae.picture(reference), poses.reference)
    cutout = cutout.posed(poses.sample, poses.goal)
    place = position_channels((2, SIDE, 2 * SIDE), SIDE)
    torch.testing.assert_close(read[:, : len(place)], place.expand(GROUP, *place.shape))
    for t in range(GROUP, 2 * GROUP):
        pair = frames[:, :, [0, t]]
        noisy = torch.zeros_like(pair)
        noisy[..., SIDE:] = frames[:, :, :1, :, SIDE:]
        mask = torch.zeros(1, 1, 2, SIDE, 2 * SIDE)
        mask[:, :, 0], mask[..., SIDE:] = 1, 1
        beside = read[t - GROUP : t - GROUP + 1]
        answers = stock(
            hidden_states=torch.cat([noisy, pair, mask, beside], dim=1),
            timestep=torch.full((1,), 1000.0),
            encoder_hidden_states=text.prompt_embeds,
            encoder_attention_mask=text.prompt_embeds_mask,
            encoder_hidden_states_2=text.prompt_embeds_2,
            encoder_attention_mask_2=text.prompt_embeds_mask_2,
            image_embeds=text.image_embeds,
            return_dict=False,
        )[0][:, :, 1, :, :SIDE]
        cells = torch.arange(SIDE * SIDE)[None]
        of_frame = CutOut(*(part[t - GROUP : t - GROUP + 1] for part in cutout))
        change, _ = blend(answers.flatten(2), cells, of_frame, backbone.vae)
        torch.testing.assert_close(
            made[:, :, t], change.view_as(reference) + reference, atol=1e-4, rtol=1e-4
        )


@torch.no_grad()
def test_padding_of_a_shorter_prompt_is_not_read():
    backbone, (latents, known) = new_model(trained=True), composite(2)
    context = backbone.context(latents, known)
    noise = torch.zeros(2, *latents.shape[1:])
    both = Context(*(part.expand(2, *part.shape[1:]) for part in context))
    text = backbone.encode_text(["", "a red bird is waving the left wing"], None)
    together = backbone.velocity(noise, torch.ones(2), both, text)
    for row, prompt in enumerate(("", "a red bird is waving the left wing")):
        alone = backbone.velocity(
            noise[:1], torch.ones(1), context, backbone.encode_text([prompt], None)
        )
        torch.testing.assert_close(together[row : row + 1], alone, atol=1e-4, rtol=1e-4)
    assert not torch.allclose(together[0], together[1], atol=1e-3)


@torch.no_grad()
def test_cells_that_are_left_out_are_not_drawn():
    backbone, (latents, known) = new_model(trained=True), composite(2)
    keep = torch.arange(4 * SIDE * SIDE).view(2, SIDE, 2 * SIDE)[:, 1:].flatten()
    made = drawn(backbone, latents, known, tokens=keep.expand(1, 1, -1))
    still = split_frames(latents)[:, :, :1, :, :SIDE]
    torch.testing.assert_close(
        made[:, :, GROUP:, 0], still[:, :, :, 0].expand_as(made[:, :, GROUP:, 0])
    )
    assert not torch.allclose(
        made[:, :, GROUP:, 1], still[:, :, :, 1].expand_as(made[:, :, GROUP:, 1])
    )


@torch.no_grad()
def test_a_composite_without_a_driver_is_its_first_frame_whatever_is_noisy():
    backbone, (latents, known) = new_model(trained=True), composite()
    latents[..., SIDE:] = black_of(backbone).view(1, -1, 1, 1, 1)
    noise = torch.randn(2, *latents.shape[1:])
    context, text = backbone.context(latents, known), backbone.encode_text([""], None)
    velocity = backbone.velocity(noise, torch.ones(2), context, text)
    torch.testing.assert_close(noise - velocity, latents[:, :, :1].expand_as(noise))
    assert backbone.paint(context, text).layers is None


def test_clean_latents_are_turned_into_velocity_and_small_sigmas_are_clamped():
    latents, clean = torch.randn(2, 8, 2, 2, 4), torch.randn(1, 8, 2, 2, 4)
    velocity = velocity_to(clean, latents, torch.tensor([0.5, 0.001]))
    torch.testing.assert_close(velocity[0], (latents[0] - clean[0]) / 0.5)
    torch.testing.assert_close(velocity[1], (latents[1] - clean[0]) / 0.02)
    assert torch.equal(velocity_to(clean, latents, torch.tensor(0.5))[0], velocity[0])


# One model, called by several at once


def jobs_of(backbone: MiniBackbone) -> list:
    """Calls that differ in size, prompts, tokens and panels."""
    latents, known = composite()
    short, known_short = composite(2)
    both = backbone.encode_text(["", "a red bird is waving the left wing"], None)
    one = backbone.encode_text(["a cat"], None)
    tokens = torch.arange(4 * SIDE * SIDE).view(2, SIDE, 2 * SIDE)[:, 1:].flatten()
    single = short[..., :SIDE].contiguous()
    contexts = [
        backbone.context(latents, known),
        backbone.context(short + 0.1, known_short),
        backbone.context(single, known_short[:, :, :SIDE]),
    ]
    return [
        lambda: backbone.paint(contexts[0], both).latents,
        lambda: backbone.paint(contexts[1], one, tokens=tokens.expand(1, 1, -1)).latents,
        lambda: backbone.paint(contexts[2], one).latents,
    ]


@torch.no_grad()
@pytest.mark.parametrize("pair", [(0, 1), (1, 2), (2, 0)])
def test_calls_in_two_threads_do_not_disturb_each_other(pair):
    backbone = new_model(trained=True, layers=2)
    jobs = jobs_of(backbone)
    alone = [jobs[one]() for one in pair]
    both_are_here = Barrier(2, timeout=60)

    def wait(*_):
        both_are_here.wait()

    # Behind the eye and the rig, in the middle of the network.
    backbone.transformer.transformer_blocks[0].register_forward_pre_hook(wait)

    def in_thread(one):
        with torch.no_grad():
            return jobs[one]()

    with ThreadPoolExecutor(2) as pool:
        together = list(pool.map(in_thread, pair))
    assert all(torch.equal(*each) for each in zip(alone, together, strict=True))


@torch.no_grad()
@pytest.mark.parametrize(("outer", "inner"), [(0, 1), (1, 0), (1, 2), (2, 0)])
def test_a_call_in_the_middle_of_another_does_not_disturb_it(outer, inner):
    backbone = new_model(trained=True, layers=2)
    jobs = jobs_of(backbone)
    want, made = [job() for job in jobs], []

    def call_once(*_):
        if not made:
            made.append(None)
            made[0] = jobs[inner]()

    backbone.transformer.transformer_blocks[0].register_forward_pre_hook(call_once)
    assert torch.equal(jobs[outer](), want[outer])
    assert torch.equal(made[0], want[inner])


def test_a_call_leaves_nothing_behind_on_the_model():
    backbone = new_model(trained=True)
    owners = [backbone, *backbone.transformer.modules()]
    before = [set(vars(owner)) for owner in owners]
    for job in jobs_of(backbone):
        job()
    assert [set(vars(owner)) for owner in owners] == before


@torch.no_grad()
def test_saved_without_the_streams_it_has_no_use_for(tmp_path, caplog):
    backbone, (latents, known) = new_model(trained=True), composite(2)
    save_backbone(backbone, tmp_path, torch.float32)
    again = load_backbone(tmp_path)
    assert not caplog.records  # nothing is said to be missing
    assert isinstance(again, MiniBackbone)
    assert not [key for key in again.transformer.state_dict() if "embedder_2" in key]
    torch.testing.assert_close(drawn(again, latents, known), drawn(backbone, latents, known))


def test_channel_weight_is_the_size_of_a_channel_in_pixels():
    vae = MiniVAE(latent_channels=2 * GROUP, channels=(8, 8, 8), blocks=(1, 1, 1))
    components = torch.zeros(3 * PATCH * PATCH, 2)
    components[0, 0] = components[1, 1] = 1
    vae.set_linear_code(torch.zeros(len(components)), components, torch.tensor([3.0, 1.0]))
    torch.testing.assert_close(vae.channel_weight(), torch.tensor([1.5, 0.5] * GROUP))


def test_frames_are_split_and_joined_in_order():
    latents = torch.arange(2 * 8 * 3).view(2, 8, 3, 1, 1)
    frames = split_frames(latents)
    assert frames.shape == (2, 2, 12, 1, 1)
    assert frames[0, :, 5, 0, 0].tolist() == latents[0, [2, 3], 1, 0, 0].tolist()
    assert torch.equal(join_frames(frames), latents)


def test_a_token_reads_where_it_stands():
    place = position_channels((2, 4, 4), 2)
    row, column, left = 3, 1, 0
    assert place[:2, 1, row, column].tolist() == [0.75, 0.5]  # the middle of the cell, in [-1, 1]
    torch.testing.assert_close(place[:18, 1, row, column], place[:18, 1, row, column + 2])
    torch.testing.assert_close(place[:18, 0], place[:18, 1])
    down = math.pi * 7 / 8  # half a wave a panel, then one, two and four
    waves = [math.sin(down), math.sin(2 * down), math.sin(4 * down), math.sin(8 * down)]
    torch.testing.assert_close(place[2:10:2, 1, row, column], torch.tensor(waves))
    kinds = [place[18:, frame, row, at].tolist() for frame, at in ((0, left), (1, left), (1, 2))]
    assert kinds == [[1, 0, 0], [0, 1, 0], [0, 0, 1]]


# What the eye saw of the bodies


@torch.no_grad()
def test_what_is_hidden_is_filled_with_what_lies_around_it():
    plain = torch.full((1, 3, 16, 24), 0.25)
    known = torch.ones(1, 1, 16, 24)
    known[..., 3:11, 5:14] = 0
    picture = torch.where(known > 0, plain, 9.0)
    torch.testing.assert_close(inpaint(picture, known), plain, atol=1e-3, rtol=0)
    halves = torch.zeros(1, 3, 16, 16)
    halves[..., 8:] = 1  # left 0, right 1, the border hidden
    known = torch.ones(1, 1, 16, 16)
    known[..., 5:11] = 0
    made = inpaint(halves, known)
    assert torch.equal(made[..., :5], halves[..., :5]) and torch.equal(
        made[..., 11:], halves[..., 11:]
    )
    assert (made[..., 5:11] >= 0).all() and (made[..., 5:11] <= 1).all()
    assert made[0, 0, 8, 5] < 0.3 and made[0, 0, 8, 10] > 0.7


def test_a_cell_belongs_to_the_body_with_the_nearest_joint():
    joints = torch.full((1, 2, 18, 2), 4.0)
    joints[:, 1] = 27.0
    joints[:, 1, 4] = torch.tensor([4.0, 21.0])  # the second's hand, on the left
    want = torch.tensor([[0, 0, 0, 1], [0, 0, 1, 1], [1, 1, 1, 1], [1, 1, 1, 1]]).float()
    assert torch.equal(nearest_body(joints, 4, 4)[0], want)


@torch.no_grad()
def test_every_cell_reads_the_body_it_belongs_to():
    size = 4 * PATCH
    joints = torch.zeros(1, 2, 18, 2)
    joints[:, 1] = size
    uncertainty = torch.full((1, 2, 18), 4.0)
    halves = torch.zeros(1, 4, 4)
    halves[..., 2:] = 1
    owners = [halves, halves, 1 - halves]
    read = keypoint_channels(
        (2, 4, 8), owners, (joints, joints, joints), (uncertainty, uncertainty)
    )
    assert read.shape == (1, 144, 2, 4, 8)
    assert (read[0, 108:] == 0.5).all()
    wanted = torch.tensor([-1.0, -1, 1, 1, 1, 1, -1, -1])  # of the reference nothing on the right
    assert torch.equal(read[0, 7, 1, 0], wanted)
    assert torch.equal(read[0, 7, 0, 0, :4], wanted[:4])


# The brush: what becomes of the answers

CELLS = torch.arange(16)[None]
TORSO, ARM, FOREARM, THIGH = 0, 2, 4, 6  # of the twelve pieces


def lossless() -> MiniVAE:
    """The code of a cell is its 192 values."""
    pixels = 3 * PATCH * PATCH
    vae = MiniVAE(latent_channels=GROUP * pixels, channels=(8, 8, 8), blocks=(1, 1, 1))
    vae.set_linear_code(torch.zeros(pixels), torch.eye(pixels), torch.ones(pixels))
    return vae


def standing(bodies: int = 1) -> torch.Tensor:
    """Joints (1, m, 18, 2) of someone upright in the middle of 32x32 pixels."""
    joints = torch.zeros(18, 2)
    joints[:, 0] = 16
    for joint, (x, y) in {
        0: (16, 8), 1: (16, 12), 14: (14, 7), 15: (18, 7), 16: (12, 8), 17: (20, 8),
        2: (12, 12), 3: (8, 16), 4: (6, 20), 5: (20, 12), 6: (24, 16), 7: (26, 20),
        8: (14, 20), 9: (13, 24), 10: (12, 28), 11: (18, 20), 12: (19, 24), 13: (20, 28),
    }.items():  # fmt: skip
        joints[joint] = torch.tensor([x, y])
    return joints.expand(1, bodies, -1, -1)


def cut(piece: int | None, goal: torch.Tensor | None = None, bodies: int = 1) -> CutOut:
    """A random picture that is all one piece of the last body, or all scene."""
    picture = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(5))
    pieces = torch.zeros(1, bodies, PARTS, 32, 32)
    if piece is not None:
        pieces[:, -1, piece] = 1
    pictures = picture[:, None, None].expand(-1, *pieces.shape[1:3], -1, -1, -1)
    joints = standing(bodies)
    return CutOut(
        picture=picture,
        pieces=torch.cat([pictures, pieces[:, :, :, None]], dim=3),
        scene=torch.full((1, 1, 32, 32), float(piece is None)),
        background=torch.full((1, 3, 32, 32), 0.5),
        present=torch.ones(1, bodies, dtype=torch.bool),
        winged=torch.zeros(1, bodies, dtype=torch.bool),
        joints=joints,
        goal=joints if goal is None else goal,
    )


def answers(code: float = 0.0, drawn: float = 0.0) -> torch.Tensor:
    """The same for all 16 cells; drawn: how much more what is drawn shows."""
    made = torch.zeros(1, answer_channels(192), 16)
    made[:, :192] = code
    made[:, 192 + 12 :: 2] = drawn
    return made


def painted(seen: CutOut, said: torch.Tensor) -> torch.Tensor:
    vae = lossless()
    reference = vae.code(seen.picture)
    change, _ = blend(said, CELLS, seen, vae)
    return vae.uncode(reference + change.view_as(reference))


@torch.no_grad()
@pytest.mark.parametrize("piece", [None, TORSO, THIGH])
def test_what_does_not_move_is_the_reference(piece):
    seen = cut(piece)
    torch.testing.assert_close(painted(seen, answers()), seen.picture, atol=0.02, rtol=0)


@torch.no_grad()
def test_a_piece_is_where_its_joints_are():
    seen = cut(TORSO, standing() + torch.tensor([5.0, -3.0]))
    made = painted(seen, answers())
    torch.testing.assert_close(made[..., :-3, 5:], seen.picture[..., 3:, :-5], atol=0.02, rtol=0)


@torch.no_grad()
def test_a_piece_turns_with_its_joints():
    turned = torch.stack([32 - standing()[..., 1], standing()[..., 0]], dim=-1)  # a quarter
    seen = cut(TORSO, turned)
    want = torch.rot90(seen.picture, -1, (2, 3))
    torch.testing.assert_close(painted(seen, answers()), want, atol=0.02, rtol=0)


@torch.no_grad()
def test_what_is_drawn_anew_begins_with_the_scene_behind_the_body():
    made = painted(cut(TORSO), answers(code=0.25, drawn=50.0))
    torch.testing.assert_close(made, torch.full_like(made, 0.75), atol=1e-4, rtol=0)


@torch.no_grad()
def test_the_piece_in_front_covers_the_other():
    seen, said = cut(TORSO), answers()
    seen.pieces[:, :, THIGH, 3] = 1
    stepping = standing().clone()
    stepping[..., (9, 10), 0] -= 4  # the thigh is turned, the trunk is not
    said[:, 192 + THIGH] = 9.0
    vae = lossless()
    _, scores = blend(said, CELLS, seen._replace(goal=stepping), vae)
    assert (scores[..., 2 + THIGH] > scores[..., 2 + TORSO]).any()
    said[:, 192 + THIGH] = -9.0
    _, scores = blend(said, CELLS, seen._replace(goal=stepping), vae)
    assert (scores[..., 2 + THIGH] < scores[..., 2 + TORSO] - 5).all()
    torch.testing.assert_close(scores.exp().sum(dim=-1), torch.ones(1, 16, 64))


# Pieces as they would look alone


def shown(**where) -> tuple[torch.Tensor, torch.Tensor]:
    """Pieces, each 1 in a box (rows, columns) of 32x32 pixels, and a picture with its own grey of
    each, later ones in front."""
    names = {"torso": TORSO, "arm": ARM, "other_arm": ARM + 1, "forearm": FOREARM}
    pieces, picture = torch.zeros(1, 1, PARTS, 32, 32), torch.zeros(1, 3, 32, 32)
    for grey, (name, (rows, columns)) in enumerate(where.items(), start=1):
        pieces[..., rows, columns] = 0
        pieces[:, :, names[name], rows, columns] = 1
        picture[..., rows, columns] = grey / 4
    return pieces, picture


def completed(pieces: torch.Tensor, picture: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Colours (12, 3, 32, 32) and shares (12, 32, 32) of someone standing()."""
    none = torch.zeros(1, 1, dtype=torch.bool)
    return complete(picture, pieces, standing(), none)[0, 0].split((3, 1), dim=1)


def test_what_hides_nothing_changes_nothing():
    trunk, limb = (slice(12, 21), slice(11, 21)), (slice(11, 16), slice(6, 11))
    mirrored = (slice(11, 16), slice(21, 26))
    pieces, picture = shown(torso=trunk, arm=limb, other_arm=mirrored)
    colours, shares = completed(pieces, picture)
    torch.testing.assert_close(shares[:, 0], pieces[0, 0], atol=1e-3, rtol=0)
    for piece in (TORSO, ARM, ARM + 1):
        seen = shares[piece].expand(3, -1, -1) > 0.5
        torch.testing.assert_close(colours[piece][seen], picture[0][seen])


@pytest.mark.parametrize("side", ["beside", "across"])
def test_a_torso_goes_on_under_an_arm(side):
    """Where its other side shows it, or it shows on both sides of the arm; and no further."""
    columns = slice(7, 13) if side == "beside" else slice(15, 18)
    rows = slice(14, 19)
    pieces, picture = shown(torso=(slice(12, 21), slice(10, 22)), forearm=(rows, columns))
    colours, shares = completed(pieces, picture)
    under = slice(max(columns.start, 10), columns.stop)
    assert (shares[TORSO, 0, rows, under] > 0.9).all()
    assert (shares[TORSO, 0, rows, columns.start : under.start] < 0.1).all()
    assert ((colours[TORSO, :, rows, under] - 0.25).abs() < 0.05).all()


def test_an_arm_goes_on_behind_the_torso_as_its_other_side_shows():
    """And is not drawn where the scene shows in its place."""
    arm, whole = (slice(11, 16), slice(21, 26)), (slice(11, 16), slice(6, 11))
    pieces, picture = shown(other_arm=arm, arm=whole, torso=(slice(10, 22), slice(11, 22)))
    picture[..., 25:26] = -1
    pieces[..., 25:26] = 0  # cut off
    colours, shares = completed(pieces, picture)
    left = ARM + 1
    assert (shares[left, 0, 12:15, 21:22] > 0.9).all()
    assert ((colours[left, :, 12:15, 21:22] - 0.5).abs() < 0.3).all()
    assert (shares[left, 0, :, 25:] == 0).all()


def test_a_limb_that_is_gone_is_the_mirror_image_of_the_other():
    pieces, picture = shown(arm=(slice(11, 16), slice(6, 11)))
    colours, shares = completed(pieces, picture)
    torch.testing.assert_close(shares[ARM + 1], shares[ARM].flip(-1), atol=1e-3, rtol=0)
    assert ((colours[ARM + 1, :, 12:15, 22:25] - 0.25).abs() < 0.01).all()


def test_of_a_limb_that_is_half_hidden_the_other_tells_the_rest():
    whole, half = (slice(11, 16), slice(6, 11)), (slice(11, 16), slice(24, 26))
    pieces, picture = shown(arm=whole, other_arm=half)
    colours, shares = completed(pieces, picture)
    torch.testing.assert_close(shares[ARM + 1], shares[ARM].flip(-1), atol=1e-3, rtol=0)
    assert ((colours[ARM + 1, :, 12:15, 22:23] - 0.25).abs() < 0.01).all()
    assert ((colours[ARM + 1, :, 12:15, 25:26] - 0.5).abs() < 0.01).all()  # its own


def test_what_looks_like_the_forearm_of_a_wing_is_wing():
    pieces, picture = shown(
        arm=(slice(11, 16), slice(6, 11)), forearm=(slice(16, 17), slice(6, 11))
    )
    wings = torch.ones(1, 1, dtype=torch.bool)
    shares = complete(picture, pieces, standing(), wings)[0, 0, :, 3]
    torch.testing.assert_close(shares[ARM], pieces[0, 0, [ARM, FOREARM]].sum(dim=0))
    assert shares[FOREARM].sum() == 0


def test_arms_without_forearms_are_wings():
    pieces = torch.zeros(1, 2, PARTS, 8, 8)
    pieces[:, :, 2:4, :4] = 1
    pieces[:, 0, FOREARM, 4:] = 1
    assert are_wings(pieces).tolist() == [[False, True]]


@torch.no_grad()
def test_each_of_two_bodies_moves_by_itself():
    joints = standing(2).clone()
    joints[:, 1, :, 0] += 4
    seen = cut(TORSO, joints, bodies=2)  # the pixels are the second's
    made = painted(seen, answers())
    torch.testing.assert_close(made[..., 4:], seen.picture[..., :-4], atol=0.02, rtol=0)
    seen.present[:, 1] = False
    _, scores = blend(answers(), CELLS, seen, lossless())
    assert scores.shape == (1, 16, 64, 2 + 24) and (scores[..., 14:] < -20).all()


# Pictures finer than those that the network reads


@pytest.mark.parametrize(
    ("cells", "times"),
    [((4, 4), 1), ((5, 6), 1), ((6, 6), 2), ((8, 8), 2), ((8, 10), 2), ((7, 9), 1), ((16, 16), 4)],
)
def test_a_panel_is_read_at_about_the_size_that_was_learned(cells, times):
    """Of 4x4 cells here: halved while that is nearer to it, and goes without a remainder."""
    assert magnification(*cells, learned=SIDE) == times


@torch.no_grad()
def test_the_network_reads_the_same_composite_smaller():
    backbone = create_mini(lossless(), SMALL)
    frames = torch.rand(5, 64, 128, 3, generator=torch.Generator().manual_seed(0))
    halves = frames.unflatten(2, (-1, 2)).unflatten(1, (-1, 2)).mean(dim=(2, 4))
    known = torch.zeros(5, 8, 16, 1)
    known[0], known[:, :, 8:] = 1, 1
    known[1:, 0, :3] = 1  # of the last cell a half: nothing is known that is not known whole
    few = known[:, ::2, ::2].clone()
    few[1:, 0, :4] = 0
    coarse, want = (
        backbone.context(backbone.encode_video(pixels), mask)
        for pixels, mask in ((frames, known), (halves, few))
    )
    made = reduced(coarse, 2, backbone.vae)
    assert torch.equal(made.known, want.known)
    # The mean of the driver, in frame 0, is that of the smaller driver.
    torch.testing.assert_close(made.latents, want.latents, atol=1e-5, rtol=0)


def test_answers_for_a_larger_picture_say_the_same():
    vae, count = lossless(), 2 * PIXELS
    generator = torch.Generator().manual_seed(0)
    picture = torch.rand(1, 3, 4, 4, generator=generator).repeat_interleave(8, 2)
    code = vae.code(picture.repeat_interleave(8, 3)).detach()
    front = torch.rand(1, PARTS, 4, 4, generator=generator)
    scores = torch.zeros(1, PIXELS, 2, 4, 4)
    scores[:, :, 1, 1] = 5  # the second row of cells: the second score of all of its pixels
    said = torch.cat([code, front, scores.flatten(1, 2)], dim=1)
    made = magnify(said, 2, vae)
    assert made.shape == (1, 192 + PARTS + count, 8, 8)
    code, front_made, scores = made.split((192, PARTS, count), dim=1)
    assert torch.equal(front_made, front.repeat_interleave(2, 2).repeat_interleave(2, 3))
    drawn_larger = vae.uncode(code)
    inside = drawn_larger[..., 4::16, 4::16]  # away from where cells meet
    torch.testing.assert_close(inside, picture.repeat_interleave(8, 3)[..., 2::8, 2::8])
    first, second = scores.unflatten(1, (PIXELS, 2)).unbind(dim=2)
    assert (first == 0).all()
    row = second[0, :, :, 0].unflatten(0, (PATCH, PATCH))[:, 0].T.flatten()  # 64 pixels down
    assert (row[18:30] == 5).all() and (row[:14] == 0).all() and (row[34:] == 0).all()


@torch.no_grad()
def test_what_moves_in_a_larger_picture_moves_as_far_and_stays_as_sharp():
    """Where joints are known, every pixel goes along with the body, four of the smaller picture."""
    backbone = create_mini(lossless(), SMALL)
    backbone.transformer.requires_grad_(False)
    averaged, rig = backbone.transformer.eye.averaged, backbone.transformer.rig

    def all_torso(pictures, labels=True):
        joints = standing(2).expand(len(pictures), -1, -1, -1)
        estimate = averaged(pictures, labels=labels)._replace(joints=joints)
        shown = torch.full((len(pictures), 13, *pictures.shape[2:]), -20.0)
        shown[:, 1 + TORSO] = 20
        return estimate._replace(labels=shown, two_bodies=torch.full((len(pictures),), -1.0))

    backbone.transformer.eye.averaged = all_torso
    rig.forward = lambda reference, driver, *_: driver[..., :2] + torch.tensor([4.0, 0])
    noise = torch.rand(1, 64, 64, 3, generator=torch.Generator().manual_seed(0))
    frames = torch.zeros(5, 64, 128, 3)
    frames[0, :, :64], frames[1:, :, 64:] = noise, 0.5
    known = torch.zeros(5, 8, 16, 1)
    known[0], known[:, :, 8:] = 1, 1
    latents = backbone.encode_video(frames)
    context = backbone.context(latents, known)
    text = backbone.encode_text([""], None)
    velocity = backbone.velocity(torch.zeros_like(latents), torch.ones(1), context, text)
    made = backbone.decode_video(-velocity)[1:, :, :64]
    want = noise[:, :, 8:-8].expand_as(made[:, :, 16:])
    torch.testing.assert_close(made[:, :, 16:], want, atol=0.02, rtol=0)
