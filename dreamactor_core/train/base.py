"""Parts of a full-size base, each opened when it is wanted and alone: caching needs the autoencoder
and the encoders, training needs one network. The others stand on the meta device, without memory.
"""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import torch
from diffusers.hooks import apply_group_offloading
from torch import nn

from ..backbones import Backbone
from ..backbones.placement import Placement, quantization_of, store_as
from ..errors import InputError
from ..lora.adapters import EXPERTS
from ..models.pipeline import FAMILIES, read_pipeline
from ..weight_files.checkpoint import Checkpoint, read_header, reading, recognise
from ..weight_files.parts import ENCODERS, INDEX

NETWORKS = ("transformer", "transformer_2")  # of two experts the high-noise one first


def is_full_size(name_or_folder: str | Path) -> bool:
    """Whether it is a pipeline folder as diffusers writes them."""
    return (Path(name_or_folder) / INDEX).is_file()


def open_encoders(folder: str | Path, placement: Placement) -> Backbone:
    """A backbone whose network is on the meta device: for encode_video, encode_text and context.

    Raises InputError for a folder that is no pipeline of a known family.
    """
    folder = Path(folder)
    checkpoints = _recognise(folder)
    first = next(iter(checkpoints.values()))
    networks = {name: _on_meta(checkpoint) for name, checkpoint in checkpoints.items()}
    pipeline = read_pipeline(folder, first.family, placement, networks)
    if placement.vae_tiling:
        pipeline.vae.enable_tiling()
    device = torch.device(placement.device)
    for name in ("vae", *ENCODERS):
        module = getattr(pipeline, name, None)
        if module is None:
            continue
        module.eval().requires_grad_(False)
        if placement.offload and name != "vae":  # the wide ones; the autoencoder is small
            cpu = torch.device("cpu")
            apply_group_offloading(module, device, cpu, offload_type="leaf_level")
        else:
            module.to(device)
    return first.family.build(first.found, pipeline)


def open_network(folder: str | Path, placement: Placement, expert: str = "") -> Backbone:
    """A backbone with the network that is to be trained and nothing else: for context and velocity.

    expert: "high" or "low" of a base of two; the other stays on the meta device. Raises InputError
    when it is not said, or said of a base of one.
    """
    folder = Path(folder)
    checkpoints = _recognise(folder)
    first = next(iter(checkpoints.values()))
    if expert not in (EXPERTS if len(checkpoints) > 1 else ("",)):
        raise InputError(
            "expert",
            got=repr(expert),
            need="high or low: the base has two, and a LoRA is of one"
            if len(checkpoints) > 1
            else f"none, {first.found.name} is one network",
            fix="Pass --expert high, then --expert low for the second LoRA."
            if len(checkpoints) > 1
            else "Leave --expert away.",
        )
    trained = NETWORKS[EXPERTS.index(expert)] if expert else NETWORKS[0]
    networks = dict.fromkeys(NETWORKS)
    for name, checkpoint in checkpoints.items():
        networks[name] = _load(checkpoint, placement) if name == trained else _on_meta(checkpoint)
    index = json.loads((folder / INDEX).read_text(encoding="utf-8"))
    parts = dict.fromkeys(("vae", *ENCODERS))
    config = SimpleNamespace(boundary_ratio=index.get("boundary_ratio"))
    return first.family.build(first.found, SimpleNamespace(**networks, **parts, config=config))


def network_header(folder: str | Path) -> Checkpoint:
    """What the headers tell of the base's network, or of the first of its two."""
    return next(iter(_recognise(Path(folder)).values()))


def _recognise(folder: Path) -> dict[str, Checkpoint]:
    if not is_full_size(folder):
        raise InputError(
            f"base {folder}",
            got=f"no {INDEX}",
            need="a diffusers pipeline folder of HunyuanVideo-1.5 or Wan image-to-video",
            fix="Download the diffusers edition of the model.",
        )
    paths = {name: folder / name for name in NETWORKS if (folder / name).is_dir()}
    if not paths:
        raise InputError(
            f"base {folder}", got="no transformer", need="one", fix="Download the folder again."
        )
    checkpoints = {name: recognise(read_header(path), FAMILIES) for name, path in paths.items()}
    first = next(iter(checkpoints.values())).found
    if first.two_experts != (len(checkpoints) > 1):
        raise InputError(
            f"base {folder}",
            got=f"{len(checkpoints)} network of {first.name}",
            need="two experts" if first.two_experts else "one network",
            fix="Download the folder again.",
        )
    return checkpoints


def _on_meta(checkpoint: Checkpoint) -> nn.Module:
    network = checkpoint.family.network
    with torch.device("meta"):
        return network.from_config(network.load_config(checkpoint.header.path))


def _load(checkpoint: Checkpoint, placement: Placement) -> nn.Module:
    """Frozen, on its device, stored as the placement says."""
    with reading(checkpoint.header.path):
        network = checkpoint.family.network.from_pretrained(
            checkpoint.header.path,
            torch_dtype=placement.dtype,
            quantization_config=quantization_of(placement, gguf=False),
            local_files_only=True,
        )
    network.requires_grad_(False)
    store_as(network, placement)  # before it goes to a device that may not hold it in full
    return network.to(placement.device)
