"""Open and save a backbone as a folder.

model.json            name, prediction type, blank, geometry, description, what it learned from
transformer/ vae/     as diffusers' save_pretrained writes them
text_encoder/         as transformers' save_pretrained writes it
lora/                 <variant>.safetensors, the LoRAs trained for it, as save_lora writes them
"""

from __future__ import annotations

import json
from copy import deepcopy
from dataclasses import asdict, fields
from pathlib import Path

import diffusers
import torch
from diffusers import HunyuanVideo15Transformer3DModel
from torch import nn
from transformers import T5EncoderModel

from ..errors import InputError
from . import Geometry
from .byte_text import ByteTextEncoder
from .hunyuan15 import HunyuanVideo15Backbone
from .mini_vae import MiniVAE

WEIGHTS = Path(__file__).parent.parent / "weights"
INFO = "model.json"


def available_backbones() -> list[str]:
    """Names of the models in the package."""
    return sorted(path.parent.name for path in WEIGHTS.glob(f"*/{INFO}"))


def load_backbone(
    name_or_folder: str | Path, device: str = "cpu", dtype: torch.dtype = torch.float32
) -> HunyuanVideo15Backbone:
    """A model of the package by name ("mini"), or any folder with a model.json.

    Raises InputError when there is no such model, or its files are missing or broken.
    """
    folder = _folder_of(name_or_folder)
    try:
        backbone = _read(folder, dtype)
    except Exception as error:  # the readers below raise a dozen kinds for a broken file
        raise InputError(
            f"model folder {folder}",
            got=f"{type(error).__name__}: {error}",
            need=f"{INFO}, transformer/, vae/ and text_encoder/ as save_backbone writes them",
            fix="Copy or download the folder again.",
        ) from error
    for module in _modules(backbone):
        module.to(device).eval()
    return backbone


def save_backbone(
    backbone: HunyuanVideo15Backbone,
    folder: str | Path,
    dtype: torch.dtype = torch.float16,
    *,
    description: str = "",
    trained_on: str = "",
) -> None:
    """Write the folder that load_backbone reads. Weights are stored as dtype; LoRAs must be off."""
    assert not getattr(backbone.transformer, "peft_config", None), "remove_lora first"
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for module, name in zip(
        _modules(backbone), ("transformer", "vae", "text_encoder"), strict=True
    ):
        # nn.Module's own cast: diffusers' warns of layers it would rather keep in float32
        nn.Module.to(deepcopy(module), dtype=dtype).save_pretrained(folder / name)
    info = {
        "name": backbone.name,
        "prediction_type": backbone.prediction_type,
        "blank": backbone.blank,
        "description": description,
        "trained_on": trained_on,
        "geometry": asdict(backbone.geometry),
    }
    (folder / INFO).write_text(json.dumps(info, indent=2) + "\n", encoding="utf-8")


def shipped_lora(name_or_folder: str | Path, variant: str) -> Path:
    """The LoRA file that lies beside a model: <model>/lora/<variant>.safetensors.

    Raises InputError when there is no such model, or no such file beside it.
    """
    path = _folder_of(name_or_folder) / "lora" / f"{variant}.safetensors"
    if not path.is_file():
        raise InputError(
            f"{variant} LoRA of {name_or_folder}",
            got=f"no file {path}",
            need="one, for without it the model does not know the task",
            fix="Name a LoRA file that was trained for this model.",
        )
    return path


def _folder_of(name_or_folder: str | Path) -> Path:
    for folder in (WEIGHTS / name_or_folder, Path(name_or_folder)):
        if (folder / INFO).is_file():
            return folder
    raise InputError(
        "backbone",
        got=repr(str(name_or_folder)),
        need=f"one of {available_backbones()} or a folder with a {INFO}",
        fix="Check the name or the path.",
    )


def _read(folder: Path, dtype: torch.dtype) -> HunyuanVideo15Backbone:
    info = json.loads((folder / INFO).read_text(encoding="utf-8"))
    if info["blank"] != HunyuanVideo15Backbone.blank:
        raise ValueError(f"blank is {info['blank']!r}, this class knows only 'zero'")
    sizes = {field.name: info["geometry"][field.name] for field in fields(Geometry)}
    transformer = _whole(HunyuanVideo15Transformer3DModel, folder / "transformer", dtype)
    return HunyuanVideo15Backbone(
        name=info["name"],
        geometry=Geometry(**sizes | {"panel": tuple(sizes["panel"])}),
        transformer=transformer,
        vae=_whole(_vae_class(folder / "vae"), folder / "vae", dtype),
        text_encoder=ByteTextEncoder(
            _whole(T5EncoderModel, folder / "text_encoder", dtype),
            transformer.config.text_embed_2_dim,
            transformer.config.image_embed_dim,
        ),
        prediction_type=info["prediction_type"],
    )


def _whole(cls: type[nn.Module], folder: Path, dtype: torch.dtype) -> nn.Module:
    """from_pretrained, but weights that are missing are an error instead of random numbers."""
    model, report = cls.from_pretrained(
        folder, torch_dtype=dtype, local_files_only=True, output_loading_info=True
    )
    for problem in ("missing_keys", "unexpected_keys", "mismatched_keys"):
        if keys := sorted(report[problem]):
            raise ValueError(f"{problem} in {folder.name}: {keys[0]} and {len(keys) - 1} more")
    return model


def _vae_class(folder: Path) -> type[nn.Module]:
    name = json.loads((folder / "config.json").read_text(encoding="utf-8"))["_class_name"]
    return MiniVAE if name == "MiniVAE" else getattr(diffusers, name)


def _modules(backbone: HunyuanVideo15Backbone) -> tuple[nn.Module, nn.Module, nn.Module]:
    return backbone.transformer, backbone.vae, backbone.text_encoder
