"""What diffusers' single-file loader lacks for HunyuanVideo-1.5, added to its private registry.

What a release already has is left alone; where the registry is gone, the answer says so, for an
error in words instead of a failed import.
"""

from __future__ import annotations

from importlib import import_module

from .hunyuan15 import FAMILY


def teach_single_file() -> bool:
    """Whether from_single_file can open the networks here, which it then can."""
    try:
        registry = import_module("diffusers.loaders.single_file_model").SINGLE_FILE_LOADABLE_CLASSES
    except (ImportError, AttributeError):
        return False
    known = {"checkpoint_mapping_fn": _convert_checkpoint, "default_subfolder": "transformer"}
    registry.setdefault(FAMILY.network.__name__, known)
    return True


def _convert_checkpoint(checkpoint: dict, config: dict) -> dict:
    return FAMILY.convert(checkpoint)
