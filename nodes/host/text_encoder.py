"""A text encoder of ComfyUI's own that can write, as a captioner: what core's node Generate Text
does, with the files that an artist already has.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import comfy.model_management as manager
import numpy as np
import torch

from ...dreamactor_core.caption.captioner import BY_HAND
from ...dreamactor_core.errors import InputError
from ...dreamactor_core.jobs.digest import digest_of
from ...dreamactor_core.media import fit

TOKENS_PER_WORD = 2


class TextEncoder:
    """The protocol Captioner, on a CLIP of ComfyUI's."""

    def __init__(self, clip: Any):
        """Raises InputError for a host before text generation, and for what is no text encoder."""
        if not (hasattr(clip, "generate") and hasattr(clip, "decode")):
            raise InputError(
                "clip",
                got="a ComfyUI that cannot write with a text encoder",
                need="one that has the node Generate Text",
                fix=f"Update ComfyUI. {BY_HAND}",
            )
        self.clip = clip
        network = clip.cond_stage_model
        self.name = f"{type(network).__name__} {digest_of(network)[:8]}"

    def ask(self, prompt: str, images: Sequence[np.ndarray], max_words: int) -> str:
        """As Captioner.ask; of pictures of several sizes all get that of the first, with bars."""
        manager.throw_exception_if_processing_interrupted()
        pictures = None
        if images:
            height, width = images[0].shape[:2]
            pictures = torch.stack([fit(image, height, width) for image in images])
        try:
            tokens = self.clip.tokenize(
                prompt, image=pictures, skip_template=False, min_length=1, thinking=False
            )
            written = self.clip.generate(
                tokens, do_sample=False, max_length=TOKENS_PER_WORD * max_words
            )
            return self.clip.decode(written)
        except (AttributeError, TypeError, NotImplementedError) as error:
            raise InputError(
                "clip",
                got=f"the text encoder {type(self.clip.cond_stage_model).__name__}, which cannot "
                f"answer ({error})",
                need="one that writes and sees pictures, such as Qwen3-VL or Gemma 3",
                fix=f"Choose another file in Load CLIP. {BY_HAND}",
            ) from error
