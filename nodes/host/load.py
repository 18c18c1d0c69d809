"""What DREAMACTOR_MODEL carries, and the weights behind it.

The value is a frozen description: weights that are opened once, and the LoRAs that are wanted on
them. Branches of a graph with other LoRAs share the weights, and none ever sees the other's: a LoRA
lives in the network, so ready() brings it to the description before each use. The node that was
cached with a description is never changed.

ComfyUI's ModelPatcher moves the weights, so they share the device's memory with all other models.
"""

from __future__ import annotations

import logging
import zlib
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import comfy.model_management as manager
import torch
from comfy.model_patcher import ModelPatcher
from peft.tuners.lora import LoraLayer
from torch import nn

from ...dreamactor_core.backbones.placement import Placement
from ...dreamactor_core.errors import InputError, lacks_memory
from ...dreamactor_core.geometry import Geometry
from ...dreamactor_core.lora.adapters import (
    load_lora,
    lora_strengths,
    remove_lora,
    set_lora_strengths,
)
from ...dreamactor_core.lora.files import LoraFile, LoraInfo, check_agrees, read_lora
from ...dreamactor_core.models import Animator, Source, find
from ...dreamactor_core.models.in_context import InContext
from ...dreamactor_core.models.loras import takes_none
from ...dreamactor_core.options import DTYPES, LAYOUTS, LEAD_IN_SECONDS, Defaults
from .files import LoraChoice, stamp

logger = logging.getLogger(__name__)

CODEC = ("vae",)
ALL = ("transformer", "transformer_2", "text_encoder", "image_encoder", "vae")  # where it has them
SMALL_FILES = 2**30  # bytes of files
ACTIVATIONS = 400  # bytes a pixel of the composite: what the small model needs beside its weights


@dataclass(frozen=True)
class Lora:
    path: Path
    strength: float
    stamp: str  # of the file as it was when the node ran
    info: LoraInfo


@dataclass(frozen=True, eq=False)
class OpenWeights:
    """Shared by every description made from one Load Model."""

    source: Source
    opened: Animator  # wears whatever was asked of it last; see ready()
    device: torch.device  # where it runs
    patchers: dict[str, ModelPatcher]  # by names of ALL; none if diffusers offloads the weights
    last: dict[str, Any] = field(default_factory=dict)  # see remember.py


@dataclass(frozen=True, eq=False)
class Model:
    weights: OpenWeights
    loras: tuple[Lora, ...] = ()

    @property
    def name(self) -> str:
        return self.weights.source.name

    @property
    def geometry(self) -> Geometry:
        return self.weights.source.geometry

    @property
    def defaults(self) -> Defaults:
        return self.weights.source.defaults

    @property
    def lead_in_seconds(self) -> float:
        return self.loras[0].info.lead_in_seconds if self.loras else LEAD_IN_SECONDS

    @property
    def animator(self) -> Animator:
        """The weights under this description: to ask, and when it is ready, to work with."""
        opened = self.weights.opened
        if opened.backbone is None:
            return opened
        return InContext(opened.backbone, self.lead_in_seconds)


class DreamActorPart(nn.Module):
    """A ModelPatcher writes `device` on its model, which diffusers' classes do not allow."""

    def __init__(self, part: nn.Module):
        super().__init__()
        self.part = part


def open_model(
    folder: Path, precision: str, placement: str, storage: str | None, offload: str | None
) -> Model:
    """Read the files. storage and offload are Placement's, or "none" or None.

    Raises InputError when files are missing or broken, when there is no GPU, and for what does not
    apply to a small model.
    """
    device = torch.device("cpu") if placement == "cpu" else manager.get_torch_device()
    if placement == "gpu" and device.type == "cpu":
        raise InputError(
            "placement",
            got="gpu, but ComfyUI runs without one",
            need="auto or cpu on this machine",
            fix="Choose auto.",
        )
    dtype = _auto_dtype(folder, device)
    if precision != "auto":
        dtype = getattr(torch, DTYPES[precision])
    storage, offload = ("" if asked in (None, "none") else asked for asked in (storage, offload))
    wanted = Placement(
        str(device) if offload else "cpu",
        dtype,
        storage=storage,
        offload=offload,
        drop_padding=True,
    )
    with torch.inference_mode(False):  # ComfyUI's own mode would make tensors that LoRAs cannot use
        source = find(folder)
        opened = source.open(wanted)
    if offload:
        return Model(OpenWeights(source, opened, device, {}))
    away = device if placement == "gpu" else manager.unet_offload_device()
    patchers = {
        name: ModelPatcher(DreamActorPart(part), load_device=device, offload_device=away)
        for name, part in opened.modules.items()
    }
    return Model(OpenWeights(source, opened, device, patchers))


def with_lora(model: Model, choice: LoraChoice, strength: float) -> tuple[Model, str]:
    """Another description with one LoRA more, and what it patches in words.

    Raises InputError when the file does not fit the model, or the LoRAs already on it, and for a
    model that takes none.
    """
    source = model.weights.source
    if not source.takes_loras:
        raise takes_none(model.name)
    path = choice.file or source.lora_beside(choice.variant)
    file = read_lora(path)
    for before in model.loras[:1]:
        info = before.info
        check_agrees(file.info, info.variant, info.lead_in_seconds, path.name, info.layout)
    wanted = replace(model, loras=(*model.loras, Lora(path, strength, stamp(path), file.info)))
    _bring_to(wanted, {path: file})
    name = _names(wanted)[-1]
    layers = (layer for one in model.weights.patchers.values() for layer in one.model.modules())
    count = sum(isinstance(layer, LoraLayer) and name in layer.scaling for layer in layers)
    kind = f"{file.info.variant}, rank {file.info.rank}, strength {strength:g}"
    return wanted, f"{path.stem}: {count} layers patched, {kind}"


def ready(model: Model, parts: tuple[str, ...], pixels: int) -> Animator:
    """The model with exactly its LoRAs, its parts where they run.

    parts: ALL or CODEC. pixels: of all frames that are worked on at once, for room beside the
    weights.
    """
    patchers = [patcher for name, patcher in model.weights.patchers.items() if name in parts]
    # Layers of plain torch cannot be streamed from the CPU: all of them, or none.
    manager.load_models_gpu(patchers, memory_required=ACTIVATIONS * pixels, force_full_load=True)
    if parts is ALL:
        _bring_to(model)
    animator = model.animator
    if animator.backbone is not None:  # its encoders ask for it too
        animator.backbone.lay_out(model.loras[0].info.layout if model.loras else LAYOUTS[0])
    return animator


def device_of(model: Model) -> torch.device:
    """Where it runs, when it is ready."""
    return model.weights.device


def tries() -> Iterator[AbstractContextManager[None]]:
    """Two tries at what the device may have no memory for; the second with all models off it.

        for attempt in tries():
            with attempt:
                ...  # makes its parts ready itself

    Raises InputError when there is no room even then.
    """
    first = _Try()
    yield first
    if not first.failed:
        return
    logger.warning("Out of memory: trying again with nothing else on the device.")
    manager.unload_all_models()
    manager.soft_empty_cache()
    yield _last_try()


class _Try(AbstractContextManager):
    """Ends quietly when memory runs out, and with it the traceback, which holds the tensors."""

    failed = False

    def __exit__(self, kind, error, traceback) -> bool:
        self.failed = error is not None and _is_full(error)
        return self.failed


def _is_full(error: BaseException) -> bool:
    return isinstance(error, manager.OOM_EXCEPTION) or lacks_memory(error)


@contextmanager
def _last_try() -> Iterator[None]:
    try:
        yield
    except Exception as error:
        if not _is_full(error):
            raise
        raise InputError(
            "memory of the device",
            got="too little for this size, even with nothing else on it",
            need="more room, or smaller frames",
            fix="Make the size smaller, or choose fp16, bf16 or placement cpu in Load Model.",
        ) from error
    finally:
        manager.soft_empty_cache()


def _auto_dtype(folder: Path, device: torch.device) -> torch.dtype:
    """All 32 bits where they cost little: the result is then that of the command line."""
    size = sum(file.stat().st_size for file in folder.rglob("*.safetensors"))
    if size < SMALL_FILES or device.type == "cpu":
        return torch.float32
    return manager.unet_dtype(device, supported_dtypes=[torch.bfloat16, torch.float16])


@torch.inference_mode(False)
def _bring_to(model: Model, opened: dict[Path, LoraFile] | None = None) -> None:
    """Put exactly the described LoRAs on the network, in their order. opened: files at hand."""
    backbone = model.weights.opened.backbone
    if backbone is None:
        return
    wanted = dict(zip(_names(model), model.loras, strict=True))
    loaded = lora_strengths(backbone)
    if loaded.keys() != wanted.keys():
        for name in loaded:
            remove_lora(backbone, name)
        for name, lora in wanted.items():
            file = (opened or {}).get(lora.path, lora.path)
            load_lora(backbone, file, lora.strength, name)
    elif wanted:
        set_lora_strengths(backbone, {name: lora.strength for name, lora in wanted.items()})


def _names(model: Model) -> list[str]:
    """What the LoRAs are called on the network: by place, file and the file's state."""
    return [
        f"{place}_{zlib.crc32(f'{lora.path}{lora.stamp}'.encode()):08x}"
        for place, lora in enumerate(model.loras)
    ]
