"""The small model before training: where its heads look, and that it begins by changing nothing."""

import torch
from diffusers.models.embeddings import apply_rotary_emb

from dreamactor_core.backbones.mini_vae import MiniVAE
from dreamactor_core.train.mini import MiniConfig, create_mini

SMALL = MiniConfig(num_attention_heads=3, num_layers=1, text_layers=1, size=64)


def new_model():
    vae = MiniVAE(latent_channels=8, channels=(8, 8, 8, 8), blocks=(1, 1, 1, 1))
    return create_mini(vae, SMALL)


@torch.no_grad()
def test_head_0_looks_at_the_same_place_of_the_right_panel_and_head_1_at_its_own():
    transformer = new_model().transformer
    frames, side = 3, SMALL.size // 16
    rope = transformer.rope(torch.zeros(1, 17, frames, side, 2 * side))
    attention = transformer.transformer_blocks[0].attn
    tokens = torch.zeros(1, frames * side * 2 * side, 192)  # no content: only the constant part
    query, key = (
        apply_rotary_emb(norm(layer(tokens).unflatten(2, (3, -1))), rope, sequence_dim=1)
        for layer, norm in ((attention.to_q, attention.norm_q), (attention.to_k, attention.norm_k))
    )
    scores = torch.einsum("bqhd,bkhd->hqk", query, key).view(3, *[frames, side, 2 * side] * 2)
    t, y, x = 1, 2, 1
    best = scores[0, t, y, x].argmax()
    assert divmod(int(best), 2 * side * side) == (t, y * 2 * side + x + side)
    for time in range(frames):
        assert int(scores[1, t, y, x, time].argmax()) == y * 2 * side + x


@torch.no_grad()
def test_a_new_model_predicts_the_reference_standing_still():
    backbone = new_model()
    latents = torch.randn(1, 8, 2, 4, 8)
    known = torch.zeros(5, 4, 8, 1)
    known[0] = 1
    context = backbone.context(latents, known)
    text = backbone.encode_text(["anything"], None)
    noise = torch.randn_like(latents)
    clean = noise - backbone.velocity(noise, torch.ones(1), context, text)
    torch.testing.assert_close(clean, latents[:, :, :1].expand_as(latents))


def test_channel_weight_is_the_size_of_a_channel_in_pixels():
    vae = MiniVAE(latent_channels=2, channels=(8, 8, 8, 8), blocks=(1, 1, 1, 1))
    components = torch.zeros(3072, 2)
    components[0, 0] = components[1, 1] = 1
    vae.set_linear_code(torch.zeros(3072), components, torch.tensor([3.0, 1.0]))
    torch.testing.assert_close(vae.channel_weight(), torch.tensor([1.5, 0.5]))
