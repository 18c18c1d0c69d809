"""What diffusers lacks for HunyuanVideo-1.5, added through two of its private registries.

Both may move or fill: what a release already has is left alone, and where a registry is gone the
flags say so, for an error in words instead of a failed import.
"""

from __future__ import annotations

from diffusers.models.transformers.transformer_hunyuan_video15 import (
    HunyuanVideo15TransformerBlock,
)

from . import hunyuan15

try:
    from diffusers.loaders.single_file_model import SINGLE_FILE_LOADABLE_CLASSES
except ImportError:
    SINGLE_FILE_LOADABLE_CLASSES = {}
try:
    from diffusers.hooks._helpers import TransformerBlockMetadata, TransformerBlockRegistry

    BLOCKS = TransformerBlockRegistry._registry
except (ImportError, AttributeError):
    BLOCKS = None

HAS_SINGLE_FILE = bool(SINGLE_FILE_LOADABLE_CLASSES)  # from_single_file can be taught
HAS_STEP_CACHES = BLOCKS is not None  # enable_cache can be taught


if HAS_SINGLE_FILE:
    SINGLE_FILE_LOADABLE_CLASSES.setdefault(
        "HunyuanVideo15Transformer3DModel",
        {
            "checkpoint_mapping_fn": lambda checkpoint, config: hunyuan15.FAMILY.convert(
                checkpoint
            ),
            "default_subfolder": "transformer",
        },
    )
if HAS_STEP_CACHES and HunyuanVideo15TransformerBlock not in BLOCKS:
    TransformerBlockRegistry.register(
        HunyuanVideo15TransformerBlock,
        TransformerBlockMetadata(
            return_hidden_states_index=0, return_encoder_hidden_states_index=1
        ),
    )
