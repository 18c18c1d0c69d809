"""The network of mini-incontext: HunyuanVideo-1.5's own, whole, over all tokens of a pass at once.

Known tokens may also be kept apart from those to be drawn, as rivals of the paper's layout.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache, wraps

import torch
from diffusers import HunyuanVideo15Transformer3DModel
from torch import Tensor, nn

from ..backbones.attention import JointAttention, rotate
from .network import Grid

KeyValue = tuple[Tensor, Tensor]
PASS_FRAMES = 5  # latent frames of a pass
PLACE_WAVES = 4
PLACE_CHANNELS = 1 + 3 * 2 * PLACE_WAVES
ARRANGEMENTS = ("side-by-side", "in-time")  # of the panels; the second is the rival of Table 2
GIVEN = ("noisy", "clean", "one-way")  # cells that are known: as the paper has them, or see below


class InContextTransformer3DModel(HunyuanVideo15Transformer3DModel):
    """The stock network without the streams that stay empty here (ByT5, image encoder).

    Every text token counts, padding too: it reads as silence, and the attention needs no mask.
    layout: see ARRANGEMENTS; it decides what rotary embedding says of the right panel.
    given: "noisy" as in the paper; "clean": what is known (the first frame on the left, the right
    panel) comes without noise and at noise level 0; "one-way": it also reads nothing but itself, so
    its keys and values are the same at every step of sampling.
    kept: with "one-way", a list that is empty before the first step of sampling: it then holds keys
    and values of what is known, block by block, and later steps leave that out. None: nothing is.
    heard: a list that takes the tokens after each block, for those who train it. None: nothing is.
    times: which latent frames of a clip the tokens are of, the first of them 0; () for all. Short
    excerpts are what a small machine learns most from, and each frame keeps its place in time.
    With times the black beside the reference, which says nothing, has no tokens either.
    chosen: (b, k), which of those tokens there are, of each sample others; None for all. Most cells
    of a picture are scene that stays as it is, and a few of those teach as much as all. It goes
    with given "noisy"; what is not chosen is answered with 0.
    """

    layout = "side-by-side"
    given = "noisy"
    kept: list[KeyValue] | None = None
    heard: list[Tensor] | None = None
    times: tuple[int, ...] = ()
    chosen: Tensor | None = None

    @wraps(HunyuanVideo15Transformer3DModel.__init__)  # type: ignore[misc]
    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.context_embedder_2 = self.image_embedder = None
        self.turns = {}  # of layouts, grids and devices met so far
        attention = JointAttention()
        for block in self.transformer_blocks:
            block.attn.set_processor(attention)

    def forward(
        self,
        hidden_states: Tensor,
        timestep: Tensor,
        encoder_hidden_states: Tensor,
        encoder_attention_mask: Tensor,
        return_dict: bool = False,
        **_streams,
    ) -> tuple[Tensor]:
        """As the stock network's with empty second streams; always answers with a tuple."""
        frames, height, width = hidden_states.shape[2:]
        grid = frames, height, width
        where = self.layout, self.times, grid, hidden_states.device
        if where not in self.turns:
            with torch.inference_mode(False):  # training may come after
                self.turns[where] = self.rope_of(grid, hidden_states.device)
        rope = self.turns[where]
        temb = self.time_embed(timestep)
        tokens = self.x_embedder(hidden_states)
        if self.times:
            tokens = tokens.index_select(1, said_tokens(grid, tokens.device))
        if self.chosen is not None:
            tokens = tokens.gather(1, wide(self.chosen, tokens))
            rope = tuple(part[self.chosen] for part in rope)
        words = self.context_embedder(encoder_hidden_states, timestep, encoder_attention_mask)
        words = words + self.cond_type_embed.weight[0]
        if self.given == "noisy":
            for block in self.transformer_blocks:
                tokens, words = block(tokens, words, temb, encoder_attention_mask, rope)
                if self.heard is not None:
                    self.heard.append(tokens)
        else:
            tokens = self.two_streams(tokens, words, temb, timestep, rope, grid)
        answer = self.proj_out(self.norm_out(tokens, temb))
        if self.chosen is not None:
            everywhere = answer.new_zeros(len(answer), len(self.turns[where][0]), answer.shape[2])
            answer = everywhere.scatter(1, wide(self.chosen, answer), answer)
        if self.times:
            whole = answer.new_zeros(len(answer), math.prod(grid), answer.shape[2])
            answer = whole.index_copy(1, said_tokens(grid, answer.device), answer)
        return (answer.transpose(1, 2).unflatten(2, grid),)

    def two_streams(
        self,
        tokens: Tensor,
        words: Tensor,
        temb: Tensor,
        timestep: Tensor,
        rope: tuple[Tensor, Tensor],
        grid: Grid,
    ) -> Tensor:
        """The blocks with known tokens apart, at noise level 0; all tokens in their order."""
        known = known_tokens(grid, tokens.device)
        if self.times:
            known = known[said_tokens(grid, tokens.device)]
        clock = self.time_embed(torch.zeros_like(timestep))
        given, drawn = tokens[:, known], tokens[:, ~known]
        turns = [tuple(part[which] for part in rope) for which in (known, ~known)]
        one_way, kept = self.given == "one-way", self.kept
        full = [*kept] if kept else []
        for index, block in enumerate(self.transformer_blocks):
            streams = [(given, clock, turns[0]), (drawn, temb, turns[1])]
            if full:
                _, drawn, words, _ = apart(block, streams[1:], words, temb, one_way, full[index])
                continue
            given, drawn, words, read = apart(block, streams, words, temb, one_way)
            if one_way and kept is not None:
                kept.append(read)
        joined = torch.empty_like(tokens, dtype=drawn.dtype)
        joined[:, known], joined[:, ~known] = given.to(drawn.dtype), drawn
        return joined

    @contextmanager
    def excerpt_of(self, times: Sequence[int], chosen: Tensor | None = None) -> Iterator[None]:
        """See times and chosen above."""
        before = self.times, self.chosen
        self.times, self.chosen = tuple(times), chosen
        try:
            yield
        finally:
            self.times, self.chosen = before

    def rope_of(self, grid: Grid, device: torch.device) -> tuple[Tensor, Tensor]:
        """cos and sin (l, d) of those tokens of a grid (t', h', 2w') that there are."""
        if not self.times:
            return self._whole_rope(grid, device)
        said = said_tokens(grid, device)
        cos, sin = self._whole_rope(grid, device)
        return cos[said], sin[said]

    def _whole_rope(self, grid: Grid, device: torch.device) -> tuple[Tensor, Tensor]:
        frames, height, width = (PASS_FRAMES, *grid[1:]) if self.times else grid
        times = list(self.times or range(frames))
        if self.layout == "side-by-side":
            turns = self.rope(torch.empty(1, 1, frames, height, width, device=device))
            cos, sin = (part.unflatten(0, (frames, -1))[times] for part in turns)
            return cos.flatten(0, 1), sin.flatten(0, 1)
        turns = self.rope(torch.empty(1, 1, 2 * frames, height, width // 2, device=device))

        def beside(part: Tensor) -> Tensor:
            left, right = part.unflatten(0, (2, frames, height, width // 2))
            return torch.cat([left, right], dim=2)[times].flatten(0, 2)

        return beside(turns[0]), beside(turns[1])


def known_tokens(grid: Grid, device: torch.device) -> Tensor:
    """(t' * h' * 2w') bool: the first frame on the left, and the right panel."""
    known = torch.zeros(grid, dtype=torch.bool, device=device)
    known[0] = True
    known[:, :, grid[2] // 2 :] = True
    return known.flatten()


@lru_cache(8)
@torch.inference_mode(False)
def said_tokens(grid: Grid, device: torch.device) -> Tensor:
    """Indices of tokens (t' * h' * 2w'): all but the right panel of the first frame, which is
    black."""
    said = torch.ones(grid, dtype=torch.bool, device=device)
    said[0, :, grid[2] // 2 :] = False
    return said.flatten().nonzero().squeeze(1)


def wide(chosen: Tensor, tokens: Tensor) -> Tensor:
    """Indices (b, k) for all channels of tokens (b, l, d): (b, k, d)."""
    return chosen[..., None].expand(-1, -1, tokens.shape[2])


def apart(
    block: nn.Module,
    streams: list[tuple[Tensor, Tensor, tuple[Tensor, Tensor]]],
    words: Tensor,
    temb: Tensor,
    one_way: bool,
    kept: KeyValue | None = None,
) -> tuple[Tensor, Tensor, Tensor, KeyValue]:
    """One stock block on known tokens, drawn tokens and words: their new values, and keys and
    values (b, l, n, d) of the known.

    streams: tokens (b, l, d), time embedding (b, d), cos and sin (l, d) of the known and the drawn;
    with kept, which are the known's keys and values, of the drawn alone, and the first answer is
    theirs too.
    """
    attn = block.attn
    heads = lambda layer, x: layer(x).unflatten(2, (attn.heads, -1))  # noqa: E731
    joint, gates = [(kept[0][:, :0], *kept)] if kept else [], []
    for tokens, clock, turns in streams:
        normed, *gate = block.norm1(tokens, emb=clock)
        query = rotate(attn.norm_q(heads(attn.to_q, normed)), turns)
        key = rotate(attn.norm_k(heads(attn.to_k, normed)), turns)
        joint.append((query, key, heads(attn.to_v, normed)))
        gates.append(gate)
    normed, *word_gate = block.norm1_context(words, emb=temb)
    query = attn.norm_added_q(heads(attn.add_q_proj, normed))
    key = attn.norm_added_k(heads(attn.add_k_proj, normed))
    joint.append((query, key, heads(attn.add_v_proj, normed)))

    def attend(asking: list, answering: list) -> Tensor:
        dtype = asking[0][2].dtype
        query = torch.cat([part[0].to(dtype) for part in asking], dim=1).transpose(1, 2)
        key, value = (
            torch.cat([part[i].to(dtype) for part in answering], dim=1).transpose(1, 2)
            for i in (1, 2)
        )
        return nn.functional.scaled_dot_product_attention(query, key, value).transpose(1, 2)

    asking = joint[1:] if kept else joint
    lengths = [part[0].shape[1] for part in asking]
    if one_way and not kept:
        read = torch.cat([attend(joint[:1], joint[:1]), attend(joint[1:], joint)], dim=1)
    else:
        read = attend(asking, joint)
    *pictures, said = read.flatten(2).split(lengths, dim=1)
    made = []
    for (tokens, _, _), gate, picture in zip(streams, gates, pictures, strict=True):
        answer = attn.to_out[1](attn.to_out[0](picture))
        made.append(_feed(tokens, answer, gate, block.norm2, block.ff))
    words = _feed(words, attn.to_add_out(said), word_gate, block.norm2_context, block.ff_context)
    return made[0], made[-1], words, joint[0][1:]


def _feed(tokens: Tensor, answer: Tensor, gate: list[Tensor], norm: nn.Module, ff: nn.Module):
    """The second half of a block: gated attention, then the gated feed-forward."""
    gate_msa, shift_mlp, scale_mlp, gate_mlp = (part[:, None] for part in gate)
    tokens = tokens + answer * gate_msa
    return tokens + gate_mlp * ff(norm(tokens) * (1 + scale_mlp) + shift_mlp)


@lru_cache(8)
@torch.inference_mode(False)
def cell_places(grid: Grid, device: torch.device, times: tuple[int, ...] = ()) -> Tensor:
    """Where each cell of (t', h', 2w') stands: (1, PLACE_CHANNELS, t', h', 2w').

    The panel (-1 left, 1 right), then sines and cosines of time and of the place in the panel.
    times: see InContextTransformer3DModel.
    """
    frames, height, width = grid
    axes = (
        torch.tensor(times or range(frames)) / 8,
        (torch.arange(height) + 0.5) / height,
        (torch.arange(width) % (width // 2) + 0.5) / (width // 2),
    )
    along = torch.meshgrid(*axes, indexing="ij")
    turns = torch.stack([math.pi * 2**k * axis for axis in along for k in range(PLACE_WAVES)])
    side = torch.where(torch.arange(width) < width // 2, -1.0, 1.0).expand(1, *grid)
    return torch.cat([side, turns.sin(), turns.cos()])[None].to(device)
