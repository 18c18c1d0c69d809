"""The small model: HunyuanVideo-1.5's network over pairs of frames, so that it runs on any machine.

    pair t    [ reference | - ] [ frame t, to be drawn | driver at t ]      t = 1 .. 4 (t' - 1)

A latent is the codes of four frames side by side (mini_vae.split_frames), so each frame can be
drawn by itself: 16x16 tokens of 8x8 pixels a panel, and every pixel of the reference in reach of
every pixel of the answer. All frames at once would be 13,000 tokens. What one frame cannot tell,
where the driver stands on the whole, comes in where a known panel needs no noise: its noisy
channels hold the mean of the driving clip.

Rotary embedding tells attention how far two tokens are apart, but what is attended to does not
tell where it is. So every token also reads where it stands (where_it_stands): a token that looks at
a hand then knows the place of the hand.

What moves is not drawn anew but moved: see Brush.
"""

from __future__ import annotations

from functools import wraps
from typing import NamedTuple

import torch
from diffusers import HunyuanVideo15Transformer3DModel
from diffusers.models.transformers.transformer_hunyuan_video15 import HunyuanVideo15RotaryPosEmbed
from torch import Tensor, nn
from torch.nn.functional import grid_sample

from . import Context, Text
from .hunyuan15 import HunyuanVideo15Backbone, JointAttention
from .mini_vae import GROUP, PATCH, MiniVAE, join_frames, split_frames

WAVES = 4
PLACE_CHANNELS = 2 * (1 + 2 * WAVES) + 3


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


class Painted(NamedTuple):
    """What the network says of the cells it draws: n frames, l cells, 64 pixels a cell.

    A pixel is a mixture of what is drawn anew, of the reference at the same place, and of COPIES
    other places of the reference.
    """

    tokens: Tensor  # (n, k) what was read, indices into a pair (2, h', 2w')
    cells: Tensor  # (n, l) what was drawn, indices into a panel (h', w')
    scores: Tensor  # (n, l, 64, 2 + COPIES) logarithms of the shares: drawn, still, copies
    sources: Tensor  # (n, l, COPIES, 64, 2) where each copy is taken from, (x, y) in pixels


class Brush:
    """Turns the answers for a cell, of 8x8 pixels, into the change of its code.

        C             the code of what is drawn anew, less the mean colour of the reference's cell
        COPIES * 6    a place of the reference and how it is turned, stretched and sheared
        64 (2+COPIES) for each pixel how much of those, and of the reference in place, shows

    A limb that swings is the same limb elsewhere: to say where it is takes six numbers, to draw
    every pixel of it anew takes a network that this one is too small to be.
    """

    COPIES = 2
    DRAWN, STILL = 0, 1  # of the scores of a pixel; the copies follow
    PIXELS = PATCH * PATCH
    REACH = 32.0  # pixels that an answer of 1 moves a copy by

    @classmethod
    def answers(cls, channels: int) -> int:
        return channels + 6 * cls.COPIES + cls.PIXELS * (2 + cls.COPIES)

    def __init__(self, vae: MiniVAE):
        self.vae = vae
        at = torch.arange(PATCH) + 0.5
        y, x = torch.meshgrid(at, at, indexing="ij")
        self.pixels = torch.stack([x, y], dim=-1).flatten(0, 1)  # (64, 2) of a cell

    def paint(
        self, answers: Tensor, cells: Tensor, reference: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """answers (n, answers, l) for cells (n, l), references (n, C, h', w')
        -> the change of the codes against the reference, (n, C, l), and scores and sources of
        Painted.
        """
        channels, width = reference.shape[1], reference.shape[3]
        sizes = channels, 6 * self.COPIES, self.PIXELS * (2 + self.COPIES)
        code, moves, scores = answers.float().split(sizes, dim=1)
        moves = moves.unflatten(1, (self.COPIES, 6)).permute(0, 3, 1, 2)  # n, l, copies, 6
        scores = scores.unflatten(1, (self.PIXELS, -1)).permute(0, 3, 1, 2)  # n, l, 64, 2 + copies

        corner = PATCH * torch.stack([cells % width, cells // width], dim=-1)[..., None, :]
        here = corner + self.pixels.to(corner.device)  # n, l, 64, 2
        off = here - corner - PATCH / 2
        turn = moves[..., 2:].unflatten(-1, (2, 2))
        sources = here[:, :, None] + self.REACH * moves[..., None, :2]
        sources = sources + torch.einsum("nlkij,nlpj->nlkpi", turn, off)
        scores = scores.log_softmax(dim=-1)

        encode, decode = (
            layer.weight.to(code).flatten(1) for layer in (self.vae.code, self.vae.uncode)
        )
        picture = nn.functional.conv_transpose2d(
            reference.to(code), decode.unflatten(1, (3, PATCH, PATCH)), stride=PATCH
        )
        places = torch.cat([here[:, :, None], sources], dim=2)
        there, *copies = self._pick(picture, places).unbind(dim=2)  # n, l, 64, 3 each
        shares = scores.exp().unsqueeze(-1)
        drawn = there.mean(dim=2, keepdim=True) + torch.einsum(
            "ncl,cqp->nlpq", code, decode.unflatten(1, (3, self.PIXELS))
        )
        change = shares[:, :, :, 0] * (drawn - there)
        for index, copy in enumerate(copies):
            change = change + shares[:, :, :, 2 + index] * (copy - there)
        change = torch.einsum("nlpq,cqp->ncl", change, encode.unflatten(1, (3, self.PIXELS)))
        return change.to(answers.dtype), scores, sources

    @staticmethod
    def _pick(picture: Tensor, places: Tensor) -> Tensor:
        """Pictures (n, 3, h, w) at places (n, ..., 2), in pixels -> (n, ..., 3), bilinear."""
        size = torch.tensor(picture.shape[:1:-1], device=picture.device)
        grid = (2 * places / size - 1).flatten(1, -2)[:, :, None]
        found = grid_sample(picture, grid, padding_mode="border", align_corners=False)
        return found[..., 0].transpose(1, 2).reshape(*places.shape[:-1], 3)


class MiniBackbone(HunyuanVideo15Backbone):
    """The protocol of backbones/__init__.py on pairs of frames."""

    frames_per_latent = GROUP
    painted: Painted | None = None  # by the last call
    _tokens: Tensor | None = None

    @wraps(HunyuanVideo15Backbone.__init__)
    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        assert self.prediction_type == "residual"

    @staticmethod
    def channels(latent: int) -> tuple[int, int]:
        return 2 * latent + 1 + PLACE_CHANNELS, Brush.answers(latent)

    def drop_padding(self) -> None:
        """Padding is never attended to, see _without_padding."""

    def context(self, latents: Tensor, known: Tensor) -> Context:
        """As the base class; the right half of frame 0 holds the mean of the driver."""
        context = super().context(latents, known)
        return self.summarise(context, latents.chunk(2, dim=-1)[1])

    def summarise(self, context: Context, driving: Tensor) -> Context:
        """Context whose frame 0 tells the mean of driving (b, c, t', h', w').

        Black frames, which are no driver, do not count.
        """
        if not two_panels(context):
            return context
        frames = split_frames(driving)[:, :, GROUP:]
        black = self._black(frames)
        light = frames - black
        shown = _shown(light)[:, None, :, None, None].to(light)
        total = shown.sum(dim=2, keepdim=True).clamp(min=1)
        mean = (light * shown).sum(dim=2, keepdim=True) / total + black
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
        """What the network says of every frame, (b, c, t', h', 2w'); nothing new of frame 0.

        Nor of a frame without a driver, as those of the lead-in: it is the reference standing
        still.
        """
        driven = two_panels(context)
        pairs = self._pairs(latents, sigma, context, driven)  # b * t, channels, 2, h', 2w'
        samples, (height, width) = len(latents), pairs.shape[3:]
        count, panel = len(pairs) // samples, width // 2 if driven else width
        channels = self.geometry.latent_channels // GROUP
        frames = latents.new_zeros(len(pairs), channels, height * width)
        asked = torch.ones(len(pairs), dtype=torch.bool, device=latents.device)
        if driven:
            driver = split_frames(context.latents)[:, :, GROUP:, :, panel:]
            asked = _shown(driver - self._black(driver)).flatten()
        if asked.any():
            of_sample = torch.arange(samples, device=asked.device).repeat_interleave(count)[asked]
            text = Text(*(part[of_sample] for part in self._without_padding(text)))
            tokens = self._tokens
            if tokens is not None:
                tokens = tokens.repeat_interleave(GROUP, dim=1).flatten(0, 1)[asked]
            reference = split_frames(context.latents)[of_sample, :, 0, :, :panel]
            cells, change = self._paint(
                pairs[asked], sigma[of_sample], end, text, tokens, reference
            )
            cells = cells[:, None].expand_as(change)
            frames[asked] = frames[asked].scatter(2, cells, change)
        frames = frames.view(samples, count, channels, height, width)
        return nn.functional.pad(join_frames(frames.transpose(1, 2)), (0, 0, 0, 0, 1, 0))

    def _paint(
        self,
        pairs: Tensor,
        sigma: Tensor,
        end: Tensor | None,
        text: Text,
        tokens: Tensor | None,
        reference: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """Cells (n, l) of the second frame (h', width) of pairs (n, channels, 2, h', width), and
        how their codes differ from the reference's (n, c / 4, h', w'), (n, c / 4, l)."""
        grid, panel = pairs.shape[2:], reference.shape[3]
        height, width = grid[1:]
        place = where_it_stands(tuple(grid), panel).to(pairs)
        pairs = torch.cat([pairs, place.expand(len(pairs), *place.shape)], dim=1)
        if tokens is None:
            tokens = _without_black(grid, panel < width).to(pairs.device)
            seen = pairs.flatten(2)[..., tokens]
        else:
            seen = pairs.flatten(2).gather(2, tokens[:, None].expand(-1, pairs.shape[1], -1))
        rope = self.transformer.rope
        rope.grid, rope.tokens = self.places(tuple(grid), tokens)
        answers = super().predict(seen[:, :, None, None], sigma, end, (), text)[:, :, 0, 0]
        tokens = tokens.expand(len(pairs), -1)
        cells = tokens - height * width
        drawn = (cells >= 0) & (cells % width < panel)
        cells = cells[drawn].view(len(pairs), -1)
        answers = answers.transpose(1, 2)[drawn].view(*cells.shape, -1).transpose(1, 2)
        places = cells // width * panel + cells % width
        change, scores, sources = Brush(self.vae).paint(answers, places, reference)
        self.painted = Painted(tokens, places, scores, sources)
        return cells, change

    def _black(self, like: Tensor) -> Tensor:
        """The code of a black cell, (1, c / 4, 1, 1, 1)."""
        code = self.vae.code
        black = torch.full((1, 3, PATCH, PATCH), -1.0).to(code.weight)
        return code(black)[:, :, None].detach().to(like)

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


def where_it_stands(grid: tuple[int, int, int], panel: int) -> Tensor:
    """(PLACE_CHANNELS, 2, h', width) of a pair: place in the panel, in [-1, 1] and as waves, and
    which of the three panels it is."""
    height, width = grid[1:]
    y = (torch.arange(height) + 0.5) / height
    x = (torch.arange(width) % panel + 0.5) / panel
    along = torch.stack(torch.meshgrid(y, x, indexing="ij"))  # 2, h', width
    waves = torch.pi * along * 2 ** torch.arange(WAVES).view(-1, 1, 1, 1)
    place = torch.cat([2 * along - 1, waves.sin().flatten(0, 1), waves.cos().flatten(0, 1)])
    which = torch.zeros(3, 2, height, width)
    which[0, 0], which[1, 1, :, :panel], which[2, 1, :, panel:] = 1, 1, 1
    return torch.cat([place[:, None].expand(-1, 2, -1, -1), which])


def two_panels(context: Context) -> bool:
    """Whether a driver stands on the right: all of that half is known, whatever is to be drawn."""
    return bool((context.known.chunk(2, dim=-1)[1] == 1).all())


def _shown(light: Tensor) -> Tensor:
    """(b, c / 4, t, h', w') codes less that of black -> (b, t) bool: frames that are not black."""
    return light.abs().amax(dim=(1, 3, 4)) > 0.02


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
