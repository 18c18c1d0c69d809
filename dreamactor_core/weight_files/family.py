"""What loading asks of the file of a backbone: one Family each.

A further backbone is one more file with an adapter and a Family, and its entry in
FAMILIES of models/pipeline.py.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from torch import Tensor

from ..backbones import Backbone
from ..geometry import Geometry
from ..options import ONE_STEP, Defaults

Tensors = dict[str, Tensor]  # on the meta device while nothing but shapes is known


class Found(NamedTuple):
    """A checkpoint, by its shapes."""

    name: str  # Backbone.name
    geometry: Geometry
    config: dict[str, Any]  # of the diffusers class
    defaults: Defaults = ONE_STEP
    two_experts: bool = False  # the file is one expert of two


class Family(NamedTuple):
    title: str  # for people
    network: Any  # class of diffusers' transformer
    pipeline: str  # the class of diffusers' stock pipeline, whose encoders are used
    owns: Callable[[Tensors], bool]  # keys without prefix -> is it of this family?
    convert: Callable[[Tensors], Tensors]  # any of its layouts -> diffusers' keys
    describe: Callable[[Tensors], Found]  # converted; raises InputError for what cannot animate
    widths: Callable[[dict[str, Any]], dict[str, int]]  # config -> hidden size of each encoder
    build: Callable[[Found, Any], Backbone]  # around an open stock pipeline
    pack_known: Callable[[Found, Tensor, int, int], Tensor]  # as Backbone.pack_known
    vae_frames: int  # frames that the autoencoder works on at once; 0 is all of them
    vae_values: int  # numbers it then holds for each pixel of each of those frames, roughly
    masks_attention: bool  # diffusers makes a mask of tokens x tokens for it


def count_blocks(tensors: Tensors, prefix: str) -> int:
    """How many blocks a list of blocks has."""
    numbers = {key.removeprefix(prefix).split(".")[0] for key in tensors if key.startswith(prefix)}
    return len(numbers)
