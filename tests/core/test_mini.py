"""The small model: pairs of frames on the stock network, and how it begins before training."""

import math

import pytest
import torch
from diffusers import HunyuanVideo15Transformer3DModel
from diffusers.models.embeddings import apply_rotary_emb

from dreamactor_core.backbones import Context
from dreamactor_core.backbones.loading import load_backbone, save_backbone
from dreamactor_core.backbones.mini import Brush, MiniBackbone, where_it_stands
from dreamactor_core.backbones.mini_vae import GROUP, PATCH, MiniVAE, join_frames, split_frames
from dreamactor_core.train.mini import MiniConfig, create_mini

SMALL = MiniConfig(num_attention_heads=3, num_layers=1, text_layers=1, size=32)
SIDE = SMALL.size // PATCH


def new_model(trained: bool = False) -> MiniBackbone:
    """trained: random where a new model is zero, so that every input matters."""
    vae = MiniVAE(latent_channels=8, channels=(8, 8, 8), blocks=(1, 1, 1))
    backbone = create_mini(vae.requires_grad_(False), SMALL)
    if trained:
        torch.manual_seed(1)
        torch.nn.init.normal_(backbone.transformer.proj_out.weight)
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
    velocity = backbone.velocity(noise, level, context, text, **options)
    return split_frames(noise - sigma * velocity)[..., :SIDE]


@torch.no_grad()
def test_head_0_looks_at_the_same_place_of_the_right_panel_and_head_1_at_its_own():
    backbone = new_model()
    transformer, frames = backbone.transformer, 2
    transformer.rope.grid = (frames, SIDE, 2 * SIDE)
    transformer.rope.tokens = torch.arange(frames * SIDE * 2 * SIDE)
    rope = transformer.rope(torch.zeros(1))
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
def test_a_new_model_predicts_the_reference_standing_still():
    latents, known = composite()
    still = split_frames(latents)[:, :, :1, :, :SIDE]
    made = drawn(new_model(), latents, known)
    # Each cell but for a hundredth of its mean colour, which is drawn anew.
    torch.testing.assert_close(made, still.expand_as(made), atol=0.02 * still.std().item(), rtol=0)


@torch.no_grad()
def test_a_frame_is_drawn_from_the_reference_its_own_driver_and_the_drivers_mean():
    backbone, (latents, known) = new_model(trained=True), composite()
    before = drawn(backbone, latents, known)
    other = latents.clone()
    # Two frames of the last group change places and looks, so that the mean stays as it was.
    of_frame = other.unflatten(1, (GROUP, -1))[:, :, :, 2, :, SIDE:]
    of_frame[:, 1] += 0.3
    of_frame[:, 2] -= 0.3
    differs = (drawn(backbone, other, known) - before).abs().amax(dim=(0, 1, 3, 4)) > 1e-4
    assert differs.nonzero().flatten().tolist() == [2 * GROUP + 1, 2 * GROUP + 2]
    of_frame[:, 2] += 0.3  # the mean is another one now
    differs = (drawn(backbone, other, known) - before).abs().amax(dim=(0, 1, 3, 4)) > 1e-4
    assert differs[GROUP:].all() and not differs[:GROUP].any()


@torch.no_grad()
def test_pure_noise_is_not_read_and_less_of_it_is():
    backbone, (latents, known) = new_model(trained=True), composite()
    for sigma, same in ((1.0, True), (0.5, False)):
        one, other = (drawn(backbone, latents, known, sigma, seed) for seed in (3, 4))
        assert torch.allclose(one, other, atol=1e-4) == same


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
    for t in range(GROUP, 2 * GROUP):
        pair = frames[:, :, [0, t]]
        noisy = torch.zeros_like(pair)
        noisy[..., SIDE:] = frames[:, :, :1, :, SIDE:]
        mask = torch.zeros(1, 1, 2, SIDE, 2 * SIDE)
        mask[:, :, 0], mask[..., SIDE:] = 1, 1
        place = where_it_stands((2, SIDE, 2 * SIDE), SIDE)[None]
        answers = stock(
            hidden_states=torch.cat([noisy, pair, mask, place], dim=1),
            timestep=torch.full((1,), 1000.0),
            encoder_hidden_states=text.prompt_embeds,
            encoder_attention_mask=text.prompt_embeds_mask,
            encoder_hidden_states_2=text.prompt_embeds_2,
            encoder_attention_mask_2=text.prompt_embeds_mask_2,
            image_embeds=text.image_embeds,
            return_dict=False,
        )[0][:, :, 1, :, :SIDE]
        cells = torch.arange(SIDE * SIDE)[None]
        change, *_ = Brush(backbone.vae).paint(answers.flatten(2), cells, reference)
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
def test_cells_that_are_left_out_are_neither_read_nor_drawn():
    backbone, (latents, known) = new_model(trained=True), composite(2)
    keep = torch.arange(4 * SIDE * SIDE).view(2, SIDE, 2 * SIDE)[:, 1:].flatten()
    tokens = keep.expand(1, 1, -1)
    before = drawn(backbone, latents, known, tokens=tokens)
    other = latents.clone()
    other[:, :, :, 0, SIDE:] += 1  # the driver's top row
    torch.testing.assert_close(drawn(backbone, other, known, tokens=tokens), before)
    still = split_frames(latents)[:, :, :1, 0, :SIDE]
    torch.testing.assert_close(before[:, :, :, 0], still.expand_as(before[:, :, :, 0]))


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
    place = where_it_stands((2, 4, 4), 2)
    row, column, left = 3, 1, 0
    assert place[:2, 1, row, column].tolist() == [0.75, 0.5]  # the middle of the cell, in [-1, 1]
    torch.testing.assert_close(place[:18, 1, row, column], place[:18, 1, row, column + 2])
    torch.testing.assert_close(place[:18, 0], place[:18, 1])
    down = math.pi * 7 / 8  # half a wave a panel, then one, two and four
    waves = [math.sin(down), math.sin(2 * down), math.sin(4 * down), math.sin(8 * down)]
    torch.testing.assert_close(place[2:10:2, 1, row, column], torch.tensor(waves))
    kinds = [place[18:, frame, row, at].tolist() for frame, at in ((0, left), (1, left), (1, 2))]
    assert kinds == [[1, 0, 0], [0, 1, 0], [0, 0, 1]]


# The brush: what becomes of the answers


def lossless() -> MiniVAE:
    """The code of a cell is its 192 values."""
    pixels = 3 * PATCH * PATCH
    vae = MiniVAE(latent_channels=GROUP * pixels, channels=(8, 8, 8), blocks=(1, 1, 1))
    vae.set_linear_code(torch.zeros(pixels), torch.eye(pixels), torch.ones(pixels))
    return vae


def painted(shows: int, move: list[float], code: float = 0.0):
    """A random picture (1, 3, 32, 32) and what the brush makes of all its cells when one thing
    alone shows (0 drawn anew, 1 still, 2 and 3 the copies) and the last copy is moved."""
    vae, generator = lossless(), torch.Generator().manual_seed(5)
    picture = torch.rand(1, 3, 4 * PATCH, 4 * PATCH, generator=generator)
    reference, channels = vae.code(picture), vae.config.latent_channels // GROUP
    answers = torch.zeros(1, Brush.answers(channels), 16)
    answers[:, :channels] = code
    answers[:, channels + 6 : channels + 12] = torch.tensor(move)[:, None]
    answers[:, channels + 12 :].view(1, -1, 2 + Brush.COPIES, 16)[:, :, shows] = 50.0
    change, *_ = Brush(vae).paint(answers, torch.arange(16)[None], reference)
    return picture, vae.uncode(reference + change.view_as(reference))


@torch.no_grad()
def test_a_copy_is_the_reference_elsewhere():
    shift = 3  # pixels
    picture, made = painted(3, [shift / Brush.REACH, 0, 0, 0, 0, 0])
    torch.testing.assert_close(made[..., :-shift], picture[..., shift:], atol=1e-4, rtol=0)
    edge = picture[..., -1:].expand(-1, -1, -1, shift)  # beyond it
    torch.testing.assert_close(made[..., -shift:], edge, atol=1e-4, rtol=0)


@torch.no_grad()
def test_a_copy_between_pixels_is_their_mean():
    picture, made = painted(3, [0, 0.5 / Brush.REACH, 0, 0, 0, 0])
    want = (picture[:, :, :-1] + picture[:, :, 1:]) / 2
    torch.testing.assert_close(made[:, :, :-1], want, atol=1e-4, rtol=0)


@torch.no_grad()
def test_a_copy_is_turned_about_the_middle_of_its_cell():
    # x' = y and y' = -x: the picture is read along a quarter turn.
    picture, made = painted(3, [0, 0, -1, 1, -1, -1])
    for row, column in ((0, 0), (2, 3)):
        cell = (
            ...,
            slice(PATCH * row, PATCH * row + PATCH),
            slice(PATCH * column, PATCH * column + PATCH),
        )
        turned = torch.rot90(picture[cell], -1, (2, 3))
        torch.testing.assert_close(made[cell], turned, atol=1e-4, rtol=0)


@torch.no_grad()
@pytest.mark.parametrize("shows", [Brush.STILL, 2])
def test_what_stands_still_and_a_copy_that_is_not_moved_are_the_reference(shows):
    picture, made = painted(shows, [0.3, 0, 0, 0, 0, 0], code=1.0)
    torch.testing.assert_close(made, picture, atol=1e-4, rtol=0)


def cell_means(picture: torch.Tensor) -> torch.Tensor:
    means = torch.nn.functional.avg_pool2d(picture, PATCH)
    return means.repeat_interleave(PATCH, dim=2).repeat_interleave(PATCH, dim=3)


@torch.no_grad()
def test_what_is_drawn_anew_begins_with_the_mean_colour_of_the_cell():
    picture, made = painted(Brush.DRAWN, [0] * 6, code=0.25)
    torch.testing.assert_close(made, cell_means(picture) + 0.25, atol=1e-4, rtol=0)


@torch.no_grad()
def test_shares_are_mixed():
    """Even scores: a quarter each of new, the same, the same once more, and the picture moved."""
    vae, picture = lossless(), torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(6))
    reference = vae.code(picture)
    answers = torch.zeros(1, Brush.answers(192), 16)
    answers[:, :192] = 0.25
    answers[:, 198] = 8 / Brush.REACH
    change, scores, sources = Brush(vae).paint(answers, torch.arange(16)[None], reference)
    assert scores.shape == (1, 16, 64, 4) and torch.allclose(scores, torch.tensor(-math.log(4)))
    assert sources.shape == (1, 16, 2, 64, 2)
    torch.testing.assert_close(sources[0, 5, 0, 0], torch.tensor([8.5, 8.5]))
    torch.testing.assert_close(sources[0, 5, 1, 9], torch.tensor([17.5, 9.5]))
    made = vae.uncode(reference + change.view_as(reference))
    want = (cell_means(picture) + 0.25 + 2 * picture + picture.roll(-8, 3)) / 4
    torch.testing.assert_close(made[..., :-8], want[..., :-8], atol=1e-4, rtol=0)
