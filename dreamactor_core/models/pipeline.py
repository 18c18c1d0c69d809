"""A full-size backbone: a pipeline folder as diffusers writes it (model_index.json).

Single weights files may stand in the place of any of its parts; the folder then still gives configs
and tokenizers. Everything that headers and configs tell is checked, and the memory, before any
weight is read.
"""

from __future__ import annotations

import json
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import diffusers
from torch import nn

from ..backbones import hunyuan15, wan
from ..backbones.gaps import teach_single_file
from ..backbones.placement import (
    VAE_DTYPE,
    Placement,
    place,
    plain_placement,
    quantization_of,
    store_as,
)
from ..errors import InputError
from ..weight_files.checkpoint import (
    Checkpoint,
    encoder_width,
    latent_width,
    linear_keys,
    read_header,
    read_weights,
    reading,
    recognise,
)
from ..weight_files.configs import check_configs, refusing_broken
from ..weight_files.family import Family
from ..weight_files.files import Files
from ..weight_files.parts import ENCODERS, Part, load_part, recognise_parts
from . import Task
from .estimate import Estimate, check_memory, estimate, with_seconds
from .in_context import InContext
from .loras import lora_beside

FAMILIES = (hunyuan15.FAMILY, wan.FAMILY)


class Pipeline:
    """The protocol Source."""

    takes_loras = True
    usual_device, usual_dtype = "cuda", "bfloat16"

    def __init__(self, folder: Path, files: Files):
        """files: weights in the place of the folder's own, which may then be absent: safetensors in
        diffusers', the original or ComfyUI's layout, GGUF for transformers. Raises InputError for
        what is no backbone, and for parts that do not belong together.
        """
        self.folder = folder
        self.checkpoints, self.parts = _recognise(folder, files)
        found = self.checkpoints["transformer"].found
        self.name, self.geometry, self.defaults = found.name, found.geometry, found.defaults

    def check(self, task: Task) -> None:
        """It can do whatever a task may ask for."""

    def lora_beside(self, variant: str) -> Path:
        """The LoRA file of a variant. Raises InputError if there is none."""
        return lora_beside(self.folder, str(self.folder), variant)

    def estimate(
        self, placement: Placement, panel: tuple[int, int], num_frames: int, lead_in_seconds: float
    ) -> Estimate:
        """Of the longest pass of such a clip. The device is timed for a moment.

        Raises InputError when it will not fit.
        """
        lead = self.geometry.lead_frames(lead_in_seconds)
        pass_frames = self.geometry.pass_frames(num_frames, lead)
        estimated = self._estimate(placement, panel, pass_frames)
        check_memory(estimated, placement)
        return with_seconds(estimated, placement)

    def open(self, placement: Placement | None = None) -> InContext:
        """Raises InputError for a broken file, and when the weights alone will not fit."""
        placement = placement or plain_placement()
        first = self.checkpoints["transformer"]
        check_memory(self._estimate(placement), placement)
        networks = {}
        for name, checkpoint in self.checkpoints.items():
            networks[name] = _load_network(checkpoint, placement)
            store_as(networks[name], placement)  # before the next one is held in full
        for name, part in self.parts.items():
            networks[name] = load_part(part, VAE_DTYPE if name == "vae" else placement.dtype)
        pipeline = read_pipeline(self.folder, first.family, placement, networks)
        backbone = first.family.build(first.found, pipeline)
        encoders = [getattr(pipeline, name, None) for name in ENCODERS]
        shrunk = replace(placement, storage="")
        place(backbone, shrunk, [encoder for encoder in encoders if encoder is not None])
        return InContext(backbone)

    def _estimate(
        self,
        placement: Placement,
        panel: tuple[int, int] | None = None,
        num_frames: int | None = None,
    ) -> Estimate:
        return estimate(
            self.checkpoints["transformer"],
            placement,
            panel,
            num_frames,
            len(self.checkpoints),
            _encoder_bytes(self.folder, self.parts, placement),
        )


def _recognise(folder: Path, files: Files) -> tuple[dict[str, Checkpoint], dict[str, Part]]:
    """The networks, and what else has a file of its own, by the pipeline's names; all checked."""
    check_configs(folder)
    paths = files.transformers
    if not paths:
        owned = (folder / "transformer", folder / "transformer_2")
        paths = tuple(path for path in owned if path.is_dir()) or owned[:1]
    networks = [recognise(read_header(path), FAMILIES) for path in paths]
    checkpoints = dict(zip(("transformer", "transformer_2"), networks, strict=False))
    _check_experts(checkpoints)
    _check_widths(folder, networks[0])
    return checkpoints, recognise_parts(folder, files, FAMILIES)


def _encoder_bytes(folder: Path, parts: dict[str, Part], placement: Placement) -> int:
    """Of the weights of text and image encoders."""
    files = [path for name in ENCODERS for path in (folder / name).glob("*.safetensors")]
    own = sum(path.stat().st_size for path in files if path.parent.name not in parts)
    named = [part.header.num_parameters() for name, part in parts.items() if name in ENCODERS]
    return own + sum(named) * placement.dtype.itemsize


def read_pipeline(
    folder: Path, family: Family, placement: Placement, networks: dict[str, nn.Module]
) -> Any:
    """The pipeline of a folder around parts that are open already. Raises InputError for a broken
    file."""
    with refusing_broken(folder, f"vae, encoders and tokenizers of {family.title}"):
        return getattr(diffusers, family.pipeline).from_pretrained(
            folder,
            torch_dtype={"default": placement.dtype, "vae": VAE_DTYPE},
            local_files_only=True,
            **networks,
        )


def _load_network(checkpoint: Checkpoint, placement: Placement) -> nn.Module:
    """The weights, by diffusers' own loaders."""
    path, network = checkpoint.header.path, checkpoint.family.network
    if not (path.is_dir() or teach_single_file()):
        raise InputError(
            f"model file {path}",
            got=f"diffusers {diffusers.__version__}",
            need="a release whose single-file loader is known",
            fix="Install diffusers 0.42, or use the diffusers folder of the model.",
        )
    quantization = quantization_of(placement, gguf=path.suffix == ".gguf")
    with reading(path):
        if path.is_dir():
            model = network.from_pretrained(
                path,
                torch_dtype=placement.dtype,
                quantization_config=quantization,
                local_files_only=True,
            )
        else:
            packed = linear_keys(checkpoint) if path.suffix == ".gguf" else ()
            tensors = read_weights(checkpoint.header, placement.dtype, packed=packed)
            with tempfile.TemporaryDirectory() as config:
                text = json.dumps(checkpoint.found.config)
                (Path(config) / "config.json").write_text(text, encoding="utf-8")
                model = network.from_single_file(
                    tensors,
                    config=config,
                    torch_dtype=placement.dtype,
                    quantization_config=quantization,
                )
    return model.eval().requires_grad_(False)


def _check_experts(checkpoints: dict[str, Checkpoint]) -> None:
    first = checkpoints["transformer"].found
    second = checkpoints.get("transformer_2")
    if first.two_experts and second is None:
        raise InputError(
            first.name,
            got="one expert",
            need="two: the high-noise and the low-noise file",
            fix="Name the low-noise file as transformer_2.",
        )
    if second is not None and second.found != first:
        raise InputError(
            "second expert",
            got=second.found.name,
            need=f"the low-noise expert of {first.name}",
            fix="Choose the two files of one model.",
        )


def _check_widths(folder: Path, checkpoint: Checkpoint) -> None:
    """The encoders and the autoencoder of the folder's configs must be those of the network."""
    found = checkpoint.found
    widths = checkpoint.family.widths(found.config) | {"vae": found.geometry.latent_channels}
    for part, need in widths.items():
        width = latent_width(folder / part) if part == "vae" else encoder_width(folder / part)
        if width != need:
            raise InputError(
                f"{part} in {folder}",
                got="none" if width is None else f"width {width}",
                need=f"width {need}, which {found.name} reads",
                fix=f"Take the {part.replace('_', ' ')} that belongs to this model.",
            )
