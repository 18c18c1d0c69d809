"""A folder of Wan-Animate or Wan-Animate-2, as a Source: what it would take, and opening it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import diffusers
import torch
from diffusers import DiffusionPipeline, ModularPipeline
from diffusers.utils import is_ftfy_available
from torch import nn

from ..backbones import wan
from ..backbones.placement import VAE_DTYPE, Placement, place, plain_placement, quantization_of
from ..errors import InputError
from ..versions import require
from ..weight_files.checkpoint import Checkpoint, read_header
from ..weight_files.configs import check_configs, refusing_broken
from ..weight_files.family import Found
from ..weight_files.files import Files
from . import Task, does_not_apply
from .estimate import Estimate, check_memory, estimate, with_seconds
from .loras import takes_none
from .wan_animate import WanAnimate
from .wan_animate_kinds import MODULAR_INDEX, WanAnimateKind, check_task

PIPELINE_PARTS = ("tokenizer", "text_encoder", "image_encoder", "vae", "transformer", "scheduler")
ANIMATE_PARTS = "the parts of {} as diffusers writes them"
CLIP_BYTES = 60  # a pixel and frame of the clip, in all the forms that the pipelines hold at once
COMPILED = "WanAnimate2Transformer3DModel"


class WanAnimateFolder:
    """The protocol Source."""

    takes_loras = False
    usual_device, usual_dtype = "cuda", "bfloat16"

    def __init__(self, folder: Path, kind: WanAnimateKind, files: Files):
        """Raises InputError for files, for it has its own weights."""
        if files != Files():
            raise does_not_apply(str(folder), "its own weights")
        self.folder, self.kind = folder, kind
        self.name, self.geometry, self.defaults = kind.name, kind.geometry, kind.defaults

    def check(self, task: Task) -> None:
        """Raise InputError for a lead-in, motion guidance, a shift or a sampler."""
        check_task(self.kind, task)

    def lora_beside(self, variant: str) -> Path:
        """Raises InputError: there is none."""
        raise takes_none(self.name)

    def estimate(
        self, placement: Placement, panel: tuple[int, int], num_frames: int, lead_in_seconds: float
    ) -> Estimate:
        """What a clip of num_frames in a panel (height, width) would take, from configs and
        headers. Raises InputError when it will not fit.
        """
        height, width = panel
        # wan2.2-animate adds its skeleton to the tokens of the picture; the other reads the driver.
        counted = (height, width // 2 if self.kind.variant == "pose-based" else width)
        with refusing_broken(self.folder, ANIMATE_PARTS.format(self.name)):
            estimated = _estimate(self.folder, self.kind, placement, counted)
        clip = height * width * max(num_frames, self.geometry.num_frames)
        beside = 0 if placement.device == "cpu" else self.kind.device_bytes * clip
        estimated = replace(
            estimated, ram=estimated.ram + CLIP_BYTES * clip - beside, vram=estimated.vram + beside
        )
        check_memory(estimated, placement)
        return with_seconds(estimated, placement)

    def open(self, placement: Placement | None = None) -> WanAnimate:
        """Raises InputError when the folder is broken or will not fit."""
        placement, folder = placement or plain_placement(), self.folder
        if not is_ftfy_available() and self.kind.variant == "pose-based":
            need = "ftfy, with which diffusers cleans prompts"
            raise InputError(self.name, got="no package ftfy", need=need, fix="pip install ftfy.")
        if self.kind.network == "WanAnimate2Transformer3DModel":
            require("diffusers", "0.40", "Wan-Animate-2")
        check_configs(folder)
        with refusing_broken(folder, ANIMATE_PARTS.format(self.name)):
            for (
                part
            ) in PIPELINE_PARTS:  # transformers takes a tokenizer without files for an empty one
                if not (folder / part).is_dir():
                    raise FileNotFoundError(f"no folder {part}")
            check_memory(_estimate(folder, self.kind, placement, (0, 0)), placement)
            network = getattr(diffusers, self.kind.network).from_pretrained(
                folder / "transformer",
                torch_dtype=placement.dtype,
                quantization_config=quantization_of(placement, gguf=False),
                local_files_only=True,
            )
            open_pipeline = _open_modular if (folder / MODULAR_INDEX).is_file() else _open_pipeline
            pipeline = open_pipeline(folder, network, placement)
        model = WanAnimate(self.kind, pipeline)
        place(model, placement, [model.text_encoder, model.image_encoder])
        if self.kind.network == COMPILED and torch.cuda.is_available():
            model.transformer.compile_repeated_blocks()  # else its attention is a table, too large
        return model


def _open_pipeline(folder: Path, network: nn.Module, placement: Placement) -> DiffusionPipeline:
    pipeline = diffusers.WanAnimatePipeline.from_pretrained(
        folder,
        transformer=network,
        torch_dtype={"default": placement.dtype, "vae": VAE_DTYPE},
        local_files_only=True,
    )
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def _open_modular(folder: Path, network: nn.Module, placement: Placement) -> ModularPipeline:
    """Every part from this folder: the index may name another place, even one to download from."""
    pipeline = ModularPipeline.from_pretrained(folder, local_files_only=True)
    parts = {"transformer": network}
    for name in pipeline.pretrained_component_names:
        if name not in parts:
            parts[name] = pipeline.get_component_spec(name).load(
                pretrained_model_name_or_path=str(folder),
                subfolder=name,
                torch_dtype=VAE_DTYPE if name == "vae" else placement.dtype,
                local_files_only=True,
            )
    pipeline.update_components(**parts)
    return pipeline


def _estimate(
    folder: Path, kind: WanAnimateKind, placement: Placement, panel: tuple[int, int]
) -> Estimate:
    config = json.loads((folder / "transformer" / "config.json").read_text(encoding="utf-8"))
    if "dim" in config:  # Wan-Animate-2's own names
        heads = config["num_heads"]
        config |= {"num_attention_heads": heads, "attention_head_dim": config["dim"] // heads}
    found = Found(kind.name, kind.geometry, config, kind.defaults)
    checkpoint = Checkpoint(read_header(folder / "transformer"), wan.FAMILY, found)
    encoders = sum(path.stat().st_size for path in folder.glob("*_encoder/*.safetensors"))
    return estimate(checkpoint, placement, panel, encoder_bytes=encoders)
