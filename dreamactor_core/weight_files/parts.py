"""Weights files in the place of a pipeline folder's own parts, such as ComfyUI's models/ holds.

A file is known by its keys and shapes, never by its name. The folder still gives configs,
tokenizers and the scheduler, which are small; the weights in it may be absent.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import diffusers
import torch
import transformers
from torch import nn

from ..errors import InputError
from .checkpoint import Header, check_keys, read_header, read_weights, reading
from .configs import read_json
from .family import Family, Tensors
from .files import INDEX, Files
from .part_kinds import PART_KINDS, PartKind

ENCODERS = ("text_encoder", "text_encoder_2", "image_encoder")  # of a pipeline
PLACES = ("vae", *ENCODERS)
TIED = ("shared.weight", "encoder.embed_tokens.weight")  # one tensor of T5, by either name


class Part(NamedTuple):
    """A file with its place, and every key of it accounted for."""

    header: Header
    kind: PartKind
    model: nn.Module  # on the meta device
    folder: Path  # of the config


def recognise_parts(
    folder: Path, files: Files, families: tuple[Family, ...] = ()
) -> dict[str, Part]:
    """The files by their places in the pipeline, known from headers and configs alone.

    families: of networks, to say so if a file is one.

    Raises InputError for a file that is something else, does not fit the folder's config, or is
    broken, and for two files of one place.
    """
    index = read_json(folder / INDEX)
    found = {}
    for option, path in files.parts():
        header = read_header(path)
        kind = next((kind for kind in PART_KINDS if kind.owns(header.tensors)), None)
        networks = [family.title for family in families if family.owns(header.tensors)]
        got = kind.title if kind else f"the network of {(networks or ['something else'])[0]}"
        place, config = _place_of(folder, index, option, path, kind, got)
        assert kind is not None, "a file of no kind has no place"
        if place in found:
            raise InputError(
                f"{place} {path}",
                got=f"{kind.title} once more",
                need="one file for each encoder",
                fix="Leave one of them away.",
            )
        model = _empty(index[place], folder / place, config, header)
        have = _named_as(model, kind.convert(_used(header.tensors, kind)))
        check_keys(header.path, kind.title, model.state_dict(), have)
        found[place] = Part(header, kind, model, folder / place)
    return found


def load_part(part: Part, dtype: torch.dtype) -> nn.Module:
    """The module with the file's weights, on the CPU in dtype, ready for inference.

    Raises InputError when they are not those of the header.
    """
    wanted = _used(part.header.tensors, part.kind).keys()
    with reading(part.header.path):
        read = read_weights(part.header, dtype, wanted.__contains__)
        weights = _named_as(part.model, part.kind.convert(read))
        if isinstance(part.model, transformers.PreTrainedModel):
            # Its own loader, for it also fills buffers that no file has.
            model: nn.Module = type(part.model).from_pretrained(
                None, config=part.model.config, state_dict=weights, torch_dtype=dtype
            )
        else:
            model = part.model
            model.load_state_dict(weights, assign=True)
            model.to(dtype)
    return model.eval().requires_grad_(False)


def _place_of(
    folder: Path,
    index: dict[str, Any],
    option: str,
    path: str | Path,
    kind: PartKind | None,
    got: str,
) -> tuple[str, dict[str, Any]]:
    """Where in the pipeline a file belongs, and the config there. got: what it is, in words."""
    places = [name for name in PLACES if name.startswith(option) and (index.get(name) or [0])[0]]
    needs = []
    for place in places:
        if not (folder / place / "config.json").is_file():
            raise InputError(
                f"model folder {folder}",
                got=f"no {place}/config.json",
                need="the configs of the pipeline, whatever files its weights come from",
                fix="Download the small files of the diffusers edition of the model.",
            )
        config = read_json(folder / place / "config.json")
        fits = [one for one in PART_KINDS if index[place][1] in one.classes and one.fits(config)]
        if kind in fits:
            return place, config
        needs += [one.title for one in fits] or [f"a {index[place][1]} of the folder itself"]
    raise InputError(
        f"{option} {path}",
        got=got,
        need=" or ".join(needs) or f"none: {folder.name} has no such part",
        fix="Choose the file that belongs to this model.",
    )


def _empty(named: list[str], folder: Path, config: dict[str, Any], header: Header) -> nn.Module:
    """The class as the folder's config has it, on the meta device."""
    library, name = named
    cls = getattr({"diffusers": diffusers, "transformers": transformers}[library], name)
    with torch.device("meta"):
        if library == "diffusers":
            return cls.from_config(config)
        wanted = cls.config_class.from_pretrained(folder, local_files_only=True)
        if name == "SiglipVisionModel":  # its head pools, which no pipeline here asks for
            wanted.vision_use_head = any("head.probe" in key for key in header.tensors)
        return cls(wanted)


def _used(tensors: Tensors, kind: PartKind) -> Tensors:
    return {key: tensor for key, tensor in tensors.items() if not key.startswith(kind.unused)}


def _named_as(model: nn.Module, tensors: Tensors) -> Tensors:
    """By the keys of the class: releases of transformers differ in one prefix, and tied weights
    need only stand once in a file.
    """
    want = model.state_dict()
    prefix = "vision_model."
    if any(key.startswith(prefix) for key in want):
        tensors = {prefix + key: tensor for key, tensor in tensors.items()}
    for one, other in (TIED, TIED[::-1]):
        if one in want and one not in tensors and other in tensors:
            tensors[one] = tensors[other]
    return tensors
