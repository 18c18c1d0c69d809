"""The text encoder of the small model: a tiny T5 over the bytes of the prompt, as in ByT5.

ids = UTF-8 bytes + 3, then 1 (end); 0 is padding. No tokenizer file, every language.
"""

from __future__ import annotations

import logging
import math
from pathlib import Path

import torch
from torch import Tensor, nn
from transformers import T5Config, T5EncoderModel

from ..backbones import Text

logger = logging.getLogger(__name__)

PAD, END, FIRST_BYTE = 0, 1, 3
VOCABULARY = 384
LENGTH_STEP = 32
MAX_BYTES = 95  # longer prompts are cut: puppet captions are short


def byte_ids(prompt: str) -> list[int]:
    """UTF-8 bytes + 3 and the end token; at most MAX_BYTES + 1 = 96 ids, at least 1."""
    return [byte + FIRST_BYTE for byte in prompt.encode("utf-8")[:MAX_BYTES]] + [END]


class ByteTextEncoder(nn.Module):
    """Prompts -> Text. The second text stream and the image stream stay empty (length 0)."""

    def __init__(self, t5: T5EncoderModel, text_embed_2_dim: int, image_embed_dim: int):
        """The two widths are those of the transformer's unused streams."""
        super().__init__()
        self.t5 = t5
        self.text_embed_2_dim = text_embed_2_dim
        self.image_embed_dim = image_embed_dim

    @classmethod
    def create(
        cls,
        d_model: int,
        num_layers: int,
        num_heads: int,
        text_embed_2_dim: int,
        image_embed_dim: int,
    ) -> ByteTextEncoder:
        """A new encoder with random weights; d_model is the transformer's text_embed_dim."""
        config = T5Config(
            vocab_size=VOCABULARY,
            d_model=d_model,
            d_kv=d_model // num_heads,
            d_ff=4 * d_model,
            num_layers=num_layers,
            num_heads=num_heads,
            dropout_rate=0.0,
            feed_forward_proj="gated-gelu",
            pad_token_id=PAD,
            eos_token_id=END,
        )
        return cls(T5EncoderModel(config), text_embed_2_dim, image_embed_dim)

    def save_pretrained(self, folder: Path) -> None:
        self.t5.save_pretrained(folder)

    def encode(self, prompts: list[str]) -> tuple[Tensor, Tensor]:
        """Prompts -> embeds (b, l, d) and mask (b, l), 1 = a token; l holds the longest."""
        for prompt in prompts:
            data = prompt.encode("utf-8")
            if len(data) > MAX_BYTES and not self.training:  # a data set need not hear it each step
                logger.warning(
                    "The prompt has %d bytes; only the first %d are read: %r",
                    len(data),
                    MAX_BYTES,
                    data[:MAX_BYTES].decode("utf-8", "ignore"),
                )
        rows = [byte_ids(prompt) for prompt in prompts]
        # In whole steps, so that a compiled network meets few lengths.
        length = LENGTH_STEP * math.ceil(max(map(len, rows)) / LENGTH_STEP)
        ids = torch.full((len(rows), length), PAD, device=self.t5.device)
        for row, values in zip(ids, rows, strict=True):
            row[: len(values)] = torch.tensor(values)
        mask = (ids != PAD).long()
        return self.t5(input_ids=ids, attention_mask=mask).last_hidden_state, mask

    def forward(self, prompts: list[str], reference: Tensor | None = None) -> Text:
        """The small model has no image stream: the reference is read from the composite alone."""
        embeds, mask = self.encode(prompts)
        batch = len(prompts)
        return Text(
            prompt_embeds=embeds,
            prompt_embeds_mask=mask,
            prompt_embeds_2=embeds.new_zeros(batch, 0, self.text_embed_2_dim),
            prompt_embeds_mask_2=mask.new_zeros(batch, 0),
            image_embeds=embeds.new_zeros(batch, 0, self.image_embed_dim),
        )
