"""Reference and driver as tokens without noise: against the stock networks, kept against anew."""

import pytest
import torch

from dreamactor_core.animate import animate_pass, composite_latents
from dreamactor_core.backbones import Context, Text
from dreamactor_core.backbones.attention import joint_attention
from dreamactor_core.backbones.tokens import ConditionMemory
from dreamactor_core.backbones.wan import token_timesteps
from dreamactor_core.composite import crop_driving, crop_target
from dreamactor_core.options import LAYOUTS
from dreamactor_core.sampling import SampleSettings

from .streams import WORDS, Given, backbone_of
from .tiny import fixed_text

KINDS = ("hunyuan", "i2v", "a14b", "ti2v")
PANELS, TOKENS, ONE_WAY = LAYOUTS


@pytest.mark.parametrize("kind", KINDS)
def test_without_conditions_the_network_is_the_stock_one_to_the_last_bit(kind):
    given = Given(kind, PANELS)
    left = Context(*(part[..., : given.half] for part in given.context))
    alone = given.latents[..., : given.half]
    want = given.velocity(latents=alone, context=left)
    for layout in (TOKENS, ONE_WAY):
        given.backbone.lay_out(layout)
        answer = given.backbone._answer
        network = () if kind == "hunyuan" else (given.backbone.transformer,)
        options = {"sigmas": None} if kind == "hunyuan" else {}
        with torch.no_grad():
            got = answer(*network, alone, torch.full((1,), 0.95), left, given.text, **options)
        assert torch.equal(got, want)
    given.backbone.lay_out(PANELS)
    assert torch.equal(given.velocity(latents=alone, context=left), want)


@pytest.mark.parametrize("kind", ["i2v", "ti2v"])
@torch.no_grad()
def test_both_ways_is_the_stock_network_with_tokens_appended_at_timestep_0(kind):
    """Wan's takes a timestep for each token: the clean ones behind the target's in time, with the
    positions of the target's own."""
    given = Given(kind)
    network, half = given.backbone.transformer, given.half
    left = Context(*(part[..., :half] for part in given.context))
    driver = given.context.latents[..., half:]
    clean = torch.cat([left.latents[:, :, :1], driver[:, :, 1:]], dim=2)
    noisy, timestep = given.latents[..., :half], torch.tensor([950.0])
    if kind == "ti2v":
        target = left.known * left.latents + (1 - left.known) * noisy
        appended, unknown = torch.cat([target, clean], dim=2), 1 - left.known
    else:
        target = torch.cat([noisy, left.known, left.latents], dim=1)
        beside = torch.cat([clean, torch.ones_like(left.known), clean], dim=1)
        appended, unknown = torch.cat([target, beside], dim=2), torch.ones_like(left.known)
    times = token_timesteps(timestep, torch.cat([unknown, torch.zeros_like(unknown)], dim=2))

    def again(_, inputs, freqs):
        return tuple(part[:, : part.shape[1] // 2].repeat(1, 2, 1, 1) for part in freqs)

    hook = network.rope.register_forward_hook(again)
    want = network(appended, times, given.text.prompt_embeds, given.text.image_embeds
                   if network.config.image_dim else None, return_dict=False)[0]  # fmt: skip
    hook.remove()
    got = given.velocity()[..., :half]
    unknown = unknown[:, :1].bool().expand_as(got)
    torch.testing.assert_close(got[unknown], want[:, :, :3][unknown], atol=1e-5, rtol=1e-4)


@torch.no_grad()
def test_of_hunyuanvideo_two_equal_streams_weigh_each_picture_token_twice():
    """At noise level 0 a target that is the conditions themselves: each stream attends as the plain
    network does whose picture keys count double."""
    given = Given("hunyuan")
    half, clean = given.half, given.context.latents
    same = torch.cat([clean[:, :, :1, :, :half], clean[:, :, 1:, :, half:]], dim=2)
    context = Context(same.repeat(1, 1, 1, 1, 2), torch.ones(1, 1, 3, 2, 4))
    got = given.velocity(0.0, latents=context.latents, context=context)[..., :half]
    given.backbone.lay_out(PANELS)
    given.backbone.drop_padding()
    pictures = same[0, 0].numel()
    bias = torch.zeros(pictures + WORDS)
    bias[:pictures] = torch.log(torch.tensor(2.0))

    class Twice:
        def __call__(
            self, attn, hidden_states, encoder_hidden_states, attention_mask, image_rotary_emb
        ):
            streams = hidden_states, encoder_hidden_states
            mask = bias.expand(1, 1, len(bias), -1)
            return joint_attention(attn, *streams, image_rotary_emb, mask=mask)

    for block in given.backbone.transformer.transformer_blocks:
        block.attn.set_processor(Twice())
    left = Context(same, torch.ones(1, 1, 3, 2, 2))
    want = given.velocity(0.0, latents=same, context=left)
    torch.testing.assert_close(got, want, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_kept_conditions_answer_as_those_computed_anew(kind):
    """At both experts' levels; what was kept is not computed again."""
    given = Given(kind, ONE_WAY)
    memory = ConditionMemory()
    for sigma in (0.95, 0.9, 0.4, 0.1):
        want = given.velocity(sigma)
        got = given.velocity(sigma, memory=memory)
        torch.testing.assert_close(got, want, atol=1e-5, rtol=1e-4)
    last = given.backbone.transformer_2 if kind == "a14b" else given.backbone.transformer
    assert memory.network is last and len(memory.kept) == 2  # of two blocks, of one expert
    shapes = {part.shape[:2] for pair in memory.kept.values() for part in pair}
    assert shapes == {(1, 3 * 4)}
    for pair in memory.kept.values():
        pair[1].zero_()
    assert not torch.allclose(given.velocity(0.1, memory=memory), got, atol=1e-4)


@pytest.mark.parametrize("layout", [TOKENS, ONE_WAY])
@pytest.mark.parametrize("kind", ["hunyuan", "i2v"])
def test_the_target_reads_its_conditions_and_one_way_they_read_nothing_else(kind, layout):
    given, other = Given(kind, layout), Given(kind, layout, driver=1)
    half = given.half
    changed = given.velocity() - given.velocity(context=other.context)
    assert (changed[..., :half].abs().amax(dim=(0, 1, 3, 4)) > 1e-6).all()  # in every latent frame
    seen = []
    attend = given.backbone.exchange.attend

    def watch(attn, query, *rest, **options):
        answer = attend(attn, query, *rest, **options)
        seen.append(answer[1])
        return answer

    given.backbone.exchange.attend = watch
    given.velocity()
    given.velocity(latents=given.latents + 1, sigma=0.5)
    same = [torch.equal(a, b) for a, b in zip(seen[:2], seen[2:], strict=True)]
    assert same == [layout == ONE_WAY] * 2


@pytest.mark.parametrize("kind", ["hunyuan", "i2v", "ti2v"])
def test_panels_are_encoded_apart_and_the_right_one_flows_to_what_is_given(kind):
    given = Given(kind)
    latents = composite_latents(given.backbone, given.composite)
    with torch.no_grad():
        right = given.backbone.encode_video(crop_driving(given.composite.frames))
        slot = given.backbone.encode_video(crop_target(given.composite.frames[:1]))
    assert torch.equal(latents[..., given.half :], right)
    torch.testing.assert_close(latents[:, :, :1, :, : given.half], slot, atol=1e-5, rtol=1e-4)
    flow = given.velocity(0.25)[..., given.half :]
    assert torch.equal(flow, (given.latents[..., given.half :] - right) / 0.25)


@pytest.mark.parametrize("kind", ["hunyuan", "a14b"])
def test_a_whole_pass_with_kept_conditions_is_the_pass_without(kind, monkeypatch):
    """With guidance of text and driver: three branches, each with its own."""
    backbone = backbone_of(kind)
    backbone.lay_out(ONE_WAY)
    torch.manual_seed(7)
    reference, driving = torch.rand(1, 32, 32, 3), torch.rand(6, 32, 32, 3)
    settings = SampleSettings(2, 2.0, 1.5, seed=3)
    kept = animate_pass(backbone, reference, driving, "waves", settings)
    velocity = backbone.velocity
    monkeypatch.setattr(backbone, "velocity", lambda *a, memory, **k: velocity(*a, **k))
    anew = animate_pass(backbone, reference, driving, "waves", settings)
    torch.testing.assert_close(kept, anew, atol=1e-4, rtol=1e-4)
    assert kept.shape == (6, 32, 32, 3) and kept.std() > 0.01


def test_a_batch_of_two_is_each_of_them():
    given = Given("i2v", ONE_WAY)
    noise = torch.randn_like(given.latents)
    both = given.velocity(latents=torch.cat([given.latents, noise]))
    texts = Text(*(torch.cat(pair) for pair in zip(given.text, fixed_text(["b"], None))))  # noqa: B905
    other = given.velocity(latents=torch.cat([given.latents, noise]), text=texts)
    torch.testing.assert_close(both[1:], given.velocity(latents=noise), atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(other[:1], both[:1], atol=1e-5, rtol=1e-4)
    assert not torch.allclose(other[1:], both[1:], atol=1e-3)
