"""The small model's transformer: HunyuanVideo-1.5's blocks over the tokens that it is given."""

from __future__ import annotations

from functools import wraps

import torch
from diffusers import HunyuanVideo15Transformer3DModel
from torch import Tensor
from torch.nn.functional import pad

from ..backbones import TRAIN_TIMESTEPS
from ..backbones.attention import JointAttention
from .eye import Eye
from .rig import Rig

Grid = tuple[int, int, int]  # frames, rows and columns of cells


class MiniTransformer3DModel(HunyuanVideo15Transformer3DModel):
    """The stock network, but for what goes in and out: a list of tokens instead of a whole grid,
    and no streams of ByT5 and of an image encoder, which would be 5 M weights never used.

    It holds the eye and the rig as well, so that one file has all weights. Its clock stands at pure
    noise: it is a regressor, see MiniBackbone.
    """

    _supports_gradient_checkpointing = False

    @wraps(HunyuanVideo15Transformer3DModel.__init__)  # type: ignore[misc] # its signature is read
    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.context_embedder_2 = self.image_embedder = None
        self.eye, self.rig = Eye(), Rig()
        attention = TokenAttention()
        for block in self.transformer_blocks:
            block.attn.set_processor(attention)

    def positions(self, grid: Grid, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """Rotary embedding of tokens (k,) or (b, k), indices into a grid: cos and sin, (k, d) or
        (b, k, d)."""
        cos, sin = self.rope(torch.empty(1, 1, *grid, device=tokens.device))
        return cos[tokens], sin[tokens]

    def forward(
        self, tokens: Tensor, positions: tuple[Tensor, Tensor], text: Tensor, text_mask: Tensor
    ) -> Tensor:
        """Tokens (b, c, k), their positions, a prompt (b, l, d) and its mask (b, l), 1 where there
        is a word -> answers (b, c', k)."""
        text_mask = text_mask.bool()
        clock = torch.full((len(tokens),), float(TRAIN_TIMESTEPS)).to(tokens)
        time = self.time_embed(clock)
        picture = self.x_embedder(tokens[:, :, None, None])
        words = self.context_embedder(text, clock, text_mask)
        words = words + self.cond_type_embed(torch.zeros_like(words[:, :, 0], dtype=torch.long))
        words = words.masked_fill(~text_mask[..., None], 0)
        mask = None if text_mask.all() else text_mask
        for block in self.transformer_blocks:
            picture, words = block(picture, words, time, mask, positions)
        return self.proj_out(self.norm_out(picture, time)).transpose(1, 2)


class TokenAttention(JointAttention):
    """Positions of each sample's own; words that are padding are masked, for each of them."""

    def mask_of(self, words: Tensor | None, tokens: int) -> Tensor | None:
        if words is None:
            return None
        return pad(words, (tokens, 0), value=True)[:, None, None]
