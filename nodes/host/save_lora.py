"""The LoRAs of a model as files for other programs, below ComfyUI's output folder."""

from __future__ import annotations

from pathlib import Path

import folder_paths

from ...dreamactor_core.errors import InputError
from ...dreamactor_core.lora.names import convert_lora
from ...dreamactor_core.media.replace import replacing
from ...dreamactor_core.weight_files.tensor_file import write_tensors
from .load import Model


def save_loras(model: Model, prefix: str, style: str) -> str:
    """A file for each LoRA on the model, and in words where it lies there and what is in it.

    Raises InputError for a model without one, and for a prefix that leads out of the output folder.
    """
    if not model.loras:
        raise InputError(
            "model", got="no LoRA on it", need="at least 1", fix="Put DreamActor Load LoRA before."
        )
    lines = []
    for lora in model.loras:
        made = convert_lora(lora.path, style, lora.strength)
        path = _next_path(prefix)
        with replacing(path) as part:
            write_tensors(part, made.tensors, made.metadata)
        name = path.relative_to(folder_paths.get_output_directory()).as_posix()
        lines.append(f"{name}: {made.layers} layers of {lora.info.variant}, {style} names")
    return "\n".join(lines)


def _next_path(prefix: str) -> Path:
    output = Path(folder_paths.get_output_directory())
    if not (output / prefix).resolve().is_relative_to(output.resolve()):
        raise InputError(
            "filename_prefix",
            got=repr(prefix),
            need="a place below ComfyUI's output folder",
            fix="Use loras/DreamActor.",
        )
    folder, name, counter, _, _ = folder_paths.get_save_image_path(prefix, str(output))
    return Path(folder) / f"{name}_{counter:05}_.safetensors"
