"""The small model: HunyuanVideo-1.5's network over pairs of frames, so that it runs on any machine.

    pair t    [ reference | - ] [ frame t, to be drawn | driver at t ]      t = 1 .. 4 (t' - 1)

A latent is the codes of four frames side by side (mini_vae.split_frames), so each frame can be
drawn by itself: 16x16 tokens of 8x8 pixels a panel, and every pixel of the reference in reach of
every pixel of the answer. All frames at once would be 13,000 tokens. What one frame cannot tell,
where the driver stands on the whole, comes in where a known panel needs no noise: its noisy
channels hold the mean of the driving clip.
"""

from __future__ import annotations

from functools import wraps

import torch
from diffusers import HunyuanVideo15Transformer3DModel
from diffusers.models.transformers.transformer_hunyuan_video15 import HunyuanVideo15RotaryPosEmbed
from torch import Tensor, nn

from . import Context, Text
from .hunyuan15 import HunyuanVideo15Backbone, JointAttention
from .mini_vae import GROUP, join_frames, split_frames


class MiniTransformer3DModel(HunyuanVideo15Transformer3DModel):
    """The stock network that reads tokens instead of a grid, and has no weights it never uses.

    rope says where the tokens are that it is given (b, c, 1, 1, k). The streams of ByT5 and of the
    image encoder, which stay empty here, would be 5 M weights.
    """

    @wraps(HunyuanVideo15Transformer3DModel.__init__)
    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        config = self.config
        width = config.num_attention_heads * config.attention_head_dim
        self.context_embedder_2 = self.image_embedder = NoStream(width)
        self.rope = TokenRope(
            config.patch_size, config.patch_size_t, config.rope_axes_dim, config.rope_theta
        )
        self.attention = JointAttention()
        for block in self.transformer_blocks:
            block.attn.set_processor(self.attention)


class MiniBackbone(HunyuanVideo15Backbone):
    """The protocol of backbones/__init__.py on pairs of frames."""

    frames_per_latent = GROUP
    _tokens: Tensor | None = None

    def drop_padding(self) -> None:
        """Padding is never attended to, see _without_padding."""

    def context(self, latents: Tensor, known: Tensor) -> Context:
        """As the base class; the right half of frame 0 holds the mean of the driver."""
        context = super().context(latents, known)
        return self.summarise(context, latents.chunk(2, dim=-1)[1])

    def summarise(self, context: Context, driving: Tensor) -> Context:
        """Context whose frame 0 tells the mean of driving (b, c, t', h', w'), frame 0 of it black.

        Frames without a driver, equal to black, do not count.
        """
        if not two_panels(context):
            return context
        frames = split_frames(driving)
        black, frames = frames[:, :, :1], frames[:, :, GROUP:]
        shown = ((frames - black).abs().amax(dim=(1, 3, 4), keepdim=True) > 0.02).to(frames)
        total = shown.sum(dim=2, keepdim=True)
        mean = ((frames - black) * shown).sum(dim=2, keepdim=True) / total.clamp(min=1) + black
        latents = context.latents.clone()
        latents[:, :, :1, :, -driving.shape[-1] :] = join_frames(mean.expand(-1, -1, GROUP, -1, -1))
        return Context(latents, context.known)

    def velocity(self, latents: Tensor, *args, tokens: Tensor | None = None, **kwargs) -> Tensor:
        """As the base class.

        tokens: (b, t' - 1, k), which cells of a pair (2, h', 2w') the network is to read and draw.
        Most cells of a picture are background: training may leave them out. None: all but the right
        half of frame 0, which is always black.
        """
        self._tokens = tokens
        return super().velocity(latents, *args, **kwargs)

    def predict(
        self, latents: Tensor, sigma: Tensor, end: Tensor | None, context: Context, text: Text
    ) -> Tensor:
        """What the network says of every frame, (b, c, t', h', 2w'); nothing new of frame 0."""
        driven = two_panels(context)
        pairs = self._pairs(latents, sigma, context, driven)  # b * t, channels, 2, h', 2w'
        count, grid = len(pairs) // len(latents), pairs.shape[2:]
        tokens = self._tokens
        if tokens is None:
            tokens = _without_black(grid, driven).to(latents.device)
            seen = pairs.flatten(2)[..., tokens]
        else:
            tokens = tokens.repeat_interleave(GROUP, dim=1).flatten(0, 1)
            seen = pairs.flatten(2).gather(2, tokens[:, None].expand(-1, pairs.shape[1], -1))
        rope = self.transformer.rope
        rope.grid, rope.tokens = self.places(tuple(grid), tokens)
        text = self._without_padding(text)
        words = Text(*(part.repeat_interleave(count, dim=0) for part in text))
        made = super().predict(
            seen[:, :, None, None], sigma.repeat_interleave(count), end, (), words
        )[:, :, 0, 0]
        places = tokens.expand(len(made), -1)[:, None].expand_as(made)
        frames = made.new_zeros(*made.shape[:2], grid.numel()).scatter(2, places, made)
        frames = frames.unflatten(2, grid)[:, :, 1].unflatten(0, (len(latents), count))
        return nn.functional.pad(join_frames(frames.transpose(1, 2)), (0, 0, 0, 0, 1, 0))

    def places(
        self, grid: tuple[int, int, int], tokens: Tensor
    ) -> tuple[tuple[int, int, int], Tensor]:
        """The grid in whose terms the network is told where tokens are, and their indices there."""
        return grid, tokens

    def _pairs(self, latents: Tensor, sigma: Tensor, context: Context, driven: bool) -> Tensor:
        """(b * t, 2 c / 4 + 1, 2, h', 2w'): frame 0 and one more, t = 4 (t' - 1) of them."""
        sigma = sigma.view(-1, 1, 1, 1, 1).to(latents.dtype)
        noisy, given = split_frames((1 - sigma) * latents), split_frames(context.latents)
        known = context.known.repeat_interleave(GROUP, dim=2)
        width = latents.shape[-1] // 2
        if driven:
            summary = given[:, :, :1, :, width:]
            noisy = torch.cat([noisy[..., :width], summary.expand_as(noisy[..., width:])], dim=-1)
        frames = torch.cat([noisy, given, known.to(noisy)], dim=1)
        first, rest = frames[:, :, :1], frames[:, :, GROUP:]
        pairs = torch.stack([first.expand_as(rest), rest], dim=3)  # b, channels, t, 2, h', 2w'
        return pairs.transpose(1, 2).flatten(0, 1)

    def _without_padding(self, text: Text) -> Text:
        """Padding is cut off where all prompts are equally long, and masked where they are not."""
        counts = text.prompt_embeds_mask.sum(dim=1)
        longest = int(counts.max())
        padded = longest != int(counts.min())
        self.transformer.attention.masked = padded
        if padded:
            return text
        return text._replace(
            prompt_embeds=text.prompt_embeds[:, :longest],
            prompt_embeds_mask=text.prompt_embeds_mask[:, :longest],
        )


def two_panels(context: Context) -> bool:
    """Whether a driver stands on the right: all of that half is known, whatever is to be drawn."""
    return bool((context.known.chunk(2, dim=-1)[1] == 1).all())


def _without_black(grid: tuple[int, int, int], driven: bool) -> Tensor:
    """Indices (k,) into a grid (2, h', 2w'): all but the right half of its first frame."""
    cells = torch.arange(2 * grid[1] * grid[2]).view(*grid)
    if not driven:
        return cells.flatten()
    return torch.cat([cells[0, :, : grid[2] // 2].flatten(), cells[1].flatten()])


class NoStream(nn.Module):
    """In place of the embedder of a stream that is always empty."""

    def __init__(self, width: int):
        super().__init__()
        self.width = width

    def forward(self, nothing: Tensor) -> Tensor:
        """(b, 0, d) -> (b, 0, width)."""
        return nothing.new_zeros(*nothing.shape[:2], self.width)


class TokenRope(HunyuanVideo15RotaryPosEmbed):
    """Positions of the tokens that are there: `tokens` of a `grid`, one list or one a sample."""

    grid: tuple[int, int, int]
    tokens: Tensor

    def forward(self, hidden_states: Tensor) -> tuple[Tensor, Tensor]:
        """cos and sin, (k, d) or (b, k, d)."""
        cos, sin = super().forward(hidden_states.new_empty(1, 1, *self.grid))
        return cos[self.tokens], sin[self.tokens]
