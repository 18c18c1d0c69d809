"""Attention of a picture's tokens and a text's, joined, for HunyuanVideo-1.5's kind of block."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from diffusers.models.attention_dispatch import dispatch_attention_fn
from torch import Tensor, nn


class JointAttention:
    """diffusers' attention processor without a mask of tokens x tokens: every token counts."""

    _attention_backend = None
    _parallel_config = None

    def __call__(
        self,
        attn: nn.Module,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor,
        attention_mask: Tensor | None,
        image_rotary_emb: tuple[Tensor, Tensor],
    ) -> tuple[Tensor, Tensor]:
        return joint_attention(
            attn,
            hidden_states,
            encoder_hidden_states,
            image_rotary_emb,
            mask=self.mask_of(attention_mask, hidden_states.shape[1]),
            backend=self._attention_backend,
        )

    def mask_of(self, words: Tensor | None, tokens: int) -> Tensor | None:
        """words: mask (b, m) of a prompt; tokens: how many the picture has. -> joint_attention's
        mask."""
        return None


def joint_attention(
    attn: nn.Module,
    picture: Tensor,
    words: Tensor,
    freqs: tuple[Tensor, Tensor],
    *,
    mask: Tensor | None = None,
    backend: str | None = None,
    attend: Callable[[Tensor, Tensor, Tensor], Tensor] | None = None,
) -> tuple[Tensor, Tensor]:
    """Tokens (b, l, d) and words (b, m, d) -> the same. attn: diffusers' Attention; freqs: cos and
    sin as for rotate; mask, broadcast to (b, heads, l + m, l + m): what may be attended to; attend:
    in place of both, heads (b, l + m, n, d) of query, key, value -> the same."""
    query, key, value = (
        layer(picture).unflatten(2, (attn.heads, -1)) for layer in (attn.to_q, attn.to_k, attn.to_v)
    )
    query, key = (
        rotate(norm(heads), freqs) for norm, heads in ((attn.norm_q, query), (attn.norm_k, key))
    )
    of_words = [
        layer(words).unflatten(2, (attn.heads, -1))
        for layer in (attn.add_q_proj, attn.add_k_proj, attn.add_v_proj)
    ]
    of_words[:2] = attn.norm_added_q(of_words[0]), attn.norm_added_k(of_words[1])
    # Under autocast norms answer in float32 and layers do not.
    joint = (
        torch.cat(pair, dim=1).to(value.dtype)
        for pair in zip((query, key, value), of_words, strict=True)
    )
    if attend is None:
        attend = partial(dispatch_attention_fn, attn_mask=mask, backend=backend)
    answer = attend(*joint)
    picture, words = answer.flatten(2).split([picture.shape[1], words.shape[1]], dim=1)
    return attn.to_out[1](attn.to_out[0](picture)), attn.to_add_out(words)


def rotate(heads: Tensor, freqs: tuple[Tensor, Tensor]) -> Tensor:
    """Rotary embedding of heads (b, l, n, d) by cos and sin, (l, d), or (b, l, d) for each sample.

    As diffusers' apply_rotary_emb, which knows the first alone.
    """
    cos, sin = (part.unsqueeze(-2) for part in freqs)
    real, imaginary = heads.unflatten(-1, (-1, 2)).unbind(-1)
    turned = torch.stack([-imaginary, real], dim=-1).flatten(-2)
    return (heads.float() * cos + turned.float() * sin).to(heads.dtype)
