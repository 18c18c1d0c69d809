from functools import partial

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import ByT5Tokenizer

from dreamactor_core.backbones import Context, Text
from dreamactor_core.backbones.hunyuan15 import HunyuanVideo15TextEncoder
from dreamactor_core.errors import InputError
from dreamactor_core.mini.text import LENGTH_STEP, MAX_BYTES, byte_ids
from dreamactor_core.sampling import flow_sigmas, sample

from .tiny import tiny_backbone, tiny_hunyuan_pipeline

FRAMES, SIDE, STEPS, SHIFT = 9, 32, 3, 5.0


class Setting:
    """One image, one prompt and one noise, for the stock pipeline and for us."""

    def __init__(self, use_meanflow: bool = False):
        self.backbone = tiny_backbone(target_size=SIDE, use_meanflow=use_meanflow)
        self.image = Image.fromarray(
            np.random.default_rng(0).integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)
        )
        self.pipeline = tiny_hunyuan_pipeline(self.backbone, SHIFT)
        torch.manual_seed(3)
        self.noise = torch.randn(1, 8, 3, SIDE // 16, SIDE // 16)
        with torch.no_grad():
            image_embeds = self.pipeline.encode_image(self.image, 1, "cpu", torch.float32)
        self.text = Text(
            prompt_embeds=torch.randn(1, 5, 24),
            prompt_embeds_mask=torch.tensor([[1, 1, 1, 0, 0]]),
            prompt_embeds_2=torch.randn(1, 3, 8),
            prompt_embeds_mask_2=torch.tensor([[1, 1, 0]]),
            image_embeds=image_embeds,
        )

    def stock(self) -> torch.Tensor:
        return self.pipeline(
            image=self.image,
            num_frames=FRAMES,
            num_inference_steps=STEPS,
            latents=self.noise,
            prompt_embeds=self.text.prompt_embeds,
            prompt_embeds_mask=self.text.prompt_embeds_mask,
            prompt_embeds_2=self.text.prompt_embeds_2,
            prompt_embeds_mask_2=self.text.prompt_embeds_mask_2,
            output_type="latent",
            return_dict=False,
        )[0]

    def first_frame(self) -> torch.Tensor:
        return torch.tensor(np.asarray(self.image)).float()[None] / 255

    @torch.no_grad()
    def context(self) -> Context:
        """A single panel of which only frame 0 is given; what lies behind it must not matter."""
        latents = torch.randn(1, 8, 3, SIDE // 16, SIDE // 16)
        latents[:, :, :1] = self.backbone.encode_video(self.first_frame())
        known = torch.zeros(FRAMES, SIDE, SIDE, 1)
        known[0] = 1
        return self.backbone.context(latents, known)

    @torch.no_grad()
    def ours(self, context: Context, shift: float = SHIFT) -> torch.Tensor:
        def velocity(latents, sigma):
            return self.backbone.velocity(latents, sigma, context, self.text)

        return sample(velocity, self.noise, flow_sigmas(STEPS, shift), "euler")


@pytest.fixture(scope="module")
def setting():
    return Setting()


@pytest.fixture(scope="module")
def stock(setting):
    return setting.stock()


def test_first_frame_mask_gives_the_stock_pipeline_to_the_last_bit(setting, stock):
    assert torch.equal(setting.ours(setting.context()), stock)


@torch.no_grad()
def test_a_step_distilled_network_is_told_where_each_step_ends():
    setting = Setting(use_meanflow=True)
    sigmas = flow_sigmas(STEPS, SHIFT)
    velocity = partial(setting.backbone.velocity, context=setting.context(), text=setting.text)
    ours = sample(partial(velocity, sigmas=sigmas), setting.noise, sigmas, "euler")
    assert setting.backbone.step_distilled
    assert torch.equal(ours, setting.stock())
    # Without the schedule it answers with the velocity at sigma, which differs from the mean one.
    assert not torch.allclose(sample(velocity, setting.noise, sigmas, "euler"), ours, atol=1e-4)


@torch.no_grad()
def test_dropping_the_padding_changes_nothing_but_rounding(setting):
    want = setting.ours(setting.context())
    dropped = Setting()
    dropped.backbone.drop_padding()
    masks = []
    block = dropped.backbone.transformer.transformer_blocks[0]
    block.register_forward_pre_hook(lambda _, inputs: masks.append(inputs[3]))
    got = dropped.ours(dropped.context())
    assert torch.allclose(got, want, atol=1e-5)
    assert all(mask.all() for mask in masks) and masks[0].shape == (1, 4 + 2 + 3)
    with pytest.raises(AssertionError, match="one prompt at a time"):
        two = Text(*(part.repeat_interleave(2, dim=0) for part in dropped.text))
        dropped.backbone.velocity(dropped.noise, torch.ones(()), dropped.context(), two)


@torch.no_grad()
def test_prompt_and_reference_are_encoded_as_in_the_stock_pipeline(setting):
    prompt = 'a bird waves, a sign says "go"'
    stock = setting.pipeline(
        image=setting.image,
        prompt=prompt,
        num_frames=FRAMES,
        num_inference_steps=STEPS,
        latents=setting.noise,
        output_type="latent",
        return_dict=False,
    )[0]
    encoder = HunyuanVideo15TextEncoder(setting.pipeline)
    text = encoder([prompt], setting.first_frame())
    assert text.prompt_embeds.shape == (1, 1000, 24) and text.image_embeds.shape == (1, 4, 8)
    assert text.prompt_embeds_mask_2.sum() > 10  # the quoted word reaches ByT5
    velocity = partial(setting.backbone.velocity, context=setting.context(), text=text)
    ours = sample(velocity, setting.noise, flow_sigmas(STEPS, SHIFT), "euler")
    assert torch.equal(ours, stock)
    assert encoder(["a", "b"], None).image_embeds.shape == (2, 0, 8)


@torch.no_grad()
def test_frame_0_of_a_clip_has_the_latent_of_the_picture_alone(setting):
    # Only up to rounding: a longer clip takes other convolution kernels. Hence, above, the latent
    # of the picture itself for a comparison of bits.
    clip = torch.cat([setting.first_frame(), torch.rand(FRAMES - 1, SIDE, SIDE, 3)])
    alone = setting.backbone.encode_video(setting.first_frame())
    in_clip = setting.backbone.encode_video(clip)
    assert torch.allclose(in_clip[:, :, :1], alone, atol=1e-5)


def test_another_polarity_order_blank_or_sigma_would_be_noticed(setting, stock):
    context = setting.context()
    unblanked = Context(context.latents + (1 - context.known) * 0.01, context.known)
    swapped = Context(context.known, context.latents)  # the same 9 channels, mask first
    inverted = Context(context.latents, 1 - context.known)
    for wrong in (unblanked, swapped, inverted):
        assert not torch.allclose(setting.ours(wrong), stock, atol=1e-4)
    assert not torch.allclose(setting.ours(context, shift=4.9), stock, atol=1e-4)


def test_context_zeroes_unknown_cells_and_keeps_known_ones():
    backbone = tiny_backbone()
    latents = torch.randn(1, 8, 2, 2, 4)
    known = torch.zeros(5, 32, 64, 1)
    known[0], known[:, :, 32:] = 1, 1
    context = backbone.context(latents, known)
    want = torch.ones(1, 1, 2, 2, 4)
    want[:, :, 1, :, :2] = 0
    assert torch.equal(context.known, want)
    assert torch.equal(context.latents, latents * want)
    assert torch.equal(backbone.context(latents, known[:, ::16, ::16]).known, want)


@torch.no_grad()
def test_velocity_of_a_batch_is_that_of_each_sample():
    backbone = tiny_backbone()
    torch.manual_seed(5)
    latents, sigma = torch.randn(2, 8, 2, 2, 4), torch.tensor([0.3, 0.9])
    context = Context(torch.randn(1, 8, 2, 2, 4), torch.ones(1, 1, 2, 2, 4))
    text = backbone.encode_text(["walks", "jumps twice"], None)
    both = backbone.velocity(latents, sigma, context, text)
    for i in range(2):
        alone = Text(*(part[i : i + 1] for part in text))
        one = backbone.velocity(latents[i : i + 1], sigma[i], context, alone)
        assert torch.allclose(both[i : i + 1], one, atol=1e-5)
    assert not torch.allclose(both[:1], both[1:], atol=1e-2)


def test_velocity_trains_the_transformer_and_the_text_encoder():
    backbone = tiny_backbone()
    context = Context(torch.zeros(1, 8, 2, 2, 4), torch.zeros(1, 1, 2, 2, 4))
    text = backbone.encode_text(["waves"], None)
    velocity = backbone.velocity(torch.randn(1, 8, 2, 2, 4), torch.tensor(0.5), context, text)
    velocity.square().mean().backward()
    for layer in (backbone.transformer.x_embedder.proj, backbone.text_encoder.t5.shared):
        assert layer.weight.grad.abs().sum() > 0


def test_ids_are_those_of_byt5():
    tokenizer = ByT5Tokenizer()
    for prompt in ("", "a", "hé, 跳舞"):
        assert byte_ids(prompt) == tokenizer(prompt).input_ids
    assert byte_ids("a") == [ord("a") + 3, 1]


@torch.no_grad()
def test_network_runs_in_its_own_precision_and_answers_in_that_of_the_latents():
    backbone = tiny_backbone()
    latents = torch.randn(1, 8, 2, 2, 4)
    context = Context(torch.randn(1, 8, 2, 2, 4), torch.ones(1, 1, 2, 2, 4))
    text = backbone.encode_text(["waves"], None)
    exact = backbone.velocity(latents, torch.tensor(0.5), context, text)
    backbone.transformer.bfloat16()
    rounded = backbone.velocity(latents, torch.tensor(0.5), context, text)
    assert rounded.dtype == torch.float32
    assert (rounded - exact).abs().max() < 0.1 * exact.abs().max()


@torch.no_grad()
def test_text_is_bytes_padded_to_whole_steps_and_cut_with_a_warning(caplog):
    encoder = tiny_backbone().text_encoder
    embeds, mask = encoder.encode(["", "hé"])  # 0 and 3 bytes, and the end token
    assert embeds.shape == (2, LENGTH_STEP, 24)
    assert mask[:, :5].tolist() == [[1, 0, 0, 0, 0], [1, 1, 1, 1, 0]]
    assert mask.sum(dim=1).tolist() == [1, 4]
    longer, _ = encoder.encode(["", "x" * LENGTH_STEP])  # the end token opens a second step
    assert longer.shape == (2, 2 * LENGTH_STEP, 24)
    assert torch.allclose(embeds[:1, :1], longer[:1, :1], atol=1e-5)
    assert not caplog.records
    long, _ = encoder.encode(["x" * MAX_BYTES + "tail"])
    assert torch.equal(long, encoder.encode(["x" * MAX_BYTES])[0])
    assert "99 bytes; only the first 95" in caplog.text


@torch.no_grad()
def test_empty_streams_equal_streams_that_are_masked_out():
    backbone = tiny_backbone()
    latents = torch.randn(1, 8, 2, 2, 4)
    context = Context(torch.zeros(1, 8, 2, 2, 4), torch.zeros(1, 1, 2, 2, 4))
    text = backbone.encode_text(["waves"], None)
    assert text.prompt_embeds_2.shape == (1, 0, 8) and text.image_embeds.shape == (1, 0, 8)
    masked = text._replace(
        prompt_embeds_2=torch.zeros(1, 1, 8),
        prompt_embeds_mask_2=torch.zeros(1, 1, dtype=torch.long),
        image_embeds=torch.zeros(1, 1, 8),
    )
    sigma = torch.tensor(0.5)
    assert torch.allclose(
        backbone.velocity(latents, sigma, context, text),
        backbone.velocity(latents, sigma, context, masked),
        atol=1e-6,
    )


@torch.no_grad()
def test_frames_map_to_plus_minus_one_and_back_with_the_scaling_factor():
    backbone = tiny_backbone()
    frames = torch.rand(5, 32, 64, 3)
    pixels = frames.permute(3, 0, 1, 2)[None] * 2 - 1
    plain = backbone.vae.encode(pixels).latent_dist.mode()
    factor = backbone.vae.config.scaling_factor
    latents = backbone.encode_video(frames)
    assert latents.shape == (1, 8, 2, 2, 4)
    assert torch.allclose(latents, plain * factor)
    decoded = backbone.vae.decode(plain).sample[0].permute(1, 2, 3, 0) / 2 + 0.5
    assert torch.allclose(backbone.decode_video(latents), decoded.clamp(0, 1), atol=1e-5)
    with pytest.raises(InputError, match=r"got 6, need 4k \+ 1. Use 5"):
        backbone.encode_video(torch.rand(6, 32, 32, 3))
