"""mini-incontext: the bare method, small. A composite and noise go in, latents come out.

    [ reference | black ] [ blank | driver ] ...    16x32 cells of 4x4x4 pixels, 5 latent frames

The network is HunyuanVideo-1.5's, all tokens of a pass at once, by flow matching. No eye, no
rig, no brush, no keypoints but those drawn in the panel. Three things are this model's own:

* beside noise, condition and mask every token reads where it stands (which panel, and where in
  it): rotary embedding tells how far two tokens are apart, but not where what is attended to is;
* it predicts clean latents less those of the reference at the same place, so what stands still is
  right before anything is learned;
* it draws what is driven alone. Latent frames that are known, or beside which the driver is silent
  (the lead-in, which is cut away), have no tokens; the latter stand as the reference does.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..backbones import TRAIN_TIMESTEPS, Context, Text
from ..backbones.hunyuan15 import HunyuanLayout
from ..geometry import Geometry
from ..options import HEARD_STEP, INCONTEXT
from .clean import velocity_to
from .codec import BlockCodec
from .incontext_network import PLACE_CHANNELS, InContextTransformer3DModel, cell_places
from .text import PAD, ByteTextEncoder

INCONTEXT_GEOMETRY = Geometry(
    latent_channels=48, spatial_stride=4, size_multiple=4, temporal_stride=4, fps=8.0,
    num_frames=17, panel=(64, 64),
)  # fmt: skip
PROMPT_BYTES = 96
BYTES_PER_TOKEN = 4  # that the network reads as one
DRAWN_TIMES = (0, 3, 4)  # latent frames of a pass: the reference's, then what is driven
SILENT = 1e-3  # a black driver's latents are the code of black, but for rounding


class InContextBackbone(HunyuanLayout):
    """The protocol of backbones/__init__.py. Calls leave nothing behind."""

    transformer: InContextTransformer3DModel
    vae: BlockCodec
    text_encoder: FixedTextEncoder

    defaults = HEARD_STEP
    predicts_clean = True

    @staticmethod
    def network_channels(latent: int) -> tuple[int, int]:
        return 2 * latent + 1 + PLACE_CHANNELS, latent

    def velocity(self, latents: Tensor, sigma: Tensor, context: Context, text: Text) -> Tensor:
        """d(latents)/d(sigma) at noise level sigma, (b,) or scalar in [0, 1]; 1 is pure noise.

        Differentiable. A context or text of batch 1 serves the whole batch of latents.
        """
        batch = len(latents)
        sigma = sigma.to(latents.device).expand(batch)
        context = Context(*(part.expand(batch, *part.shape[1:]) for part in context))
        text = Text(*(part.to(latents.device).expand(batch, *part.shape[1:]) for part in text))
        clean = context.latents[:, :, :1].expand_as(latents)
        if self.transformer.times:  # an excerpt
            change = self.predict(latents, sigma, context, text)
            return velocity_to(change + clean, latents, sigma)
        times = self.drawn_times(context)
        drawn = Context(*(part[:, :, times] for part in context))
        with self.transformer.excerpt_of(times):
            change = self.predict(latents[:, :, times], sigma, drawn, text)
        clean = clean.index_add(2, torch.tensor(times, device=clean.device), change)
        return velocity_to(clean, latents, sigma)

    @torch.no_grad()
    def drawn_times(self, context: Context) -> list[int]:
        """The reference's latent frame, and those of which some of the batch is to be drawn beside
        a driver that is not silent."""
        half = context.latents.shape[-1] // 2
        silence = self.vae.silence().to(context.latents)[:, None, None, None]
        moved = (context.latents[..., half:] - silence).abs().amax(dim=(0, 1, 3, 4)) > SILENT
        drawn = (context.known[..., :half] == 0).any(dim=(0, 1, 3, 4)) & moved
        return [0, *(1 + drawn[1:].nonzero().flatten()).cpu().tolist()]

    def predict(self, latents: Tensor, sigma: Tensor, context: Context, text: Text) -> Tensor:
        """Clean latents (b, c, t', h', 2w') less the known ones of frame 0. sigma (b,); context and
        text of the same b."""
        dtype = self.transformer.dtype
        if self.transformer.given != "noisy":
            latents = torch.where(context.known == 1, context.latents, latents)
        where = cell_places(tuple(latents.shape[2:]), latents.device, self.transformer.times)
        where = where.expand(len(latents), -1, -1, -1, -1)
        return self.transformer(
            hidden_states=torch.cat([latents, *context, where], dim=1).to(dtype),
            timestep=(sigma * TRAIN_TIMESTEPS).to(dtype),
            encoder_hidden_states=text.prompt_embeds.to(dtype),
            encoder_attention_mask=text.prompt_embeds_mask,
        )[0].to(latents.dtype)


class FixedTextEncoder(ByteTextEncoder):
    """Prompts of one length, 24 tokens of four bytes each: what lies behind the end is silence, and
    is read."""

    def encode(self, prompts: list[str]) -> tuple[Tensor, Tensor]:
        """Prompts -> embeds (b, 24, d) and a mask (b, 24) of ones."""
        embeds, mask = super().encode(prompts)
        return self.silence(embeds, mask)

    def encode_ids(self, ids: Tensor) -> Text:
        """Ids (b, 96), see mini.text -> Text."""
        embeds, mask = self.silence(
            self.t5(input_ids=ids, attention_mask=(ids != PAD).long()).last_hidden_state,
            (ids != PAD).long(),
        )
        nothing = embeds.new_zeros(len(ids), 0, 1)
        return Text(embeds, mask, nothing, mask[:, :0], nothing)

    def silence(self, embeds: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Zeros behind the last byte (b, l, d), up to 96; then the mean of each four."""
        embeds = embeds * mask[..., None].to(embeds)
        missing = PROMPT_BYTES - embeds.shape[1]
        embeds = nn.functional.pad(embeds, (0, 0, 0, missing))
        embeds = embeds.unflatten(1, (-1, BYTES_PER_TOKEN)).mean(dim=2)
        return embeds, torch.ones(embeds.shape[:2], dtype=torch.long, device=embeds.device)


def create_incontext(
    *,
    layers: int = 6,
    heads: int = 8,
    head_dim: int = 32,
    text_dim: int = 128,
    codec: BlockCodec | None = None,
) -> InContextBackbone:
    """A new model with random weights that answers with the still reference."""
    codec = codec or BlockCodec(INCONTEXT_GEOMETRY.latent_channels)
    reads, answers = InContextBackbone.network_channels(codec.config.latent_channels)
    third = 2 * (head_dim // 6)
    transformer = InContextTransformer3DModel(
        in_channels=reads, out_channels=answers,
        num_attention_heads=heads, attention_head_dim=head_dim,
        num_layers=layers, num_refiner_layers=1, patch_size=1, patch_size_t=1,
        text_embed_dim=text_dim, text_embed_2_dim=1, image_embed_dim=1,
        rope_axes_dim=(head_dim - 2 * third, third, third),
    )  # fmt: skip
    nn.init.zeros_(transformer.proj_out.weight)
    nn.init.zeros_(transformer.proj_out.bias)
    text_encoder = FixedTextEncoder.create(text_dim, 2, 4, 1, 1)
    return InContextBackbone(INCONTEXT, INCONTEXT_GEOMETRY, transformer, codec, text_encoder)
