"""What Wan reads of a prompt and a picture: the stock pipeline's own encoders."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from diffusers.utils import is_ftfy_available
from torch import Tensor

from ..errors import InputError
from . import Text, to_picture
from .device import get_module_execution_device

if TYPE_CHECKING:
    from diffusers import WanImageToVideoPipeline

TEXT_LENGTH = 512  # tokens; diffusers' Wan attention counts on it


class WanTextEncoder:
    """UMT5 over the prompt and CLIP over the reference: the stock pipeline's own."""

    def __init__(self, pipeline: WanImageToVideoPipeline):
        """Raises InputError when a package that the stock pipeline needs is missing."""
        if not is_ftfy_available():
            raise InputError(
                "text encoder of Wan",
                got="no package ftfy",
                need="ftfy, with which diffusers cleans prompts",
                fix="pip install ftfy.",
            )
        self.pipeline = pipeline

    @torch.no_grad()
    def __call__(self, prompts: list[str], reference: Tensor | None) -> Text:
        """The image stream is zero without a reference, and empty without an image encoder."""
        pipeline, batch = self.pipeline, len(prompts)
        device = get_module_execution_device(pipeline.text_encoder)
        embeds, _ = pipeline.encode_prompt(
            prompts,
            do_classifier_free_guidance=False,
            max_sequence_length=TEXT_LENGTH,
            device=device,
        )
        image = embeds.new_zeros(batch, 0, 0)
        if pipeline.image_encoder is not None:
            config = pipeline.image_encoder.config
            if reference is not None:
                image = pipeline.encode_image(to_picture(reference), device)
            else:
                tokens = (config.image_size // config.patch_size) ** 2 + 1
                image = embeds.new_zeros(1, tokens, config.hidden_size)
        return Text(
            prompt_embeds=embeds,
            prompt_embeds_mask=embeds.new_ones(batch, TEXT_LENGTH),
            prompt_embeds_2=embeds.new_zeros(batch, 0, 0),
            prompt_embeds_mask_2=embeds.new_zeros(batch, 0),
            image_embeds=image.expand(batch, -1, -1),
        )
