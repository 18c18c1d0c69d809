from functools import partial

import numpy as np
import pytest
import torch
from PIL import Image

from dreamactor_core.animate import animate_pass
from dreamactor_core.backbones import Context, paint_blank
from dreamactor_core.backbones.wan import WanTextEncoder, pack_mask
from dreamactor_core.composite import build_composite
from dreamactor_core.errors import InputError
from dreamactor_core.sampling import SampleSettings, sample

from .tiny import fixed_text, tiny_wan, tiny_wan_pipeline

FRAMES, SIDE, STEPS, SHIFT = 9, 32, 4, 5.0
KINDS = ("i2v", "a14b", "ti2v")


class Setting:
    """One picture, one prompt and one noise, for the stock pipeline and for us."""

    def __init__(self, kind: str):
        self.backbone = tiny_wan(kind)
        self.pipeline = tiny_wan_pipeline(self.backbone, SHIFT)
        picture = np.random.default_rng(0).integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)
        self.image = Image.fromarray(picture)
        self.text = fixed_text(["walks"], None)
        if kind == "i2v":
            with torch.no_grad():
                image_embeds = self.pipeline.encode_image(self.image, "cpu")
            self.text = self.text._replace(image_embeds=image_embeds)
        geometry = self.backbone.geometry
        size = SIDE // geometry.spatial_stride
        torch.manual_seed(3)
        self.noise = torch.randn(1, geometry.latent_channels, 3, size, size)
        self.stock = self.pipeline(
            image=self.image,
            height=SIDE,
            width=SIDE,
            num_frames=FRAMES,
            num_inference_steps=STEPS,
            guidance_scale=1.0,
            latents=self.noise,
            prompt_embeds=self.text.prompt_embeds,
            output_type="latent",
            return_dict=False,
        )[0]
        self.sigmas = self.pipeline.scheduler.sigmas.clone()

    @torch.no_grad()
    def context(self) -> Context:
        """A single panel of which only frame 0 is given; what lies behind it must not matter."""
        frames = torch.rand(FRAMES, SIDE, SIDE, 3)
        frames[0] = torch.tensor(np.asarray(self.image)).float() / 255
        known = torch.zeros(FRAMES, SIDE, SIDE, 1)
        known[0] = 1
        encode = self.backbone.encode_video
        latents = encode(paint_blank(frames, known, self.backbone.blank))
        if self.backbone.by_token:  # the stock pipeline encodes the picture alone: other rounding
            latents[:, :, :1] = encode(frames[:1])
        return self.backbone.context(latents, known)

    @torch.no_grad()
    def ours(self, context: Context, sigmas: torch.Tensor | None = None) -> torch.Tensor:
        velocity = partial(self.backbone.velocity, context=context, text=self.text)
        return sample(velocity, self.noise, self.sigmas if sigmas is None else sigmas, "euler")


@pytest.fixture(scope="module", params=KINDS)
def setting(request):
    return Setting(request.param)


def test_first_frame_mask_gives_the_stock_pipeline_to_the_last_bit(setting):
    ours, stock = setting.ours(setting.context()), setting.stock
    assert torch.equal(ours[:, :, 1:], stock[:, :, 1:])
    if setting.backbone.by_token:  # stock puts the given frame back at the end, ours flows to it
        assert torch.allclose(ours[:, :, :1], stock[:, :, :1], atol=1e-5)
    else:
        assert torch.equal(ours, stock)


def test_the_run_crosses_both_experts(setting):
    levels = setting.sigmas[:-1]
    boundary = setting.backbone.boundary_ratio
    assert (levels >= boundary).any() and (levels < boundary).any()


def test_another_polarity_order_blank_or_sigma_would_be_noticed(setting):
    context, stock = setting.context(), setting.stock
    moved = setting.sigmas.clone()
    moved[1] -= 0.02
    wrong = [
        setting.ours(context, moved),
        setting.ours(Context(context.latents, 1 - context.known)),
    ]
    if not setting.backbone.by_token:
        order = Context(context.known, context.latents)
        order = Context(*torch.cat(list(order), dim=1).split([16, 4], dim=1))  # latents, then mask
        blank = Context(context.latents + 0.01, context.known)
        wrong += [setting.ours(order), setting.ours(blank)]
    for latents in wrong:
        assert not torch.allclose(latents, stock, atol=1e-4)


def test_mask_of_a_composite_has_a_channel_for_each_frame_of_a_group():
    known = torch.zeros(5, 16, 32, 1)
    known[0], known[:, :, 16:] = 1, 1
    known[3, :8, :8] = 1  # one cell of one frame of the second group
    known[4, 8, 8] = 1  # one pixel does not make a cell
    mask = pack_mask(known, 4, 2, 4)
    want = torch.zeros(1, 4, 2, 2, 4)
    want[..., 2:], want[:, :, 0] = 1, 1
    want[:, 2, 1, 0, 0] = 1
    assert torch.equal(mask, want)
    assert torch.equal(pack_mask(want_pixels(want), 4, 2, 4), want)


def want_pixels(mask: torch.Tensor) -> torch.Tensor:
    """The mask of one value a cell that pack_mask must give back."""
    frames = mask[0].transpose(0, 1).flatten(0, 1)[3:]
    return frames[..., None]


def test_a_token_is_known_only_if_all_its_cells_are():
    backbone = tiny_wan("ti2v")
    known = torch.ones(1, 64, 64, 1)
    known[0, 0, 20] = 0  # in the second cell of the first token
    context = backbone.context(torch.randn(1, 48, 1, 4, 4), known)
    want = torch.ones(1, 1, 1, 4, 4)
    want[..., :2, :2] = 0
    assert torch.equal(context.known, want)


def test_unknown_pixels_are_painted_grey_and_half_known_ones_too():
    composite = build_composite(torch.rand(1, 4, 6, 3), torch.rand(4, 4, 6, 3), lead_in=5)
    painted = paint_blank(*composite[:2], "grey")
    assert (painted[1:, :, :6] == 0.5).all()
    assert torch.equal(painted[:, :, 6:], composite.frames[:, :, 6:])
    assert torch.equal(painted[0], composite.frames[0])
    assert torch.equal(paint_blank(*composite[:2], "zero"), composite.frames)
    half = torch.full((1, 1, 1, 1), 0.5)
    assert (paint_blank(torch.ones(1, 1, 1, 3), half, "grey") == 0.5).all()


@torch.no_grad()
@pytest.mark.parametrize("kind", ["i2v", "ti2v"])
def test_frames_are_scaled_by_the_statistics_of_the_vae_and_back(kind):
    backbone = tiny_wan(kind)
    frames = torch.rand(5, 32, 64, 3)
    plain = backbone.vae.encode(frames.permute(3, 0, 1, 2)[None] * 2 - 1).latent_dist.mode()
    config = backbone.vae.config
    mean, std = (
        torch.tensor(v)[:, None, None, None] for v in (config.latents_mean, config.latents_std)
    )
    latents = backbone.encode_video(frames)
    assert torch.allclose(latents, (plain - mean) / std, atol=1e-5)
    decoded = backbone.vae.decode(plain).sample[0].permute(1, 2, 3, 0) / 2 + 0.5
    assert torch.allclose(backbone.decode_video(latents), decoded.clamp(0, 1), atol=1e-4)


@torch.no_grad()
@pytest.mark.parametrize("kind", KINDS)
def test_velocity_of_a_batch_is_that_of_each_sample(kind):
    backbone = tiny_wan(kind)
    geometry = backbone.geometry
    torch.manual_seed(5)
    shape = (geometry.latent_channels, 2, 2, 4)
    known = torch.zeros(5, 2, 4, 1)
    known[:, :, 2:] = 1
    context = backbone.context(torch.randn(1, *shape), known)
    latents, sigma = torch.randn(2, *shape), torch.tensor([0.3, 0.8])
    text = fixed_text(["walks"], None)
    both = backbone.velocity(latents, sigma, context, text)
    for i in range(2):
        one = backbone.velocity(latents[i : i + 1], sigma[i], context, text)
        assert torch.allclose(both[i : i + 1], one, atol=1e-5)
    assert not torch.allclose(both[:1], both[1:], atol=1e-2)


def test_each_expert_answers_on_its_side_of_the_boundary():
    backbone = tiny_wan("a14b")
    asked = []
    for network in (backbone.transformer, backbone.transformer_2):
        network.register_forward_hook(lambda module, *_: asked.append(module))
    context = backbone.context(torch.zeros(1, 16, 1, 2, 2), torch.zeros(1, 2, 2, 1))
    for sigma in (1.0, 0.9, 0.899):
        backbone.velocity(
            torch.zeros(1, 16, 1, 2, 2), torch.tensor(sigma), context, fixed_text(["a"], None)
        )
    assert asked == [backbone.transformer, backbone.transformer, backbone.transformer_2]


@pytest.mark.parametrize("kind", KINDS)
def test_velocity_trains_the_transformer_on_the_unknown_cells(kind):
    backbone = tiny_wan(kind)
    shape = (1, backbone.geometry.latent_channels, 2, 2, 4)
    known = torch.zeros(5, 2, 4, 1)
    known[:, :, 2:] = 1
    context = backbone.context(torch.randn(shape), known)
    velocity = backbone.velocity(
        torch.randn(shape), torch.tensor(0.95), context, fixed_text(["a"], None)
    )
    velocity[..., :2].square().mean().backward()
    assert backbone.transformer.patch_embedding.weight.grad.abs().sum() > 0


@torch.no_grad()
@pytest.mark.parametrize("kind", KINDS)
def test_the_whole_method_runs_and_guidance_of_one_costs_one_forward(kind):
    backbone, calls = tiny_wan(kind), []
    for network in filter(None, (backbone.transformer, backbone.transformer_2)):
        network.register_forward_hook(lambda *_: calls.append(1))
    reference, driving = torch.rand(1, 32, 32, 3), torch.rand(4, 32, 32, 3)
    for scale, passes in ((1.0, 1), (5.0, 2)):
        calls.clear()
        settings = SampleSettings(num_inference_steps=3, guidance_scale=scale, shift=5.0)
        frames = animate_pass(backbone, reference, driving, "waves", settings)
        assert frames.shape == (4, 32, 32, 3) and frames.isfinite().all()
        assert len(calls) == 3 * passes


@pytest.mark.parametrize("kind", KINDS)
def test_prompt_and_reference_are_encoded_as_in_the_stock_pipeline(kind):
    pytest.importorskip("ftfy", reason="diffusers cleans Wan's prompts with ftfy")
    backbone = tiny_wan(kind)
    pipeline = tiny_wan_pipeline(backbone, SHIFT)
    backbone.text_encoder = WanTextEncoder(pipeline)
    image = Image.fromarray(
        np.random.default_rng(1).integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)
    )
    geometry = backbone.geometry
    size = SIDE // geometry.spatial_stride
    noise = torch.randn(1, geometry.latent_channels, 2, size, size)
    stock = pipeline(
        image=image,
        prompt="a bird waves",
        height=SIDE,
        width=SIDE,
        num_frames=5,
        num_inference_steps=2,
        guidance_scale=1.0,
        latents=noise,
        output_type="latent",
        return_dict=False,
    )[0]
    reference = torch.tensor(np.asarray(image)).float()[None] / 255
    known = torch.zeros(5, SIDE, SIDE, 1)
    known[0] = 1
    with torch.no_grad():
        text = backbone.encode_text(["a bird waves"], reference)
        latents = backbone.encode_video(paint_blank(reference.repeat(5, 1, 1, 1), known, "grey"))
        if backbone.by_token:
            latents[:, :, :1] = backbone.encode_video(reference)
        context = backbone.context(latents, known)
        velocity = partial(backbone.velocity, context=context, text=text)
        ours = sample(velocity, noise, pipeline.scheduler.sigmas.clone(), "euler")
    assert torch.equal(ours[:, :, 1:], stock[:, :, 1:])
    assert backbone.encode_text(["a", "b"], None).image_embeds.shape == (
        (2, 5, 8) if kind == "i2v" else (2, 0, 0)
    )


def test_a_missing_package_of_the_stock_text_encoder_is_named(monkeypatch):
    monkeypatch.setattr("dreamactor_core.backbones.wan_text.is_ftfy_available", lambda: False)
    with pytest.raises(InputError, match="text encoder of Wan: got no package ftfy"):
        WanTextEncoder(tiny_wan_pipeline(tiny_wan()))
